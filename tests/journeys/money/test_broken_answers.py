"""Answers that do not end well, in both dialects: who pays depends on who broke them."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.journeys.money.judge import Books, read_books, sums_agree, wait_until_promises_end
from tests.journeys.money.load import Ask, Load, Told
from tests.journeys.money.race import purchased, usd
from tests.journeys.money.scene import CLAUDE, COMPLETION_NANO, LIFE_S, MAX_TOKENS, PROMPT_NANO, SLOW, Stage, stage
from tests.servers import postgres_database

CENT_NANO = 10_000_000
# One token a chunk, by the gateway's rule of thumb.
LONG_TEXT = "word" * 200

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def scene(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """One stage on each database for the whole module."""
    home = tmp_path_factory.mktemp("broken")
    if request.param == "sqlite":
        with stage(home) as made:
            yield made
        return
    with postgres_database(request.getfixturevalue("postgres_dsn")) as url, stage(home, url) as made:
        yield made


@pytest.fixture
def load() -> Iterator[Load]:
    with Load() as made:
        yield made


def play(scene: Stage, model: str, **script: Any) -> None:
    """The next answer of the model's provider."""
    scene.upstream.script(model.partition("/")[2], {"usage": {"prompt": 10, "completion": 5}, **script})


def ask(load: Load, customer: Any, model: str, stream: bool, **more: Any) -> Told:
    return load.ask([Ask(customer, model, stream, **more)])[0]


def rows_of(books: Books, told: Told) -> dict[str, Any]:
    """The ledger rows of a request by their type."""
    user_id, prefix = told.ask.customer.user_id, f"{told.ask.customer.user_id}:{told.request_id}"
    rows = [row for row in books.ledger if row.user_id == user_id and row.request_id.startswith(prefix)]
    found = {row.type: row for row in rows}
    assert len(found) == len(rows)
    return found


def record_of(books: Books, told: Told) -> Any:
    """The record of a request."""
    (record,) = [row for row in books.records if row.request_id == told.request_id]
    return record


@pytest.mark.parametrize("model", [SLOW, CLAUDE])
def test_a_client_that_leaves_pays_what_was_produced_and_the_provider_is_stopped(
    scene: Stage, load: Load, model: str
) -> None:
    customer = scene.gateway.customer(1)
    play(scene, model, text=LONG_TEXT, chunk_chars=4, chunk_delay_s=0.02)
    told = ask(load, customer, model, stream=True, leave_after=2000)
    assert told.left
    assert scene.upstream.wait_until(model.partition("/")[2], "closed_early", True)
    books = wait_until_promises_end(scene.database_url, LIFE_S)
    sums_agree(books)
    charge = rows_of(books, told)["api_usage"]
    # No event of either dialect is longer than this.
    assert told.received // 250 <= charge.completion_tokens < 100
    assert -charge.amount_nano_usd == charge.prompt_tokens * PROMPT_NANO + charge.completion_tokens * COMPLETION_NANO
    assert json.loads(charge.usage)["estimated"] is True
    record = record_of(books, told)
    assert (record.status, record.error_code, record.usage_estimated) == (499, "client_closed", True)


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("model", [SLOW, CLAUDE])
def test_an_answer_that_its_provider_breaks_is_free(scene: Stage, load: Load, model: str, stream: bool) -> None:
    customer = scene.gateway.customer(1)
    before = purchased(customer)
    play(scene, model, text=LONG_TEXT, chunk_chars=4, cut_after_bytes=900)
    told = ask(load, customer, model, stream)
    assert told.refused and not told.complete
    assert (told.received > 500) is stream, "a stream is broken after its client has seen some of it"
    assert purchased(customer) == before
    books = read_books(scene.database_url)
    rows = rows_of(books, told)
    assert set(rows) == {"hold", "refund"}
    assert rows["hold"].amount_nano_usd == -rows["refund"].amount_nano_usd < 0
    assert rows["refund"].reason == told.code == record_of(books, told).error_code


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("model", [SLOW, CLAUDE])
def test_an_answer_without_usage_is_counted_and_marked(scene: Stage, load: Load, model: str, stream: bool) -> None:
    customer = scene.gateway.customer(1)
    before = purchased(customer)
    play(scene, model, text=LONG_TEXT, usage=None)
    told = ask(load, customer, model, stream)
    assert told.complete
    books = read_books(scene.database_url)
    charge = rows_of(books, told)["api_usage"]
    assert charge.completion_tokens == len(LONG_TEXT) // 4
    assert -charge.amount_nano_usd == told.cost_nano == before - purchased(customer)
    assert told.cost_nano == charge.prompt_tokens * PROMPT_NANO + charge.completion_tokens * COMPLETION_NANO
    assert charge.prompt_tokens > 0
    assert json.loads(charge.usage)["estimated"] is True
    assert record_of(books, told).usage_estimated


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("model", [SLOW, CLAUDE])
def test_what_a_provider_writes_beyond_the_limit_is_billed_and_stops_the_account(
    scene: Stage, load: Load, model: str, stream: bool
) -> None:
    customer = scene.gateway.customer(usd(CENT_NANO // 10))
    play(scene, model, usage={"prompt": 10, "completion": 10 * MAX_TOKENS})
    told = ask(load, customer, model, stream)
    cost = 10 * PROMPT_NANO + 10 * MAX_TOKENS * COMPLETION_NANO
    assert (told.complete, told.cost_nano) == (True, cost)
    assert purchased(customer) == CENT_NANO // 10 - cost < 0
    calls = len(scene.upstream.journal())
    after = ask(load, customer, model, stream)
    assert (after.status, after.code) == (402, "payment_required")
    assert len(scene.upstream.journal()) == calls
    sums_agree(read_books(scene.database_url))
