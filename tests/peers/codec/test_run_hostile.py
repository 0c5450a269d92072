"""Frames that were damaged on purpose, over all decoders: each is a message, or refused by the one error that is declared.

A million of them: `pytest -n0 -s -m long tests/peers/codec/test_run_hostile.py`, in minutes.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import cache
from random import Random
from time import process_time
from typing import Any, NamedTuple

import pytest

from peers.codec.codec import Dialect
from peers.codec.logux_01 import Protocol1
from peers.codec.logux_5 import Protocol5
from peers.codec.logux_7 import Protocol7
from peers.codec.messages import (
    Connect,
    Connected,
    Debug,
    Error,
    Have,
    Headers,
    Hello,
    Message,
    Options,
    Ping,
    Pong,
    Ready,
    RunMessage,
    Sync,
    Synced,
    name_of,
)
from peers.codec.peer import PeerProtocol
from peers.codec.pieces import raw_piece
from peers.codec.run_messages import (
    Decline,
    Facts,
    Fill,
    Greeting,
    Heads,
    Hollow,
    Pieces,
    Prove,
    RunConnect,
    RunConnected,
    RunHave,
    RunOptions,
    ShowBlocks,
    Yours,
)
from peers.codec.runs import RunProtocol
from peers.errors import MAX_SHOWN, SyncError
from peers.events.ends import Fingerprint
from peers.events.entry import Entry, encode_event
from peers.events.epoch import Birth, EpochEnd
from peers.events.leaf import HASH_BYTES
from peers.events.piece import Piece
from peers.events.proof import Block, Proof
from peers.events.reconcile import Differ, Division, Part, Same

FRAMES = 8_000
MANY_FRAMES = 1_000_000
SLOW_SECONDS = 0.05
"""Of one frame, at most."""
TRIES = 5
"""A frame that took longer is decoded again so often: other processes and the garbage collector take time too."""
LARGE = 0.002
"""The part of the mutations that make a frame of more than 20 KB."""

BIRTH = Birth(b"k" * 32, b"n" * 16)
EPOCH = BIRTH.epoch
HASH, SIGNATURE = b"h" * 32, b"s" * 64
END, MARKED = EpochEnd(7, b"e" * 16), EpochEnd(3, b"e" * 16, b"m" * 16)

TOKEN = re.compile(rb'-?\d+(?:\.\d+)?|"(?:[^"\\]|\\.)*"|true|false|null|[\[\]{},:]')
VALUES = [
    *(b"0", b"1", b"-1", b"-0", b"1.0", b"1.5", b"1e3", b"-1e-999", b"true", b"false", b"null", b"[]", b"{}", b'""'),
    *(str(2**power + more).encode() for power in (31, 52, 53, 63, 64, 65, 200) for more in (-1, 0, 1)),
    *(b'"\\ud83d\\ude00"', b'"\\u0000"', b'"AAAA"', b'"AAA"', b'"' + b"A" * 43 + b'="', b'"' + b"A" * 86 + b'=="'),
    *(
        b'"' + b"0" * 32 + b'"',
        b'"pieces"',
        b'"sync"',
        b'"attic"',
        b'"%b"' % (b"x" * 201),
        b'{"type":7}',
        b'{"type":"b"}',
    ),
    *(
        b"[" * 33 + b"]" * 33,
        b'{"a":' * 33 + b"1" + b"}" * 33,
        b'{"type":"a","b":[[[[[[1]]]]]]}',
        b"[[{}]]",
        b'{"added":1}',
    ),
    b'{"type":"a",\n"b":\t[ ]}',
]
BROKEN = [
    *(
        b"",
        b"1e999",
        b"-1e999",
        b"00",
        b"+1",
        b"0x1",
        b"NaN",
        b"nul",
        b'"',
        b"[",
        b"]",
        b"{",
        b"}",
        b",",
        b":",
        b"\\",
        b"//",
    ),
    *(
        b'"\xff"',
        b'"\xed\xa0\x80"',
        b'"\\ud83d"',
        b'"\x00"',
        b'"\\x"',
        b"\xef\xbb\xbf",
        b'"a":',
        b'"type":"b"',
        b" \t\n",
    ),
    *(
        b"[" * 100,
        b"]" * 100,
        b"9" * 400,
        b"[" * 2_000 + b"]" * 2_000,
        b'{"type":"\\ud83d"}',
        b'{"type":"a","b":1e999}',
    ),
    b'{"type":"a","b":"\xff"}',
]
LARGE_TOKENS = [
    b"9" * 5_000,
    b"-" + b"9" * 5_000,
    b"[" * 5_000 + b"]" * 5_000,
    b"[" * 100_000,
    b'{"a":' * 5_000 + b"1" + b"}" * 5_000,
    b"[" + b"0," * 50_000 + b"0]",
    b"[" + b"{}," * 50_000 + b"{}]",
    b"[" + b'{"type":"a"},' * 5_000 + b'{"type":"a"}]',
    b"[" + b'"AAAA",' * 20_000 + b'"AAAA"]',
    b'"%b"' % (b"A" * 200_000),
    b'"%b"' % (b"\\ud83d" * 20_000),
    b'"%b"' % ("\u00e4".encode() * 100_000),
    b"{" + b",".join(b'"%d":1' % number for number in range(20_000)) + b"}",
    b'{"type":"a","b":"%b"}' % (b"x" * 300_000),
]


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
        hollow=Hollow.of([(EPOCH, 3), (EPOCH, 4)]),
        last_position=9,
    )
    short, mixed = raw_piece(piece(own[0])), raw_piece(piece(own[0], HASH, *entries(5, extra), HASH))
    return [
        RunConnect(2, "left", options=RunOptions(token="home", runs=greeting)),
        RunConnected(2, "left", (1_000_000, 1_000_001), RunOptions(runs=greeting)),
        Same({EPOCH: END, "cd" * 16: None}),
        Differ({EPOCH: MARKED}, (Part("", "77", Division(("3", "5"), bytes(48))), Part("77", "~", {EPOCH: END}))),
        RunHave({EPOCH: END}, ((EPOCH, 3, 4),), ((EPOCH, 9, 9),)),
        Pieces(1, (BIRTH,), (short,)),
        Pieces(2, (), (mixed,)),
        Pieces(3, (BIRTH, BIRTH), (short, mixed, raw_piece(piece(HASH, HASH)))),
        Pieces(4, (), (raw_piece(piece(*entries(60, extra))),)),
        Fill(5, tuple(((EPOCH, number + 1), one) for number, one in enumerate(entries(4, extra)))),
        Heads(EPOCH, 9, ((3, END.head), (1, END.head)), True),
        ShowBlocks(BIRTH, (block, block)),
        Prove(Proof.of(BIRTH, block, Block(1, HASH, b"\0", (bytes(32),), SIGNATURE)).encode()),
        Decline((HASH, HASH)),
        Facts((b"a", b"")),
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


def of_wire_1() -> list[Message]:
    hello = Hello(boot="b", connection="c", held=["d"], vector={"e": [(1, 7), (9, 9)]}, last_position=4)
    have = Have({"e": [(1, 7)], "f": [(2, 2)]})
    return [Connect(5, "left", 0, Options(token="home", peer=hello)), have, *of_others(lambda n: Sync(n, entries(n)))]


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
        "wire 1": met(PeerProtocol("right")),
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
        "wire 1": (met(PeerProtocol("left")), of_wire_1()),
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


def hostile(random: Random) -> Iterator[tuple[str, bytes]]:
    """Frames without end, and the decoders that they are for; each is a valid one with one to four changes."""
    while True:
        sample = random.choice(samples())
        if random.random() < 0.3:
            yield sample.decoder, damaged(sample, random)
            continue
        tokens: list[bytes] = []
        tree: Any = sample.tree
        for _ in range(random.choice((1, 1, 1, 2, 3, 4))):
            tree = changed(tree, random, tokens)
        frame = json.dumps(tree, separators=(",", ":"), ensure_ascii=random.random() < 0.1).encode(errors="replace")
        for number, token in enumerate(tokens):
            frame = frame.replace(b'"<%d>"' % number, token)
        yield sample.decoder, frame


def changed(tree: Any, random: Random, tokens: list[bytes]) -> Any:
    """The same value but for one part. A text `<n>` stands for tokens[n]."""
    if isinstance(tree, list) and tree and random.random() < 0.9:
        items = list(tree)
        at = random.randrange(len(items))
        change = random.randrange(12)
        if change == 0:
            del items[at]
        elif change == 1:
            items.insert(at, items[random.randrange(len(items))])
        elif change == 2:
            items[at : at + 1] = [items[at]] * random.choice((2, 3, 40, 600) if random.random() < 0.1 else (2, 3))
        elif change == 3:
            items.append(hostile_value(random, tokens))
        elif change == 4:
            random.shuffle(items)
        else:
            items[at] = changed(items[at], random, tokens)
        return items
    if isinstance(tree, dict) and tree and random.random() < 0.9:
        members = dict(tree)
        key = random.choice(list(members))
        change = random.randrange(8)
        if change == 0:
            del members[key]
        elif change == 1:
            members[random.choice(("type", "events", "added", "ab" * 16, key + "x"))] = members[key]
        elif change == 2:
            members[random.choice(("later", "type", key))] = hostile_value(random, tokens)
        else:
            members[key] = changed(members[key], random, tokens)
        return members
    if isinstance(tree, str) and tree and random.random() < 0.3:
        at = random.randrange(len(tree))
        return tree[:at] + random.choice(("", "A", "=", "/", "\u00e4", "\n", " ")) + tree[at + random.randrange(2) :]
    if isinstance(tree, int) and random.random() < 0.4:
        return tree + random.choice((-1, 1, -1_000_000, 1_000_000, 2**40, 2**53, -(2**53)))
    return hostile_value(random, tokens)


def hostile_value(random: Random, tokens: list[bytes]) -> str:
    chance = random.random()
    tokens.append(random.choice(LARGE_TOKENS if chance < LARGE else BROKEN if chance < 0.2 else VALUES))
    return f"<{len(tokens) - 1}>"


def damaged(sample: Sample, random: Random) -> bytes:
    """The frame with a change of its bytes, wherever they are."""
    frame, (first, end) = bytearray(sample.frame), random.choice(sample.tokens)
    change = random.randrange(6)
    if change == 0:
        frame[first:end] = random.choice(BROKEN)
    elif change == 1:
        del frame[first : end + random.randrange(3)]
    elif change == 2:
        frame[first:first] = frame[first:end] + random.choice((b",", b":", b""))
    elif change == 3:
        for _ in range(random.randint(1, 4)):
            frame[random.randrange(len(frame))] ^= 1 << random.randrange(8)
    elif change == 4:
        other = random.choice(samples())
        start = random.choice(other.tokens)[0]
        frame[first:end] = other.frame[start : random.choice(other.tokens)[1]]
    else:
        del frame[random.randrange(len(frame)) :]
    return bytes(frame)


def take(dialect: Dialect, frame: bytes) -> str:
    """Decode it: the name of the message, or of the error. It is a value that can be used, and an error that can be sent."""
    try:
        message = dialect.decode(frame)
    except SyncError as error:
        assert error.type == "wrong-format" or (error.type == "wrong-protocol" and isinstance(dialect, RunProtocol))
        assert len(str(error)) <= 2 * MAX_SHOWN
        dialect.encode(Error(error.type, error.options))
        return error.type
    if isinstance(message, RunMessage):
        use(dialect, message)
    return name_of(message) if type(message).__name__ != "Custom" else "own"


def use(dialect: Dialect, message: RunMessage) -> None:
    if isinstance(message, Pieces):
        for raw in message.pieces:
            whole = raw.piece(BIRTH)
            assert {len(leaf) for leaf in whole.leaves} == {HASH_BYTES}
            assert len(whole.kinds) == len(whole.items) and whole.refused <= {*range(whole.start, whole.last + 1)}
    if isinstance(message, Prove):
        with suppress(ValueError):
            Proof.decode(message.proof)
    assert dialect.decode(dialect.encode(message)) == without_refusals(dialect, message)


def without_refusals(dialect: Dialect, message: RunMessage) -> RunMessage:
    """What a relay passes on of a fill is what was taken."""
    return Fill(message.number, message.events) if isinstance(message, Fill) else message


def play(frames: int, seed: int) -> tuple[dict[str, Counter[str]], dict[str, float]]:
    """What became of so many frames by decoder, and the longest time of one, in seconds of this process.

    Each is given to the decoder that it is for, and to another one.
    """
    outcomes, longest = {name: Counter[str]() for name in decoders()}, dict.fromkeys(decoders(), 0.0)
    random = Random(seed)
    source, dialects, names = hostile(random), decoders(), list(decoders())
    for number in range(frames):
        own, frame = next(source)
        if number % 100 == 0:
            dialects = decoders()  # those of Logux keep the times of a `connected`
        for name in (own, random.choice(names)):
            begin = process_time()
            try:
                outcomes[name][take(dialects[name], frame)] += 1
            except Exception as error:
                raise AssertionError(f"{name}, frame {number} of seed {seed}: {frame[:2_000]!r}") from error
            seconds = process_time() - begin
            if seconds > SLOW_SECONDS:
                seconds = min(seconds, *(again(dialects[name], frame) for _ in range(TRIES)))
            longest[name] = max(longest[name], seconds)
    return outcomes, longest


def again(dialect: Dialect, frame: bytes) -> float:
    begin = process_time()
    take(dialect, frame)
    return process_time() - begin


def check(outcomes: dict[str, Counter[str]]) -> None:
    """The frames were neither all refused nor all taken."""
    for name, counted in outcomes.items():
        assert counted["wrong-format"] > 0
        assert sum(counted.values()) > 1.05 * counted["wrong-format"], name
    known = {name_of(message) for message in of_wire_2()}
    assert known <= outcomes["wire 2"].keys()


def test_every_sample_is_read_by_the_dialect_it_is_for() -> None:
    for sample in samples():
        assert take(decoders()[sample.decoder], sample.frame) == sample.tree[0]


def test_a_damaged_frame_is_a_message_or_refused_by_the_declared_error() -> None:
    outcomes, _ = play(FRAMES, 1)

    check(outcomes)


@pytest.mark.long
@pytest.mark.timeout(7_200)
def test_a_million_damaged_frames_are_messages_or_refused_and_none_takes_long() -> None:
    outcomes, longest = play(MANY_FRAMES, 2)

    for name, counted in outcomes.items():
        print(f"{name}: longest {1_000 * longest[name]:.1f} ms; {counted.most_common()}")
    check(outcomes)
    assert max(longest.values()) < SLOW_SECONDS
