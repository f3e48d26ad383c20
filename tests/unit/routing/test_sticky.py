"""Which conversation is it, where does it stay, and how much is remembered."""

import json
from dataclasses import replace
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gatewayz.catalog import Offer, PriceSnapshot
from gatewayz.core.usage import Usage
from gatewayz.dialects.anthropic import ANTHROPIC
from gatewayz.dialects.openai_chat import OPENAI_CHAT as OPENAI
from gatewayz.providers.profile import Provider
from gatewayz.providers.ways import Way
from gatewayz.routing.conversation import LOOKED_AT_BYTES, conversation_key
from gatewayz.routing.conversations import Conversations
from gatewayz.routing.plan import Candidate, Excluded, Plan
from gatewayz.routing.sticky import LONG_LIFE_S, SHORT_LIFE_S, Stay, stay_after, stick


def candidate(
    slug: str,
    *,
    prompt: int = 10,
    completion: int = 40,
    cache_read: int | None = 1,
    location: str | None = None,
    dialect: Any = "openai",
) -> Candidate:
    price = PriceSnapshot(1, "t", 0, prompt, completion, cache_read=cache_read)
    offer = Offer(1, "m/m", slug, "native", price, 100_000, 1000, frozenset())
    return Candidate(offer, Provider(slug, slug, dialect, "http://x", {}, location=location), Way(dialect, "http://x"))


def stay(slug: str, location: str | None = None, *, warm: int = 2000) -> Stay:
    return Stay(slug, location, 100.0, SHORT_LIFE_S, warm, 50)


def order(plan: Plan) -> list[tuple[str, str | None]]:
    return [(each.provider.slug, each.provider.location) for each in plan.candidates]


def well(_slug: str) -> bool:
    return True


A, B, C = candidate("a"), candidate("b"), candidate("c")
ABC = Plan((A, B, C), (Excluded("d", "cannot_vision"),))


def test_a_conversation_stays_where_it_was() -> None:
    plan, decision = stick(ABC, stay("b"), 3000, well)
    assert decision == "kept" and order(plan) == [("b", None), ("a", None), ("c", None)]
    assert plan.excluded == ABC.excluded


def test_nothing_is_remembered_nothing_changes() -> None:
    assert stick(ABC, None, 3000, well) == (ABC, "new")
    plan, decision = stick(ABC, stay("a"), 3000, well)
    assert decision == "kept" and plan is ABC


def test_a_provider_that_is_not_in_the_plan_is_never_brought_back() -> None:
    # Pinned elsewhere, unable, open: the plan does not have it, and so it is not asked.
    assert stick(ABC, stay("d"), 3000, well) == (ABC, "unable")
    assert stick(ABC, stay("b", "europe-west4"), 3000, well) == (ABC, "unable")


def test_a_provider_that_is_being_probed_is_not_healthy() -> None:
    assert stick(ABC, stay("b"), 3000, lambda slug: slug != "b") == (ABC, "unable")


@pytest.mark.parametrize(
    ("here", "there", "decision"),
    [
        # all prompts dearer by the list; 2,000 of 3,000 tokens read from the cache make up for it, or do not
        ({"prompt": 30, "cache_read": 3}, {"prompt": 10, "cache_read": None}, "dearer"),
        ({"prompt": 20, "cache_read": 0}, {"prompt": 10, "cache_read": None}, "kept"),
        ({"prompt": 15, "cache_read": 1}, {"prompt": 10, "cache_read": None}, "kept"),
        # without a price of its own the cache saves time only: kept where nothing is lost
        ({"prompt": 10, "cache_read": None}, {"prompt": 10, "cache_read": None}, "kept"),
        ({"prompt": 11, "cache_read": None}, {"prompt": 10, "cache_read": None}, "dearer"),
        # dear answers outweigh a cheap prompt
        ({"prompt": 10, "cache_read": 1, "completion": 900}, {"prompt": 10}, "dearer"),
        ({"prompt": 0, "cache_read": 0, "completion": 0}, {"prompt": 0, "completion": 0}, "kept"),
    ],
)
def test_a_cache_is_worth_a_detour_only_if_it_pays(here: dict[str, Any], there: dict[str, Any], decision: str) -> None:
    plan = Plan((candidate("a", **there), candidate("b", **here)))
    assert stick(plan, stay("b"), 3000, well)[1] == decision


