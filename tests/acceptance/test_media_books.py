"""Money of the services beside chats: no account spends more than it has, and the books agree after everything, a kill included."""

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx2 as httpx
import pytest

from tests.acceptance import media_house
from tests.acceptance.media_house import EMBED, IMAGE, IMAGE_NANO, RERANK, SPEECH, WHISPER, form, paid, sound
from tests.acceptance.spine import eventually
from tests.fakes.handle import FakeUpstream
from tests.live import Customer, LiveGateway

SOURCE = Path(__file__).resolve().parents[2] / "src"


@pytest.fixture(scope="module")
def upstream() -> Iterator[FakeUpstream]:
    """Fake providers of this module alone."""
    with FakeUpstream() as fake:
        yield fake


@pytest.fixture(scope="module")
def gateway(upstream: FakeUpstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveGateway]:
    """A gateway of its own, since it is killed here."""
    with LiveGateway(tmp_path_factory.mktemp("media-books"), media_house.config(upstream)) as live:
        yield live


def books(gateway: LiveGateway) -> subprocess.CompletedProcess[str]:
    """`gatewayz ledger verify` beside the running gateway."""
    environment = {
        "PATH": os.environ.get("PATH", ""),
        "PYTHONPATH": str(SOURCE),
        "APP_ENV": "test",
        "GATEWAYZ_HOME": str(gateway.home),
        "GATEWAYZ_CONFIG": str(gateway.home / "gatewayz.toml"),
    }
    return subprocess.run(
        [sys.executable, "-m", "gatewayz", "ledger", "verify"],
        env=environment, cwd=gateway.home, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip


def test_who_cannot_pay_is_told_what_lowers_the_amount_at_this_service(
    gateway: LiveGateway, upstream: FakeUpstream
) -> None:
    poor = gateway.customer(0)
    body, headers = form({"file": sound(0.7), "model": WHISPER})
    for answer, lever in (
        (poor.call("POST", "/v1/embeddings", {"model": EMBED, "input": "a"}), "send fewer or shorter texts"),
        (
            poor.call("POST", "/v1/rerank", {"model": RERANK, "query": "q", "documents": ["a"]}),
            "send fewer or shorter documents",
        ),
        (
            poor.call("POST", "/v1/images/generations", {"model": IMAGE, "prompt": "p"}),
            "ask for fewer or smaller images, or for a lower quality",
        ),
        (poor.call("POST", "/v1/audio/speech", {"model": SPEECH, "input": "a", "voice": "v"}), "send a shorter text"),
        (poor.call("POST", "/v1/audio/transcriptions", body, **headers), "send a shorter recording"),
    ):
        error = answer.json()["error"]
        assert (answer.status_code, error["suggestions"]) == (402, [lever, "add credit"])
        assert lever in error["hint"] and "max_tokens" not in answer.text
    assert upstream.journal() == []


def ask_for_everything(customer: Customer) -> list[int]:
    """One request for each service; the statuses."""
    body, headers = form({"file": sound(0.7), "model": WHISPER})
    answers = [
        customer.call("POST", "/v1/embeddings", {"model": EMBED, "input": "a"}),
        customer.call("POST", "/v1/rerank", {"model": RERANK, "query": "a", "documents": ["b"]}),
        customer.call("POST", "/v1/images/generations", {"model": IMAGE, "prompt": "a", "quality": "hd"}),
        customer.call("POST", "/v1/images/generations", {"model": IMAGE, "prompt": "a", "stream": True}),
        customer.call("POST", "/v1/audio/speech", {"model": SPEECH, "input": "a", "voice": "b"}),
        customer.call("POST", "/v1/audio/transcriptions", body, **headers),
    ]
    return [answer.status_code for answer in answers]


@pytest.mark.ac("AC-CC.6.3")
def test_many_at_once_never_spend_more_than_there_is(upstream: FakeUpstream, gateway: LiveGateway) -> None:
    upstream.script("first", default={"delay_s": 0.2})
    customer = gateway.customer("0.13")  # three images and a little

    def one(_: int) -> int:
        answer = customer.call("POST", "/v1/images/generations", {"model": IMAGE, "prompt": "a cat"})
        return answer.status_code

    with ThreadPoolExecutor(8) as pool:
        statuses = list(pool.map(one, range(16)))
    assert (statuses.count(200), statuses.count(402)) == (3, 13)
    assert paid(customer) == [IMAGE_NANO] * 3
    assert len(upstream.journal("first")) == 3


def test_the_books_agree_after_every_service_and_every_trouble(upstream: FakeUpstream, gateway: LiveGateway) -> None:
    customer = gateway.customer(5)
    assert ask_for_everything(customer) == [200] * 6
    for persona in ("first", "second", "cohere"):
        upstream.script(persona, default={"status": 500})
    assert set(ask_for_everything(customer)) == {502}
    found = books(gateway)
    assert found.returncode == 0, found.stdout + found.stderr
    assert len(paid(customer)) == 6


def test_a_complete_answer_was_charged_although_the_process_is_killed(
    upstream: FakeUpstream, gateway: LiveGateway
) -> None:
    upstream.script("first", default={"delay_s": 0.05})
    customer = gateway.customer(50)
    complete: list[str] = []
    stop = threading.Event()

    def load(number: int) -> None:
        while not stop.is_set():
            try:
                answer = customer.call("POST", "/v1/images/generations", {"model": IMAGE, "prompt": f"a cat {number}"})
            except httpx.TransportError:
                return
            if answer.status_code == 200:
                complete.append(answer.headers["x-request-id"])

    threads = [threading.Thread(target=load, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    try:
        eventually(lambda: len(complete) >= 12, "a dozen images", 60)
        gateway.kill()
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    gateway.start()
    rows = {row["request_id"].rpartition(":")[2] for row in customer.transactions() if row["type"] == "api_usage"}
    assert set(complete) <= rows
    assert set(paid(customer)) == {IMAGE_NANO}
    found = books(gateway)
    assert found.returncode == 0, found.stdout + found.stderr
