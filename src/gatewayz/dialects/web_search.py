"""Asking a provider to search the web while it answers: one form for each way in which providers want to be asked.

The search is the provider's own. Nothing is searched here, and what a provider finds comes back as sources of the answer in
the client's dialect, as such sources always do.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from gatewayz.dialects import json_text
from gatewayz.dialects.gemini.generation import version_of
from gatewayz.dialects.parameters import unsupported

# What a model may search for one answer where it can be told; elsewhere what is set aside for it.
MOST_SEARCHES = 5
_CLAUDE_TOOL = {"type": "web_search_20250305", "name": "web_search", "max_uses": MOST_SEARCHES}
_RESPONSES_SEARCH = re.compile(r"web_search")
_GEMINI_SEARCH = ("googleSearch", "google_search")
_GEMINI_FUNCTIONS = ("functionDeclarations", "function_declarations")

Body = dict[str, Any]  # members of a provider's request, most of them untouched bytes


@dataclass(frozen=True, slots=True)
class SearchWish:
    """What a client wants of the search; None leaves it to the provider.

    `max_results` is how many results may be used, `prompt` how the results are introduced to the model.
    """

    max_results: int | None = None
    prompt: str | None = None

    @property
    def members(self) -> frozenset[str]:
        """The names of what is wanted, as clients write them."""
        said = {"max_results": self.max_results, "search_prompt": self.prompt}
        return frozenset(name for name, value in said.items() if value is not None)


@dataclass(frozen=True, slots=True)
class Form:
    """How a search is asked for: in a request of this `dialect`, with what of a `SearchWish` it can say (`honours`)."""

    dialect: str
    ask: Callable[[Body, SearchWish, str], None]
    honours: frozenset[str] = frozenset()


def with_search(body: bytes, form: str, wish: SearchWish, native_id: str) -> bytes:
    """A provider's request that also asks for a search; one that asks already stays as it is.

    Raises InvalidRequest naming the member beside which this provider does not search.
    """
    fields: Body = {**json_text.members(body)}
    FORMS[form].ask(fields, wish, native_id)
    return json_text.dump(fields)


def _tools(fields: Body) -> list[Any]:
    found = json_text.load(fields["tools"]) if "tools" in fields else None
    return found if isinstance(found, list) else []


def _add_tool(fields: Body, tools: list[Any], tool: Any) -> None:
    """Puts the tool behind the others. Raises InvalidRequest if the caller allows no tool at all."""
    choice = json_text.load(fields["tool_choice"]) if "tool_choice" in fields else None
    if choice == "none" or (isinstance(choice, dict) and choice.get("type") == "none"):
        raise unsupported("tool_choice", "forbids every tool, and here the search of the web is one")
    fields["tools"] = [*tools, tool]


def _kind(tool: Any) -> str:
    return str(tool.get("type") or "") if isinstance(tool, dict) else ""


def _responses(fields: Body, _wish: SearchWish, _native_id: str) -> None:
    tools = _tools(fields)
    if not any(_RESPONSES_SEARCH.match(_kind(tool)) for tool in tools):
        _add_tool(fields, tools, {"type": "web_search"})


def _anthropic(fields: Body, _wish: SearchWish, _native_id: str) -> None:
    tools = _tools(fields)
    if any(_kind(tool).startswith("web_search_") for tool in tools):
        return
    if any(isinstance(tool, dict) and tool.get("name") == "web_search" for tool in tools):
        raise unsupported("tools", "holds a function named web_search, which is the name of the search itself here")
    _add_tool(fields, tools, _CLAUDE_TOOL)


def _gemini(fields: Body, _wish: SearchWish, native_id: str) -> None:
    tools = [tool for tool in _tools(fields) if isinstance(tool, dict)]
    if any(name in tool for tool in tools for name in _GEMINI_SEARCH):
        return
    if any(tool.get(name) for tool in tools for name in _GEMINI_FUNCTIONS):
        if version_of(native_id) < (3, 0):
            raise unsupported("tools", "cannot be combined with a search of the web before Gemini 3")
        name = "tool_config" if "tool_config" in fields else "toolConfig"
        config = json_text.load(fields[name]) if name in fields else {}
        # Without it functions beside Google's own tools are refused (recorded requests of 2026).
        fields[name] = {**(config or {}), "includeServerSideToolInvocations": True}
    fields["tools"] = [*tools, {"googleSearch": {}}]


def _chat_options(fields: Body, _wish: SearchWish, _native_id: str) -> None:
    fields.setdefault("web_search_options", {})


def _plugin(fields: Body, wish: SearchWish, _native_id: str) -> None:
    """OpenRouter's own plugin. Its price list knows the searches of the model's maker, so no other engine is asked."""
    plugin: dict[str, Any] = {"id": "web", "engine": "native"}
    if wish.max_results is not None:
        plugin["max_results"] = wish.max_results
    if wish.prompt is not None:
        plugin["search_prompt"] = wish.prompt
    fields["plugins"] = [plugin]


def _unasked(_fields: Body, _wish: SearchWish, _native_id: str) -> None:
    """The model searches whether it is asked to or not."""


FORMS: Mapping[str, Form] = MappingProxyType(
    {
        "responses": Form("openai_responses", _responses),
        "chat_options": Form("openai", _chat_options),
        "anthropic": Form("anthropic", _anthropic),
        "gemini": Form("gemini", _gemini),
        "plugin": Form("openai", _plugin, frozenset({"max_results", "search_prompt"})),
        "unasked": Form("openai", _unasked),
    }
)
