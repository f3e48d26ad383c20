"""Where a pairing is not faithful: what becomes of the row there instead, exactly, and why.

The suite fails where something is lost that stands not here, and where something stands here that is not lost.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from tests.conformance.talk import Part, Turn

DOWNGRADED: Literal["downgraded"] = "downgraded"
REFUSED: Literal["refused"] = "refused"


@dataclass(frozen=True)
class Note:
    """One way in which a row is not faithful. `heard`, `got` and `later` are the facts that differ: at the provider, at the
    client, and at the provider in the second request; a function is asked about (seen, wanted). `param`: the field that a
    refusal names. `named`: what the log says was left out, all of it.
    """

    rows: tuple[str, ...]
    ingresses: tuple[str, ...]
    upstreams: tuple[str, ...]
    reason: str
    kind: Literal["downgraded", "refused"] = DOWNGRADED
    param: str = ""
    named: tuple[str, ...] = ()
    heard: dict[str, Any] = field(default_factory=dict)
    got: dict[str, Any] = field(default_factory=dict)
    later: dict[str, Any] = field(default_factory=dict)


def note_for(row: str, ingress: str, upstream: str) -> Note | None:
    """The note on a cell, None if it is faithful."""
    found = [n for n in NOTES if row in n.rows and ingress in n.ingresses and upstream in n.upstreams]
    assert len(found) < 2, "two notes on one cell"
    return found[0] if found else None


def _result_of_images(seen: Any, wanted: Any) -> bool:
    """The result keeps its text; its image follows in the same turn, under the name of the call."""
    (call_id, (text, image), failed) = wanted[-1].parts[0].value
    parts = (Part("result", (call_id, (text,), failed)), Part("text", f"Result of tool call {call_id}:"), image)
    return bool(seen == (*wanted[:-1], Turn("user", parts)))


def _tagged(seen: Any, wanted: Any) -> bool:
    """The system message stands in the user's turn, between tags."""
    one, (system,), two = (turn.parts for turn in wanted)
    tagged = Part("text", f"<system>\n{system.value}\n</system>")
    return bool(seen == (Turn("user", (*one, tagged, *two)),))


def _unmarked(seen: Any, wanted: Any) -> bool:
    return bool(seen == tuple(_without_mark(each) for each in wanted))


def _without_mark(value: Any) -> Any:
    if isinstance(value, Turn):
        return Turn(value.role, tuple(replace(part, mark=False) for part in value.parts))
    return replace(value, mark=False)


def _part_as(change: Callable[[Part], Part]) -> Callable[[Any, Any], bool]:
    """The last part of the only turn is heard in another form."""

    def holds(seen: Any, wanted: Any) -> bool:
        (turn,) = wanted
        return bool(seen == (Turn(turn.role, (*turn.parts[:-1], change(turn.parts[-1]))),))

    return holds


# Those who send whole chats, and those of them who speak a dialect of OpenAI's.
_CHATS, _OPENAIS = ("openai", "responses", "anthropic"), ("openai", "responses")
_CHAT, _BOTH, _ALL = ("openai",), ("openai", "anthropic"), ("openai", "anthropic", "completions")
_OLD, _OPENAI_LIKE, _RESPONSES, _GEMINI = ("completions",), ("openai", "openrouter"), ("responses",), ("gemini",)
_EVERY = ("openai", "openrouter", "responses", "anthropic", "gemini", "bedrock", "cohere")
_UNMARKED = {"turns": _unmarked, "tools": _unmarked, "system_mark": False}

