"""From offers to attempts: who may serve, in which order, and why the others may not."""

from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gatewayz.catalog import Model, Offer, PriceSnapshot, build
from gatewayz.core.errors import InvalidRequest, RateLimited, Unavailable
from gatewayz.providers.failures import Failure, FailureKind
from gatewayz.providers.profile import Provider
from gatewayz.routing.alternatives import alternatives
from gatewayz.routing.failover import RULES, Step, backoff_s, final_error
from gatewayz.routing.plan import Plan, Wish, plan

KNOWN = frozenset({"openai", "anthropic", "openrouter", "groq", "together", "sim"})
TEXT = frozenset({"streaming", "tools"})


def model(name: str, *, capabilities: frozenset[str] = TEXT, status: str = "active") -> Model:
    return Model(name, name, name.partition("/")[0], "chat", 1000, 100, "text->text", capabilities, 0, status=status)


def offer(
    provider: str, *, able: frozenset[str] = TEXT, price: int = 5, status: str = "active", of: str = "m/m"
) -> Offer:
    return Offer(1, of, provider, "native", PriceSnapshot(1, "t", 0, price, price), 1000, 100, able, status=status)


def active(*slugs: str) -> dict[str, Provider]:
    return {slug: Provider(slug, slug, "openai", "http://x", {}, priority=place) for place, slug in enumerate(slugs)}


def planned(
    name: str,
    *offers: Offer,
    slugs: tuple[str, ...],
    wish: Wish | None = None,
    is_open: Callable[[str], bool] = lambda _: False,
) -> Plan:
    return plan(model(name), offers, active(*slugs), KNOWN, wish or Wish(frozenset()), is_open)


def order(found: Plan) -> list[str]:
    return [candidate.provider.slug for candidate in found.candidates]


EVERYONE = ("groq", "together", "openrouter", "openai", "anthropic")
EVERYWHERE = tuple(offer(slug) for slug in EVERYONE)


@pytest.mark.ac("AC-2.4.5", "AC-2.4.6")
@pytest.mark.parametrize("vendor", ["openai", "anthropic"])
def test_vendor_chains_are_closed(vendor: str) -> None:
    found = planned(f"{vendor}/some-model", *EVERYWHERE, slugs=EVERYONE)
    assert set(order(found)) == {vendor, "openrouter"}
    assert {item.reason for item in found.excluded} == {"not_in_vendor_chain"}


@pytest.mark.ac("AC-2.4.6")
def test_a_cloud_joins_the_chain_where_the_operator_has_named_it() -> None:
    slugs = ("anthropic", "openrouter", "google-vertex-anthropic", "groq")
    offers = [offer(slug) for slug in slugs]

    def served(name: str, *, configured: bool) -> list[str]:
        providers = {slug: replace(each, configured=configured) for slug, each in active(*slugs).items()}
        known = frozenset(slugs)
        return order(plan(model(name), offers, providers, known, Wish(frozenset()), lambda _: False))

    assert served("anthropic/claude-x", configured=False) == ["anthropic", "openrouter"]
    assert served("anthropic/claude-x", configured=True) == ["anthropic", "openrouter", "google-vertex-anthropic"]
    assert served("openai/gpt-x", configured=True) == ["openrouter"], "it is a cloud of Anthropic's models alone"


@pytest.mark.ac("AC-2.4.7")
@pytest.mark.parametrize("name", ["meta-llama/llama-3-70b", "openai/gpt-oss-120b"])
def test_open_weights_may_go_everywhere(name: str) -> None:
    assert order(planned(name, *EVERYWHERE, slugs=EVERYONE)) == list(EVERYONE)


def test_a_provider_of_the_operators_own_may_serve_any_vendor() -> None:
    assert order(planned("openai/gpt-4o", offer("my-proxy"), slugs=("my-proxy",))) == ["my-proxy"]


def test_preferred_comes_first_and_deprecated_last() -> None:
    found = planned(
        "mistralai/m",
        offer("groq", status="deprecated"),
        offer("together"),
        offer("openrouter"),
        slugs=("groq", "together", "openrouter"),
        wish=Wish(frozenset(), preferred="openrouter"),
    )
    assert order(found) == ["openrouter", "together", "groq"]


def test_the_cheaper_of_two_offers_at_one_provider_is_tried() -> None:
    found = planned("m/m", offer("groq", price=9), offer("groq", price=3), slugs=("groq",))
    assert [candidate.offer.price.prompt for candidate in found.candidates if candidate.offer.price] == [3]


