"""Asking after a job until its provider has done it, and giving it up there when nobody waits any more.

A job costs money from the moment at which it was accepted. So it is submitted once and never repeated here; and whoever
stops waiting for it, because the client has left or the time is over, has it cancelled at the provider, also where the
answer to the submission was still on its way.
"""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import structlog

from gatewayz.dialects.jobs import Job, JobDialect
from gatewayz.infra.http_client import Broken, Reply, Timeouts, Transport, TransportError
from gatewayz.providers.retry_after import retry_after_s

log = structlog.get_logger(__name__)

Sleep = Callable[[float], Awaitable[None]]

# Quick models are done within a second; of slow ones nobody notices a few seconds more, and providers count questions.
FIRST_PAUSE_S = 0.5
LONGEST_PAUSE_S = 5.0
_GROWTH = 1.5
# So often in a row a question may fail before the job is given up: it goes on, whatever happens to a question.
_MOST_FAILURES = 4
_TRANSIENT = frozenset({429, 502, 503, 504})
_ASK = Timeouts(connect_s=5.0, idle_s=20.0)
_CANCEL = Timeouts(connect_s=5.0, idle_s=5.0)
# How long the answer to a submission is waited for whose client has left: without it nothing can be cancelled.
_LATE_ANSWER_S = 30.0
_CANCEL_TRIES = 2
_FAREWELL_S = 5.0


@dataclass(slots=True)
class Finished:
    """The `Reply` of a provider whose job has ended; 200 for each status that means success."""

    status: int
    headers: Mapping[str, str]
    body: bytes = field(repr=False)

    async def read(self) -> bytes:
        """See `Reply.read`."""
        return self.body

    async def next_chunk(self) -> bytes:
        """See `Reply.next_chunk`: plain answers are read whole."""
        raise Broken("a job has no stream")

    def close(self) -> None:
        """See `Reply.close`."""


