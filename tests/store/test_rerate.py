"""Re-rating on real databases: what charges should have been, and corrections that are made once."""

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from msgspec import structs

from gatewayz.accounts import audit
from gatewayz.billing import grants
from gatewayz.billing.account import Split
from gatewayz.billing.basis import billed_by
from gatewayz.billing.ops import Charge
from gatewayz.billing.pricebooks import CurrentPrices, PinnedPrices, StatedPrices, read_prices
from gatewayz.billing.pricing import cost, price_json, usage_json
from gatewayz.billing.reconcile_store import offers_of_prices
from gatewayz.billing.rerate import CHUNK, Outcome, Stretch, apply, judge, rerate
from gatewayz.catalog import CatalogKeeper, ModelRecord, OfferRecord, PriceRecord, PriceSnapshot, apply_config
from gatewayz.core.usage import Usage
from gatewayz.infra.changes import ChangeFeed
from gatewayz.infra.clock import US_PER_DAY, ManualClock
from gatewayz.infra.db import Database
from gatewayz.settings import ConfigurationError
from tests.store.ledger_books import CENT, COST, FREE, PRICE, USAGE, USD, Shop, caller_of

RICH, TRIAL, POOR = 7, 8, 9
ALL = Stretch(0, 4_000_000_000_000_000)
HALF = StatedPrices({("acme/chat", None): replace(PRICE, id=0, prompt=USD, completion=4 * USD)})
DOUBLE = StatedPrices({("acme/chat", None): replace(PRICE, id=0, prompt=4 * USD, completion=16 * USD)})
REASON = "price list of May was wrong"


@pytest.fixture
async def shop(database: Database, clock: ManualClock) -> AsyncIterator[Shop]:
    shop = Shop(database, clock)
    await shop.open(RICH, 10 * USD)
    await shop.open(TRIAL, trial=True)
    yield shop
    await shop.close()


async def corrections(shop: Shop) -> list[Any]:
    return await shop.rows(
        "SELECT request_id, user_id, type, contra, amount_nano_usd AS amount, trial_nano_usd AS trial,"
        " purchased_nano_usd AS purchased, refers_to, reason, actor FROM credit_transactions"
        " WHERE request_id LIKE 'rerate:%' ORDER BY id"
    )


async def change(shop: Shop, prices: StatedPrices | PinnedPrices | CurrentPrices, stretch: Stretch = ALL) -> Outcome:
    return await apply(shop.database, stretch, prices, REASON, shop.clock)


def figures(outcome: Outcome) -> dict[tuple[int, str], tuple[int, int, int]]:
    return {key: (line.rows, line.charged, line.should_be) for key, line in outcome.lines.items()}


async def test_pinned_prices_find_nothing_in_sound_books(shop: Shop) -> None:
    await shop.answer(RICH, "a")
    await shop.answer(TRIAL, "a", Usage(500, 1, cached_tokens=499))
    outcome = await rerate(shop.database, ALL, PinnedPrices())
    assert outcome.differing == 0
    assert sum(line.rows for line in outcome.lines.values()) == 2
    assert all(line.charged == line.should_be > 0 for line in outcome.lines.values())


