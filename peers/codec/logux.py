"""LoguxDialect: what the three dialects of Logux share, from the shapes of messages to how events are read and refused."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from functools import lru_cache
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from peers.codec.codec import KEPT_EXTRAS, MESSAGE_NAME, encode_plain, items_of_frame, wrong_format
from peers.codec.messages import (
    Connect,
    Connected,
    Custom,
    Debug,
    Duilian,
    Error,
    Headers,
    Message,
    Name,
    Options,
    Ping,
    Pong,
    Ready,
    Sync,
    Synced,
    Version,
)
from peers.codec.refused import read_pairs
from peers.errors import SyncError
from peers.events.created import MAX_MS, Created, created_text
from peers.events.entry import RESERVED_META, Entry, check_event, check_extra
from peers.events.event_error import EventError, not_json
from peers.events.reasons import DEFAULT_REASON
from peers.stores.undo import read_undo_id, undone_by, with_undo_id

MAX_RECEIVED_BATCH = 65_536
"""Events of one `sync` that is accepted: JavaScript peers send their whole backlog in one frame, and crash above 62 000."""
MAX_OTHER_BYTES = 64 * 1024
"""Bytes of any message but `sync`: decoded it takes many times as much, and headers stay with the session."""

Number = Annotated[float, Meta(ge=0, le=MAX_MS)]
"""JavaScript has one kind of number; whole ones are rounded down."""
NodeName = Name | int | float
Object = dict[str, Any]


class _Connect(msgspec.Struct, frozen=True, array_like=True, tag_field="message", tag="connect"):
    protocol: Number | Annotated[list[Number], Meta(min_length=2, max_length=2)]
    node_id: NodeName
    synced: Number
    options: Object = {}


class _Connected(msgspec.Struct, frozen=True, array_like=True, tag_field="message", tag="connected"):
    protocol: Number | Annotated[list[Number], Meta(min_length=2, max_length=2)]
    node_id: NodeName
    times: tuple[Number, Number]
    options: Object = {}


class _Numbered(msgspec.Struct, frozen=True, array_like=True):
    name: str
    added: Number


class _Error(msgspec.Struct, frozen=True, array_like=True):
    name: str
    type: str
    options: Any = None


class _Headers(msgspec.Struct, frozen=True, array_like=True):
    name: str
    headers: Object


class _Debug(msgspec.Struct, frozen=True, array_like=True):
    name: str
    type: str
    text: str


class _Duilian(msgspec.Struct, frozen=True, array_like=True):
    name: str
    line: str


_string = msgspec.json.Decoder(str).decode
_number = msgspec.json.Decoder(Number).decode
_connect = msgspec.json.Decoder(_Connect).decode
_connected = msgspec.json.Decoder(_Connected).decode
_numbered = msgspec.json.Decoder(_Numbered).decode
_error = msgspec.json.Decoder(_Error).decode
_headers = msgspec.json.Decoder(_Headers).decode
_debug = msgspec.json.Decoder(_Debug).decode
_duilian = msgspec.json.Decoder(_Duilian).decode
_meta_keys = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_words = msgspec.json.Decoder(list[str]).decode
_encode = msgspec.json.Encoder().encode

_NUMBERED: dict[str, type[Synced] | type[Ping] | type[Pong] | type[Ready]] = {
    "synced": Synced,
    "ping": Ping,
    "pong": Pong,
    "ready": Ready,
}
_NOT_SENT_META = frozenset({"id", "time", *RESERVED_META})
_TO_LOGUX = {"keep_last": "keepLast"}
_FROM_LOGUX = {"keepLast": "keep_last"}


class LoguxDialect(ABC):
    """A Dialect without the forms of events: a subclass says how the pairs of a `sync` look."""

    credentials_key = "token"
    """The option of greetings that holds the credentials."""
    protocol: Any
    other_node_id: str | None
    other_subprotocol: Any
    has_ready: bool

    def encode(self, message: Message) -> bytes:
        match message:
            case Sync():
                return _encode(["sync", message.added, *self.pairs(message.entries)])
            case Connect():
                items: list[Any] = ["connect", message.protocol, message.node_id, message.synced]
            case Connected():
                self.on_times(message.times, is_ours=True)
                items = ["connected", message.protocol, message.node_id, message.times]
            case _:
                return encode_plain(message)
        options = self._options_of(message.options)
        return encode_plain(Custom(items[0], (*items[1:], options) if options else tuple(items[1:])))

    def decode(self, frame: bytes) -> Message:
        try:
            items = items_of_frame(frame, 2 + 2 * MAX_RECEIVED_BATCH)
            name = _string(items[0])
            if name != "sync" and len(frame) > MAX_OTHER_BYTES:
                raise wrong_format(frame)
            if MESSAGE_NAME.fullmatch(name) is None:
                raise wrong_format(frame)
            return self._read(name, items, frame)
        except (msgspec.DecodeError, UnicodeDecodeError, IndexError, RecursionError, ValueError):
            raise wrong_format(frame) from None

    @abstractmethod
    def pairs(self, entries: Sequence[Entry]) -> list[Any]:
        """The items of a `sync` for these entries: two for each."""

    @abstractmethod
    def read_pair(self, body: bytes, second: bytes) -> Entry:
        """The entry of two such items, by the sender's clock; `body` is not checked. Raises ValueError or RecursionError."""

    @abstractmethod
    def read_created(self, second: bytes) -> Created:
        """The `created` in the second item, even if the rest of it is invalid. Raises ValueError or RecursionError."""

    @abstractmethod
    def log_id(self, created: Created) -> Any:
        """The id of this event in the log of the other end, a JSON value."""

    @abstractmethod
    def read_log_id(self, log_id: Any) -> Created:
        """The `created` of the event that has this id in the log of the other end. Raises ValueError or RecursionError."""

    def body_for_them(self, body: bytes) -> bytes:
        """The JSON text of an event as the other end knows it: the `id` in a `logux/undo` is that of its log.

        In our logs it is the text `MS NODE N` of the `created`, see `peers.stores.undo`. An id that is no such text stays.
        """
        created = undone_by(body)
        return body if created is None else _with_undo_id(body, self.log_id(created))

    def body_for_us(self, body: bytes) -> bytes:
        """The JSON text of an event as our logs have it, where `body_for_them` would have made `body` of it."""
        log_id = read_undo_id(body)
        try:
            return body if log_id is None else _with_undo_id(body, created_text(self.read_log_id(log_id)))
        except (ValueError, RecursionError):  # it undoes nothing
            return body

    @abstractmethod
    def on_times(self, times: tuple[int, int], *, is_ours: bool) -> None:
        """As Dialect says."""

    def _read(self, name: str, items: Sequence[bytes | msgspec.Raw], frame: bytes) -> Message:
        match name:
            case "sync":
                return self._read_sync(items, frame)
            case "connect":
                greeting = _connect(frame)
                version, options = _version(greeting.protocol), self._read_options(greeting.options)
                return Connect(version, _name(greeting.node_id), int(greeting.synced), options)
            case "connected":
                answer = _connected(frame)
                times = int(answer.times[0]), int(answer.times[1])
                self.on_times(times, is_ours=False)
                version, options = _version(answer.protocol), self._read_options(answer.options)
                return Connected(version, _name(answer.node_id), times, options)
            case "synced" | "ping" | "pong":
                return _NUMBERED[name](int(_numbered(frame).added))
            case "ready" if self.has_ready:
                return Ready(int(_numbered(frame).added))
            case "error":
                error = _error(frame)
                return Error(error.type, error.options)
            case "headers":
                return Headers(_headers(frame).headers)
            case "debug":
                debug = _debug(frame)
                return Debug(debug.type, debug.text)
            case "duilian":
                return Duilian(_duilian(frame).line)
        return Custom(name, tuple(msgspec.json.decode(item) for item in items[1:]))

    def _read_sync(self, items: Sequence[bytes | msgspec.Raw], frame: bytes) -> Sync:
        if len(items) < 2 or len(items) % 2:
            raise wrong_format(frame)
        if len(items) > 2 + 2 * MAX_RECEIVED_BATCH:
            count = len(items) // 2 - 1
            raise SyncError(
                "wrong-format", f"a message of {count} events: at most {MAX_RECEIVED_BATCH} are taken at once"
            )
        added = int(_number(items[1]))
        # Unlike Logux, which ends the connection for a malformed event: it would be sent again for ever.
        return Sync(added, *read_pairs(items[2:], self._read_checked, self.read_created))

    def _read_checked(self, body: bytes, second: bytes) -> Entry:
        entry = self.read_pair(body, second)
        check_event(body)
        ours = self.body_for_us(body)
        if ours is body:
            return entry
        check_event(ours)  # it may be too large now
        return msgspec.structs.replace(entry, body=ours)

    def _options_of(self, options: Options) -> dict[str, Any]:
        # As in Logux, values that are false in JavaScript are not sent.
        given = {self.credentials_key: options.token, "subprotocol": options.subprotocol}
        return {key: value for key, value in given.items() if value or isinstance(value, (list, dict))}

    def _read_options(self, options: Object) -> Options:
        subprotocol = options.get("subprotocol") or self.other_subprotocol
        return Options(subprotocol=subprotocol, token=options.get(self.credentials_key))


