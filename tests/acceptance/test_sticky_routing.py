"""A conversation stays at the provider that has its prompt cached, and leaves it when it must."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance import spine
from tests.fakes.handle import FakeUpstream
from tests.live import Customer, LiveGateway

MODEL, FLAT, MARKED = "acme/talk", "acme/flat", "acme/marked"
LONG = (
    "You answer in one word, and you never explain what you mean by it. " * 100
)  # 6,700 characters: some 1,700 tokens
CACHED = {"prompt": 1700, "completion": 5, "cached": 1500}
DOWN = {"status": 500}


def offers(model: str, *prices: tuple[str, float, float | None]) -> str:
    """A model with offers of (provider, USD per million prompt tokens, and per million read from the cache)."""
    text = spine.model_toml(model, ())
    for slug, prompt, read in prices:
        text += f'[[models.offers]]\nprovider = "{slug}"\nnative_id = "native-{slug}"\n'
        text += f"price_prompt_usd_per_mtok = {prompt}\nprice_completion_usd_per_mtok = 8\n"
        text += f"price_cache_read_usd_per_mtok = {read}\n" if read is not None else ""
    return text


def config(upstream: FakeUpstream) -> str:
    settings = spine.settings_toml(breaker_failures=2, breaker_cooldown_s=3600)
    texts = [settings, spine.provider_toml(upstream, "first", priority=1)]
    texts += [spine.provider_toml(upstream, "second", priority=2)]
    texts += [spine.provider_toml(upstream, "third", "anthropic", priority=3)]
    # `second` is dearer by its list, and cheaper once it has the prompt in its cache.
    texts += [offers(MODEL, ("first", 2, None), ("second", 2.5, 0.25))]
    texts += [offers(FLAT, ("first", 2, None), ("second", 2.5, None))]
    texts += [offers(MARKED, ("first", 2, None), ("third", 2.5, 0.25))]
    return "".join(texts)


@pytest.fixture(scope="module")
def upstream() -> Iterator[FakeUpstream]:
    with FakeUpstream() as fake:
        yield fake


@pytest.fixture(scope="module")
def gateway(upstream: FakeUpstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveGateway]:
    with LiveGateway(tmp_path_factory.mktemp("sticky"), config(upstream)) as live:
        yield live


@pytest.fixture
def customer(gateway: LiveGateway, upstream: FakeUpstream) -> Customer:
    """An account that can pay, before providers that are well and report what they read from their caches."""
    gateway.call("POST", "/circuit-breakers/reset-all")
    for slug in ("first", "second"):
        upstream.script(slug, default={"usage": CACHED})
    return gateway.customer(5)


def turns(question: str, count: int, *, system: str = LONG) -> list[dict[str, Any]]:
    """The messages of a conversation at its turn `count` (1 is the first)."""
    messages: list[dict[str, Any]] = [{"role": "system", "content": system}, {"role": "user", "content": question}]
    for turn in range(2, count + 1):
        messages += [{"role": "assistant", "content": "Yes."}, {"role": "user", "content": f"And {turn}?"}]
    return messages


def say(customer: Customer, question: str, turn: int, *, model: str = MODEL, stream: bool = False, **more: Any) -> str:
    """Who served this turn."""
    body = {"model": model, "messages": turns(question, turn), "stream": stream, **more}
    answer = customer.call("POST", "/v1/chat/completions", body)
    assert answer.status_code == 200, answer.text
    text = spine.text_of("openai", answer)
    assert text.startswith("Hello from ")
    return text.removeprefix("Hello from ")


def moved_to_second(customer: Customer, upstream: FakeUpstream, question: str, **more: Any) -> None:
    """A first turn that `first` could not serve."""
    upstream.script("first", DOWN)
    assert say(customer, question, 1, **more) == "second"


@pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])
def test_a_conversation_that_failover_moved_stays_after_the_recovery(
    customer: Customer, upstream: FakeUpstream, stream: bool
) -> None:
    question = f"Who? {stream}"
    moved_to_second(customer, upstream, question, stream=stream)
    assert [say(customer, question, turn, stream=stream) for turn in (2, 3, 4)] == ["second"] * 3
    assert say(customer, "Somebody else?", 1) == "first", "another conversation goes by the order, as ever"
    assert say(customer, question, 5) == "second"


def test_it_moves_on_when_the_breaker_opens_and_stays_there_too(
    gateway: LiveGateway, customer: Customer, upstream: FakeUpstream
) -> None:
    moved_to_second(customer, upstream, "Where?")
    assert say(customer, "Where?", 2) == "second"
    upstream.script("second", DOWN, DOWN)
    assert say(customer, "Where?", 3) == "first"
    assert say(customer, "Where?", 4) == "first", "it sticks to the provider that it was moved to"
    moved_to_second_again = "Again?"
    upstream.reset()
    upstream.script("second", default={"usage": CACHED})
    upstream.script("first", DOWN, default={"usage": CACHED})
    assert say(customer, moved_to_second_again, 1) == "second"
    upstream.script("second", DOWN, DOWN)
    # Two conversations of other people open its breaker; this one does not wait for a failure of its own.
    for name in ("x", "y"):
        upstream.script("first", DOWN)
        other = gateway.customer(1)
        body = {"model": MODEL, "messages": turns(name, 1)}
        assert other.call("POST", "/v1/chat/completions", body).status_code == 502
        gateway.call("POST", "/circuit-breakers/first/reset")
    assert gateway.call("GET", "/circuit-breakers/second").json()["state"].upper() == "OPEN"
    before = len(upstream.journal("second"))
    assert say(customer, moved_to_second_again, 2) == "first"
    assert len(upstream.journal("second")) == before


def test_a_pin_is_obeyed_and_holds_for_one_request(customer: Customer) -> None:
    assert say(customer, "When?", 1) == "first"
    assert say(customer, "When?", 2, provider="second") == "second"
    assert say(customer, "When?", 3) == "first", "a pin is a word about one request"


def test_a_short_prompt_follows_the_order(customer: Customer, upstream: FakeUpstream) -> None:
    upstream.script("first", DOWN)
    short = {"model": MODEL, "messages": turns("Why?", 1, system="Be brief.")}
    for expected in ("second", "first"):
        answer = customer.call("POST", "/v1/chat/completions", short)
        assert spine.text_of("openai", answer) == f"Hello from {expected}"


def test_without_a_saving_the_cheaper_provider_has_it_back(customer: Customer, upstream: FakeUpstream) -> None:
    moved_to_second(customer, upstream, "How much?", model=FLAT)
    assert say(customer, "How much?", 2, model=FLAT) == "first"


def test_a_provider_that_caches_what_is_marked_keeps_only_that(customer: Customer, upstream: FakeUpstream) -> None:
    upstream.script("third", {"usage": {"prompt": 1700, "completion": 5}})
    upstream.script("first", DOWN)
    assert say(customer, "Unmarked?", 1, model=MARKED) == "third"
    assert say(customer, "Unmarked?", 2, model=MARKED) == "first"
    upstream.script("third", default={"usage": {"prompt": 1700, "completion": 5, "cache_write": 1500}})
    upstream.script("first", DOWN)
    assert say(customer, "Marked?", 1, model=MARKED) == "third"
    assert say(customer, "Marked?", 2, model=MARKED) == "third"


def test_a_conversation_with_a_name_is_known_by_it(customer: Customer, upstream: FakeUpstream) -> None:
    moved_to_second(customer, upstream, "One?", prompt_cache_key="thread-7")
    assert say(customer, "Two?", 1, prompt_cache_key="thread-7") == "second"
    assert say(customer, "One?", 2, prompt_cache_key="thread-8") == "first"


def test_accounts_do_not_share_conversations(gateway: LiveGateway, customer: Customer, upstream: FakeUpstream) -> None:
    moved_to_second(customer, upstream, "Ours?")
    assert say(gateway.customer(5), "Ours?", 2) == "first"


def test_hits_of_caches_are_counted_by_model(gateway: LiveGateway, customer: Customer, upstream: FakeUpstream) -> None:
    def counted(name: str) -> float:
        return spine.metric(gateway, f"{name}_total", model=FLAT, provider="first")

    def placed(decision: str) -> float:
        return spine.metric(gateway, "conversation_placements_total", decision=decision)

    before = {name: counted(name) for name in ("prompt_tokens", "cached_prompt_tokens")}
    new, kept = placed("new"), placed("kept")
    upstream.script("first", {"usage": {"prompt": 2000, "completion": 5}}, {"usage": {**CACHED, "prompt": 2000}})
    assert [say(customer, "Counted?", turn, model=FLAT) for turn in (1, 2)] == ["first", "first"]
    upstream.script("first", {"usage": None})
    say(customer, "Silent?", 1, model=FLAT)
    spine.eventually(lambda: placed("new") == new + 2 and placed("kept") == kept + 1, "placements are counted")
    assert counted("prompt_tokens") - before["prompt_tokens"] == 4000, "a guess is not counted"
    assert counted("cached_prompt_tokens") - before["cached_prompt_tokens"] == 1500
    prompt, cached = (spine.metric(gateway, f"{name}_total", model=MODEL) for name in before)
    assert prompt and cached
    ratio = spine.metric(gateway, "prompt_cache_hit_ratio", model=FLAT)
    assert 0 < ratio < 1
    totals = {
        name: spine.metric(gateway, f"{name}_total", model=FLAT, provider="second") + counted(name) for name in before
    }
    assert ratio == pytest.approx(totals["cached_prompt_tokens"] / totals["prompt_tokens"])


def test_staying_can_be_switched_off(upstream: FakeUpstream, tmp_path: Path) -> None:
    text = config(upstream).replace("[settings]\n", "[settings]\nsticky_conversations = 0\n")
    with LiveGateway(tmp_path, text) as live:
        customer = live.customer(5)
        moved_to_second(customer, upstream, "Off?")
        assert say(customer, "Off?", 2) == "first"
