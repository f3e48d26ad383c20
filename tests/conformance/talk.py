"""A conversation and its answer in words of no dialect: what a cell of the matrix says, and what must be heard.

Everything here is a value that can be compared. Drivers of ingress dialects write a `Talk` and read a `Reply`, drivers of
upstream dialects read a `Talk` and script a `Reply`; none of them uses the product's own readers and writers.
"""

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Part:
    """One part of a turn; `mark`: a prompt-cache breakpoint stands after it.

    kind and value: text (str), image (url or (type, base64)), detailed ((image, how closely to look)), document ((type, base64, name), or (None, url, name)), note ((text, name): a
    document of plain text), cited (the same, to be cited), audio ((format, base64)), call ((id, name, input)), result ((id, parts, is_error)),
    thinking ((text, signature)), redacted (str), raw (a block of one dialect only).
    """

    kind: str
    value: Any
    mark: bool = False


@dataclass(frozen=True)
class Turn:
    """What one side says."""

    role: str
    parts: tuple[Part, ...]


@dataclass(frozen=True)
class Tool:
    """A function that may be called; `strict`: only with arguments that are as its schema says."""

    name: str
    schema: Any
    description: str = "What it does."
    mark: bool = False
    strict: bool = False


@dataclass(frozen=True)
class Talk:
    """A request. `effort` is how much to think ("low" or None), `form` "json" or a schema, `server_tool` a tool that the
    provider itself runs, `further` what only some dialects have, by the names of Chat Completions."""

    turns: tuple[Turn, ...]
    system: str = ""
    system_mark: bool = False
    tools: tuple[Tool, ...] = ()
    choice: str | None = None
    one_at_a_time: bool = False
    effort: str | None = None
    form: Any = None
    stop: tuple[str, ...] = ()
    n: int = 1
    logprobs: bool = False
    temperature: float | None = None
    max_tokens: int = 500
    user: str | None = None
    server_tool: bool = False
    further: tuple[tuple[str, Any], ...] = ()


@dataclass(frozen=True)
class Usage:
    """Tokens; `prompt` holds the cached and the written ones."""

    prompt: int = 10
    completion: int = 5
    cached: int = 0
    written: int = 0


_USUAL = Usage()


@dataclass(frozen=True)
class Reply:
    """An answer. `texts`: one for each alternative, refusals included; `finish` in the words of Chat Completions."""

    texts: tuple[str, ...] = ("",)
    thinking: str = ""
    signature: str | None = None
    redacted: str | None = None
    calls: tuple[tuple[str, str, Any], ...] = ()
    finish: str = "stop"
    stop_sequence: str | None = None
    refused: bool = False
    citations: tuple[tuple[str, str], ...] = ()
    logprobs: str | None = None
    raw: tuple[str, ...] = ()
    usage: Usage = _USUAL


def said(text: str, *more: Part) -> Turn:
    """A turn of the user."""
    return Turn("user", (*([Part("text", text)] if text else []), *more))


def merged(turns: list[Turn]) -> tuple[Turn, ...]:
    """The turns with neighbours of one role joined, and results before the rest in the order of their ids."""
    joined: list[Turn] = []
    for turn in turns:
        if joined and joined[-1].role == turn.role:
            joined[-1] = Turn(turn.role, joined[-1].parts + turn.parts)
        else:
            joined.append(turn)
    return tuple(Turn(turn.role, _ordered(turn.parts)) for turn in joined)


def _ordered(parts: tuple[Part, ...]) -> tuple[Part, ...]:
    results = sorted((part for part in parts if part.kind == "result"), key=lambda part: str(part.value[0]))
    return (*results, *(part for part in parts if part.kind != "result"))
