"""Messages of wire 2 and their frames, both ways."""

from __future__ import annotations

import json
from base64 import b64encode
from typing import Any

import pytest
from hypothesis import given

from peers.codec.messages import Custom, Error, Headers, Message, Ping, Pong, Synced, name_of
from peers.codec.pieces import raw_piece
from peers.codec.run_messages import (
    FACTS_BYTES,
    MAX_SPANS,
    NODE_FRAME_BYTES,
    READ_TOGETHER,
    STRANGER_BYTES,
    AskReach,
    Decline,
    Facts,
    Fill,
    Greeting,
    Heads,
    Pieces,
    Prove,
    Reached,
    RunConnect,
    RunConnected,
    RunHave,
    RunOptions,
    ShowBlocks,
    WantedEvents,
    Yours,
    fill_groups,
    piece_groups,
    spans_of,
)
from peers.codec.runs import RunProtocol
from peers.errors import SyncError
from peers.events.created import MAX_MS
from peers.events.ends import Fingerprint
from peers.events.entry import MAX_EVENT_BYTES, MAX_EXTRA_BYTES, MAX_NESTING, Entry
from peers.events.epoch import Birth, EpochEnd
from peers.events.piece import Piece
from peers.events.proof import Block
from peers.events.reconcile import Same
from tests.peers.codec.run_values import messages

EPOCH = "ab" * 16
HEAD, END, KEY, SIGNATURE = b"h" * 32, EpochEnd(7, b"e" * 16), b"k" * 32, b"s" * 64
BIRTH = Birth(KEY, b"n" * 16)
REST = Fingerprint(0, HEAD)
EVENT = Entry((5, "attic", 0), 5, b'{"type":"a"}')
PIECE = Piece(BIRTH.epoch, BIRTH, 1, 1, b"\0", (EVENT,), HEAD, SIGNATURE)
END_TEXT = [7, b64encode(END.head).decode(), ""]


def text(data: bytes) -> str:
    return b64encode(data).decode()


def dialect() -> RunProtocol:
    """That of an end whose other end has greeted."""
    known = RunProtocol()
    known.other_node_id = "attic"
    return known


def refused_frame(frame: bytes) -> None:
    with pytest.raises(SyncError) as caught:
        dialect().decode(frame)
    assert caught.value.type == "wrong-format"


