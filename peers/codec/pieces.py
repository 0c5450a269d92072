"""Pieces on the wire: columns with absolute numbers, so that the same bytes go to every session and are relayed.

A piece is an object. Its columns `ms`, `n`, `time` and `events` have one item for each entry with an event, in order; a list
of several `nodes` or `metas` has each value once, and the columns `node` and `meta` say by index which one is whose.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence, Sized
from functools import lru_cache
from itertools import repeat
from operator import lt
from typing import Annotated, Any, TypeVar

import msgspec
from msgspec import Meta, Struct

from peers.codec.borders import items_of, members_of
from peers.codec.codec import KEPT_EXTRAS
from peers.codec.messages import Refusal, Seq
from peers.codec.refused import refused
from peers.events.created import MAX_MS, Created, check_created
from peers.events.entry import Entry, are_events, check_event, check_extra, check_time
from peers.events.epoch import NAME_BYTES, Birth
from peers.events.event_error import EventError, cause_of
from peers.events.leaf import HASH_BYTES, leaf_of
from peers.events.piece import Piece
from peers.events.run import KINDS, RUN_ENTRIES
from peers.events.signature import SIGNATURE_BYTES
from peers.events.version_vector import MAX_FOREIGN_SEQ, Epoch

PIECE_BYTES = 500 * 1024
"""Of one piece on the wire, at most. A run of RUN_ENTRIES and RUN_BYTES fits, with node ids of up to 90 letters."""
MAX_HASHED = 2**64 - 1
"""The largest number that can be hashed into a leaf."""
_KEPT_NAMES = 1_024
_ENTRY_BYTES = 128
"""What an entry takes beside its event, its meta and its node id: four numbers, two indexes, and a leaf, or commas."""
_LETTER_BYTES = 4
_NO_META = b"null"

EpochName = Annotated[str, Meta(pattern=rf"^[0-9a-f]{{{2 * NAME_BYTES}}}\Z")]
Hash = Annotated[bytes, Meta(min_length=HASH_BYTES, max_length=HASH_BYTES)]
Signature = Annotated[bytes, Meta(max_length=SIGNATURE_BYTES)]
_Numbers = Annotated[list[int], Meta(max_length=RUN_ENTRIES)]
_Texts = Annotated[list[msgspec.Raw], Meta(max_length=RUN_ENTRIES)]
_Value = TypeVar("_Value")


class RawPiece(Struct, frozen=True):
    """A piece and its bytes on the wire, which do not hold the birth of its epoch. The fields are those of Piece."""

    raw: bytes
    """What `encode_piece` made: it can be sent as it is to any session."""
    epoch: Epoch
    first: int
    start: int
    kinds: bytes
    items: tuple[Entry | bytes, ...]
    """Events without dots."""
    head: bytes
    signature: bytes
    refused: frozenset[int] = frozenset()

    @property
    def last(self) -> int:
        """Seq of the last entry."""
        return self.start + len(self.items) - 1

    def piece(self, birth: Birth) -> Piece:
        """The piece, with the birth of its epoch."""
        return Piece(
            self.epoch,
            birth,
            self.first,
            self.start,
            self.kinds,
            self.items,
            self.head,
            self.signature,
            self.refused,
        )


class _Columns(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True, gc=False):
    """A piece as an object. What the decoder skips is not checked, and is relayed: so no other key is taken."""

    epoch: EpochName
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
_encode = msgspec.json.Encoder().encode
_checked_extra = lru_cache(maxsize=KEPT_EXTRAS)(check_extra)


@lru_cache(maxsize=_KEPT_NAMES)
def checked_node_id(node_id: str) -> str:
    """The same text, and the same object for all events of it. Raises ValueError."""
    check_created((0, node_id, 0))
    return node_id


# Encoding


def encode_piece(piece: Piece) -> bytes:
    """The bytes of a piece without its birth. Raises ValueError for more than PIECE_BYTES: see `fitting`."""
    events = [item for item in piece.items if isinstance(item, Entry)]
    columns = _Columns(
        piece.epoch,
        piece.first,
        piece.start,
        piece.head,
        piece.signature,
        piece.kinds if any(piece.kinds) else b"",
        *(_event_columns(events) if events else ()),
    )
    if len(events) < len(piece.items):
        gaps = [index for index, item in enumerate(piece.items) if type(item) is bytes] if events else []
        leaves = b"".join([item for item in piece.items if type(item) is bytes])
        columns = msgspec.structs.replace(columns, leaves=leaves, gaps=gaps)
    text = _encode(columns)
    if events:
        text = b"".join((text[:-1], b',"events":[', b",".join([event.body for event in events]), b"]}"))
    if len(text) > PIECE_BYTES:
        raise ValueError(f"a piece of {len(text)} bytes, and at most {PIECE_BYTES} are sent")
    return text


def raw_piece(piece: Piece) -> RawPiece:
    """A piece of this node's store, encoded for all sessions. Raises ValueError as `encode_piece`."""
    raw = encode_piece(piece)
    return RawPiece(
        raw,
        piece.epoch,
        piece.first,
        piece.start,
        piece.kinds,
        piece.items,
        piece.head,
        piece.signature,
        piece.refused,
    )


