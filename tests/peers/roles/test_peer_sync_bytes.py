"""Pieces are encoded once, and passed on as they came."""

from __future__ import annotations

import pytest
from msgspec import structs

from peers.clock import ManualClock
from peers.codec.encoded import EncodedPieces
from peers.codec.pieces import raw_piece
from peers.codec.run_messages import MAX_TOGETHER, READ_TOGETHER, Pieces
from peers.roles.run_relaying import RELAY_MS
from tests.support.neighbour import Neighbour, sent_types
from tests.support.pair import NOW_MS, open_log


def test_a_piece_that_is_passed_on_has_the_bytes_that_came() -> None:
    log = open_log("home", ManualClock(NOW_MS))
    encoded = EncodedPieces()
    first = Neighbour(log=log, encoded=encoded).greet()
    second = Neighbour(log=log, encoded=encoded).greet()
    frames: list[bytes] = []
    second.theirs.on("message", frames.append)
    raw = raw_piece(first.own.write("a", "b"))
    spaced = structs.replace(raw, raw=raw.raw.replace(b'"events":[', b'"events":[ '))

    first.tell(Pieces(1, (first.own.piece().birth,), (spaced,)))
    second.clock.advance(RELAY_MS)

    assert sent_types(second.heard) == [["a", "b"]]
    assert any(spaced.raw in frame for frame in frames)


def test_a_piece_is_encoded_once_for_all_sessions_of_a_log() -> None:
    log, encoded = open_log("home", ManualClock(NOW_MS)), EncodedPieces()
    strangers = [Neighbour(log=log, encoded=encoded).greet() for _ in range(3)]

    log.add({"type": "a"})
    piece = log.read(lambda store: store.piece(strangers[0].role.epoch, 1)).get()
    assert piece is not None

    assert [sent_types(stranger.heard) for stranger in strangers] == [[["a"]]] * 3
    assert strangers[0].role.encode(piece) is strangers[1].role.encode(piece)


@pytest.mark.parametrize(("said", "most"), [({}, MAX_TOGETHER), ({"together": 9_999}, READ_TOGETHER)])
def test_a_message_has_as_many_entries_as_the_other_end_reads(said: dict[str, int], most: int) -> None:
    stranger = Neighbour()
    for _ in range(24):
        stranger.elsewhere(*["a" * 200] * 500)

    stranger.greet(forgets=False, **said)
    while stranger.role.state != "synchronized":
        stranger.confirms()

    counts = [len(types) for types in sent_types(stranger.heard)]
    assert (sum(counts), max(counts)) == (12_000, most)


def test_an_end_that_says_that_it_reads_no_entry_is_sent_them_as_any() -> None:
    stranger = Neighbour().greet(together=0)

    stranger.log.add({"type": "a"})

    assert sent_types(stranger.heard) == [["a"]]
