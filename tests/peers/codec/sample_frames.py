"""Valid frames of all dialects, and the decoders that they are for."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from typing import Any, NamedTuple

from peers.codec.codec import Dialect
from peers.codec.logux_01 import Protocol1
from peers.codec.logux_5 import Protocol5
from peers.codec.logux_7 import Protocol7
from peers.codec.messages import (
    Connect,
    Connected,
    Debug,
    Error,
    Headers,
    Message,
    Options,
    Ping,
    Pong,
    Ready,
    Sync,
    Synced,
)
from peers.codec.pieces import raw_piece
from peers.codec.run_messages import (
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
    ShowWay,
    WantedEvents,
    Yours,
)
from peers.codec.runs import RunProtocol
from peers.errors import SyncError
from peers.events.ends import Fingerprint
from peers.events.entry import Entry, encode_event
from peers.events.epoch import Birth, EpochEnd
from peers.events.piece import Piece
from peers.events.proof import Block, Proof, Way
from peers.events.reconcile import Differ, Division, Part, Same

BIRTH = Birth(b"k" * 32, b"n" * 16)
EPOCH = BIRTH.epoch
HASH, SIGNATURE = b"h" * 32, b"s" * 64
END, MARKED = EpochEnd(7, b"e" * 16), EpochEnd(3, b"e" * 16, b"m" * 16)

TOKEN = re.compile(rb'-?\d+(?:\.\d+)?|"(?:[^"\\]|\\.)*"|true|false|null|[\[\]{},:]')


def entries(count: int, extra: bytes = b"") -> tuple[Entry, ...]:
    return tuple(
        Entry(
            (1_000_000 + number, "attic" if number % 3 else "left", number % 2),
            1_000_000 + number + number % 4 // 3,
            encode_event({"type": "note", "id": number, "of": {"text": ["\u00e4 b", None, 1.5, True]}}),
            extra if number % 2 else b"",
            ("e", number + 1),
        )
        for number in range(count)
    )


def piece(*items: Entry | bytes) -> Piece:
    return Piece(EPOCH, BIRTH, 3, 7, bytes(number % 4 for number in range(len(items))), items, HASH, SIGNATURE)


def of_wire_2() -> list[Message]:
    own, extra = entries(6), b'{"reasons":["x"],"indexes":["a"]}'
    block = Block(1, HASH, b"\0\1", (HASH, HASH), SIGNATURE)
    greeting = Greeting(
        boot="b",
        connection="c",
        held=("d",),
        newest={EPOCH: END, "cd" * 16: MARKED},
        rest=Fingerprint(3, HASH),
        yours={EPOCH: Yours(END, HASH, SIGNATURE)},
        hollow=WantedEvents.of([(EPOCH, 3), (EPOCH, 4)]),
        last_position=9,
    )
    short, mixed = raw_piece(piece(own[0])), raw_piece(piece(own[0], HASH, *entries(5, extra), HASH))
    return [
        RunConnect(2, "left", options=RunOptions(token="home", runs=greeting)),
        RunConnected(2, "left", (1_000_000, 1_000_001), RunOptions(runs=greeting)),
        Same({EPOCH: END, "cd" * 16: None}),
        Differ({EPOCH: MARKED}, (Part("", "77", Division(("3", "5"), bytes(48))), Part("77", "~", {EPOCH: END}))),
        RunHave({EPOCH: END}, ((EPOCH, 3, 4),), ((EPOCH, 9, 9),), anew=(EPOCH,)),
        Pieces(1, (BIRTH,), (short,)),
        Pieces(2, (), (mixed,)),
        Pieces(3, (BIRTH, BIRTH), (short, mixed, raw_piece(piece(HASH, HASH)))),
        Pieces(4, (), (raw_piece(piece(*entries(60, extra))),)),
        Fill(5, tuple(((EPOCH, number + 1), one) for number, one in enumerate(entries(4, extra)))),
        Heads(EPOCH, 9, ((3, END.head), (1, END.head)), True),
        ShowBlocks(BIRTH, (block, block)),
        Prove(Proof.of(BIRTH, block, Block(1, HASH, b"\0", (bytes(32),), SIGNATURE)).encode()),
        ShowWay(Way.of(EPOCH, 3, HASH, [(500, HASH), (2, HASH)]), (BIRTH.encode(),)),
        Decline((HASH, HASH)),
        AskReach(4000),
        Reached("timed out after 3 s"),
        Facts((b"a", b""), (HASH[:16],), is_last=True),
        *everywhere(),
    ]


def everywhere() -> list[Message]:
    return [
        Synced(7),
        Ping(1),
        Pong(3),
        Error("timeout", 5_000),
        Error("wrong-protocol", {"supported": 5, "used": 2}),
        Headers({"a": {"b": [1]}}),
        Debug("error", "a text"),
    ]


def of_others(batch: Callable[[int], Message]) -> list[Message]:
    options = Options(subprotocol=3, token="home")
    return [
        Connect(5, "left", 3, options),
        Connected(5, "left", (1_000_000, 1_000_001), options),
        *(batch(count) for count in (1, 4, 60)),
        *everywhere(),
    ]


def met(dialect: Dialect) -> Dialect:
    """The same, after the greetings."""
    dialect.other_node_id = "left"
    with suppress(SyncError):
        dialect.decode(
            b'["connected",%b,"left",[1000000,1000000]]' % (b"[0,1]" if isinstance(dialect, Protocol1) else b"5")
        )
    return dialect


def decoders() -> dict[str, Dialect]:
    return {
        "wire 2": met(RunProtocol()),
        "wire 2 of a stranger": RunProtocol(),
        "Logux 0.1": met(Protocol1("right")),
        "Logux 5": met(Protocol5("right")),
        "Logux 7": met(Protocol7("right")),
    }


class Sample(NamedTuple):
    """A valid frame, and the decoder that it is for."""

    decoder: str
    frame: bytes
    tokens: list[tuple[int, int]]
    """Where its values, brackets and commas are."""
    tree: list[Any]


@cache
def samples() -> list[Sample]:
    logux = of_others(lambda count: Sync(count, entries(count, b'{"reasons":["x"]}')))
    senders: dict[str, tuple[Dialect, list[Message]]] = {
        "wire 2": (RunProtocol(), of_wire_2()),
        "Logux 0.1": (met(Protocol1("left")), logux),
        "Logux 5": (met(Protocol5("left")), logux),
        "Logux 7": (met(Protocol7("left")), [*logux, Ready(4)]),
    }
    found = []
    for name, (dialect, messages) in senders.items():
        for message in messages:
            frame = dialect.encode(message)
            sample = Sample(name, frame, [one.span() for one in TOKEN.finditer(frame)], json.loads(frame))
            found += [sample] * (4 if isinstance(message, (Pieces, Fill, Sync, RunConnect)) else 1)
    return found
