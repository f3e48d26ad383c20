"""What the simulated provider says to a request: decided from the request alone, the same each time.

Every text begins with "Simulated answer", so that nobody takes it for a model's.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from gatewayz.dialects import json_text
from gatewayz.dialects.tokens import IMAGE_TOKENS, MESSAGE_TOKENS, REQUEST_TOKENS
from gatewayz.providers.schema_sample import sample

Finish = Literal["stop", "length", "tool_calls"]
THINKING_MODEL = "sim-thinking"
_QUOTED = 200
# One piece is what a model would send as one token or two: a word with the blanks before it, a run of marks, or a
# character of a script without blanks.
_PIECE = re.compile(r"\s*[^\W\u3000-\u9fff\uac00-\ud7af]{1,12}|\s*[\u3000-\u9fff\uac00-\ud7af]|\s*[^\w\s]{1,4}|\s+")


@dataclass(frozen=True, slots=True)
class Call:
    """One tool call; `pieces` joined are its JSON arguments."""

    id: str
    name: str
    pieces: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Said:
    """One choice: reasoning, text and calls in pieces of one token each, and why it ended."""

    thinking: tuple[str, ...] = ()
    text: tuple[str, ...] = ()
    calls: tuple[Call, ...] = ()
    finish: Finish = "stop"

    @property
    def tokens(self) -> int:
        """Tokens of this choice, reasoning included."""
        return len(self.thinking) + len(self.text) + sum(len(call.pieces) + 1 for call in self.calls)


@dataclass(frozen=True, slots=True)
class Asked:
    """What matters of a request. `allowance` is the maximum of tokens, None if there is none."""

    model: str
    text: str
    images: int
    tool_result: str | None
    tools: tuple[dict[str, Any], ...]
    must_call: bool
    parallel: bool
    schema: Any
    json_wanted: bool
    thinks: bool
    allowance: int | None
    stops: tuple[str, ...]
    n: int
    prompt_tokens: int
    include_usage: bool


def pieces(text: str) -> tuple[str, ...]:
    """The text cut into what counts as tokens here; joined they are the text."""
    return tuple(_PIECE.findall(text))


def read(body: bytes) -> Asked:
    """The request behind these bytes. Raises ValueError with a sentence for the caller."""
    try:
        value = json_text.load(body)
    except ValueError as error:
        raise ValueError("The body is not valid JSON.") from error
    if not isinstance(value, dict) or not isinstance(value.get("messages"), list) or not value["messages"]:
        raise ValueError("'messages' must be a list with at least one message.")
    messages = [message for message in value["messages"] if isinstance(message, dict)]
    last = messages[-1] if messages else {}
    tools = _functions(value.get("tools"))
    choice = value.get("tool_choice")
    if isinstance(choice, dict):
        wanted = choice.get("function", {}).get("name") if isinstance(choice.get("function"), dict) else None
        tools = tuple(tool for tool in tools if tool["name"] == wanted)
    form = value.get("response_format")
    kind = form.get("type") if isinstance(form, dict) else None
    stated = form.get("json_schema") if isinstance(form, dict) and kind == "json_schema" else None
    schema = stated.get("schema", {}) if isinstance(stated, dict) else None
    texts = [_text_of(message) for message in messages]
    stop = value.get("stop")
    effort = value.get("reasoning_effort")
    model = str(value.get("model", ""))
    return Asked(
        model=model,
        text=_last_user_text(messages),
        images=sum(_images_in(message) for message in messages),
        tool_result=_text_of(last) if last.get("role") == "tool" else None,
        tools=() if choice == "none" else tools,
        must_call=choice == "required" or isinstance(choice, dict),
        parallel=value.get("parallel_tool_calls") is not False,
        schema=schema,
        json_wanted=kind in ("json_object", "json_schema"),
        thinks=effort not in (None, "none") or (effort is None and model == THINKING_MODEL),
        allowance=_allowance(value),
        stops=tuple([stop] if isinstance(stop, str) else stop if isinstance(stop, list) else ()),
        n=min(max(value["n"], 1), 16) if isinstance(value.get("n"), int) else 1,
        prompt_tokens=_prompt_tokens(texts, messages, value.get("tools")),
        include_usage=isinstance(value.get("stream_options"), dict)
        and value["stream_options"].get("include_usage") is True,
    )


def say(asked: Asked) -> tuple[Said, ...]:
    """The choices of the answer, `n` of them."""
    return tuple(_choice(asked, index) for index in range(asked.n))


def _choice(asked: Asked, index: int) -> Said:
    thinking = pieces(f"Simulated reasoning: the request says “{_cut(asked.text, 60)}”.") if asked.thinks else ()
    if asked.tools and (asked.tool_result is None or asked.must_call):
        return _within(asked.allowance, Said(thinking, calls=_calls(asked, index), finish="tool_calls"))
    text = _json(asked) if asked.json_wanted else _sentence(asked, index)
    for stop in asked.stops:
        if isinstance(stop, str) and stop:
            text = text.partition(stop)[0]
    return _within(asked.allowance, Said(thinking, pieces(text)))


def _sentence(asked: Asked, index: int) -> str:
    number = f" ({index + 1} of {asked.n})" if asked.n > 1 else ""
    seen = f" I was given {asked.images} image{'s' if asked.images > 1 else ''}." if asked.images else ""
    if asked.tool_result is not None:
        return f"Simulated answer{number}: the tool returned “{_cut(asked.tool_result, _QUOTED)}”.{seen}"
    return (
        f"Simulated answer{number}: you said “{_cut(asked.text, _QUOTED)}”.{seen} No model was asked; "
        "set a provider's key to get real answers."
    )


def _json(asked: Asked) -> str:
    if asked.schema is not None:
        value = sample(asked.schema)
    else:
        value = {"simulated": True, "answer": f"Simulated answer: you said “{_cut(asked.text, _QUOTED)}”."}
    return json_text.dump(value).decode()


def _calls(asked: Asked, index: int) -> tuple[Call, ...]:
    """Calls of the tools that the user's text mentions, else of the first."""
    mentioned = [tool for tool in asked.tools if _mentions(asked.text, tool["name"])]
    chosen = mentioned or [asked.tools[0]]
    return tuple(
        Call(f"call_sim_{index}_{place}", tool["name"], pieces(json_text.dump(_arguments(tool)).decode()))
        for place, tool in enumerate(chosen if asked.parallel else chosen[:1])
    )


