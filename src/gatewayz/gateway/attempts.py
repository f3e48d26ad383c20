"""Trying the candidates of a plan in order until one gives content.

One attempt ends in an `Answer` (plain), an `OpenStream` (first content seen), or a `Failure`. What a failure means is known
in `providers/failures.py`, what follows from it in `routing/failover.py`; here it is done. All attempts share the
request's deadline and hold; once the first content is on its way to the client nobody switches.
"""

import asyncio
import base64
import random
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

import msgspec
import structlog
from msgspec import structs

from gatewayz.catalog.snapshot import Resolved
from gatewayz.core.errors import GatewayError, InvalidRequest, TimedOut, Unavailable
from gatewayz.core.media import ImageAnswer
from gatewayz.core.usage import Usage
from gatewayz.dialects import bridge
from gatewayz.dialects.base import AnswerFacts, Bridge, Encoded, Glance, Voice
from gatewayz.dialects.media import MediaDialect
from gatewayz.dialects.web_search import SearchWish, with_search
from gatewayz.gateway.speaking import Spoken, spoken
from gatewayz.gateway.trip import Course, Trip
from gatewayz.infra.alarms import Alarms
from gatewayz.infra.http_client import Reply, TransportError
from gatewayz.providers.client import Upstreams
from gatewayz.providers.failures import Failure, FailureKind, classify
from gatewayz.routing.breakers import Breakers, Permit
from gatewayz.routing.failover import RULES, Step, backoff_s, final_error
from gatewayz.routing.plan import Candidate, Plan
from gatewayz.settings import Settings

log = structlog.get_logger(__name__)

# An error body is read for the classifier only; more than this is never needed.
ERROR_BODY_WAIT_S = 5.0

# A model that thought up its whole token limit, or was filtered, has answered without a word; that is no fault.
SILENT_FINISHES = frozenset({"length", "content_filter", "pause"})

# What takes longer than a few milliseconds is done beside the event loop.
OFF_LOOP_BYTES = 256 * 1024
JSON = "application/json"
_NO_HEADERS: Mapping[str, str] = {}

PriceOf = Callable[[Candidate, Usage], int]


class Answer(msgspec.Struct, frozen=True):
    """A plain answer with content: what it says, and how this client is told.

    `body` are the provider's bytes where they are forwarded, else `content` is their canonical form.
    """

    candidate: Candidate
    facts: AnswerFacts
    client: Any  # the dialect that the client speaks: a `Dialect` where bytes are forwarded, else a `ClientDialect`
    voice: Voice
    body: bytes | None = None
    content: Any = None
    content_type: str = JSON
    is_large: bool = False

    def render(self, usage: Usage, cost_nano_usd: int) -> bytes:
        """The answer for the client, with what it is charged."""
        if self.body is None:
            rendered: bytes = self.client.write_answer(self.content, self.voice, usage, cost_nano_usd)
        else:
            provider, usual = self.candidate.provider, self.facts.usual
            rendered = self.client.forward_answer(
                self.body, self.voice, usage, cost_nano_usd, provider.quirks, provider.slug, usual=usual
            )
        return rendered


class OpenStream(msgspec.Struct):
    """A stream whose first content has been seen; `first` are client bytes that wait to be sent."""

    candidate: Candidate
    reply: Reply
    bridge: Bridge
    first: bytes
    permit: Permit
    content_type: str
    sending: bool = False  # waiting for the client to take bytes, not for the provider to give some


class GaveUp(Exception):
    """Every candidate failed: `error` is what the client is told, `failure` the last one, None if nobody was asked."""

    def __init__(self, error: GatewayError, failure: Failure | None) -> None:
        super().__init__(error.message)
        self.error = error
        self.failure = failure


class Means(msgspec.Struct, frozen=True):
    """What the attempts of all requests work with. `alternatives` names models to suggest in place of one that failed."""

    upstreams: Upstreams
    breakers: Breakers
    settings: Settings
    alarms: Alarms
    price_of: PriceOf
    alternatives: Callable[[Resolved], tuple[str, ...]]


