"""The alias data itself, and the check that guards it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gatewayz.catalog.aliases import alias_problems, final_target, packaged, usable_aliases

TABLES = packaged()


@pytest.mark.ac("AC-2.1.5")
def test_no_packaged_name_leads_to_itself() -> None:
    assert alias_problems({**TABLES.aliases, **TABLES.redirects}) == []


@pytest.mark.ac("AC-2.1.5")
@pytest.mark.parametrize(
    ("table", "named"),
    [
        ({"a": "a"}, ["a -> a is an alias of itself"]),
        ({"a": "A"}, ["a -> a is an alias of itself"]),
        ({"a": "b", "b": "a"}, ["a -> b -> a is a cycle", "b -> a -> b is a cycle"]),
        ({"x": "a", "a": "b", "b": "c", "c": "a"}, 3),
        ({"a": "b", "b": "c"}, []),
    ],
)
def test_cycles_are_named(table: dict[str, str], named: list[str] | int) -> None:
    problems = alias_problems(table)
    assert problems == named if isinstance(named, list) else len(problems) == named


@given(st.dictionaries(st.sampled_from("abcdef"), st.sampled_from("abcdef")))
def test_a_table_without_problems_always_ends(table: dict[str, str]) -> None:
    if not alias_problems(table):
        for name in table:
            assert final_target(table, name) not in table


def test_enough_aliases_ship_and_are_lower_case() -> None:
    assert len(TABLES.aliases) >= 120
    assert all(name == name.strip().lower() for name in [*TABLES.aliases, *TABLES.redirects])


def test_an_alias_never_hides_a_model_and_needs_one_behind_it() -> None:
    table = {"short": "acme/long", "acme/other": "acme/long", "gone": "acme/gone", "far": "short"}
    assert usable_aliases(table, ["acme/long", "acme/other"]) == {"short": "acme/long", "far": "acme/long"}
