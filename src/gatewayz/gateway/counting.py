"""How many tokens has this request? Asked of the provider that would serve it, if it counts in this dialect; else estimated."""

import asyncio

import structlog

from gatewayz.dialects.anthropic.count_tokens import read_count, write_count, write_count_request
from gatewayz.dialects.base import Glance, Target
from gatewayz.gateway.ports import Call
from gatewayz.infra.http_client import TransportError
from gatewayz.providers.client import Upstreams
from gatewayz.routing.plan import Candidate

log = structlog.get_logger(__name__)


async def counted(
    upstreams: Upstreams, call: Call, glance: Glance, candidate: Candidate, target: Target, wait_s: float
) -> bytes:
    """The answer for the client. A counter that fails, or is silent for `wait_s`, is done without."""
    tokens = await _asked(upstreams, call, write_count_request(glance, target), candidate, wait_s)
    if tokens is None:
        return write_count(glance.prompt_tokens, estimated=True)
    return write_count(tokens, estimated=False)


async def _asked(upstreams: Upstreams, call: Call, body: bytes, candidate: Candidate, wait_s: float) -> int | None:
    reason = "no counter there"
    try:
        async with asyncio.timeout(wait_s):
            reply = await upstreams.count_tokens(
                candidate.provider, body, request_id=call.request_id, extra_headers=call.passthrough_headers
            )
            if reply is None:
                return None
            try:
                if reply.status == 200:
                    return read_count(await reply.read())
                reason = f"status {reply.status}"
            finally:
                reply.close()
    except (TransportError, TimeoutError, ValueError) as error:
        reason = type(error).__name__
    log.warning("tokens_not_counted", request_id=call.request_id, provider=candidate.provider.slug, reason=reason)
    return None
