"""The messages that two ends exchange: their shapes, and their limits on the wire."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from msgspec import Meta

from peers.events.created import MAX_MS, Created
from peers.events.dot import MAX_FOREIGN_SEQ
from peers.events.entry import Entry
from peers.events.event_error import Cause
from peers.events.reconcile import Differ, Same

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


class Options(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The options of `connect` and `connected`."""

    subprotocol: Any = 0
    token: Any = None
    """The credentials."""


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
    "synced": Synced,
    "ping": Ping,
    "pong": Pong,
    "error": Error,
    "headers": Headers,
    "debug": Debug,
}
"""Messages of every wire that nodes read by their fields; those of wire 2 alone are in `run_messages`."""


def name_of(message: Message) -> str:
    """The name of the message on the wire."""
    if isinstance(message, Sync):
        return "sync"
    if isinstance(message, Custom):
        return message.name
    return str(type(message).__struct_config__.tag)
