"""Server-sent events as the gateway's clients get them."""

import json
import re
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Event:
    """One server-sent event: its name ("" if none) and its data, decoded unless it is the terminator."""

    name: str
    data: Any


def events(text: str) -> list[Event]:
    """The events of a stream. Fails on anything else that stands in it: comments, unknown fields, a missing blank line."""
    assert text.endswith("\n\n"), text[-200:]
    found = []
    for block in text[:-2].split("\n\n"):
        shape = re.fullmatch(r"(?:event: ([\w.]+)\n)?data: (.*)", block)
        assert shape, f"not an event: {block!r}"
        found.append(Event(shape[1] or "", shape[2] if shape[2] == "[DONE]" else json.loads(shape[2])))
    return found