async def test_a_dry_run_tells_by_account_and_model_and_changes_nothing(shop: Shop) -> None:
    await shop.answer(RICH, "a")
    await shop.answer(RICH, "b")
    await shop.answer(RICH, "other", model="acme/other")
    await shop.answer(TRIAL, "a")
    await shop.fail(TRIAL, "b")
    before = await shop.rows("SELECT count(*) FROM credit_transactions")
    outcome = await rerate(shop.database, ALL, HALF)
    assert figures(outcome) == {
        (RICH, "acme/chat"): (2, 2 * COST, COST),
        (TRIAL, "acme/chat"): (1, COST, COST // 2),
    }
    assert outcome.left_alone == {"no_price": 1}
    assert (outcome.differing, outcome.corrected) == (3, 0)
    assert await shop.rows("SELECT count(*) FROM credit_transactions") == before


async def test_a_correction_is_a_row_that_refers_to_its_charge(shop: Shop) -> None:
    await shop.answer(RICH, "a")
    outcome = await change(shop, HALF)
    (row,) = await corrections(shop)
    assert row.request_id.startswith("rerate:7:a:")
    assert (row.user_id, row.type, row.contra) == (RICH, "admin_credit", "corrections")
    assert (row.amount, row.purchased, row.refers_to) == (COST // 2, COST // 2, "7:a")
    assert (row.reason, row.actor) == (REASON, "system")
    assert (outcome.corrected, outcome.credited, outcome.debited, outcome.uncollected) == (1, COST // 2, 0, 0)
    assert (await shop.rows("SELECT purchased_nano_usd FROM balances WHERE user_id = 7"))[0][0] == 10 * USD - COST // 2
    assert (await shop.check()).evidence == ()
    async with shop.database.read() as connection:
        entries, _ = await audit.page(connection, "audit", audit.Filters(action="ledger."), 10, 0)
    assert [entry["action"] for entry in entries] == ["ledger.rerated", "ledger.rerate_begun"]
    assert entries[0]["reason"] == REASON
    assert (entries[0]["after"]["corrected"], entries[0]["after"]["credited_usd"]) == (1, "0.0003")


async def test_the_same_again_changes_nothing(shop: Shop) -> None:
    await shop.answer(RICH, "a")
    await shop.answer(TRIAL, "a")
    assert (await change(shop, HALF)).corrected == 2
    again = await change(shop, HALF)
    assert (again.differing, again.corrected) == (0, 0)
    assert figures(again)[(RICH, "acme/chat")] == (1, COST // 2, COST // 2)
    assert len(await corrections(shop)) == 2


async def test_there_and_back_and_there_again(shop: Shop) -> None:
    await shop.answer(RICH, "a")
    for prices, stands_at in ((HALF, COST // 2), (DOUBLE, 2 * COST), (HALF, COST // 2), (PinnedPrices(), COST)):
        await change(shop, prices)
        balance = (await shop.rows("SELECT purchased_nano_usd FROM balances WHERE user_id = 7"))[0][0]
        assert balance == 10 * USD - stands_at
    rows = await corrections(shop)
    assert [row.amount for row in rows] == [COST // 2, -3 * COST // 2, 3 * COST // 2, -COST // 2]
    assert [row.type for row in rows] == ["admin_credit", "admin_debit"] * 2
    assert (await shop.check()).evidence == ()


async def test_two_at_once_correct_each_charge_once(shop: Shop) -> None:
    for number in range(20):
        await shop.answer(RICH, f"r{number}")
    outcomes = await asyncio.gather(*(change(shop, HALF) for _ in range(3)))
    assert sum(outcome.corrected for outcome in outcomes) >= 20
    assert len(await corrections(shop)) == 20
    assert (await shop.check()).evidence == ()


async def test_two_different_ones_at_once_end_at_one_of_their_prices(shop: Shop) -> None:
    await shop.answer(RICH, "a")
    await asyncio.gather(change(shop, HALF), change(shop, DOUBLE))
    balance = (await shop.rows("SELECT purchased_nano_usd FROM balances WHERE user_id = 7"))[0][0]
    assert 10 * USD - balance in (COST // 2, 2 * COST)
    assert (await shop.check()).evidence == ()


async def test_a_charge_is_judged_again_once_its_account_is_ours(shop: Shop) -> None:
    """Another correction that is about to be committed is counted, not written over."""
    await shop.answer(RICH, "a")
    async with shop.database.begin() as connection:
        order = grants.Order(RICH, 5, "rerate:7:a:rival", "rival", "system", shop.clock.now_us(), refers_to="7:a")
        await grants.correct_charge(connection, order, Split(purchased=-COST))
        waiting = asyncio.create_task(change(shop, HALF))
        await asyncio.sleep(0.2)
        assert not waiting.done()
    assert (await waiting).credited == COST // 2 - 5
    assert [row.amount for row in await corrections(shop)] == [5, COST // 2 - 5]


class Stopping(ManualClock):
    """A clock at which the process is stopped after so many looks."""

    looks = 0

    def now_us(self) -> int:
        self.looks -= 1
        if self.looks == 0:
            raise InterruptedError
        return super().now_us()


async def test_one_that_was_cut_off_is_taken_up_again(shop: Shop) -> None:
    for number in range(CHUNK + 10):
        await shop.answer(RICH, f"r{number}", Usage(1, 1))
    stopping = Stopping()
    stopping.looks = CHUNK + 5
    with pytest.raises(InterruptedError):
        await apply(shop.database, ALL, HALF, REASON, stopping)
    assert len(await corrections(shop)) == CHUNK
    assert (await change(shop, HALF)).corrected == 10
    assert len(await corrections(shop)) == CHUNK + 10
    assert (await shop.check()).evidence == ()


async def test_credit_returns_to_the_buckets_that_paid(shop: Shop) -> None:
    await shop.answer(TRIAL, "trial")
    await shop.give(TRIAL, USD, "topup")
    # Dearer than today's share of the trial: the rest comes out of purchased credit.
    await shop.answer(TRIAL, "both", Usage(0, 150_000))
    await change(shop, HALF)
    rows = {row.refers_to: row for row in await corrections(shop)}
    assert (rows["8:trial"].trial, rows["8:trial"].purchased) == (COST // 2, 0)
    from_purchased = 1_200_000_000 - (USD - COST)
    assert (rows["8:both"].trial, rows["8:both"].purchased) == (600_000_000 - from_purchased, from_purchased)
    assert (await shop.check()).evidence == ()


async def test_a_debit_comes_out_of_purchased_credit_or_not_at_all(shop: Shop) -> None:
    await shop.answer(RICH, "a")
    await shop.answer(TRIAL, "a")
    outcome = await change(shop, DOUBLE)
    (row,) = await corrections(shop)
    assert (row.user_id, row.type, row.amount, row.purchased) == (RICH, "admin_debit", -COST, -COST)
    assert (outcome.corrected, outcome.debited) == (1, COST)
    assert (outcome.uncollected, outcome.uncollected_nano_usd) == (1, COST)
    assert (await shop.check()).evidence == ()
    await shop.give(TRIAL, USD, "topup")
    assert (await change(shop, DOUBLE)).corrected == 1


async def test_refunded_charges_are_left_alone(shop: Shop) -> None:
    await shop.answer(RICH, "refunded")
    await shop.refund(RICH, "refunded", 5)
    await shop.answer(RICH, "broken")
    await shop.run("UPDATE credit_transactions SET usage = '{' WHERE request_id = '7:broken'")
    outcome = await change(shop, HALF)
    assert outcome.left_alone == {"refunded": 1, "unreadable": 1}
    assert (outcome.corrected, outcome.lines) == (0, {})


async def test_a_wrong_charge_is_put_right_and_reconciles_then(shop: Shop) -> None:
    """A charge that is not its usage at its price: found by reconciliation, mended by a re-rating at pinned prices."""
    hold = await shop.cashier.hold(caller_of(RICH), "7:wrong", CENT)
    charge = Charge(COST + 77, "acme/chat", "first", 100, 50, usage_json(USAGE), price_json(PRICE))
    await shop.cashier.capture(
        hold, "7:wrong", charge, structs.replace(shop.record(RICH, "wrong", 200), cost_nano_usd=COST + 77)
    )
    assert (await shop.check()).kinds == {"price": 1}
    assert (await change(shop, PinnedPrices())).credited == 77
    assert (await shop.check()).evidence == ()
    # A correction to other prices does not excuse it.
    await change(shop, HALF)
    assert (await shop.check()).kinds == {"price": 1}


async def test_a_stretch_is_chosen_by_time_model_and_provider(shop: Shop) -> None:
    await shop.answer(RICH, "early")
    await shop.later(86_400)
    from_us = shop.clock.now_us()
    await shop.answer(RICH, "inside")
    await shop.answer(RICH, "elsewhere", provider="second")
    await shop.answer(RICH, "free", model="acme/tiny:free", price=FREE)
    await shop.later(86_400)
    await shop.answer(RICH, "late")
    day = Stretch(from_us, from_us + US_PER_DAY)
    assert sum(line.rows for line in (await rerate(shop.database, day, PinnedPrices())).lines.values()) == 3
    assert figures(await rerate(shop.database, replace(day, model="acme/tiny:free"), PinnedPrices())) == {
        (RICH, "acme/tiny:free"): (1, 0, 0)
    }
    outcome = await change(shop, HALF, replace(day, model="acme/chat", provider="second"))
    assert outcome.corrected == 1
    assert [row.refers_to for row in await corrections(shop)] == ["7:elsewhere"]


# --- prices


async def write_offer(shop: Shop, provider: str, prompt: int) -> None:
    offer = OfferRecord(provider, "native", price=PriceRecord(prompt, 8 * USD), stated_by="test")
    async with shop.database.begin() as connection:
        await apply_config(connection, [ModelRecord("acme/chat", offers=(offer,))], shop.clock.now_us())


async def current(shop: Shop) -> tuple[CurrentPrices, PriceSnapshot | None]:
    keeper = CatalogKeeper(shop.database, shop.clock, ChangeFeed(shop.database, shop.clock))
    offers = (await keeper.load()).offers_of("acme/chat")
    async with shop.database.read() as connection:
        return CurrentPrices(offers, await offers_of_prices(connection)), offers[0].price if offers else None


async def test_current_prices_are_those_of_the_same_offer(shop: Shop) -> None:
    await write_offer(shop, "first", 2 * USD)
    _, then = await current(shop)
    assert then is not None and then.prompt == 2 * USD
    await shop.answer(RICH, "a", price=then)
    await shop.later(60)
    await write_offer(shop, "first", USD)
    prices, now = await current(shop)
    assert now is not None and now.id != then.id
    outcome = await change(shop, prices)
    assert figures(outcome) == {(RICH, "acme/chat"): (1, COST, COST - 100_000)}
    assert outcome.credited == 100_000


async def test_a_model_that_left_a_provider_has_no_current_price_there(shop: Shop) -> None:
    await write_offer(shop, "first", 2 * USD)
    _, then = await current(shop)
    assert then is not None
    await shop.answer(RICH, "a", price=then)
    await shop.later(60)
    await write_offer(shop, "second", USD)
    outcome = await rerate(shop.database, ALL, (await current(shop))[0])
    assert (outcome.left_alone, outcome.lines) == ({"no_price": 1}, {})


TOML = """
[[prices]]
model = "acme/chat"
price_prompt_usd_per_mtok = 1.5
price_completion_usd_per_mtok = "6"
price_cache_read_usd_per_mtok = 0.15
price_audio_input_usd_per_mtok = 40
price_request_usd = 0.001
[[prices.tiers]]
above_prompt_tokens = 200000
price_prompt_usd_per_mtok = 3
price_completion_usd_per_mtok = 12

[[prices]]
model = "acme/chat"
provider = "first"
price_prompt_usd_per_mtok = 0
price_completion_usd_per_mtok = 0
"""


def test_prices_of_a_file(tmp_path: Path) -> None:
    path = tmp_path / "may.toml"
    path.write_text(TOML, encoding="utf-8")
    book = read_prices(path)
    price = book.price_of("acme/chat", "second", PRICE)
    assert price is not None
    assert cost(price, Usage(1000, 10, cached_tokens=400, audio_input_tokens=100)) == (
        500 * 1500 + 400 * 150 + 100 * 40_000 + 10 * 6000 + 1_000_000
    )
    assert cost(price, Usage(200_001, 1)) == 200_001 * 3000 + 12_000 + 1_000_000
    own = book.price_of("acme/chat", "first", PRICE)
    assert own is not None and cost(own, USAGE) == 0
    assert book.price_of("acme/other", "first", PRICE) is None
    as_json = tmp_path / "may.json"
    entry = {"model": "acme/chat", "price_prompt_usd_per_mtok": 1.5, "price_completion_usd_per_mtok": 6}
    as_json.write_text(json.dumps({"prices": [entry]}), encoding="utf-8")
    found = read_prices(as_json).price_of("acme/chat", "any", PRICE)
    assert found is not None and (found.prompt, found.completion) == (1_500_000_000, 6_000_000_000)


@pytest.mark.parametrize(
    ("text", "mistakes"),
    [
        ("", ["f.toml: needs at least one [[prices]] table"]),
        ("prices = 3", ["f.toml: needs at least one [[prices]] table"]),
        ("[[prices", ["f.toml: "]),
        (
            '[[prices]]\nmodel = "a/b"\nprice_prompt_usd_per_mtok = 1\n\n[[prices]]\nprice = 1\n[[prices]]\n',
            [
                "f.toml:1: [[prices]] 1: give both price_prompt_usd_per_mtok and price_completion_usd_per_mtok",
                "f.toml:5: [[prices]] 2: unknown field 'price'",
                "f.toml:7: [[prices]] 3: model is missing",
            ],
        ),
        (
            '[[prices]]\nmodel = "a/b"\nprice_prompt_usd_per_mtok = -1\nprice_completion_usd_per_mtok = true\n',
            ["f.toml:1: [[prices]] 1: price_prompt_usd_per_mtok must be a price in USD, zero or more, not -1"],
        ),
        (
            TOML
            + '[[prices]]\nmodel = "acme/chat"\nprice_prompt_usd_per_mtok = 0\nprice_completion_usd_per_mtok = 0\n',
            ["f.toml:19: [[prices]] 3: a second price of acme/chat at all providers"],
        ),
        (
            TOML.replace("above_prompt_tokens = 200000", "above_prompt_tokens = 0.5"),
            ["f.toml:2: [[prices]] 1: a tier needs above_prompt_tokens, a whole number of tokens"],
        ),
    ],
)
def test_mistakes_of_a_price_file_are_all_named(tmp_path: Path, text: str, mistakes: list[str]) -> None:
    path = tmp_path / "f.toml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigurationError) as refused:
        read_prices(path)
    told = [str(mistake) for mistake in refused.value.mistakes]
    assert len(told) == len(mistakes)
    assert all(one.startswith(start) for one, start in zip(told, mistakes, strict=True)), told


def test_what_was_charged_by_the_piece_is_judged_by_the_piece() -> None:
    stated = replace(PRICE, prompt=0, completion=0, units={"image": 4 * CENT, "image:hd": 8 * CENT})
    pinned = billed_by(stated, "image_generations", "hd/1024x1024")
    assert pinned is not None
    row = SimpleNamespace(
        request_id="7:r", model="acme/image", provider="p", usage=usage_json(Usage(images=2)), price=price_json(pinned),
        trial_nano_usd=0, allowance_nano_usd=0, purchased_nano_usd=-16 * CENT,
    )  # fmt: skip

    def owed(price: PriceSnapshot) -> tuple[int, str | None]:
        (found,) = judge([row], [], StatedPrices({("acme/image", None): price}))
        return found.owed, found.left_alone

    assert judge([row], [], PinnedPrices())[0].owed == 0
    assert owed(replace(stated, units={"image": CENT, "image:hd": 5 * CENT})) == (6 * CENT, None)
    assert owed(replace(stated, units={"image": 9 * CENT})) == (-2 * CENT, None)
    assert owed(PRICE) == (0, "no_price")  # tokens were not counted: they must not make it free


def test_a_price_file_may_price_pieces(tmp_path: Path) -> None:
    path = tmp_path / "prices.toml"
    path.write_text('[[prices]]\nmodel = "acme/image"\nprice_image_usd = 0.05\n', encoding="utf-8")
    price = read_prices(path).price_of("acme/image", "p", PRICE)
    assert price is not None and (dict(price.units), price.prompt) == ({"image": 5 * CENT}, 0)
