"""Holds a fake upstream: starts it, scripts it, reads what it was asked, stops or kills it and starts it again."""

import http.client
import json
import subprocess
import sys
import time
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import quote

_PROGRAM = Path(__file__).with_name("upstream.py")


class FakeUpstream:
    """A fake upstream in a process of its own. As a context manager it is stopped at the end."""

    def __init__(self) -> None:
        self.port = 0
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> Self:
        """Starts the process, on the port of last time if there was one. Raises RuntimeError if it does not come up."""
        self._process = subprocess.Popen(
            [sys.executable, "-S", "-E", str(_PROGRAM), "--port", str(self.port)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError("the fake upstream did not start")
        self.port = int(line)
        return self

    def stop(self) -> None:
        """Ends the process in peace. May be called twice."""
        self._end(kill=False)

    def kill(self) -> None:
        """Ends the process at once, as a crash would: its connections are reset. May be called twice."""
        self._end(kill=True)

    def restart(self) -> Self:
        """A fresh process on the same port, without scripts and journal."""
        self.kill()
        return self.start()

    def url(self, persona: str = "default", path: str = "") -> str:
        """Base URL of a persona without version; `path` is appended."""
        return f"http://127.0.0.1:{self.port}/p/{persona}{path}"

    def base_url(self, persona: str = "default") -> str:
        """Base URL of a persona as an OpenAI-like provider names it, with `/v1`."""
        return self.url(persona, "/v1")

    def script(
        self,
        persona: str = "default",
        *behaviours: dict[str, Any],
        model: str | None = None,
        default: dict[str, Any] | None = None,
    ) -> None:
        """Queues behaviours for the next requests to a persona; `default` is for all after them."""
        told = {"persona": persona, "model": model, "default": default, "queue": list(behaviours)}
        self._call("POST", "/_script", told)

    def feed(
        self, persona: str, body: Any, *, path: str = "/v1/models", status: int = 200, delay_s: float = 0.0
    ) -> None:
        """What a persona's model list is from now on: a value or the text itself."""
        told = {"persona": persona, "path": path, "body": body, "status": status, "delay_s": delay_s}
        self._call("POST", "/_feed", told)

    def journal(self, persona: str | None = None) -> list[dict[str, Any]]:
        """What was asked, oldest first: headers (lower case), body, model, at_s, status, done, closed_early."""
        answer = self._call("GET", "/_journal" + (f"?persona={quote(persona)}" if persona is not None else ""))
        assert isinstance(answer, list)
        return answer

    def wait_until(self, persona: str, member: str, value: Any, timeout_s: float = 3.0) -> dict[str, Any]:
        """The persona's last POST once its `member` has this value. Raises TimeoutError.

        A gateway asks some servers for their models in between.
        """
        until = time.monotonic() + timeout_s
        while True:
            entries = [entry for entry in self.journal(persona) if entry["method"] == "POST"]
            if entries and entries[-1][member] == value:
                return entries[-1]
            if time.monotonic() > until:
                raise TimeoutError(
                    f"{member} of the last request to {persona} did not become {value!r}: {entries[-1:]}"
                )
            time.sleep(0.01)

    def reset(self) -> None:
        """Forgets scripts and journal."""
        self._call("POST", "/_reset", {})

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _call(self, method: str, path: str, value: Any = None) -> Any:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=5)
        try:
            connection.request(method, path, None if value is None else json.dumps(value))
            reply = connection.getresponse()
            answer = json.loads(reply.read())
        finally:
            connection.close()
        if reply.status != 200:
            raise ValueError(f"{method} {path}: {answer}")
        return answer

    def _end(self, *, kill: bool) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        if kill:
            process.kill()
        assert process.stdin is not None and process.stdout is not None
        process.stdin.close()
        process.wait(timeout=5)
        process.stdout.close()
