"""Trying the candidates of a plan in order until one gives content.

One attempt ends in an `Answer` (plain), an `OpenStream` (first content seen), or a `Failure`. What a failure means is known
in `providers/failures.py`, what follows from it in `routing/failover.py`; here it is done. All attempts share the
request's deadline and hold; once the first content is on its way to the client nobody switches.
"""

import asyncio
import base64
import random
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import msgspec
import structlog
from msgspec import structs

from gatewayz.core.errors import GatewayError, InvalidRequest, TimedOut, Unavailable
from gatewayz.core.media import ImageAnswer
from gatewayz.core.usage import Usage
from gatewayz.dialects import PROVIDER_DIALECTS, bridge, shared
from gatewayz.dialects.base import AnswerFacts, Bridge, Dialect, Encoded, Glance, ProviderDialect, Target, Voice
from gatewayz.dialects.media import MediaDialect
from gatewayz.dialects.web_search import SearchWish, with_search
from gatewayz.gateway.ports import Call
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

PriceOf = Callable[[Candidate, Usage], int]
TargetOf = Callable[[Candidate], Target]
OnOpen = Callable[[], None]


class Answer(msgspec.Struct, frozen=True):
    """A plain answer with content: what it says, and how to give it to this client.

    `content` is its canonical form where it was translated.
    """

    candidate: Candidate
    facts: AnswerFacts
    render: Callable[[Usage, int], bytes]
    content: Any = None
    content_type: str = JSON
    is_large: bool = False


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


