"""Model lists as providers send them: recorded ones whole, the other documented forms by their members."""

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gatewayz.providers.feed_shapes import SHAPES, read_feed
from gatewayz.providers.model_feeds import PRICE_UNITS, FeedModel, FeedUnreadable

RECORDINGS = Path(__file__).resolve().parents[2] / "recordings" / "feeds"
MTOK = 1_000_000_000  # one USD per million tokens


def recorded(provider: str, shape: str, unit: str = "none") -> dict[str, FeedModel]:
    body = (RECORDINGS / f"{provider}.json").read_bytes()
    page = read_feed(shape, body, unit)
    assert page.unread == 0
    return {model.native_id: model for model in page.models}


def one(shape: str, entry: dict[str, Any], unit: str = "none", *, under: str = "data") -> FeedModel:
    (model,) = read_feed(shape, json.dumps({under: [entry]}).encode(), unit).models
    return model


def figures(model: FeedModel) -> tuple[int, int] | None:
    return None if model.price is None else (model.price.prompt, model.price.completion)


def test_openrouters_list_with_prices_tiers_and_abilities() -> None:
    models = recorded("openrouter", "openai", "usd_per_token")
    claude = models["anthropic/claude-sonnet-4"]
    assert claude.price is not None
    assert figures(claude) == (3 * MTOK, 15 * MTOK)
    assert (claude.price.cache_read, claude.price.cache_write_5m) == (300_000_000, 3_750_000_000)
    assert claude.price.cache_write_1h == 6 * MTOK
    (tier,) = claude.price.tiers
    assert (tier.above_prompt_tokens, tier.prompt, tier.completion) == (200_000, 6 * MTOK, 22_500_000_000)
    assert claude.price.units == {"web_search": 10_000_000}
    assert (claude.context_length, claude.max_output_tokens) == (1_000_000, 64_000)
    assert claude.media_in == {"text", "image", "file"} and claude.media_out == {"text"}
    assert claude.capabilities["tools"] and not claude.capabilities["json_schema"]
    assert len(models) > 1 and all(model.kind in ("chat", None, "image") for model in models.values())


def test_the_recorded_lists_without_prices() -> None:
    cerebras = recorded("cerebras", "openai")
    assert set(cerebras) == {"gemma-4-31b", "gpt-oss-120b", "zai-glm-4.7"}
    assert all(model.price is None and model.price_problem is None for model in cerebras.values())
    mantle = recorded("bedrock-mantle", "openai")
    assert mantle["moonshotai.kimi-k2.5"].created_us == 1_769_558_400_000_000
    gemini = recorded("gemini", "gemini")
    flash = gemini["gemini-2.5-flash"]
    assert (flash.context_length, flash.max_output_tokens, flash.kind) == (1_048_576, 65_536, "chat")
    assert flash.capabilities == {"reasoning": True}
    assert {model.kind for name, model in gemini.items() if "embedding" in name} <= {"embedding"}


def test_an_entry_that_names_its_unit_is_believed() -> None:
    models = recorded("perplexity", "openai")
    opus = models["anthropic/claude-opus-4-5"]
    assert figures(opus) == (5 * MTOK, 25 * MTOK)
    assert opus.price is not None and opus.price.cache_read == 500_000_000


# One price, 0.25 USD in and 1.50 USD out per million tokens, as each list writes it.
SAME = (250_000_000, 1_500_000_000)


@pytest.mark.parametrize(
    ("shape", "unit", "under", "entry"),
    [
        ("openai", "usd_per_token", "data", {"pricing": {"prompt": "0.00000025", "completion": "0.0000015"}}),
        ("openai", "usd_per_token", "data", {"pricing": {"input": "2.5e-7", "output": "1.5e-6"}}),
        ("openai", "usd_per_ktok", "data", {"pricing": {"prompt": 0.00025, "completion": 0.0015}}),
        ("openai", "usd_per_mtok", "data", {"pricing": {"input": 0.25, "output": 1.5, "hourly": 0}}),
        ("deepinfra", "cents_per_token", "data", {
            "type": "text-generation", "pricing": {"cents_per_input_token": 0.000025, "cents_per_output_token": 0.00015}}),
        ("novita", "tenthousandth_usd_per_mtok", "data",
            {"input_token_price_per_m": 2500, "output_token_price_per_m": 15000}),
        ("xai", "tenthousandth_usd_per_mtok", "models",
            {"prompt_text_token_price": 2500, "completion_text_token_price": 15000}),
        ("near", "none", "models", {
            "modelId": "x", "inputCostPerToken": {"amount": 250, "scale": -9, "currency": "USD"},
            "outputCostPerToken": {"amount": 1500, "scale": -9, "currency": "USD"}}),
        ("huggingface", "usd_per_mtok", "data", {"providers": [
            {"provider": "a", "status": "live", "pricing": {"input": 0.25, "output": 1.5}},
            {"provider": "b", "status": "live", "pricing": {"input": 0.25, "output": 1.5}}]}),
        ("helicone", "usd_per_mtok", "data", {"endpoints": [{"pricing": {"prompt": 0.25, "completion": 1.5}}]}),
    ],
)  # fmt: skip
def test_one_price_in_every_unit(shape: str, unit: str, under: str, entry: dict[str, Any]) -> None:
    entry = {"id": "x", "model_name": "x", **entry}
    assert figures(one(shape, entry, unit, under=under)) == SAME