def _with_undo_id(body: bytes, undo_id: Any) -> bytes:
    """`body` itself, if it has that id already."""
    return body if read_undo_id(body) == undo_id else with_undo_id(body, undo_id)


def meta_for_logux(entry: Entry, wire_id: Any, time: int) -> dict[str, Any]:
    """The meta of an event on the wire of protocols 5 and 7."""
    meta: dict[str, Any] = {"id": wire_id, "time": time}
    if entry.extra:
        for key, value in _meta_keys(entry.extra).items():
            if key not in _NOT_SENT_META:
                meta[_TO_LOGUX.get(key, key)] = value
    meta.setdefault("reasons", (DEFAULT_REASON,))  # without one a JavaScript log keeps nothing
    return meta


def meta_keys(text: bytes) -> dict[str, msgspec.Raw]:
    """The keys of a meta with the JSON text of their values. Raises EventError or RecursionError."""
    try:
        return _meta_keys(text)
    except msgspec.ValidationError as error:
        raise EventError("bad-type", f"its meta must be an object: {error}") from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise not_json("meta", text, error) from None


def extra_from_logux(meta: dict[str, msgspec.Raw]) -> bytes:
    """The application's own keys of a meta that came over protocol 5 or 7. Raises ValueError."""
    return _extra_of(tuple([(key, bytes(value)) for key, value in meta.items() if key not in _NOT_SENT_META]))


@lru_cache(maxsize=KEPT_EXTRAS)
def _extra_of(keys: tuple[tuple[str, bytes], ...]) -> bytes:
    # Nearly all events of one client have the same keys here: the reasons of its log.
    kept = {_FROM_LOGUX.get(key, key): msgspec.Raw(value) for key, value in keys}
    for key in ("reasons", "indexes"):
        if key in kept:
            words = _words(kept[key])
            if not words or (key == "reasons" and words == [DEFAULT_REASON]):
                del kept[key]
    if "keep_last" in kept:
        _string(kept["keep_last"])
    return check_extra(_encode(kept)) if kept else b""


def _version(value: float | list[float]) -> Version:
    return [int(part) for part in value] if isinstance(value, list) else int(value)


def _name(value: str | float) -> str:
    """Logux 0.1 also allows numbers as names."""
    return value if isinstance(value, str) else str(value)
