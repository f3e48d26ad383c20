"""By what a service is charged: one of the prices that an offer states, never two, never none in silence."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gatewayz.billing.basis import billed_by, counts_tokens, like
from gatewayz.billing.pricing import cost, price_from_json, price_json, usage_from_json, usage_json
from gatewayz.core.money import divide_half_even
from gatewayz.core.usage import Usage
from tests.unit.catalog.catalog_values import a_price

IMAGES = {"image": 40, "image:hd": 80, "image:1024x1792": 120, "image:hd/1024x1792": 160}


def priced(**more: Any) -> Any:
    return a_price(0, 0, **more)


@pytest.mark.parametrize(
    ("variant", "price"),
    [
        ("", 40), ("standard/1024x1024", 40), ("hd/", 80), ("hd/1024x1024", 80), ("/1024x1792", 120),
        ("hd/1024x1792", 160), ("low/1024x1792", 120),
    ],
)  # fmt: skip
def test_size_and_quality_find_the_closest_price(variant: str, price: int) -> None:
    pinned = billed_by(priced(units=IMAGES), "image_generations", variant)
    assert pinned is not None
    assert (dict(pinned.units), pinned.basis) == ({"image": price}, f"image_generations {variant}".rstrip())


def test_without_a_plain_price_the_dearest_that_fits_counts_and_others_are_refused() -> None:
    price = priced(units={"image:low/1024x1024": 11, "image:high/1024x1024": 167, "image:high/1536x1024": 250})
    found = {
        variant: pinned and pinned.units["image"]
        for variant in ("", "high/", "low/", "/1024x1024", "medium/1024x1024", "high/1536x1024")
        for pinned in (billed_by(price, "image_edits", variant),)
    }
    assert found == {
        "": 250, "high/": 250, "low/": 11, "/1024x1024": 167, "medium/1024x1024": None, "high/1536x1024": 250,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("service", "more", "units", "by_token"),
    [
        ("embeddings", {"prompt": 5}, {}, True),
        ("embeddings", {"units": {"million_characters": 5}}, None, False),
        ("rerank", {"prompt": 5, "units": {"query": 2}}, {"query": 2}, False),
        ("rerank", {"prompt": 5}, {}, True),
        ("transcriptions", {"prompt": 5, "units": {"second_input": 2, "second_output": 2}}, {"second_input": 2}, False),
        ("translations", {"prompt": 5, "completion": 9, "audio_input": 6}, {}, True),
        (
            "speech",
            {"prompt": 5, "units": {"million_characters": 2, "second_output": 1}},
            {"million_characters": 2},
            False,
        ),
        ("speech", {"prompt": 5, "audio_output": 3}, None, False),
        ("image_variations", {"image_output": 5}, {}, True),
        ("image_generations", {"units": {"image_input": 5}}, {"image": 5}, False),
        ("image_generations", {"units": {"million_pixels_input": 5}}, None, False),
        ("moderations", {"request_nano_usd": 5}, {}, False),
    ],
)
def test_one_price_is_the_basis(service: str, more: dict[str, Any], units: Any, by_token: bool) -> None:
    stated = {"prompt": 0, "completion": 0, **more}
    pinned = billed_by(a_price(**stated), service)
    assert (None if pinned is None else dict(pinned.units)) == units
    if pinned is not None:
        assert counts_tokens(pinned) == by_token
        assert (pinned.id, pinned.source, pinned.request_nano_usd) == (1, "test", more.get("request_nano_usd", 0))


def test_a_free_price_stays_free() -> None:
    pinned = billed_by(priced(), "speech")
    assert pinned is not None and cost(pinned, Usage(characters=10**9, images=5)) == 0


def test_another_price_is_put_on_the_same_basis_or_has_nothing_to_say() -> None:
    pinned = billed_by(priced(units=IMAGES), "image_generations", "hd/1024x1792")
    assert pinned is not None
    newer = like(priced(units={"image": 7, "image:hd": 9}), pinned)
    assert newer is not None and dict(newer.units) == {"image": 9}
    assert like(a_price(), pinned) is None  # no tokens were counted: it would come out as nothing
    assert like(pinned, pinned) is pinned
    assert like(a_price(), a_price()) == a_price()


counts = st.integers(0, 10**9)
amounts = st.integers(0, 10**12)


@given(counts, counts, counts, counts, counts, st.dictionaries(
    st.sampled_from(["image", "second_input", "second_output", "million_characters", "query"]), amounts))  # fmt: skip
def test_pieces_are_summed_exactly_and_rounded_once(
    images: int, ms_in: int, ms_out: int, characters: int, searches: int, units: dict[str, int]
) -> None:
    usage = Usage(images=images, audio_input_ms=ms_in, audio_output_ms=ms_out, characters=characters, searches=searches)
    get = units.get
    micro = (
        images * get("image", 0) * 10**6 + ms_in * get("second_input", 0) * 10**3 + ms_out * get("second_output", 0) * 10**3
        + characters * get("million_characters", 0) + searches * get("query", 0) * 10**6
    )  # fmt: skip
    price = priced(units=units, basis="x")
    assert cost(price, usage) == divide_half_even(micro, 10**6)
    assert usage_from_json(usage_json(usage)) == usage
    assert cost(price_from_json(price_json(price)), usage) == cost(price, usage)


@given(counts, counts, counts, counts, amounts, amounts, amounts, amounts)
def test_image_tokens_are_charged_once_in_their_own_kind(
    text: int, image: int, made: int, written: int, prompt: int, completion: int, image_in: int, image_out: int
) -> None:
    usage = Usage(text + image, made + written, image_input_tokens=image, image_output_tokens=made)
    price = a_price(prompt, completion, image_input=image_in, image_output=image_out, basis="image_edits")
    micro = text * prompt + image * image_in + made * image_out + written * completion
    assert cost(price, usage) == divide_half_even(micro, 10**6)
    assert cost(price_from_json(price_json(price)), usage) == cost(price, usage)


@given(st.builds(Usage, prompt_tokens=counts, completion_tokens=counts, images=counts, characters=counts), amounts)
def test_a_chat_is_never_charged_by_the_piece_that_it_does_not_count(usage: Usage, unit: int) -> None:
    chat = Usage(usage.prompt_tokens, usage.completion_tokens)
    assert cost(a_price(units={"web_search": unit, "image": unit}), chat) == cost(a_price(), chat)


def test_counts_that_are_zero_are_not_kept() -> None:
    assert usage_json(Usage(images=2)) == '{"images":2}'
    assert "units" not in price_json(a_price(units={"image": 4}))
