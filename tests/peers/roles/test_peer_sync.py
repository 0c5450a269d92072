"""Events between two nodes."""

from __future__ import annotations

import pytest

from peers.clock import ManualClock
from peers.codec.run_messages import MAX_PIECES
from peers.events.run import RUN_ENTRIES
from peers.log.draft import Draft
from peers.protocol.sync import WINDOW
from peers.roles.run_peer import RunPeerSync
from peers.roles.run_relaying import RELAY_MS
from peers.stores.runs.memory import MemoryRunStore
from tests.support.neighbour import Author, Neighbour, bring, messages, names_of, numbers, sent_pieces, sent_types
from tests.support.pair import NOW_MS, AskedLog, HeldDisk, Pair, fill, open_log


def test_an_event_is_sent_and_confirmed_once_it_is_in_the_other_log() -> None:
    pair = Pair().meet()

    pair.left.log.add({"type": "a"})

    assert sent_types(pair.left_sent) == [["a"]] and len(pair.left_sent) == 1
    assert pair.right_sent == [["synced", 1]]
    assert pair.right.log.types == ["a"]
    assert pair.left.log.ends.get(pair.left.epoch) == pair.right.log.ends.get(pair.left.epoch)


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

    assert [piece.get("n", [0]) for (piece,) in sent_pieces(pair.right_sent)] == [[0], [1]]


def test_the_birth_of_an_epoch_comes_with_its_first_entry_alone() -> None:
    pair = Pair().meet()

    pair.left.log.add({"type": "a"})
    pair.left.log.add({"type": "b"})

    assert [len(message[2]) for message in messages(pair.left_sent, "pieces")] == [1, 0]


def test_a_relayed_event_keeps_its_author_on_the_wire() -> None:
    pair = Pair().meet()

    pair.left.log.add({"type": "a"}, {"created": (NOW_MS - 5, "attic", 2), "time": NOW_MS})

    ((piece,),) = sent_pieces(pair.left_sent)
    assert (piece["ms"], piece["nodes"], piece["n"]) == ([NOW_MS - 5], ["attic"], [2])
    assert pair.right.log.entries[0].created == (NOW_MS - 5, "attic", 2)


def test_the_event_keeps_its_bytes() -> None:
    body = b'{ "type":"a", "x":1.50, "\\u00e9":"\\u00e9" }'
    pair = Pair().meet()

    pair.left.log.offer([Draft(body)])

    assert pair.right.log.entries[0].body == body


def held_pair(side: str) -> tuple[Pair, HeldDisk]:
    """A pair that has met; the disk of this side works only when it is released."""
    store = MemoryRunStore()
    disk = HeldDisk(store)
    disk.is_holding = False
    pair = Pair(**{side: {"store": store, "disk": disk}}).meet()
    disk.is_holding = True
    return pair, disk


def test_events_are_acknowledged_only_after_the_commit() -> None:
    pair, disk = held_pair("right")

    pair.left.log.add({"type": "a"})
    assert pair.right_sent == []
    assert pair.left.state == "sending"
    disk.release()

    assert pair.right_sent == [["synced", 1]]
    assert pair.left.state == "synchronized"


def test_an_event_is_not_sent_before_its_own_commit() -> None:
    pair, disk = held_pair("left")

    added = pair.left.log.add({"type": "a"})
    assert pair.left_sent == [] and not added.is_done
    disk.release()

    assert len(pair.left_sent) == 1 and added.is_done


def test_commits_during_the_greeting_arrive_at_both_ends() -> None:
    stores = MemoryRunStore(), MemoryRunStore()
    disks = HeldDisk(stores[0]), HeldDisk(stores[1])
    pair = Pair(left={"store": stores[0], "disk": disks[0]}, right={"store": stores[1], "disk": disks[1]})
    for log in (pair.left.log, pair.right.log):
        log.add({"type": f"before of {log.pen.node_id}"})
    pair.connect()

    for count in range(12):  # one piece of work on each disk at a time, and a new event after each
        pair.left.log.add({"type": f"left {count:02}"})
        pair.right.log.add({"type": f"right {count:02}"})
        for disk in disks:
            disk.release(1)
    for _ in range(100):
        for disk in disks:
            disk.release()
        pair.clock.advance(10)

    assert pair.left.log.types == pair.right.log.types
    assert len(pair.left.log.types) == 26
    assert pair.left.log.store.ends() == pair.right.log.store.ends()
    assert pair.left.state == pair.right.state == "synchronized"
    assert pair.left.lag == pair.right.lag == 0


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

    assert names_of(pair.left_sent) == ["pieces", "synced"]
    assert names_of(pair.right_sent) == ["synced", "pieces"]


def test_events_that_the_other_end_has_are_not_sent() -> None:
    pair = Pair().meet()
    fill(pair.left.log, 3)
    pair.right.log.add({"type": "r"})
    pair.cut()
    pair.left.log.add({"type": "new"})
    pair.forget()

    pair.connect()

    assert sent_types(pair.left_sent) == [["new"]]
    assert sent_pieces(pair.right_sent) == []


