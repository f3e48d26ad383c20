"""Inserting the rows of a batch on SQLite: several with one statement, and what all of them share stands in its text.

Each run of a statement gives the interpreter away and waits for it again. A value that is bound costs something for each
row, None and truths the most: the driver looks for an adapter, and most records have nearly a dozen of them.
"""

import sqlite3
from collections.abc import Callable, Sequence
from itertools import chain
from operator import itemgetter
from typing import Any

import sqlalchemy as sa

_Row = tuple[Any, ...]

# Rows of one statement: so many as long as so many are left.
_AT_ONCE = (16, 4, 1)
_LITERALS = {None: "NULL", False: "0", True: "1", "api_usage": "'api_usage'", "revenue": "'revenue'"}
# What rows share is looked for anew after so many batches; until then it only becomes less. So a column that is filled
# now and then does not bring another statement with every batch.
_KEPT_FOR = 256


class Inserts:
    """Inserts into one table. Belongs to one connection at a time."""

    def __init__(self, table: sa.Table, columns: Sequence[str], shared: Sequence[str] = ()) -> None:
        """`shared` are columns that rows often have in common, besides those that may be null or hold truths."""
        self._before = f"INSERT OR ROLLBACK INTO {table.name} ({', '.join(columns)}) VALUES "  # noqa: S608
        self._width = len(columns)
        self._candidates = tuple(
            place
            for place, name in enumerate(columns)
            if name in shared or table.c[name].nullable or isinstance(table.c[name].type, sa.Boolean)
        )
        self._common: dict[int, Any] = {}
        self._common_of: Callable[[_Row], _Row] = tuple
        self._bound_of: Callable[[_Row], _Row] = tuple
        self._statements: tuple[tuple[int, str], ...] = ()
        self._batches_left = 0

    def run(self, cursor: sqlite3.Cursor, rows: Sequence[_Row]) -> None:
        """Inserts the rows in their order.

        An error of a constraint undoes the whole transaction: a statement that might have to undo some of its rows alone
        would copy each page before it changes it.
        """
        if not self._batches_left:
            self._batches_left = _KEPT_FOR
            self._share({place: rows[0][place] for place in self._candidates if rows[0][place] in _LITERALS})
        self._batches_left -= 1
        if self._common:
            columns = zip(self._common.items(), zip(*map(self._common_of, rows), strict=True), strict=True)
            left = {place: value for (place, value), column in columns if column.count(value) == len(rows)}
            if len(left) < len(self._common):
                self._share(left)
        values, at = list(map(self._bound_of, rows)), 0
        for size, statement in self._statements:
            while len(values) - at >= size:
                cursor.execute(statement, list(chain.from_iterable(values[at : at + size])))
                at += size

    def _share(self, common: dict[int, Any]) -> None:
        """Words the statements for rows that have these values in common, by their places."""
        self._common = common
        places = range(self._width)
        one = f"({', '.join(_LITERALS[common[at]] if at in common else '?' for at in places)})"
        self._statements = tuple((size, self._before + ", ".join([one] * size)) for size in _AT_ONCE)
        self._common_of = _values_at(tuple(common))
        self._bound_of = _values_at(tuple(at for at in places if at not in common))


def _values_at(places: tuple[int, ...]) -> Callable[[_Row], _Row]:
    """The values of a row at these places; `itemgetter` gives no tuple of a single one, and takes none of none."""
    return itemgetter(*places) if len(places) > 1 else lambda row: tuple(row[at] for at in places)