def fitting(piece: Piece) -> Piece:
    """The piece itself, or where it may be too large the same with leaves in place of its last events.

    Only another signer can make such a run: with long foreign node ids, or events that it gives after their entries. The
    receiver calls the events hollow, and gets them by `fill`.
    """
    room = PIECE_BYTES - _ENTRY_BYTES * (len(piece.items) + 4)
    items: list[Entry | bytes] = []
    for item in piece.items:
        if isinstance(item, Entry):
            room -= len(item.body) + len(item.extra) + _LETTER_BYTES * len(item.created[1])
        if isinstance(item, Entry) and room < 0:
            items.append(leaf_of(item.created, item.time, item.extra, item.body))
        else:
            items.append(item)
    return piece if room >= 0 else msgspec.structs.replace(piece, items=tuple(items))


def _event_columns(events: Sequence[Entry]) -> tuple[Any, ...]:
    """The columns from `nodes` to `meta`."""
    ms, nodes, n = map(list, zip(*[event.created for event in events], strict=True))
    times = [event.time for event in events]
    extras = [event.extra for event in events]
    metas: tuple[list[msgspec.Raw], list[int]] = ([], [])
    if any(extras):
        values, indexes = _each_once(extras)
        metas = [msgspec.Raw(value or _NO_META) for value in values], indexes
    return *_each_once(nodes), ms, n if any(n) else [], times if times != ms else [], *metas


def _each_once(values: list[_Value]) -> tuple[list[_Value], list[int]]:
    """The values, each once, and the index of each; no indexes if they are all the same."""
    first = values[0]
    if values.count(first) == len(values):
        return [first], []
    places: dict[_Value, int] = {}
    indexes = [places.setdefault(value, len(places)) for value in values]
    return list(places), indexes


# Decoding


def decode_piece(raw: bytes) -> tuple[RawPiece, tuple[Refusal, ...]]:
    """The piece of these bytes, and why some of its events are `refused`: their items are the leaves of what came.

    Raises ValueError or RecursionError if it is no piece: a column is missing or too short, or a number cannot be hashed.
    """
    try:
        columns = _decode_columns(raw)
    except (ValueError, RecursionError):
        columns = _columns_apart(raw)  # one event may be what the decoder refuses
    total = _check_shape(columns)
    items, refusals = _read_events(columns) if columns.events else ((), {})
    places: Sequence[int] = range(total)
    if columns.leaves:
        places, items = _with_leaves(columns, total, items)
    piece = RawPiece(
        raw,
        columns.epoch,
        columns.first,
        columns.start,
        columns.kinds or bytes(total),
        items,
        columns.head,
        columns.sign,
        frozenset([columns.start + places[index] for index in refusals]),
    )
    return piece, tuple(refusals.values())


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


def _columns_apart(raw: bytes) -> _Columns:
    """The columns of a piece of which the decoder refuses an event or a meta."""
    texts = members_of(raw)
    events, metas = (items_of(texts.pop(key, b"[]"), RUN_ENTRIES + 1) for key in ("events", "metas"))
    if max(len(events), len(metas)) > RUN_ENTRIES:
        raise ValueError(f"a piece has at most {RUN_ENTRIES} entries")
    rest = _decode_columns(b"{" + b",".join([b"%b:%b" % (_encode(key), text) for key, text in texts.items()]) + b"}")
    return msgspec.structs.replace(
        rest, events=[msgspec.Raw(text) for text in events], metas=[msgspec.Raw(text) for text in metas]
    )


