"""The life of one request: one function of named steps, each step one call.

Steps of the design that have nothing behind them yet (stored prompts, guardrails, response caches) are not here; each
appears when its room does.
"""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass
from functools import partial
from typing import Any

import structlog

from gatewayz.billing.cashier import Cashier
from gatewayz.catalog.keeper import CatalogKeeper
from gatewayz.catalog.snapshot import Resolved
from gatewayz.core.errors import GatewayError, InternalError, PaymentRequired
from gatewayz.core.services import BY_TOKEN
from gatewayz.dialects import json_text
from gatewayz.dialects.base import Glance, TokenCounter
from gatewayz.dialects.explained import in_answer, in_stream
from gatewayz.dialects.media import MediaDialect
from gatewayz.gateway.asked import NOTHING, asked_of
from gatewayz.gateway.attempts import Answer, Attempts, GaveUp, Means, OpenStream, deadline_error
from gatewayz.gateway.budget import Budget
from gatewayz.gateway.counting import counted
from gatewayz.gateway.courses import Courses
from gatewayz.gateway.entry import Doorkeeper, key_needed, no_key
from gatewayz.gateway.explaining import estimate, revealed
from gatewayz.gateway.exploring import Exploring
from gatewayz.gateway.itemising import itemised
from gatewayz.gateway.keeping import Keeping
from gatewayz.gateway.levers import with_lever
from gatewayz.gateway.meter import final_usage, unfinished_usage, with_searches
from gatewayz.gateway.planning import Planner
from gatewayz.gateway.ports import Call, Responder
from gatewayz.gateway.quote import cap_output, dearest, target_for
from gatewayz.gateway.relay import Copy, Ending, Relayed, relay
from gatewayz.gateway.replay import MAX_STORED_BYTES, Replays
from gatewayz.gateway.settlement import Settlement
from gatewayz.gateway.staying import Staying
from gatewayz.gateway.telling import error_headers, plain_headers, replay_headers, stream_headers
from gatewayz.gateway.trip import CLIENT_CLOSED, Course, Trip
from gatewayz.gateway.understanding import understood
from gatewayz.infra.alarms import Alarms
from gatewayz.infra.clock import Clock
from gatewayz.operations.traffic import Usage as Records
from gatewayz.providers.client import Upstreams
from gatewayz.providers.failures import Failure, FailureKind
from gatewayz.providers.registry import Providers
from gatewayz.routing.alternatives import alternatives
from gatewayz.routing.breaker_state import BreakerState
from gatewayz.routing.breakers import Breakers
from gatewayz.routing.failover import another_model_may_help
from gatewayz.settings import Settings

log = structlog.get_logger(__name__)

# Failures of the caller's own making end without any ledger row; all others show a hold and its refund.
_CALLERS_FAULT = frozenset({FailureKind.CALLER, FailureKind.CONTEXT_LENGTH, FailureKind.CONTENT_POLICY})


@dataclass(frozen=True, slots=True)
class Rooms:
    """What the pipeline asks of the rooms below; joined in `wiring.py`."""

    settings: Settings
    clock: Clock
    doorkeeper: Doorkeeper
    replays: Replays
    keeping: Keeping
    catalog: CatalogKeeper
    providers: Callable[[], Providers]
    known_slugs: frozenset[str]
    breakers: Breakers
    staying: Staying
    exploring: Exploring
    cashier: Cashier
    upstreams: Upstreams
    alarms: Alarms
    records: Callable[[], Records]
    observe: Callable[[Trip, int, str | None], None]


