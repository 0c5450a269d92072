"""Which events an end takes and refuses, and when it pauses."""

from __future__ import annotations

from typing import Any

import pytest

from peers.clock import ManualClock
from peers.codec.encoded import EncodedPieces
from peers.codec.pieces import raw_piece
from peers.codec.run_messages import Pieces, Prove
from peers.events.columns import Items
from peers.events.entry import Entry
from peers.events.leaf import hash_ahead
from peers.protocol.runs.taking import MAX_UNCOMMITTED, STEP_PIECES
from peers.protocol.sync import WINDOW
from peers.roles.run_peer import SHARED_MS
from peers.roles.run_relaying import RELAY_MS
from peers.stores.runs.memory import MemoryRunStore
from tests.support.neighbour import Author, Neighbour, forked, sent_pieces
from tests.support.pair import NOW_MS, HeldDisk, Mailbox, open_log
from tests.support.run_house import event

# Taking


def held_neighbour(mailbox: Mailbox | None = None) -> tuple[Neighbour, HeldDisk]:
    """A neighbour that has greeted; the disk works only when it is released."""
    store = MemoryRunStore()
    disk = HeldDisk(store)
    disk.is_holding = False
    options: dict[str, Any] = {} if mailbox is None else {"turn": mailbox.turn}
    stranger = Neighbour(store=store, disk=disk, **options)
    if mailbox is not None:
        mailbox.work()
    stranger.greet()
    if mailbox is not None:
        mailbox.work()
    stranger.heard.clear()
    disk.is_holding = True
    return stranger, disk


def test_messages_that_come_while_others_are_committed_share_the_next_commit() -> None:
    stranger, disk = held_neighbour()

    for _ in range(WINDOW):
        stranger.brings()
    assert disk.waiting == 1
    disk.release(1)
    assert stranger.heard == [["synced", 1]]
    assert disk.waiting == 1
    disk.release(1)

    assert stranger.heard == [["synced", 1], ["synced", WINDOW]]
    assert len(stranger.log.types) == WINDOW


@pytest.mark.parametrize("is_shared", [False, True])
def test_what_goes_on_with_an_epoch_is_hashed_while_the_disk_is_busy_unless_others_use_it(
    monkeypatch: pytest.MonkeyPatch, is_shared: bool
) -> None:
    hashed: list[int] = []

    def note(items: Items) -> None:
        hashed.append(len(items))
        hash_ahead(items)

    stranger, disk = held_neighbour()
    if is_shared:
        stranger.sends(*[Author(f"author{number}", number).write("much") for number in range(2 * STEP_PIECES)])
        stranger.log.read(lambda store: store.state)
        while disk.waiting:
            disk.release(1)
    monkeypatch.setattr("peers.protocol.runs.taking.hash_ahead", note)

    stranger.brings("a", "b")
    stranger.brings("c")
    stranger.own.write("left out")
    stranger.brings("d", "e", "f")
    stranger.sends(Author("new", 7).write("of a new epoch", "too"))
    assert hashed == ([] if is_shared else [1])
    while disk.waiting:
        disk.release()

    assert {*stranger.log.types} - {"much"} == {"a", "b", "c", "of a new epoch", "too"}


