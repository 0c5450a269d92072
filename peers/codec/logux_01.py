"""The dialect of logux-sync 0.1, which calls it protocol [0, 1]."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from peers.codec.logux import LoguxDialect
from peers.codec.messages import Message, Sync, Version
from peers.events.created import Created, check_created, created_from_text, created_text
from peers.events.entry import Entry
from peers.events.event_error import EventError
from peers.stores.undo import undone_by, with_undo_id

_read_created = msgspec.json.Decoder(Annotated[list[int | float | str], Meta(min_length=1, max_length=3)]).decode


_encode = msgspec.json.Encoder().encode

MAJOR = 0


class Protocol1(LoguxDialect):
    """Only the event and its `created` are sent; the time of an event is the ms of its `created`.

    `time_fix` changes `created`, and so the identity of an event: see BaseSync.
    """

    protocol: Version = [MAJOR, 1]  # noqa: RUF012 - never changed
    credentials_key = "credentials"
    batch = 1
    """Unlike Logux 0.1, one event a message: a client there that fixes time shifts only the last of several."""
    other_subprotocol = "0.0.0"
    has_ready = False
    times_sync = True
    keeps_early = False
    breaks_early = False
    knows_base = True

    def __init__(self, node_id: str) -> None:
        self.node_id = node_id
        self.other_node_id: str | None = None
        self.time_fix = 0
        self.bare_meta = True

    def on_times(self, times: tuple[int, int], *, is_ours: bool) -> None:
        """Nothing to note: times are absolute here."""

    def why_not(self, version: Version) -> Any:
        if not isinstance(version, int) and version[0] == MAJOR:
            return None
        return {"supported": [MAJOR], "used": version}

    def why_not_sent(self, _entry: Entry) -> str | None:
        return None

    def fixed(self, entry: Entry) -> Entry:
        return _moved(entry, self.time_fix) if self.time_fix else entry

    def decode(self, frame: bytes) -> Message:
        message = super().decode(frame)
        if isinstance(message, Sync) and len(message.entries) > 1:
            # JavaScript sends its backlog with the newest first.
            return Sync(message.added, tuple(sorted(message.entries, key=_created)), message.refusals)
        return message

    def pairs(self, entries: Sequence[Entry]) -> list[Any]:
        items: list[Any] = []
        for entry in entries:
            ms, node_id, n = entry.created
            items += (msgspec.Raw(self.body_for_them(entry.body)), (ms - self.time_fix, node_id, n))
        return items

    def log_id(self, created: Created) -> Any:
        """As beside events: [ms, node id, n]."""
        ms, node_id, n = created
        return [ms - self.time_fix, node_id, n]

    def read_log_id(self, log_id: Any) -> Created:
        """Such a list, or the text that later protocols have; without `time_fix`, which `fixed` adds as to the event."""
        return created_from_text(log_id) if isinstance(log_id, str) else self.read_created(_encode(log_id))

    def read_pair(self, body: bytes, second: bytes) -> Entry:
        created = self.read_created(second)
        return Entry(created, created[0], body)

    def read_created(self, second: bytes) -> Created:
        try:
            items = _read_created(second)
            if isinstance(items[0], str) or (len(items) == 3 and isinstance(items[2], str)):
                raise EventError("bad-id", "created must be [ms, node_id, n]")
            # A client that fixes time sends halves of ms. Clients with other counters may leave out the name and the counter.
            ms, n = int(items[0]), int(items[2]) if len(items) == 3 else 0
            created = (ms, str(items[1]) if len(items) > 1 else self.other_node_id or "", n)
            check_created(created)
        except (ValueError, RecursionError) as error:
            raise EventError("bad-id", f"its `created` cannot be taken: {error}") from None
        return created


def _created(entry: Entry) -> Any:
    return entry.created


def _moved(entry: Entry, shift: int) -> Entry:
    ms, node_id, n = entry.created
    created = (ms + shift, node_id, n)
    check_created(created)
    return Entry(created, ms + shift, _undo_moved(entry.body, shift), entry.extra)


def _undo_moved(body: bytes, shift: int) -> bytes:
    """The JSON text of an event; what a `logux/undo` names was moved too."""
    target = undone_by(body)
    if target is None or target[0] + shift < 0:
        return body
    ms, node_id, n = target
    return with_undo_id(body, created_text((ms + shift, node_id, n)))
