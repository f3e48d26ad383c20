"""How a tool of the Responses API is called where every tool is a function, and how its calls are told again.

A custom tool takes free text; as a function it has one parameter, `input`. The tools of a namespace are told apart by it;
as functions they carry it in their names.
"""

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from gatewayz.dialects import json_text

_LONGEST = 64  # characters of a function's name that every provider takes
_NO_NAMES: "Mapping[str, Called]" = {}


@dataclass(frozen=True, slots=True)
class Called:
    """How the client knows the tool behind a function."""

    name: str
    namespace: str | None = None
    custom: bool = False


def function_name(name: str, namespace: Any = None) -> str:
    """The name of the function for a tool; always the same for the same tool."""
    if not isinstance(namespace, str) or not namespace:
        return name
    joined = f"{namespace}__{name}"
    if len(joined) <= _LONGEST:
        return joined
    digest = hashlib.blake2s(joined.encode("utf-8", "surrogatepass"), digest_size=4).hexdigest()
    return f"{joined[: _LONGEST - 9]}_{digest}"


def known_as(tools: Any) -> Mapping[str, Called]:
    """By the name of the function: the tools of a request that are more than plain functions."""
    found = {function_name(tool.name, tool.namespace): tool for tool in _tools(tools)}
    return {name: tool for name, tool in found.items() if tool.custom or tool.namespace is not None} or _NO_NAMES


def flattened_names(tools: Any) -> Mapping[str, Called]:
    """As `known_as`, of the tools of namespaces alone; `tools` may be undecoded."""
    if isinstance(tools, msgspec.Raw):
        if b'"namespace"' not in bytes(tools):
            return _NO_NAMES
        tools = json_text.load(tools)
    return {name: tool for name, tool in known_as(tools).items() if tool.namespace is not None} or _NO_NAMES


def flattened(tools: list[Any]) -> list[Any]:
    """Tools of the API without namespaces: what they hold stands beside the others, under the names of `function_name`."""
    found: list[Any] = []
    for tool in tools:
        inner = tool.get("tools") if isinstance(tool, dict) and tool.get("type") == "namespace" else None
        if not isinstance(inner, list):
            found.append(tool)
            continue
        for each in inner:
            if isinstance(each, dict) and isinstance(each.get("name"), str):
                words = described(each.get("description"), tool.get("name"), tool.get("description"))
                about = {} if words is None else {"description": words}
                each = {**each, "name": function_name(each["name"], tool.get("name")), **about}
            found.append(each)
    return found


def described(description: Any, namespace: Any, about: Any) -> str | None:
    """The description of a tool with a word about its namespace; None if nothing is told."""
    told = (description, f"({namespace}: {about})" if about else None)
    return "\n".join(text for text in told if isinstance(text, str) and text) or None


def _tools(tools: Any, namespace: str | None = None) -> Iterator[Called]:
    for tool in tools if isinstance(tools, list) else ():
        if not isinstance(tool, dict) or not isinstance(tool.get("name"), str):
            continue
        if tool.get("type") == "namespace" and namespace is None:
            yield from _tools(tool.get("tools"), tool["name"])
        else:
            yield Called(tool["name"], namespace, tool.get("type") == "custom")