def test_of_each_message_so_much_is_hashed_ahead_that_others_are_heard_meanwhile(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    hashed: list[int] = []
    stranger, disk = held_neighbour()
    monkeypatch.setattr("peers.protocol.runs.taking.AHEAD_ENTRIES", 3)
    monkeypatch.setattr("peers.protocol.runs.taking.hash_ahead", lambda items: hashed.append(len(items)))

    stranger.brings("a")
    stranger.sends(*[stranger.own.write(*types) for types in ("bc", "d", "ef")])
    stranger.brings("g", "h")
    assert hashed == [2, 1, 2]  # and not the third piece
    while disk.waiting:
        disk.release()

    assert stranger.log.types == [*"abcdefgh"]


def test_messages_whose_numbers_fall_are_all_answered_by_the_last() -> None:
    stranger, disk = held_neighbour()
    pieces = stranger.own.write(), stranger.own.write()
    checked = stranger.role.check(0)

    for number, piece in zip((2, 1), pieces, strict=True):  # one was made before, and sent after
        births = (piece.birth,) if piece.start == 1 else ()
        stranger.tell(Pieces(number, births, (raw_piece(piece),)))
    stranger.say("pong", 2)
    while disk.waiting:
        disk.release()

    assert checked.is_done and stranger.role.taking_count == 0
    assert stranger.heard[-1] == ["synced", 1]


def test_messages_of_one_commit_are_answered_once() -> None:
    mailbox = Mailbox()
    stranger, disk = held_neighbour(mailbox)
    for _ in range(3):
        stranger.brings()
    disk.is_holding = False

    mailbox.work()
    disk.release()
    mailbox.work()

    assert stranger.heard[-1] == ["synced", 3]
    assert len(stranger.heard) <= 2
    assert len(stranger.log.types) == 3


def test_reading_pauses_while_too_much_waits_for_the_disk() -> None:
    stranger, disk = held_neighbour()
    stranger.brings()
    _, proof = forked()

    for _ in range(MAX_UNCOMMITTED):
        assert stranger.connection.pauses == []
        stranger.tell(Prove(proof.encode()))
    assert stranger.connection.pauses == ["pause"]
    while disk.waiting:
        disk.release(1)

    assert stranger.connection.pauses == ["pause", "resume"]
    assert stranger.heard[0] == ["synced", 1]


def test_a_pause_ends_with_the_link() -> None:
    stranger, disk = held_neighbour()
    stranger.brings()
    for _ in range(MAX_UNCOMMITTED):
        stranger.tell(Prove(forked()[1].encode()))
    stranger.theirs.disconnect()
    disk.release()
    disk.is_holding = False

    stranger.dialler.connect()
    stranger.greet(ends=stranger.own.ends).brings()

    assert stranger.heard == [["synced", 1]]


def test_a_commit_that_ends_after_its_link_is_not_answered_on_the_next() -> None:
    stranger, disk = held_neighbour()
    stranger.brings()
    stranger.theirs.disconnect()
    stranger.dialler.connect()
    stranger.heard.clear()

    disk.release()
    disk.is_holding = False
    stranger.greet(ends=stranger.own.ends, forgets=False)

    assert [each for each in stranger.heard if each[0] not in ("connected", "same")] == []
    stranger.brings()
    assert stranger.heard[-1] == ["synced", 1]
    assert len(stranger.log.types) == 2


@pytest.mark.parametrize("is_joined", [True, False])
def test_a_neighbour_that_brings_much_ends_its_commit_early_when_others_wait_for_the_disk(is_joined: bool) -> None:
    busy, disk = held_neighbour()
    disk.is_holding = False
    other = Neighbour(log=busy.log).greet()
    disk.is_holding = True
    authors = [Author(f"author{number}", number) for number in range(3 * STEP_PIECES)]

    busy.sends(*[author.write("much") for author in authors])
    if is_joined:
        other.brings("live")
    else:
        busy.log.read(lambda store: store.state)
    disk.release(1)

    assert busy.log.types == ["much"] * STEP_PIECES + ["live"] * is_joined
    disk.is_holding = False
    disk.release()
    assert busy.log.types.count("much") == len(authors)
    assert busy.heard[-1] == ["synced", 1]


def test_a_neighbour_that_brings_much_leaves_half_of_the_time_to_others_who_use_the_disk() -> None:
    busy, disk = held_neighbour()
    authors = [Author(f"author{number}", number) for number in range(3 * STEP_PIECES)]
    busy.sends(*[author.write("much") for author in authors])
    busy.log.read(lambda store: store.state)
    disk.is_holding = False

    busy.clock.advance(30)
    disk.release()
    assert len(busy.log.types) == STEP_PIECES
    busy.clock.advance(29)
    assert len(busy.log.types) == STEP_PIECES
    busy.clock.advance(1)

    assert len(busy.log.types) == len(authors)  # in no time, and no other node waits
    assert busy.heard[-1] == ["synced", 1]


def test_while_others_use_the_disk_each_commit_of_a_neighbour_that_brings_much_is_small() -> None:
    busy, disk = held_neighbour()
    commits: list[int] = []
    busy.log.on("commit", lambda commit: commits.append(len(commit.new)))
    authors = [Author(f"author{number}", number) for number in range(6 * STEP_PIECES)]
    first, second = authors[: 3 * STEP_PIECES], authors[3 * STEP_PIECES :]

    busy.sends(*[author.write("much") for author in first])
    busy.log.read(lambda store: store.state)
    while disk.waiting:
        disk.release(1)
    assert commits == [STEP_PIECES] * 3
    assert busy.heard[-1] == ["synced", 1]
    busy.clock.advance(SHARED_MS)
    busy.sends(*[author.write("much") for author in second])
    while disk.waiting:
        disk.release(1)

    assert commits == [STEP_PIECES] * 3 + [3 * STEP_PIECES]
    assert busy.heard[-1] == ["synced", 2]


def test_while_others_use_the_disk_an_event_that_comes_before_a_large_commit_does_not_wait_for_all_of_it() -> None:
    busy, disk = held_neighbour()
    authors = [Author(f"author{number}", number) for number in range(2 * STEP_PIECES)]
    busy.sends(*[author.write("before") for author in authors[:STEP_PIECES]])
    busy.log.read(lambda store: store.state)
    while disk.waiting:
        disk.release(1)

    busy.sends(*[author.write("much") for author in authors[STEP_PIECES:]])
    busy.log.add({"type": "own"})
    disk.release(1)

    assert busy.log.types == ["before"] * STEP_PIECES + ["own"]
    disk.release(1)
    assert busy.log.types.count("much") == STEP_PIECES


def test_an_epoch_that_waits_for_its_first_commit_goes_on_after_a_message_of_another_kind() -> None:
    stranger, disk = held_neighbour()
    stranger.sends(Author().write("before"))

    stranger.brings("first")
    stranger.tell(Prove(forked()[1].encode()))
    stranger.brings("second")
    disk.is_holding = False
    disk.release()

    assert stranger.log.types == ["before", "first", "second"]


def test_a_disk_that_fails_ends_the_link_and_nothing_is_acknowledged() -> None:
    stranger, disk = held_neighbour()
    stranger.brings()
    stranger.log.store.close()

    disk.release()

    assert stranger.heard == [["error", "store"]]  # the details are reported on this machine only
    assert [error.type for error in stranger.errors] == ["store"]
    assert not stranger.connected


# Events that are refused


@pytest.mark.parametrize(
    "bad",
    [
        b'{"type":"b","text":"%b"}' % (b"x" * 300_000),
        b'{"type":1}',
        b"{}",
        b"null",
        b'"text"',
        b'{"type":"b","x":1e999}',
        b'{"type":"b","x":"\\ud83d"}',
        b'{"type":"b","x":' + b"[" * 100 + b"]" * 100 + b"}",
    ],
    ids=lambda bad: bad.decode()[:40],
)
def test_a_refused_event_is_acknowledged_and_counted_without_blocking_others(bad: bytes) -> None:
    stranger = Neighbour().greet()
    told: list[str] = []
    stranger.role.on("refused", told.append)

    stranger.own.put(event(1, "a"), Entry((2, "stranger", 0), 2, bad), event(3, "c"))
    stranger.sends(*stranger.own.pieces())

    assert stranger.heard[-1] == ["synced", 1]
    assert stranger.log.types == ["a", "c"]
    assert stranger.log.ends.get(stranger.own.epoch) == stranger.own.end
    assert (stranger.log.state.refused, stranger.log.state.hollow) == (1, 0)
    assert sum(stranger.log.refused_events.values()) == 1
    assert len(told) == 1 and len(told[0]) < 400
    assert told[0].startswith("stranger sent an event that is not taken: event [")
    assert (stranger.role.state, stranger.role.missing) == ("synchronized", 0)


def test_several_refused_events_of_a_message_are_told_in_one_sentence() -> None:
    stranger = Neighbour().greet()
    told: list[str] = []
    stranger.role.on("refused", told.append)

    stranger.sends(stranger.own.put(*[Entry((n, "stranger", 0), n, b"{}") for n in range(1, 6)]))

    assert len(told) == 1 and told[0].endswith("(and 4 more of this message)")
    assert sum(stranger.log.refused_events.values()) == 5


def test_a_refused_event_is_passed_on_with_the_bytes_that_came() -> None:
    log, encoded = open_log("home", ManualClock(NOW_MS)), EncodedPieces()
    first, second = (Neighbour(log=log, encoded=encoded).greet() for _ in range(2))

    first.sends(first.own.put(event(1, "a"), Entry((2, "stranger", 0), 2, b'{"new":1}')))
    second.clock.advance(RELAY_MS)

    assert [piece["events"] for (piece,) in sent_pieces(second.heard)] == [[{"type": "a"}, {"new": 1}]]


def test_an_event_may_have_a_numeric_length() -> None:
    stranger = Neighbour().greet()
    stranger.sends(stranger.own.put(Entry((1, "stranger", 0), 1, b'{"type":"a","length":5}')))

    assert stranger.log.entries[0].event == {"type": "a", "length": 5}


def test_what_comes_inside_the_call_that_confirms_much_is_committed_once() -> None:
    busy, disk = held_neighbour()
    pieces = [Author(f"author{number}", number).write("much") for number in range(4 * STEP_PIECES)]

    def go_on(_frame: bytes) -> None:
        if busy.heard[-1] == ["synced", 1]:
            busy.sends(*pieces[2 * STEP_PIECES :])

    busy.theirs.on("message", go_on)
    busy.sends(*pieces[: 2 * STEP_PIECES])
    disk.release()
    disk.release()

    assert busy.log.types == ["much"] * len(pieces)
    assert busy.heard[-1] == ["synced", 2]
