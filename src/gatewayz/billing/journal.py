"""Settlements that the database would not take, kept on this machine's disk until it does.

A batch is written and synced before its answers are let go, under the id that it carries into the database: posting it
again after a crash can therefore never charge twice. Each process owns one file and holds a lock on it; a file whose lock
is free belongs to a process that died, and whoever finds it posts what it holds.
"""

import asyncio
import fcntl
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, assert_never

import msgspec
import structlog

from gatewayz.billing.ops import Capture, Operation, Release, Void

log = structlog.get_logger(__name__)

Kind = Literal["capture", "void", "release"]


class _Line(msgspec.Struct):
    batch_id: str
    ops: list[tuple[Kind, msgspec.Raw]]


@dataclass(frozen=True, slots=True)
class KeptBatch:
    """A batch as it was kept."""

    batch_id: str
    ops: tuple[Operation, ...]


@dataclass(frozen=True, slots=True)
class Orphan:
    """The journal of a process that died: its batches, and the open file whose lock we hold now."""

    path: Path
    batches: tuple[KeptBatch, ...]
    descriptor: int

    def done(self) -> None:
        """Removes the file after its batches were posted."""
        self.path.unlink(missing_ok=True)
        os.close(self.descriptor)

    def leave(self) -> None:
        """Lets the file go as it is, for a later try."""
        os.close(self.descriptor)


class Journal:
    """One process's file in `folder`. Nothing is created before the first batch is kept."""

    def __init__(self, folder: Path, process_id: str) -> None:
        self._folder = folder
        self._path = folder / f"{process_id}.journal"
        self._descriptor: int | None = None
        self.kept = 0

    async def keep(self, batch_id: str, ops: Sequence[Operation]) -> None:
        """Writes and syncs a batch. Raises OSError if the disk cannot take it; then it is not kept."""
        line = encode(batch_id, ops)
        await asyncio.to_thread(self._append, line)
        self.kept += 1

    async def clear(self) -> None:
        """Empties the file after everything it holds was posted."""
        if self._descriptor is not None:
            await asyncio.to_thread(os.ftruncate, self._descriptor, 0)

    def close(self) -> None:
        """Lets the file go; an empty one is removed, one with batches stays for the next process."""
        if self._descriptor is None:
            return
        if os.fstat(self._descriptor).st_size == 0:
            self._path.unlink(missing_ok=True)
        os.close(self._descriptor)
        self._descriptor = None

    def orphans(self) -> list[Orphan]:
        """The journals of dead processes in the folder, locked for us. Unreadable lines are logged and left out."""
        found: list[Orphan] = []
        for path in sorted(self._folder.glob("*.journal")):
            if path == self._path:
                continue
            orphan = _adopt(path)
            if orphan is not None:
                found.append(orphan)
        return found

    def _append(self, line: bytes) -> None:
        if self._descriptor is None:
            self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            self._descriptor = descriptor
            self._sync_folder()
        size = os.fstat(self._descriptor).st_size
        try:
            written = os.write(self._descriptor, line)
            if written != len(line):
                raise OSError("short write")
            os.fsync(self._descriptor)
        except OSError:
            os.ftruncate(self._descriptor, size)
            raise

    def _sync_folder(self) -> None:
        """A new file survives a power cut only once its folder is synced too."""
        descriptor = os.open(self._folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def encode(batch_id: str, ops: Sequence[Operation]) -> bytes:
    """One line of JSON."""
    kept: list[tuple[Kind, Any]] = []
    for op in ops:
        match op:
            case Capture():
                kept.append(("capture", op))
            case Void():
                kept.append(("void", op))
            case Release():
                kept.append(("release", op))
            case _:
                raise TypeError(f"{type(op).__name__} is never kept in a journal")
    return msgspec.json.encode({"batch_id": batch_id, "ops": kept}) + b"\n"


def decode(line: bytes) -> KeptBatch:
    """The inverse of `encode`. Raises msgspec.MsgspecError for a line that was cut off."""
    found = msgspec.json.decode(line, type=_Line)
    return KeptBatch(found.batch_id, tuple(_operation(kind, raw) for kind, raw in found.ops))


def _operation(kind: Kind, raw: msgspec.Raw) -> Operation:
    match kind:
        case "capture":
            return msgspec.json.decode(raw, type=Capture)
        case "void":
            return msgspec.json.decode(raw, type=Void)
        case "release":
            return msgspec.json.decode(raw, type=Release)
        case _:
            assert_never(kind)


def _adopt(path: Path) -> Orphan | None:
    try:
        descriptor = os.open(path, os.O_RDWR)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        # Between opening and locking its owner may have removed it.
        if os.fstat(descriptor).st_nlink == 0:
            raise BlockingIOError
    except BlockingIOError:
        os.close(descriptor)
        return None
    batches: list[KeptBatch] = []
    for line in path.read_bytes().splitlines():
        try:
            batches.append(decode(line))
        except msgspec.MsgspecError:
            # Only the last line can be cut: its answers were never let go, so nothing is owed for it.
            log.warning("journal_line_unreadable", path=str(path), bytes=len(line))
    return Orphan(path, tuple(batches), descriptor)
