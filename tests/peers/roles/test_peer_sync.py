"""Events between two nodes."""

from __future__ import annotations

from itertools import accumulate

import pytest

from peers.clock import ManualClock
from peers.events.entry import Entry, encode_event
from peers.protocol.flow_control import PARTS
from peers.protocol.sync import WINDOW
from peers.roles.peer import RELAY_MS, PeerSync
from peers.stores.memory import MemoryStore
from tests.support.pair import NOW_MS, AskedLog, HeldDisk, Pair, Stranger, fill, hello, open_log, syncs


def test_an_event_is_sent_and_confirmed_once_it_is_in_the_other_log() -> None:
    pair = Pair().meet()
    epoch = pair.left.log.published.epoch

    pair.left.log.add({"type": "a"})

    assert pair.left_sent == [["sync", 1, {"type": "a"}, {"id": 0, "time": 0, "dot": [epoch, 1]}]]
    assert pair.right_sent == [["synced", 1]]
    assert pair.right.log.types == ["a"]


def test_the_same_event_has_the_same_meta_on_both_sides() -> None:
    pair = Pair().meet()
    pair.clock.advance(1234)

    pair.left.log.add({"type": "a"}, {"reason": "x", "time": NOW_MS + 7})

    (ours,), (theirs,) = pair.left.log.entries, pair.right.log.entries
    assert ours.meta == theirs.meta
    assert theirs.created == (NOW_MS + 1234, "left", 0)
    assert theirs.meta["reason"] == "x"
    assert theirs.time == NOW_MS + 7


def test_a_second_event_of_one_ms_has_a_counter_on_the_wire() -> None:
    pair = Pair().meet()

    pair.right.log.add({"type": "a"})
    pair.right.log.add({"type": "b"})

    assert [message[3]["id"] for message in syncs(pair.right_sent)] == [0, [0, 1]]


def test_a_relayed_event_keeps_its_author_on_the_wire() -> None:
    pair = Pair().meet()

    pair.left.log.add({"type": "a"}, {"created": (NOW_MS - 5, "attic", 2), "time": NOW_MS})

    assert pair.left_sent[0][3]["id"] == [-5, "attic", 2]
    assert pair.right.log.entries[0].created == (NOW_MS - 5, "attic", 2)


def test_the_event_keeps_its_bytes() -> None:
    body = b'{ "type":"a", "x":1.50, "\\u00e9":"\\u00e9" }'
    pair = Pair().meet()

    pair.left.log.add_entries([Entry((NOW_MS, "left", 0), NOW_MS, body)])

    assert pair.right.log.entries[0].body == body


def test_events_are_acknowledged_only_after_the_commit() -> None:
    store = MemoryStore()
    disk = HeldDisk(store)
    pair = Pair(right={"store": store, "disk": disk}).connect()
    disk.release()
    pair.forget()

    pair.left.log.add({"type": "a"})
    assert pair.right_sent == []
    assert pair.left.state == "sending"
    disk.release()

    assert pair.right_sent == [["synced", 1]]
    assert pair.left.state == "synchronized"


def test_an_event_is_not_sent_before_its_own_commit() -> None:
    store = MemoryStore()
    disk = HeldDisk(store)
    pair = Pair(left={"store": store, "disk": disk}).connect()
    disk.release()
    pair.forget()

    added = pair.left.log.add({"type": "a"})
    assert pair.left_sent == [] and not added.is_done
    disk.release()

    assert len(pair.left_sent) == 1 and added.is_done


def test_an_event_that_could_not_be_stored_is_not_acknowledged() -> None:
    pair = Pair().meet()
    pair.right.log.store.close()

    with pytest.raises(Exception, match="closed"):
        pair.left.log.add({"type": "a"})

    assert pair.right_sent == [["error", "store"]]  # the details are reported on this machine only
    assert not pair.right.connected
    assert pair.left.log.types == ["a"]


def test_received_events_are_not_sent_back() -> None:
    pair = Pair().meet()

    pair.left.log.add({"type": "a"})
    pair.right.log.add({"type": "b"})

    assert [message[0] for message in pair.left_sent] == ["sync", "synced"]
    assert [message[0] for message in pair.right_sent] == ["synced", "sync"]


def test_events_that_the_other_end_has_are_not_sent() -> None:
    pair = Pair().meet()
    fill(pair.left.log, 3)
    pair.right.log.add({"type": "r"})
    pair.cut()
    pair.left.log.add({"type": "new"})
    pair.forget()

    pair.connect()

    assert [message[2]["type"] for message in syncs(pair.left_sent)] == ["new"]
    assert syncs(pair.right_sent) == []


def test_an_event_that_arrives_over_two_links_is_stored_once() -> None:
    pair = Pair().meet()
    body = encode_event({"type": "a"})
    entry = Entry((1, "attic", 0), 1, body, b"", ("f", 1))
    pair.mute("right")  # its `have` is late
    pair.left.log.add_entries([entry])
    pair.right.log.add_entries([entry])

    pair.clock.advance(RELAY_MS)
    pair.unmute("right")
    pair.say("right", "synced", 1)

    assert [message[2] for message in syncs(pair.left_sent)] == [{"type": "a"}]
    assert pair.right.log.types == pair.left.log.types == ["a"]
    assert pair.right.log.last_added == 1
    assert pair.left.state == pair.right.state == "synchronized"


