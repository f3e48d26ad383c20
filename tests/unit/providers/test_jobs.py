"""Who asks about a job, how often, and when it is given up at its provider."""

import asyncio
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest

from gatewayz.dialects import JOB_DIALECTS
from gatewayz.dialects.base import Encoded
from gatewayz.infra.http_client import Broken, Reply, Timeouts, TransportTimeout
from gatewayz.providers import Upstreams
from gatewayz.providers.jobs import Finished, Jobs
from gatewayz.providers.pictures import fetched
from gatewayz.providers.profile import load_profiles
from gatewayz.providers.registry import build_providers

URL = "https://api.replicate.com/v1/predictions"
GET, CANCEL = f"{URL}/p1", f"{URL}/p1/cancel"
REPLICATE = JOB_DIALECTS["replicate_images"]
TIMEOUTS = Timeouts(1.0, 2.0, 30.0)


def prediction(status: str, **more: Any) -> bytes:
    return json.dumps({"id": "p1", "status": status, "urls": {"get": GET, "cancel": CANCEL}, **more}).encode()


@dataclass
class Provider:
    """A transport on which one provider answers in turn; an exception is raised, a future waited for."""

    answers: list[Any]
    asked: list[tuple[str, str]] = field(default_factory=list)
    headers: list[Mapping[str, str]] = field(default_factory=list)
    pauses: list[float] = field(default_factory=list)

    async def sleep(self, seconds: float) -> None:
        self.pauses.append(seconds)
        await asyncio.sleep(0)

    async def send(
        self, method: str, url: str, headers: Mapping[str, str], body: bytes | None, timeouts: Timeouts
    ) -> Reply:
        if url.endswith("/cancel"):
            self.asked.append((method, url))
            return Finished(200, {}, b"{}")
        return await self._next(method, url, headers)

    async def get(self, url: str, headers: Mapping[str, str], timeouts: Timeouts) -> Reply:
        return await self._next("GET", url, headers)

    async def post(self, url: str, headers: Mapping[str, str], body: bytes, timeouts: Timeouts) -> Reply:
        raise AssertionError("a post may be repeated")

    async def close(self) -> None:
        pass

    async def _next(self, method: str, url: str, headers: Mapping[str, str]) -> Reply:
        self.asked.append((method, url))
        self.headers.append(headers)
        found = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(found, asyncio.Future):
            found = await found
        if isinstance(found, Exception):
            raise found
        return found if isinstance(found, Finished) else Finished(200, {}, found)


def finished(provider: Provider) -> "asyncio.Task[Reply]":
    runner = Jobs(provider, TIMEOUTS, provider.sleep)
    task = asyncio.create_task(runner.finished(REPLICATE, URL, {"authorization": "Bearer k"}, b"{}", "r-1"))
    task.add_done_callback(lambda _: None)
    provider.runner = runner  # type: ignore[attr-defined]
    return task


async def ended(provider: Provider) -> list[str]:
    """What a provider was asked in the end, without addresses."""
    await provider.runner.close()  # type: ignore[attr-defined]
    return [f"{method} {url.rsplit('/', 1)[-1]}" for method, url in provider.asked]


async def test_an_answer_that_is_none_of_a_job_is_given_on() -> None:
    for answer in (prediction("succeeded", output="x"), Finished(422, {}, b'{"detail":"no"}')):
        provider = Provider([answer])
        reply = await finished(provider)
        assert reply.status == (422 if isinstance(answer, Finished) else 200)
        assert await ended(provider) == ["POST predictions"]


async def test_it_is_asked_until_it_is_done_and_the_submission_alone_has_its_headers() -> None:
    provider = Provider([prediction("starting"), prediction("processing"), prediction("succeeded", output="x")])
    assert json.loads(await (await finished(provider)).read())["output"] == "x"
    assert await ended(provider) == ["POST predictions", "GET p1", "GET p1"]
    assert [each.get("Cancel-After") for each in provider.headers] == ["30s", None, None]


async def test_pauses_grow_up_to_a_limit() -> None:
    provider = Provider([prediction("starting"), *[prediction("processing")] * 8, prediction("succeeded", output="x")])
    await finished(provider)
    assert provider.pauses[:3] == [0.5, 0.75, 1.125] and max(provider.pauses) == provider.pauses[-1] == 5.0


async def test_a_provider_that_wants_longer_pauses_gets_them() -> None:
    busy = Finished(429, {"retry-after": "9"}, b"{}")
    provider = Provider([prediction("starting"), busy, prediction("succeeded", output="x")])
    await finished(provider)
    assert provider.pauses == [0.5, 9.0]


@pytest.mark.parametrize(
    "trouble", [Broken("x"), TransportTimeout("x"), Finished(503, {}, b""), Finished(500, {}, b""), Finished(429, {}, b"")]
)  # fmt: skip
async def test_a_question_that_fails_is_asked_again_but_not_for_ever(trouble: Any) -> None:
    provider = Provider([prediction("starting"), trouble, trouble, trouble, prediction("succeeded", output="x")])
    assert (await finished(provider)).status == 200
    assert "POST cancel" not in await ended(provider)
    provider = Provider([prediction("starting"), trouble])
    with pytest.raises((Broken, TransportTimeout)):
        await finished(provider)
    assert await ended(provider) == ["POST predictions", *["GET p1"] * 4, "POST cancel"]


