"""How a candidate is spoken to for clients of one dialect: worked out once, and kept for as long as the candidate is."""

import msgspec

from gatewayz.catalog.models import Model
from gatewayz.dialects import CLIENT_DIALECTS, OPENROUTER_DIALECTS, PROVIDER_DIALECTS, shared
from gatewayz.dialects.base import ClientDialect, Dialect, ProviderDialect, Target
from gatewayz.dialects.media import MediaDialect
from gatewayz.gateway.quote import target_for
from gatewayz.providers.client import Access, Upstreams
from gatewayz.routing.plan import Candidate

# Those that are made for a single request, of what its path says, are not worth remembering.
_LASTING: frozenset[ClientDialect] = frozenset((*CLIENT_DIALECTS.values(), *OPENROUTER_DIALECTS.values()))


class Spoken(msgspec.Struct, frozen=True):
    """A candidate, and how it is spoken to: its dialect, and the same as the client speaks it, if it does.

    `plain` and `streamed` are the access for an answer at once and for a stream, `succeeded` is what the record says of an
    answer from there.
    """

    candidate: Candidate
    target: Target
    theirs: ProviderDialect
    same: Dialect | None
    plain: Access
    streamed: Access
    succeeded: str


def spoken(candidate: Candidate, model: Model, client: ClientDialect, upstreams: Upstreams) -> Spoken:
    """How this candidate is spoken to about a model, for clients of this dialect."""
    known: Spoken | None = candidate.spoken.get(client)
    if known is None:
        known = _worked_out(candidate, model, client, upstreams)
        if client in _LASTING:
            candidate.spoken[client] = known
    return known


def _worked_out(candidate: Candidate, model: Model, client: ClientDialect, upstreams: Upstreams) -> Spoken:
    provider, way = candidate.provider, candidate.way
    theirs = PROVIDER_DIALECTS[way.dialect]
    target = target_for(candidate, model)
    any_answer = isinstance(client, MediaDialect)
    plain, streamed = (
        upstreams.access(provider, way, target.native_id, stream=stream, any_answer=any_answer)
        for stream in (False, True)
    )
    return Spoken(candidate, target, theirs, shared(client, theirs), plain, streamed, f"{provider.slug}:200")
