"""Every ingress x every upstream x every feature against a live gateway, and the page that tells of it."""

from collections.abc import Callable, Iterator

import pytest

from gatewayz.api.inference.on_path import METHODS
from gatewayz.api.inference.routes import ROUTES
from gatewayz.core.services import CHATS
from gatewayz.dialects import CLIENT_DIALECTS
from gatewayz.providers.profile import CHAT_PATHS
from scripts.build_conformance import PAGE, page
from tests.conformance.cells import CELLS, Cell, Finding, find
from tests.conformance.house import House, running
from tests.conformance.ingress import INGRESSES
from tests.conformance.notes import NOTES, note_for
from tests.conformance.rows import ROWS
from tests.conformance.upstreams import UPSTREAMS


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """The house of the matrix."""
    with running(tmp_path_factory.mktemp("matrix")) as standing:
        yield standing


@pytest.fixture(scope="module")
def found(house: House) -> Callable[[Cell], Finding]:
    """What a cell turns out to be; each is tried once."""
    findings: dict[Cell, Finding] = {}

    def look(cell: Cell) -> Finding:
        if cell not in findings:
            findings[cell] = find(house, cell)
        return findings[cell]

    return look


@pytest.mark.ac("AC-9.1.3", "AC-9.1.4", "AC-9.1.10", "AC-CC.13.1", "AC-CC.13.3")
@pytest.mark.parametrize("cell", CELLS, ids=" | ".join)
def test_cell(found: Callable[[Cell], Finding], cell: Cell) -> None:
    finding = found(cell)
    assert finding.reason or finding.kind in ("faithful", "forwarded"), "whatever is not whole has its reason"


def test_the_page_tells_what_is_found(found: Callable[[Cell], Finding]) -> None:
    told = page({cell: found(cell) for cell in CELLS})
    assert PAGE.read_text(encoding="utf-8") == told, "the page is not current: run `make conformance`"


def test_every_dialect_has_its_driver() -> None:
    chats = {name for name, dialect in CLIENT_DIALECTS.items() if dialect.service in CHATS}
    routes = (*ROUTES.values(), *METHODS.values())
    assert {route.dialect for route in routes} & chats == {ingress.dialect for ingress in INGRESSES.values()}
    assert set(CHAT_PATHS) == {upstream.dialect for upstream in UPSTREAMS.values()}


def test_every_note_names_what_exists_and_is_needed() -> None:
    for note in NOTES:
        assert set(note.rows) <= ROWS.keys() and set(note.ingresses) <= INGRESSES.keys(), note
        assert set(note.upstreams) <= UPSTREAMS.keys(), note
        for row in note.rows:
            cells = [(row, ingress, upstream) for ingress in note.ingresses for upstream in note.upstreams]
            assert any(_applies(*cell) and note_for(*cell) is note for cell in cells), f"nobody needs this: {note}"


def _applies(row: str, ingress: str, upstream: str) -> bool:
    cannot = INGRESSES[ingress].cannot_ask(ROWS[row].talk) or UPSTREAMS[upstream].takes_no(ingress, row)
    return cannot is None


def test_the_reasons_of_upstreams_are_of_rows_that_exist() -> None:
    assert {row for upstream in UPSTREAMS.values() for row in upstream.never} <= ROWS.keys()
