"""`[[models]]` of the configuration: what is read, and that every mistake is named with its line."""

from typing import Any

import pytest

from gatewayz.catalog import ModelRecord, PriceRecord, read_models
from gatewayz.settings import Mistake


def _lines(path: tuple[str | int, ...]) -> int | None:
    """Made-up lines: the third model's tables start at 300; fields are not known one by one."""
    return None if len(path) % 2 else 100 * (int(path[1]) + 1) + (10 * int(path[3]) if len(path) > 3 else 0)


def _read(*tables: Any, **options: Any) -> tuple[list[ModelRecord], list[Mistake]]:
    return read_models(list(tables), _lines, **options)


def _offer(**more: Any) -> dict[str, Any]:
    return {
        "provider": "p",
        "native_id": "n",
        "price_prompt_usd_per_mtok": 1,
        "price_completion_usd_per_mtok": 2,
        **more,
    }


def test_a_whole_model_is_read_exactly() -> None:
    records, mistakes = _read(
        {
            "id": "acme/one",
            "name": "One",
            "context_length": 8000,
            "max_output_tokens": 1000,
            "modality": "image+text->text",
            "huggingface_id": "Acme/One",
            "supports_function_calling": True,
            "supports_json_mode": False,
            "offers": [
                _offer(
                    price_prompt_usd_per_mtok=0.1,
                    price_completion_usd_per_mtok="0.000000001",
                    price_cache_read_usd_per_mtok=0,
                    price_cache_write_usd_per_mtok=1.25,
                    price_cache_write_1h_usd_per_mtok=2,
                    price_reasoning_usd_per_mtok=3,
                    price_request_usd=0.01,
                    price_image_usd=0.04,
                    price_audio_usd_per_second=0.0001,
                    regions=["eu", "us"],
                    context_length=4000,
                    supports_vision=False,
                )
            ],
        }
    )
    assert mistakes == []
    (model,) = records
    assert (model.id, model.name, model.vendor, model.kind) == ("acme/one", "One", "acme", "chat")
    assert (model.context_length, model.max_output_tokens) == (8000, 1000)
    assert (model.modality, model.huggingface_id) == ("text+image->text", "Acme/One")
    assert model.capabilities == {"tools": True, "json_object": False}
    (offer,) = model.offers
    assert (offer.provider, offer.native_id, offer.regions) == ("p", "n", ("eu", "us"))
    assert (offer.context_length, offer.capabilities) == (4000, {"vision": False})
    assert offer.price == PriceRecord(
        prompt=100_000_000,
        completion=1,
        cache_read=0,
        cache_write_5m=1_250_000_000,
        cache_write_1h=2_000_000_000,
        reasoning=3_000_000_000,
        request_nano_usd=10_000_000,
        units={"image": 40_000_000, "second_input": 100_000},
    )


def test_without_a_native_id_the_providers_habit_names_the_model() -> None:
    (model,), mistakes = _read({"id": "acme/one-1.5", "offers": [{"provider": "fireworks"}, {"provider": "anthropic"}]})
    assert mistakes == []
    assert [offer.native_id for offer in model.offers] == ["accounts/fireworks/models/one-1p5", "one-1-5"]


@pytest.mark.ac("AC-6.1.7")
def test_an_offer_without_prices_is_kept_without_price() -> None:
    (model,), mistakes = _read({"id": "openai/gpt-4o", "offers": [{"provider": "p", "native_id": "gpt-4o"}]})
    assert mistakes == []
    assert model.offers[0].price is None


@pytest.mark.parametrize("zero", [0, 0.0, "0"])
def test_price_zero_needs_a_free_name_or_the_allow_list(zero: Any) -> None:
    offer = _offer(price_prompt_usd_per_mtok=zero, price_completion_usd_per_mtok=zero)
    assert _read({"id": "acme/one:free", "offers": [offer]})[1] == []
    assert _read({"id": "acme/one", "offers": [offer]}, free_model_allowlist={"acme/one"})[1] == []
    (mistake,) = _read({"id": "acme/one", "offers": [offer]})[1]
    assert "free_model_allowlist" in mistake.problem


