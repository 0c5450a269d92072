"""What nodes send each other about events that one of them has cleaned."""

from __future__ import annotations

from peers.clock import ManualClock
from peers.roles.run_relaying import RELAY_MS
from tests.support.neighbour import filled_types, messages, sent_pieces, sent_types
from tests.support.pair import NOW_MS, Pair, fill, open_log


def test_cleaned_events_go_as_their_leaves_and_do_not_return() -> None:
    clock = ManualClock(NOW_MS)
    before = Pair(clock=clock).meet()
    before.left.log.add({"type": "a"})
    before.left.log.add({"type": "b"}, {"reasons": ["keep"]})
    before.left.log.clean().get()
    before.destroy()

    pair = Pair(clock=clock, left={"log": before.left.log}, right={"log": before.right.log}).connect()
    third = Pair(clock=clock, left={"log": before.left.log}, right={"node_id": "third"}).connect()

    assert (pair.left.log.types, pair.right.log.types, third.right.log.types) == (["b"], ["a", "b"], ["b"])
    assert sent_pieces(pair.left_sent) == sent_pieces(pair.right_sent) == []
    assert sent_types(third.left_sent) == [["b"]]
    assert third.right.log.state.hollow == 1
    assert third.left.state == third.right.state == "synchronized"


def test_an_event_that_one_neighbour_has_cleaned_comes_from_another() -> None:
    clock = ManualClock(NOW_MS)
    pair = Pair(clock=clock).meet()
    pair.left.log.add({"type": "a"})
    pair.left.log.clean().get()
    third = open_log("third", clock)
    cleaned = Pair(clock=clock, left={"log": pair.left.log}, right={"node_id": "third", "log": third}).connect()
    assert (third.types, third.state.hollow, third.last_added) == ([], 1, 0)

    other = Pair(clock=clock, left={"log": pair.right.log}, right={"node_id": "third", "log": third}).connect()

    assert (third.types, third.state.hollow, third.last_added) == (["a"], 0, 1)
    assert filled_types(other.left_sent) == [["a"]]
    assert messages(cleaned.right_sent, "have")[-1][3] == [[pair.left.epoch, 1, 1]]  # it need not be sent any more
    assert other.left.state == other.right.state == "synchronized"
    assert other.left.lag == other.right.lag == 0


def test_a_body_that_comes_later_reaches_those_who_want_it_behind_one_that_wanted_it() -> None:
    clock = ManualClock(NOW_MS)
    pair = Pair(clock=clock).meet()
    pair.left.log.add({"type": "a"})
    pair.left.log.clean().get()
    logs = {name: open_log(name, clock) for name in ("near", "far")}
    Pair(clock=clock, left={"log": pair.left.log}, right={"node_id": "near", "log": logs["near"]}).connect()
    Pair(
        clock=clock, left={"node_id": "near", "log": logs["near"]}, right={"node_id": "far", "log": logs["far"]}
    ).connect()
    assert [log.state.hollow for log in logs.values()] == [1, 1]

    Pair(clock=clock, left={"log": pair.right.log}, right={"node_id": "near", "log": logs["near"]}).connect()
    clock.advance(2 * RELAY_MS)

    assert [(log.types, log.state.hollow) for log in logs.values()] == [(["a"], 0)] * 2


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
        pair.left.log.add({"type": f"left{n}"}, {"keep_last": "shared/name"})
        pair.right.log.add({"type": f"right{n}"}, {"keep_last": "shared/name"})
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