class Gateway:
    """Serves calls. One per process; `serve` runs once per request, many at the same time."""

    def __init__(self, rooms: Rooms) -> None:
        self._rooms = rooms
        self._now = rooms.clock.monotonic_s
        self._settlement = Settlement(rooms.cashier)
        self._planner = Planner(
            rooms.catalog,
            rooms.providers,
            rooms.known_slugs,
            self._is_paused,
            rooms.records,
            rooms.breakers.troubled,
        )
        self._courses = Courses(rooms.catalog, self._planner, rooms.doorkeeper)
        self._means = Means(
            rooms.upstreams,
            rooms.breakers,
            rooms.settings,
            rooms.alarms,
            self._settlement.price,
            self._alternatives,
        )
        self.in_flight = 0

    async def serve(self, call: Call, out: Responder) -> None:
        """Answers the call, whatever happens; money and record are settled before this returns."""
        trip = Trip(call, self._rooms.clock.now_us())
        self.in_flight += 1
        try:
            await self._travel(trip, out)
        except GaveUp as gave_up:
            await self._refuse(trip, out, gave_up.error, gave_up.failure)
        except GatewayError as error:
            await self._refuse(trip, out, error)
        except asyncio.CancelledError:
            self._abandon(trip)
            if not out.gone:
                raise
        except Exception:  # the last line of defence: the client gets a clean 500, the log the trace
            log.exception("unexpected_failure", request_id=call.request_id)
            await self._refuse(trip, out, InternalError("Something went wrong here. Nothing was charged; try again."))
        finally:
            self.in_flight -= 1

    async def knows(self, credentials: tuple[str, ...]) -> bool:
        """Whether a large body of this caller is worth reading; a body that was not is empty, and `serve` says why."""
        return await self._rooms.doorkeeper.knows(credentials)

    async def count_tokens(self, call: Call, counter: TokenCounter, out: Responder) -> None:
        """Answers how many tokens a request has. For known callers; nothing is held, charged or recorded."""
        await self._inform(call, out, partial(self._count, counter=counter))

    async def estimate(self, call: Call, out: Responder) -> None:
        """Answers which way a request would go and what it would cost. For known callers; nothing is sent, held or charged."""
        await self._inform(call, out, self._estimate)

    async def _inform(self, call: Call, out: Responder, make: Callable[[Trip], Awaitable[bytes]]) -> None:
        trip = Trip(call, self._rooms.clock.now_us())
        self.in_flight += 1
        try:
            body = await make(trip)
        except GatewayError as error:
            await self._tell(trip, out, error)
        except Exception:  # as in `serve`
            log.exception("unexpected_failure", request_id=call.request_id)
            await self._tell(trip, out, InternalError("Something went wrong here. Try again."))
        else:
            await out.answer(200, plain_headers(trip, None), body)
        finally:
            self.in_flight -= 1

    async def _estimate(self, trip: Trip) -> bytes:
        caller = await self._rooms.doorkeeper.identify(trip)
        dialect, body = trip.call.dialect, trip.call.body
        glance = await self._look(trip) if isinstance(dialect, MediaDialect) else dialect.glance(body)
        trip.glance = glance
        if caller is None:
            raise no_key(glance.model[:200])
        if glance.framing is not None:
            await self._rooms.keeping.prepare(trip, glance, glance.framing)
        trip.asked = asked_of(glance)
        trip.courses = await self._courses.of(trip, glance, trip.asked)
        return json_text.dump(estimate(trip, glance, self._rooms.records()))

    async def _look(self, trip: Trip) -> Glance:
        """What the body of a service beside chats says. Raises Unauthenticated: strangers may not ask there at all."""
        call = trip.call
        assert isinstance(call.dialect, MediaDialect)
        if trip.caller is None:
            raise key_needed(call.endpoint)
        return await understood(call.dialect, call, round(self._rooms.settings.audio_limit_mb * 1_000_000))

    async def _count(self, trip: Trip, counter: TokenCounter) -> bytes:
        rooms, call = self._rooms, trip.call
        caller = await rooms.doorkeeper.identify(trip)
        glance = counter.glance(call.body)
        if caller is None:
            raise no_key(glance.model[:200])
        course = (await self._courses.of(trip, glance, asked_of(glance)))[0]
        first = course.route.candidates[0]
        target = target_for(first, course.found.model)
        return await counted(
            rooms.upstreams, call, counter, glance, first, target, rooms.settings.first_token_timeout_s
        )

    async def _tell(self, trip: Trip, out: Responder, error: GatewayError) -> None:
        body = self._explained(trip, trip.call.dialect.render_error(error, trip.call.request_id))
        await out.answer(error.status, error_headers(trip, error), body)

    async def _travel(self, trip: Trip, out: Responder) -> None:
        rooms, call, now = self._rooms, trip.call, self._now
        caller = await rooms.doorkeeper.identify(trip)
        trip.identified_s = now()
        dialect = call.dialect
        glance = await self._look(trip) if isinstance(dialect, MediaDialect) else dialect.glance(call.body)
        trip.glance = glance
        if caller is not None:
            trip.ledger_id = f"{caller.user_id}:{call.request_id}"
        if call.claimed_id is not None and await self._repeated(trip, out):
            return
        if glance.framing is not None:
            await rooms.keeping.prepare(trip, glance, glance.framing)
        trip.asked = asked_of(glance)
        courses: tuple[Course, ...]
        if trip.asked is NOTHING and caller is not None:
            courses = self._courses.usual(trip, glance, caller)
        else:
            courses = await self._courses.of(trip, glance, trip.asked)
        trip.courses = courses
        if caller is None:
            cap_output(glance, rooms.settings.anonymous_max_tokens)
        trip.planned_s = now()
        if caller is not None:
            try:
                trip.hold = await rooms.cashier.hold(caller, trip.ledger_id, dearest(courses, glance))
            except PaymentRequired as error:
                raise with_lever(error, dialect.service, dialect.name) from None
        trip.held_s = now()
        deadline_s = asyncio.get_running_loop().time() + rooms.settings.request_deadline_s
        if len(courses) == 1:
            outcome = await self._tried(trip, out, glance, courses[0], deadline_s)
        else:
            outcome = await self._first_of_several(trip, out, glance, deadline_s)
        trip.served_by = outcome.candidate
        trip.first_token_s = now()
        if isinstance(outcome, Answer):
            await self._answer(trip, out, glance, outcome)
        else:
            await self._stream(trip, out, glance, outcome, deadline_s)

    async def _repeated(self, trip: Trip, out: Responder) -> bool:
        """Claims the client's own request id; whether the answer was there, and has been given again."""
        stored = await self._rooms.replays.claim(trip)
        if stored is None:
            return False
        await out.answer(200, replay_headers(trip, stored.content_type), stored.body)
        self._rooms.observe(trip, 200, None)
        return True

    async def _first_of_several(
        self, trip: Trip, out: Responder, glance: Glance, deadline_s: float
    ) -> Answer | OpenStream:
        """The first answer with content, of the model or of those that may stand in for it. Raises GaveUp."""
        last = trip.courses[-1]
        for course in trip.courses:
            try:
                return await self._tried(trip, out, glance, course, deadline_s)
            except GaveUp as gave_up:
                if course is last or not _moves_on(gave_up, deadline_s):
                    raise
        raise InternalError("No model was tried.")

    def _tried(
        self, trip: Trip, out: Responder, glance: Glance, course: Course, deadline_s: float
    ) -> Coroutine[Any, Any, Answer | OpenStream]:
        """The first answer with content of one model. Raises GaveUp when awaited."""
        call, route = trip.call, course.route
        trip.model_id = course.found.model.id
        if course.preferences is not None and course.preferences.orders:
            route = self._rooms.exploring.ordered(trip, course)
        elif call.dialect.service in BY_TOKEN:
            route = self._rooms.staying.ordered(trip, glance, route)
        voice = trip.voice(itemised(trip, glance) if call.itemised or trip.asked.itemised else None)
        on_slow_start = partial(_open_early, trip, out) if glance.stream and glance.counted is None else None
        return Attempts(self._means, trip, glance, course, voice, deadline_s, on_slow_start).first_success(route)

    async def _answer(self, trip: Trip, out: Responder, glance: Glance, answer: Answer) -> None:
        facts, candidate = answer.facts, answer.candidate
        usage = final_usage(glance, facts.usage, facts.output_chars, candidate.offer.price)
        if candidate.search is not None:
            usage = with_searches(usage, candidate, trip.courses)
        trip.usage = usage
        trip.cost = cost = self._settlement.price(candidate, usage)
        trip.finish, trip.upstream_id = facts.native_finish or facts.finish, facts.upstream_id
        if trip.conversation is not None:
            self._rooms.staying.served(trip, usage)
        if facts.unknown_events:
            trip.unknown_events, trip.unknown_excerpt = facts.unknown_events, facts.unknown_excerpt
        if answer.is_large:
            body = await asyncio.to_thread(answer.render, usage, cost)
        else:
            body = answer.render(usage, cost)
        stored = self._rooms.replays.stored(trip, answer.content_type, body) if trip.claim is not None else None
        kept = self._rooms.keeping.kept(trip, body) if trip.kept_input is not None else None
        receipt = await self._settlement.charge(trip, 200, self._now(), stored, kept=kept)
        trip.settled_s = self._now()
        low = receipt.balance_total if receipt is not None and receipt.low else None
        if trip.call.explain or trip.call.router_metadata:
            body = self._explained(trip, body)
        await out.answer(200, plain_headers(trip, low, answer.content_type), body)
        self._rooms.observe(trip, 200, None)

    def _explained(self, trip: Trip, body: bytes) -> bytes:
        """The body of an answer with what was decided, if the caller may see it."""
        return in_answer(body, revealed(trip, self._rooms.records())) if trip.explains else body

    async def _stream(self, trip: Trip, out: Responder, glance: Glance, opened: OpenStream, deadline_s: float) -> None:
        try:
            low = trip.hold.balance_total if trip.hold and trip.hold.low else None
            await out.open(stream_headers(trip, low, opened.content_type))
        except asyncio.CancelledError:
            opened.permit.success()
            opened.reply.close()
            raise
        copy = Copy(MAX_STORED_BYTES) if trip.claim else None
        budget = self._budget(trip, glance, opened)
        try:
            done = await relay(opened, out, trip.asked_for, self._rooms.alarms.until(deadline_s), copy, budget)
        finally:
            if budget is not None:
                budget.close()
        trip.unknown_events, trip.unknown_excerpt = done.facts.unknown_events, done.facts.unknown_excerpt
        trip.finish, trip.upstream_id = done.facts.native_finish or done.facts.finish, done.facts.upstream_id
        match done.ending:
            case Ending.COMPLETE:
                await self._complete(trip, out, glance, opened, copy)
            case Ending.CLIENT_GONE:
                await self._charge_partial(trip, glance, opened, done, CLIENT_CLOSED, "client_closed")
            case Ending.UNPAID if done.error is not None:
                await self._charge_partial(trip, glance, opened, done, done.error.status, done.error.code)
                await _say_failed(out, opened, done.error, trip.call.request_id)
            case _:
                error = done.error or deadline_error(trip.asked_for)
                await self._settlement.refund(trip, error.status, error.code, self._now())
                await _say_failed(out, opened, error, trip.call.request_id)
                self._rooms.observe(trip, error.status, error.code)

    def _budget(self, trip: Trip, glance: Glance, opened: OpenStream) -> Budget | None:
        # What is counted beforehand cannot outgrow what was set aside.
        if trip.caller is None or trip.hold is None or trip.hold.ref.amount == 0 or glance.counted is not None:
            return None
        price = partial(self._settlement.price, opened.candidate)
        return Budget(self._rooms.cashier, trip.caller, trip.ledger_id, trip.hold, glance.prompt_tokens, price)

    async def _complete(
        self, trip: Trip, out: Responder, glance: Glance, opened: OpenStream, copy: Copy | None
    ) -> None:
        facts = opened.bridge.facts
        trip.usage = final_usage(glance, facts.usage, facts.output_chars, opened.candidate.offer.price)
        if opened.candidate.search is not None:
            trip.usage = with_searches(trip.usage, opened.candidate, trip.courses)
        trip.cost = self._settlement.price(opened.candidate, trip.usage)
        self._rooms.staying.served(trip, trip.usage)
        tail = opened.bridge.finish(trip.usage, trip.cost)
        whole = copy.whole(tail) if copy is not None else None
        stored = self._rooms.replays.stored(trip, opened.content_type, whole)
        kept = self._rooms.keeping.kept(trip, tail) if trip.kept_input is not None else None
        await self._settlement.charge(trip, 200, self._now(), stored, kept=kept)
        if trip.explains:
            members = revealed(trip, self._rooms.records())
            tail = in_stream(trip.call.dialect.name, tail, trip.voice(), trip.upstream_id, members)
        await out.send(tail, last=True)
        self._rooms.observe(trip, 200, None)

    async def _charge_partial(
        self, trip: Trip, glance: Glance, opened: OpenStream, done: Relayed, status: int, code: str
    ) -> None:
        if glance.counted is not None:
            opened.bridge.close()  # measures what came until here
        trip.usage = unfinished_usage(glance, done.facts.usage, done.facts.output_chars, opened.candidate.offer.price)
        trip.usage = with_searches(trip.usage, opened.candidate, trip.courses)
        self._rooms.staying.served(trip, trip.usage)
        trip.cost = self._settlement.price(opened.candidate, trip.usage)
        await self._settlement.charge(trip, status, self._now(), code=code)
        self._rooms.observe(trip, status, code)

    async def _refuse(self, trip: Trip, out: Responder, told: GatewayError, failure: Failure | None = None) -> None:
        """Ends a request that got no content: hold and claim first, then the error in the client's own words."""
        now_s = self._now()
        if failure is not None and failure.kind not in _CALLERS_FAULT:
            await self._settlement.refund(trip, told.status, told.code, now_s)
        else:
            self._settlement.nothing_owed(trip, told.status, told.code, now_s)
        dialect, request_id = trip.call.dialect, trip.call.request_id
        if out.started:
            await out.send(dialect.writer(trip.voice(), lambda _usage: 0).fail(told, request_id), last=True)
        else:
            await self._tell(trip, out, told)
        self._rooms.observe(trip, told.status, told.code)

    def _abandon(self, trip: Trip) -> None:
        """The client left before any content: nothing is owed, and nobody is there to be told."""
        self._settlement.nothing_owed(trip, CLIENT_CLOSED, "client_closed", self._now())
        self._rooms.observe(trip, CLIENT_CLOSED, "client_closed")

    def _alternatives(self, found: Resolved) -> tuple[str, ...]:
        """Models to suggest when nobody could serve this one."""
        rooms = self._rooms
        reach = rooms.providers().reach()
        usable = {slug for slug, kind in reach if kind == found.model.kind and not self._is_paused(slug)}
        tried = {offer.provider for offer in found.offers}
        return alternatives(found.model, rooms.catalog.current, usable, tried)

    def _is_paused(self, slug: str) -> bool:
        return self._rooms.breakers.state(slug) is BreakerState.OPEN


def _open_early(trip: Trip, out: Responder) -> None:
    """Sends the status line of a stream that is slow to start, so that no proxy on the way gives up."""
    task = asyncio.get_running_loop().create_task(out.open(stream_headers(trip, None, trip.call.streams_as)))
    _EARLY.add(task)
    task.add_done_callback(_EARLY.discard)


async def _say_failed(out: Responder, opened: OpenStream, error: GatewayError, request_id: str) -> None:
    """Ends a stream with the error in the client's words; a file, inside which nothing can be said, is cut off."""
    told = opened.bridge.fail(error, request_id)
    if told:
        await out.send(told, last=True)
    else:
        await out.cut()


_EARLY: set[asyncio.Task[None]] = set()


def _moves_on(gave_up: GaveUp, deadline_s: float) -> bool:
    """Whether the next model that may stand in is tried."""
    if asyncio.get_running_loop().time() >= deadline_s:
        return False
    return gave_up.failure is None or another_model_may_help(gave_up.failure.kind)
