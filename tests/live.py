"""A gateway in a process of its own, as an operator would start it, with fake upstreams behind it."""

import json
import os
import re
import secrets
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx2 as httpx

START_S = 60.0


@dataclass
class LiveGateway:
    """Starts `gatewayz serve`. `config` is the text of gatewayz.toml; `env` is added to a clean environment.

    All workers serve, however few cores there are, unless `serving` says how many (0: what the gateway thinks right).
    Each request has a connection of its own, or goes through `client`.
    As a context manager it is stopped at the end. Port, database and home stay the same over restarts.
    """

    home: Path
    config: str = ""
    env: dict[str, str] = field(default_factory=dict)
    workers: int = 1
    serving: int | None = None
    port: int = 0
    admin_key: str = field(default_factory=lambda: f"gw_live_{secrets.token_urlsafe(32)}")
    client: httpx.Client | None = None
    python: str = sys.executable
    _process: subprocess.Popen[str] | None = None

    def start(self) -> Self:
        """Starts the process and waits until it answers. Raises RuntimeError with its output if it does not."""
        self.home.mkdir(parents=True, exist_ok=True)
        config = self.home / "gatewayz.toml"
        config.write_text(self.config, encoding="utf-8")
        log = self.log_path.open("a", encoding="utf-8")
        command = [self.python, "-m", "gatewayz", "serve", "--host", "127.0.0.1", "--port", str(self.port)]
        environment = {
            "PATH": os.environ.get("PATH", ""),
            "PYTHONPATH": str(Path(__file__).resolve().parent.parent / "src"),
            "APP_ENV": "test",
            "GATEWAYZ_HOME": str(self.home),
            "GATEWAYZ_CONFIG": str(config),
            "GATEWAYZ_BOOTSTRAP_ADMIN_KEY": self.admin_key,
            "GATEWAYZ_MODEL_SYNC_INTERVAL_S": "0",  # what an upstream is asked is for the test to say
            "GATEWAYZ_HUGGINGFACE_ENRICHMENT": "false",
            **self.env,
        }
        command += ["--workers", str(self.workers)]
        serving = self.workers if self.serving is None else self.serving
        if serving:
            command += ["--serving", str(serving)]
        self._process = subprocess.Popen(
            command,
            env=environment,
            cwd=self.home,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
            start_new_session=True,
        )
        log.close()
        assert self._process.stdout is not None
        for line in self._process.stdout:
            found = re.search(r"listens on http://localhost:(\d+)", line)
            if found:
                self.port = int(found[1])
                break
        self._wait_until_up()
        return self

    @property
    def log_path(self) -> Path:
        """Where the process writes its log."""
        return self.home / "serve.log"

    @property
    def base_url(self) -> str:
        """Address without a path."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def pid(self) -> int:
        """Process id of the (parent) process."""
        assert self._process is not None
        return self._process.pid

    def stop(self) -> None:
        """Asks the process to end and waits for it. May be called twice."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """Ends the process and its workers at once, as a crash would. May be called twice."""
        self._end(signal.SIGKILL)

    def call(
        self, method: str, path: str, body: Any = None, *, key: str | None = None, headers: dict[str, str] | None = None
    ) -> httpx.Response:
        """One request; `key` becomes the Bearer token, `body` JSON (bytes and str are sent as they are)."""
        sent = dict(headers or {})
        if key is not None:
            sent["Authorization"] = f"Bearer {key}"
        content = body if isinstance(body, (bytes, str)) or body is None else json.dumps(body)
        if content is not None:
            sent.setdefault("Content-Type", "application/json")
        url = self.base_url + path
        if self.client is not None:
            return self.client.request(method, url, content=content, headers=sent, timeout=30)
        # Nothing is encrypted here, and making a TLS context takes ten times as long as the request.
        return httpx.request(method, url, content=content, headers=sent, timeout=30, verify=False)

    def admin(self, method: str, path: str, body: Any = None) -> Any:
        """One request with the administrator's key that must succeed; its JSON."""
        answer = self.call(method, path, body, key=self.admin_key)
        assert answer.status_code < 300, answer.text
        return answer.json()

    def customer(self, credit_usd: str | float = "10", **key_settings: Any) -> "Customer":
        """A fresh account with exactly this much credit (no trial left) and one API key with these settings."""
        name = f"c{secrets.token_hex(6)}"
        made = self.admin(
            "POST", "/admin/create", {"username": name, "email": f"{name}@example.com", "auth_method": "email"}
        )
        customer = Customer(self, made["user_id"], made["api_key"])
        if float(credit_usd) > 0:
            self.admin(
                "POST", "/credits/add", {"user_id": customer.user_id, "amount_usd": str(credit_usd), "reason": "test"}
            )
        if key_settings:
            body = {"key_name": f"k{secrets.token_hex(4)}", "environment_tag": "live", **key_settings}
            answer = self.call("POST", "/user/api-keys", body, key=customer.key)
            assert answer.status_code < 300, answer.text
            customer.key = answer.json()["api_key"]
        return customer

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _wait_until_up(self) -> None:
        until = time.monotonic() + START_S
        while time.monotonic() < until:
            if self._process is None or self._process.poll() is not None:
                break
            try:
                if httpx.get(self.base_url + "/health/quick", timeout=1, verify=False).status_code == 200:
                    return
            except httpx.TransportError:
                time.sleep(0.05)
        if self._process is not None and self._process.poll() is None:
            self.kill()
        raise RuntimeError(f"the gateway did not start:\n{self.log_path.read_text()[-4000:]}")

    def _end(self, how: signal.Signals) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        try:
            if how is signal.SIGKILL:
                os.killpg(process.pid, how)
            else:
                process.send_signal(how)
            process.wait(timeout=40)
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait(timeout=5)
            assert process.stdout is not None
            process.stdout.close()


@dataclass
class Customer:
    """An account of a live gateway."""

    gateway: LiveGateway
    user_id: int
    key: str

    def at(self, gateway: LiveGateway) -> Self:
        """This account at another gateway, or over another connection, where it is known as well."""
        return replace(self, gateway=gateway)

    def call(self, method: str, path: str, body: Any = None, **headers: str) -> httpx.Response:
        """One request with this account's key."""
        return self.gateway.call(method, path, body, key=self.key, headers=headers)

    def chat(
        self, model: str, text: str = "Hello!", *, headers: dict[str, str] | None = None, **more: Any
    ) -> httpx.Response:
        """One plain chat completion."""
        body = {"model": model, "messages": [{"role": "user", "content": text}], **more}
        return self.gateway.call("POST", "/v1/chat/completions", body, key=self.key, headers=headers)

    def balance(self) -> dict[str, Any]:
        """GET /user/balance."""
        return self.call("GET", "/user/balance").json()

    def transactions(self, **query: Any) -> list[dict[str, Any]]:
        """The account's ledger, newest first."""
        wanted = "&".join(f"{name}={value}" for name, value in {"limit": 1000, **query}.items())
        return self.call("GET", f"/credits/transactions?{wanted}").json()["data"]


def fresh_home() -> Path:
    """A new empty directory for a gateway."""
    return Path(tempfile.mkdtemp(prefix="gatewayz-test-"))