@pytest.mark.ac("AC-2.4.8")
def test_open_breakers_are_left_out() -> None:
    found = planned("m/m", *EVERYWHERE, slugs=EVERYONE, is_open=lambda slug: slug in ("groq", "openai"))
    assert order(found) == ["together", "openrouter", "anthropic"]
    with pytest.raises(Unavailable) as refused:
        planned("m/m", offer("groq"), slugs=("groq",), is_open=lambda _: True)
    assert refused.value.headers["Retry-After"]


def test_what_nobody_can_is_the_callers_choice_of_model() -> None:
    with pytest.raises(InvalidRequest) as refused:
        planned("m/m", offer("groq", able=frozenset()), slugs=("groq",), wish=Wish(frozenset({"tools"})))
    assert refused.value.param == "tools"


def test_needs_that_do_not_change_the_meaning_exclude_nobody() -> None:
    found = planned(
        "m/m", offer("groq"), slugs=("groq",), wish=Wish(frozenset({"logprobs", "reasoning", "json_object"}))
    )
    assert order(found) == ["groq"]


def test_an_abler_provider_is_chosen_over_an_earlier_one() -> None:
    offers = (offer("groq"), offer("together", able=TEXT | {"vision"}))
    found = planned("m/m", *offers, slugs=("groq", "together"), wish=Wish(frozenset({"vision"})))
    assert order(found) == ["together"]
    assert [(item.provider, item.reason) for item in found.excluded] == [("groq", "cannot_vision")]


def test_a_pin_is_obeyed_or_refused() -> None:
    assert order(planned("m/m", *EVERYWHERE, slugs=EVERYONE, wish=Wish(frozenset(), pin="together"))) == ["together"]
    with pytest.raises(InvalidRequest) as refused:
        planned("m/m", offer("groq"), slugs=("groq", "together"), wish=Wish(frozenset(), pin="together"))
    assert refused.value.param == "provider"


@given(st.permutations(EVERYWHERE))
def test_the_order_of_offers_does_not_matter(offers: list[Offer]) -> None:
    assert order(planned("m/m", *offers, slugs=EVERYONE)) == list(EVERYONE)


def test_every_failure_has_its_rule_and_its_error() -> None:
    assert set(RULES) == set(FailureKind)
    for kind in FailureKind:
        error = final_error(Failure(kind, reason="x"), "acme/chat", others=True)
        assert 400 <= error.status < 600
        assert "acme/chat" in error.message or RULES[kind].step is Step.STOP


def test_a_model_gone_everywhere_is_404_and_gone_somewhere_is_503() -> None:
    gone = Failure(FailureKind.MODEL_GONE, status=404, reason="x")
    assert final_error(gone, "m", others=False).status == 404
    assert final_error(gone, "m", others=True).status == 503


def test_our_own_trouble_never_looks_like_the_callers() -> None:
    for kind in (FailureKind.CREDENTIALS, FailureKind.CREDIT):
        assert final_error(Failure(kind, status=401, reason="x"), "m", others=True).status == 503


def test_a_rate_limit_upstream_says_when_to_return() -> None:
    error = final_error(Failure(FailureKind.BUSY, status=429, retry_after_s=7.2, reason="x"), "m", others=True)
    assert isinstance(error, RateLimited)
    assert error.headers["Retry-After"] == "7"


@given(st.integers(0, 20), st.floats(0, 1), st.none() | st.floats(0, 100))
def test_backoff_grows_is_bounded_and_honours_the_provider(retry: int, luck: float, told: float | None) -> None:
    pause = backoff_s(retry, told, luck)
    if told is not None:
        assert told <= pause <= told * 1.1 + 1e-9
    else:
        assert 0.25 <= pause <= 20
        assert pause <= 0.5 * 2**retry


def test_alternatives_are_able_usable_and_near() -> None:
    models = [model("a/gone"), model("a/sister"), model("b/other"), model("c/weak", capabilities=frozenset())]
    offers = [
        offer("groq", of="a/gone"),
        offer("groq", of="a/sister", price=7),
        offer("together", of="b/other", price=100),
        offer("together", of="c/weak"),
        offer("openrouter", of="a/sister"),
    ]
    catalog = build(models, offers)
    assert alternatives(models[0], catalog, {"groq", "together"}, {"groq"}) == ("b/other", "a/sister")
    assert alternatives(models[0], catalog, {"groq"}, {"groq"}) == ("a/sister",)
    assert alternatives(models[0], catalog, set(), set()) == ()
