"""Events between a Logux client and a Logux server."""

from __future__ import annotations

from typing import Any

import pytest

from peers.protocol.receive_window import MAX_TAKING
from peers.protocol.sync import WINDOW
from peers.stores.runs.memory import MemoryRunStore
from tests.support.logux_pair import event, every_dialect, logux, met_client, met_server, names
from tests.support.pair import NOW_MS, HeldDisk, fill, sent_types, syncs

# Sending and confirming


def test_each_event_is_sent_in_a_message_of_its_own_and_confirmed() -> None:
    pair = logux().meet()

    pair.left.log.add({"type": "a"})
    pair.left.log.add({"type": "b"})

    assert pair.left_sent == [
        ["sync", 1, {"type": "a"}, [NOW_MS, "left", 0]],
        ["sync", 2, {"type": "b"}, [NOW_MS, "left", 1]],
    ]
    assert pair.right_sent == [["synced", 1], ["synced", 2]]


@pytest.mark.parametrize(
    ("protocol", "meta"),
    [
        (5, {"id": 0, "time": 0, "reasons": ["log"]}),
        (7, {"id": "2o8-", "time": 0, "reasons": ["log"]}),
    ],
    ids=str,
)
def test_an_event_is_sent_in_the_form_of_newer_protocols(protocol: Any, meta: Any) -> None:
    pair = logux(protocol).meet()

    pair.left.log.add({"type": "a"})

    assert pair.left_sent == [["sync", 1, {"type": "a"}, meta]]
    assert pair.right_sent == [["synced", 1]]


@every_dialect
def test_both_ends_keep_the_marks_of_both_logs(protocol: Any) -> None:
    pair = logux(protocol).meet()

    pair.left.log.add({"type": "a"})
    pair.left.log.add({"type": "b"})

    assert (pair.left.synced, pair.right.other_synced) == (2, 2)


@every_dialect
def test_the_marks_never_go_back(protocol: Any) -> None:
    stranger = met_client(protocol)
    stranger.log.add({"type": "a"})
    stranger.log.add({"type": "b"})

    stranger.say("sync", 7).say("sync", 6).say("synced", 1).say("synced", 2).say("synced", 1)

    assert (stranger.role.synced, stranger.role.other_synced) == (2, 7)


@every_dialect
@pytest.mark.parametrize("number", [0, 2, 9_999])
def test_a_confirmation_of_what_was_not_sent_confirms_nothing(protocol: Any, number: int) -> None:
    stranger = met_client(protocol)
    stranger.log.add({"type": "a"})

    stranger.say("synced", number)

    assert stranger.role.synced == 0
    assert stranger.connected


@every_dialect
def test_the_event_synced_is_emitted_when_a_mark_changes(protocol: Any) -> None:
    stranger = met_client(protocol)
    seen: list[tuple[int, int]] = []
    stranger.role.on("synced", lambda: seen.append((stranger.role.synced, stranger.role.other_synced)))

    stranger.say("sync", 3).say("sync", 2).say("synced", 5)

    assert seen == [(0, 3), (0, 3), (0, 3)]


@every_dialect
def test_received_events_are_not_sent_back(protocol: Any) -> None:
    pair = logux(protocol).meet()

    pair.left.log.add({"type": "l"})
    pair.right.log.add({"type": "r"})

    assert sent_types(pair.left_sent) == [["l"]]
    assert sent_types(pair.right_sent) == [["r"]]


@every_dialect
def test_the_number_of_a_message_may_be_larger_than_that_of_its_event(protocol: Any) -> None:
    pair = logux(protocol, left={"out_filter": lambda event, _meta: event["type"] == "shown"})
    for name in ("hidden", "shown", "hidden"):
        pair.left.log.add({"type": name})

    pair.connect()

    assert [message[1] for message in syncs(pair.left_sent)] == [3]
    assert pair.left.synced == pair.right.other_synced == 3


@every_dialect
def test_a_message_may_have_several_events(protocol: Any) -> None:
    stranger = met_server(protocol)

    stranger.say("sync", 9, *event(protocol, 1), *event(protocol, 2, type_="b"))

    assert stranger.log.types == ["a", "b"]
    assert stranger.heard[-1] == ["synced", 9]
    assert stranger.role.other_synced == 9


def test_a_backlog_that_begins_with_the_newest_event_is_taken_in_the_order_of_writing() -> None:
    stranger = met_server()

    stranger.say("sync", 3, *event(0, 3, type_="c"), *event(0, 2, type_="b"), *event(0, 1, type_="a"))

    in_order_of_added = stranger.log.store.each(order="added")
    assert [entry.event["type"] for entry in in_order_of_added] == ["a", "b", "c"]


def test_a_long_backlog_in_one_frame_is_taken() -> None:
    stranger = met_server()
    rows = [item for number in range(2_500, 0, -1) for item in ({"type": "a"}, [number, "client", 0])]

    stranger.say("sync", 2_500, *rows)

    assert stranger.heard == [["synced", 2_500]]
    assert len(stranger.log.entries) == 2_500


@pytest.mark.parametrize(("protocol", "sizes"), [((0, 1), [1] * 250), (5, [250]), (7, [100, 100, 50])], ids=str)
def test_a_backlog_is_sent_oldest_first_in_messages_of_limited_size(protocol: Any, sizes: list[int]) -> None:
    pair = logux(protocol)
    written = fill(pair.left.log, 250)

    pair.connect()

    types = sent_types(pair.left_sent)
    assert [len(batch) for batch in types] == sizes
    assert sum(types, []) == written  # noqa: RUF017 - a few lists
    assert pair.right.log.types == written


