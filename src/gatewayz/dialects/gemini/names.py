"""Members of Gemini's bodies by their names: Google takes each in two spellings, and one value in the place of a list."""

import re
from collections.abc import Mapping
from functools import cache
from typing import Any

_UPPER = re.compile(r"[A-Z]")
_UNDERSCORED = re.compile(r"_([a-z])")


@cache
def snake(name: str) -> str:
    """The other spelling of a member: `inline_data` for `inlineData`. For names that stand in the code only."""
    return _UPPER.sub(lambda found: "_" + found[0].lower(), name)


def camel(name: str) -> str:
    """The usual spelling of a member, from either of the two."""
    return _UNDERSCORED.sub(lambda found: found[1].upper(), name) if "_" in name else name


def member(value: Mapping[str, Any], name: str) -> Any:
    """The value of a member, in whichever spelling; None without one."""
    found = value.get(name)
    return value.get(snake(name)) if found is None else found


def camel_members(value: Mapping[str, Any]) -> dict[str, Any]:
    """The members that are not null, in the usual spelling; values keep theirs."""
    return {camel(name): each for name, each in value.items() if each is not None}


def listed(value: Any) -> Any:
    """A list, also of a single object that stands in its place; anything else as it is."""
    return [value] if isinstance(value, dict) else value
