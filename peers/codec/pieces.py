"""Pieces on the wire: columns with absolute numbers, so that the same bytes go to every session and are relayed.

A piece is an object. Its columns `ms`, `n`, `time` and `events` have one item for each entry with an event, in order; a list
of several `nodes` or `metas` has each value once, and the columns `node` and `meta` say by index which one is whose.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from itertools import accumulate, repeat
from operator import lt
from typing import Annotated, TypeVar

import msgspec
from msgspec import Meta, Struct

from peers.codec.borders import APART_MARKS, items_of, members_of
from peers.codec.codec import KEPT_EXTRAS
from peers.codec.messages import Count, Refusal, Seq
from peers.codec.refused import refused
from peers.events.columns import EventColumns, Items, events_of
from peers.events.created import Created, check_created
from peers.events.dot import MAX_FOREIGN_SEQ, Epoch
from peers.events.entry import Entry, are_events, check_event, check_extra, check_time
from peers.events.epoch import Birth, EpochName
from peers.events.event_error import EventError, cause_of
from peers.events.leaf import HASH_BYTES, leaf_of
from peers.events.piece import Piece
from peers.events.run import KINDS, OWN, RUN_ENTRIES
from peers.events.signature import SIGNATURE_BYTES

PIECE_BYTES = 500 * 1024
"""Of one piece on the wire, at most. A run of RUN_ENTRIES and RUN_BYTES fits, with node ids of up to 90 letters."""
MAX_HASHED = 2**64 - 1
"""The largest number that can be hashed into a leaf."""
_KEPT_NAMES = 1_024
_ENTRY_BYTES = 128
"""What an entry takes beside its event, its meta and its node id: four numbers, two indexes, and a leaf, or commas."""
_LETTER_BYTES = 4
_OWN = bytes([OWN])
_NO_META = b"null"
_NONE: frozenset[int] = frozenset()

Hash = Annotated[bytes, Meta(min_length=HASH_BYTES, max_length=HASH_BYTES)]
Signature = Annotated[bytes, Meta(max_length=SIGNATURE_BYTES)]
_Numbers = Annotated[list[Count], Meta(max_length=RUN_ENTRIES)]
_Texts = Annotated[list[msgspec.Raw], Meta(max_length=RUN_ENTRIES)]
_Value = TypeVar("_Value")


class RawPiece(Struct, frozen=True):
    """A piece and its bytes on the wire, without the birth of its epoch. The fields are those of Piece, in their order."""

    raw: bytes
    """What `encode_piece` made: it can be sent as it is to any session."""
    epoch: Epoch
    first: int
    start: int
    kinds: bytes
    items: Items
    """Events without dots."""
    head: bytes
    signature: bytes
    refused: frozenset[int] = frozenset()

    @property
    def last(self) -> int:
        """Seq of the last entry."""
        return self.start + len(self.kinds) - 1

    def piece(self, birth: Birth) -> Piece:
        """The piece, with the birth of its epoch."""
        return Piece(self.epoch, birth, *msgspec.structs.astuple(self)[2:])


class _Columns(Struct, frozen=True, forbid_unknown_fields=True, gc=False):
    """A piece as an object. What the decoder skips is not checked, and is relayed: so no other key is taken."""

    epoch: str
    first: Seq
    start: Seq
    head: Hash
    sign: Signature = b""
    kinds: Annotated[bytes, Meta(max_length=RUN_ENTRIES)] = b""
    """One byte for each entry; empty: all are OWN."""
    nodes: Annotated[list[str], Meta(max_length=RUN_ENTRIES)] = []
    node: _Numbers = []
    """Empty: all events are of one node."""
    ms: _Numbers = []
    n: _Numbers = []
    """Empty: all are 0."""
    time: _Numbers = []
    """Empty: it is `ms`."""
    metas: _Texts = []
    """Metas of the application, each once; `null` for none. Empty: no event has one."""
    meta: _Numbers = []
    """Empty: all events have the same one."""
    leaves: Annotated[bytes, Meta(max_length=RUN_ENTRIES * HASH_BYTES)] = b""
    """Of the entries without an event, one after the other."""
    gaps: _Numbers = []
    """Indexes of these entries, rising; empty if there is no entry with an event."""
    events: _Texts = []


_decode_columns = msgspec.json.Decoder(_Columns).decode
_decode_numbers = msgspec.json.Decoder(Annotated[list[int], Meta(max_length=RUN_ENTRIES)]).decode
_encode = msgspec.json.Encoder().encode
_checked_extra = lru_cache(maxsize=KEPT_EXTRAS)(check_extra)


@lru_cache(maxsize=_KEPT_NAMES)
def _checked_node_id(node_id: str) -> str:
    """The same text, and the same object for all events of it. Raises ValueError."""
    check_created((0, node_id, 0))
    return node_id


@lru_cache(maxsize=_KEPT_NAMES)
def _checked_epoch(epoch: str) -> Epoch:
    """The same text, and the same object for all pieces of it. Raises ValueError."""
    return msgspec.convert(epoch, EpochName)


# Encoding


def encode_piece(piece: Piece) -> bytes:
    """The bytes of a piece without its birth. Raises ValueError for more than PIECE_BYTES: see `fitting`."""
    items = piece.items
    events = events_of(items)
    parts = [
        b'{"epoch":"%b","first":%d,"start":%d,"head":%b,"sign":%b'
        % (piece.epoch.encode(), piece.first, piece.start, _encode(piece.head), _encode(piece.signature))
    ]
    if piece.kinds.strip(_OWN):
        parts.append(b',"kinds":%b' % _encode(piece.kinds))
    if len(events) < len(items):
        parts.append(b',"leaves":%b' % _encode(b"".join([item for item in items if isinstance(item, bytes)])))
        if events:
            gaps = [index for index, item in enumerate(items) if isinstance(item, bytes)]
            parts.append(b',"gaps":%b' % _encode(gaps))
    if events:
        parts += _columns_of(events) if isinstance(events, EventColumns) else _event_columns(events)
    parts.append(b"}")
    text = b"".join(parts)
    if len(text) > PIECE_BYTES:
        raise ValueError(f"a piece of {len(text)} bytes, and at most {PIECE_BYTES} are sent")
    return text


def raw_piece(piece: Piece) -> RawPiece:
    """A piece of this node's store, encoded for all sessions. Raises ValueError as `encode_piece`."""
    return RawPiece(encode_piece(piece), piece.epoch, *msgspec.structs.astuple(piece)[2:])


