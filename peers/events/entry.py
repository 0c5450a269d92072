"""One event with its meta, as it is kept, sent and shown."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256
from operator import itemgetter
from typing import Any, NotRequired, TypedDict, cast

import msgspec

from peers.events.created import MAX_MS, Created
from peers.events.dot import Dot
from peers.events.event_error import EventError, check_values, not_json
from peers.events.reasons import Label, check_channels, check_labels, labels, may_have_labels, with_kept

MAX_EVENT_BYTES = 256 * 1024
MAX_EXTRA_BYTES = 16 * 1024
MAX_NESTING = 32

WAITS = -1
"""`Entry.added` of an event whose time is too far in the future to be shown."""
META_BYTES = 100
"""What an event takes beside its body and its meta, roughly."""
_PLACE_META = frozenset({"created", "time", "added", "dot"})
RESERVED_META = _PLACE_META | {"origin", "vouched"}
"""Meta keys that the log gives; an application's own keys have other names."""
READ_ONLY_META = RESERVED_META | {"indexes", "subprotocol"}
"""What `change_meta` cannot change; the last is read-only in Logux too."""

_SHALLOW: Any = str | int | float | bool | None
"""What the values of most events are made of: a type that has few levels, in which a decoder finds deeper ones at no cost."""
for _ in range(6):
    _SHALLOW = str | int | float | bool | None | list[_SHALLOW] | dict[str, _SHALLOW]
_DOUBTS = (ValueError, TypeError, KeyError, RecursionError)
_to_json = msgspec.json.Encoder().encode
_to_lines = msgspec.json.Encoder().encode_lines
_decode_shallow = msgspec.json.Decoder(dict[str, _SHALLOW]).decode
_type_of = itemgetter("type")


class EventMeta(TypedDict):
    """What a log says of an event. The keys that the application gave are in it too: `meta.get("shop")`."""

    created: Created
    time: int
    added: int
    dot: Dot | None
    origin: str | None
    vouched: NotRequired[str]
    reasons: NotRequired[list[str]]
    keep_last: NotRequired[str]
    indexes: NotRequired[list[str]]
    channels: NotRequired[list[str]]


class Entry(msgspec.Struct, frozen=True, gc=False):
    """An event and its meta, immutable. The JSON text is kept as first accepted; `event` and `meta` decode it each time.

    The garbage collector does not look at entries: numbers, texts and tuples of them make no circles.
    """

    created: Created
    """(ms, node_id, n): its identity, the same on every node."""
    time: int
    """ms since 1970, the same on every node. Events are ordered by `time`, then by `created`."""
    body: bytes
    """The event as JSON text."""
    extra: bytes = b""
    """The application's own meta keys as the JSON text of an object, or empty."""
    dot: Dot | None = None
    """(epoch, seq): the label from the log that accepted it first; None until then."""
    added: int = 0
    """This log's own counter; 0 while it is not stored or not shown here, or WAITS."""
    position: int = 0
    """The number of the change in this store, which only the store uses; 0 while it is not stored here."""
    local: bytes = b""
    """Changes of the meta in this log alone, as the JSON text of an object, or empty. They are never sent."""
    tombstone: bytes = b""
    """The leaf of a cleaned event, whose `body` and `extra` are empty; empty for all others."""
    origin: str | None = None
    """The node whose key signed the run in which `dot` is; None for events of releases without signatures."""
    vouched: str = ""
    """Why `origin` vouches for another signer's event, see `run.VOUCHED`; empty where it is the first signer."""

    @property
    def event(self) -> dict[str, Any]:
        """The event: a new dict at each access."""
        event: dict[str, Any] = msgspec.json.decode(self.body)
        return event

    @property
    def meta(self) -> EventMeta:
        """A new dict of the application's keys, with the changes of this log, and `created`, `time`, `added`, `dot` and
        `origin`, and `vouched` if that is not empty.

        An event without `reasons` has the reason `log`.
        """
        given: EventMeta = {
            "created": self.created,
            "time": self.time,
            "added": self.added,
            "dot": self.dot,
            "origin": self.origin,
        }
        if self.vouched:
            given["vouched"] = self.vouched
        if not self.extra and not self.local:
            return given
        meta = with_kept(msgspec.json.decode(self.extra)) if self.extra else {}
        if self.local:
            meta.update(msgspec.json.decode(self.local))
        return cast(EventMeta, meta | given)

    @property
    def reasons(self) -> list[str]:
        """The reasons in its meta, also that of `keep_last`; empty if it names none: then it has the reason `log`."""
        return labels(self.meta, "reasons") if self._may_have_labels else []

    @property
    def labels(self) -> list[Label]:
        """Its reasons and indexes, as (kind, name)."""
        if not self._may_have_labels:
            return []
        meta = self.meta
        return [
            *[("reason", name) for name in labels(meta, "reasons")],
            *[("index", name) for name in labels(meta, "indexes")],
        ]

    @property
    def keep_last(self) -> str | None:
        """The reason that older events lose when this one is stored; None if it names none."""
        name = msgspec.json.decode(self.extra).get("keep_last") if may_have_labels(self.extra) else None
        return name if isinstance(name, str) else None

    @property
    def _may_have_labels(self) -> bool:
        return bool(self.local) or (bool(self.extra) and may_have_labels(self.extra))

    @property
    def rank(self) -> tuple[int, bytes]:
        """Of two different events with one `created`, every node keeps the one with the smaller rank."""
        return self.time, self.digest

    @property
    def digest(self) -> bytes:
        """SHA-256 of the event's bytes."""
        return self.tombstone or sha256(self.body).digest()

    @property
    def buried(self) -> Entry:
        """The same event, cleaned: without body and meta, with its digest."""
        return Entry(self.created, self.time, b"", b"", self.dot, self.added, self.position, b"", self.digest)

    @property
    def size(self) -> int:
        """The bytes that it takes in memory and on the wire, roughly."""
        return len(self.body) + len(self.extra) + META_BYTES

    def same_as(self, other: Entry) -> bool:
        """Whether both are copies of one event, whatever their dots, `added` and positions are."""
        if self.created != other.created or self.time != other.time:
            return False
        return self.digest == other.digest if self.tombstone or other.tombstone else self.body == other.body


