"""Pieces on the wire: as columns, once for all sessions; and what of them is refused."""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from peers.codec.pieces import PIECE_BYTES, RawPiece, decode_piece, encode_piece, fitting, raw_piece
from peers.codec.run_messages import NODE_FRAME_BYTES, Pieces
from peers.codec.runs import RunProtocol
from peers.events.created import MAX_MS
from peers.events.dot import MAX_FOREIGN_SEQ
from peers.events.entry import MAX_EVENT_BYTES, MAX_EXTRA_BYTES, MAX_NESTING, Entry, check_event
from peers.events.epoch import Birth
from peers.events.leaf import leaf_of
from peers.events.piece import Piece
from peers.events.run import ADOPTED_FORK, FURTHER, OWN, RUN_BYTES, RUN_ENTRIES
from tests.peers.codec.run_values import events, pieces

BIRTH = Birth(b"k" * 32, b"n" * 16)
HEAD, SIGNATURE = b"h" * 32, b"s" * 64
LEAVES = [bytes([number]) * 32 for number in range(3)]
EVENT = Entry((5, "attic", 0), 5, b'{"type":"a"}')


def piece_of(*items: Entry | bytes, kinds: bytes = b"", start: int = 1, first: int = 1) -> Piece:
    return Piece(BIRTH.epoch, BIRTH, first, start, kinds or bytes(len(items)), items, HEAD, SIGNATURE)


def read(piece: Piece) -> Piece:
    return decode_piece(encode_piece(piece))[0].piece(piece.birth)


def event(ms: int = 5, node: str = "attic", n: int = 0, time: int | None = None, **more: Any) -> Entry:
    return Entry((ms, node, n), ms if time is None else time, more.get("body", EVENT.body), more.get("extra", b""))


def body_of(size: int) -> bytes:
    return b'{"type":"%b"}' % (b"x" * (size - len(b'{"type":""}')))


# As it is written


BASE = {
    "epoch": BIRTH.epoch,
    "first": 1,
    "start": 1,
    "head": b64encode(HEAD).decode(),
    "sign": b64encode(SIGNATURE).decode(),
}


@pytest.mark.parametrize(
    ("items", "columns"),
    [
        ([event()], {"nodes": ["attic"], "ms": [5], "events": [{"type": "a"}]}),
        (
            [event(5), event(6, n=2, time=9)],
            {"nodes": ["attic"], "ms": [5, 6], "n": [0, 2], "time": [5, 9], "events": [{"type": "a"}] * 2},
        ),
        (
            [event(5, "b"), event(6, "a"), event(7, "b")],
            {"nodes": ["b", "a"], "node": [0, 1, 0], "ms": [5, 6, 7], "events": [{"type": "a"}] * 3},
        ),
        (
            [event(extra=b'{"x":1}'), event(extra=b'{"x":1}')],
            {"nodes": ["attic"], "ms": [5, 5], "metas": [{"x": 1}], "events": [{"type": "a"}] * 2},
        ),
        (
            [event(), event(extra=b'{"x":1}')],
            {
                "nodes": ["attic"],
                "ms": [5, 5],
                "metas": [None, {"x": 1}],
                "meta": [0, 1],
                "events": [{"type": "a"}] * 2,
            },
        ),
        (LEAVES[:2], {"leaves": b64encode(LEAVES[0] + LEAVES[1]).decode()}),
        (
            [LEAVES[0], event(), LEAVES[1]],
            {
                "leaves": b64encode(LEAVES[0] + LEAVES[1]).decode(),
                "gaps": [0, 2],
                "nodes": ["attic"],
                "ms": [5],
                "events": [{"type": "a"}],
            },
        ),
    ],
    ids=["event", "numbers", "nodes", "one-meta", "metas", "leaves", "both"],
)
def test_a_piece_and_its_columns(items: list[Entry | bytes], columns: dict[str, Any]) -> None:
    assert json.loads(encode_piece(piece_of(*items))) == BASE | columns
    assert read(piece_of(*items)) == piece_of(*items)


def test_kinds_are_written_where_not_all_are_own() -> None:
    piece = piece_of(event(), LEAVES[0], kinds=bytes([OWN, FURTHER]), start=7, first=2)

    assert json.loads(encode_piece(piece))["kinds"] == b64encode(piece.kinds).decode()
    assert read(piece) == piece


def test_a_piece_that_ends_at_a_cut_has_no_signature() -> None:
    piece = Piece(BIRTH.epoch, BIRTH, 1, 1, b"\0", (EVENT,), HEAD, b"")

    assert read(piece) == piece