class Attempts(msgspec.Struct):
    """The attempts of one request. `trail` collects `provider:outcome` for the record."""

    upstreams: Upstreams
    breakers: Breakers
    settings: Settings
    call: Call
    glance: Glance
    voice: Voice
    target_of: TargetOf
    price_of: PriceOf
    deadline_s: float
    alarms: Alarms
    on_slow_start: Callable[[], None]
    search: SearchWish | None = None
    trail: list[str] = []
    _request: Any = None

    async def first_success(self, plan: Plan, alternatives: Callable[[], tuple[str, ...]]) -> Answer | OpenStream:
        """The first answer with content. Raises GaveUp; every breaker has been told what happened.

        `alternatives` names models to suggest instead; it is asked only when every candidate has failed.
        A stream that has no content after `commit_gate_s` gets its status line all the same: failover goes on, but a
        failure is then told inside the stream.
        """
        if not self.glance.stream or self.glance.counted is not None:
            return await self._through(plan, alternatives)
        begin_s = asyncio.get_running_loop().time() + self.settings.commit_gate_s
        gate = self.alarms.set(begin_s, self.on_slow_start)
        try:
            return await self._through(plan, alternatives)
        finally:
            self.alarms.clear(gate)

    async def _through(self, plan: Plan, alternatives: Callable[[], tuple[str, ...]]) -> Answer | OpenStream:
        last: Failure | None = None
        inexpressible: InvalidRequest | None = None
        tried: set[FailureKind] = set()
        called = 0
        for place, candidate in enumerate(plan.candidates):
            if called == self.settings.failover_attempts or (called and self._is_late()):
                break
            try:
                if self.glance.counted is not None and len(self.call.body) > OFF_LOOP_BYTES:
                    body = await asyncio.to_thread(self._body_for, candidate)
                else:
                    body = self._body_for(candidate)
            except InvalidRequest as error:
                inexpressible = inexpressible or error
                self.trail.append(f"{candidate.provider.slug}:cannot_express")
                continue
            permit = await self.breakers.borrow(candidate.provider.slug)
            if permit is None:
                self.trail.append(f"{candidate.provider.slug}:breaker_open")
                continue
            called += 1
            elsewhere = _is_followed_elsewhere(plan, place)
            retries = 0 if elsewhere else self.settings.rate_limit_retries
            outcome = await self._with_retries(candidate, body, permit, retries)
            if not isinstance(outcome, Failure):
                return outcome
            last = outcome
            tried.add(outcome.kind)
            step = RULES[outcome.kind].step
            if step is not Step.NEXT and not (step is Step.RETRY and elsewhere):
                break
        if last is None:
            raise GaveUp(inexpressible or _all_paused(self.glance.model), None)
        others = tried != {FailureKind.MODEL_GONE}
        raise GaveUp(final_error(last, self.glance.model, others, alternatives()), last)

    async def _with_retries(
        self, candidate: Candidate, body: bytes | Encoded, permit: Permit, retries: int
    ) -> Answer | OpenStream | Failure:
        """One candidate, again after a 429 up to `retries` times. The breaker is told on every way out but an open stream."""
        try:
            outcome = await self._again_while_busy(candidate, body, permit, retries)
        except BaseException:
            permit.neutral()
            raise
        if isinstance(outcome, Answer):
            permit.success()
        elif isinstance(outcome, Failure):
            if RULES[outcome.kind].breaker == "failure":
                permit.failure()
            else:
                permit.neutral()
        return outcome

    async def _again_while_busy(
        self, candidate: Candidate, body: bytes | Encoded, permit: Permit, retries: int
    ) -> Answer | OpenStream | Failure:
        slug = candidate.provider.slug
        retry = 0
        while True:
            outcome = await self._once(candidate, body, permit)
            if not isinstance(outcome, Failure):
                self.trail.append(f"{slug}:200")
                return outcome
            self.trail.append(f"{slug}:{outcome.status or outcome.kind.value}")
            log.info(
                "attempt_failed",
                request_id=self.call.request_id,
                provider=slug,
                location=candidate.provider.location,
                kind=outcome.kind.value,
                status=outcome.status,
                reason=outcome.reason,
            )
            if RULES[outcome.kind].step is not Step.RETRY or retry >= retries:
                return outcome
            pause_s = backoff_s(retry, outcome.retry_after_s, random.random())  # noqa: S311
            if asyncio.get_running_loop().time() + pause_s >= self.deadline_s:
                return outcome
            retry += 1
            await asyncio.sleep(pause_s)

    async def _once(self, candidate: Candidate, body: bytes | Encoded, permit: Permit) -> Answer | OpenStream | Failure:
        loop = asyncio.get_running_loop()
        settings, glance = self.settings, self.glance
        is_chat_stream = glance.stream and glance.counted is None
        wait_s = settings.first_token_timeout_s if is_chat_stream else settings.plain_wait_s
        until_s = min(loop.time() + wait_s, self.deadline_s)
        reply: Reply | None = None
        kept = False
        try:
            with self.alarms.until(until_s):
                reply = await self.upstreams.open(
                    candidate.provider,
                    candidate.way,
                    body,
                    stream=glance.stream,
                    request_id=self.call.request_id,
                    native_id=self.target_of(candidate).native_id,
                    extra_headers=self._extra_headers(candidate),
                    any_answer=glance.counted is not None,
                )
                if reply.status != 200:
                    return await self._refused(candidate, reply)
                if glance.counted is not None and (not glance.stream or _is_json(reply)):
                    return await self._piece(candidate, reply)
                if not glance.stream:
                    return self._plain(candidate, await reply.read())
                opened = await self._until_content(candidate, reply, permit)
                kept = isinstance(opened, OpenStream)
                return opened
        except TimeoutError:
            return Failure(FailureKind.TIMEOUT, reason="no first token in time")
        except TransportError as error:
            return classify(None, None, {}, error)
        finally:
            if reply is not None and not kept:
                reply.close()

    async def _refused(self, candidate: Candidate, reply: Reply) -> Failure:
        """The failure behind an error status; a body that does not come is done without."""
        body = b""
        try:
            async with asyncio.timeout(ERROR_BODY_WAIT_S):
                body = await reply.read()
        except (TimeoutError, TransportError):
            pass
        return classify(reply.status, _dialect(candidate).read_error(body), reply.headers, None)

    async def _piece(self, candidate: Candidate, reply: Reply) -> Answer | Failure:
        """A plain answer of a service beside chats: large perhaps, and perhaps a file."""
        body = await reply.read()
        is_large = len(body) > OFF_LOOP_BYTES
        found = await asyncio.to_thread(self._plain, candidate, body) if is_large else self._plain(candidate, body)
        client = self.call.dialect
        if not isinstance(found, Answer) or not isinstance(client, MediaDialect):
            return found
        if isinstance(found.content, ImageAnswer) and client.wants_bytes(self.glance):
            made = await self._with_bytes(found.content)
            found = structs.replace(
                found, render=lambda usage, cost: client.write_answer(made, self.voice, usage, cost)
            )
            is_large = True
        said = reply.headers.get("content-type", "")
        return structs.replace(found, content_type=client.answer_type(said, self.voice), is_large=is_large)

    def _plain(self, candidate: Candidate, body: bytes) -> Answer | Failure:
        client, theirs = self.call.dialect, _dialect(candidate)
        same = shared(client, theirs)
        try:
            if same is not None:
                content = None
                facts = same.glance_answer(body)
                render = _forwarded(same, body, self.voice, candidate, facts.usual)
            else:
                content, facts = theirs.read_answer(body, candidate.provider.slug)
                if isinstance(client, MediaDialect):
                    content = client.completed(content, self.glance)

                def render(usage: Usage, cost: int) -> bytes:
                    return client.write_answer(content, self.voice, usage, cost)
        except ValueError as error:
            told = theirs.read_error(body)
            if told.kind or told.code or told.status:
                return classify(told.status, told, {}, None)
            return Failure(FailureKind.MALFORMED, reason=f"unreadable answer: {error}"[:200])
        if facts.empty and facts.finish not in SILENT_FINISHES:
            return Failure(FailureKind.EMPTY, reason="answer without content")
        return Answer(candidate, facts, render, content)

    async def _with_bytes(self, answer: ImageAnswer) -> ImageAnswer:
        """The images as base64, those fetched of which only the address is known. Raises TransportError."""
        pictures = list(answer.images)
        for place, each in enumerate(pictures):
            if not each.data:
                data, kind = await self.upstreams.picture(each.url)
                text = (await asyncio.to_thread(base64.b64encode, data)).decode()
                pictures[place] = replace(each, data=text, url="", content_type=kind)
        return ImageAnswer(tuple(pictures), answer.usage)

    async def _until_content(self, candidate: Candidate, reply: Reply, permit: Permit) -> OpenStream | Failure:
        """Reads until the first content delta."""
        theirs = _dialect(candidate)
        target = self.target_of(candidate)
        relayed = bridge(self.call.dialect, theirs, self.voice, target, lambda usage: self.price_of(candidate, usage))
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
        client = self.call.dialect
        if self.glance.events or not isinstance(client, MediaDialect):
            return self.call.streams_as
        return client.answer_type(reply.headers.get("content-type", ""), self.voice)

    def _is_late(self) -> bool:
        """Whether the request's time is over: a provider that is called now could only be blamed for it."""
        return asyncio.get_running_loop().time() >= self.deadline_s

    def _body_for(self, candidate: Candidate) -> bytes | Encoded:
        """The request in the candidate's dialect. Raises InvalidRequest naming what cannot be said there."""
        theirs = _dialect(candidate)
        target = self.target_of(candidate)
        same = shared(self.call.dialect, theirs)
        if same is not None:
            self._note_dropped(candidate, same.dropped(self.glance, target))
            body = same.forward_request(self.glance, target)
            return body if self.search is None else self._asking(candidate, body, self.search)
        if self._request is None:
            self._request = self.call.dialect.read_request(self.glance)
        self._note_dropped(candidate, theirs.dropped(self._request, target))
        body = theirs.write_request(self._request, target)
        return body if self.search is None else self._asking(candidate, body, self.search)

    def _asking(self, candidate: Candidate, body: bytes | Encoded, wish: SearchWish) -> bytes | Encoded:
        """The body, with the search of the web that the caller asks for."""
        if candidate.search is None or isinstance(body, Encoded):
            raise RuntimeError("a candidate that does not search was planned")
        return with_search(body, candidate.search.form, wish, candidate.offer.native_id)

    def _note_dropped(self, candidate: Candidate, names: tuple[str, ...]) -> None:
        """Says in the log which parameters this provider will not receive; none of them changes the meaning."""
        if names:
            log.warning(
                "parameters_dropped",
                request_id=self.call.request_id,
                provider=candidate.provider.slug,
                names=list(names),
            )

    def _extra_headers(self, candidate: Candidate) -> Mapping[str, str]:
        return self.call.passthrough_headers if _dialect(candidate).name == self.call.dialect.name else {}


