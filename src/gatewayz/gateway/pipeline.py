"""The life of one request: one function of named steps, each step one call.

Steps of the design that have nothing behind them yet (stored prompts, guardrails, response caches) are not here; each
appears when its room does.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import structlog

from gatewayz.billing.cashier import Cashier
from gatewayz.catalog.keeper import CatalogKeeper
from gatewayz.catalog.resolve import pin, resolve
from gatewayz.catalog.snapshot import Resolved
from gatewayz.core.errors import GatewayError, InternalError, InvalidRequest
from gatewayz.core.services import CHATS, KIND_OF
from gatewayz.dialects.base import Glance, TokenCounter, Voice
from gatewayz.dialects.media import MediaDialect
from gatewayz.gateway.attempts import Answer, Attempts, GaveUp, OpenStream, deadline_error
from gatewayz.gateway.budget import Budget
from gatewayz.gateway.counting import counted
from gatewayz.gateway.entry import Doorkeeper, key_needed, no_key
from gatewayz.gateway.keeping import Keeping
from gatewayz.gateway.meter import final_usage, unfinished_usage
from gatewayz.gateway.planning import Planner
from gatewayz.gateway.ports import Call, Responder
from gatewayz.gateway.quote import cap_output, ceiling_of
from gatewayz.gateway.relay import Copy, Ending, Relayed, relay
from gatewayz.gateway.replay import MAX_STORED_BYTES, Replays
from gatewayz.gateway.settlement import Settlement
from gatewayz.gateway.staying import Staying
from gatewayz.gateway.telling import error_headers, plain_headers, replay_headers, stream_headers
from gatewayz.gateway.trip import CLIENT_CLOSED, Trip
from gatewayz.gateway.understanding import understood
from gatewayz.infra.alarms import Alarms
from gatewayz.infra.clock import US_PER_S, Clock
from gatewayz.providers.client import Upstreams
from gatewayz.providers.failures import Failure, FailureKind
from gatewayz.providers.registry import Providers
from gatewayz.routing.alternatives import alternatives
from gatewayz.routing.breaker_state import BreakerState
from gatewayz.routing.breakers import Breakers
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
    cashier: Cashier
    upstreams: Upstreams
    alarms: Alarms
    observe: Callable[[Trip, int, str | None], None]


class Gateway:
    """Serves calls. One per process; `serve` runs once per request, many at the same time."""

    def __init__(self, rooms: Rooms) -> None:
        self._rooms = rooms
        self._now = rooms.clock.monotonic_s
        self._settlement = Settlement(rooms.cashier)
        self._planner = Planner(rooms.catalog, rooms.providers, rooms.known_slugs, self._is_paused)
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
        trip = Trip(call, self._rooms.clock.now_us())
        self.in_flight += 1
        try:
            body = await self._count(trip, counter)
        except GatewayError as error:
            await self._tell(trip, out, error)
        except Exception:  # as in `serve`
            log.exception("unexpected_failure", request_id=call.request_id)
            await self._tell(trip, out, InternalError("Something went wrong here. Try again."))
        else:
            await out.answer(200, plain_headers(trip, None), body)
        finally:
            self.in_flight -= 1

    async def _count(self, trip: Trip, counter: TokenCounter) -> bytes:
        rooms, call = self._rooms, trip.call
        caller = await rooms.doorkeeper.identify(trip)
        glance = counter.glance(call.body)
        if caller is None:
            raise no_key(glance.model[:200])
        found = self._resolve(trip, glance)
        await rooms.doorkeeper.permit(trip, found)
        first = self._planner.plan(found, glance, trip.call.dialect.service).candidates[0]
        target = self._planner.target(first, found)
        return await counted(
            rooms.upstreams, call, counter, glance, first, target, rooms.settings.first_token_timeout_s
        )

    @staticmethod
    async def _tell(trip: Trip, out: Responder, error: GatewayError) -> None:
        await out.answer(
            error.status, error_headers(trip, error), trip.call.dialect.render_error(error, trip.call.request_id)
        )

    async def _travel(self, trip: Trip, out: Responder) -> None:
        rooms, call = self._rooms, trip.call
        caller = await rooms.doorkeeper.identify(trip)
        trip.mark(b"auth", self._now())
        dialect = call.dialect
        if isinstance(dialect, MediaDialect):
            if caller is None:
                raise key_needed(call.endpoint)
            glance = trip.glance = await understood(dialect, call, round(rooms.settings.audio_limit_mb * 1_000_000))
        else:
            glance = trip.glance = dialect.glance(call.body)
        stored = await rooms.replays.claim(trip)
        if stored is not None:
            await out.answer(200, replay_headers(trip, stored.content_type), stored.body)
            rooms.observe(trip, 200, None)
            return
        if glance.framing is not None:
            await rooms.keeping.prepare(trip, glance, glance.framing)
        found = self._resolve(trip, glance)
        await rooms.doorkeeper.permit(trip, found)
        if caller is None:
            cap_output(glance, rooms.settings.anonymous_max_tokens)
        route = self._planner.plan(found, glance, dialect.service)
        if dialect.service in CHATS:
            route = rooms.staying.ordered(trip, glance, route)
        trip.mark(b"plan", self._now())
        if caller is not None:
            amount = ceiling_of(route, glance, found.model)
            trip.hold = await rooms.cashier.hold(caller, trip.ledger_id, amount)
        trip.mark(b"hold", self._now())
        attempts = self._attempts(trip, out, glance, found)
        try:
            outcome = await attempts.first_success(route, lambda: self._alternatives(found))
        finally:
            trip.attempts = attempts.trail
        trip.served_by = outcome.candidate
        trip.first_token_s = self._now()
        trip.mark(b"upstream", trip.first_token_s)
        if isinstance(outcome, Answer):
            await self._answer(trip, out, glance, outcome)
        else:
            await self._stream(trip, out, glance, outcome, attempts.deadline_s)

    def _resolve(self, trip: Trip, glance: Glance) -> Resolved:
        catalog = self._rooms.catalog.current
        try:
            found = resolve(catalog, glance.model, kind=KIND_OF[trip.call.dialect.service])
        except GatewayError:
            if trip.caller is None:
                raise no_key(glance.model[:200]) from None
            raise
        trip.model_id = found.model.id
        if found.redirected_from:
            log.info("model_redirected", asked_for=found.redirected_from, model=found.model.id)
        wanted = _pin_of(glance)
        return pin(catalog, found, wanted, glance.model) if wanted else found

    def _attempts(self, trip: Trip, out: Responder, glance: Glance, found: Resolved) -> Attempts:
        rooms = self._rooms
        loop = asyncio.get_running_loop()
        created = trip.started_at_us // US_PER_S
        form = glance.counted.form if glance.counted is not None else ""
        voice = Voice(
            found.model.id, trip.call.request_id, created, glance.include_usage, framing=glance.framing, form=form
        )
        return Attempts(
            upstreams=rooms.upstreams,
            breakers=rooms.breakers,
            settings=rooms.settings,
            call=trip.call,
            glance=glance,
            voice=voice,
            target_of=partial(self._planner.target, found=found),
            price_of=self._settlement.price,
            deadline_s=loop.time() + rooms.settings.request_deadline_s,
            alarms=rooms.alarms,
            on_slow_start=lambda: _open_early(trip, out),
        )

    async def _answer(self, trip: Trip, out: Responder, glance: Glance, answer: Answer) -> None:
        facts = answer.facts
        trip.usage = final_usage(glance, facts.usage, facts.output_chars, answer.candidate.offer.price)
        trip.cost = self._settlement.price(answer.candidate, trip.usage)
        trip.finish, trip.upstream_id = facts.native_finish or facts.finish, facts.upstream_id
        self._rooms.staying.served(trip, trip.usage)
        trip.unknown_events, trip.unknown_excerpt = facts.unknown_events, facts.unknown_excerpt
        if answer.is_large:
            body = await asyncio.to_thread(answer.render, trip.usage, trip.cost)
        else:
            body = answer.render(trip.usage, trip.cost)
        stored = self._rooms.replays.stored(trip, answer.content_type, body)
        kept = self._rooms.keeping.kept(trip, body) if trip.kept_input is not None else None
        receipt = await self._settlement.charge(trip, 200, self._now(), stored, kept=kept)
        trip.mark(b"settle", self._now())
        low = receipt.balance_total if receipt is not None and receipt.low else None
        await out.answer(200, plain_headers(trip, low, answer.content_type), body)
        self._rooms.observe(trip, 200, None)

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
        trip.cost = self._settlement.price(opened.candidate, trip.usage)
        self._rooms.staying.served(trip, trip.usage)
        tail = opened.bridge.finish(trip.usage, trip.cost)
        whole = copy.whole(tail) if copy is not None else None
        stored = self._rooms.replays.stored(trip, opened.content_type, whole)
        kept = self._rooms.keeping.kept(trip, tail) if trip.kept_input is not None else None
        await self._settlement.charge(trip, 200, self._now(), stored, kept=kept)
        await out.send(tail, last=True)
        self._rooms.observe(trip, 200, None)

    async def _charge_partial(
        self, trip: Trip, glance: Glance, opened: OpenStream, done: Relayed, status: int, code: str
    ) -> None:
        if glance.counted is not None:
            opened.bridge.close()  # measures what came until here
        trip.usage = unfinished_usage(glance, done.facts.usage, done.facts.output_chars, opened.candidate.offer.price)
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
            framing = trip.glance.framing if trip.glance else None
            created = trip.started_at_us // US_PER_S
            voice = Voice(trip.model_id or trip.asked_for, request_id, created, False, framing)
            await out.send(dialect.writer(voice, lambda _usage: 0).fail(told, request_id), last=True)
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


def _pin_of(glance: Glance) -> str | None:
    """The provider that the request's own `provider` member pins; None without one. Raises InvalidRequest."""
    wanted = glance.provider
    if wanted is None:
        return None
    if isinstance(wanted, str) and wanted.strip():
        return wanted.strip().lower()
    raise InvalidRequest(
        '`provider` must be the slug of a provider, e.g. "openrouter".', code="invalid_type", param="provider"
    )