def test_a_new_link_resumes_where_the_last_one_was_cut() -> None:
    pair = Pair().meet()
    pair.left.log.add({"type": "a"})
    pair.cut()
    pair.left.log.add({"type": "b"})
    pair.right.log.add({"type": "c"})

    pair.connect()

    assert pair.left.log.types == pair.right.log.types == ["a", "b", "c"]


def test_events_that_were_lost_with_the_link_are_sent_again() -> None:
    pair = Pair().meet()
    pair.mute("left")
    pair.left.log.add({"type": "a"})
    pair.unmute("left")
    pair.cut()

    pair.connect()

    assert pair.right.log.types == ["a"]


def test_events_whose_acknowledgement_was_lost_are_not_sent_again() -> None:
    pair = Pair().meet()
    pair.mute("right")
    pair.left.log.add({"type": "a"})
    pair.unmute("right")
    pair.cut()
    pair.forget()

    pair.connect()

    assert syncs(pair.left_sent) == []
    assert (pair.left.state, pair.left.lag) == ("synchronized", 0)


# The walk


def test_a_backlog_arrives_in_order() -> None:
    pair = Pair()
    names = fill(pair.left.log, 10_000)

    pair.connect()

    assert pair.right.log.types == names
    sizes = [len(message) // 2 - 1 for message in syncs(pair.left_sent)]
    assert sizes[:-1] == sorted(sizes[:-1])  # it begins with little, see Pace
    assert sizes[0] < 50
    assert max(sizes) == 500
    assert [message[1] for message in syncs(pair.left_sent)] == list(accumulate(sizes))


def test_at_most_a_window_of_messages_is_unacknowledged() -> None:
    pair = Pair()
    fill(pair.left.log, 500 * (WINDOW + 3))
    pair.connect()
    pair.cut()
    wiped = Stranger(log=pair.left.log)

    wiped.say("connect", 5, "stranger", 0, {"peer": hello()})  # it has nothing, and acknowledges nothing
    wiped.say("ping", 0)

    assert wiped.role.synced == 0
    assert PARTS <= len(syncs(wiped.heard)) <= WINDOW


def test_acknowledgements_let_the_next_messages_go() -> None:
    clock = ManualClock(NOW_MS)
    log = open_log("home", clock)
    fill(log, 500 * (WINDOW + 3))
    stranger = Stranger(log=log)
    stranger.say("connect", 5, "stranger", 0, {"peer": hello()})
    marks = [message[1] for message in syncs(stranger.heard)]
    assert PARTS <= len(marks) <= WINDOW
    stranger.heard.clear()

    stranger.say("synced", marks[1])  # cumulative: this confirms two

    assert syncs(stranger.heard)
    assert stranger.role.synced == marks[1]


def test_many_commits_behind_a_closed_window_become_few_messages() -> None:
    pair = Pair().meet()
    pair.mute("right")

    for number in range(1_000):
        pair.left.log.add({"type": f"e{number:03}"})
    pair.unmute("right")
    assert len(syncs(pair.left_sent)) == WINDOW
    pair.say("right", "synced", WINDOW)

    assert len(syncs(pair.left_sent)) < 60
    assert len(pair.right.log.types) == 1_000


def test_an_acknowledgement_of_more_than_was_sent_is_ignored() -> None:
    pair = Pair().meet()

    pair.say("right", "synced", 999)
    pair.left.log.add({"type": "a"})

    assert pair.right.log.types == ["a"]
    assert (pair.left.synced, pair.left.lag) == (1, 0)


def asked_pair() -> tuple[Pair, AskedLog]:
    clock = ManualClock(NOW_MS)
    log = open_log("left", clock, kind=AskedLog)
    assert isinstance(log, AskedLog)
    pair = Pair(clock=clock, left={"log": log}).connect()
    log.answer()
    return pair, log


def test_a_change_before_the_walk_starts_does_not_skip_events_that_were_lost_with_the_last_link() -> None:
    pair, log = asked_pair()
    pair.mute("left")
    log.add({"type": "lost"})
    log.answer()
    pair.unmute("left")
    pair.cut()

    pair.connect()  # the search for the start is under way
    log.add({"type": "live"})
    log.answer()

    assert pair.right.log.types == ["lost", "live"]


def test_a_change_before_the_walk_starts_does_not_skip_events_that_a_wiped_neighbour_lacks() -> None:
    pair, log = asked_pair()
    names = fill(log, 5)
    log.answer()
    pair.right.destroy()
    wiped = open_log("right", pair.clock, seed=1)
    PeerSync("right", wiped, pair.right_connection, clock=pair.clock, random=pair.right.random)

    pair.connect()
    log.add({"type": "new"})
    log.answer()

    assert wiped.types == [*names, "new"]


def test_events_that_arrive_while_a_page_is_read_are_not_sent_back_with_it() -> None:
    pair, log = asked_pair()
    log.add({"type": "a"})  # its page is asked for
    pair.right.log.add({"type": "b"})  # and comes before it is read
    pair.forget()

    log.answer()

    assert [message[2::2] for message in syncs(pair.left_sent)] == [[{"type": "a"}]]
