"""The facts of one request while it travels: filled in step by step, turned into one record at the end."""

from collections.abc import Callable
from typing import Any

import msgspec

from gatewayz.billing.cashier import Hold
from gatewayz.billing.ops import Claim
from gatewayz.catalog.snapshot import Resolved
from gatewayz.core.caller import Caller
from gatewayz.core.usage import NOTHING, Usage
from gatewayz.dialects.base import Glance, Voice
from gatewayz.dialects.web_search import SearchWish
from gatewayz.gateway.asked import NOTHING as NOTHING_ASKED
from gatewayz.gateway.asked import Asked
from gatewayz.gateway.ceilings import Ceiling
from gatewayz.gateway.ports import Call, HeaderPairs
from gatewayz.infra.clock import US_PER_S
from gatewayz.operations.records import RequestRecord
from gatewayz.routing.plan import Candidate, Plan
from gatewayz.routing.preferences import Preferences
from gatewayz.routing.sticky import Decision

CLIENT_CLOSED = 499
# What the time of a request goes to, in turn; and the value of Server-Timing when so many of them have ended.
PHASES = (b"auth", b"plan", b"hold", b"upstream", b"settle")
_TIMINGS = tuple(b", ".join([name + b";dur=%.2f" for name in PHASES[:ended]]) for ended in range(len(PHASES) + 1))


class Course(msgspec.Struct, frozen=True):
    """A model that may answer, and the ways to it, ordered by what the caller prefers (None: nothing).

    `search` is what the caller wants of a search of the web, None if it asks for none. `dear` are those of the ways that may
    be the dearest, None where that was not worked out; `ceiling` is the most that any of them costs, None where that is not
    so simple.
    """

    found: Resolved
    route: Plan
    preferences: Preferences | None = None
    search: SearchWish | None = None
    dear: tuple[Candidate, ...] | None = None
    ceiling: Ceiling | None = None

    @property
    def ordered(self) -> bool:
        """True if the caller has said himself who comes first; then nothing else moves anybody there."""
        return self.preferences is not None and self.preferences.orders


class Trip(msgspec.Struct):
    """One request. Times are monotonic seconds unless named otherwise; money is nano-USD.

    `passed_over` are models that the caller would also take and nobody can serve, with the reason.
    """

    call: Call
    started_at_us: int
    caller: Caller | None = None
    glance: Glance | None = None
    claim: Claim | None = None
    ledger_id: str = ""
    model_id: str | None = None
    asked: Asked = NOTHING_ASKED
    courses: tuple[Course, ...] = ()
    passed_over: list[tuple[str, str]] = []
    hold: Hold | None = None
    limit_headers: HeaderPairs = []
    conversation: bytes | None = None  # its digest, where staying at a provider could pay
    sticking: Decision | None = None
    explored: str | None = None  # whose offer was tried first because too little is known of it
    served_by: Candidate | None = None
    attempts: list[str] = []
    # When each of `PHASES` ended, in turn; 0 or None before.
    identified_s: float = 0.0
    planned_s: float = 0.0
    held_s: float = 0.0
    first_token_s: float | None = None
    settled_s: float = 0.0
    usage: Usage = NOTHING
    finish: str | None = None
    upstream_id: str | None = None
    unknown_events: int = 0
    unknown_excerpt: str | None = None
    kept_input: bytes | None = None  # sealed: what an answer that is to be kept begins with
    cost: int = 0

    @property
    def stream(self) -> bool:
        """True if the client asked for a stream."""
        return self.glance is not None and self.glance.stream

    @property
    def explains(self) -> bool:
        """True if the caller wants to see what was decided, and there is something to see."""
        asked = self.call.explain or self.call.router_metadata
        return asked and self.caller is not None and bool(self.courses)

    def voice(self, itemised: Callable[[Usage], dict[str, Any]] | None = None) -> Voice:
        """How the client is answered; `itemised` as in `Voice`."""
        glance, seconds = self.glance, self.started_at_us // US_PER_S
        if glance is None:
            return Voice(self.model_id or "", self.call.request_id, seconds, False)
        return Voice(
            self.model_id or glance.model,
            self.call.request_id,
            seconds,
            glance.include_usage,
            glance.framing,
            "" if glance.counted is None else glance.counted.form,
            itemised,
        )

    @property
    def asked_for(self) -> str:
        """The model as the caller named it."""
        return self.glance.model if self.glance else ""

    def server_timing(self) -> bytes:
        """Value of the Server-Timing header: milliseconds per phase, in order, as far as they have ended."""
        auth, plan, hold, settle = self.identified_s, self.planned_s, self.held_s, self.settled_s
        began, upstream = self.call.received_s, self.first_token_s
        if upstream is None or not settle:
            ends_s = [end for end in (auth, plan, hold, upstream) if end]
            took_ms = [(end - begin) * 1000 for begin, end in zip((began, *ends_s), ends_s, strict=False)]
            return _TIMINGS[len(took_ms)] % tuple(took_ms)
        return _TIMINGS[-1] % (
            (auth - began) * 1000,
            (plan - auth) * 1000,
            (hold - plan) * 1000,
            (upstream - hold) * 1000,
            (settle - upstream) * 1000,
        )

    def record(self, status: int, error_code: str | None, now_s: float) -> RequestRecord:
        """The record of this request as it ends now."""
        caller, served, call, usage, glance = self.caller, self.served_by, self.call, self.usage, self.glance
        if caller is None:
            user_id = key_id = environment = None
        else:
            user_id, key_id, environment = caller.user_id, caller.key_id, caller.environment
        if served is None:
            provider = native_model = None
        else:
            provider, native_model = served.provider.slug, served.offer.native_id
        if glance is None:
            requested, stream, user_tag = "", False, None
        else:
            requested, stream, user_tag = glance.model[:200], glance.stream, glance.user
        received_s, first_token_s = call.received_s, self.first_token_s
        # In the order of a record's members: with their names, a record would take twice as long.
        return RequestRecord(
            self.started_at_us,
            user_id,
            key_id,
            call.request_id,
            call.endpoint,
            requested,
            self.model_id,
            provider,
            native_model,
            self.upstream_id,
            ",".join(self.attempts) or None,
            stream,
            status,
            error_code,
            self.finish,
            usage.prompt_tokens,
            usage.completion_tokens,
            usage.cached_tokens,
            usage.reasoning_tokens,
            usage.estimated,
            self.cost,
            round((now_s - received_s) * 1e6),
            None if first_token_s is None else round((first_token_s - received_s) * 1e6),
            environment,
            user_tag[:200] if user_tag else None,
            call.app.origin,
            call.app.title,
        )
