"""The house of the Responses tests: one gateway before an upstream of each dialect, and what its streams must look like."""

import json
from collections.abc import Iterable
from typing import Any

from tests.acceptance.spine import Event, model_toml, provider_toml, settings_toml
from tests.fakes.handle import FakeUpstream

CHAT, CLAUDE, GEMINI, NATIVE = "acme/chat", "acme/claude", "acme/gemini", "acme/native"
BOTH = "acme/both"  # two native providers, then one of chats
FREE = "acme/free:free"
MODELS = (CHAT, CLAUDE, GEMINI, NATIVE)
PERSONA = {CHAT: "chat", CLAUDE: "ant", GEMINI: "gem", NATIVE: "nat"}
# In the order in which they are asked.
DIALECTS = {
    "nat": "openai_responses",
    "other": "openai_responses",
    "chat": "openai",
    "ant": "anthropic",
    "gem": "gemini",
}

WEATHER: Any = {
    "type": "function",
    "name": "get_weather",
    "description": "Weather of a city",
    "parameters": {
        "type": "object",
        "properties": {"city": {"type": "string"}},
        "required": ["city"],
        "additionalProperties": False,
    },
    "strict": True,
}
PARIS = {"id": "call_p", "name": "get_weather", "arguments": {"city": "Paris"}}


def config(upstream: FakeUpstream) -> str:
    """The configuration of the house."""
    texts = [settings_toml(anonymous_per_day=1000)]
    for place, (slug, dialect) in enumerate(DIALECTS.items()):
        base = upstream.url(slug) if dialect == "gemini" else upstream.base_url(slug)
        texts.append(provider_toml(upstream, slug, dialect, base_url=base, priority=place + 1))
    for model, slug in PERSONA.items():
        texts.append(model_toml(model, (slug,), supports_reasoning=True))
    # gpt-5 is known by its name to encrypt its reasoning.
    both = model_toml(BOTH, ("nat", "other", "chat"), supports_reasoning=True)
    for slug in ("nat", "other", "chat"):
        both = both.replace(f'"native-{slug}"', '"gpt-5"')
    texts.append(both)
    texts.append(model_toml(FREE, ("chat",), price=(0, 0)))
    return "".join(texts)


def checked(found: Iterable[Event]) -> list[dict[str, Any]]:
    """The events' data, after the order that the API promises was checked: numbers, places, opened and closed."""
    told = [each.data for each in found]
    names = [each.name for each in found]
    assert [each["sequence_number"] for each in told] == list(range(len(told)))
    assert names == ["" for _ in names] or names == [each["type"] for each in told]
    assert [each["type"] for each in told[:2]] == ["response.created", "response.in_progress"]
    assert told[-1]["type"] in ("response.completed", "response.incomplete", "response.failed")
    assert len({each["response"]["id"] for each in told if "response" in each}) == 1
    open_items: dict[int, str] = {}
    closed: list[dict[str, Any]] = []
    for each in told[2:-1]:
        kind = each["type"]
        if kind == "response.output_item.added":
            assert each["output_index"] == len(open_items) + len(closed)
            open_items[each["output_index"]] = each["item"]["id"]
        elif kind == "response.output_item.done":
            assert open_items.pop(each["output_index"]) == each["item"]["id"]
            closed.append(each["item"])
        elif "item_id" in each:
            assert open_items[each["output_index"]] == each["item_id"]
    if told[-1]["type"] != "response.failed":
        assert not open_items
        by_id = {item["id"]: item for item in closed}
        assert [by_id[item["id"]] for item in told[-1]["response"]["output"]] == told[-1]["response"]["output"]
        assert len(by_id) == len(told[-1]["response"]["output"])
    return told


def stream_of(text: str) -> list[dict[str, Any]]:
    """As `checked`, of the text of a stream."""
    blocks = [block for block in text.split("\n\n") if block]
    found = []
    for block in blocks:
        name, _, data = block.partition("\n")
        assert name.startswith("event: ") and data.startswith("data: "), block
        found.append(Event(name[7:], json.loads(data[6:])))
    return checked(found)
