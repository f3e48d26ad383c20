"""The packaged seed and the script that builds it."""

import gzip
from collections import Counter
from typing import Any

import pytest

from gatewayz.catalog import CAPABILITIES, Catalog
from gatewayz.catalog.models import media_of
from gatewayz.catalog.seed import packaged_seed, seed_records
from scripts.build_seed import build
from tests.unit.catalog.catalog_values import seeded_catalog

SEED = seed_records(packaged_seed())


@pytest.fixture(scope="module")
def seeded() -> Catalog:
    return seeded_catalog()


def test_the_packaged_file_carries_no_time_and_no_name() -> None:
    header = packaged_seed()[:10]
    assert header[3] == 0
    assert header[4:8] == b"\0\0\0\0"


def test_the_seed_is_whole_and_sorted() -> None:
    assert len(SEED) > 800
    assert [record.id for record in SEED] == sorted({record.id for record in SEED})
    assert sum(len(record.offers) for record in SEED) > 2700


def test_of_each_model_one_offer_a_provider_is_in_use() -> None:
    used = Counter((record.id, offer.provider) for record in SEED for offer in record.offers if offer.active)
    assert set(used.values()) == {1}
    assert all((offer.reason is None) is offer.active for record in SEED for offer in record.offers)


def test_every_fact_is_in_range() -> None:
    for record in SEED:
        assert record.modality is not None
        media_of(record.modality)
        assert set(record.capabilities) <= set(CAPABILITIES)
        for offer in record.offers:
            assert offer.stated_by
            if offer.price is not None:
                tiers = [tier.above_prompt_tokens for tier in offer.price.tiers]
                assert tiers == sorted(set(tiers))
                assert min(offer.price.prompt, offer.price.completion) >= 0


@pytest.mark.ac("AC-5.2.2")
def test_nothing_that_is_served_costs_nothing_but_free_variants(seeded: Catalog) -> None:
    for key, model in seeded.models.items():
        if model.kind != "chat":
            continue
        for offer in seeded.offers[key]:
            if offer.usable:
                assert offer.price is not None
                assert offer.price.by_token or model.id.endswith(":free")
        assert model.is_free is (model.id.endswith(":free") and any(offer.usable for offer in seeded.offers[key]))


def test_suspect_prices_are_kept_and_not_used(seeded: Catalog) -> None:
    suspect = [(r.id, o.provider) for r in SEED for o in r.offers if o.suspect]
    assert len(suspect) >= 15
    for model_id, provider in suspect:
        assert not [o for o in seeded.offers_of(model_id) if o.provider == provider and o.suspect and o.usable]


def test_published_prices_are_exact() -> None:
    records = {record.id: record for record in SEED}
    (gpt,) = (o for o in records["openai/gpt-4o"].offers if o.provider == "openai")
    assert gpt.price is not None
    assert (gpt.price.prompt, gpt.price.completion, gpt.price.cache_read) == (
        2_500_000_000,
        10_000_000_000,
        1_250_000_000,
    )
    (claude,) = (o for o in records["anthropic/claude-sonnet-4.5"].offers if o.provider == "openrouter")
    assert claude.price is not None
    assert (claude.price.cache_write_5m, claude.price.cache_write_1h) == (3_750_000_000, 6_000_000_000)
    tier = claude.price.tiers[0]
    assert (tier.above_prompt_tokens, tier.prompt, tier.cache_write_1h) == (200_000, 6_000_000_000, 12_000_000_000)


def _offer(provider: str, native_id: str, **more: Any) -> dict[str, Any]:
    return {"provider": provider, "native_id": native_id, "input": "1", "output": "2", "source": "list", **more}


def _build(*offers: dict[str, Any], **model: Any) -> dict[str, bytes]:
    facts = {
        "id": "acme/one",
        "name": "One",
        "vendor": "acme",
        "type": "chat",
        "status": "vendor_listed",
        "modalities": {"input": ["pdf", "text"], "output": ["text"]},
        "offers": list(offers),
    }
    checks: dict[str, Any] = {
        "price_outliers_over_10x_median": [],
        "zero_price_not_marked_free": [],
        "price_disagreements": [],
    }
    header = {"sources": [], "snapshot_dates": {"list": "2026-01-01"}, "checks": checks}
    aliases = {
        "header": {"snapshot": "2026-01-01", "notes": []},
        "aliases": {"Uno": {"target": "acme/one"}, "old": {"target": "acme/one"}},
        "redirects": [{"from": "Old", "to": "acme/one"}],
        "provider_pins": [{"provider": "p", "from": "Generic", "to": "acme/one-1"}],
    }
    return build({"header": header, "models": [facts | model]}, aliases, {"header": {"licences": {}}, "providers": []})


