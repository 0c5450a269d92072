"""The port of every dialect: how messages become the frames of one connection, and what else its protocol decides."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, Protocol

import msgspec

from peers.codec.borders import items_of
from peers.codec.messages import Custom, Error, Message, Pong, Version, name_of
from peers.errors import MAX_SHOWN, SyncError
from peers.events.entry import Entry
from peers.transport.port import LARGE_FRAME

RAW_BYTES = 32
"""In a large frame with a comma for fewer bytes, the decoder's objects could take more than twice its size."""
MESSAGE_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_/-]{0,63}")

_encode = msgspec.json.Encoder().encode
_raw_items = msgspec.json.Decoder(list[msgspec.Raw]).decode


class Dialect(Protocol):
    """One for each connection: what is sent depends on who is at its two ends."""

    other_node_id: str | None
    time_fix: int
    """How far our clock is ahead of theirs, in ms; 0 unless the role fixes time."""
    bare_meta: bool
    """Whether only id and time of an event's meta are sent."""

    @property
    def protocol(self) -> Version:
        """What our greeting says."""

    @property
    def batch(self) -> int:
        """Events of one `sync` that we send."""

    @property
    def other_subprotocol(self) -> Any:
        """What is taken for the subprotocol of an end that names none."""

    @property
    def has_ready(self) -> bool:
        """Whether both ends say when their first `sync` messages are out."""

    @property
    def times_sync(self) -> bool:
        """Whether an unanswered `sync` runs a timeout."""

    @property
    def keeps_early(self) -> bool:
        """Whether what comes before the greeting waits for it; otherwise it is an error."""

    @property
    def breaks_early(self) -> bool:
        """Whether that error ends the connection; then a stranger does not learn either which messages are known."""

    @property
    def knows_base(self) -> bool:
        """Whether the times of events can be read yet."""

    def why_not(self, version: Version) -> Any:
        """The options of our `wrong-protocol` error, None if `version` can be spoken with."""

    def on_times(self, times: tuple[int, int], *, is_ours: bool) -> None:
        """A `connected` was said or heard."""

    def fixed(self, entry: Entry) -> Entry:
        """A received entry by our clock. Raises ValueError if that is out of range."""

    def why_not_sent(self, entry: Entry) -> str | None:
        """Why an end that checks what it gets would hang up on this event, None if it would not."""

    def encode(self, message: Message) -> bytes:
        """The frame of `message`. Raises ValueError if it holds what JSON cannot say."""

    def decode(self, frame: bytes) -> Message:
        """The message of a frame. Raises SyncError `wrong-format`, which shows the beginning of what was wrong."""


class RelativeDialect:
    """What dialects with numbered protocols share: times count from the second number of `connected`.

    Where both ends said one, each counts from its own.
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
        self.said_time: int | None = None
        self.heard_time: int | None = None

    @property
    def knows_base(self) -> bool:
        """Whether a `connected` was said or heard."""
        return self.said_time is not None or self.heard_time is not None

    @property
    def sending_base(self) -> int:
        """What the times that we send count from, in ms."""
        return self.said_time if self.said_time is not None else self.heard_time or 0

    @property
    def taking_base(self) -> int:
        """What the times that we are sent count from, in ms."""
        return self.heard_time if self.heard_time is not None else self.said_time or 0

    def on_times(self, times: tuple[int, int], *, is_ours: bool) -> None:
        if is_ours:
            self.said_time = times[1]
        else:
            self.heard_time = times[1]

    def why_not(self, version: Version) -> Any:
        if isinstance(version, int) and version >= self.protocol:
            return None
        return {"supported": self.protocol, "used": version}

    def fixed(self, entry: Entry) -> Entry:
        return entry

    def why_not_sent(self, _entry: Entry) -> str | None:
        return None


def encode_plain(message: Message) -> bytes:
    """The frame of a message that looks the same in every dialect. Raises ValueError if JSON cannot say it."""
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
    """The items of a message. Raises ValueError for what is no list, and may do so for more than `max_items`.

    The decoder refuses a frame whole for half of a character, or for 1 000 brackets, in one event of it. Then the borders of
    the items are looked for in another way, so that whoever reads them refuses that event alone.
    """
    if len(frame) > LARGE_FRAME and frame.count(b",") * RAW_BYTES > len(frame):
        return items_of(
            frame, max_items
        )  # it may be a list of millions of numbers, and the decoder makes an object of each
    try:
        return _raw_items(frame)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return items_of(frame, max_items)


def wrong_format(frame: bytes) -> SyncError:
    """The error for a frame that cannot be read. Unlike Logux 0.1, it shows no more of it than MAX_SHOWN characters."""
    return SyncError("wrong-format", frame[: 4 * MAX_SHOWN].decode(errors="replace")[:MAX_SHOWN])
