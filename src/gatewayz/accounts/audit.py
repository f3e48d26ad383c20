"""The audit trail: append-only entries, each bound to the one before by SHA-256.

Two chains: `audit` for what was done, `security` for what was attempted. `hash` = SHA-256(prev_hash + canonical entry),
where the canonical entry is the row without its hashes as JSON with sorted keys. Writers of one chain queue at its head
row, which stays locked until the transaction ends: append last, and one chain per transaction where possible.
"""

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from sqlalchemy.ext.asyncio import AsyncConnection

from gatewayz.accounts import store

Chain = Literal["audit", "security"]
Severity = Literal["low", "medium", "high", "critical"]
CHAINS: tuple[Chain, ...] = ("audit", "security")
SEVERITIES: tuple[Severity, ...] = ("low", "medium", "high", "critical")

GENESIS = "0" * 64
_BATCH = 500
_MAX_TEXT = 512
_SECRET_NAME = re.compile(r"secret|password|token|hash|encrypted|api_key$|^key$|credential", re.I)
_KEY_TEXT = re.compile(r"gw_(live|test|staging|dev)_[A-Za-z0-9_-]{20,}")


@dataclass(frozen=True, slots=True)
class Origin:
    """Who acts, and from where: `actor` is `user:12`, `system` or `anonymous`."""

    actor: str
    user_id: int | None = None
    ip: str = ""
    user_agent: str = ""
    request_id: str = ""


SYSTEM = Origin("system")


@dataclass(frozen=True, slots=True)
class Entry:
    """One thing that happened. `before` and `after` are JSON objects; secrets in them are masked when written."""

    at_us: int
    action: str
    resource: str
    origin: Origin
    owner_user_id: int | None = None
    before: Mapping[str, Any] | None = None
    after: Mapping[str, Any] | None = None
    reason: str = ""
    severity: Severity = "low"


@dataclass(frozen=True, slots=True)
class Filters:
    """Which entries to list; None does not filter. `action` ending in `.` matches a family, e.g. `key.`."""

    action: str | None = None
    actor_user_id: int | None = None
    owner_user_id: int | None = None
    resource: str | None = None
    severity: str | None = None
    request_id: str | None = None
    from_us: int | None = None
    until_us: int | None = None


@dataclass(frozen=True, slots=True)
class BrokenLink:
    """The first entry that does not fit, and why: missing, altered, or not joined to the one before."""

    seq: int
    reason: Literal["missing", "altered", "unlinked"]


@dataclass(frozen=True, slots=True)
class Verdict:
    """The outcome of a verification: how many entries were found sound, and the first broken link if any."""

    sound: int
    broken: BrokenLink | None


async def append(connection: AsyncConnection, chain: Chain, entry: Entry) -> int:
    """Writes the entry as the next link in the caller's transaction; returns its number (1, 2, …)."""
    seq, previous = await store.lock_head(connection, chain, GENESIS)
    row: dict[str, Any] = {
        "seq": seq + 1,
        "at_us": entry.at_us,
        "actor": _plain(entry.origin.actor),
        "actor_user_id": entry.origin.user_id,
        "action": _plain(entry.action),
        "severity": entry.severity,
        "resource": _plain(entry.resource),
        "owner_user_id": entry.owner_user_id,
        "reason": _plain(entry.reason, 2000),
        "before": _snapshot(entry.before),
        "after": _snapshot(entry.after),
        "ip": _plain(entry.origin.ip),
        "user_agent": _plain(entry.origin.user_agent),
        "request_id": _plain(entry.origin.request_id),
    }
    link = _link(previous, row)
    await store.insert_entry(connection, chain, row | {"prev_hash": previous, "hash": link})
    await store.move_head(connection, chain, seq + 1, link)
    return seq + 1


async def verify(connection: AsyncConnection, chain: Chain) -> Verdict:
    """Walks the whole chain up to the head that stood when the walk began. Reads only.

    An entry cut off at the end shows as missing, since the head remembers it.
    """
    last, last_hash = await store.read_head(connection, chain, GENESIS)
    seq, previous = 0, GENESIS
    while seq < last:
        rows = await store.entries_after(connection, chain, seq, min(_BATCH, last - seq))
        if not rows:
            return Verdict(seq, BrokenLink(seq + 1, "missing"))
        for row in rows:
            if row["seq"] != seq + 1:
                return Verdict(seq, BrokenLink(seq + 1, "missing"))
            stored_previous, stored = row.pop("prev_hash"), row.pop("hash")
            if stored_previous != previous:
                return Verdict(seq, BrokenLink(seq + 1, "unlinked"))
            if _link(previous, row) != stored:
                return Verdict(seq, BrokenLink(seq + 1, "altered"))
            seq, previous = seq + 1, stored
    if previous != last_hash:
        return Verdict(max(0, seq - 1), BrokenLink(max(1, seq), "unlinked"))
    if last == 0 and await store.entries_after(connection, chain, 0, 1):
        return Verdict(0, BrokenLink(1, "unlinked"))
    return Verdict(seq, None)


async def page(
    connection: AsyncConnection, chain: Chain, filters: Filters, limit: int, offset: int
) -> tuple[list[dict[str, Any]], int]:
    """Entries newest first as rows with `before` and `after` read back, and the count of all that match."""
    rows, total = await store.page_of_entries(connection, chain, filters, limit, offset)
    for row in rows:
        row["before"], row["after"] = _read(row["before"]), _read(row["after"])
    return rows, total


async def page_of_key_events(
    connection: AsyncConnection, user_id: int, limit: int, offset: int
) -> tuple[list[dict[str, Any]], int]:
    """Key events of one account, newest first, use being one row per key and hour; and the count of all."""
    rows, total = await store.page_of_key_events(connection, user_id, limit, offset)
    for row in rows:
        row["before"], row["after"] = _read(row["before"]), _read(row["after"])
    return rows, total


def masked(value: Any, name: str = "") -> Any:
    """The JSON value with secrets replaced: members named like one, and anything that looks like an API key."""
    if isinstance(value, Mapping):
        return {str(key): masked(member, str(key)) for key, member in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [masked(member, name) for member in value]
    if isinstance(value, str):
        if name and _SECRET_NAME.search(name):
            return "***"
        return _KEY_TEXT.sub(r"gw_\1_***", value)
    return value


def _link(previous: str, row: Mapping[str, Any]) -> str:
    canonical = json.dumps(row, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256((previous + canonical).encode("ascii")).hexdigest()


def _snapshot(value: Mapping[str, Any] | None) -> str | None:
    return None if value is None else json.dumps(masked(value), sort_keys=True, separators=(",", ":"))


def _read(text: str | None) -> Any:
    return None if text is None else json.loads(text)


def _plain(text: str, longest: int = _MAX_TEXT) -> str:
    """The text as both databases take it: no lone surrogates, no control characters, not endless, no API key."""
    sound = text[:longest].encode("utf-8", "replace").decode("utf-8")
    sound = "".join(letter if letter.isprintable() else " " for letter in sound)
    return _KEY_TEXT.sub(r"gw_\1_***", sound)
