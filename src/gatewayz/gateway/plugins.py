"""The `plugins` of a request, as OpenRouter's clients write them: a search of the web; others are refused by name."""

from collections.abc import Mapping
from typing import Any

from gatewayz.dialects.parameters import integer, obj, string, unsupported, wrong_type
from gatewayz.dialects.web_search import SearchWish

# It makes a prompt fit that does not; here a prompt that does not fit is refused, so nothing is lost without it.
_HARMLESS = frozenset({"context-compression"})
_SEARCH = "web"
_MEMBERS = frozenset({"id", "enabled", "engine", "max_results", "search_prompt"})
_MOST_RESULTS = 100
_LONGEST_PROMPT = 4096


def read_plugins(value: Any) -> SearchWish | None:
    """What is wanted of a search of the web; None if none is asked for. Raises InvalidRequest naming the member."""
    if value is None:
        return None
    if not isinstance(value, list):
        raise wrong_type("plugins", "an array of objects")
    wish: SearchWish | None = None
    for index, plugin in enumerate(value):
        param = f"plugins[{index}]"
        obj(param, plugin)
        if plugin.get("enabled") is False or plugin.get("id") in _HARMLESS:
            continue
        if plugin.get("id") != _SEARCH:
            raise unsupported(f"{param}.id", f"is {plugin.get('id')!r}, a plugin that is not served here")
        wish = _search(param, plugin)
    return wish


def _search(param: str, plugin: Mapping[str, Any]) -> SearchWish:
    unknown = sorted(plugin.keys() - _MEMBERS)
    if unknown:
        raise unsupported(f"{param}.{unknown[0]}", f"cannot be obeyed; known are {', '.join(sorted(_MEMBERS))}")
    engine, results, prompt = (plugin.get(name) for name in ("engine", "max_results", "search_prompt"))
    if engine not in (None, "native"):
        raise unsupported(
            f"{param}.engine", f"is {engine!r}; only `native` is served, the search of the provider itself"
        )
    if results is not None:
        integer(1, _MOST_RESULTS)(f"{param}.max_results", results)
    if prompt is not None:
        string(f"{param}.search_prompt", prompt)
        if len(prompt) > _LONGEST_PROMPT:
            raise unsupported(f"{param}.search_prompt", f"is longer than {_LONGEST_PROMPT:,} characters")
    return SearchWish(results, prompt)