def test_the_number_of_unconfirmed_messages_is_limited_by_pages() -> None:
    stranger = met_client(5)
    for number in range(WINDOW + 3):
        stranger.log.add({"type": f"{number}"})
    under_way = len(syncs(stranger.heard))

    for added in range(1, WINDOW + 1):
        stranger.say("synced", added)

    assert under_way == WINDOW
    assert sum(map(len, sent_types(stranger.heard))) == WINDOW + 3


@every_dialect
def test_a_known_event_is_confirmed_and_not_stored_again(protocol: Any) -> None:
    stranger = met_server(protocol)

    stranger.say("sync", 1, *event(protocol, 1)).say("sync", 2, *event(protocol, 1)).say("sync", 3, *event(protocol, 2))

    assert [message for message in stranger.heard if message[0] == "synced"] == [
        ["synced", 1],
        ["synced", 2],
        ["synced", 3],
    ]
    assert [entry.added for entry in stranger.log.entries] == [1, 2]


@every_dialect
def test_events_are_confirmed_only_after_the_commit(protocol: Any) -> None:
    store = MemoryRunStore()
    disk = HeldDisk(store)
    stranger = met_server(protocol, store=store, disk=disk)

    stranger.say("sync", 1, *event(protocol, 1))
    before = names(stranger.heard)
    disk.release()

    assert "synced" not in before
    assert stranger.heard[-1] == ["synced", 1]


@every_dialect
def test_messages_are_confirmed_in_the_order_of_arrival(protocol: Any) -> None:
    store = MemoryRunStore()
    disk = HeldDisk(store)
    stranger = met_server(protocol, store=store, disk=disk)
    for number in (1, 2, 3):
        stranger.say("sync", number, *event(protocol, number))

    while disk.waiting:
        disk.release()

    assert [message for message in stranger.heard if message[0] == "synced"] == [
        ["synced", 1],
        ["synced", 2],
        ["synced", 3],
    ]


def test_reading_pauses_when_commits_are_slow() -> None:
    store = MemoryRunStore()
    disk = HeldDisk(store)
    stranger = met_server(store=store, disk=disk)

    for number in range(1, MAX_TAKING + 10):
        stranger.say("sync", number, {"type": "a"}, [number, "client", 0])
    paused = list(stranger.connection.pauses)
    while disk.waiting:
        disk.release()

    assert paused == ["pause"]
    assert stranger.connection.pauses[-1] == "resume"
    assert stranger.role.other_synced == MAX_TAKING + 9


# Faulty messages


@pytest.mark.parametrize(
    "items",
    [
        [],
        [None],
        ["1"],
        [-1],
        [1, {"type": "a"}],
        [1, {"type": "a"}, [1, "client", 0], {"type": "b"}],
    ],
    ids=str,
)
def test_a_sync_of_the_wrong_shape_gets_an_error_and_is_not_confirmed(items: list[Any]) -> None:
    stranger = met_server().say("sync", *items)

    assert [message[:2] for message in stranger.heard] == [["error", "wrong-format"]]
    assert stranger.log.types == []


@pytest.mark.parametrize(
    ("event", "created"),
    [
        (None, [1, "client", 0]),
        ({}, [1, "client", 0]),
        ({"type": 1}, [1, "client", 0]),
        ({"type": "a"}, None),
        ({"type": "a"}, []),
        ({"type": "a"}, ["1", "client", 0]),
        ({"type": "a"}, [1, "client", "0"]),
        ({"type": "a"}, [1, "client", 0, 0]),
        ({"type": "a"}, {"id": 1, "time": 1}),
    ],
    ids=str,
)
def test_an_event_of_the_wrong_shape_is_refused_and_its_neighbours_are_taken(event: Any, created: Any) -> None:
    stranger = met_server()
    refused: list[str] = []
    stranger.role.on("refused", refused.append)

    stranger.say(
        "sync", 3, {"type": "before"}, [NOW_MS, "client", 0], event, created, {"type": "b"}, [NOW_MS, "client", 1]
    )

    assert stranger.heard == [["synced", 3]]
    assert stranger.log.types == ["before", "b"]
    assert len(refused) == 1


def test_an_event_that_is_refused_is_confirmed_and_the_others_are_taken() -> None:
    stranger = met_server()
    refused: list[str] = []
    stranger.role.on("refused", refused.append)

    stranger.say("sync", 1, {"type": "a", "text": "x" * 300_000}, [NOW_MS, "client", 0])
    stranger.log.add({"type": "ours"})

    assert stranger.heard == [["synced", 1], ["sync", 1, {"type": "ours"}, [NOW_MS, "home", 0]]]
    assert len(refused) == 1


@every_dialect
def test_a_message_without_events_is_confirmed_after_those_before_it(protocol: Any) -> None:
    store = MemoryRunStore()
    disk = HeldDisk(store)
    stranger = met_server(protocol, store=store, disk=disk)
    stranger.say("sync", 1, *event(protocol, 1)).say("sync", 2)
    before = names(stranger.heard)

    while disk.waiting:
        disk.release()

    assert "synced" not in before
    assert stranger.heard[-2:] == [["synced", 1], ["synced", 2]]