@pytest.mark.parametrize("answer", [Finished(404, {}, b"{}"), Finished(401, {}, b"{}"), b"no JSON", b"[]"])
async def test_a_job_that_cannot_be_asked_about_is_cancelled(answer: Any) -> None:
    provider = Provider([prediction("starting"), answer])
    with pytest.raises(Broken):
        await finished(provider)
    assert (await ended(provider))[-1] == "POST cancel"


async def test_who_leaves_while_it_is_made_cancels_it_once() -> None:
    provider = Provider([prediction("starting"), prediction("processing")])
    task = finished(provider)
    await asyncio.sleep(0.02)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert (await ended(provider)).count("POST cancel") == 1


async def test_who_leaves_before_it_has_a_name_cancels_it_when_it_has() -> None:
    answer: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
    provider = Provider([answer])
    task = finished(provider)
    await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    answer.set_result(prediction("starting"))
    assert await ended(provider) == ["POST predictions", "POST cancel"]


@pytest.mark.parametrize("answer", [Broken("x"), Finished(500, {}, b""), prediction("succeeded", output="x")])
async def test_who_leaves_before_a_submission_fails_has_nothing_to_cancel(answer: Any) -> None:
    told: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
    provider = Provider([told])
    task = finished(provider)
    await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    told.set_result(answer)
    assert await ended(provider) == ["POST predictions"]


async def test_a_submission_is_sent_once() -> None:
    provider = Provider([Broken("lost")])
    with pytest.raises(Broken):
        await finished(provider)
    assert await ended(provider) == ["POST predictions"]


@pytest.mark.parametrize(
    "place",
    [
        "https://evil.example/p1", "http://api.replicate.com/p1", "https://api.replicate.com:444/p1",
        "https://api.replicate.com@evil.example/p1", "https://api.replicate.com.evil.example/p1", "/p1",
        "https://api.replicate.com\\@evil.example/p1", "https://api.replicate.com/p1\r\nX: y",
    ],
)  # fmt: skip
async def test_the_key_goes_nowhere_but_to_the_providers_own_host(place: str) -> None:
    answer = json.dumps({"status": "starting", "urls": {"get": place, "cancel": f"{place}/cancel"}}).encode()
    provider = Provider([answer])
    with pytest.raises(Broken, match="another host"):
        await finished(provider)
    assert await ended(provider) == ["POST predictions"]


async def test_where_a_model_is_asked_for_an_image() -> None:
    env = {"FAL_KEY": "k", "DASHSCOPE_API_KEY": "k", "REPLICATE_API_TOKEN": "k"}
    providers = build_providers(load_profiles(), env, (), simulated=False)
    for slug, native, endpoint, url in (
        ("fal", "fal-ai/flux/dev", "", "https://queue.fal.run/fal-ai/flux/dev"),
        ("replicate", "a/b", "", URL),
        ("alibaba-cloud", "wan", "x/y", "https://dashscope-intl.aliyuncs.com/api/v1/services/aigc/x/y"),
    ):
        wire = Provider([Finished(400, {}, b"{}")])
        at = providers.get(slug)
        assert at is not None
        way = at.way("image_generations")
        assert way is not None
        body = Encoded(b"{}", "application/json", (("X-Own", "1"),), endpoint)
        upstreams = Upstreams(wire, None, TIMEOUTS)
        await upstreams.open(at, way, body, stream=False, request_id="r", native_id=native, any_answer=True)
        await upstreams.close()
        assert wire.asked == [("POST", url)] and wire.headers[0]["X-Own"] == "1"


class Storage:
    """What is at an address, in turn."""

    def __init__(self, *answers: Any) -> None:
        self.answers = list(answers)

    async def get(self, url: str, headers: Mapping[str, str], timeouts: Timeouts) -> Reply:
        assert "authorization" not in {name.lower() for name in headers}
        found = self.answers.pop(0)
        if isinstance(found, Exception):
            raise found
        status, kind, body = found
        chunks = [body, b""]

        async def next_chunk() -> bytes:
            return chunks.pop(0)

        chunks_of: Any = Chunks(status, {"content-type": kind} if kind else {}, next_chunk)
        found_there: Reply = chunks_of
        return found_there

    async def close(self) -> None:
        pass


class Chunks:
    def __init__(self, status: int, headers: Mapping[str, str], next_chunk: Any) -> None:
        self.status, self.headers, self.next_chunk = status, headers, next_chunk

    def close(self) -> None:
        pass


async def test_a_picture_is_fetched_and_once_more_if_that_fails() -> None:
    assert await fetched(Storage(Broken("x"), (200, "image/webp; q=1", b"abc")), "u") == (b"abc", "image/webp")  # type: ignore[arg-type]
    assert await fetched(Storage((200, "", b"abc")), "u") == (b"abc", "")  # type: ignore[arg-type]
    for wrong in ((302, "image/png", b"x"), (200, "text/html", b"x"), (200, "image/png", b"")):
        with pytest.raises(Broken):
            await fetched(Storage(wrong, wrong), "u")  # type: ignore[arg-type]
