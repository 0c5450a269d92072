"""Frames that were damaged on purpose, over all decoders: each is a message, or refused by the one error that is declared.

A million of them: `pytest -n0 -s -m long tests/peers/codec/test_run_hostile.py`, in minutes.
"""

from __future__ import annotations

from collections import Counter
from contextlib import suppress
from random import Random
from time import process_time

import pytest

from peers.codec.codec import Dialect
from peers.codec.messages import Error, RunMessage, name_of
from peers.codec.run_messages import Fill, Pieces, Prove, ShowWay
from peers.codec.runs import RunProtocol
from peers.errors import MAX_SHOWN, SyncError
from peers.events.leaf import HASH_BYTES
from peers.events.proof import Proof
from tests.peers.codec.hostile_frames import hostile
from tests.peers.codec.sample_frames import BIRTH, decoders, of_wire_2, samples

FRAMES = 8_000
MANY_FRAMES = 1_000_000
SLOW_SECONDS = 0.05
"""Of one frame, at most."""
TRIES = 5
"""A frame that took longer is decoded again so often: other processes and the garbage collector take time too."""


def take(dialect: Dialect, frame: bytes) -> str:
    """Decode it: the name of the message, or of the error. It is a value that can be used, and an error that can be sent."""
    try:
        message = dialect.decode(frame)
    except SyncError as error:
        assert error.type == "wrong-format" or (error.type == "wrong-protocol" and isinstance(dialect, RunProtocol))
        assert not isinstance(error.options, str) or len(error.options) <= MAX_SHOWN
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
    if isinstance(message, ShowWay):
        message.way.heads()
    if isinstance(message, Fill):
        message = Fill(message.number, message.events)  # what is refused is not passed on
    assert dialect.decode(dialect.encode(message)) == message


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
                raise AssertionError(f"{name}, frame {number} of seed {seed}: {frame[:300]!r}") from error
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
    outcomes, _ = play(FRAMES, 3)

    check(outcomes)


@pytest.mark.long
@pytest.mark.timeout(7_200)
def test_a_million_damaged_frames_are_messages_or_refused_and_none_takes_long() -> None:
    outcomes, longest = play(MANY_FRAMES, 2)

    for name, counted in outcomes.items():
        print(f"{name}: longest {1_000 * longest[name]:.1f} ms; {counted.most_common()}")
    check(outcomes)
    assert max(longest.values()) < SLOW_SECONDS
