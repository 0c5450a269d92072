"""PeerProtocol: the dialect of PeerSync. It is Logux's protocol 5 with more keys in options and meta."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from peers.codec.borders import APART_MARKS, members_of
from peers.codec.codec import KEPT_EXTRAS, MESSAGE_NAME, RelativeDialect, encode_plain, items_of_frame, wrong_format
from peers.codec.messages import (
    MAX_BATCH,
    PEER_MESSAGES,
    Connected,
    Count,
    Custom,
    Message,
    Seq,
    Sync,
    WireLabel,
)
from peers.codec.refused import read_pairs
from peers.events.created import MAX_MS, Created, check_created
from peers.events.entry import Entry, are_events, check_event, check_extra, check_time
from peers.events.event_error import EventError, not_json

KEPT_NAMES = 1_024
"""Epochs and node ids that need no check when they come again; thousands of events in memory share each."""

_NO_RAW = msgspec.Raw(b"")


WireId = int | Annotated[list[int | str], Meta(max_length=3)]


class WireMeta(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """The meta of one event in a `sync`. `id` and `time` are relative to the connection's base time."""

    id: WireId
    time: int
    dot: tuple[WireLabel, Seq] | None = None
    app: msgspec.Raw = _NO_RAW
    """The JSON text of the application's own keys."""


class _QuickMeta(msgspec.Struct, gc=False):
    """WireMeta without the pattern of labels, which takes two thirds of the time to read one."""

    id: WireId
    time: int
    dot: tuple[str, Seq] | None = None
    app: msgspec.Raw = _NO_RAW


_decode_string = msgspec.json.Decoder(str).decode
_decode_count = msgspec.json.Decoder(Count).decode
_decode_meta = msgspec.json.Decoder(WireMeta).decode
_decode_quick_meta = msgspec.json.Decoder(_QuickMeta).decode
_decode_id = msgspec.json.Decoder(WireId).decode
_decode_plain = {name: msgspec.json.Decoder(kind).decode for name, kind in PEER_MESSAGES.items()}
_encode = msgspec.json.Encoder().encode


@lru_cache(maxsize=KEPT_NAMES)
def _checked_epoch(epoch: str) -> str:
    """The same text, and the same object for all events of it. Raises ValueError or TypeError."""
    return msgspec.convert(epoch, WireLabel)


@lru_cache(maxsize=KEPT_NAMES)
def _checked_node_id(node_id: Any) -> str:
    """The same text, and the same object for all events of it. Raises ValueError or TypeError."""
    check_created((0, node_id, 0))
    return str(node_id)


_checked_extra = lru_cache(maxsize=KEPT_EXTRAS)(check_extra)


class PeerProtocol(RelativeDialect):
    """The dialect of PeerSync."""

    protocol = 5

    def encode(self, message: Message) -> bytes:
        """As Dialect says."""
        if isinstance(message, Sync):
            return _encode(["sync", message.added, *self._encode_entries(message.entries)])
        if isinstance(message, Connected):
            self.on_times(message.times, is_ours=True)
        return encode_plain(message)

    def decode(self, frame: bytes) -> Message:
        """As Dialect says."""
        try:
            items = items_of_frame(frame, 2 + 2 * MAX_BATCH)
            name = _decode_string(items[0])
            if name == "sync":
                return self._decode_sync(items, frame)
            if name in _decode_plain:
                message: Message = _decode_plain[name](frame)
                if isinstance(message, Connected):
                    self.on_times(message.times, is_ours=False)
                return message
            if MESSAGE_NAME.fullmatch(name):
                return Custom(name, tuple(msgspec.json.decode(item) for item in items[1:]))
        except (msgspec.DecodeError, UnicodeDecodeError, IndexError, RecursionError, ValueError):
            raise wrong_format(frame) from None
        raise wrong_format(frame)

    def _encode_entries(self, entries: Sequence[Entry]) -> list[Any]:
        items: list[Any] = []
        base, write_id = self.sending_base, self.write_id
        for entry in entries:
            app = msgspec.Raw(entry.extra) if entry.extra else _NO_RAW
            items += (msgspec.Raw(entry.body), WireMeta(write_id(entry.created), entry.time - base, entry.dot, app))
        return items

    def _decode_sync(self, items: Sequence[bytes | msgspec.Raw], frame: bytes) -> Sync:
        if len(items) < 2 or len(items) % 2 or len(items) > 2 + 2 * MAX_BATCH:
            raise wrong_format(frame)
        added = _decode_count(items[1])
        bodies = list(map(bytes, items[2::2]))
        try:
            if are_events(bodies):
                return Sync(added, self._decode_entries(bodies, items[3::2]))
        except (ValueError, TypeError, RecursionError):
            pass  # read_pairs finds which are refused, and why
        return Sync(added, *read_pairs(items[2:], self._decode_entry, self._read_created))

    def _decode_entries(self, bodies: Sequence[bytes], metas: Sequence[bytes | msgspec.Raw]) -> tuple[Entry, ...]:
        """What `_decode_entry` makes of each. Raises ValueError, TypeError or RecursionError if it refuses any."""
        base = self.taking_base
        other = _checked_node_id(self.other_node_id)
        entries: list[Entry] = []
        for body, meta in zip(bodies, map(_decode_quick_meta, metas), strict=True):
            shift: Any = meta.id
            time = meta.time + base
            if shift == meta.time:  # nearly all own events
                created = (time, other, 0)
            else:
                node_id, n = other, 0
                if type(shift) is list:
                    if len(shift) == 3:
                        shift, node_id, n = shift
                        node_id = _checked_node_id(node_id)
                    else:
                        shift, n = shift
                created = (time if shift == meta.time else shift + base, node_id, n)
                if not (0 <= created[0] <= MAX_MS and 0 <= n <= MAX_MS):
                    raise ValueError("an id out of range")
            if not 0 <= time <= MAX_MS:
                raise ValueError("a time out of range")
            extra = b"" if meta.app is _NO_RAW else _checked_extra(bytes(meta.app))
            dot = None if meta.dot is None else (_checked_epoch(meta.dot[0]), meta.dot[1])
            entries.append(Entry(created, time, body, extra, dot))
        return tuple(entries)

    def _read_created(self, second: bytes) -> Created:
        return self.read_id(_decode_id(members_of(second, APART_MARKS).get("id", b"")))

    def _decode_entry(self, body: bytes, second: bytes) -> Entry:
        try:
            meta = _decode_meta(second)
        except msgspec.ValidationError as error:
            raise EventError("bad-type", f"its meta is not what nodes send: {error}") from None
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise not_json("meta", second, error) from None
        try:
            created = self.read_id(meta.id)
            check_created(created)
        except ValueError as error:
            raise EventError("bad-id", f"its id cannot be taken: {error}") from None
        check_event(body)
        time = check_time(meta.time + self.taking_base)
        extra = bytes(meta.app)
        return Entry(created, time, body, check_extra(extra) if extra else b"", meta.dot)
