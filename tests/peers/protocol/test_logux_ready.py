"""What protocol 7 adds: `ready`, and messages of several events."""

from __future__ import annotations

from typing import Any

import pytest

from peers.codec.logux_7 import to_digits
from peers.stores.runs.memory import MemoryRunStore
from tests.support.logux_pair import Asked, client, logux, meet_again, met_client, met_server, names
from tests.support.pair import NOW_MS, HeldDisk, fill, sent_types, syncs


def readies(messages: list[Any]) -> list[Any]:
    return [message for message in messages if message[0] == "ready"]


def test_each_end_sends_ready_once_after_its_backlog() -> None:
    pair = logux(7)
    pair.left.log.add({"type": "a"})
    pair.left.log.add({"type": "b"})

    pair.connect()
    pair.left.log.add({"type": "c"})

    assert names(pair.left_sent) == ["connect", "sync", "ready", "sync"]
    assert readies(pair.left_sent) == [["ready", 2]]
    assert len(readies(pair.right_sent)) == 1


def test_ready_is_sent_without_a_backlog_too() -> None:
    stranger = client(7).say("connected", 7, "server", [NOW_MS, NOW_MS])

    assert stranger.heard == [["connect", 7, "home", 0], ["ready", 0]]


def test_ready_is_sent_on_each_connection() -> None:
    pair = logux(7).meet()

    meet_again(pair)

    assert readies(pair.left_sent) == readies(pair.right_sent) == [["ready", 0]]


@pytest.mark.parametrize("protocol", [(0, 1), 5], ids=str)
def test_older_protocols_have_no_ready(protocol: Any) -> None:
    pair = logux(protocol)
    pair.left.log.add({"type": "a"})

    pair.connect()

    assert readies(pair.left_sent) == readies(pair.right_sent) == []
    assert pair.left.state == "synchronized"


def test_ready_waits_for_events_that_a_filter_holds() -> None:
    asked = Asked()
    pair = logux(7, left={"out_filter": asked})
    pair.left.log.add({"type": "a"})
    pair.connect()
    before = readies(pair.left_sent)

    asked.answer(True)

    assert before == []
    assert names(pair.left_sent) == ["connect", "sync", "ready"]


def test_the_state_is_not_synchronized_before_the_other_ends_ready() -> None:
    stranger = met_client(7)
    before = stranger.role.state

    stranger.say("ready", 0)

    assert (before, stranger.role.state) == ("connecting", "synchronized")


def test_the_state_is_not_synchronized_while_an_event_is_unconfirmed_after_ready() -> None:
    stranger = met_client(7)
    stranger.log.add({"type": "a"})

    stranger.say("ready", 0)
    before = stranger.role.state
    stranger.say("synced", 1)

    assert (before, stranger.role.state) == ("sending", "synchronized")


def test_a_confirmation_does_not_replace_ready() -> None:
    stranger = met_client(7)
    stranger.log.add({"type": "a"})

    stranger.say("synced", 1)

    assert stranger.role.state == "sending"


def test_the_mark_in_ready_advances_other_synced_once_all_is_committed() -> None:
    store = MemoryRunStore()
    disk = HeldDisk(store)
    stranger = met_client(7, store=store, disk=disk)

    stranger.say("sync", 1, {"type": "a"}, {"id": "1", "time": 1}).say("ready", 5)
    before = stranger.role.other_synced
    disk.release()

    assert (before, stranger.role.other_synced) == (0, 5)


def test_a_ready_that_arrives_before_the_answer_counts() -> None:
    stranger = client(7).say("ready", 4)

    stranger.say("connected", 7, "server", [NOW_MS, NOW_MS])

    assert stranger.role.state == "synchronized"
    assert stranger.role.other_synced == 4


def test_a_ready_of_the_last_link_does_not_count_for_the_next() -> None:
    stranger = met_client(7).say("ready", 0)
    stranger.dialler.disconnect("lost")
    stranger.dialler.connect()

    stranger.say("connected", 7, "server", [NOW_MS, NOW_MS])

    assert stranger.role.state == "connecting"


def test_a_peer_that_never_sends_ready_still_exchanges_events() -> None:
    stranger = met_server(7)

    stranger.say("sync", 1, {"type": "theirs"}, {"id": "1", "time": 0})
    stranger.log.add({"type": "ours"})

    assert stranger.heard[-2:] == [
        ["synced", 1],
        ["sync", 2, {"type": "ours"}, {"id": to_digits(NOW_MS), "time": 0, "reasons": ["log"]}],
    ]


def test_a_backlog_is_sent_in_hundreds_each_with_its_largest_number() -> None:
    pair = logux(7)
    fill(pair.left.log, 250)

    pair.connect()

    assert [message[1] for message in syncs(pair.left_sent)] == [100, 200, 250]


def test_events_that_are_added_together_are_sent_together() -> None:
    pair = logux(7).meet()

    pair.left.log.add_batch([({"type": name}, None) for name in "abc"])

    assert sent_types(pair.left_sent) == [["a", "b", "c"]]
    assert pair.right_sent[-1] == ["synced", 3]


def test_an_older_peer_gets_events_one_by_one() -> None:
    pair = logux((0, 1)).meet()

    pair.left.log.add_batch([({"type": name}, None) for name in "abc"])

    assert sent_types(pair.left_sent) == [["a"], ["b"], ["c"]]


def test_confirmations_come_in_the_order_of_the_messages_however_slow_a_filter_is() -> None:
    asked = Asked()
    stranger = met_server(7, in_filter=asked)
    for number in (1, 2):
        stranger.say("sync", number, {"type": "a"}, {"id": f"{number}", "time": 0})
    before = names(stranger.heard)

    asked.answer(True)
    asked.answer(True)

    assert "synced" not in before
    assert stranger.heard[-2:] == [["synced", 1], ["synced", 2]]
