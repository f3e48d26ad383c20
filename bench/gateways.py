"""The rows of gatewayz itself: as an operator would start it, with everything on."""

import base64
import os
import secrets
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from itertools import count

from bench.ledger import audit_postgres, audit_sqlite
from bench.machine import placed
from bench.targets import CHAT, MESSAGES, ROOT, Absent, Bench, Target
from bench.trials import Call, Shape
from tests.live import LiveGateway
from tests.servers import postgres_database, start_postgres, start_redis

# Databases of the shared Redis that no row has taken yet.
_numbers = count(1)

CREDIT_USD, _SMALL_CREDIT_USD = "100000", "1000"
CUSTOMERS = 64

# The limits stay on and are counted; they are only higher than the load. The same goes for the grant.
_CONFIG = """\
[settings]
rpm_free = 100000000
registrations_per_hour = 1000000
admin_grant_cap_usd = 1000000
admin_grant_cap_24h_usd = 1000000

[[providers]]
slug = "bench-openai"
base_url = "http://127.0.0.1:{upstream}/v1"
dialect = "openai"
api_key = "sk-upstream"

[[providers]]
slug = "bench-anthropic"
base_url = "http://127.0.0.1:{upstream}"
dialect = "anthropic"
api_key = "sk-upstream"
"""
_MODEL = """
[[models]]
id = "bench/{name}"
name = "{name}"
context_length = 200000
modality = "text->text"
[[models.offers]]
provider = "{provider}"
native_id = "{native}"
price_prompt_usd_per_mtok = 0.15
price_completion_usd_per_mtok = 0.60
"""
_MODELS = (
    ("chat", "bench-openai", "gpt-4o-mini"),
    ("paced", "bench-openai", "paced"),
    ("messages", "bench-anthropic", "claude-sonnet-4"),
    ("paced-messages", "bench-anthropic", "paced"),
    ("idle", "bench-openai", "idle"),
)


def sqlite(bench: Bench) -> Target:
    """This working tree on SQLite."""
    return _open(bench, "gatewayz", "gatewayz, SQLite", {})


def postgres(bench: Bench) -> Target:
    """This working tree on a PostgreSQL of its own, with fsync. Raises Absent if there is none."""
    try:
        with placed(bench.place.rest, bench.place.nice):
            dsn, server = start_postgres(own=True, durable=True)
    except RuntimeError as error:
        raise Absent(str(error)) from error
    try:
        target = _open(bench, "gatewayz-postgres", "gatewayz, PostgreSQL", {"DATABASE_URL": dsn})
    except BaseException:
        server.close()
        raise
    stop_gateway = target.stop

    def stop() -> None:
        stop_gateway()
        server.close()

    target.audit = _audit(stop_gateway, lambda served, abandoned: audit_postgres(dsn, served, abandoned))
    target.stop = stop
    return target


def previous(bench: Bench) -> Target:
    """The commit named by the variable BASE (default: the one before HEAD) on SQLite. Raises Absent if it cannot run."""
    wanted = os.environ.get("BASE", "HEAD~1")
    tree = bench.work / "previous"
    shutil.rmtree(tree, ignore_errors=True)
    tree.mkdir()
    commit = git("rev-parse", "--short", "--verify", f"{wanted}^{{commit}}")
    if not commit:
        raise Absent(f"there is no commit {wanted}")
    # Its files only: a worktree would leave its mark in the repository.
    packed = subprocess.run(["git", "-C", ROOT, "archive", commit, "src"], capture_output=True)
    if packed.returncode or subprocess.run(["tar", "-x", "-C", tree], input=packed.stdout).returncode:
        raise Absent(f"commit {commit} cannot be unpacked")
    try:
        return _open(bench, "previous", f"gatewayz {commit}, SQLite", {"PYTHONPATH": str(tree / "src")})
    except (RuntimeError, AssertionError, OSError) as error:
        raise Absent(f"commit {commit} does not start with this environment: {str(error)[-300:]}") from error


def git(*words: str) -> str:
    """What git says about this repository, stripped; empty if it cannot tell."""
    done = subprocess.run(["git", "-C", ROOT, *words], capture_output=True, text=True)
    return done.stdout.strip() if done.returncode == 0 else ""


def product_python() -> str:
    """The Python of an environment with the product's own requirements, or this one where `make bench` has made none."""
    found = ROOT / ".venv" / "product" / "bin" / "python"
    return str(found) if found.exists() else sys.executable


def config_text(upstream: int) -> str:
    """The text of gatewayz.toml for an upstream on this port of loopback."""
    models = (_MODEL.format(name=model, provider=where, native=native) for model, where, native in _MODELS)
    return _CONFIG.format(upstream=upstream) + "".join(models)


def one_worker(bench: Bench) -> Target:
    """This working tree on PostgreSQL and Redis, one worker. Raises Absent if either is missing."""
    return _fleet(bench, "gatewayz-1", "gatewayz, PostgreSQL and Redis, 1 worker")


