"""How many tokens has this request? Asked of the provider that would serve it, if it counts in this dialect; else estimated."""

import asyncio

import structlog

from gatewayz.dialects.base import Glance, Target, TokenCounter
from gatewayz.gateway.ports import Call
from gatewayz.infra.http_client import TransportError
from gatewayz.providers.client import Upstreams
from gatewayz.routing.plan import Candidate

log = structlog.get_logger(__name__)


async def counted(
    upstreams: Upstreams,
    call: Call,
    counter: TokenCounter,
    glance: Glance,
    candidate: Candidate,
    target: Target,
    wait_s: float,
) -> bytes:
    """The answer for the client. A counter that fails, or is silent for `wait_s`, is done without."""
    tokens = None
    if candidate.provider.dialect == call.dialect.name:
        body = counter.write_request(glance, target, candidate.provider.url)
        tokens = await _asked(upstreams, call, counter, body, candidate, target.native_id, wait_s)
    if tokens is None:
        return counter.write(glance.prompt_tokens, estimated=True)
    return counter.write(tokens, estimated=False)


async def _asked(
    upstreams: Upstreams,
    call: Call,
    counter: TokenCounter,
    body: bytes,
    candidate: Candidate,
    native_id: str,
    wait_s: float,
) -> int | None:
    reason = "no counter there"
    try:
        async with asyncio.timeout(wait_s):
            reply = await upstreams.count_tokens(
                candidate.provider,
                body,
                request_id=call.request_id,
                native_id=native_id,
                extra_headers=call.passthrough_headers,
            )
            if reply is None:
                return None
            try:
                if reply.status == 200:
                    return counter.read(await reply.read())
                reason = f"status {reply.status}"
            finally:
                reply.close()
    except (TransportError, TimeoutError, ValueError) as error:
        reason = type(error).__name__
    log.warning("tokens_not_counted", request_id=call.request_id, provider=candidate.provider.slug, reason=reason)
    return None
