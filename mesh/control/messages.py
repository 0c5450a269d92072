"""What commands and a running node say to each other: one JSON object per line, a request or an answer."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, Raw, Struct

from mesh.settings.config import MAX_WAIT_PEERS, MAX_WAIT_SECONDS, WAIT_SECONDS

MAX_LINE_BYTES = 1024 * 1024
"""Of a request or an answer."""
MAX_ITEM_BYTES = 288 * 1024
"""Of an event with its meta, as `mesh log --json` prints it; peers.events.entry has the limits of the parts."""
BATCH_EVENTS = 500
BATCH_BYTES = 256 * 1024
"""Events of one Add: as many bytes of JSON, or a single larger event."""
MAX_TIME_MS = 253_402_300_799_998
"""The last ms but one of the year 9999, beyond which no calendar here reaches."""
ITEMS_BYTES = 512 * 1024
"""Events of one answer are sent once they have this many bytes: the last one, too, then fits into the line."""

Count = Annotated[int, Meta(ge=0, le=2**53 - 1)]
Time = Annotated[int, Meta(ge=0, le=MAX_TIME_MS)]


NOT_UNDERSTOOD = "cannot be understood"
"""Stands in every answer to a request that is none, of older releases too."""


class Add(Struct, tag_field="do", tag="add", forbid_unknown_fields=True):
    """Add events, given as JSON text without line breaks. Answer: Added. Several may be sent ahead; they are done in order."""

    events: Annotated[list[Raw], Meta(min_length=1, max_length=BATCH_EVENTS)]


class Read(Struct, tag_field="do", tag="read", forbid_unknown_fields=True, omit_defaults=True):
    """Read the log. Answers: Events as often as needed, then Done; with `follow`, Events for as long as both ends live.

    It ends when the client closes its sending side, so nothing is read for a client that has gone. Defaults are not sent, so
    that a node of an older release refuses only what it cannot do.
    """

    order: Literal["created", "added"] = "created"
    since: Count = 0
    """Leave out what has an `added` up to this."""
    type: str | None = None
    follow: bool = False
    from_ms: Time | None = None
    """Leave out what has an earlier `time`."""
    until_ms: Time | None = None
    """Leave out what has a later `time`."""
    tail: Count | None = None
    """Of all that, only the last so many. It does not follow: that is another request."""
    limit: Count | None = None
    """End after so many."""
    reverse: bool = False
    """The last one first. It does not follow."""


class Show(Struct, tag_field="do", tag="show", forbid_unknown_fields=True):
    """What is the node's status? Answer: Shown."""


class Retry(Struct, tag_field="do", tag="retry", forbid_unknown_fields=True):
    """Start what is paused or refused again. Answer: Done."""


class Wait(Struct, tag_field="do", tag="wait", forbid_unknown_fields=True):
    """Wait until this node and at least `peers` others hold the same, see Node.synchronized. Answer: Done, or Failure."""

    peers: Annotated[int, Meta(ge=1, le=MAX_WAIT_PEERS)] = 1
    timeout_seconds: Annotated[float, Meta(gt=0, le=MAX_WAIT_SECONDS)] = WAIT_SECONDS


class ShowPeers(Struct, tag_field="do", tag="show peers", forbid_unknown_fields=True):
    """Which addresses are dialled whatever discovery finds? Answer: Peers."""


class ChangePeer(Struct, tag_field="do", tag="change peer", forbid_unknown_fields=True):
    """Dial an address from now on, or no more, and keep that in the home. Answer: Done."""

    address: Annotated[str, Meta(max_length=1_000)]
    is_wanted: bool


class Stop(Struct, tag_field="do", tag="stop", forbid_unknown_fields=True):
    """Stop the node. Answer: Done, before it has stopped."""


class Confirmed(Struct, tag_field="is", tag="confirmed"):
    """An event that is on disk."""

    created: tuple[int, str, int]
    added: int


class Rejected(Struct, tag_field="is", tag="rejected"):
    """An event that was not added, and a sentence why."""

    why: str


class Added(Struct, tag_field="is", tag="added"):
    """What became of each event of an Add, in order."""

    outcomes: list[Confirmed | Rejected]


class Events(Struct, tag_field="is", tag="events"):
    """Some events, in order, each `{"event": ..., "meta": ...}`."""

    items: list[Raw]


class Shown(Struct, tag_field="is", tag="shown"):
    """See mesh.membership.status."""

    status: dict[str, Any]


class Peers(Struct, tag_field="is", tag="peers"):
    """See Node.static_peers."""

    rows: list[dict[str, str | None]]


class Done(Struct, tag_field="is", tag="done"):
    """It is done."""


class Failure(Struct, tag_field="is", tag="failure"):
    """It could not be done, and a sentence why."""

    why: str


Request = Add | Read | Show | Retry | Wait | ShowPeers | ChangePeer | Stop
Answer = Added | Events | Shown | Peers | Done | Failure

_REQUEST: msgspec.json.Decoder[Request] = msgspec.json.Decoder(Request)
_ANSWER: msgspec.json.Decoder[Answer] = msgspec.json.Decoder(Answer)


def encode(message: Request | Answer) -> bytes:
    """One line, with its end."""
    return msgspec.json.encode(message) + b"\n"


def decode_request(line: bytes) -> Request:
    """Raises ValueError, with a sentence."""
    request: Request = _decode(_REQUEST, line, "request")
    return request


def decode_answer(line: bytes) -> Answer:
    """Raises ValueError, with a sentence."""
    answer: Answer = _decode(_ANSWER, line, "answer")
    return answer


def _decode(decoder: msgspec.json.Decoder[Any], line: bytes, what: str) -> Any:
    try:
        return decoder.decode(line)
    except RecursionError:
        raise ValueError(f"the {what} is nested too deep") from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"the {what} {NOT_UNDERSTOOD}: {error}") from None
