"""Rows of several sources become one model and one set of offers."""

from gatewayz.catalog import Model, Offer
from gatewayz.catalog.merge import merged
from tests.unit.catalog.catalog_values import ARow, a_model_row, an_offer_row


def _one(models: list[ARow], offers: list[ARow], free: tuple[str, ...] = ()) -> tuple[Model, list[Offer]]:
    found, found_offers = merged(models, offers, free)
    assert len(found) == 1
    return found[0], found_offers


def test_the_operators_word_counts_and_the_rest_is_filled() -> None:
    seed = a_model_row(
        "acme/one", "seed", name="One", context_length=100, max_output_tokens=10, capabilities="!tools vision"
    )
    config = a_model_row("acme/one", context_length=50, capabilities="tools")
    model, _ = _one([seed, config], [an_offer_row("acme/one", "p")])
    assert (model.name, model.context_length, model.max_output_tokens) == ("One", 50, 10)
    assert model.capabilities == {"tools", "vision"}


def test_a_model_that_only_the_operator_knows_gets_text_abilities_unless_denied() -> None:
    model, _ = _one([a_model_row("acme/one", capabilities="!tools")], [an_offer_row("acme/one", "p")])
    assert model.capabilities == {"streaming", "reasoning", "json_object", "json_schema", "logprobs"}
    assert (model.name, model.vendor, model.kind, model.modality) == ("one", "acme", "chat", "text->text")
    assert model.context_length is None


def test_a_seeded_model_can_only_do_what_is_stated() -> None:
    model, _ = _one(
        [a_model_row("acme/one", "seed", capabilities="streaming")], [an_offer_row("acme/one", "p", "seed")]
    )
    assert model.capabilities == {"streaming"}


def test_media_in_the_prompt_are_abilities() -> None:
    row = a_model_row("acme/one", modality="text+image+file->text", capabilities="!documents")
    model, _ = _one([row], [an_offer_row("acme/one", "p")])
    assert model.supports_vision
    assert not model.supports_documents
    assert not model.supports_audio


def test_at_one_provider_the_highest_source_replaces_the_others() -> None:
    rows = [
        an_offer_row("acme/one", "p", "seed", native_id="old"),
        an_offer_row("acme/one", "p", "config", native_id="mine", id=2),
        an_offer_row("acme/one", "p", "feed", native_id="fed", id=3),
        an_offer_row("acme/one", "q", "seed", native_id="other", id=4),
    ]
    _, offers = _one([a_model_row("acme/one", "seed")], rows)
    assert sorted(offer.native_id for offer in offers) == ["mine", "other"]


def test_limits_and_abilities_of_an_offer_are_its_own_or_the_models() -> None:
    model_row = a_model_row("acme/one", context_length=100, max_output_tokens=10)
    rows = [
        an_offer_row("acme/one", "p"),
        an_offer_row("acme/one", "q", context_length=60, capabilities="!tools vision"),
    ]
    _, offers = _one([model_row], rows)
    assert [(o.context_length, o.max_output_tokens) for o in offers] == [(100, 10), (60, 10)]
    assert "tools" in offers[0].capabilities
    assert "tools" not in offers[1].capabilities
    assert offers[1].lacks({"tools", "vision", "n"}) == {"tools"}


def test_price_zero_is_no_price_unless_the_model_may_be_free() -> None:
    zero = {"prompt": 0, "completion": 0}
    for model_id, free, usable in (
        ("acme/one", (), False),
        ("acme/one", ("acme/one",), True),
        ("acme/one:free", (), True),
    ):
        model, offers = _one([a_model_row(model_id)], [an_offer_row(model_id, "p", **zero)], free)
        assert offers[0].usable is usable
        assert model.is_free is usable


def test_a_model_with_one_paid_offer_is_not_free() -> None:
    rows = [an_offer_row("acme/one", "p", prompt=0, completion=0), an_offer_row("acme/one", "q")]
    model, _ = _one([a_model_row("acme/one")], rows, ("acme/one",))
    assert not model.is_free


def test_a_chat_model_priced_by_the_picture_alone_has_no_price() -> None:
    by_picture = {"prompt": 0, "completion": 0, "units": '{"image":5}'}
    _, offers = _one([a_model_row("acme/one")], [an_offer_row("acme/one", "p", **by_picture)])
    assert offers[0].price is None
    _, offers = _one([a_model_row("acme/one", kind="image")], [an_offer_row("acme/one", "p", **by_picture)])
    assert offers[0].price is not None
    assert offers[0].price.units == {"image": 5}


def test_the_price_is_read_whole() -> None:
    tiers = '[{"above_prompt_tokens":200,"prompt":4,"completion":16,"cache_read":1}]'
    _, offers = _one(
        [a_model_row("acme/one")], [an_offer_row("acme/one", "p", cache_read=0, cache_write_1h=9, tiers=tiers)]
    )
    price = offers[0].price
    assert price is not None
    assert (price.id, price.source, price.effective_from_us) == (5, "test", 3)
    assert (price.prompt, price.completion, price.cache_read, price.cache_write_5m, price.cache_write_1h) == (
        2,
        8,
        0,
        None,
        9,
    )
    assert (price.tiers[0].above_prompt_tokens, price.tiers[0].cache_read, price.tiers[0].cache_write_5m) == (
        200,
        1,
        None,
    )


def test_a_pinned_offer_of_the_operator_keeps_the_operators_price() -> None:
    rows = [an_offer_row("deepseek/deepseek-chat", "openrouter", native_id="deepseek/deepseek-chat", prompt=77)]
    _, offers = _one([a_model_row("deepseek/deepseek-chat")], rows)
    assert offers[0].native_id == "deepseek/deepseek-chat-v3-0324"
    assert offers[0].price is not None
    assert offers[0].price.prompt == 77


def test_premium_and_regions_are_marked() -> None:
    model, offers = _one(
        [a_model_row("openai/gpt-4o")], [an_offer_row("openai/gpt-4o", "p", regions="eu,us", variant="turbo")]
    )
    assert model.premium
    assert offers[0].regions == ("eu", "us")
    assert offers[0].variant == "turbo"


def test_equal_values_of_a_catalog_are_one_object() -> None:
    prompt = 10**12
    rows = [
        an_offer_row(
            f"acme/{name}", "".join(("p", "q")), price_id=1, prompt=prompt + number, completion=1, source="seed"
        )
        for name, number in (("one", 0), ("two", 0))
    ]
    models = [a_model_row(f"acme/{name}", capabilities="tools") for name in ("one", "two")]
    (one, two), (first, second) = merged(models, rows)
    assert one.capabilities is two.capabilities and one.vendor is two.vendor
    assert first.provider is second.provider and first.capabilities is second.capabilities
    assert first.price is not None and second.price is not None
    assert first.price.prompt is second.price.prompt