@pytest.mark.parametrize(
    ("pricing", "problem"),
    [
        ({"prompt": "-1", "completion": "-1"}, "not a price"),
        ({"prompt": "NaN", "completion": "1"}, "not a price"),
        ({"prompt": True, "completion": 1}, "not a price"),
        ({"prompt": "0.000001"}, "not both stated"),
        ({"prompt": "1e99", "completion": "1"}, "out of range"),
        ({"prompt": "0.000001", "completion": "0.000001", "overrides": [{"min_prompt_tokens": 5}]}, "tier"),
        ({"unit": "per_banana", "prompt": "1", "completion": "1"}, None),
    ],
)
def test_what_is_no_price_is_none_with_its_reason(pricing: dict[str, Any], problem: str | None) -> None:
    model = one("openai", {"id": "x", "pricing": pricing}, "usd_per_token")
    assert model.price is None
    assert (problem or "") in (model.price_problem or "")
    assert (model.price_problem is None) == (problem is None)


def test_a_price_that_depends_on_who_serves_is_no_price() -> None:
    providers = [{"status": "live", "pricing": {"input": price, "output": 1}} for price in (1, 2)]
    model = one("huggingface", {"id": "x", "providers": providers}, "usd_per_mtok")
    assert model.price is None and model.price_problem == "the price depends on who serves the request"


def test_what_lists_say_of_cached_tokens_and_long_prompts() -> None:
    pricing = {"type": "tokens", "cents_per_input_token": 0.0001, "cents_per_output_token": 0.0002}
    entry = {
        "model_name": "x",
        "type": "text-generation",
        "tags": ["tools"],
        "pricing": pricing | {"rate_per_input_token_cached": 0.25},
    }
    model = one("deepinfra", entry, "cents_per_token")
    assert figures(model) == (MTOK, 2 * MTOK) and model.price is not None
    assert model.price.cache_read == MTOK // 4 and model.capabilities == {"tools": True}
    assert one("deepinfra", {**entry, "deprecated": 1_700_000_000}, "cents_per_token").price is None
    grok: dict[str, Any] = {"id": "g", "prompt_text_token_price": 20000, "completion_text_token_price": 60000}
    long = {"prompt_text_token_price_long_context": 40000, "completion_text_token_price_long_context": 120000}
    unit = "tenthousandth_usd_per_mtok"
    price = one("xai", grok | long | {"long_context_threshold": 128_000}, unit, under="models").price
    assert price is not None and price.prompt == 2 * MTOK
    assert [(t.above_prompt_tokens, t.prompt, t.completion) for t in price.tiers] == [(128_000, 4 * MTOK, 12 * MTOK)]
    assert one("xai", grok | long, unit, under="models").price is None, "a tier that begins nowhere"
    assert one("xai", grok | {"long_context_threshold": 0}, unit, under="models").price is not None
    novita: dict[str, Any] = {"id": "n", "input_token_price_per_m": 10000, "output_token_price_per_m": 20000}
    cached = {"pricing": {"input_cache_read": {"price_per_m": 5000}}}
    price = one("novita", novita | cached, unit).price
    assert price is not None and (price.prompt, price.cache_read) == (MTOK, MTOK // 2)
    tiered = one("novita", novita | {"is_tiered_billing": True}, unit)
    assert tiered.price is None and tiered.price_problem is not None


def test_a_zero_for_a_special_kind_is_no_gift() -> None:
    pricing = {"prompt": "0.000001", "completion": "0.000002", "input_cache_read": "0", "internal_reasoning": "0"}
    price = one("openai", {"id": "x", "pricing": pricing}, "usd_per_token").price
    assert price is not None and price.cache_read is None and price.reasoning is None


@pytest.mark.parametrize(
    ("entry", "kind"),
    [
        ({"type": "chat"}, "chat"), ({"type": "embedding"}, "embedding"), ({"type": "quantum"}, None), ({}, "chat"),
        ({"id": "text-embedding-3-small"}, "embedding"), ({"id": "whisper-1"}, "audio_transcription"),
        ({"output_modalities": ["image"]}, "image"), ({"capabilities": {"completion_chat": False}}, None),
        ({"architecture": {"output_modalities": ["text", "image"]}}, "chat"),
        ({"id": "llama-guard-4", "architecture": {"input_modalities": ["text"], "output_modalities": ["text"]}}, "chat"),
        ({"id": "whisper", "input_modalities": ["audio"], "output_modalities": ["text"]}, "audio_transcription"),
        ({"type": "language", "config": {"chat_template": None}}, "completion"),
        ({"type": "language", "config": {"chat_template": "{{x}}"}}, "chat"), ({"type": "language"}, "chat"),
    ],
)  # fmt: skip
def test_what_kind_of_model_it_is(entry: dict[str, Any], kind: str | None) -> None:
    assert one("openai", {"id": "x", **entry}).kind == kind


def test_pages() -> None:
    page = read_feed(
        "anthropic",
        b'{"data":[{"id":"claude-x","display_name":"X","max_tokens":7}],"has_more":true,"last_id":"claude-x"}',
    )
    assert page.further == {"after_id": "claude-x"} and page.models[0].max_output_tokens == 7
    assert read_feed("gemini", b'{"models":[{"name":"models/g"}],"nextPageToken":"t"}').further == {"pageToken": "t"}
    assert read_feed("openai", b'[{"id":"x"}]').further is None


@pytest.mark.parametrize("body", [b"", b"<html>", b"{}", b'"x"', b'{"data": 7}', b'{"error": {"message": "no"}}'])
def test_what_is_no_list_is_refused(body: bytes) -> None:
    for shape in SHAPES:
        with pytest.raises(FeedUnreadable):
            read_feed(shape, body)


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(
        ["id", "name", "modelId", "model_name", "pricing", "prompt", "completion", "input", "output", "providers",
         "endpoints", "overrides", "input_tiers", "output_tiers", "capabilities", "architecture", "created",
         "top_provider", "context_length", "inputCostPerToken", "amount", "scale", "unit", "supported_parameters"]),
        inner, max_size=6),
    max_leaves=12,
)  # fmt: skip


