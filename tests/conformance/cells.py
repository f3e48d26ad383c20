"""One cell of the matrix: a row tried in one pairing, and what was found."""

from dataclasses import dataclass, fields, replace
from typing import Any, Literal

import msgspec
import pytest

from tests.conformance.ask import Ingress
from tests.conformance.hear import Upstream
from tests.conformance.house import House, cost_usd, model_of
from tests.conformance.ingress import INGRESSES
from tests.conformance.notes import DOWNGRADED, REFUSED, Note, note_for
from tests.conformance.rows import ROWS, STREAM, Row
from tests.conformance.talk import Part, Reply, Talk, Turn, merged
from tests.conformance.upstreams import UPSTREAMS

Kind = Literal["faithful", "forwarded", "downgraded", "refused", "n/a"]
# What the gateway writes anew even where it forwards bytes: the model's name, and what it must know for the bill.
_REWRITTEN = {"model", "stream_options", "max_tokens", "max_output_tokens"}
_UNKNOWN = {"x_unknown_member": {"kept": [1.50, "as it is"]}}


@dataclass(frozen=True)
class Finding:
    """What became of a row in a pairing, and why if it is not faithful."""

    kind: Kind
    reason: str = ""


Cell = tuple[str, str, str]  # row, ingress, upstream
CELLS: tuple[Cell, ...] = tuple((row, way, to) for way in INGRESSES for row in ROWS for to in UPSTREAMS)


def find(house: House, cell: Cell) -> Finding:
    """Tries a cell in each of its forms. Fails where something is lost, bent or refused that `notes.py` does not tell."""
    row, ingress, upstream = ROWS[cell[0]], INGRESSES[cell[1]], UPSTREAMS[cell[2]]
    never = ingress.cannot_ask(row.talk) or upstream.takes_no(ingress.name, row.name)
    if never is not None:
        return Finding("n/a", never)
    note = note_for(*cell)
    found = {form: _in_form(house, row, ingress, upstream, note, stream=form == STREAM) for form in row.forms}
    house.fake.reset()
    kinds = set(found.values())
    assert len(kinds) == 1, f"plain and streamed differ: {found}"
    kind = kinds.pop()
    assert (note is None) is (kind in ("faithful", "forwarded")), f"the note is out of date: this is {kind}"
    reason = note.reason if note else ""
    return Finding(kind, f"`{note.param}`: {reason}" if note and note.param else reason)


def _in_form(house: House, row: Row, ingress: Ingress, upstream: Upstream, note: Note | None, *, stream: bool) -> Kind:
    house.fake.reset()
    if row.trouble is not None:
        fresh = replace(house, customer=house.gateway.customer(1))
        seen = row.trouble.act(fresh, ingress, upstream, stream)
        return _judge(seen, row.trouble.wanted, note.got if note else {})
    house.fake.script(upstream.slug, *[{**upstream.script(row.reply), **row.script, "keep_body": True}] * 2)
    same = ingress.dialect == upstream.dialect
    body = {**ingress.write(row.talk, model_of(upstream), stream), **(_UNKNOWN if same else {})}
    log_from = house.log_size()
    answer = house.ask(ingress, body)
    if answer.status_code == 400:
        error = answer.json()["error"]
        assert note is not None and note.kind == REFUSED, answer.text
        assert error["param"] == note.param and not house.fake.journal(upstream.slug), answer.text
        return "refused"
    assert answer.status_code == 200, answer.text
    message = ingress.message(answer)
    left_out = house.left_out_since(log_from)
    assert left_out == set(note.named if note else ()), f"left out, says the log: {left_out}"
    wanted_talk = replace(row.talk, turns=merged(list(row.talk.turns)))
    kinds = [
        _judge(_facts(_heard(house, upstream, 0)), _facts(wanted_talk), note.heard if note else {}),
        _judge(_facts(ingress.read(message)), _facts(upstream.says(row.reply)), note.got if note else {}),
    ]
    assert message["usage"]["cost"] == pytest.approx(cost_usd(upstream.says(row.reply).usage)), (
        "each token is paid once"
    )
    forwarded = same and _bytes_kept(house, upstream, ingress.put(body)[1])
    if row.again is not None and ingress.next_body is not None:
        house.ask(ingress, ingress.next_body(body, message, row.again))
        later = replace(
            wanted_talk, turns=merged([*wanted_talk.turns, _turn_of(upstream.remembers(row.reply)), row.again])
        )
        kinds.append(_judge(_facts(_heard(house, upstream, 1)), _facts(later), note.later if note else {}))
    if "downgraded" in kinds:
        return "downgraded"
    return "forwarded" if forwarded else "faithful"


def _heard(house: House, upstream: Upstream, place: int) -> Talk:
    entries = house.fake.journal(upstream.slug)
    assert len(entries) == place + 1, "one request of the client is one request to the provider"
    assert entries[place]["status"] == 200
    return upstream.hear(entries[place]["body"])


def _bytes_kept(house: House, upstream: Upstream, body: dict[str, Any]) -> bool:
    """Whether every member that the client sent reached the provider in the client's own bytes."""
    read = msgspec.json.Decoder(dict[str, msgspec.Raw])
    got = read.decode(house.fake.journal(upstream.slug)[0]["text"])
    sent = read.decode(House.text_of(body))
    return all(bytes(got.get(name, b"")) == bytes(sent[name]) for name in sent if name not in _REWRITTEN)


def _turn_of(reply: Reply) -> Turn:
    """What the provider must hear again of its own answer."""
    parts: list[Part] = []
    if reply.thinking or reply.signature:
        parts.append(Part("thinking", (reply.thinking, reply.signature)))
    if reply.redacted:
        parts.append(Part("redacted", reply.redacted))
    parts += [Part("raw", block) for block in reply.raw]
    if reply.texts[0]:
        parts.append(Part("text", reply.texts[0]))
    return Turn("assistant", (*parts, *(Part("call", call) for call in reply.calls)))


def _facts(value: Talk | Reply) -> dict[str, Any]:
    return {each.name: getattr(value, each.name) for each in fields(value)}


def _judge(seen: dict[str, Any], wanted: dict[str, Any], told: dict[str, Any]) -> Kind:
    """`told`: by the notes, these facts are other than wanted. Fails for any other difference."""
    lost = {name: value for name, value in seen.items() if value != wanted[name]}
    for name, value in lost.items():
        known = told.get(name, _UNTOLD)
        holds = known(value, wanted[name]) if callable(known) else known == value
        assert holds, f"{name}: {value!r} instead of {wanted[name]!r}"
    assert lost or not told, "nothing differs here, although a note says so"
    return DOWNGRADED if lost else "faithful"


_UNTOLD = object()