def _is_followed_elsewhere(plan: Plan, place: int) -> bool:
    """Whether the next candidate is the same provider at another location: a quota there has not been used up here."""
    after = plan.candidates[place + 1 : place + 2]
    return bool(after) and after[0].provider.slug == plan.candidates[place].provider.slug


def _is_json(reply: Reply) -> bool:
    """Whether a provider that was asked for a stream has answered at once."""
    return reply.headers.get("content-type", "").startswith(JSON)


def _dialect(candidate: Candidate) -> ProviderDialect:
    return PROVIDER_DIALECTS[candidate.way.dialect]


def _forwarded(
    dialect: Dialect, body: bytes, voice: Voice, candidate: Candidate, usual: bool
) -> Callable[[Usage, int], bytes]:
    def render(usage: Usage, cost: int) -> bytes:
        provider = candidate.provider
        return dialect.forward_answer(body, voice, usage, cost, provider.quirks, provider.slug, usual=usual)

    return render


def _all_paused(model: str) -> Unavailable:
    return Unavailable(
        f"Every provider of {model} is paused after repeated failures. Try again in a minute or choose another model.",
        headers={"Retry-After": "30"},
    )


def deadline_error(model: str) -> TimedOut:
    """What a client is told when the whole request took too long."""
    return TimedOut(f"{model} did not finish before the request's deadline.", code="request_deadline")