def test_an_event_that_arrives_over_two_links_is_stored_once() -> None:
    pair, attic = Pair().meet(), Author()
    piece = attic.write("a")
    pair.mute("right")  # its `have` is late
    bring(pair.left.log, piece)
    bring(pair.right.log, piece)

    pair.clock.advance(RELAY_MS)
    pair.unmute("right")
    pair.say("right", "synced", 1)

    assert sent_types(pair.left_sent) == [["a"]]
    assert pair.right.log.types == pair.left.log.types == ["a"]
    assert pair.right.log.last_added == 1
    assert pair.left.state == "synchronized"


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

    assert sent_pieces(pair.left_sent) == []
    assert (pair.left.state, pair.left.lag) == ("synchronized", 0)


# The walk


def test_a_backlog_arrives_in_order() -> None:
    pair = Pair()
    names = fill(pair.left.log, 10_000)

    pair.connect()

    assert pair.right.log.types == names
    sent = sent_types(pair.left_sent)
    assert [type_ for types in sent for type_ in types] == names
    sizes = list(map(len, sent))
    assert sizes[0] == RUN_ENTRIES  # a piece is a run, or what is signed of it
    assert max(sizes) <= 2 * RUN_ENTRIES
    assert numbers(pair.left_sent) == list(range(1, len(sent) + 1))


def test_at_most_a_window_of_messages_is_unacknowledged() -> None:
    stranger = Neighbour().greet()

    for number in range(WINDOW + 3):
        stranger.log.add({"type": f"{number}"})

    assert stranger.role.synced == 0
    assert numbers(stranger.heard) == list(range(1, WINDOW + 1))


def test_acknowledgements_let_the_next_messages_go() -> None:
    clock = ManualClock(NOW_MS)
    log = open_log("home", clock)
    fill(log, 20_000)
    stranger = Neighbour(log=log).greet(forgets=False)
    assert 0 < len(numbers(stranger.heard)) <= WINDOW
    stranger.heard.clear()

    stranger.confirms(1)

    assert sent_pieces(stranger.heard)
    assert stranger.role.synced == RUN_ENTRIES


def test_the_acknowledgement_of_a_message_confirms_it_while_later_ones_are_on_their_way() -> None:
    stranger = Neighbour().greet()
    for name in "abc":
        stranger.log.add({"type": name})

    stranger.confirms(2)

    assert (stranger.role.synced, stranger.role.lag, stranger.role.state) == (2, 1, "sending")


def test_many_commits_behind_a_closed_window_become_few_messages() -> None:
    stranger = Neighbour().greet()

    for number in range(1_000):
        stranger.log.add({"type": f"e{number:03}"})
    assert len(sent_pieces(stranger.heard)) == WINDOW
    while stranger.role.state != "synchronized":
        stranger.confirms()

    assert len(sent_pieces(stranger.heard)) <= 2 * WINDOW + 1 + 1_000 // MAX_PIECES
    assert [type_ for types in sent_types(stranger.heard) for type_ in types] == [f"e{n:03}" for n in range(1_000)]


@pytest.mark.parametrize("number", [0, 2, 999])
def test_an_acknowledgement_of_what_was_not_sent_ends_the_link(number: int) -> None:
    stranger = Neighbour().greet()
    stranger.log.add({"type": "a"})
    stranger.heard.clear()

    stranger.confirms(number)

    why = f"it confirmed message {number}, which does not wait for it"
    assert stranger.heard == [["error", "wrong-format", why]]
    assert (stranger.role.synced, stranger.role.lag) == (0, 1)


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

    pair.connect()
    log.answer(1)  # the greeting; the search for the start is under way
    log.add({"type": "live"})
    log.answer()

    assert pair.right.log.types == ["lost", "live"]


def test_a_change_before_the_walk_starts_does_not_skip_events_that_a_wiped_neighbour_lacks() -> None:
    pair, log = asked_pair()
    names = fill(log, 5)
    log.answer()
    pair.right.destroy()
    wiped = open_log("right", pair.clock, seed=1)
    RunPeerSync("right", wiped, pair.right_connection, clock=pair.clock, random=pair.right.random)

    pair.connect()
    log.answer(1)
    log.add({"type": "new"})
    log.answer()

    assert wiped.types == [*names, "new"]


def test_no_end_says_that_all_was_sent_while_the_start_is_looked_for() -> None:
    log = open_log("home", ManualClock(NOW_MS), kind=AskedLog)
    assert isinstance(log, AskedLog)
    fill(log, 3)
    stranger = Neighbour(log=log).greet()
    log.answer(1)  # the greeting
    stranger.heard.clear()

    stranger.say("ping", 0)

    assert stranger.heard == [["pong", 0, 3]]
    assert (stranger.role.synced, stranger.role.state) == (0, "sending")


def test_events_that_arrive_while_a_page_is_read_are_not_sent_back_with_it() -> None:
    pair, log = asked_pair()
    log.add({"type": "a"})  # its page is asked for
    pair.right.log.add({"type": "b"})  # and comes before it is read
    pair.forget()

    log.answer()

    assert sent_types(pair.left_sent) == [["a"]]
