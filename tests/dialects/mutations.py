"""Recorded JSON with one thing wrong: another type at each path, a member missing, an item twice."""

import json
from collections.abc import Iterator
from typing import Any

WRONG: list[Any] = [
    *(None, True, 0, -1, 10**30, 1.5, float("nan"), "", "x", "\ud83d", "2025"),
    *([], [1], ["x"], [None], [{}], [[]], {}, {"a": 1}, {"type": "text"}),
]
DELETED = object()
Path = tuple[Any, ...]


def paths(value: Any, at: Path = ()) -> Iterator[Path]:
    """Every place in a JSON value, the whole first."""
    yield at
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from paths(inner, (*at, name))
    elif isinstance(value, list):
        for place, inner in enumerate(value):
            yield from paths(inner, (*at, place))


def shape(path: Path) -> Path:
    """The path with all places of an array taken as one."""
    return tuple("*" if isinstance(step, int) else step for step in path)


def changed(value: Any, path: Path, new: Any) -> Any:
    """A copy in which `new` stands at `path`; with DELETED the member or item is gone."""
    if not path:
        return new
    copy = value.copy()
    step = path[0]
    if len(path) == 1 and new is DELETED:
        del copy[step]
    else:
        copy[step] = changed(value[step], path[1:], new)
    return copy


def mutations(value: Any, seen: set[Any], key: Any = None) -> Iterator[bytes]:
    """The value with each kind of mistake at each place whose shape was not `seen` (with this key) before."""
    for path in paths(value):
        if (key, shape(path)) in seen:
            continue
        seen.add((key, shape(path)))
        for wrong in WRONG:
            yield json.dumps(changed(value, path, wrong)).encode()
        if path:
            yield json.dumps(changed(value, path, DELETED)).encode()
            inner = value
            for step in path[:-1]:
                inner = inner[step]
            if isinstance(inner, list):
                yield json.dumps(changed(value, path[:-1], [*inner, inner[path[-1]]])).encode()
            else:  # the same name twice: the last one counts everywhere
                text = json.dumps(changed(value, path[:-1], {**inner, "\u0000": inner[path[-1]]}))
                yield text.replace('"\\u0000"', json.dumps(path[-1])).encode()
