"""What else are models called? The packaged tables of aliases, redirects of retired names, and pins at providers."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources

import msgspec


@dataclass(frozen=True, slots=True)
class AliasTables:
    """`aliases` and `redirects` map a lower-case name to a canonical id; `pins` map (provider, lower-case name) to the
    provider's name that is sent instead; `providers` are the slugs known to the product."""

    aliases: Mapping[str, str]
    redirects: Mapping[str, str]
    pins: Mapping[tuple[str, str], str]
    providers: frozenset[str]


class _File(msgspec.Struct):
    aliases: dict[str, str]
    redirects: dict[str, str]
    pins: dict[str, dict[str, str]]
    providers: list[str]


@cache
def packaged() -> AliasTables:
    """The tables that ship with the product. Raises ValueError if a name leads to itself."""
    content = resources.files("gatewayz.catalog").joinpath("seed/aliases.json").read_bytes()
    file = msgspec.json.decode(content, type=_File)
    problems = alias_problems({**file.aliases, **file.redirects})
    if problems:
        raise ValueError("packaged aliases: " + "; ".join(problems))
    pins = {(provider, name): target for provider, table in file.pins.items() for name, target in table.items()}
    return AliasTables(file.aliases, file.redirects, pins, frozenset(file.providers))


def alias_problems(table: Mapping[str, str]) -> list[str]:
    """One sentence per alias that names itself or starts a chain that never ends; empty if all is well."""
    problems = []
    for start in table:
        seen = [start]
        name = table[start].lower()
        while name in table and name not in seen:
            seen.append(name)
            name = table[name].lower()
        if name == start:
            problems.append(
                " -> ".join([*seen, name]) + (" is an alias of itself" if len(seen) == 1 else " is a cycle")
            )
    return problems


def final_target(table: Mapping[str, str], name: str) -> str:
    """Where a chain of aliases ends. The table must be free of cycles (see `alias_problems`)."""
    while name.lower() in table:
        name = table[name.lower()]
    return name


def usable_aliases(table: Mapping[str, str], known: Iterable[str]) -> dict[str, str]:
    """The aliases whose target is among the `known` lower-case ids and whose own name is not one of them."""
    ids = frozenset(known)
    found = ((name, final_target(table, target).lower()) for name, target in table.items())
    return {name: target for name, target in found if target in ids and name not in ids}