def encode_event(event: Any) -> bytes:
    """The JSON text of `event`, a dict with a `type`.

    Raises EventError, with a sentence, if it is none or is too large, and JsonTypeError for a value that JSON has not.
    """
    body = _encode(event, "event")
    # The encoder writes values that JSON has not as others, NaN as null; two keys may become one, and Raw may be no JSON.
    try:
        found = _decode_shallow(body)
        is_sure = len(body) <= MAX_EVENT_BYTES and type(found["type"]) is str and found == event
    except _DOUBTS:
        is_sure = False
    if not is_sure:
        _check_values(event, "event")
        check_event(body)
    return body


def encode_events(events: Sequence[Any]) -> list[bytes] | None:
    """What `encode_event` makes of each, at least one, in half of the time; None if that has to look at each."""
    try:
        text = _to_lines(events)
    except (TypeError, ValueError, OverflowError, RecursionError):
        return None
    # It has no other line breaks, but where a Raw brings one.
    *bodies, _ = text.split(b"\n")
    if not events or len(bodies) != len(events) or max(map(len, bodies)) > MAX_EVENT_BYTES:
        return None
    try:
        found = list(map(_decode_shallow, bodies))
        "".join(map(_type_of, found))  # each type is a text
    except _DOUBTS:  # one has more levels, or is none
        if not are_events(bodies):
            return None
        found = list(map(msgspec.json.decode, bodies))
    return bodies if found == list(events) or set(map(type, events)) == {msgspec.Raw} else None


def check_event(body: bytes) -> None:
    """Raise EventError, with a sentence, unless `body` is JSON text of an object with a `type` string, within the limits."""
    if len(body) > MAX_EVENT_BYTES:
        raise too_large(f"{len(body)}")
    event = _decode(body, "event")
    if not isinstance(event, dict):
        raise EventError("bad-type", f"an event must be an object with a `type`, not {_kind(event)}")
    if not isinstance(event.get("type"), str):
        raise EventError("bad-type", "an event needs a `type` that is a string")
    _check_nesting(body, event, "event")


def are_events(bodies: Sequence[bytes]) -> bool:
    """Whether `check_event` takes each of these, at least one, in half of the time of a call for each."""
    try:
        if max(map(len, bodies)) > MAX_EVENT_BYTES:
            return False
        "".join(map(_type_of, map(_decode_shallow, bodies)))  # each type is a text
    except _DOUBTS:  # one has more levels, or is none
        try:
            for body in bodies:
                check_event(body)
        except (ValueError, RecursionError):
            return False
    return True