@given(pieces())
def test_every_piece_comes_back_as_it_was_sent(piece: Piece) -> None:
    raw, refusals = decode_piece(encode_piece(piece))

    assert (raw.piece(piece.birth), refusals) == (piece, ())
    assert (raw.last, raw.raw) == (piece.last, encode_piece(piece))


@given(st.lists(events, min_size=1, max_size=6))
@example([event(5, body=b'{"type":"a",\n "b":[\n1,\n{"c":[{"d":[[]]}]}]}'), event(6)])
@example([event(body=b'{"type":"a","b":%b}' % (b"9" * 30))])
def test_events_are_kept_byte_by_byte(own: list[Entry]) -> None:
    piece = read(piece_of(*own))

    assert piece.items == tuple(own)
    assert piece.leaves == [leaf_of(one.created, one.time, one.extra, one.body) for one in own]


def test_a_relay_sends_the_bytes_that_came() -> None:
    spaced = json.dumps(json.loads(encode_piece(piece_of(event(), LEAVES[0]))), indent=2).encode()
    piece, _ = decode_piece(spaced)
    relay = RunProtocol()
    relay.other_node_id = "attic"

    frame = relay.encode(Pieces(1, (), (piece, raw_piece(piece_of(event())))))

    assert spaced in frame
    message = relay.decode(frame)
    assert isinstance(message, Pieces)
    assert [one.raw for one in message.pieces] == [spaced, encode_piece(piece_of(event()))]
    assert message.pieces[0] == piece


def test_events_of_one_node_share_its_name() -> None:
    first, second = read(piece_of(event(5), event(6))).items

    assert isinstance(first, Entry) and isinstance(second, Entry)
    assert first.created[1] is second.created[1]


# What cannot be an event


def deep(depth: int) -> bytes:
    return b'{"type":"a","b":' + b"[" * (depth - 1) + b"]" * (depth - 1) + b"}"