def test_only_what_the_prompt_still_has_can_be_read_from_the_cache() -> None:
    plan = Plan((candidate("a", prompt=10), candidate("b", prompt=11, cache_read=0)))
    assert stick(plan, stay("b", warm=1_000_000), 1100, well)[1] == "kept"
    assert stick(plan, stay("b", warm=50), 1100, well)[1] == "dearer"


def test_a_location_is_kept_and_its_siblings_stay_beside_it() -> None:
    places = [candidate("v", location=name) for name in ("eu", "us", "asia")]
    plan, decision = stick(Plan((A, *places, B)), stay("v", "us"), 3000, well)
    assert decision == "kept"
    assert order(plan) == [("v", "us"), ("v", "eu"), ("v", "asia"), ("a", None), ("b", None)]
    dear = [replace(each, offer=replace(each.offer, price=None)) for each in places]
    plan, decision = stick(Plan(tuple(dear)), stay("v", "asia"), 3000, well)
    assert (decision, order(plan)[0]) == ("kept", ("v", "asia")), "within one provider the price is the same"


@given(st.integers(0, 3), st.integers(0, 10_000), st.permutations((A, B, C)))
def test_a_plan_never_wins_or_loses_a_candidate(at: int, tokens: int, candidates: list[Candidate]) -> None:
    plan = Plan(tuple(candidates))
    found, _ = stick(plan, stay("abcd"[at]), tokens, well)
    assert sorted(order(found)) == sorted(order(plan))


def test_a_choice_is_also_one_that_a_breaker_takes_away_for_now() -> None:
    assert ABC.has_choice and not Plan((A,)).has_choice
    assert Plan((A,), (Excluded("b", "breaker_open"),)).has_choice
    assert not Plan((A,), (Excluded("b", "cannot_vision"),)).has_choice


def after(usage: Usage, before: Stay | None = None, *, dialect: str = "openai", kept_long: bool = False) -> Stay | None:
    return stay_after(candidate("a", dialect=dialect), usage, 1000.0, before, kept_long=kept_long)


def test_what_is_warm_after_an_answer() -> None:
    long_prompt = after(Usage(2000, 50))
    assert long_prompt == Stay("a", None, 1000 + SHORT_LIFE_S, SHORT_LIFE_S, 2000, 50)
    assert after(Usage(1000, 50)) is None, "no provider caches so little"
    read = after(Usage(1000, 50, cached_tokens=900))
    assert read is not None and read.warm_tokens == 900
    assert after(Usage(2000, 50), dialect="anthropic") is None, "nothing was marked, so nothing was cached"
    written = after(Usage(2000, 50, cached_tokens=300, cache_write_5m_tokens=900), dialect="anthropic")
    assert written is not None and (written.warm_tokens, written.life_s) == (1200, SHORT_LIFE_S)


def test_a_cache_that_was_written_for_an_hour_is_believed_for_an_hour() -> None:
    written = after(Usage(2000, 50, cache_write_1h_tokens=1500), dialect="anthropic")
    assert written is not None and written.until_s == 1000 + LONG_LIFE_S
    read = after(Usage(2000, 50, cached_tokens=1500), written, dialect="anthropic")
    assert read is not None and read.life_s == LONG_LIFE_S
    moved = after(Usage(2000, 50, cached_tokens=1500), replace(written, provider="b"), dialect="anthropic")
    assert moved is not None and moved.life_s == SHORT_LIFE_S
    asked = after(Usage(2000, 50), kept_long=True)
    assert asked is not None and asked.life_s == LONG_LIFE_S


def test_the_memory_is_bounded_and_forgets_what_is_over() -> None:
    memory = Conversations(2)
    memory.note(b"1", stay("a"))
    memory.note(b"2", stay("b"))
    assert memory.find(b"1", 99.9) == stay("a")
    memory.note(b"3", stay("c"))
    assert memory.find(b"2", 0) is None and len(memory) == 2, "the least recently used goes first"
    assert memory.find(b"1", 100.0) is None and len(memory) == 1
    memory.note(b"3", None)
    memory.note(b"4", None)
    assert len(memory) == 0