def check_time(time: int) -> int:
    """`time` itself, in ms. Raises EventError unless it is from 0 to MAX_MS."""
    if not 0 <= time <= MAX_MS:
        raise EventError("bad-time", f"the time {time} is out of range")
    return time


def too_large(size: str) -> EventError:
    """The error for an event of `size` bytes."""
    return EventError("too-large", f"the event has {size} bytes, and at most {MAX_EVENT_BYTES} are taken")


def encode_extra(extra: dict[str, Any]) -> bytes:
    """The JSON text of an application's own meta keys, empty if there are none. Raises ValueError, with a sentence."""
    reserved = sorted(RESERVED_META & extra.keys())
    if reserved:
        raise ValueError(f"the log itself gives the meta key {reserved[0]!r}: choose another name")
    return _encode_meta(extra) if extra else b""


def check_extra(extra: bytes) -> bytes:
    """`extra` itself. Raises ValueError, with a sentence, unless it is the JSON text of an object within the limits."""
    _read_extra(extra)
    return extra


def _read_extra(extra: bytes) -> dict[str, Any]:
    if len(extra) > MAX_EXTRA_BYTES:
        raise EventError("too-large", f"the meta has {len(extra)} bytes, and at most {MAX_EXTRA_BYTES} are taken")
    meta = _decode(extra, "meta")
    if not isinstance(meta, dict):
        raise EventError("bad-type", f"meta must be an object, not {_kind(meta)}")
    # `origin` and `vouched` were an application's own keys in releases before: what it wrote then is taken, and not shown.
    if _PLACE_META & meta.keys():
        raise EventError("bad-type", f"meta uses the reserved key {min(_PLACE_META & meta.keys())!r}")
    check_labels(meta)
    _check_nesting(extra, meta, "meta")
    return meta


def encode_diff(diff: Any) -> bytes:
    """The JSON text of changes of a meta. Raises ValueError, with a sentence."""
    if not isinstance(diff, dict):
        raise ValueError(f"changes of meta must be a dict, not {diff!r}")
    fixed = sorted(READ_ONLY_META & diff.keys())
    if fixed:
        raise ValueError(f"the meta key {fixed[0]!r} is read-only: it cannot be changed once the event is in the log")
    check_channels(diff)
    return _encode_meta(diff)


def changed(local: bytes, diff: dict[str, Any]) -> bytes:
    """The local changes of a meta, with more of them."""
    return msgspec.json.encode((msgspec.json.decode(local) if local else {}) | diff)


def _encode(value: Any, what: str) -> bytes:
    try:
        return _to_json(value)
    except RecursionError:
        raise _too_deep(what) from None
    except (TypeError, ValueError, OverflowError) as error:
        _check_values(value, what)
        raise EventError("bad-text", f"the {what} cannot be written as JSON: {error}") from None


def _encode_meta(meta: dict[str, Any]) -> bytes:
    text = _encode(meta, "meta")
    if _read_extra(text) != meta:
        _check_values(meta, "meta")
    return text


def _check_values(value: Any, what: str) -> None:
    try:
        check_values(value, what)
    except RecursionError:
        raise _too_deep(what) from None


def _decode(text: bytes, what: str) -> Any:
    try:
        return msgspec.json.decode(text)
    except RecursionError:
        raise _too_deep(what) from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise not_json(what, text, error) from None


def _too_deep(what: str) -> EventError:
    return EventError("too-deep", f"the {what} is nested deeper than {MAX_NESTING}")


def _check_nesting(text: bytes, value: Any, what: str) -> None:
    if text.count(b"{") + text.count(b"[") <= MAX_NESTING:
        return  # there are not even that many brackets
    level = [value]
    for _ in range(MAX_NESTING):
        level = [child for item in level for child in _children(item)]
        if not level:
            return
    raise _too_deep(what)


def _children(value: Any) -> list[Any]:
    items = value.values() if isinstance(value, dict) else value
    return [item for item in items if isinstance(item, (dict, list))]


def _kind(value: Any) -> str:
    return {dict: "an object", list: "a list", str: "a string", bool: "a boolean", type(None): "null"}.get(
        type(value), "a number"
    )
