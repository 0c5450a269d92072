"""The messages that two ends exchange: their shapes, and their limits on the wire."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from msgspec import Meta

from peers.events.created import MAX_MS, Created
from peers.events.entry import Entry
from peers.events.event_error import Cause
from peers.events.reconcile import Differ, Same
from peers.events.version_vector import MAX_FOREIGN_SEQ, MAX_RANGES, VersionVector

MAX_BATCH = 500
"""Events of one `sync`."""
MAX_VECTOR_BYTES = 256 * 1024
"""Bytes of a version vector on the wire."""
_RANGE_BYTES = 2 * 16 + 4
"""At most: two numbers below 2^53, two brackets, two commas."""
_EPOCH_BYTES = 8
MAX_HELD = 512
"""Connections that one greeting names."""

Count = Annotated[int, Meta(ge=0, le=MAX_MS)]
Version = int | list[int]
"""The version of a protocol: two numbers in Logux 0.1, one in all later ones."""
# Not a tuple: msgspec 0.22 crashes when the garbage collector meets a union of a bounded number and a tuple of such.
WireVersion = Count | Annotated[list[Count], Meta(min_length=2, max_length=2)]
Seq = Annotated[int, Meta(ge=1, le=MAX_FOREIGN_SEQ)]
Name = Annotated[str, Meta(min_length=1, max_length=200)]
WireLabel = Annotated[str, Meta(min_length=1, max_length=64, pattern=r"^[A-Za-z0-9_.:~-]+\Z")]
WireRanges = Annotated[list[tuple[Seq, Seq]], Meta(max_length=MAX_RANGES)]


class Hello(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The option `peer` of `connect` and `connected`, between PeerSyncs."""

    boot: WireLabel
    """Random id of this run of the node: connections of an older run are replaced."""
    connection: WireLabel
    """This connection's name, from the end that dialled."""
    held: Annotated[list[WireLabel], Meta(max_length=MAX_HELD)]
    """Names of the connections that the sender has with the receiver, and of all that it is dialling."""
    vector: dict[WireLabel, WireRanges]
    """The events that the sender has."""
    last_position: Count = 0
    """The last position of the sender's log; 0 from releases that do not send it."""


class Options(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The options of `connect` and `connected`."""

    subprotocol: Any = 0
    token: Any = None
    """The credentials."""
    peer: Hello | None = None


class Connect(msgspec.Struct, frozen=True, array_like=True, tag_field="message", tag="connect"):
    """The first message of the end that dialled, or of both ends."""

    protocol: WireVersion
    node_id: Name
    synced: Count
    """The highest `added` of the receiver's log that the sender has."""
    options: Options = Options()


class Connected(msgspec.Struct, frozen=True, array_like=True, tag_field="message", tag="connected"):
    """The answer to `connect`, after its credentials were accepted."""

    protocol: WireVersion
    node_id: Name
    times: tuple[Count, Count]
    """When `connect` was received and when it was answered, in ms of the answering end's clock."""
    options: Options = Options()


class Have(msgspec.Struct, frozen=True, array_like=True, tag_field="message", tag="have"):
    """PeerSync only: the events that the sender got from others meanwhile; they need not be sent to it."""

    vector: dict[WireLabel, WireRanges]


class Synced(msgspec.Struct, frozen=True, array_like=True, tag_field="message", tag="synced"):
    """The receiver's events up to `added`, of its own log, are stored."""

    added: Count


class Ping(msgspec.Struct, frozen=True, array_like=True, tag_field="message", tag="ping"):
    """Asks for a `pong`; the sender has sent its events up to `added`."""

    added: Count


class Pong(msgspec.Struct, frozen=True, array_like=True, tag_field="message", tag="pong"):
    """The answer to `ping`; the sender has sent its events up to `added`."""

    added: Count
    last_position: Count = 0
    """PeerSync only: the last position of the sender's log; 0 if it has sent everything, or from releases without this."""


class Error(msgspec.Struct, frozen=True, array_like=True, tag_field="message", tag="error"):
    """An error of the receiver, see SyncError."""

    type: Name
    options: Any = None


class Headers(msgspec.Struct, frozen=True, array_like=True, tag_field="message", tag="headers"):
    """Values of the sender's application for the whole connection."""

    headers: dict[str, Any]


class Debug(msgspec.Struct, frozen=True, array_like=True, tag_field="message", tag="debug"):
    """A text for the log of the receiver."""

    type: str
    text: Any = None


class Ready(msgspec.Struct, frozen=True, array_like=True, tag_field="message", tag="ready"):
    """Protocol 7 only: the sender's first `sync` messages, if any, are sent."""

    added: Count


class Duilian(msgspec.Struct, frozen=True, array_like=True, tag_field="message", tag="duilian"):
    """The first line of a Chinese couplet; Logux answers it with the second line."""

    line: str


class Refusal(msgspec.Struct, frozen=True):
    """An event that this end does not accept. It is acknowledged and not stored; the events after it are accepted."""

    why: str
    """The reason as a sentence, for people."""
    cause: Cause
    created: Created | None = None
    """None if its id is bad or cannot be read."""
    type: bytes = b""
    """Its `type` as JSON text, empty if it has none that can be read."""


class Sync(msgspec.Struct, frozen=True):
    """Events. On the wire: `["sync", added, event, meta, event, meta ...]`."""

    added: int
    entries: tuple[Entry, ...]
    refusals: tuple[Refusal, ...] = ()


class Custom(msgspec.Struct, frozen=True):
    """A message of an application's own role: a name and any items."""

    name: str
    items: tuple[Any, ...]


class RunMessage(msgspec.Struct, frozen=True, array_like=True, tag_field="message"):
    """What all messages of wire 2 are that no other wire has: see `run_messages`."""


Message = (
    Connect
    | Connected
    | Have
    | Synced
    | Ping
    | Pong
    | Error
    | Headers
    | Debug
    | Ready
    | Duilian
    | Sync
    | Custom
    | RunMessage
    | Same
    | Differ
)

PEER_MESSAGES: dict[str, type[Any]] = {
    "connect": Connect,
    "connected": Connected,
    "have": Have,
    "synced": Synced,
    "ping": Ping,
    "pong": Pong,
    "error": Error,
    "headers": Headers,
    "debug": Debug,
}
"""Messages between nodes whose items are the fields of a struct; `sync` and Custom are read in other ways."""


def name_of(message: Message) -> str:
    """The name of the message on the wire."""
    if isinstance(message, Sync):
        return "sync"
    if isinstance(message, Custom):
        return message.name
    return str(type(message).__struct_config__.tag)


def write_vector(vector: VersionVector) -> dict[str, list[tuple[int, int]]]:
    """The part of `vector` that fits into MAX_VECTOR_BYTES, newest epochs first.

    To claim less than one has costs a repeated event, never a lost one.
    """
    written: dict[str, list[tuple[int, int]]] = {}
    size = 0
    for epoch, ranges in reversed(vector.ranges.items()):
        size += len(epoch) + _EPOCH_BYTES + _RANGE_BYTES * len(ranges)
        if size > MAX_VECTOR_BYTES:
            break
        written[epoch] = list(ranges)
    return written