def fitting(piece: Piece) -> Piece:
    """The piece itself, or where it may be too large the same with leaves in place of its last events.

    Only another signer can make such a run: with long foreign node ids, or events that it gives after their entries. The
    receiver calls the events hollow, and gets them by `fill`.
    """
    room = PIECE_BYTES - _ENTRY_BYTES * (len(piece.items) + 4)
    sizes = [
        len(item.body) + len(item.extra) + _LETTER_BYTES * len(item.created[1]) if isinstance(item, Entry) else 0
        for item in piece.items
    ]
    if sum(sizes) <= room:
        return piece
    items = [
        leaf_of(item.created, item.time, item.extra, item.body) if isinstance(item, Entry) and used > room else item
        for item, used in zip(piece.items, accumulate(sizes), strict=True)
    ]
    return msgspec.structs.replace(piece, items=tuple(items))


def _event_columns(events: Sequence[Entry]) -> list[bytes]:
    """The columns that have an item for each event, and the lists of values that they point to."""
    createds = [event.created for event in events]
    ms = [created[0] for created in createds]
    n = [created[2] for created in createds]
    times = [event.time for event in events]
    extras = [event.extra for event in events]
    values, indexes = _each_once([created[1] for created in createds])
    parts = [b',"nodes":%b,"ms":%b' % (_encode(values), _encode(ms))]
    if indexes:
        parts.append(b',"node":%b' % _encode(indexes))
    if any(n):
        parts.append(b',"n":%b' % _encode(n))
    if times != ms:
        parts.append(b',"time":%b' % _encode(times))
    if any(extras):
        metas, indexes = _each_once(extras)
        parts.append(b',"metas":[%b]' % b",".join([meta or _NO_META for meta in metas]))
        if indexes:
            parts.append(b',"meta":%b' % _encode(indexes))
    parts += (b',"events":[', b",".join([event.body for event in events]), b"]")
    return parts


