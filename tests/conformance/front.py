"""A gateway with every packaged profile switched on at its own address, whose calls end at the fake upstream.

The house runs in this process, because one thing is handed in: a transport that takes each call to the fake instead, where
the host that was called is the persona. Clients reach it by a real socket, and so does the fake.
"""

import asyncio
import socket
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlsplit

import uvicorn

from gatewayz.api.app import build_app
from gatewayz.infra.http1 import Http1Transport
from gatewayz.infra.http_client import Reply, Timeouts
from gatewayz.providers.profile import CHAT_PATHS, PLACEHOLDER, Profile
from gatewayz.settings import read_environment
from gatewayz.wiring.configuration import Configuration, load_configuration
from gatewayz.wiring.house import build_house
from gatewayz.wiring.prepare import prepare, secret_keys_of
from tests.fakes.handle import FakeUpstream
from tests.live import LiveGateway


class Redirected:
    """A `Transport` that calls the fake in everybody's place, and keeps the addresses that were meant."""

    def __init__(self, fake: FakeUpstream) -> None:
        self._fake = fake
        self._inner = Http1Transport()
        self.asked: list[str] = []

    async def post(self, url: str, headers: Mapping[str, str], body: bytes, timeouts: Timeouts) -> Reply:
        """See `Transport.post`."""
        self.asked.append(url)
        return await self._inner.post(self._at_fake(url), headers, body, timeouts)

    async def get(self, url: str, headers: Mapping[str, str], timeouts: Timeouts) -> Reply:
        """See `Transport.get`."""
        return await self._inner.get(self._at_fake(url), headers, timeouts)

    async def send(
        self, method: str, url: str, headers: Mapping[str, str], body: bytes | None, timeouts: Timeouts
    ) -> Reply:
        """See `Transport.send`."""
        self.asked.append(url)
        return await self._inner.send(method, self._at_fake(url), headers, body, timeouts)

    async def close(self) -> None:
        """See `Transport.close`."""
        await self._inner.close()

    def _at_fake(self, url: str) -> str:
        parts = urlsplit(url)
        return self._fake.url(parts.netloc, parts.path) + (f"?{parts.query}" if parts.query else "")


@dataclass
class Front(LiveGateway):
    """A live gateway in a thread of this process; see the module. `fake` plays all providers."""

    fake: FakeUpstream = field(kw_only=True)
    asked: list[str] = field(default_factory=list)
    _thread: threading.Thread | None = None
    _server: uvicorn.Server | None = None
    _ready: threading.Event = field(default_factory=threading.Event)
    _failed: BaseException | None = None

    def start(self) -> Self:
        """Starts the thread and waits until it answers. Raises what went wrong in it."""
        self.home.mkdir(parents=True, exist_ok=True)
        config = self.home / "gatewayz.toml"
        config.write_text(self.config, encoding="utf-8")
        variables = {
            "APP_ENV": "test",
            "GATEWAYZ_HOME": str(self.home),
            "GATEWAYZ_CONFIG": str(config),
            "GATEWAYZ_BOOTSTRAP_ADMIN_KEY": self.admin_key,
            **self.env,
        }
        configuration = load_configuration(read_environment(variables))
        self._thread = threading.Thread(target=self._run, args=(configuration,), name="front", daemon=True)
        self._thread.start()
        self._ready.wait()
        try:
            if self._failed is not None:
                raise self._failed
            self._wait_until_up()
        except BaseException:
            self.stop()
            raise
        return self

    def chats(self) -> list[dict[str, Any]]:
        """The journal of the fake without lists of models and access tokens, which the house asks for in between."""
        asked = [entry for entry in self.fake.journal() if entry["method"] == "POST"]
        return [entry for entry in asked if "claims" not in entry]

    def stop(self) -> None:
        """Asks the thread to end and waits for it. May be called twice."""
        thread, self._thread = self._thread, None
        if thread is not None:
            if self._server is not None:
                self._server.should_exit = True
            thread.join()

    def _run(self, configuration: Configuration) -> None:
        try:
            asyncio.run(self._serve(configuration))
        except BaseException as error:  # told to the thread that waits
            self._failed = error
        finally:
            self._ready.set()

    async def _serve(self, configuration: Configuration) -> None:
        transport = Redirected(self.fake)
        self.asked = transport.asked
        await prepare(configuration)
        house = build_house(configuration, secret_keys_of(configuration.environment), transport=transport)
        with socket.socket() as listener:
            listener.bind(("127.0.0.1", 0))
            listener.listen()  # from here on clients wait in its queue until the server answers them
            self.port = listener.getsockname()[1]
            try:
                await house.start()
                self._server = uvicorn.Server(
                    uvicorn.Config(build_app(house), lifespan="off", ws="none", access_log=False, log_level="critical")
                )
                self._ready.set()
                await self._server.serve(sockets=[listener])
            finally:
                await house.stop()

    def _wait_until_up(self) -> None:
        answer = self.call("GET", "/health/quick")
        if answer.status_code != 200:
            raise RuntimeError(answer.text)


def native_of(profile: Profile) -> str:
    """A name of a model that this provider may have."""
    if profile.slug == "fireworks":
        return "accounts/fireworks/models/native-fireworks"  # the catalog completes its names
    if profile.slug == "google-vertex-anthropic":
        return "claude-native"  # its profile speaks of no others
    if profile.dialect == "bedrock":
        return "anthropic.claude-native-4-5"
    return "gemini-3.1-pro-preview" if profile.dialect == "gemini" else f"native-{profile.slug}"


def signed_for(profile: Profile) -> bool:
    """Whether a service account is the only way to use the profile."""
    return profile.account is not None and not profile.env


def switched_on(profile: Profile) -> dict[str, str]:
    """The variables that switch a profile on at its own address; a service account's are the caller's to add."""
    filled = {names[0]: filling(placeholder) for placeholder, names in profile.variables.items()}
    moved = {profile.base_url_env[0]: profile.base_url} if not profile.needs_key else {}
    key = {} if signed_for(profile) else {profile.env[0]: key_of(profile)}
    return {**key, **filled, **moved}


def key_of(profile: Profile) -> str:
    """The credential of a profile in this house."""
    return f"key-of-{profile.slug}"


def filling(placeholder: str) -> str:
    """What stands in an address in the place of `{placeholder}`."""
    return f"acme-{placeholder.replace('_', '-')}"


def address(profile: Profile, *, stream: bool) -> str:
    """Where a chat must be sent, by the words of the profile."""
    base = PLACEHOLDER.sub(lambda found: filling(found[1]), profile.base_url)
    path = profile.chat_path
    if signed_for(profile) and profile.account is not None:
        path = profile.account.path.replace("{project}", "acme").replace("{location}", profile.account.default_location)
    path = path.replace("{model}", native_of(profile))
    assert profile.dialect in CHAT_PATHS
    if stream:
        path = path.replace(":rawPredict", ":streamRawPredict")
    if profile.dialect == "bedrock" and stream:
        path += "-stream"
    if profile.dialect == "gemini" and stream:
        path = path.replace(":generateContent", ":streamGenerateContent") + "?alt=sse"
    return base + path


def fresh_front(home: Path, fake: FakeUpstream, config: str, env: Mapping[str, str]) -> Front:
    """A front that is not started yet."""
    return Front(home, config, dict(env), fake=fake)