def _records(*offers: dict[str, Any], **model: Any) -> Any:
    return seed_records(_build(*offers, **model)["models.json.gz"])


def test_the_same_facts_give_the_same_bytes() -> None:
    offers = [_offer("p", "a"), _offer("q", "b", variant="free", input="0", output="0")]
    assert _build(*offers) == _build(*offers)


def test_aliases_are_lower_case_and_give_way_to_redirects() -> None:
    import json

    tables = json.loads(_build(_offer("p", "a"))["aliases.json"])
    assert tables["aliases"]["uno"] == "acme/one"
    assert "old" not in tables["aliases"]
    assert tables["redirects"] == {"old": "acme/one"}
    assert tables["pins"]["p"] == {"generic": "acme/one-1"}


def test_a_free_variant_is_a_model_of_its_own() -> None:
    plain, free = _records(_offer("p", "a"), _offer("p", "a:free", variant="free", input="0", output="0"))
    assert (plain.id, free.id, free.name) == ("acme/one", "acme/one:free", "One (free)")
    assert [offer.native_id for offer in free.offers] == ["a:free"]


@pytest.mark.parametrize(
    ("worse", "better"),
    [
        (_offer("p", "one-latest", moving_alias=True), _offer("p", "one-2")),
        (_offer("p", "one-fast", variant="fast"), _offer("p", "one")),
        (_offer("p", "one", region="eu"), _offer("p", "one-2")),
        (_offer("p", "one", price_outlier=True), _offer("p", "one-2", moving_alias=True)),
        ({"provider": "p", "native_id": "one", "source": "list"}, _offer("p", "one-2", variant="fast")),
        (_offer("p", "one", confidence="low"), _offer("p", "one-2")),
        (_offer("p", "one-distill-7b"), _offer("p", "one-2", variant="fast")),
        (_offer("alibaba-cloud", "one", region="cn"), _offer("alibaba-cloud", "one", region="intl")),
    ],
)
def test_the_likelier_meaning_of_the_plain_name_is_used(worse: dict[str, Any], better: dict[str, Any]) -> None:
    (record,) = _records(worse, better)
    assert [(o.native_id, o.regions) for o in record.offers if o.active] == [
        (better["native_id"], (better["region"],) if "region" in better else ())
    ]
    assert len(record.offers) == 2


def test_an_offer_at_another_address_is_kept_unused_even_if_alone() -> None:
    (record,) = _records(_offer("moonshot", "one", region="cn"))
    assert [(offer.active, offer.reason) for offer in record.offers] == [(False, "other_region")]


def test_cache_prices_of_anthropic_are_completed_and_implausible_ones_dropped() -> None:
    first, second = _offer("p", "a", cache_write="1.25"), _offer("q", "a", cache_write="0.1")
    (record,) = _records(first, second, vendor="anthropic")
    prices = {offer.provider: offer.price for offer in record.offers}
    assert (prices["p"].cache_write_5m, prices["p"].cache_write_1h) == (1_250_000_000, 2_000_000_000)
    assert (prices["q"].cache_write_5m, prices["q"].cache_write_1h) == (None, None)


def test_a_tier_without_cache_price_keeps_the_base_price() -> None:
    tier = {"above_input_tokens": 10, "input": "3", "output": "4"}
    (record,) = _records(_offer("p", "a", cache_read="0.5", tiers=[tier]))
    assert record.offers[0].price.tiers[0].cache_read == 500_000_000


def test_half_a_price_is_none() -> None:
    half = _offer("p", "a")
    del half["output"]
    (record,) = _records(half)
    assert record.offers[0].price is None


def test_the_sources_page_names_licences_and_doubts() -> None:
    from importlib import resources

    page = resources.files("gatewayz.catalog").joinpath("seed/SOURCES.md").read_text("utf-8")
    for word in ("MIT", "Snapshots:", "mistralai/mistral-nemo at helicone", "z-ai/glm-4.7-flash at zai", "openai/o3"):
        assert word in page


def test_the_packed_form_is_plain_gzip_of_json() -> None:
    assert gzip.decompress(packaged_seed())[:7] == b'[{"id":'
