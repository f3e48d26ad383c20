"""What is sent to a provider, and what of a client's headers goes along."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import pytest

from gatewayz.infra.http_client import Reply, Timeouts
from gatewayz.providers import ConfiguredProvider, Provider, Simulated, Upstreams, build_providers
from gatewayz.providers.registry import SIMULATED_PROVIDER

TIMEOUTS = Timeouts(1.0, 2.0)
SIM = Simulated(lambda: 0.0, pause_s=0)


@dataclass
class Recorder:
    """A transport that notes what it is asked to send."""

    posts: list[tuple[str, Mapping[str, str], bytes, Timeouts]] = field(default_factory=list)

    async def post(self, url: str, headers: Mapping[str, str], body: bytes, timeouts: Timeouts) -> Reply:
        self.posts.append((url, headers, body, timeouts))
        return SIM.answer(b"", stream=False, request_id="x")

    async def close(self) -> None:
        pass


def provider(dialect: str) -> Provider:
    wanted = ConfiguredProvider("acme", base_url="http://h", dialect=dialect, api_key="k")  # type: ignore[arg-type]
    (built,) = build_providers({}, {}, [wanted], simulated=False).all()
    return built


async def sent(dialect: str, *, stream: bool = False, extra: Mapping[str, str] | None = None) -> dict[str, str]:
    transport = Recorder()
    upstreams = Upstreams(transport, None, TIMEOUTS)
    at = provider(dialect)
    await upstreams.open(at, at.chat_way, b"{}", stream=stream, request_id="r-1", extra_headers=extra or {})
    ((_, headers, body, timeouts),) = transport.posts
    assert body == b"{}" and timeouts is TIMEOUTS
    return {name.lower(): value for name, value in headers.items()}


async def test_headers_of_an_openai_like_provider() -> None:
    assert await sent("openai") == {
        "content-type": "application/json",
        "authorization": "Bearer k",
        "accept": "application/json",
        "x-request-id": "r-1",
    }


async def test_headers_of_an_anthropic_like_provider() -> None:
    assert await sent("anthropic", stream=True) == {
        "content-type": "application/json", "x-api-key": "k", "anthropic-version": "2023-06-01",
        "accept": "text/event-stream, application/json", "x-request-id": "r-1",
    }  # fmt: skip


@pytest.mark.parametrize("dialect", ["openai", "anthropic"])
async def test_of_a_clients_headers_only_the_dialects_own_go_along(dialect: str) -> None:
    client = {
        "Anthropic-Beta": "context-1m", "anthropic-version": "2099-01-01", "Authorization": "Bearer gw_live_x",
        "X-Api-Key": "gw_live_x", "Cookie": "a=b", "X-Forwarded-For": "1.2.3.4", "X-Request-ID": "other",
    }  # fmt: skip
    headers = await sent(dialect, extra=client)
    expected = await sent(dialect)
    if dialect == "anthropic":
        expected["anthropic-beta"] = "context-1m"
    assert headers == expected


async def test_the_simulated_provider_is_answered_here() -> None:
    transport = Recorder()
    reply = await Upstreams(transport, SIM, TIMEOUTS).open(
        SIMULATED_PROVIDER, SIMULATED_PROVIDER.chat_way, b"", stream=False, request_id="r"
    )
    assert reply.status == 400 and transport.posts == []
