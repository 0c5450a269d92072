"""Which events an end takes and refuses, and when it pauses."""

from __future__ import annotations

from typing import Any

import pytest

from peers.events.version_vector import VersionVector
from peers.protocol.sync import WINDOW
from peers.stores.memory import MemoryStore
from tests.support.pair import HeldDisk, Mailbox, Stranger, hello, wire_event

# Taking


def test_reading_pauses_for_a_sender_that_exceeds_the_window() -> None:
    store = MemoryStore()
    disk = HeldDisk(store)
    stranger = Stranger(store=store, disk=disk).greet()
    disk.release()

    for number in range(1, 30):
        stranger.say("sync", number, *wire_event(number))
    assert stranger.connection.pauses == ["pause"]
    assert stranger.role.taking_count == WINDOW + 1
    assert disk.waiting == 1  # all in one transaction

    while disk.waiting:
        disk.release(1)

    assert stranger.connection.pauses[-1] == "resume"
    assert stranger.heard == [["synced", number] for number in range(1, 30)]
    assert len(stranger.log.types) == 29


def test_messages_of_one_commit_are_answered_once() -> None:
    store, mailbox = MemoryStore(), Mailbox()
    disk = HeldDisk(store)
    stranger = Stranger(store=store, disk=disk, turn=mailbox.turn).greet()
    mailbox.work()
    disk.release()
    mailbox.work()
    stranger.heard.clear()
    for number in range(1, 4):
        stranger.say("sync", number, *wire_event(number))
    mailbox.work()

    disk.release()
    mailbox.work()

    assert stranger.heard == [["synced", 3]]
    assert len(stranger.log.types) == 3


@pytest.mark.parametrize(
    ("marks", "answers"), [((1, 5, 3), [3]), ((2, 4, 4), [4, 4]), ((4, 2, 4), [4, 4]), ((7, 7, 9), [9])]
)
def test_the_answer_to_one_commit_covers_marks_that_repeat_or_fall(marks: tuple[int, ...], answers: list[int]) -> None:
    store, mailbox = MemoryStore(), Mailbox()
    disk = HeldDisk(store)
    stranger = Stranger(store=store, disk=disk, turn=mailbox.turn).greet()
    mailbox.work()
    disk.release()
    mailbox.work()
    stranger.heard.clear()
    for number, mark in enumerate(marks, 1):
        stranger.say("sync", mark, *wire_event(number))
    mailbox.work()

    disk.release()
    mailbox.work()

    assert stranger.heard == [["synced", mark] for mark in answers]
    in_flight = list(marks)
    for answer in answers:  # what the sender takes off its list
        del in_flight[: in_flight.index(answer) + 1]
    assert in_flight == []


def test_an_answer_that_waits_for_its_turn_is_not_sent_on_the_next_link() -> None:
    mailbox = Mailbox()
    stranger = Stranger(turn=mailbox.turn).greet()
    mailbox.work()
    stranger.say("sync", 1, *wire_event(1))
    while len(mailbox.waiting) > 1 or stranger.role.taking_count == 0:
        mailbox.work(1)
    stranger.theirs.disconnect()
    stranger.dialler.connect()
    stranger.greet()
    mailbox.work()

    assert ["synced", 1] not in stranger.heard
    stranger.say("sync", 2, *wire_event(2))
    mailbox.work()
    assert stranger.heard[-1] == ["synced", 2]


def test_a_pause_ends_with_the_link() -> None:
    store = MemoryStore()
    disk = HeldDisk(store)
    stranger = Stranger(store=store, disk=disk).greet()
    disk.release()
    for number in range(1, 30):
        stranger.say("sync", number, *wire_event(number))
    stranger.theirs.disconnect()
    disk.release()
    disk.is_holding = False

    stranger.dialler.connect()
    stranger.greet().say("sync", 99, *wire_event(99))

    assert stranger.heard == [["synced", 99]]


def test_an_empty_sync_is_acknowledged() -> None:
    stranger = Stranger().greet().say("sync", 7)

    assert stranger.heard == [["synced", 7]]
    assert stranger.role.other_synced == 7


TOO_LARGE = {"type": "b", "text": "x" * 300_000}


@pytest.mark.parametrize(
    "bad",
    [
        (TOO_LARGE, {"id": 1, "time": 1, "dot": ["e", 2]}),
        ({"type": 1}, {"id": 1, "time": 1, "dot": ["e", 2]}),
        ({}, {"id": 1, "time": 1, "dot": ["e", 2]}),
        (None, {"id": 1, "time": 1, "dot": ["e", 2]}),
        ("text", {"id": 1, "time": 1, "dot": ["e", 2]}),
        ({"type": "b"}, {"id": -(10**15), "time": 1, "dot": ["e", 2]}),
        ({"type": "b"}, {"id": 1, "time": -(10**15), "dot": ["e", 2]}),
        ({"type": "b"}, {"id": [1, "bad\nname", 0], "time": 1, "dot": ["e", 2]}),
        ({"type": "b"}, {"id": [1, "", 0], "time": 1, "dot": ["e", 2]}),
        ({"type": "b"}, {"id": [1, -1], "time": 1, "dot": ["e", 2]}),
        ({"type": "b"}, {"id": 10**30, "time": 1, "dot": ["e", 2]}),
        ({"type": "b"}, {"id": 1, "time": 1, "dot": ["e", 2], "app": {"added": 1}}),
        ({"type": "b"}, {"id": 1, "time": 1, "dot": ["e", 2], "app": []}),
        ({"type": "b"}, {"id": 1, "time": 1, "dot": ["e", 2], "app": {"x": "y" * 20_000}}),
    ],
    ids=lambda bad: str(bad)[:60],
)
def test_a_refused_event_is_acknowledged_and_stays_missing_without_blocking_others(bad: tuple[Any, Any]) -> None:
    stranger = Stranger().greet()
    sentences: list[str] = []
    stranger.role.on("refused", sentences.append)

    stranger.say("sync", 3, *wire_event(1, "a"), *bad, *wire_event(3, "c"))

    assert stranger.heard == [["synced", 3]]
    assert stranger.log.types == ["a", "c"]
    assert stranger.log.published.state.vector == VersionVector({"e": [(1, 1), (3, 3)]})
    assert len(sentences) == 1 and len(sentences[0]) < 400
    assert sentences[0].startswith("stranger sent an event that is not taken: event [")


def test_a_refused_event_is_asked_for_again_at_the_next_greeting() -> None:
    stranger = Stranger().greet().say("sync", 1, {"no": "type"}, wire_event(1)[1])
    stranger.theirs.disconnect()

    stranger.dialler.connect()
    stranger.heard.clear()
    stranger.say("connect", 5, "stranger", 0, {"peer": hello({"e": [[1, 1]]})})

    assert stranger.heard[0][4]["peer"]["vector"] == {}


def test_a_nested_event_over_the_limit_is_refused_alone() -> None:
    deep = '{"type":"b","x":' + "[" * 100 + "]" * 100 + "}"
    stranger = Stranger().greet()

    stranger.say_raw(f'["sync",1,{deep},{{"id":1,"time":1,"dot":["e",1]}}]'.encode())

    assert stranger.heard == [["synced", 1]]
    assert stranger.log.types == []


def test_an_event_may_have_a_numeric_length() -> None:
    stranger = Stranger().greet().say("sync", 1, *wire_event(1, length=5))

    assert stranger.log.entries[0].event == {"type": "a", "length": 5}