@pytest.mark.parametrize(
    ("message", "frame"),
    [
        (RunConnect(2, "attic"), ["connect", 2, "attic", 0, {}]),
        (
            RunConnected(
                2,
                "attic",
                (10, 20),
                RunOptions(
                    token="home",
                    runs=Greeting(
                        boot="b",
                        connection="c",
                        held=("d",),
                        newest={EPOCH: END},
                        rest=REST,
                        yours={EPOCH: Yours(END, HEAD, SIGNATURE)},
                        hollow=WantedEvents(2, HEAD, ((EPOCH, 3, 4),)),
                        last_position=9,
                    ),
                ),
            ),
            [
                "connected",
                2,
                "attic",
                [10, 20],
                {
                    "token": "home",
                    "runs": {
                        "boot": "b",
                        "connection": "c",
                        "held": ["d"],
                        "newest": {EPOCH: END_TEXT},
                        "rest": [0, text(HEAD)],
                        "yours": {EPOCH: [END_TEXT, text(HEAD), text(SIGNATURE)]},
                        "hollow": [2, text(HEAD), [[EPOCH, 3, 4]]],
                        "last_position": 9,
                    },
                },
            ],
        ),
        (Same({EPOCH: END}), ["same", {EPOCH: END_TEXT}]),
        (RunHave({EPOCH: END}, ((EPOCH, 1, 2),)), ["have", {EPOCH: END_TEXT}, [[EPOCH, 1, 2]], [], None, []]),
        (RunHave({}, links=(b"l" * 8,)), ["have", {}, [], [], [text(b"l" * 8)], []]),
        (
            Fill(3, (((EPOCH, 9), EVENT),)),
            ["fill", 3, [[EPOCH, 9, 5, "attic", 0, 5, None, {"type": "a"}]]],
        ),
        (Heads(EPOCH, 9, ((3, END.head),), True), ["heads", EPOCH, 9, [[3, text(END.head)]], True]),
        (
            ShowBlocks(BIRTH, (Block(1, HEAD, b"\0", (HEAD,), SIGNATURE),)),
            ["show", text(BIRTH.encode()), [[1, text(HEAD), text(b"\0"), [text(HEAD)], text(SIGNATURE)]]],
        ),
        (Prove(b"proof"), ["proof", text(b"proof")]),
        (Decline((KEY,)), ["decline", [text(KEY)]]),
        (AskReach(4000), ["reach", 4000]),
        (Reached("refused"), ["reached", "refused", True]),
        (Reached("too many ask", was_dialled=False), ["reached", "too many ask", False]),
        (Facts((b"a", b"")), ["facts", [text(b"a"), ""], [], False]),
        (Facts((), (b"i" * 16,), is_last=True), ["facts", [], [text(b"i" * 16)], True]),
        (Synced(7), ["synced", 7]),
        (Ping(1), ["ping", 1]),
        (Pong(0, 3), ["pong", 0, 3]),
        (Custom("wave", ("left", 2)), ["wave", "left", 2]),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else "",
)
def test_a_message_and_its_frame(message: Message, frame: list[Any]) -> None:
    assert json.loads(dialect().encode(message)) == frame
    assert dialect().decode(json.dumps(frame, separators=(",", ":")).encode()) == message
    assert name_of(message) == frame[0]


def test_one_piece_stands_alone_and_several_in_a_list() -> None:
    one, births = raw_piece(PIECE), [text(BIRTH.encode())]

    frame = json.loads(dialect().encode(Pieces(4, (BIRTH,), (one,))))
    assert frame == ["pieces", 4, births, json.loads(one.raw)]
    frame = json.loads(dialect().encode(Pieces(4, (), (one, one))))
    assert frame == ["pieces", 4, [], [json.loads(one.raw)] * 2]


@given(messages)
def test_every_message_comes_back_as_it_was_sent(message: Message) -> None:
    assert dialect().decode(dialect().encode(message)) == message


@given(messages)
def test_white_space_between_items_changes_nothing_but_the_bytes_of_pieces(message: Message) -> None:
    spaced = json.dumps(json.loads(dialect().encode(message)), indent=1, ensure_ascii=False).encode()
    again = dialect().decode(spaced)

    if isinstance(message, Pieces) and isinstance(again, Pieces):
        assert [piece.head for piece in again.pieces] == [piece.head for piece in message.pieces]
    elif not isinstance(message, Fill):  # events are kept with their white space
        assert again == message


@pytest.mark.parametrize("value", [object(), {1j: 2}, "\ud800"], ids=["object", "key", "surrogate"])
def test_what_json_cannot_express_is_a_value_error(value: Any) -> None:
    for message in (Custom("own", (value,)), Error("own", value), Headers({"a": value})):
        with pytest.raises(ValueError, match="cannot be written as JSON"):
            dialect().encode(message)


def test_unknown_items_at_the_end_and_unknown_options_are_ignored() -> None:
    assert dialect().decode(b'["ping",1,"later versions"]') == Ping(1)
    assert dialect().decode(b'["decline",[],{"later":1}]') == Decline(())
    assert dialect().decode(b'["connect",2,"attic",0,{"later":[1]}]') == RunConnect(2, "attic")
    piece = raw_piece(PIECE)
    for shape in (b'["pieces",4,[],[%b],1]', b'["pieces",4,[],%b]\n'):
        assert dialect().decode(shape % piece.raw) == Pieces(4, (), (piece,))
    refused = b'["fill",3,[["%b",8,5,"attic",0,5,null,{"type":"\\ud83d"}]],"later"]' % EPOCH.encode()
    assert isinstance(dialect().decode(refused), Fill)


@pytest.mark.parametrize(
    "frame",
    [
        b"",
        b"{}",
        b"[]",
        b'["Ping"',
        b'["\\u0070ing",1]',
        b'["connect",-0,"attic",0]',
        b'["connect",2.0,"attic",0]',
        b'["ping",1.0]',
        b'["ping",-1]',
        b'["synced",' + b"9" * 5_000 + b"]",
        b'["have",{"%b":[1,"%b",""]}]' % (b"AB" * 16, text(END.head).encode()),
        b'["have",{"%b":[1,"%b",""]}]' % (b"ab" * 15, text(END.head).encode()),
        b'["have",{"%b":[1,"AAAA",""]}]' % (b"ab" * 16),
        b'["have",{"%b":[-1,"%b",""]}]' % (b"ab" * 16, text(END.head).encode()),
        b'["have",{},[["%b",0,1]]]' % (b"ab" * 16),
        b'["pieces",1,[],[]]',
        b'["pieces",1,["AAAA"],{}]',
        b'["pieces",1,[],{}]',
        b'["pieces",4,[],%b}' % raw_piece(PIECE).raw,
        b'["pieces",4,[],%b' % raw_piece(PIECE).raw,
        b'["pieces",4,[],%b,%b]' % (raw_piece(PIECE).raw, raw_piece(PIECE).raw[:-1]),
        b'["fill",1,[1]]',
        b'["fill",1,[["%b",1,5,"attic",0,5,null]]]' % (b"ab" * 16),
        b'["decline",["AAAA"]]',
        b'["facts",[1]]',
        b'["heads","%b",1,[[1,"AAAA"]]]' % (b"ab" * 16),
        b'["show","AAAA",[]]',
        b'["facts",["%b"]]' % b64encode(bytes(FACTS_BYTES + 1)),
        b'["have",{},[' + b",".join([b'["%b",1,1]' % (b"ab" * 16)] * (MAX_SPANS + 1)) + b"]]",
        b'["wave","\xff"]',
        b'["ping",1,"\xff"]',
        b'["ping",1]]',
        b'["wave",' + b"[" * 5_000 + b"]" * 5_000 + b"]",
    ],
    ids=lambda frame: frame[:40].decode(errors="replace"),
)
def test_what_is_no_message_is_of_the_wrong_format(frame: bytes) -> None:
    refused_frame(frame)


def test_a_message_has_no_more_entries_than_a_receiver_takes_at_once() -> None:
    piece = Piece(BIRTH.epoch, BIRTH, 1, 1, bytes(500), (HEAD,) * 500, HEAD, SIGNATURE)
    most = READ_TOGETHER // 500
    full = dialect().encode(Pieces(1, (), (raw_piece(piece),) * most))
    assert isinstance(dialect().decode(full), Pieces)

    refused_frame(dialect().encode(Pieces(1, (), (raw_piece(piece),) * (most + 1))))


def test_pieces_are_sent_in_groups_that_a_receiver_takes() -> None:
    body = b'{"type":"%b"}' % (b"x" * 200_000)
    large = raw_piece(Piece(BIRTH.epoch, BIRTH, 1, 1, b"\0", (Entry((5, "attic", 0), 5, body),), HEAD, SIGNATURE))
    full = raw_piece(Piece(BIRTH.epoch, BIRTH, 1, 1, bytes(500), (HEAD,) * 500, HEAD, SIGNATURE))
    short = raw_piece(PIECE)
    sent = [large, full, full, full, large, large, large, *[short] * 100]

    groups = list(piece_groups(sent))

    assert [piece for group in groups for piece in group] == sent
    assert len(groups) == 5
    for group in groups:
        message = Pieces(1, (BIRTH,) * len(group), group)
        assert dialect().decode(dialect().encode(message)) == message
    assert list(piece_groups([])) == []


def test_events_of_a_fill_are_sent_in_groups_that_a_receiver_takes() -> None:
    node, extra = "\N{GRINNING FACE}" * 200, b'{"x":"%b"}' % (b"x" * (MAX_EXTRA_BYTES - 8))
    large = Entry((MAX_MS, node, MAX_MS), MAX_MS, b'{"type":"%b"}' % (b"x" * (MAX_EVENT_BYTES - 11)), extra)
    small = Entry((MAX_MS, node, MAX_MS), MAX_MS, b'{"type":"a"}')
    sent = [((EPOCH, 2**52), event) for event in [small, large, large, small, *[small] * 1_100]]

    groups = list(fill_groups(sent))

    assert [event for group in groups for event in group] == sent
    for group in groups:
        assert dialect().decode(dialect().encode(Fill(1, group))) == Fill(1, group)


def test_a_stranger_may_say_less_at_once_than_a_node_that_is_known() -> None:
    padding = " " * STRANGER_BYTES
    frame = f'["connect",2,"attic",0{padding}]'.encode()

    assert isinstance(dialect().decode(frame), RunConnect)
    with pytest.raises(SyncError) as caught:
        RunProtocol().decode(frame)
    assert caught.value.type == "wrong-format"
    refused_frame(f'["ping",1{" " * NODE_FRAME_BYTES}]'.encode())


def test_only_what_is_typed_may_be_long_in_a_greeting() -> None:
    held = tuple(f"{number:016x}" for number in range(500))
    greeting = RunConnect(
        2,
        "attic",
        options=RunOptions(token="home", runs=Greeting(boot="b", connection="c", held=held, newest={}, rest=REST)),
    )
    many: Any = [0] * 300

    assert RunProtocol().decode(RunProtocol().encode(greeting)) == greeting
    for options in (RunOptions(token=many), RunOptions(subprotocol=many)):
        frame = RunProtocol().encode(RunConnect(2, "attic", options=options))
        with pytest.raises(SyncError):
            RunProtocol().decode(frame)
    with pytest.raises(SyncError):
        RunProtocol().decode(RunProtocol().encode(Custom("wave", tuple(many))))


def test_a_greeting_without_room_says_how_much_is_hollow_and_not_what() -> None:
    hollow = WantedEvents.of([(f"{number:032x}", 2**52) for number in range(MAX_SPANS)])
    held = tuple(f"{number:016x}" for number in range(200))
    greeting = Greeting(boot="b", connection="c", held=held, newest={}, rest=REST, hollow=hollow)

    frame = RunProtocol().encode(RunConnect(2, "attic", options=RunOptions(runs=greeting)))
    said = RunProtocol().decode(frame)

    assert isinstance(said, RunConnect) and said.options.runs is not None
    assert said.options.runs.hollow == WantedEvents(MAX_SPANS, hollow.digest)
    assert len(frame) <= STRANGER_BYTES


def test_a_message_that_would_not_be_read_is_not_sent() -> None:
    with pytest.raises(ValueError, match=f"message connect of [0-9]+ bytes: at most {STRANGER_BYTES} are read"):
        RunProtocol().encode(RunConnect(2, "attic", options=RunOptions(token="x" * STRANGER_BYTES)))
    with pytest.raises(ValueError, match=f"message wave of [0-9]+ bytes: at most {NODE_FRAME_BYTES} are read"):
        dialect().encode(Custom("wave", ("x" * NODE_FRAME_BYTES,)))


def test_dots_become_as_few_spans_as_possible() -> None:
    assert spans_of([("b", 1), ("a", 3), ("a", 1), ("a", 2), ("a", 2), ("a", 5)]) == [
        ("a", 1, 3),
        ("a", 5, 5),
        ("b", 1, 1),
    ]


def test_what_is_hollow_is_counted_and_each_part_of_it_changes_the_digest() -> None:
    sets = [[(EPOCH, 1)], [(EPOCH, 2)], [(EPOCH, 1), (EPOCH, 2)], [("cd" * 16, 1)], []]
    said = [WantedEvents.of(dots) for dots in sets]

    assert [hollow.count for hollow in said] == [1, 1, 2, 1, 0]
    assert len({hollow.digest for hollow in said}) == len(sets)
    many = WantedEvents.of([(EPOCH, 2 * number + 1) for number in range(MAX_SPANS + 1)])
    assert (many.count, many.spans) == (MAX_SPANS + 1, ())


@pytest.mark.parametrize(
    ("parts", "cause"),
    [
        (["attic", 0, 5, None, {"type": 7}], "bad-type"),
        (["attic", 0, 5, {"added": 1}, {"type": "a"}], "bad-type"),
        (["", 0, 5, None, {"type": "a"}], "bad-id"),
        (["attic", -1, 5, None, {"type": "a"}], "bad-id"),
        (["attic", 0, 2**53, None, {"type": "a"}], "bad-time"),
        (["attic", 0, 5, None, {"type": "\ud83d"}], "bad-text"),
        (["attic", 0, 5, {"x": "\ud83d"}, {"type": "a"}], "bad-text"),
    ],
    ids=str,
)
def test_an_event_of_a_fill_that_cannot_be_taken_is_refused_and_the_others_are_not(
    parts: list[Any], cause: str
) -> None:
    good = [EPOCH, 9, 5, "attic", 0, 5, None, {"type": "a"}]

    message = dialect().decode(json.dumps(["fill", 3, [[EPOCH, 8, 5, *parts], good]]).encode())

    assert isinstance(message, Fill)
    assert [(dot, event.created) for dot, event in message.events] == [((EPOCH, 9), EVENT.created)]
    assert [refusal.cause for refusal in message.refusals] == [cause]


def test_an_event_of_a_fill_that_is_nested_too_deep_for_the_decoder_is_refused() -> None:
    deep = b'{"type":"a","b":' + b"[" * 2_000 + b"]" * 2_000 + b"}"
    frame = b'["fill",3,[["%b",8,5,"attic",0,5,null,%b]]]' % (EPOCH.encode(), deep)

    message = dialect().decode(frame)

    assert isinstance(message, Fill)
    assert [(refusal.cause, refusal.why) for refusal in message.refusals] == [
        ("too-deep", f"event [5, 'attic', 0]: the event is nested deeper than {MAX_NESTING}")
    ]