def fields(body: dict[str, Any]) -> dict[str, msgspec.Raw]:
    return OPENAI.glance(json.dumps({"model": "m", **body}).encode()).fields


def key(messages: list[Any], *, account: int = 1, model: str = "m/m", user: str | None = None, **more: Any) -> bytes:
    return conversation_key(account, model, fields({"messages": messages, **more}), user)


SYSTEM = {"role": "system", "content": "You are terse. " * 50}
HELLO = {"role": "user", "content": 'Hello, äöü 🎈 \\ " ]}'}
TURN = [{"role": "assistant", "content": "Hi."}, {"role": "user", "content": "And now?"}]


def test_all_turns_of_a_conversation_are_one() -> None:
    first = key([SYSTEM, HELLO])
    assert len(first) == 16
    assert key([SYSTEM, HELLO, *TURN]) == first and key([SYSTEM, HELLO, *TURN * 3], temperature=0.3) == first
    turned = [{"content": "Hi.", "role": "assistant"}]
    assert key([SYSTEM, HELLO, *turned, *TURN]) == first


@pytest.mark.parametrize(
    "other",
    [
        {"messages": [SYSTEM, {"role": "user", "content": "Hello?"}]},
        {"messages": [{"role": "system", "content": "Be nice."}, HELLO]},
        {"messages": [HELLO]},
        {"messages": [SYSTEM, HELLO], "account": 2},
        {"messages": [SYSTEM, HELLO], "model": "m/n"},
        {"messages": [SYSTEM, HELLO], "user": "ada"},
        {"messages": [SYSTEM, HELLO], "prompt_cache_key": "x"},
    ],
)
def test_other_conversations_are_others(other: dict[str, Any]) -> None:
    assert key(**other) != key([SYSTEM, HELLO])


def test_a_client_that_names_its_conversation_is_believed() -> None:
    named = key([HELLO], prompt_cache_key="c-1")
    assert key([SYSTEM, *TURN], prompt_cache_key="c-1") == named != key([HELLO], prompt_cache_key="c-2")
    assert key([HELLO], session_id="s") == key(TURN, session_id="s") != key([HELLO], prompt_cache_key="s")
    assert key([HELLO], prompt_cache_key=None) == key([HELLO]) == key([HELLO], session_id="")


@pytest.mark.parametrize("spaced", [False, True])
def test_cache_marks_wander_and_change_nothing(spaced: bool) -> None:
    def of(system: dict[str, Any], hello: dict[str, Any], *later: Any) -> bytes:
        body = {
            "model": "m", "max_tokens": 5, "system": [{"type": "text", "text": "x" * 99, **system}],
            "messages": [{"role": "user", "content": [{**hello, "type": "text", "text": 'Say "cache_control":{}.'}]}, *later],
        }  # fmt: skip
        text = json.dumps(body) if spaced else json.dumps(body, separators=(",", ":"))
        return conversation_key(1, "m", ANTHROPIC.glance(text.encode()).fields, None)

    mark = {"cache_control": {"type": "ephemeral", "ttl": "1h"}}
    plain = of({}, {})
    assert of(mark, mark) == of({}, mark) == plain
    assert of(mark, {}, {"role": "assistant", "content": "Yes."}, {"role": "user", "content": [{**mark, "type": "text"}]}) == plain  # fmt: skip


@pytest.mark.parametrize("size", [LOOKED_AT_BYTES // 2, LOOKED_AT_BYTES - 60, LOOKED_AT_BYTES, LOOKED_AT_BYTES * 20])
@pytest.mark.parametrize("at", ["system", "user"])
def test_beginnings_of_any_length_are_known_again(size: int, at: str) -> None:
    system = {"role": "system", "content": "ä" * (size // 2) if at == "system" else "x"}
    user = {"role": "user", "content": "y" * size if at == "user" else "Hello"}
    assert key([system, user, *TURN]) == key([system, user])


def test_deep_nonsense_is_no_trouble() -> None:
    nested: Any = "x"
    for _ in range(90):
        nested = [nested]
    assert len(key([{"role": "system", "content": "", "extra": nested}, HELLO])) == 16
