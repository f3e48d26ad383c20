"""From what somebody typed to the model that is meant."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gatewayz.catalog import Catalog, find, pin, resolve
from gatewayz.catalog.aliases import AliasTables
from gatewayz.catalog.snapshot import build
from gatewayz.core.errors import InvalidRequest, NotFound
from tests.unit.catalog.catalog_values import NO_TABLES, a_catalog, a_model, an_offer, seeded_catalog


@pytest.fixture(scope="module")
def seeded() -> Catalog:
    return seeded_catalog()


@pytest.mark.ac("AC-2.1.1", "AC-2.1.2", "AC-2.1.3")
@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("gpt-4o", "openai/gpt-4o"),
        ("r1", "deepseek/deepseek-r1"),
        ("openai/gpt-4o", "openai/gpt-4o"),
        ("  OpenAI/GPT-4o ", "openai/gpt-4o"),
        ("\tR1\n", "deepseek/deepseek-r1"),
        ("claude-sonnet-4-5-20250929", "anthropic/claude-sonnet-4.5"),
        ("deepseek-chat-v3", "deepseek/deepseek-chat"),
        ("deepseek-chat-v3.1", "deepseek/deepseek-chat-v3.1"),
        ("models/gemini-2.5-flash", "google/gemini-2.5-flash"),
        ("openai/gpt-oss-20b:free", "openai/gpt-oss-20b:free"),
        ("gpt-oss-20b:free", "openai/gpt-oss-20b:free"),
    ],
)
def test_names_mean_their_model(seeded: Catalog, typed: str, meant: str) -> None:
    found = resolve(seeded, typed)
    assert found.model.id == meant
    assert (found.provider_pin, found.redirected_from, found.sort) == (None, None, None)
    assert found.offers == seeded.offers_of(meant) != ()


def test_every_alias_of_a_model_that_is_offered_means_it(seeded: Catalog) -> None:
    assert len(seeded.aliases) >= 500
    for name, target in seeded.aliases.items():
        found = find(seeded, name)
        assert found is not None and found.model.id.lower() == target


@pytest.mark.ac("AC-2.1.4")
def test_gemini_goes_to_vertex_first_where_vertex_offers_it(seeded: Catalog) -> None:
    found = resolve(seeded, "google/gemini-2.5-pro")
    assert found.preferred_provider == found.offers[0].provider == "google-vertex"
    assert found.provider_pin is None
    assert {offer.provider for offer in found.offers} > {"google-vertex", "google-ai-studio", "openrouter"}


def test_mistralai_prefers_openrouter(seeded: Catalog) -> None:
    assert resolve(seeded, "mistralai/mistral-nemo").preferred_provider == "openrouter"
    assert resolve(seeded, "mistralai/mistral-nemo").offers[0].provider == "openrouter"


@pytest.mark.parametrize("name", ["grok-2", "grok-2-1212"])
@pytest.mark.parametrize("prefix", ["", "xai/", "x-ai/", "X-AI/"])
def test_retired_grok_is_redirected_and_says_so_only_to_the_log(seeded: Catalog, prefix: str, name: str) -> None:
    found = resolve(seeded, prefix + name)
    assert found.model.id == "x-ai/grok-3"
    assert found.redirected_from == (prefix + name).lower()
    assert [offer.native_id for offer in found.offers if offer.provider == "xai"] == ["grok-3"]


def test_generic_deepseek_is_sent_pinned_to_openrouter_at_the_pinned_price(seeded: Catalog) -> None:
    behind = [o for o in seeded.offers_of("deepseek/deepseek-chat-v3-0324") if o.provider == "openrouter"]
    for typed in ("deepseek-chat", "deepseek-chat-v3", "deepseek-chat-v3.1"):
        sent = [offer for offer in resolve(seeded, typed).offers if offer.provider == "openrouter"]
        assert [offer.native_id for offer in sent] == ["deepseek/deepseek-chat-v3-0324"]
        assert [offer.price for offer in sent] == [behind[0].price]


def test_a_provider_in_front_pins_it_unless_it_is_the_organisation(seeded: Catalog) -> None:
    pinned = resolve(seeded, "groq/llama-3.3-70b-versatile")
    assert (pinned.model.id, pinned.provider_pin) == ("meta-llama/llama-3.3-70b-instruct", "groq")
    assert {offer.provider for offer in pinned.offers} == {"groq"}
    assert resolve(seeded, "openrouter/openai/gpt-4o").provider_pin == "openrouter"
    assert resolve(seeded, "anthropic/claude-sonnet-4-5-20250929").provider_pin is None
    assert resolve(seeded, "vertex_ai/gemini-2.5-pro").provider_pin == "google-vertex"


def test_a_providers_own_way_of_writing_pins_it(seeded: Catalog) -> None:
    found = resolve(seeded, "accounts/fireworks/models/deepseek-v3p2")
    assert (found.model.id, found.provider_pin) == ("deepseek/deepseek-v3.2", "fireworks")


def test_fast_is_the_base_model_with_a_wish() -> None:
    catalog = a_catalog(("acme/one", "p"), ("acme/one:free", "p"))
    assert resolve(catalog, "acme/one:fast").model.id == "acme/one"
    assert resolve(catalog, "acme/one:fast").sort == "latency"
    assert resolve(catalog, "p/acme/one:FAST").provider_pin == "p"
    assert resolve(catalog, "acme/one:free:fast").model.id == "acme/one:free"


def test_free_is_never_the_paid_model() -> None:
    catalog = a_catalog(("acme/one", "p"), ("acme/two", "p"), ("acme/two:free", "q"))
    with pytest.raises(NotFound):
        resolve(catalog, "acme/one:free")
    assert resolve(catalog, "acme/two:free").model.id == "acme/two:free"
    with pytest.raises(NotFound):
        resolve(catalog, "p/acme/two:free")


def test_an_id_of_the_catalog_comes_before_an_alias_and_a_retired_name_before_both() -> None:
    tables = AliasTables({"acme/one": "acme/two"}, {"acme/old": "acme/two"}, {}, frozenset())
    catalog = a_catalog(("acme/one", "p"), ("acme/two", "p"), ("acme/old", "p"), tables=tables)
    assert resolve(catalog, "acme/one").model.id == "acme/one"
    assert resolve(catalog, "acme/old").model.id == "acme/two"
    assert catalog.model("acme/old") is None


def test_bare_names_younger_than_the_tables_are_found_by_their_family() -> None:
    catalog = a_catalog(("openai/gpt-9", "p"), ("anthropic/claude-9", "p"))
    assert resolve(catalog, "gpt-9").model.id == "openai/gpt-9"
    assert resolve(catalog, "Claude-9").model.id == "anthropic/claude-9"


@pytest.mark.ac("AC-2.1.7")
@pytest.mark.parametrize(
    ("typed", "near"), [("gpt-4oo", "openai/gpt-4o"), ("lama-3.3-70b", "meta-llama/llama-3.3-70b-instruct")]
)
def test_an_unknown_model_is_refused_in_the_callers_words_with_close_matches(
    seeded: Catalog, typed: str, near: str
) -> None:
    with pytest.raises(NotFound) as refusal:
        resolve(seeded, f" {typed} ")
    assert (refusal.value.status, refusal.value.code, refusal.value.param) == (404, "model_not_found", "model")
    assert f"`{typed}`" in refusal.value.message
    assert refusal.value.suggestions[0] == near


def test_close_matches_are_only_what_the_given_providers_serve(seeded: Catalog) -> None:
    with pytest.raises(NotFound) as refusal:
        resolve(seeded, "gpt-4oo", providers={"anthropic"})
    assert all(seeded.served_by(name, {"anthropic"}) for name in refusal.value.suggestions)


@pytest.mark.ac("AC-2.1.7")
@given(typed=st.text(max_size=60))
def test_no_text_is_anything_but_found_or_not_found(seeded: Catalog, typed: str) -> None:
    try:
        assert resolve(seeded, typed).offers
    except (NotFound, InvalidRequest) as refusal:
        assert refusal.code in ("model_not_found", "model_kind_not_served")


@pytest.mark.ac("AC-2.1.7")
@pytest.mark.parametrize("typed", [":fast" * 40_000, "models/" * 40_000, "x" * 1_000_000, "a/" * 100, "models/" * 30])
def test_a_monstrous_name_is_just_unknown(seeded: Catalog, typed: str) -> None:
    with pytest.raises(NotFound) as refusal:
        resolve(seeded, typed)
    assert len(refusal.value.message) < 500


def test_a_model_of_another_kind_is_refused_by_its_kind() -> None:
    catalog = build([a_model("acme/vectors", kind="embedding")], [an_offer("acme/vectors", "p")], NO_TABLES)
    with pytest.raises(InvalidRequest) as refusal:
        resolve(catalog, "acme/vectors")
    assert refusal.value.code == "model_kind_not_served"
    assert resolve(catalog, "acme/vectors", kind="embedding").model.id == "acme/vectors"


def test_an_explicit_provider_narrows_the_offers_or_is_refused() -> None:
    catalog = a_catalog(("acme/one", "p"), ("acme/one", "q"), ("acme/two", "r"))
    found = resolve(catalog, "acme/one")
    assert [offer.provider for offer in pin(catalog, found, " Q ", "acme/one").offers] == ["q"]
    for provider in ("r", "nobody"):
        with pytest.raises(NotFound) as refusal:
            pin(catalog, found, provider, "one")
        assert refusal.value.suggestions == ("p", "q")
        assert provider in refusal.value.message


def test_known_names_resolve_in_microseconds_and_unknown_ones_in_milliseconds_among_ten_thousand() -> None:
    ids = [f"maker-{number % 97}/model-{number}-{number % 7}b-instruct" for number in range(10_000)]
    catalog = a_catalog(*((model_id, "p") for model_id in ids))
    catalog.near("build the index")
    known = min(_time_s(catalog, "maker-5/model-4952-3b-instruct", 200) for _ in range(5))
    unknown = min(_time_s(catalog, "model-4952-3b-instrukt", 1) for _ in range(5))
    assert known < 20e-6
    assert unknown < 60e-3


def _time_s(catalog: Catalog, name: str, times: int) -> float:
    start = time.perf_counter()
    for _ in range(times):
        try:
            resolve(catalog, name)
        except NotFound:
            pass
    return (time.perf_counter() - start) / times