class Jobs:
    """The jobs of this process at all providers."""

    def __init__(self, transport: Transport, timeouts: Timeouts, sleep: Sleep = asyncio.sleep) -> None:
        """`timeouts` are those of a submission; its `first_s` is the longest that anybody waits for a job.

        `sleep` is what passes between two questions.
        """
        self._sleep = sleep
        self._transport = transport
        self._timeouts = timeouts
        self._farewells: set[asyncio.Task[None]] = set()

    async def finished(
        self, dialect: JobDialect, url: str, headers: Mapping[str, str], body: bytes, request_id: str
    ) -> Reply:
        """The answer to a request whose job has ended, or the error in its place. Raises TransportError.

        Cancelled, it cancels the job.
        """
        longest_s = max(self._timeouts.first_s, self._timeouts.idle_s)
        asking = {**headers, **dialect.submit_headers(longest_s)}
        submission = asyncio.create_task(self._submit(url, asking, body))
        try:
            # Who leaves must not take the answer along: it names the job that is to be cancelled.
            answer = await asyncio.shield(submission)
        except asyncio.CancelledError:
            self._say(self._cancel_late(dialect, url, headers, submission, request_id))
            raise
        job = _step(dialect, answer, url, None)
        if job is None:
            return answer
        log.info("job_accepted", request_id=request_id, host=urlsplit(url).hostname)
        try:
            _check_own(url, job)
            return await self._follow(dialect, url, headers, job)
        except BaseException:
            self._say(self._cancel(url, headers, job, request_id))
            raise

    async def close(self) -> None:
        """Waits a moment for what is still to be cancelled. May be called twice."""
        if self._farewells:
            await asyncio.wait(self._farewells, timeout=_FAREWELL_S)
        for task in self._farewells:
            task.cancel()

    async def _submit(self, url: str, headers: Mapping[str, str], body: bytes) -> Finished:
        reply = await self._transport.send("POST", url, headers, body, self._timeouts)
        return await _whole(reply)

    async def _follow(self, dialect: JobDialect, url: str, headers: Mapping[str, str], job: Job) -> Reply:
        """The last answer about a job. Raises TransportError when it cannot be had."""
        pause_s, failures = FIRST_PAUSE_S, 0
        while True:
            if not job.ended or failures:
                await self._sleep(pause_s)
                pause_s = min(pause_s * _GROWTH, LONGEST_PAUSE_S)
            try:
                answer = await _whole(await self._transport.get(job.ask, headers, _ASK))
            except TransportError:
                failures += 1
                if failures == _MOST_FAILURES:
                    raise
                continue
            if answer.status in _TRANSIENT or (answer.status == 500 and not job.ended):
                failures += 1
                if failures == _MOST_FAILURES:
                    return self._given_up(answer, job)
                pause_s = max(pause_s, min(retry_after_s(answer.headers) or 0.0, 4 * LONGEST_PAUSE_S))
                continue
            failures = 0
            if job.ended or answer.status != 200:
                return self._given_up(answer, job)
            further = _step(dialect, answer, url, job)
            if further is None:
                return answer
            if further is not job:
                job = further
                _check_own(url, job)

    @staticmethod
    def _given_up(answer: Finished, job: Job) -> Finished:
        """The answer, if the job has ended; else it may go on at the provider. Raises TransportError then."""
        if not job.ended:
            raise Broken(f"the job could not be asked about: status {answer.status}")
        return answer

    async def _cancel_late(
        self,
        dialect: JobDialect,
        url: str,
        headers: Mapping[str, str],
        submission: "asyncio.Task[Finished]",
        request_id: str,
    ) -> None:
        """Cancels a job whose submission was not answered yet when everybody had left."""
        try:
            async with asyncio.timeout(_LATE_ANSWER_S):
                answer = await submission
            job = _step(dialect, answer, url, None)
        except (TransportError, TimeoutError):
            log.warning("job_left_behind", request_id=request_id, host=urlsplit(url).hostname)
            return
        if job is not None:
            await self._cancel(url, headers, job, request_id)

    async def _cancel(self, url: str, headers: Mapping[str, str], job: Job, request_id: str) -> None:
        """Ends a job at its provider, as far as that can be done. Never raises TransportError."""
        if not job.cancel or job.ended or not _is_own(url, job.cancel):
            return
        for _ in range(_CANCEL_TRIES):
            try:
                reply = await self._transport.send(job.cancel_method, job.cancel, headers, b"", _CANCEL)
            except TransportError:
                continue
            reply.close()
            log.info("job_cancel_asked", request_id=request_id, host=urlsplit(url).hostname, status=reply.status)
            if reply.status < 500:
                return
        log.warning("job_left_behind", request_id=request_id, host=urlsplit(url).hostname)

    def _say(self, farewell: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(farewell)
        self._farewells.add(task)
        task.add_done_callback(self._farewells.discard)


async def _whole(reply: Reply) -> Finished:
    try:
        return Finished(200 if 200 <= reply.status < 300 else reply.status, reply.headers, await reply.read())
    finally:
        reply.close()


def _step(dialect: JobDialect, answer: Finished, url: str, job: Job | None) -> Job | None:
    """What an answer says of the job, None for errors. Raises Broken for what cannot be read."""
    if answer.status != 200:
        return None
    try:
        return dialect.step(answer.body, url, job)
    except ValueError as error:
        raise Broken(f"an answer about a job that cannot be read: {error}"[:200]) from error


def _check_own(url: str, job: Job) -> None:
    """Raises Broken if a job is said to be anywhere but where it was submitted: the key is for that host alone."""
    if not all(_is_own(url, address) for address in (job.ask, job.result, job.cancel) if address):
        raise Broken("a job at another host than the provider's own")


def _is_own(url: str, address: str) -> bool:
    try:
        ours, theirs = urlsplit(url), urlsplit(address)
        same = (ours.scheme, ours.hostname, _port(ours)) == (theirs.scheme, theirs.hostname, _port(theirs))
    except ValueError:
        return False
    return same and "@" not in theirs.netloc and address.isprintable() and " " not in address and "\\" not in address


def _port(parts: Any) -> int:
    return parts.port or (443 if parts.scheme == "https" else 80)
