"""What nodes send each other about events that one of them has cleaned."""

from __future__ import annotations

from peers.clock import ManualClock
from peers.roles.peer import RELAY_MS
from tests.support.pair import NOW_MS, Pair, fill, open_log, sent_types, syncs


def test_cleaned_events_are_not_sent_and_do_not_return() -> None:
    clock = ManualClock(NOW_MS)
    before = Pair(clock=clock).meet()
    before.left.log.add({"type": "a"})
    before.left.log.add({"type": "b"}, {"reasons": ["keep"]})
    before.left.log.clean().get()
    before.destroy()

    pair = Pair(clock=clock, left={"log": before.left.log}, right={"log": before.right.log}).connect()
    third = Pair(clock=clock, left={"log": before.left.log}, right={"node_id": "third"}).connect()

    assert (pair.left.log.types, pair.right.log.types, third.right.log.types) == (["b"], ["a", "b"], ["b"])
    assert syncs(pair.left_sent) == syncs(pair.right_sent) == []
    assert sent_types(third.left_sent) == [["b"]]


def test_a_neighbour_that_still_has_an_event_sends_it_to_others() -> None:
    clock = ManualClock(NOW_MS)
    pair = Pair(clock=clock).meet()
    pair.left.log.add({"type": "a"})
    pair.left.log.clean().get()

    third = Pair(clock=clock, left={"log": pair.right.log}, right={"node_id": "third"}).connect()

    assert third.right.log.types == ["a"]


def test_events_that_are_kept_last_supersede_each_other_on_both_sides() -> None:
    pair = Pair().meet()
    for n in range(3):
        pair.left.log.add({"type": f"left{n}"}, {"keep_last": "name"})
        pair.right.log.add({"type": f"right{n}"}, {"keep_last": "name"})
    pair.clock.advance(RELAY_MS * 3)

    assert pair.left.log.types == pair.right.log.types
    assert len(pair.left.log.types) == 1


def test_local_changes_of_meta_are_not_sent() -> None:
    pair = Pair().meet()
    meta = pair.left.log.add({"type": "a"}, {"k": 1}).get()
    assert meta is not None
    pair.left.log.change_meta(meta["created"], {"k": 2, "reasons": ["mine"]}).get()
    pair.cut()

    late = Pair(clock=pair.clock, left={"log": pair.left.log}, right={"node_id": "late"}).connect()

    for log in (pair.right.log, late.right.log):
        assert (log.entries[0].meta["k"], log.entries[0].reasons) == (1, [])


def test_a_walk_continues_past_many_cleaned_events() -> None:
    log = open_log("left", ManualClock(NOW_MS))
    fill(log, 2_000)
    log.remove_reason("log", min_added=2, max_added=1_999).get()

    pair = Pair(left={"log": log}).connect()

    assert pair.right.log.types == ["e00000", "e01999"]
    assert pair.left.state == pair.right.state == "synchronized"
