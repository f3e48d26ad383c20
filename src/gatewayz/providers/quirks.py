"""How a provider departs from its dialect, as data: names and types of the quirks, for profiles and configuration."""

import difflib
from collections.abc import Mapping
from dataclasses import fields, replace
from typing import Any

from gatewayz.dialects.base import Quirks

_TEXTS = frozenset({"max_tokens_field", "reasoning_field"})
_NAME_SETS = frozenset({"drop_params", "strip_answer_fields"})
_TABLES = frozenset({"add_params"})
_NUMBERS = frozenset({"max_temperature"})
QUIRK_NAMES = frozenset(field.name for field in fields(Quirks))
_FLAGS = QUIRK_NAMES - _TEXTS - _NAME_SETS - _TABLES - _NUMBERS


def quirk_value(name: str, value: Any) -> Any:
    """The value as `Quirks` wants it. Raises ValueError saying what is wrong with the name or the value."""
    if name not in QUIRK_NAMES:
        raise ValueError(f"unknown quirk {name!r}{near(name, QUIRK_NAMES)}")
    if name in _FLAGS:
        if not isinstance(value, bool):
            raise ValueError(f"must be true or false, not {value!r}")
        return value
    if name in _TEXTS:
        if not isinstance(value, str) or (not value and name == "max_tokens_field"):
            raise ValueError(f"must be the name of a field, not {value!r}")
        return value
    if name in _NAME_SETS:
        if not isinstance(value, list) or not all(isinstance(part, str) and part for part in value):
            raise ValueError(f"must be a list of names, not {value!r}")
        return frozenset(value)
    if name in _TABLES:
        if not isinstance(value, dict):
            raise ValueError(f"must be a table, not {value!r}")
        return value
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 < value < float("inf"):
        raise ValueError(f"must be a number above zero, not {value!r}")
    return float(value)


def with_quirks(quirks: Quirks, values: Mapping[str, Any]) -> Quirks:
    """`quirks` with some values replaced; the values are those that `quirk_value` gave."""
    return replace(quirks, **values) if values else quirks


def near(name: str, known: frozenset[str]) -> str:
    """The end of an error message that proposes the closest known name, "" if none is close."""
    close = difflib.get_close_matches(name, sorted(known), n=1)
    return f"; did you mean {close[0]}?" if close else ""
