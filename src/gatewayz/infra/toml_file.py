"""TOML with line numbers: the parsed tables, and on which line of the file each of them stands."""

import re
import tomllib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

Path = tuple[str | int, ...]
_HEADER = re.compile(r"^\s*(\[\[?)\s*([^\[\]]+?)\s*\]\]?\s*(?:#.*)?$")
_KEY = re.compile(r"""^\s*((?:[A-Za-z0-9_-]+|"[^"]*"|'[^']*')(?:\s*\.\s*(?:[A-Za-z0-9_-]+|"[^"]*"|'[^']*'))*)\s*=""")
_PART = re.compile(r"""[A-Za-z0-9_-]+|"[^"]*"|'[^']*'""")


@dataclass(frozen=True, slots=True)
class TomlFile:
    """A parsed file; `line_of(path)` is the 1-based line of a table or key, None if it was not found."""

    tables: dict[str, Any]
    line_of: Callable[[Path], int | None]


class TomlMistake(ValueError):
    """The text is no TOML; `line` is where, if known."""

    def __init__(self, message: str, line: int | None) -> None:
        super().__init__(message)
        self.line = line


def read_toml(text: str) -> TomlFile:
    """Raises TomlMistake for text that is no TOML."""
    try:
        tables = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        found = re.search(r"at line (\d+)", str(error))
        raise TomlMistake(str(error), int(found[1]) if found else None) from error
    lines = _lines(text)
    return TomlFile(tables, lines.get)


def _lines(text: str) -> dict[Path, int]:
    """Where tables and keys stand. Keys inside inline tables and multi-line values share the line of their start."""
    found: dict[Path, int] = {}
    counts: dict[Path, int] = {}
    current: Path = ()
    depth = 0
    quote: str | None = None
    for number, line in enumerate(text.splitlines(), start=1):
        if quote is None and depth == 0:
            header = _HEADER.match(line)
            if header:
                current = _table_path(header[1] == "[[", _parts(header[2]), counts)
                found.setdefault(current, number)
                continue
            key = _KEY.match(line)
            if key:
                found.setdefault((*current, *_parts(key[1])), number)
        depth, quote = _after(line, depth, quote)
    return found


def _parts(dotted: str) -> Path:
    return tuple(part.strip("\"'") for part in _PART.findall(dotted))


def _table_path(is_list: bool, parts: Path, counts: dict[Path, int]) -> Path:
    path: Path = ()
    for place, part in enumerate(parts):
        path = (*path, part)
        last = place == len(parts) - 1
        if last and is_list:
            counts[path] = counts.get(path, -1) + 1
            # Lists inside a new element of a list are counted from zero again.
            for known in [other for other in counts if len(other) > len(path) and other[: len(path)] == path]:
                if known[len(path)] == counts[path]:
                    del counts[known]
            path = (*path, counts[path])
        elif path in counts:
            path = (*path, counts[path])
    return path


def _after(line: str, depth: int, quote: str | None) -> tuple[int, str | None]:
    """Bracket depth and open multi-line quote after this line."""
    place = 0
    while place < len(line):
        if quote is not None:
            end = line.find(quote, place)
            if end < 0:
                return depth, quote
            place, quote = end + 3, None
            continue
        char = line[place]
        if char == "#":
            break
        if char in "\"'":
            if line.startswith(char * 3, place):
                quote = char * 3
                place += 3
                continue
            place = _after_string(line, place, char)
            continue
        if char in "[{":
            depth += 1
        elif char in "]}":
            depth = max(0, depth - 1)
        place += 1
    return depth, quote


def _after_string(line: str, place: int, char: str) -> int:
    place += 1
    while place < len(line) and line[place] != char:
        place += 2 if char == '"' and line[place] == "\\" else 1
    return place + 1