def test_a_free_name_must_not_cost() -> None:
    (mistake,) = _read({"id": "acme/one:free", "offers": [_offer()]})[1]
    assert "must have price zero" in mistake.problem


BAD_MODELS: list[tuple[Any, str]] = [
    ("text", "must be a table"),
    ({"offers": [_offer()]}, "id is missing"),
    ({"id": "/one", "offers": [_offer()]}, "organisation/name"),
    ({"id": "acme/" + "x" * 200, "offers": [_offer()]}, "organisation/name"),
    ({"id": "acme/one two", "offers": [_offer()]}, "organisation/name"),
    ({"id": "acme/one:fast", "offers": [_offer()]}, "suffix :fast"),
    ({"id": 7, "offers": [_offer()]}, "must be a text"),
    ({"id": "acme/one"}, "at least one [[models.offers]]"),
    ({"id": "acme/one", "offers": {}}, "at least one [[models.offers]]"),
    ({"id": "acme/one", "offers": ["x"]}, "must be a table"),
    ({"id": "acme/one", "offers": [_offer()], "contextlength": 5}, "did you mean context_length?"),
    ({"id": "acme/one", "offers": [_offer()], "context_length": 0}, "whole number of tokens"),
    ({"id": "acme/one", "offers": [_offer()], "context_length": True}, "whole number of tokens"),
    ({"id": "acme/one", "offers": [_offer()], "max_output_tokens": 1.5}, "whole number of tokens"),
    ({"id": "acme/one", "offers": [_offer()], "modality": "text->smell"}, "not a modality"),
    ({"id": "acme/one", "offers": [_offer()], "modality": 5}, "modality must be a text"),
    ({"id": "acme/one", "offers": [_offer()], "supports_tools": "yes"}, "true or false"),
    ({"id": "acme/one", "offers": [_offer()], "supports_tools": True, "tools": False}, "contradicts"),
    ({"id": "acme/one", "offers": [{"native_id": "n"}]}, "provider is missing"),
    ({"id": "acme/one", "offers": [_offer(provider="")]}, "not empty"),
    ({"id": "acme/one", "offers": [_offer(prize=1)]}, "unknown field 'prize'"),
    ({"id": "acme/one", "offers": [_offer(price_prompt_usd_per_mtok=-1)]}, "zero or more"),
    ({"id": "acme/one", "offers": [_offer(price_prompt_usd_per_mtok="cheap")]}, "zero or more"),
    ({"id": "acme/one", "offers": [_offer(price_prompt_usd_per_mtok=True)]}, "zero or more"),
    ({"id": "acme/one", "offers": [_offer(price_prompt_usd_per_mtok=[1])]}, "zero or more"),
    ({"id": "acme/one", "offers": [_offer(price_prompt_usd_per_mtok=float("nan"))]}, "zero or more"),
    ({"id": "acme/one", "offers": [_offer(price_request_usd=-0.1)]}, "zero or more"),
    ({"id": "acme/one", "offers": [{"provider": "p", "price_prompt_usd_per_mtok": 1}]}, "or neither"),
    ({"id": "acme/one", "offers": [{"provider": "p", "price_cache_read_usd_per_mtok": 1}]}, "or neither"),
    ({"id": "acme/one", "offers": [_offer(), _offer(native_id="m")]}, "a second offer at p"),
    ({"id": "acme/one", "offers": [_offer(regions="eu")]}, "list of texts"),
    ({"id": "acme/one", "offers": [_offer(regions=["e,u"])]}, "list of texts"),
]  # fmt: skip


@pytest.mark.parametrize(("table", "problem"), BAD_MODELS, ids=[problem for _, problem in BAD_MODELS])
def test_each_mistake_is_named_with_the_nearest_line(table: Any, problem: str) -> None:
    mistakes = _read({"id": "acme/good", "offers": [_offer()]}, table)[1]
    assert len(mistakes) == 1
    assert problem in mistakes[0].problem
    assert mistakes[0].line is not None
    assert 200 <= mistakes[0].line < 300