def _check_shape(columns: _Columns) -> int:
    """The number of entries. Raises ValueError unless there is one in each column and it is in range."""
    count, total = len(columns.events), len(columns.events) + len(columns.leaves) // HASH_BYTES
    first, last = columns.first, columns.start + total - 1
    if not (first <= columns.start <= last < first + RUN_ENTRIES and last <= MAX_FOREIGN_SEQ):
        raise ValueError("the entries of a piece are in one run")
    if len(columns.sign) not in (0, SIGNATURE_BYTES):
        raise ValueError(f"a signature has {SIGNATURE_BYTES} bytes")
    if columns.kinds and (len(columns.kinds) != total or max(columns.kinds) >= KINDS):
        raise ValueError("a piece has one kind for each entry")
    if len(columns.ms) != count:
        raise ValueError("a piece has one ms for each event")
    if count:
        _check_numbers(columns.ms, count, MAX_HASHED)
        _check_numbers(columns.n, count, MAX_HASHED)
        _check_numbers(columns.time, count, MAX_HASHED)
        _check_index(columns.node, count, columns.nodes or ())
        _check_index(columns.meta, count, columns.metas or (_NO_META,))
    gaps = columns.gaps
    if len(columns.leaves) % HASH_BYTES or len(gaps) != (total - count if count else 0):
        raise ValueError(f"a leaf has {HASH_BYTES} bytes and a place")
    if gaps and not (gaps[0] >= 0 and gaps[-1] < total and all(map(lt, gaps, gaps[1:]))):
        raise ValueError("the places of the leaves rise")
    return total


def _check_numbers(column: Sequence[int], count: int, highest: int) -> None:
    """Raise ValueError unless the column is empty, or has `count` numbers from 0 to `highest`."""
    if column and not (len(column) == count and min(column) >= 0 and max(column) <= highest):
        raise ValueError("a column of numbers that does not fit")


def _check_index(column: Sequence[int], count: int, values: Sized) -> None:
    """Raise ValueError unless the column has a place in `values` for each, or there is one value and no column."""
    if not column and len(values) != 1:
        raise ValueError("a column that says which value is whose is missing")
    _check_numbers(column, count, len(values) - 1)


def _read_events(columns: _Columns) -> tuple[tuple[Entry | bytes, ...], dict[int, Refusal]]:
    """The events, with leaves in place of those that are refused; and the refusals by their indexes."""
    bodies = list(map(bytes, columns.events))
    metas = [b"" if meta == _NO_META else meta for meta in map(bytes, columns.metas)]
    times = columns.time or columns.ms
    try:
        if are_events(bodies) and all(max(column, default=0) <= MAX_MS for column in (columns.ms, times, columns.n)):
            nodes = list(map(checked_node_id, columns.nodes))
            created = _createds(columns, nodes)
            if not any(metas):
                return tuple(map(Entry, created, times, bodies)), {}
            extras = [_checked_extra(meta) if meta else b"" for meta in metas]
            return tuple(map(Entry, created, times, bodies, _spread(extras, columns.meta))), {}
    except (ValueError, RecursionError):
        pass  # each for itself: which are refused, and why
    items: list[Entry | bytes] = []
    refusals: dict[int, Refusal] = {}
    extra_of = _spread(metas or [b""], columns.meta)
    for one, time, body, extra in zip(_createds(columns, columns.nodes), times, bodies, extra_of, strict=False):
        try:
            items.append(read_event(one, time, body, extra))
        except (ValueError, RecursionError) as error:
            refusals[len(items)] = refused_event(error, one, body)
            items.append(leaf_of(one, time, extra, body))
    return tuple(items), refusals


def _createds(columns: _Columns, nodes: Sequence[str]) -> Iterator[Created]:
    return zip(columns.ms, _spread(nodes, columns.node), columns.n or repeat(0), strict=False)


def _spread(values: Sequence[_Value], indexes: Sequence[int]) -> Iterable[_Value]:
    """The value of each index; the only one again and again without indexes."""
    return map(values.__getitem__, indexes) if indexes else repeat(values[0])


def _with_leaves(
    columns: _Columns, total: int, events: Sequence[Entry | bytes]
) -> tuple[Sequence[int], tuple[Entry | bytes, ...]]:
    """The indexes of the events among all items, and these."""
    gaps = columns.gaps or range(total)
    items: list[Entry | bytes] = [b""] * total
    for place, gap in enumerate(gaps):
        items[gap] = columns.leaves[HASH_BYTES * place : HASH_BYTES * (place + 1)]
    places = sorted({*range(total)}.difference(gaps))
    for place, event in zip(places, events, strict=True):
        items[place] = event
    return places, tuple(items)
