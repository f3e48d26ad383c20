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
from gatewayz.gateway.ports import Call, HeaderPairs
from gatewayz.infra.clock import US_PER_S
from gatewayz.operations.records import RequestRecord
from gatewayz.routing.plan import Candidate, Plan
from gatewayz.routing.preferences import Preferences
from gatewayz.routing.sticky import Decision

CLIENT_CLOSED = 499
# Server-Timing of so many phases.
_TIMINGS = tuple(b", ".join([b"%s;dur=%.2f"] * phases) for phases in range(9))


class Course(msgspec.Struct, frozen=True):
    """A model that may answer, and the ways to it, ordered by what the caller prefers (None: nothing).

    `search` is what the caller wants of a search of the web, None if it asks for none.
    """

    found: Resolved
    route: Plan
    preferences: Preferences | None = None
    search: SearchWish | None = None

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
    first_token_s: float | None = None
    usage: Usage = NOTHING
    finish: str | None = None
    upstream_id: str | None = None
    unknown_events: int = 0
    unknown_excerpt: str | None = None
    kept_input: bytes | None = None  # sealed: what an answer that is to be kept begins with
    cost: int = 0
    marked_s: float = 0.0  # when the last phase ended; at first, when the request was received
    phases: list[bytes | float] = []  # name and milliseconds of each, in turn

    def mark(self, phase: bytes, now_s: float) -> None:
        """Ends `phase` now, for Server-Timing."""
        self.phases += (phase, (now_s - self.marked_s) * 1000)
        self.marked_s = now_s

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
        seconds = self.started_at_us // US_PER_S
        model, glance = self.model_id or self.asked_for, self.glance
        if glance is None:
            return Voice(model, self.call.request_id, seconds, False)
        form = glance.counted.form if glance.counted is not None else ""
        return Voice(model, self.call.request_id, seconds, glance.include_usage, glance.framing, form, itemised)

    @property
    def asked_for(self) -> str:
        """The model as the caller named it."""
        return self.glance.model if self.glance else ""

    def server_timing(self) -> bytes:
        """Value of the Server-Timing header: milliseconds per phase, in order."""
        return _TIMINGS[len(self.phases) // 2] % tuple(self.phases)

    def record(self, status: int, error_code: str | None, now_s: float) -> RequestRecord:
        """The record of this request as it ends now."""
        caller, served, call, usage = self.caller, self.served_by, self.call, self.usage
        glance, first_token_s, app = self.glance, self.first_token_s, call.app
        return RequestRecord(
            created_at_us=self.started_at_us,
            user_id=caller.user_id if caller else None,
            api_key_id=caller.key_id if caller else None,
            request_id=call.request_id,
            endpoint=call.endpoint,
            requested_model=glance.model[:200] if glance else "",
            model=self.model_id,
            provider=served.provider.slug if served else None,
            native_model=served.offer.native_id if served else None,
            upstream_id=self.upstream_id,
            attempts=",".join(self.attempts) or None,
            stream=glance is not None and glance.stream,
            status=status,
            error_code=error_code,
            finish_reason=self.finish,
            prompt_tokens=usage.prompt_tokens,
            completion_tokens=usage.completion_tokens,
            cached_tokens=usage.cached_tokens,
            reasoning_tokens=usage.reasoning_tokens,
            usage_estimated=usage.estimated,
            cost_nano_usd=self.cost,
            latency_us=round((now_s - call.received_s) * 1e6),
            first_token_us=None if first_token_s is None else round((first_token_s - call.received_s) * 1e6),
            environment=caller.environment if caller else None,
            user_tag=glance.user[:200] if glance and glance.user else None,
            app_origin=app.origin,
            app_title=app.title,
        )