@given(st.sampled_from(sorted(SHAPES)), st.sampled_from(sorted(PRICE_UNITS)), st.lists(_JSON, max_size=4))
def test_no_list_of_strangers_breaks_the_reader(shape: str, unit: str, entries: list[Any]) -> None:
    page = read_feed(shape, json.dumps(entries).encode(), unit)
    assert len(page.models) + page.unread == len(entries)
    for model in page.models:
        assert model.native_id.isprintable()
        if model.price is not None:
            assert model.price.prompt >= 0 and isinstance(model.price.prompt, int)


def test_units_are_exact() -> None:
    assert PRICE_UNITS["cents_per_token"] == Decimal(10_000)
    price = one("openai", {"id": "x", "pricing": {"prompt": 0.0000001, "completion": 3e-7}}, "usd_per_token").price
    assert price is not None and (price.prompt, price.completion) == (100_000_000, 300_000_000)


def test_the_list_of_cohere_tells_what_a_model_is_for_and_where_it_goes_on() -> None:
    """Entries in the form of its documentation; prices are not in it."""
    chat = {
        "name": "command-a-03-2025", "endpoints": ["chat"], "context_length": 288000, "supports_vision": False,
        "features": ["json_mode", "tools", "strict_tools"], "finetuned": False,
    }  # fmt: skip
    further = [
        {"name": "command-a-vision-07-2025", "endpoints": ["chat"], "supports_vision": True},
        {"name": "embed-v4.0", "endpoints": ["embed"], "context_length": 128000},
        {"name": "rerank-v3.5", "endpoints": ["rerank"]},
        {"name": "c4ai-aya", "endpoints": ["summarize"]},
        {"endpoints": ["chat"]},
    ]
    page = read_feed("cohere", json.dumps({"models": [chat, *further], "next_page_token": "t"}).encode())
    assert [(model.native_id, model.kind) for model in page.models] == [
        ("command-a-03-2025", "chat"), ("command-a-vision-07-2025", "chat"), ("embed-v4.0", "embedding"),
        ("rerank-v3.5", "rerank"), ("c4ai-aya", None),
    ]  # fmt: skip
    assert page.models[0].context_length == 288000 and dict(page.models[0].capabilities) == {"tools": True}
    assert dict(page.models[1].capabilities) == {"vision": True} and page.models[0].price is None
    assert page.unread == 1 and page.further == {"page_token": "t"}
