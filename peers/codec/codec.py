"""Dialect: the port that turns messages into frames and back for one protocol, and what else the protocol decides."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, Protocol

import msgspec

from peers.codec.borders import items_of
from peers.codec.messages import Custom, Error, Message, Pong, Version, name_of
from peers.errors import MAX_SHOWN, SyncError
from peers.events.created import Created
from peers.events.entry import Entry
from peers.transport.port import LARGE_FRAME

RAW_BYTES = 32
"""A large frame with more commas than one in so many bytes is not decoded at once: its objects would take too much memory."""
KEPT_EXTRAS = 64
"""Different metas that are kept, checked and encoded, for the next event with the same one."""
EARLY_VALUES = 256
"""JSON values of a stranger's frame, about: decoded, each may take fifty times the memory of its text."""
MESSAGE_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_/-]{0,63}")

_encode = msgspec.json.Encoder().encode
_raw_items = msgspec.json.Decoder(list[msgspec.Raw]).decode


class Dialect(Protocol):
    """The encoder and decoder of one connection: what is sent depends on the node ids and times of its two ends."""

    other_node_id: str | None
    time_fix: int
    """How far our clock is ahead of theirs, in ms; 0 unless the role fixes time."""
    bare_meta: bool
    """Whether only the id and the time of an event's meta are sent."""

    @property
    def protocol(self) -> Version:
        """The version in our greeting."""

    @property
    def batch(self) -> int:
        """Events of one `sync` that we send, at most."""

    @property
    def other_subprotocol(self) -> Any:
        """The subprotocol of an end that names none."""

    @property
    def has_ready(self) -> bool:
        """Whether both ends send `ready` after their first `sync` messages."""

    @property
    def times_sync(self) -> bool:
        """Whether an unanswered `sync` starts a timeout."""

    @property
    def keeps_early(self) -> bool:
        """Whether messages that come before the greeting are kept until then; otherwise they are an error."""

    @property
    def breaks_early(self) -> bool:
        """Whether that error ends the connection, so that a stranger does not learn which messages are known."""

    @property
    def knows_base(self) -> bool:
        """Whether the times of events can be read: relative ones need a `connected` first."""

    def why_not(self, version: Version) -> Any:
        """The options of our `wrong-protocol` error; None if this dialect understands `version`."""

    def on_times(self, times: tuple[int, int], *, is_ours: bool) -> None:
        """A `connected` was sent (`is_ours`) or received, with these times in ms."""

    def fixed(self, entry: Entry) -> Entry:
        """A received entry by our clock. Raises ValueError if that is out of range."""

    def why_not_sent(self, entry: Entry) -> str | None:
        """Why this event must not be sent: the other end would close the connection. None if it can be sent."""

    def encode(self, message: Message) -> bytes:
        """The frame of `message`. Raises ValueError if JSON cannot express it."""

    def decode(self, frame: bytes) -> Message:
        """The message of a frame. Raises SyncError `wrong-format`, which shows the beginning of the frame."""


class RelativeDialect:
    """What dialects with one-number protocols share: times are relative to the second time of `connected`.

    If both ends have sent a `connected`, the times of each are relative to its own.
    """

    protocol: int
    batch = 500
    other_subprotocol: Any = 0
    has_ready = False
    times_sync = True
    keeps_early = False
    breaks_early = True

    def __init__(self, node_id: str) -> None:
        self.node_id = node_id
        self.other_node_id: str | None = None
        self.time_fix = 0
        self.bare_meta = False
        self.sent_time: int | None = None
        self.received_time: int | None = None
        self.sending_base = 0
        """The base of the times that we send, in ms."""
        self.taking_base = 0
        """The base of the times that we receive, in ms."""

    @property
    def knows_base(self) -> bool:
        """Whether a `connected` was sent or received."""
        return self.sent_time is not None or self.received_time is not None

    def on_times(self, times: tuple[int, int], *, is_ours: bool) -> None:
        if is_ours:
            self.sent_time = times[1]
        else:
            self.received_time = times[1]
        sent, received = self.sent_time, self.received_time
        self.sending_base = sent if sent is not None else received or 0
        self.taking_base = received if received is not None else sent or 0

    def write_id(self, created: Created) -> Any:
        """The id on the wire, with ms relative to the base: ms or [ms, n] if we made the event, else [ms, node id, n]."""
        ms, node_id, n = created
        shift = ms - self.sending_base
        if node_id != self.node_id:
            return shift, node_id, n
        return (shift, n) if n else shift

    def read_id(self, wire_id: Any) -> Created:
        """The `created` of such an id. Raises ValueError."""
        shift, node_id, n = wire_id, self.other_node_id, 0
        if isinstance(wire_id, list):
            if len(wire_id) == 3:
                shift, node_id, n = wire_id
            elif len(wire_id) == 2:
                shift, n = wire_id
        if node_id is None:
            raise ValueError("a short id before the other end said its name")
        if not (isinstance(shift, int) and isinstance(node_id, str) and isinstance(n, int)):
            raise ValueError(f"{wire_id} is no id: it is ms, [ms, n] or [ms, node id, n]")
        return shift + self.taking_base, node_id, n

    def why_not(self, version: Version) -> Any:
        if isinstance(version, int) and version >= self.protocol:
            return None
        return {"supported": self.protocol, "used": version}

    def fixed(self, entry: Entry) -> Entry:
        return entry

    def why_not_sent(self, _entry: Entry) -> str | None:
        return None


def encode_plain(message: Message) -> bytes:
    """The frame of a message that is the same in every dialect. Raises ValueError if JSON cannot express it."""
    try:
        if isinstance(message, Custom):
            return _encode([message.name, *message.items])
        if isinstance(message, Error) and message.options is None:
            return _encode(["error", message.type])
        if isinstance(message, Pong) and not message.last_position:
            return _encode(["pong", message.added])
        return _encode(message)
    except (TypeError, ValueError, OverflowError, RecursionError) as error:
        raise ValueError(f"message {name_of(message)} cannot be written as JSON: {error}") from None


def items_of_frame(frame: bytes, max_items: int) -> Sequence[bytes | msgspec.Raw]:
    """The items of a message. Raises ValueError if it is no list, and may do so for more than `max_items`.

    The JSON decoder refuses the whole frame if one event has half of a character, or 1 000 brackets. Then the borders of
    the items are found without it, so that only that event is refused.
    """
    if len(frame) > LARGE_FRAME and frame.count(b",") * RAW_BYTES > len(frame):
        # It may be a list of millions of numbers, and the decoder makes an object of each.
        return items_of(frame, max_items)
    try:
        return _raw_items(frame)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return items_of(frame, max_items)


def is_early_size(text: bytes) -> bool:
    """Whether JSON of a stranger has no more than EARLY_VALUES, as its marks say; those within strings count too."""
    return text.count(b",") + text.count(b"[") + text.count(b"{") <= EARLY_VALUES


def wrong_format(frame: bytes) -> SyncError:
    """The error for a frame that cannot be read. Unlike Logux 0.1, it shows no more of it than MAX_SHOWN characters."""
    return SyncError("wrong-format", frame[: 4 * MAX_SHOWN].decode(errors="replace")[:MAX_SHOWN])