def _arguments(tool: dict[str, Any]) -> Any:
    value = sample(tool.get("parameters", {"type": "object"}))
    return value if isinstance(value, dict) else {}


def _mentions(text: str, name: str) -> bool:
    """Whether the text holds the tool's name, as it is or in words (`get_weather`: get weather)."""
    lowered = text.lower()
    return name.lower() in lowered or name.lower().replace("_", " ") in lowered


def _within(allowance: int | None, said: Said) -> Said:
    """The choice cut to the maximum of tokens; reasoning counts, as it does with real models."""
    if allowance is None or said.tokens <= allowance:
        return said
    thinking = said.thinking[:allowance]
    left = allowance - len(thinking)
    text = said.text[:left]
    calls: list[Call] = []
    for call in said.calls:
        if left < 1:
            break
        calls.append(Call(call.id, call.name, call.pieces[: left - 1]))
        left -= 1 + len(calls[-1].pieces)
    return Said(thinking, text, tuple(calls), "length")


def _functions(tools: Any) -> tuple[dict[str, Any], ...]:
    if not isinstance(tools, list):
        return ()
    functions = [tool.get("function") for tool in tools if isinstance(tool, dict)]
    return tuple(each for each in functions if isinstance(each, dict) and isinstance(each.get("name"), str))


def _allowance(value: dict[str, Any]) -> int | None:
    for name in ("max_tokens", "max_completion_tokens"):
        stated = value.get(name)
        if isinstance(stated, int) and not isinstance(stated, bool):
            return max(0, stated)
    return None


def _last_user_text(messages: Sequence[dict[str, Any]]) -> str:
    return next((_text_of(message) for message in reversed(messages) if message.get("role") == "user"), "")


def _text_of(message: dict[str, Any]) -> str:
    content = message.get("content")
    if isinstance(content, str):
        return content
    parts = content if isinstance(content, list) else []
    return " ".join(part["text"] for part in parts if isinstance(part, dict) and isinstance(part.get("text"), str))


def _images_in(message: dict[str, Any]) -> int:
    content = message.get("content")
    parts = content if isinstance(content, list) else []
    return sum(isinstance(part, dict) and part.get("type") == "image_url" for part in parts)


def _prompt_tokens(texts: Sequence[str], messages: Sequence[dict[str, Any]], tools: Any) -> int:
    counted = sum(len(pieces(text)) for text in texts) + len(messages) * MESSAGE_TOKENS + REQUEST_TOKENS
    counted += IMAGE_TOKENS * sum(_images_in(message) for message in messages)
    return counted + (len(pieces(json_text.dump(tools).decode())) if isinstance(tools, list) else 0)


def _cut(text: str, longest: int) -> str:
    flat = " ".join(text.split())
    return flat if len(flat) <= longest else f"{flat[: longest - 1]}…"
