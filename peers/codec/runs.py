"""RunProtocol: the dialect of wire 2, in which nodes exchange runs. No form in it depends on the connection."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Annotated, Any

import msgspec
from msgspec import Meta, structs

from peers.codec.borders import APART_MARKS, items_of
from peers.codec.codec import encode_plain, is_early_size, wrong_format
from peers.codec.messages import (
    PEER_MESSAGES,
    Count,
    Custom,
    Error,
    Message,
    Refusal,
    Seq,
    Version,
    name_of,
)
from peers.codec.pieces import RawPiece, decode_piece, read_event, refused_event
from peers.codec.run_messages import (
    MAX_BLOCKS,
    MAX_FILLED,
    NODE_FRAME_BYTES,
    READ_PIECES,
    READ_TOGETHER,
    STRANGER_BYTES,
    WIRE,
    WIRE_1,
    AskReach,
    Decline,
    Facts,
    Fill,
    Heads,
    Pieces,
    Prove,
    Reached,
    RunConnect,
    RunConnected,
    RunHave,
    SayHollow,
    ShowBlocks,
    ShowWay,
    Summaries,
)
from peers.errors import SyncError
from peers.events.dot import Dot
from peers.events.entry import Entry
from peers.events.epoch import BIRTH_BYTES, MAX_BIRTH_BYTES, Birth, EpochName
from peers.events.proof import Block
from peers.events.reconcile import Differ, Same

_BirthBytes = Annotated[bytes, Meta(min_length=BIRTH_BYTES, max_length=MAX_BIRTH_BYTES)]


class _PiecesFrame(msgspec.Struct, frozen=True, array_like=True, tag="pieces"):
    number: Count
    births: Annotated[list[_BirthBytes], Meta(max_length=READ_PIECES)]
    pieces: Annotated[list[msgspec.Raw], Meta(min_length=1, max_length=READ_PIECES)]


class _ShowFrame(msgspec.Struct, frozen=True, array_like=True, tag="show"):
    birth: _BirthBytes
    blocks: Annotated[tuple[Block, ...], Meta(max_length=MAX_BLOCKS)]


class _FillFrame(msgspec.Struct, frozen=True, array_like=True, tag="fill"):
    number: Count
    events: Annotated[list[msgspec.Raw], Meta(max_length=MAX_FILLED)]


class _Filling(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True, gc=False):
    epoch: EpochName
    seq: Seq
    ms: int
    node: str
    n: int
    time: int
    meta: msgspec.Raw
    """`null` for none."""
    event: msgspec.Raw


class _AnyOptions(msgspec.Struct, frozen=True):
    subprotocol: msgspec.Raw = msgspec.Raw(b"0")
    token: msgspec.Raw = msgspec.Raw(b"null")


class _AnyGreeting(msgspec.Struct, frozen=True, array_like=True):
    name: msgspec.Raw
    protocol: msgspec.Raw
    node_id: msgspec.Raw
    number: msgspec.Raw
    options: _AnyOptions = _AnyOptions()


_PLAIN: dict[str, type[Any]] = {
    **PEER_MESSAGES,
    "connect": RunConnect,
    "connected": RunConnected,
    "have": RunHave,
    "same": Same,
    "differ": Differ,
    "heads": Heads,
    "hollow": SayHollow,
    "proof": Prove,
    "way": ShowWay,
    "decline": Decline,
    "facts": Facts,
    "reach": AskReach,
    "reached": Reached,
    "summaries": Summaries,
}
"""Messages whose items are the fields of a struct."""
_GREETINGS = (b"connect", b"connected")
_NAME = re.compile(rb'\s*+\[\s*+"([A-Za-z][A-Za-z0-9_/-]{0,63})"')
_VERSION = re.compile(rb"\s*+,\s*+([0-9]{1,16}|\[\s*+[0-9]{1,16}\s*+,\s*+[0-9]{1,16}\s*+\])")
_ONE_PIECE = re.compile(rb'\["pieces",([0-9]{1,15}),(\[[A-Za-z0-9+/=",]*+\]),(?=\{)')
"""The beginning of a message with one piece, as nearly all are: what follows need not be looked at twice."""
_NULL = b"null"
_READ_ITEMS = 16
"""Items of a message that are read: later versions may add some at the end."""
_LOGUX = (6, 7)

_encode = msgspec.json.Encoder().encode
_decode_list = msgspec.json.Decoder(list[Any]).decode
_decode_version = msgspec.json.Decoder(int | list[int]).decode
_decode_count = msgspec.json.Decoder(Count).decode
_decode_births = msgspec.json.Decoder(Annotated[list[_BirthBytes], Meta(max_length=READ_PIECES)]).decode
_decode_pieces = msgspec.json.Decoder(_PiecesFrame).decode
_decode_show = msgspec.json.Decoder(_ShowFrame).decode
_decode_fill = msgspec.json.Decoder(_FillFrame).decode
_decode_filling = msgspec.json.Decoder(_Filling).decode
_decode_any_greeting = msgspec.json.Decoder(_AnyGreeting).decode
_decode_error = msgspec.json.Decoder(Error).decode


class RunProtocol:
    """The dialect of nodes that exchange runs.

    A frame has at most STRANGER_BYTES, and about EARLY_VALUES that may be anything, until `other_node_id` is set, and
    NODE_FRAME_BYTES from then on. Events and metas that
    cannot be taken become refusals, and nothing else of their message is refused.
    """

    protocol = WIRE
    batch = MAX_FILLED
    other_subprotocol: Any = 0
    has_ready = False
    times_sync = True
    keeps_early = False
    breaks_early = True
    knows_base = True

    def __init__(self) -> None:
        self.other_node_id: str | None = None
        self.time_fix = 0
        self.bare_meta = False

    def why_not(self, version: Version) -> Any:
        """As Dialect says; besides, `why` is a sentence that names both versions and says what to do."""
        if version == self.protocol:
            return None
        used: Any = version
        if version == WIRE_1:  # its sentence is made of these two
            used = "wire 1: upgrade peermesh on this node, which goes on writing until then"
        return {"supported": f"wire {WIRE}", "used": used, "why": _why_not(version)}

    def on_times(self, times: tuple[int, int], *, is_ours: bool) -> None:
        """All times are absolute."""

    def fixed(self, entry: Entry) -> Entry:
        """As Dialect says."""
        return entry

    def why_not_sent(self, _entry: Entry) -> str | None:
        """As Dialect says."""
        return None

    def encode(self, message: Message) -> bytes:
        """As Dialect says. Raises ValueError also for a frame that is too long.

        A greeting for which there is no room loses the spans of what is hollow; their count and digest stay.
        """
        limit = NODE_FRAME_BYTES
        if isinstance(message, Pieces):
            frame = _encode(["pieces", message.number, [birth.encode() for birth in message.births]])
            if len(message.pieces) == 1:  # it is not in a list
                frame = b"".join((frame[:-1], b",", message.pieces[0].raw, b"]"))
            else:
                frame = b"".join((frame[:-1], b",[", b",".join([piece.raw for piece in message.pieces]), b"]]"))
        elif isinstance(message, Fill):
            frame = _encode(["fill", message.number, [_filling(dot, event) for dot, event in message.events]])
        elif isinstance(message, ShowBlocks):
            frame = _encode(["show", message.birth.encode(), message.blocks])
        else:
            frame = encode_plain(message)
            if isinstance(message, (RunConnect, RunConnected)):
                limit = STRANGER_BYTES
                runs = message.options.runs
                if len(frame) > limit and runs is not None and runs.hollow is not None:
                    runs = structs.replace(runs, hollow=structs.replace(runs.hollow, spans=()))
                    frame = encode_plain(structs.replace(message, options=structs.replace(message.options, runs=runs)))
        if len(frame) > limit:
            raise ValueError(f"message {name_of(message)} of {len(frame)} bytes: at most {limit} are read")
        return frame

    def decode(self, frame: bytes) -> Message:
        """As Dialect says. Raises SyncError `wrong-protocol` for the greeting of another version, whatever is in it."""
        named = _NAME.match(frame)
        if named is None:
            raise wrong_format(frame)
        name = named[1]
        try:
            if name in _GREETINGS:
                self._check_version(frame, named.end())
            if self.other_node_id is None:
                _check_early(name, frame)
            elif len(frame) > NODE_FRAME_BYTES:
                raise wrong_format(frame)
            if not frame.isascii():
                frame.decode()  # what a decoder skips it does not check
            read = _READ.get(name)
            return read(frame) if read is not None else Custom(name.decode(), tuple(_decode_list(frame)[1:]))
        except (ValueError, RecursionError):
            raise wrong_format(frame) from None

    def _check_version(self, frame: bytes, at: int) -> None:
        found = _VERSION.match(frame, at)
        if found is None:
            raise wrong_format(frame)
        why_not = self.why_not(_decode_version(found[1]))
        if why_not is not None:
            raise SyncError("wrong-protocol", why_not)


def _check_early(name: bytes, frame: bytes) -> None:
    """Raise ValueError for a frame before the greeting that is too long, or would take much more memory when it is decoded."""
    texts = [frame]
    if name in _GREETINGS and len(frame) <= STRANGER_BYTES:  # of the greeting, these may be anything
        options = _decode_any_greeting(frame).options
        texts = [bytes(options.subprotocol), bytes(options.token)]
    if len(frame) > STRANGER_BYTES or not all(map(is_early_size, texts)):
        raise ValueError("a stranger's frame is too large")


def _why_not(version: Version) -> str:
    """A sentence about a version that is not WIRE; it is shown at both ends."""
    if isinstance(version, list) or version in _LOGUX:
        return "only nodes are served here, with wire 2, and this is Logux: use the clients' door"
    wire = 1 if version == WIRE_1 else version
    return (
        f"nodes with wire {WIRE} and wire {wire} do not understand each other: upgrade peermesh on the one with wire "
        f"{min(WIRE, wire)}; until then both go on writing, and exchange events afterwards"
    )


def _read_show(frame: bytes) -> ShowBlocks:
    show = _decode_show(frame)
    return ShowBlocks(Birth.decode(show.birth), show.blocks)


def _read_error(frame: bytes) -> Error:
    """The error; if that end speaks another version and has no sentence that names both, with ours."""
    error = _decode_error(frame)
    options = error.options
    if error.type == "wrong-protocol" and isinstance(options, dict) and "why" not in options:
        supported = options.get("supported")
        if isinstance(supported, int) and supported != WIRE:
            return Error(error.type, {**options, "why": _why_not(supported)})
    return error


def _read_pieces(frame: bytes) -> Pieces:
    one = _ONE_PIECE.match(frame)
    if one is not None and frame.endswith(b"]"):
        piece, refusals = decode_piece(frame[one.end() : -1])
        births = tuple(map(Birth.decode, _decode_births(one[2]))) if len(one[2]) > 2 else ()
        return Pieces(int(one[1]), births, (piece,), refusals)
    try:
        message = _decode_pieces(frame)
        number, birth_texts, texts = message.number, message.births, list(map(bytes, message.pieces))
    except (ValueError, RecursionError):  # one event may be what the decoder refuses
        number, birth_texts, texts = _pieces_apart(frame)
    pieces: list[RawPiece] = []
    all_refusals: list[Refusal] = []
    count = 0
    for text in texts:
        piece, refusals = decode_piece(text)
        pieces.append(piece)
        all_refusals += refusals
        count += len(piece.items)
        if count > READ_TOGETHER:
            raise ValueError(f"more than {READ_TOGETHER} entries")
    return Pieces(number, tuple(map(Birth.decode, birth_texts)), tuple(pieces), tuple(all_refusals))


def _pieces_apart(frame: bytes) -> tuple[int, list[bytes], list[bytes]]:
    _, number, births, text, *_ = items_of(frame, _READ_ITEMS, APART_MARKS)
    texts = [text] if text.startswith(b"{") else items_of(text, READ_PIECES, APART_MARKS)
    if not texts:
        raise ValueError("no pieces")
    return _decode_count(number), _decode_births(births), texts


def _filling(dot: Dot, event: Entry) -> _Filling:
    ms, node, n = event.created
    return _Filling(*dot, ms, node, n, event.time, msgspec.Raw(event.extra or _NULL), msgspec.Raw(event.body))


def _read_fill(frame: bytes) -> Fill:
    try:
        message = _decode_fill(frame)
        number, texts = message.number, list(map(bytes, message.events))
    except (ValueError, RecursionError):
        _, count, events, *_ = items_of(frame, _READ_ITEMS, APART_MARKS)
        number, texts = _decode_count(count), items_of(events, MAX_FILLED, APART_MARKS)
    filled: list[tuple[Dot, Entry]] = []
    refusals: list[Refusal] = []
    for filling in map(_read_filling, texts):
        created, body, extra = (filling.ms, filling.node, filling.n), bytes(filling.event), bytes(filling.meta)
        try:
            entry = read_event(created, filling.time, body, b"" if extra == _NULL else extra)
        except (ValueError, RecursionError) as error:
            refusals.append(refused_event(error, created, body))
        else:
            filled.append(((filling.epoch, filling.seq), entry))
    return Fill(number, tuple(filled), tuple(refusals))


def _read_filling(text: bytes) -> _Filling:
    try:
        return _decode_filling(text)
    except (ValueError, RecursionError):
        *rest, meta, event = items_of(text, len(_Filling.__struct_fields__), APART_MARKS)
        filling = _decode_filling(b"[%b,null,null]" % b",".join(rest))
        return structs.replace(filling, meta=msgspec.Raw(meta), event=msgspec.Raw(event))


_READ: dict[bytes, Callable[[bytes], Message]] = {
    **{name.encode(): msgspec.json.Decoder(kind).decode for name, kind in _PLAIN.items()},
    b"pieces": _read_pieces,
    b"fill": _read_fill,
    b"show": _read_show,
    b"error": _read_error,
}
"""For each name the function that reads its frame, and raises ValueError or RecursionError."""