NOTES: tuple[Note, ...] = (
    Note(
        ("seed, penalties, bias",), _ALL, ("anthropic",),
        "Anthropic has none of them; they are left out, and the log names them.",
        named=("seed", "presence_penalty", "frequency_penalty", "logit_bias"), heard={"further": ()},
    ),
    Note(
        ("seed, penalties, bias",), _ALL, _RESPONSES,
        "The Responses API has none of them; they are left out, and the log names them.",
        named=("seed", "presence_penalty", "frequency_penalty", "logit_bias"), heard={"further": ()},
    ),
    Note(
        ("seed, penalties, bias",), _ALL, ("cohere",),
        "Cohere has no `logit_bias`; it is left out, and the log names it. The others arrive.",
        named=("logit_bias",), heard={"further": lambda seen, wanted: seen == wanted[:-1]},
    ),
    Note(
        ("seed, penalties, bias",), _ALL, ("gemini",),
        "Gemini has no `logit_bias`; it is left out, and the log names it. The others arrive.",
        named=("logit_bias",), heard={"further": lambda seen, wanted: seen == wanted[:-1]},
    ),
    Note(
        ("seed, penalties, bias",), _ALL, ("bedrock",),
        "Converse has none of them; they are left out, and the log names them.",
        named=("seed", "presence_penalty", "frequency_penalty", "logit_bias"), heard={"further": ()},
    ),
    Note(
        ("top k",), ("anthropic", "gemini"), _OPENAI_LIKE,
        "Chat Completions has no `top_k`; it is left out, and the log names it.",
        named=("top_k",), heard={"further": ()},
    ),
    Note(
        ("top k",), ("anthropic", "gemini"), _RESPONSES,
        "The Responses API has no `top_k`; it is left out, and the log names it.",
        named=("top_k",), heard={"further": ()},
    ),
    Note(
        ("stop texts",), (*_ALL, "gemini"), _RESPONSES,
        "The Responses API has no stop texts; they are left out, and the log names `stop`.",
        named=("stop",), heard={"stop": ()},
    ),
    Note(
        ("end user",), (*_ALL, "responses"), ("gemini",),
        "Gemini takes no name of an end user; it is left out, and the log names it.",
        named=("user",), heard={"user": None},
    ),
    Note(
        ("end user",), (*_ALL, "responses"), ("cohere",),
        "Cohere takes no name of an end user; it is left out, and the log names it.",
        named=("user",), heard={"user": None},
    ),
    Note(
        ("end user",), (*_ALL, "responses"), ("bedrock",),
        "Converse takes no name of an end user; it is left out, and the log names it.",
        named=("user",), heard={"user": None},
    ),
    Note(
        ("stop texts",), ("openai", "completions", "gemini"), ("bedrock",),
        "Claude refuses stop texts of white space only; these are left out, and the log names `stop`. The others arrive."
        " Which one ended the answer has no place in the answer.",
        named=("stop",), heard={"stop": ("END",)}, got={"stop_sequence": None},
    ),
    Note(
        ("stop texts",), ("anthropic",), ("bedrock",),
        "Claude refuses stop texts of white space only; these are left out, and the log names `stop`. The others arrive.",
        named=("stop",), heard={"stop": ("END",)},
    ),
    Note(
        ("stop texts",), ("openai", "completions", "gemini"), ("anthropic",),
        "Anthropic refuses stop texts of white space only; these are left out, and the log names `stop`. The others arrive."
        " Which one ended the answer has no place in the answer.",
        named=("stop",), heard={"stop": ("END",)}, got={"stop_sequence": None},
    ),
    Note(
        ("system message later",), _OPENAIS, ("anthropic",),
        "Most models of Anthropic take system messages only at the beginning; a later one keeps its place, inside the user's"
        " turn, between `<system>` tags. The quirk `system_messages` is for those that take it.",
        heard={"turns": _tagged},
    ),
    Note(
        ("system message later",), _CHATS, ("gemini",),
        "Gemini takes system messages only at the beginning; a later one keeps its place, inside the user's turn, between"
        " `<system>` tags.",
        heard={"turns": _tagged},
    ),
    Note(
        ("system message later",), _CHATS, ("bedrock",),
        "Most models of Bedrock take system messages only at the beginning; a later one keeps its place, inside the user's"
        " turn, between `<system>` tags. The quirk `system_messages` is for those that take it.",
        heard={"turns": _tagged},
    ),
    Note(
        ("no tool may be called",), (*_CHATS, "gemini"), ("bedrock",),
        "Converse has no such choice. The tools are not offered, so that none can be called; where the conversation holds"
        " calls, for which it wants them, the system text forbids further ones.",
        heard={"tools": (), "choice": None},
    ),
    Note(
        ("one call at a time",), _CHATS, ("cohere",),
        "Cohere cannot be told to make one call at a time; the wish is left out, and the log names it.",
        named=("parallel_tool_calls",), heard={"one_at_a_time": False},
    ),
    Note(
        ("this tool must be called",), (*_CHATS, "gemini"), ("cohere",),
        "Cohere can be told to call a tool, but not which one: the one that must be called is offered alone.",
        heard={"tools": lambda seen, wanted: seen == wanted[:1], "choice": "required"},
    ),
    Note(
        ("one call at a time",), _CHATS, ("bedrock",),
        "Converse cannot be told to make one call at a time; the wish is left out, and the log names it.",
        named=("parallel_tool_calls",), heard={"one_at_a_time": False},
    ),
    Note(
        ("strict tool",), _CHATS, ("gemini",),
        "Gemini makes no such promise for calls; `strict` is left out, and the log names it.",
        named=("tools.strict",), heard={"tools": lambda seen, wanted: seen == (replace(wanted[0], strict=False),)},
    ),
    Note(
        ("one call at a time",), _CHATS, ("gemini",),
        "Gemini cannot be told to make one call at a time; the wish is left out, and the log names it.",
        named=("parallel_tool_calls",), heard={"one_at_a_time": False},
    ),
    Note(
        ("results with images",), (*_CHATS, "gemini"), ("cohere",),
        "Results of tools are text there; the image follows the result in the user's turn, under the id of the call.",
        heard={"turns": _result_of_images},
    ),
    Note(
        ("results with images",), ("anthropic", "responses", "gemini"), _OPENAI_LIKE,
        "Results of tools are text there; the image follows the result in the user's turn, under the id of the call.",
        heard={"turns": _result_of_images},
    ),
    Note(
        ("results with images",), _CHATS, ("gemini",),
        "Results of functions are JSON there; the image follows the result in the user's turn, under the id of the call.",
        heard={"turns": _result_of_images},
    ),
    Note(
        ("cache marks, sent",), ("anthropic",), ("openai",),
        "Chat Completions has no marks (most of these providers cache on their own); they are left out, and the log names"
        " them. Providers with the quirk `cache_control` get them.",
        named=("cache_control",), heard=_UNMARKED,
    ),
    Note(
        ("cache marks, sent",), _BOTH, _RESPONSES,
        "The Responses API caches on its own and has no marks; they are left out, and the log names them.",
        named=("cache_control",), heard=_UNMARKED,
    ),
    Note(
        ("cache marks, sent",), _BOTH, ("cohere",),
        "Cohere caches on its own and has no marks; they are left out, and the log names them.",
        named=("cache_control",), heard=_UNMARKED,
    ),
    Note(
        ("cache marks, sent",), _BOTH, ("gemini",),
        "Gemini caches on its own and has no marks; they are left out, and the log names them.",
        named=("cache_control",), heard=_UNMARKED,
    ),
    Note(
        ("image by an address without ending",), _BOTH, ("gemini",),
        "Gemini wants the type of an image told with its address, and the gateway fetches nothing to find out: send the image"
        " as data. Another provider of the model that can take it serves it.",
        REFUSED, "messages[0]",
    ),
    Note(
        ("image by address", "image by an address without ending", "PDF by address"), _BOTH, ("bedrock",),
        "Bedrock fetches nothing from the web, and neither does the gateway: send it as data. Another provider of the model"
        " that can take an address serves it.",
        REFUSED, "messages[0]",
    ),
    Note(
        ("image by address", "image by an address without ending", "PDF by address"), _RESPONSES, ("bedrock",),
        "Bedrock fetches nothing from the web, and neither does the gateway: send it as data. Another provider of the model"
        " that can take an address serves it.",
        REFUSED, "input",
    ),
    Note(
        ("image by address", "image by an address without ending", "PDF by address"), _GEMINI, ("bedrock",),
        "Bedrock fetches nothing from the web, and neither does the gateway: send it as data. Another provider of the model"
        " that can take an address serves it.",
        REFUSED, "contents",
    ),
    Note(("PDF", "PDF by address"), _RESPONSES, ("cohere",), "Cohere reads no files.", REFUSED, "input"),
    Note(("PDF", "PDF by address"), _GEMINI, ("cohere",), "Cohere reads no files.", REFUSED, "contents"),
    Note(("audio",), _RESPONSES, ("cohere",), "Cohere takes no audio.", REFUSED, "input"),
    Note(("audio",), _GEMINI, ("cohere",), "Cohere takes no audio.", REFUSED, "contents"),
    Note(("PDF", "PDF by address"), _BOTH, ("cohere",), "Cohere reads no files.", REFUSED, "messages[0]"),
    Note(("audio",), _CHAT, ("cohere",), "Cohere takes no audio.", REFUSED, "messages[0]"),
    Note(
        ("PDF",), (*_CHATS, "gemini"), ("bedrock",),
        "Names of documents hold letters, digits, blanks, hyphens and brackets only; other signs become blanks, and the log"
        " names `documents.name`.",
        named=("documents.name",),
        heard={"turns": _part_as(lambda part: Part("document", (*part.value[:2], part.value[2].replace(".", " "))))},
    ),
    Note(
        ("image by an address without ending",), _RESPONSES, ("gemini",),
        "Gemini wants the type of an image told with its address, and the gateway fetches nothing to find out: send the image"
        " as data. Another provider of the model that can take it serves it.",
        REFUSED, "input",
    ),
    Note(
        ("image, how closely",), _OPENAIS, ("anthropic", "gemini", "bedrock"),
        "There is no such choice; `detail` is left out, and the log names it.",
        named=("image_url.detail",), heard={"turns": _part_as(lambda part: Part("image", part.value[0]))},
    ),
    Note(
        ("PDF", "PDF by address"), _CHATS, ("gemini",),
        "The document arrives without its file name, which the log says.",
        named=("documents.name",),
        heard={"turns": _part_as(lambda part: Part("document", (*part.value[:2], None)))},
    ),
    Note(
        ("PDF by address",), (*_BOTH, "gemini"), _RESPONSES,
        "A document at an address arrives without its file name, which the log says.",
        named=("documents.name",),
        heard={"turns": _part_as(lambda part: Part("document", (*part.value[:2], None)))},
    ),
    Note(
        ("text document",), ("anthropic",), (*_OPENAI_LIKE, "responses", "gemini", "cohere"),
        "There are no documents of plain text; it arrives as text, under its name.",
        heard={"turns": _part_as(lambda part: Part("text", f"Document: {part.value[1]}\n\n{part.value[0]}"))},
    ),
    Note(
        ("citations of a document, asked for",), ("anthropic",), (*_OPENAI_LIKE, "responses", "gemini"),
        "Nobody else cites documents: it arrives as text, under its name, and the log says that citations are left out.",
        named=("documents.citations",),
        heard={"turns": _part_as(lambda part: Part("text", f"Document: {part.value[1]}\n\n{part.value[0]}"))},
    ),
    Note(
        ("picture in the answer",), _CHAT, ("responses", "gemini", "bedrock", "cohere"),
        "It is set aside in `gateway_raw`, in the provider's own form, and the log tells of it.",
        got={"shown": False, "set aside": True, "logged": True},
    ),
    Note(
        ("picture in the answer",), _RESPONSES, (*_OPENAI_LIKE, "gemini", "bedrock", "cohere"),
        "It has no place in the items of text that are written; it is not shown, and the log tells of it.",
        got={"shown": False, "logged": True},
    ),
    Note(
        ("picture in the answer",), ("anthropic",), (*_OPENAI_LIKE, "responses", "gemini", "bedrock", "cohere"),
        "Messages has no place for it; it is not shown, and the log tells of it.",
        got={"shown": False, "logged": True},
    ),
    Note(
        ("picture in the answer",), _OLD, (*_OPENAI_LIKE, "responses", "gemini", "bedrock", "cohere"),
        "It is set aside in `gateway_raw`, in the provider's own form, and the log tells of it.",
        got={"shown": False, "set aside": True, "logged": True},
    ),
    Note(
        ("picture in the answer",), _GEMINI, (*_OPENAI_LIKE, "responses", "bedrock", "cohere"),
        "Other providers' pictures have no place there; it is not shown, and the log tells of it.",
        got={"shown": False, "logged": True},
    ),
    Note(("audio",), _CHAT, ("anthropic",), "Anthropic takes no audio.", REFUSED, "messages[0]"),
    Note(("audio",), _RESPONSES, ("anthropic",), "Anthropic takes no audio.", REFUSED, "input"),
    Note(("audio",), _GEMINI, ("anthropic",), "Anthropic takes no audio.", REFUSED, "contents"),
    Note(
        ("JSON object",), (*_OPENAIS, "gemini"), ("anthropic",),
        "Anthropic has schemas but no JSON without one; the system text asks for one JSON object and nothing else.",
        heard={
            "form": None,
            "system": "Answer with one valid JSON object and nothing else: no explanation, no code fence.",
        },
    ),
    Note(
        ("JSON object",), (*_OPENAIS, "gemini"), ("bedrock",),
        "Converse has schemas but no JSON without one; the system text asks for one JSON object and nothing else.",
        heard={
            "form": None,
            "system": "Answer with one valid JSON object and nothing else: no explanation, no code fence.",
        },
    ),
    Note(("logprobs",), _OPENAIS, ("bedrock",), "Converse gives none.", REFUSED, "logprobs"),
    Note(("logprobs",), _GEMINI, ("bedrock",), "Converse gives none.", REFUSED, "generationConfig.responseLogprobs"),
    Note(("several answers",), ("openai", "completions"), ("cohere",), "Cohere gives one.", REFUSED, "n"),
    Note(("several answers",), ("openai", "completions"), ("bedrock",), "Converse gives one.", REFUSED, "n"),
    Note(("several answers",), _GEMINI, ("cohere",), "Cohere gives one.", REFUSED, "generationConfig.candidateCount"),
    Note(("several answers",), _GEMINI, ("bedrock",), "Converse gives one.", REFUSED, "generationConfig.candidateCount"),
    Note(("logprobs",), _OPENAIS, ("anthropic",), "Anthropic gives none.", REFUSED, "logprobs"),
    Note(("logprobs",), _GEMINI, ("anthropic",), "Anthropic gives none.", REFUSED, "generationConfig.responseLogprobs"),
    Note(("several answers",), ("openai", "completions"), ("anthropic",), "Anthropic gives one.", REFUSED, "n"),
    Note(("several answers",), ("openai", "completions"), _RESPONSES, "The Responses API gives one.", REFUSED, "n"),
    Note(("several answers",), _GEMINI, ("anthropic",), "Anthropic gives one.", REFUSED, "generationConfig.candidateCount"),
    Note(
        ("several answers",), _GEMINI, _RESPONSES, "The Responses API gives one.", REFUSED, "generationConfig.candidateCount"
    ),
    Note(
        ("server tools",), ("openai", "completions"), ("responses", "anthropic", "gemini", "bedrock", "cohere"),
        "The search of Chat Completions is not that of this provider: results, prices and terms differ.",
        REFUSED, "web_search_options",
    ),
    Note(
        ("server tools",), ("anthropic",), (*_OPENAI_LIKE, "responses", "gemini", "bedrock", "cohere"),
        "Only Anthropic runs its tools.", REFUSED, "tools",
    ),
    Note(("server tools",), _GEMINI, (*_OPENAI_LIKE, "responses", "anthropic", "bedrock", "cohere"), "Only Google runs its tools.", REFUSED, "tools"),
    Note(
        ("server tools",), _RESPONSES, (*_OPENAI_LIKE, "anthropic", "gemini", "bedrock", "cohere"),
        "Only providers of the Responses API run its tools.", REFUSED, "tools",
    ),
    Note(
        ("refusal",), _OLD, (*_OPENAI_LIKE, "responses"),
        "The words arrive as text; a completion has no mark for a refusal.",
        got={"refused": False, "finish": "stop"},
    ),
    Note(("thinking",), _OLD, _EVERY, "A completion has no place for reasoning; it is not shown.", got={"thinking": "", "signature": None}),
    Note(("citations",), _OLD, _EVERY, "A completion has no place for sources; they are not shown.", got={"citations": ()}),
    Note(
        (
            "tool call", "parallel calls", "calls in turns", "strict tool", "no tool may be called", "one call at a time", "a tool must be called",
            "this tool must be called", "signed thinking", "encrypted thinking",
        ),
        _OLD, _EVERY, "Completions have no tools: use Chat Completions.", REFUSED, "tools",
    ),
    Note(
        ("JSON object", "JSON schema"), _OLD, _EVERY,
        "Completions have no response format: use Chat Completions.", REFUSED, "response_format",
    ),
    Note(
        ("logprobs",), _OLD, _EVERY,
        "The old form of logprobs is not that of chats: use Chat Completions.", REFUSED, "logprobs",
    ),
)  # fmt: skip