class Attempts(msgspec.Struct):
    """The attempts of one request for one model. The trip's `attempts` collect `provider:outcome` for the record.

    `on_slow_start` is called when a stream has no content after `commit_gate_s`; None for requests that are no streams of
    words.
    """

    means: Means
    trip: Trip
    glance: Glance
    course: Course
    voice: Voice
    deadline_s: float
    on_slow_start: Callable[[], None] | None = None
    _request: Any = None

    def first_success(self, plan: Plan) -> Coroutine[Any, Any, Answer | OpenStream]:
        """The first answer with content. Raises GaveUp; every breaker has been told what happened.

        A stream that has no content after `commit_gate_s` gets its status line all the same: failover goes on, but a
        failure is then told inside the stream.
        """
        return self._through(plan) if self.on_slow_start is None else self._gated(plan, self.on_slow_start)

    async def _gated(self, plan: Plan, on_slow_start: Callable[[], None]) -> Answer | OpenStream:
        means = self.means
        begin_s = asyncio.get_running_loop().time() + means.settings.commit_gate_s
        gate = means.alarms.set(begin_s, on_slow_start)
        try:
            return await self._through(plan)
        finally:
            means.alarms.clear(gate)

    async def _through(self, plan: Plan) -> Answer | OpenStream:
        trip, breakers = self.trip, self.means.breakers
        client, model = trip.call.dialect, self.course.found.model
        failures: list[Failure] = []
        inexpressible: InvalidRequest | None = None
        for place, candidate in enumerate(plan.candidates):
            if failures and (len(failures) == self.means.settings.failover_attempts or self._is_late()):
                break
            asked = candidate.spoken.get(client) or spoken(candidate, model, client, self.means.upstreams)
            try:
                if self.glance.counted is not None and len(trip.call.body) > OFF_LOOP_BYTES:
                    body = await asyncio.to_thread(self._body_for, asked)
                else:
                    body = self._body_for(asked)
            except InvalidRequest as error:
                inexpressible = inexpressible or error
                trip.attempts.append(f"{candidate.provider.slug}:cannot_express")
                continue
            slug = candidate.provider.slug
            permit = breakers.at_once(slug) or await breakers.borrow(slug)
            if permit is None:
                trip.attempts.append(f"{slug}:breaker_open")
                continue
            # The breaker is told on every way out but an open stream.
            try:
                outcome = await self._once(asked, body, permit)
                if isinstance(outcome, Failure):
                    outcome = await self._again_while_busy(outcome, asked, body, permit, plan, place)
            except BaseException:
                permit.neutral()
                raise
            if not isinstance(outcome, Failure):
                trip.attempts.append(asked.succeeded)
                if isinstance(outcome, Answer):
                    permit.success()
                return outcome
            rule = RULES[outcome.kind]
            if rule.breaker == "failure":
                permit.failure()
            else:
                permit.neutral()
            failures.append(outcome)
            if rule.step is not Step.NEXT and not (rule.step is Step.RETRY and _is_followed_elsewhere(plan, place)):
                break
        raise self._gave_up(failures, inexpressible)

    def _gave_up(self, failures: list[Failure], inexpressible: InvalidRequest | None) -> GaveUp:
        model = self.glance.model
        if not failures:
            return GaveUp(inexpressible or _all_paused(model), None)
        last = failures[-1]
        others = any(failure.kind is not FailureKind.MODEL_GONE for failure in failures)
        return GaveUp(final_error(last, model, others, self.means.alternatives(self.course.found)), last)

    async def _again_while_busy(
        self, first: Failure, asked: Spoken, body: bytes | Encoded, permit: Permit, plan: Plan, place: int
    ) -> Answer | OpenStream | Failure:
        """What comes of a failure at last, after more tries if it was a 429 and nobody else is the same provider."""
        retries = 0 if _is_followed_elsewhere(plan, place) else self.means.settings.rate_limit_retries
        outcome: Answer | OpenStream | Failure = first
        retry = 0
        while isinstance(outcome, Failure):
            self._note_failure(asked.candidate, outcome)
            if RULES[outcome.kind].step is not Step.RETRY or retry >= retries:
                break
            pause_s = backoff_s(retry, outcome.retry_after_s, random.random())  # noqa: S311
            if asyncio.get_running_loop().time() + pause_s >= self.deadline_s:
                break
            retry += 1
            await asyncio.sleep(pause_s)
            outcome = await self._once(asked, body, permit)
        return outcome

    def _note_failure(self, candidate: Candidate, failure: Failure) -> None:
        slug = candidate.provider.slug
        self.trip.attempts.append(f"{slug}:{failure.status or failure.kind.value}")
        log.info(
            "attempt_failed",
            request_id=self.trip.call.request_id,
            provider=slug,
            location=candidate.provider.location,
            kind=failure.kind.value,
            status=failure.status,
            reason=failure.reason,
        )

    async def _once(self, asked: Spoken, body: bytes | Encoded, permit: Permit) -> Answer | OpenStream | Failure:
        means, glance, call = self.means, self.glance, self.trip.call
        wait_s = means.settings.plain_wait_s if self.on_slow_start is None else means.settings.first_token_timeout_s
        access = asked.streamed if glance.stream else asked.plain
        headers = call.passthrough_headers if asked.same is not None else _NO_HEADERS
        reply: Reply | None = None
        kept = False
        try:
            with means.alarms.within(wait_s, self.deadline_s):
                reply = await means.upstreams.ask(access, body, call.request_id, headers)
                if reply.status != 200:
                    return await self._refused(asked, reply)
                if glance.counted is not None and (not glance.stream or _is_json(reply)):
                    return await self._piece(asked, reply)
                if not glance.stream:
                    return self._plain(asked, await reply.read())
                opened = await self._until_content(asked, reply, permit)
                kept = isinstance(opened, OpenStream)
                return opened
        except TimeoutError:
            return Failure(FailureKind.TIMEOUT, reason="no first token in time")
        except TransportError as error:
            return classify(None, None, {}, error)
        finally:
            if reply is not None and not kept:
                reply.close()

    async def _refused(self, asked: Spoken, reply: Reply) -> Failure:
        """The failure behind an error status; a body that does not come is done without."""
        body = b""
        try:
            async with asyncio.timeout(ERROR_BODY_WAIT_S):
                body = await reply.read()
        except (TimeoutError, TransportError):
            pass
        return classify(reply.status, asked.theirs.read_error(body), reply.headers, None)

    async def _piece(self, asked: Spoken, reply: Reply) -> Answer | Failure:
        """A plain answer of a service beside chats: large perhaps, and perhaps a file."""
        body = await reply.read()
        is_large = len(body) > OFF_LOOP_BYTES
        found = await asyncio.to_thread(self._plain, asked, body) if is_large else self._plain(asked, body)
        client = self.trip.call.dialect
        if not isinstance(found, Answer) or not isinstance(client, MediaDialect):
            return found
        if isinstance(found.content, ImageAnswer) and client.wants_bytes(self.glance):
            found = structs.replace(found, content=await self._with_bytes(found.content))
            is_large = True
        said = reply.headers.get("content-type", "")
        return structs.replace(found, content_type=client.answer_type(said, self.voice), is_large=is_large)

    def _plain(self, asked: Spoken, body: bytes) -> Answer | Failure:
        candidate, theirs, same = asked.candidate, asked.theirs, asked.same
        try:
            if same is not None:
                answer = Answer(candidate, same.glance_answer(body), same, self.voice, body)
            else:
                client = self.trip.call.dialect
                content, facts = theirs.read_answer(body, candidate.provider.slug)
                if isinstance(client, MediaDialect):
                    content = client.completed(content, self.glance)
                answer = Answer(candidate, facts, client, self.voice, None, content)
        except ValueError as error:
            told = theirs.read_error(body)
            if told.kind or told.code or told.status:
                return classify(told.status, told, {}, None)
            return Failure(FailureKind.MALFORMED, reason=f"unreadable answer: {error}"[:200])
        if answer.facts.empty and answer.facts.finish not in SILENT_FINISHES:
            return Failure(FailureKind.EMPTY, reason="answer without content")
        return answer

    async def _with_bytes(self, answer: ImageAnswer) -> ImageAnswer:
        """The images as base64, those fetched of which only the address is known. Raises TransportError."""
        pictures = list(answer.images)
        for place, each in enumerate(pictures):
            if not each.data:
                data, kind = await self.means.upstreams.picture(each.url)
                text = (await asyncio.to_thread(base64.b64encode, data)).decode()
                pictures[place] = replace(each, data=text, url="", content_type=kind)
        return ImageAnswer(tuple(pictures), answer.usage)

    async def _until_content(self, asked: Spoken, reply: Reply, permit: Permit) -> OpenStream | Failure:
        """Reads until the first content delta."""
        candidate, target = asked.candidate, asked.target
        price = partial(self.means.price_of, candidate)
        relayed = bridge(self.trip.call.dialect, asked.theirs, self.voice, target, price)
        while True:
            chunk = await reply.next_chunk()
            first = relayed.feed(chunk) if chunk else relayed.close()
            facts = relayed.facts
            if facts.error is not None and not facts.started:
                return classify(facts.error.status, facts.error, reply.headers, None)
            if facts.started or (facts.ended and facts.finish in SILENT_FINISHES):
                return OpenStream(candidate, reply, relayed, first, permit, self._stream_type(reply))
            if not chunk or facts.ended:
                return Failure(FailureKind.EMPTY, reason="stream without content")

    def _stream_type(self, reply: Reply) -> str:
        client = self.trip.call.dialect
        if self.glance.events or not isinstance(client, MediaDialect):
            return self.trip.call.streams_as
        return client.answer_type(reply.headers.get("content-type", ""), self.voice)

    def _is_late(self) -> bool:
        """Whether the request's time is over: a provider that is called now could only be blamed for it."""
        return asyncio.get_running_loop().time() >= self.deadline_s

    def _body_for(self, asked: Spoken) -> bytes | Encoded:
        """The request in the candidate's dialect. Raises InvalidRequest naming what cannot be said there."""
        target, same = asked.target, asked.same
        if same is not None:
            if dropped := same.dropped(self.glance, target):
                self._note_dropped(asked.candidate, dropped)
            body = same.forward_request(self.glance, target)
        else:
            if self._request is None:
                self._request = self.trip.call.dialect.read_request(self.glance)
            if dropped := asked.theirs.dropped(self._request, target):
                self._note_dropped(asked.candidate, dropped)
            body = asked.theirs.write_request(self._request, target)
        return body if self.course.search is None else self._asking(asked.candidate, body, self.course.search)

    def _asking(self, candidate: Candidate, body: bytes | Encoded, wish: SearchWish) -> bytes | Encoded:
        """The body, with the search of the web that the caller asks for."""
        if candidate.search is None or isinstance(body, Encoded):
            raise RuntimeError("a candidate that does not search was planned")
        return with_search(body, candidate.search.form, wish, candidate.offer.native_id)

    def _note_dropped(self, candidate: Candidate, names: tuple[str, ...]) -> None:
        """Says in the log which parameters this provider will not receive; none of them changes the meaning."""
        log.warning(
            "parameters_dropped",
            request_id=self.trip.call.request_id,
            provider=candidate.provider.slug,
            names=list(names),
        )


def _is_followed_elsewhere(plan: Plan, place: int) -> bool:
    """Whether the next candidate is the same provider at another location: a quota there has not been used up here."""
    after = plan.candidates[place + 1 : place + 2]
    return bool(after) and after[0].provider.slug == plan.candidates[place].provider.slug


def _is_json(reply: Reply) -> bool:
    """Whether a provider that was asked for a stream has answered at once."""
    return reply.headers.get("content-type", "").startswith(JSON)


def _all_paused(model: str) -> Unavailable:
    return Unavailable(
        f"Every provider of {model} is paused after repeated failures. Try again in a minute or choose another model.",
        headers={"Retry-After": "30"},
    )


def deadline_error(model: str) -> TimedOut:
    """What a client is told when the whole request took too long."""
    return TimedOut(f"{model} did not finish before the request's deadline.", code="request_deadline")