def four_workers(bench: Bench) -> Target:
    """Four workers, as many of them serving as the gateway thinks right. Raises Absent if a server is missing."""
    return _fleet(bench, "gatewayz-4", "gatewayz, PostgreSQL and Redis, 4 workers", 4)


def four_serving(bench: Bench) -> Target:
    """Four workers that all serve. Raises Absent if a server is missing."""
    return _fleet(bench, "gatewayz-4-serving", "gatewayz, PostgreSQL and Redis, 4 workers, all serving", 4, 4)


def four_apart(bench: Bench) -> Target:
    """Four gateways of one worker, each with a database and customers of its own. Raises Absent if a server is missing."""
    name, title = "gatewayz-apart", "4 gateways that share nothing, PostgreSQL and Redis"
    with ExitStack() as begun:
        parts = []
        for number in range(1, 5):
            parts.append(_fleet(bench, f"{name}-{number}", f"{title}, number {number}"))
            begun.callback(parts[-1].stop)
        begun.pop_all()
    whole = Target(name, title, parts[0].port, parts[0].calls, parts=tuple(parts))

    def stop() -> None:
        for part in parts:
            part.stop()

    whole.stop = stop
    return whole


def _fleet(bench: Bench, name: str, title: str, workers: int = 1, serving: int = 0) -> Target:
    """Workers that share a database and a number of Redis's of their own, on servers that all such rows share.

    `serving` of them serve at once (0: as many as the gateway thinks right).
    """
    if not bench.shared:
        try:
            with placed(bench.place.rest, bench.place.nice):
                dsn, postgres_server = start_postgres(own=True, durable=True)
                bench.stack.callback(postgres_server.close)
                url, redis_server = start_redis(own=True)
                bench.stack.callback(redis_server.close)
        except (RuntimeError, OSError) as error:
            raise Absent(str(error)) from error
        bench.shared.update(postgres=dsn, redis=url.rpartition("/")[0])
    dsn = bench.stack.enter_context(postgres_database(bench.shared["postgres"]))
    env = {"DATABASE_URL": dsn, "REDIS_URL": f"{bench.shared['redis']}/{next(_numbers)}"}
    target, gateway = _opened(bench, name, title, env, workers, serving)
    try:
        # Those of one customer wait for one another in the ledger, which would hide what workers share.
        customers = [gateway.customer(_SMALL_CREDIT_USD) for _ in range(CUSTOMERS)]
    except BaseException:
        target.stop()
        raise
    target.customers = tuple(f"Authorization: Bearer {customer.key}" for customer in customers)
    target.audit = _audit(target.stop, lambda served, abandoned: audit_postgres(dsn, served, abandoned))
    return target


def _open(bench: Bench, name: str, title: str, env: dict[str, str]) -> Target:
    return _opened(bench, name, title, env, 1, 0)[0]


def _opened(
    bench: Bench, name: str, title: str, env: dict[str, str], workers: int, serving: int
) -> tuple[Target, LiveGateway]:
    home = bench.work / f"home-{name}"
    shutil.rmtree(home, ignore_errors=True)
    secret = base64.urlsafe_b64encode(secrets.token_bytes(32)).decode()
    production = {"APP_ENV": "production", "GATEWAYZ_SECRET_KEY": secret, **env}
    gateway = LiveGateway(home, config_text(bench.upstream), production, workers, serving, python=product_python())
    with placed(bench.place.gateway, bench.place.nice):
        # The first start makes the database; the second is the one that operators wait for.
        gateway.start()
        gateway.stop()
        began = time.monotonic()
        gateway.start()
        start_s = time.monotonic() - began
    try:
        customer = gateway.customer(CREDIT_USD)
    except BaseException:
        gateway.stop()
        raise
    key = (f"Authorization: Bearer {customer.key}",)
    calls: dict[Shape, Call] = {
        "chat": Call(CHAT, "bench/chat", key),
        "paced": Call(CHAT, "bench/paced", key),
        "messages": Call(MESSAGES, "bench/messages", key),
        "translated": Call(CHAT, "bench/messages", key),
        "translated-paced": Call(CHAT, "bench/paced-messages", key),
        "idle": Call(CHAT, "bench/idle", key),
    }
    target = Target(name, title, gateway.port, calls, gateway.pid, start_s, stop=gateway.stop)
    target.audit = _audit(gateway.stop, lambda served, abandoned: audit_sqlite(home / "gatewayz.db", served, abandoned))
    return target, gateway


def _audit(stop: Callable[[], None], audit: Callable[[int, int], list[str]]) -> Callable[[int, int], list[str]]:
    """An audit of the books that are final: the gateway is stopped first."""

    def run(served: int, abandoned: int) -> list[str]:
        stop()
        return audit(served, abandoned)

    return run
