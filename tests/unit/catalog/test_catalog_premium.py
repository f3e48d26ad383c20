"""The premium guard: no model runs at a price that nobody stated."""

import pytest

from gatewayz.catalog import guard, is_premium
from gatewayz.core.errors import Unavailable
from tests.unit.catalog.catalog_values import a_model, an_offer

# One model for each pattern that the specification names.
ONE_EACH = {
    "gpt-4": "openai/gpt-4-turbo",
    "gpt-5": "openai/gpt-5-mini",
    "o1": "openai/o1",
    "o3": "openai/o3-mini",
    "o4": "openai/o4-mini",
    "claude": "anthropic/claude-sonnet-4.5",
    "gemini-1.5-pro": "google/gemini-1.5-pro",
    "gemini-2": "google/gemini-2.0-flash-001",
    "gemini, later": "google/gemini-3.1-pro-preview",
    "gemini-pro": "google/gemini-pro",
    "command-r-plus": "cohere/command-r-plus-08-2024",
    "mixtral-8x22b": "mistralai/mixtral-8x22b-instruct",
    "grok": "x-ai/grok-3",
}


@pytest.mark.parametrize("model_id", ONE_EACH.values(), ids=ONE_EACH.keys())
@pytest.mark.ac("AC-6.1.7")
def test_a_premium_model_without_a_price_is_refused_by_name(model_id: str) -> None:
    assert is_premium(model_id)
    offers = [an_offer(model_id, "one", price=None), an_offer(model_id, "two", suspect=True)]
    with pytest.raises(Unavailable) as refusal:
        guard(a_model(model_id, premium=True), offers)
    assert refusal.value.status == 503
    assert refusal.value.code == "pricing_unavailable"
    assert model_id in refusal.value.message


@pytest.mark.parametrize(
    "model_id",
    ["openai/gpt-3.5-turbo", "openai/gpt-oss-20b", "cohere/command-r", "google/gemini-flash-1.5", "acme/foo1", "x/o100",
     "mistralai/mixtral-8x7b-instruct", "groq/llama", "google/gemma-3-27b-it", "deepseek/deepseek-r1"],
)  # fmt: skip
def test_other_models_are_not_premium(model_id: str) -> None:
    assert not is_premium(model_id)


def test_only_priced_offers_pass_in_their_order() -> None:
    first, bad, last = (an_offer("openai/gpt-4o", name) for name in ("a", "b", "c"))
    unpriced = an_offer("openai/gpt-4o", "b", price=None)
    assert guard(a_model("openai/gpt-4o"), [first, unpriced, last]) == (first, last)
    assert guard(a_model("openai/gpt-4o"), [first, bad, last]) == (first, bad, last)


def test_no_offer_at_all_is_not_a_matter_of_price() -> None:
    assert guard(a_model("openai/gpt-4o"), []) == ()


def test_an_ordinary_model_has_no_default_price_either() -> None:
    with pytest.raises(Unavailable) as refusal:
        guard(a_model("acme/small"), [an_offer("acme/small", "one", price=None)])
    assert refusal.value.details == {"model": "acme/small", "premium": False}