def _columns_of(events: EventColumns) -> list[bytes]:
    """The same of events that are columns already."""
    ms, n, bodies = events.texts
    parts = [b',"nodes":[%b],"ms":[%b]' % (_encode(events.node_id), ms)]
    if n.strip(b"0,"):
        parts.append(b',"n":[%b]' % n)
    parts += (b',"events":[', bodies.replace(b"\0", b","), b"]")
    return parts


def _each_once(values: Sequence[_Value]) -> tuple[list[_Value], list[int]]:
    """The values, each once, and the index of each; no indexes if they are all the same."""
    first = values[0]
    if values.count(first) == len(values):
        return [first], []
    each = list(dict.fromkeys(values))
    places = {value: index for index, value in enumerate(each)}
    return each, list(map(places.__getitem__, values))


# Decoding


def decode_piece(raw: bytes) -> tuple[RawPiece, tuple[Refusal, ...]]:
    """The piece of these bytes, and why some of its events are `refused`: their items are the leaves of what came.

    Raises ValueError or RecursionError if it is no piece: a column is missing or too short, a number cannot be hashed, or it
    has more than PIECE_BYTES, with which it could not be relayed.
    """
    if len(raw) > PIECE_BYTES:
        raise ValueError(f"a piece of {len(raw)} bytes")
    try:
        columns = _decode_columns(raw)
        total = _check_shape(columns)
        items: Items = _events(columns) if columns.events else ()
        if columns.leaves:
            _, items = _with_leaves(columns, total, items)
        return _of_columns(raw, columns, items), ()
    except (ValueError, RecursionError):
        columns = _columns_apart(raw)
        if not columns.events:
            raise
    total = _check_shape(columns)
    refusals: dict[int, Refusal] = {}
    items = _each_event(columns, refusals)
    places, items = _with_leaves(columns, total, items)
    refused_seqs = frozenset([columns.start + places[index] for index in refusals])
    return _of_columns(raw, columns, items, refused_seqs), tuple(refusals.values())


def read_event(created: Created, time: int, body: bytes, extra: bytes) -> Entry:
    """The event of these parts. Raises ValueError, with a sentence, or RecursionError if it is none."""
    try:
        check_created(created)
    except ValueError as error:
        raise EventError("bad-id", f"its id cannot be taken: {error}") from None
    check_event(body)
    return Entry(created, check_time(time), body, check_extra(extra) if extra else b"")


def refused_event(error: Exception, created: Created, body: bytes) -> Refusal:
    """The refusal of what `read_event` did not take."""
    return refused(error, body, None if cause_of(error) == "bad-id" else created)


def _of_columns(raw: bytes, columns: _Columns, items: Items, refused_seqs: frozenset[int] = _NONE) -> RawPiece:
    return RawPiece(
        raw,
        _checked_epoch(columns.epoch),
        columns.first,
        columns.start,
        columns.kinds or bytes(len(items)),
        items if isinstance(items, EventColumns) else tuple(items),
        columns.head,
        columns.sign,
        refused_seqs,
    )


def _check_shape(columns: _Columns) -> int:
    """The number of entries. Raises ValueError unless there is one in each column, and the indexes are in range."""
    count, leaves = len(columns.events), len(columns.leaves)
    total = count + leaves // HASH_BYTES
    last = columns.start + total - 1
    if not (columns.first <= columns.start <= last < columns.first + RUN_ENTRIES and last <= MAX_FOREIGN_SEQ):
        raise ValueError("the entries of a piece are in one run")
    if columns.sign and len(columns.sign) != SIGNATURE_BYTES:
        raise ValueError(f"a signature has {SIGNATURE_BYTES} bytes")
    if columns.kinds and (len(columns.kinds) != total or max(columns.kinds) >= KINDS):
        raise ValueError("a piece has one kind for each entry")
    if len(columns.ms) != count or len(columns.n or columns.ms) != count or len(columns.time or columns.ms) != count:
        raise ValueError("a piece has one number for each event")
    if count:
        _check_indexes(columns.node, count, len(columns.nodes))
        _check_indexes(columns.meta, count, len(columns.metas) or 1)
    if leaves or columns.gaps:
        gaps = columns.gaps
        if leaves % HASH_BYTES or len(gaps) != (total - count if count else 0):
            raise ValueError(f"a leaf has {HASH_BYTES} bytes and a place")
        if gaps and not (gaps[-1] < total and all(map(lt, gaps, gaps[1:]))):
            raise ValueError("the places of the leaves rise")
    return total