def test_all_mistakes_are_named_at_once() -> None:
    first = {
        "id": "acme/one",
        "context_length": -1,
        "offers": [_offer(x=1), _offer(provider=None, price_image_usd="?")],
    }
    mistakes = _read(first, {"id": "ACME/one", "offers": [_offer()]}, 5)[1]
    assert [mistake.line for mistake in mistakes] == [100, 100, 110, 200, 300]
    assert "stands twice" in mistakes[3].problem


def test_the_section_must_be_a_list_of_tables() -> None:
    records, mistakes = read_models({"id": "acme/one"}, _lines)
    assert records == []
    assert "[[models]]" in mistakes[0].problem


def test_a_provider_that_does_not_exist_is_a_mistake() -> None:
    table = {"id": "acme/one", "offers": [_offer(provider="opnai")]}
    (mistake,) = _read(table, providers={"openai", "groq"})[1]
    assert "did you mean openai?" in mistake.problem
    assert _read(table, providers={"opnai"})[1] == []


def test_an_id_without_organisation_belongs_to_this_installation() -> None:
    (model,), mistakes = _read({"id": "one", "offers": [_offer()]})
    assert mistakes == []
    assert (model.id, model.vendor) == ("one", "local")


def test_offers_of_one_provider_may_differ_by_region() -> None:
    table = {"id": "acme/one", "offers": [_offer(regions=["eu"]), _offer(regions=["us"])]}
    assert _read(table)[1] == []


def _piece(kind: str, **prices: Any) -> dict[str, Any]:
    offer = {"provider": "p", "native_id": "n", **prices}
    return {"id": "acme/one", "name": "One", "kind": kind, "offers": [offer]}


@pytest.mark.parametrize(
    ("kind", "prices", "units", "modality"),
    [
        ("embedding", {"price_prompt_usd_per_mtok": 0.02}, {}, "text->embedding"),
        ("rerank", {"price_search_usd": 0.002}, {"query": 2_000_000}, "text->score"),
        ("audio_transcription", {"price_audio_usd_per_second": 0.0001}, {"second_input": 100_000}, "audio->text"),
        (
            "audio_speech", {"price_usd_per_million_characters": 15, "price_speech_usd_per_second": 0.001},
            {"million_characters": 15_000_000_000, "second_output": 1_000_000}, "text->audio",
        ),
        (
            "image", {"price_image_usd": 0.04, "price_image_variants_usd": {"hd/1024x1024": 0.08, "hd": 0.06}},
            {"image": 40_000_000, "image:hd/1024x1024": 80_000_000, "image:hd": 60_000_000}, "text->image",
        ),
    ],
)  # fmt: skip
def test_models_of_other_kinds_and_their_prices(
    kind: str, prices: dict[str, Any], units: dict[str, int], modality: str
) -> None:
    records, mistakes = _read(_piece(kind, **prices))
    assert not mistakes
    price = records[0].offers[0].price
    assert price is not None
    assert (records[0].kind, records[0].modality, price.units) == (kind, modality, units)
    assert price.prompt == (20_000_000 if kind == "embedding" else 0)


@pytest.mark.parametrize(
    ("table", "problem"),
    [
        (_piece("video"), "kind must be one of"),
        (_piece("image", price_image_variants_usd=[1]), "must be a table of quality/size and price"),
        (_piece("image", price_image_variants_usd={"hd": -1}), "hd must be a price in USD"),
        (_piece("chat", price_prompt_usd_per_mtok=1), "give both"),
    ],
)
def test_mistakes_in_kinds_and_their_prices(table: dict[str, Any], problem: str) -> None:
    _, mistakes = _read(table)
    assert any(problem in str(mistake) for mistake in mistakes), mistakes