@pytest.mark.parametrize(
    ("bad", "cause"),
    [
        (event(body=b'{"type":7}'), "bad-type"),
        (event(body=b"{}"), "bad-type"),
        (event(body=b"null"), "bad-type"),
        (event(body=b"[1]"), "bad-type"),
        (event(body=b'{"type":"a","type":1}'), "bad-type"),
        (event(body=b'{"type":"a","b":"\\ud83d"}'), "bad-text"),
        (event(body=b'{"type":"a","b":1e999}'), "bad-text"),
        (event(body=b'{"type":"a","b":%b}' % (b"9" * 5_000)), "bad-text"),
        (event(body=b'{"type":"a","b":x}'), "bad-text"),
        (event(body=deep(MAX_NESTING + 1)), "too-deep"),
        (event(body=deep(3_000)), "too-deep"),
        (event(body=body_of(MAX_EVENT_BYTES + 1)), "too-large"),
        (event(node="x" * 201), "bad-id"),
        (event(node=""), "bad-id"),
        (event(node="a\nb"), "bad-id"),
        (event(MAX_MS + 1, time=5), "bad-id"),
        (event(n=2**64 - 1), "bad-id"),
        (event(time=MAX_MS + 1), "bad-time"),
        (event(extra=b'{"added":1}'), "bad-type"),
        (event(extra=b"[]"), "bad-type"),
        (event(extra=b'{"x":1e999}'), "bad-text"),
        (event(extra=b'{"x":"\\ud83d"}'), "bad-text"),
        (event(extra=b'{"x":"%b"}' % (b"x" * MAX_EXTRA_BYTES)), "too-large"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
@pytest.mark.parametrize("place", [0, 1])
def test_an_event_that_cannot_be_taken_is_refused_as_its_leaf_and_blocks_nothing(
    bad: Entry, cause: str, place: int
) -> None:
    good = event(6, extra=b'{"x":1}')
    items = (bad, LEAVES[0], good) if place == 0 else (LEAVES[0], good, bad)
    sent = piece_of(*items, start=7)

    raw, refusals = decode_piece(encode_piece(sent))

    leaf = leaf_of(bad.created, bad.time, bad.extra, bad.body)
    assert raw.items == tuple(leaf if item is bad else item for item in items)
    assert raw.refused == {7 if place == 0 else 9}
    assert [refusal.cause for refusal in refusals] == [cause]
    assert raw.piece(BIRTH).leaves == sent.leaves


def test_a_refusal_names_the_event() -> None:
    _, refusals = decode_piece(encode_piece(piece_of(event(body=b'{"type":7}'), event(node=""))))

    assert [refusal.why for refusal in refusals] == [
        "event [5, 'attic', 0]: an event needs a `type` that is a string",
        "an event of the type \"a\": its id cannot be taken: created [5, '', 0]: the node id must have 1 to 200 printable "
        "characters",
    ]


@pytest.mark.parametrize("depth", [2, 7, 8, 9, MAX_NESTING])
def test_events_may_be_nested_up_to_the_limit(depth: int) -> None:
    piece = piece_of(*[event(ms, body=deep(depth)) for ms in range(9)])

    assert read(piece) == piece


bodies = st.sampled_from(
    [
        EVENT.body,
        b"{}",
        b"[]",
        b"null",
        b'"type"',
        b'{"type":null}',
        b'{"Type":"a"}',
        b'{"type":"a","type":1}',
        b'{"type":1,"type":"a"}',
    ]
    + [b'{"type":"a","b":%b}' % (b"9" * digits) for digits in (15, 16, 17, 19, 20, 21, 308, 309, 310, 4_300, 4_301)]
    + [
        b'{"type":"a","b":%b}' % b
        for b in (b"1e308", b"1e309", b"-1e-999", b"01", b"-0", b"1.", b".5", b"+1", b"NaN", b"tru")
    ]
    + [
        b'{"type":"%b"}' % b
        for b in (b"\\ud800", b"\\ud83d\\ude00", b"\xff", b"\xed\xa0\x80", b"\x00", b"\n", b"\\x", "\u00e4".encode())
    ]
    + [b'{"type":"a","b":[[[[[[[[{"c":%b}]]]]]]]]}' % b for b in (b"1e309", b"1", b'"\\ud800"', b"")]
    + [deep(depth) for depth in (7, 8, 9, MAX_NESTING, MAX_NESTING + 1, 990, 1_100)]
    + [b'{"type":"a","b":[%b{}]}' % (b"[]," * 40), b'{"type":"a",\n"b":[\n1,\n2]}', b'{"a\xff":1,"type":"a"}']
)


@given(st.lists(bodies, min_size=1, max_size=4))
@settings(max_examples=200)
def test_events_that_come_together_are_judged_as_each_for_itself(own: list[bytes]) -> None:
    raw, _ = decode_piece(encode_piece(piece_of(*[event(body=body) for body in own])))

    assert [isinstance(item, Entry) for item in raw.items] == [is_event(body) for body in own]


def is_event(body: bytes) -> bool:
    try:
        check_event(body)
    except (ValueError, RecursionError):
        return False
    return True


# What is no piece

Change = Callable[[dict[str, Any]], Any]
SAMPLE = piece_of(event(5, "b"), LEAVES[0], event(6, "a", 1, 9, extra=b'{"x":1}'), kinds=bytes([0, 1, 2]))


@pytest.mark.parametrize(
    "change",
    [
        lambda piece: piece.pop("epoch"),
        lambda piece: piece.pop("head"),
        lambda piece: piece.pop("ms"),
        lambda piece: piece.pop("nodes"),
        lambda piece: piece.pop("node"),
        lambda piece: piece.pop("gaps"),
        lambda piece: piece.pop("leaves"),
        lambda piece: piece.pop("events"),
        lambda piece: piece.update(later=1),
        lambda piece: piece.update(epoch="AB" * 16),
        lambda piece: piece.update(epoch="ab" * 16 + "\n"),
        lambda piece: piece.update(epoch="ab" * 17),
        lambda piece: piece.update(first=0),
        lambda piece: piece.update(first=2),
        lambda piece: piece.update(first=1.0),
        lambda piece: piece.update(start=RUN_ENTRIES - 1),
        lambda piece: piece.update(first=MAX_FOREIGN_SEQ, start=MAX_FOREIGN_SEQ),
        lambda piece: piece.update(head="AAAA"),
        lambda piece: piece.update(sign="AAAA"),
        lambda piece: piece.update(kinds="AAAA"[:4] + "AA=="),
        lambda piece: piece.update(kinds="AAD/"),
        lambda piece: piece.update(kinds="AA=="),
        lambda piece: piece.update(ms=[5]),
        lambda piece: piece.update(ms=[5, -1]),
        lambda piece: piece.update(ms=[5, 2**64]),
        lambda piece: piece.update(ms=[5, 6.0]),
        lambda piece: piece.update(ms=[5, "6"]),
        lambda piece: piece.update(n=[5]),
        lambda piece: piece.update(n=[0, -1]),
        lambda piece: piece.update(time=[0, 1, 2]),
        lambda piece: piece.update(node=[0, 2]),
        lambda piece: piece.update(node=[0, -1]),
        lambda piece: piece.update(node=[0]),
        lambda piece: piece.update(meta=[0, 2]),
        lambda piece: piece.update(metas=[]),
        lambda piece: piece.update(leaves="AAAA"),
        lambda piece: piece.update(gaps=[3]),
        lambda piece: piece.update(gaps=[-1]),
        lambda piece: piece.update(gaps=[0, 1]),
        lambda piece: piece.update(events={}),
        lambda piece: piece.update(events=[{"type": "a"}] * 501),
    ],
)
@pytest.mark.parametrize("is_refused", [False, True], ids=["plain", "with-a-refused-event"])
def test_a_piece_whose_columns_do_not_fit_is_no_piece(change: Change, is_refused: bool) -> None:
    columns = json.loads(encode_piece(SAMPLE))
    if is_refused:
        columns["events"][0] = {"type": "\ud83d"}
    change(columns)

    with pytest.raises((ValueError, RecursionError)):
        decode_piece(json.dumps(columns).encode())


def test_gaps_rise() -> None:
    columns = json.loads(encode_piece(piece_of(LEAVES[0], event(), LEAVES[1])))
    for gaps in ([2, 0], [0, 0], [0]):
        with pytest.raises(ValueError, match=r"a leaf has|the leaves rise"):
            decode_piece(json.dumps(columns | {"gaps": gaps}).encode())


# How large it may be


def test_a_full_run_fits_into_a_message() -> None:
    node = "ä" * 31 + "~abcdefgh"
    each = RUN_BYTES // RUN_ENTRIES
    own = [
        event(
            MAX_MS - number, node + str(number), MAX_MS, MAX_MS, body=body_of(each - 16), extra=b'{"x":"%07d"}' % number
        )
        for number in range(RUN_ENTRIES)
    ]
    piece = piece_of(*own, kinds=bytes([ADOPTED_FORK]) * RUN_ENTRIES)

    assert fitting(piece) is piece
    assert len(framed(raw_piece(piece))) <= NODE_FRAME_BYTES


def test_a_run_of_one_large_event_fits_into_a_message() -> None:
    extra = b'{"x":"%b"}' % (b"x" * (MAX_EXTRA_BYTES - 8))
    piece = piece_of(event(body=body_of(MAX_EVENT_BYTES), extra=extra))

    assert fitting(piece) is piece
    assert read(piece) == piece
    assert len(framed(raw_piece(piece))) <= NODE_FRAME_BYTES


@pytest.mark.parametrize("node", ["attic", "\N{GRINNING FACE}" * 200])
def test_a_run_that_its_signer_made_too_large_goes_with_leaves_for_its_last_events(node: str) -> None:
    size = MAX_EVENT_BYTES if node == "attic" else RUN_BYTES // RUN_ENTRIES
    own = [event(ms, node[:-3] + f"{ms:03}", body=body_of(size)) for ms in range(RUN_ENTRIES)]
    piece = piece_of(*own)
    with pytest.raises(ValueError, match=f"a piece of [0-9]+ bytes, and at most {PIECE_BYTES} are sent"):
        encode_piece(piece)

    less = fitting(piece)

    kept = [item for item in less.items if isinstance(item, Entry)]
    assert kept and less.items[: len(kept)] == tuple(kept)
    assert less.leaves == piece.leaves
    assert len(framed(raw_piece(less))) <= NODE_FRAME_BYTES


def test_a_piece_that_is_too_large_to_be_relayed_is_not_taken() -> None:
    raw = encode_piece(piece_of(event()))

    assert decode_piece(raw[:-1] + b" " * (PIECE_BYTES - len(raw)) + b"}")[0].items == (EVENT,)
    with pytest.raises(ValueError, match=f"a piece of {PIECE_BYTES + 1} bytes"):
        decode_piece(raw[:-1] + b" " * (PIECE_BYTES - len(raw) + 1) + b"}")


def framed(piece: RawPiece) -> bytes:
    """A message with this piece, that a receiver can read."""
    dialect = RunProtocol()
    dialect.other_node_id = "attic"
    frame = dialect.encode(Pieces(MAX_MS, (BIRTH,), (piece,)))
    assert dialect.decode(frame) == Pieces(MAX_MS, (BIRTH,), (piece,))
    return frame