def _check_indexes(indexes: Sequence[int], count: int, values: int) -> None:
    """Raise ValueError unless there is an index below `values` for each, or one value and no index."""
    if (len(indexes) != count or max(indexes) >= values) if indexes else values != 1:
        raise ValueError("a column that says which value is whose does not fit")


def _events(columns: _Columns) -> Sequence[Entry]:
    """The events of a piece. Raises ValueError or RecursionError if any is refused."""
    bodies = list(map(bytes, columns.events))
    if not are_events(bodies):
        raise ValueError("an event that is refused")
    times = columns.time or columns.ms
    nodes = list(map(_checked_node_id, columns.nodes))
    if len(nodes) == 1 and not columns.metas and not columns.time:  # nearly always
        return EventColumns(nodes[0], columns.ms, columns.n or [0] * len(bodies), bodies)
    created = _createds(columns, nodes)
    if not columns.metas:
        return list(map(Entry, created, times, bodies))
    extras = [b"" if meta == _NO_META else _checked_extra(meta) for meta in map(bytes, columns.metas)]
    return list(map(Entry, created, times, bodies, _spread(extras, columns.meta)))


def _columns_apart(raw: bytes) -> _Columns:
    """The columns of a piece in which an event, a meta or a number is refused."""
    texts = members_of(raw, APART_MARKS)
    events, metas = (items_of(texts.pop(key, b"[]"), RUN_ENTRIES, APART_MARKS) for key in ("events", "metas"))
    numbers = {key: _decode_numbers(texts.pop(key)) for key in ("ms", "n", "time") if key in texts}
    if any(min(column, default=0) < 0 or max(column, default=0) > MAX_HASHED for column in numbers.values()):
        raise ValueError("a number that cannot be hashed")
    rest = _decode_columns(b"{%b}" % b",".join([b"%b:%b" % (_encode(key), text) for key, text in texts.items()]))
    return msgspec.structs.replace(
        rest, events=[msgspec.Raw(text) for text in events], metas=[msgspec.Raw(text) for text in metas], **numbers
    )


def _each_event(columns: _Columns, refusals: dict[int, Refusal]) -> list[Entry | bytes]:
    """The events, with leaves in place of those that are refused; and the refusals by their indexes."""
    bodies = list(map(bytes, columns.events))
    extras = [b"" if meta == _NO_META else meta for meta in map(bytes, columns.metas)] or [b""]
    times = columns.time or columns.ms
    items: list[Entry | bytes] = []
    parts = zip(bodies, _createds(columns, columns.nodes), times, _spread(extras, columns.meta), strict=False)
    for body, created, time, extra in parts:
        try:
            items.append(read_event(created, time, body, extra))
        except (ValueError, RecursionError) as error:
            refusals[len(items)] = refused_event(error, created, body)
            items.append(leaf_of(created, time, extra, body))
    return items


def _createds(columns: _Columns, nodes: Sequence[str]) -> Iterator[Created]:
    return zip(columns.ms, _spread(nodes, columns.node), columns.n or repeat(0), strict=False)


def _spread(values: Sequence[_Value], indexes: Sequence[int]) -> Iterable[_Value]:
    """The value of each index; the only one again and again without indexes."""
    return map(values.__getitem__, indexes) if indexes else repeat(values[0])


def _with_leaves(columns: _Columns, total: int, events: Items) -> tuple[Sequence[int], Items]:
    """The indexes of the events among all items, and these."""
    leaves = columns.leaves
    if not leaves:
        return range(total), events
    gaps = columns.gaps or range(total)
    items: list[Entry | bytes] = [b""] * total
    for place, gap in enumerate(gaps):
        items[gap] = leaves[HASH_BYTES * place : HASH_BYTES * (place + 1)]
    places = sorted({*range(total)}.difference(gaps))
    for place, event in zip(places, events, strict=True):
        items[place] = event
    return places, items
