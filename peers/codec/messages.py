"""Every message that two ends exchange: its shape, and the limits that hold on the wire."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from msgspec import Meta

from peers.events.created import MAX_MS, Created
from peers.events.entry import Entry
from peers.events.event_error import Cause
from peers.events.version_vector import MAX_FOREIGN_SEQ, MAX_RANGES, VersionVector

MAX_BATCH = 500
"""Events of one `sync`."""
MAX_VECTOR_BYTES = 256 * 1024
_RANGE_BYTES = 2 * 16 + 4
"""At most: two numbers below 2^53, two brackets, two commas."""
_EPOCH_BYTES = 8
MAX_HELD = 512
"""Connections that a greeting names."""

Count = Annotated[int, Meta(ge=0, le=MAX_MS)]
Version = int | list[int]
"""Logux 0.1 counts its protocol in two numbers, all later ones in one."""
# Not a tuple: msgspec 0.22 crashes when the garbage collector meets a union of a bounded number and a tuple of such.
WireVersion = Count | Annotated[list[Count], Meta(min_length=2, max_length=2)]
Seq = Annotated[int, Meta(ge=1, le=MAX_FOREIGN_SEQ)]
Name = Annotated[str, Meta(min_length=1, max_length=200)]
WireLabel = Annotated[str, Meta(min_length=1, max_length=64, pattern=r"^[A-Za-z0-9_.:~-]+\Z")]
WireRanges = Annotated[list[tuple[Seq, Seq]], Meta(max_length=MAX_RANGES)]


class Hello(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What PeerSync adds to `connect` and `connected`, under the option `peer`."""

    boot: WireLabel
    """Random id of the run of that node: a new one replaces its older connections."""
    connection: WireLabel
    """This connection's name, given by the end that dialled."""
    held: Annotated[list[WireLabel], Meta(max_length=MAX_HELD)]
    """Connections that the sender still holds with the receiver, or is dialling to whomever."""
    vector: dict[WireLabel, WireRanges]
    """What the sender has."""
    last_position: Count = 0
    """The last position of the sender's log; releases that do not say it say 0."""


class Options(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The options of `connect` and `connected`."""

    subprotocol: Any = 0
    token: Any = None
    """The credentials."""
    peer: Hello | None = None


class Connect(msgspec.Struct, frozen=True, array_like=True, tag_field="message", tag="connect"):
    protocol: WireVersion
    node_id: Name
    synced: Count
    options: Options = Options()


class Connected(msgspec.Struct, frozen=True, array_like=True, tag_field="message", tag="connected"):
    protocol: WireVersion
    node_id: Name
    times: tuple[Count, Count]
    """When `connect` came and when it was answered, by the answering end's clock, in ms."""
    options: Options = Options()


class Have(msgspec.Struct, frozen=True, array_like=True, tag_field="message", tag="have"):
    """PeerSync only: what the sender got from others meanwhile, so that it need not be sent."""

    vector: dict[WireLabel, WireRanges]


class Synced(msgspec.Struct, frozen=True, array_like=True, tag_field="message", tag="synced"):
    added: Count


class Ping(msgspec.Struct, frozen=True, array_like=True, tag_field="message", tag="ping"):
    added: Count


class Pong(msgspec.Struct, frozen=True, array_like=True, tag_field="message", tag="pong"):
    added: Count
    last_position: Count = 0
    """PeerSync only: the last position of the sender's log; 0 if it has sent everything, or is of a release without this."""


class Error(msgspec.Struct, frozen=True, array_like=True, tag_field="message", tag="error"):
    type: Name
    options: Any = None


class Headers(msgspec.Struct, frozen=True, array_like=True, tag_field="message", tag="headers"):
    headers: dict[str, Any]


class Debug(msgspec.Struct, frozen=True, array_like=True, tag_field="message", tag="debug"):
    type: str
    text: Any = None


class Ready(msgspec.Struct, frozen=True, array_like=True, tag_field="message", tag="ready"):
    """Protocol 7 only: the first `sync` messages, if there were any, are out."""

    added: Count


class Duilian(msgspec.Struct, frozen=True, array_like=True, tag_field="message", tag="duilian"):
    """The first line of a Chinese couplet; whoever knows the second one says it."""

    line: str


class Refusal(msgspec.Struct, frozen=True):
    """An event that this end does not take. It is acknowledged, stays a hole, and blocks nothing behind it."""

    why: str
    """A sentence, for people."""
    cause: Cause
    created: Created | None = None
    """None if its id is what is bad, or cannot be read."""
    type: bytes = b""
    """Its `type` as JSON text, empty if it has none that can be read."""


class Sync(msgspec.Struct, frozen=True):
    """Events on their way. On the wire: `["sync", added, event, meta, event, meta ...]`."""

    added: int
    entries: tuple[Entry, ...]
    refusals: tuple[Refusal, ...] = ()


class Custom(msgspec.Struct, frozen=True):
    """A message of somebody's own role: a name and any items."""

    name: str
    items: tuple[Any, ...]


Message = Connect | Connected | Have | Synced | Ping | Pong | Error | Headers | Debug | Ready | Duilian | Sync | Custom

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
"""Messages between nodes whose items are the fields of a struct; `sync` and own messages are read otherwise."""


def name_of(message: Message) -> str:
    """What the message is called on the wire."""
    if isinstance(message, Sync):
        return "sync"
    if isinstance(message, Custom):
        return message.name
    return str(type(message).__struct_config__.tag)


def write_vector(vector: VersionVector) -> dict[str, list[tuple[int, int]]]:
    """What to send of `vector`. Beyond the limit it claims less, newest epochs first: a repeat, never a loss."""
    written: dict[str, list[tuple[int, int]]] = {}
    size = 0
    for epoch, ranges in reversed(vector.ranges.items()):
        size += len(epoch) + _EPOCH_BYTES + _RANGE_BYTES * len(ranges)
        if size > MAX_VECTOR_BYTES:
            break
        written[epoch] = list(ranges)
    return written
