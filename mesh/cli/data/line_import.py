"""LineImport: lines of `mesh export` as new events of a node, a batch at a time."""

from __future__ import annotations

from collections.abc import Callable
from hashlib import sha256
from time import time_ns
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec import Raw

from mesh.cli.add import BYTE_ORDER_MARK
from mesh.control.messages import BATCH_BYTES, BATCH_EVENTS, MAX_ITEM_BYTES, Confirmed
from peers.events.created import Created, created_text
from peers.events.entry import RESERVED_META
from peers.events.reasons import check_channels
from peers.log.draft import read_created
from peers.stores.keys import MAX_ADD_KEY_BYTES
from peers.stores.undo import undone_by, with_undo_id

if TYPE_CHECKING:
    from mesh.control.client import ControlClient
    from mesh.control.stopped_log import StoppedLog

_LEFT_OUT = RESERVED_META - {"time"} | {"keep_last"}


class _Line(msgspec.Struct):
    event: Raw
    meta: dict[str, Any]
    undone: bool = False


_decode_line = msgspec.json.Decoder(_Line).decode


class _Item(msgspec.Struct):
    """One line that waits for its batch."""

    number: int
    created: Created
    event: bytes
    meta: dict[str, Any] | None
    is_undone: bool


class LineImport:
    """`take` each line, then `flush`. What it keeps in memory is a batch, and the ids of events that are undone."""

    def __init__(self, log: ControlClient | StoppedLog, on_refused: Callable[[int, str], None]) -> None:
        """`on_refused` gets the number of a line, from 1, and why it was not imported."""
        self.added = 0
        """Lines whose events are in the log."""
        self.new = 0
        """Of these, how many were not there before."""
        self.refused = 0
        self._log = log
        self._on_refused = on_refused
        self._number = 0
        self._waiting: list[_Item] = []
        self._bytes = 0
        self._last_added: int = log.status()["last_added"]
        """Before the import."""
        self._undone: dict[Created, Created | None] = {}
        """The new `created` of events that are undone, by their old ones; None while the event waits."""

    def take(self, line: bytes) -> None:
        """Raises MeshError if the node stops or its disk fails; what was added stays."""
        self._number += 1
        if self._number == 1:
            line = line.removeprefix(BYTE_ORDER_MARK)
        if not line.strip():
            return
        try:
            item = self._read(line)
        except ValueError as error:
            self._refuse(self._number, str(error))
            return
        target = undone_by(item.event)
        if target in self._undone:
            if self._undone[target] is None:
                self.flush()
            new = self._undone[target]
            if new is not None:
                item.event = with_undo_id(item.event, created_text(new))
        if item.is_undone:
            self._undone[item.created] = None
        size = len(line)
        if self._waiting and (len(self._waiting) == BATCH_EVENTS or self._bytes + size > BATCH_BYTES):
            self.flush()
        self._waiting.append(item)
        self._bytes += size

    def flush(self) -> None:
        """Add what waits. Raises as `take`."""
        items, self._waiting, self._bytes = self._waiting, [], 0
        if not items:
            return
        outcomes = self._log.add(
            [Raw(item.event) for item in items],
            [item.meta for item in items],
            [import_key(item.created) for item in items],
        )
        for item, outcome in zip(items, outcomes, strict=True):
            if not isinstance(outcome, Confirmed):
                self._refuse(item.number, outcome.why)
                continue
            self.added += 1
            self.new += outcome.added > self._last_added
            if item.is_undone:
                self._undone[item.created] = outcome.created

    def _read(self, line: bytes) -> _Item:
        if len(line) > MAX_ITEM_BYTES:
            raise ValueError(f"it has more than {MAX_ITEM_BYTES} bytes")
        try:
            found = _decode_line(line)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise ValueError(
                f'it is no line of `mesh export`, {{"event": ..., "meta": ...}} ({error}): events alone are for `mesh add -`'
            ) from None
        except RecursionError:
            raise ValueError("it is nested too deep") from None
        meta = found.meta
        if "created" not in meta:
            raise ValueError("its meta has no `created`, by which it is known again: add such events with `mesh add -`")
        created = read_created(tuple(meta["created"]) if isinstance(meta["created"], list) else meta["created"])
        kept = {key: value for key, value in meta.items() if key not in _LEFT_OUT}
        time = kept.get("time")
        if isinstance(time, int) and time > time_ns() // 1_000_000:
            del kept["time"]
        try:
            check_channels(kept)
        except ValueError:  # an earlier release has taken them, for no client
            del kept["channels"]
        return _Item(self._number, created, bytes(found.event), kept or None, found.undone)

    def _refuse(self, number: int, why: str) -> None:
        self.refused += 1
        self._on_refused(number, why)


def import_key(created: Created) -> str:
    """The key of the event of a line: see NodeLog.add."""
    key = f"import {created_text(created)}"
    return key if len(key.encode()) <= MAX_ADD_KEY_BYTES else f"import {sha256(key.encode()).hexdigest()}"
