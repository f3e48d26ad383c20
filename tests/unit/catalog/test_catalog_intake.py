"""What of a list comes in: names, prices that can and cannot be true, what stays when something is in doubt."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gatewayz.catalog import Catalog, PriceTier, build
from gatewayz.catalog.intake import Entry, Intake, Known, take_in
from gatewayz.catalog.naming import canonical_id
from gatewayz.catalog.records import PriceRecord
from gatewayz.providers.model_feeds import FeedModel, FeedPrice, FeedTier
from tests.unit.catalog.catalog_values import NO_TABLES, a_model, a_price, an_offer, seeded_catalog

MTOK = 10**9
COMPARED = [f"acme/known-{number}" for number in range(4)]


def catalog(*more: Any) -> Catalog:
    """Known models at another provider for 2 and 8 USD, and the given offers."""
    names = {*COMPARED, *(offer.model_id for offer in more)}
    offers = [an_offer(name, "other", price=a_price(2 * MTOK, 8 * MTOK)) for name in COMPARED]
    return build([a_model(name) for name in names], [*offers, *more], NO_TABLES)


def listed(native: str, prompt: int | None = 2, completion: int = 8, **more: Any) -> FeedModel:
    price = None if prompt is None else FeedPrice(prompt * MTOK, completion * MTOK, **more.pop("kinds", {}))
    return FeedModel(native_id=native, price=price, **more)


def take(
    models: list[FeedModel],
    before: Intake | None = None,
    own: Catalog | None = None,
    *,
    bare: bool = False,
    **more: Any,
) -> Intake:
    known = Known(own or catalog(), frozenset(name.lower() for name in (own or catalog()).models), **more)
    entries = {entry.native_id: entry for entry in before.entries} if before else {}
    whole = models if bare else [*(listed(name) for name in COMPARED), *models]
    return take_in("p", whole, entries, known, 1_000)


def of(intake: Intake, native: str) -> Entry:
    return next(entry for entry in intake.entries if entry.native_id == native)


@pytest.mark.parametrize(
    ("provider", "native", "model"),
    [
        ("openai", "gpt-4o", "openai/gpt-4o"),
        ("openai", "gpt-99-imaginary", "openai/gpt-99-imaginary"),
        ("google-ai-studio", "gemini-99-pro", "google/gemini-99-pro"),
        ("openrouter", "Acme/New-Model", "acme/new-model"),
        ("openrouter", "~openai/gpt-latest", None),
        ("groq", "llama-9.9-70b", "meta-llama/llama-9.9-70b"),
        ("groq", "strange", "groq/strange"),
        ("fireworks", "accounts/fireworks/models/deepseek-v9p2", "deepseek/deepseek-v9.2"),
        ("cloudflare-workers-ai", "@cf/acme/tiny", "acme/tiny"),
        ("xai", "grok-2", None),  # retired: its name leads to another model
        ("p", "has blanks/x", None),
        ("p", "acme/quick:fast", None),
        ("p", "a" * 300, None),
    ],
)
def test_names(provider: str, native: str, model: str | None) -> None:
    assert canonical_id(seeded_catalog(), provider, native) == model


def test_a_price_that_another_source_states_as_well_needs_no_row() -> None:
    own = an_offer("acme/seeded", "p", "acme/seeded", price=a_price(2 * MTOK, 8 * MTOK, cache_read=MTOK))
    intake = take([listed("acme/seeded")], own=catalog(own))
    assert of(intake, "acme/seeded").state == "confirmed"
    assert "acme/seeded" not in {record.id for record in intake.records}


def test_kinds_that_a_list_leaves_out_stay_while_the_base_does() -> None:
    tier = PriceTier(100_000, 4 * MTOK, 16 * MTOK)
    price = a_price(
        2 * MTOK,
        8 * MTOK,
        cache_read=MTOK,
        cache_write_5m=3 * MTOK,
        tiers=(tier,),
        batch_prompt=MTOK,
        units={"query": 7},
    )
    own = catalog(an_offer("acme/seeded", "p", "acme/seeded", price=price))
    intake = take([listed("acme/seeded", kinds={"cache_read": MTOK // 2})], own=own)
    (offer,) = next(record for record in intake.records if record.id == "acme/seeded").offers
    assert offer.price is not None
    assert (offer.price.cache_read, offer.price.cache_write_5m, offer.price.tiers) == (MTOK // 2, 3 * MTOK, (tier,))
    assert (offer.price.batch_prompt, offer.price.units) == (MTOK, {"query": 7})
    moved = take([listed("acme/seeded", 3)], own=own)
    assert of(moved, "acme/seeded").reason == "price_incomplete"
    told = take([listed("acme/seeded", 3, kinds={"tiers": (FeedTier(100_000, 6 * MTOK, 16 * MTOK),)})], own=own)
    assert of(told, "acme/seeded").state == "served"


def test_a_model_that_others_describe_gets_no_second_description() -> None:
    intake = take([listed("acme/new", context_length=9, name="New")])
    records = {record.id: record for record in intake.records}
    assert records["acme/known-0"].name is None and records["acme/known-0"].offers[0].price is not None
    assert (records["acme/new"].name, records["acme/new"].context_length) == ("New", 9)
    assert records["acme/new"].offers[0].stated_by == "p model list"


def test_presence_alone_takes_nothing_and_gives_nothing() -> None:
    own = catalog(an_offer("acme/seeded", "p", "acme/seeded"))
    intake = take([listed("acme/seeded", None), listed("acme/bare", None)], own=own)
    assert of(intake, "acme/seeded").state == "confirmed"
    assert of(intake, "acme/bare").reason == "no_price"
    for _ in range(3):
        intake = take([], intake, own)
    assert of(intake, "acme/seeded").state == "missing", "what was listed once and is no more, goes"
    back = take([listed("acme/seeded", None)], intake, own)
    assert of(back, "acme/seeded").state == "confirmed"


def test_what_was_never_listed_cannot_go_missing() -> None:
    own = catalog(an_offer("acme/unlisted", "p", "acme/unlisted"))
    intake = take([], own=own)
    for _ in range(4):
        intake = take([], intake, own)
    assert all(entry.model_id != "acme/unlisted" for entry in intake.entries)


def test_bounds_hold_without_any_comparison() -> None:
    for prompt in (10**15, 1):
        model = FeedModel("acme/alone", price=FeedPrice(prompt, prompt))
        assert of(take([model]), "acme/alone").reason == "price_implausible"
    assert of(take([listed("acme/alone")], bare=True), "acme/alone").reason == "price_unconfirmed"


@given(st.sampled_from([100.0, 1e3, 1e4, 1e6]), st.booleans(), st.integers(1, 40), st.integers(1, 40))
def test_no_shift_of_units_passes(scale: float, up: bool, prompt: int, completion: int) -> None:
    """A list that was right before and is in another unit now changes no price, however often it is read."""
    factor = scale if up else 1 / scale
    own = catalog()
    intake = take([listed("acme/only", prompt, completion)])
    before = intake.records
    shifted = [
        FeedModel(name, price=FeedPrice(max(1, round(a * MTOK * factor)), max(1, round(b * MTOK * factor))))
        for name, a, b in [*((name, 2, 8) for name in COMPARED), ("acme/only", prompt, completion)]
    ]
    for _ in range(3):
        intake = take(shifted, intake, own, bare=True)
        assert intake.doubt is not None and intake.records == before


def test_a_confirmed_price_needs_no_other_proof_and_only_it() -> None:
    intake = take([listed("acme/alone")], bare=True)
    price = PriceRecord(prompt=2 * MTOK, completion=8 * MTOK)
    entries = tuple(Entry(**{**_facts(entry), "approved": price}) for entry in intake.entries)
    confirmed = Intake(entries, ())
    assert of(take([listed("acme/alone")], confirmed, bare=True), "acme/alone").state == "served"
    assert of(take([listed("acme/alone", 3)], confirmed, bare=True), "acme/alone").reason == "price_unconfirmed"


def _facts(entry: Entry) -> dict[str, Any]:
    return {name: getattr(entry, name) for name in Entry.__dataclass_fields__}
