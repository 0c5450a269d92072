"""Where a Logux client and a Logux server resume after a loss, and what they do when a log is another one."""

from __future__ import annotations

from typing import Any

from peers.roles.client import ClientSync
from peers.stores.runs.memory import MemoryRunStore
from tests.support.logux_pair import (
    Asked,
    event,
    every_dialect,
    logux,
    meet_again,
    met_client,
    met_server,
    newer_dialects,
    version,
)
from tests.support.pair import NOW_MS, HeldDisk, Stranger, open_log, sent_types, syncs


@every_dialect
def test_a_client_resumes_where_the_last_link_ended(protocol: Any) -> None:
    pair = logux(protocol).meet()
    pair.left.log.add({"type": "l1"})
    pair.right.log.add({"type": "r1"})
    pair.cut()
    pair.left.log.add({"type": "l2"})
    pair.right.log.add({"type": "r2"})

    meet_again(pair)

    assert pair.left_sent[0] == ["connect", version(protocol), "left", 2]
    assert sent_types(pair.left_sent) == [["l2"]]
    assert sent_types(pair.right_sent) == [["r2"]]
    assert pair.left.log.types == pair.right.log.types
    assert sorted(pair.left.log.types) == ["l1", "l2", "r1", "r2"]


@every_dialect
def test_events_that_were_not_confirmed_are_sent_again(protocol: Any) -> None:
    pair = logux(protocol).meet()
    pair.mute("left")
    pair.left.log.add({"type": "a"})
    pair.cut()
    pair.unmute("left")

    meet_again(pair)

    assert sent_types(pair.left_sent) == [["a"]]
    assert pair.right.log.types == ["a"]


@every_dialect
def test_received_events_are_not_sent_back_after_a_loss(protocol: Any) -> None:
    pair = logux(protocol).meet()
    for number in range(3):
        pair.left.log.add({"type": f"l{number}"})
        pair.right.log.add({"type": f"r{number}"})

    meet_again(pair)
    meet_again(pair)

    assert syncs(pair.left_sent) == syncs(pair.right_sent) == []
    assert pair.left.log.last_added == pair.right.log.last_added == 6


@every_dialect
def test_events_that_a_javascript_peer_sends_back_are_confirmed_and_known(protocol: Any) -> None:
    stranger = met_server(protocol)
    stranger.say("sync", 1, *event(protocol, 1))
    last = stranger.log.last_added

    stranger.say("sync", 2, *event(protocol, 1))

    assert stranger.heard[-1] == ["synced", 2]
    assert stranger.log.last_added == last == 1


# Another server, another log


@every_dialect
def test_a_client_exchanges_everything_with_another_server(protocol: Any) -> None:
    pair = logux(protocol).meet()
    pair.left.log.add({"type": "l"})
    pair.right.log.add({"type": "r"})
    other = open_log("other", pair.clock)
    for number in range(3):
        other.add({"type": f"o{number}"})

    meet_again(pair, other, node_id="other")

    assert sorted(pair.left.log.types) == sorted(other.types) == ["l", "o0", "o1", "o2", "r"]
    assert pair.left.state == "synchronized"


@every_dialect
def test_a_server_that_lost_its_log_gets_everything_back(protocol: Any) -> None:
    pair = logux(protocol).meet()
    for number in range(3):
        pair.left.log.add({"type": f"l{number}"})
        pair.right.log.add({"type": f"r{number}"})
    emptied = open_log("right", pair.clock, seed=9)
    emptied.add({"type": "new"})

    meet_again(pair, emptied)

    assert sorted(pair.left.log.types) == sorted(emptied.types) == ["l0", "l1", "l2", "new", "r0", "r1", "r2"]


@every_dialect
def test_a_server_that_lost_its_log_and_wrote_nothing_since_gets_everything_back(protocol: Any) -> None:
    pair = logux(protocol).meet()
    for name in "abc":
        pair.left.log.add({"type": name})
    pair.clock.advance(6_000)  # a ping, and the answer with the server's number

    meet_again(pair, open_log("right", pair.clock, seed=9))
    pair.clock.advance(6_000)

    assert pair.right.log.types == ["a", "b", "c"]


@every_dialect
def test_a_client_that_lost_its_log_gets_everything_back_and_its_new_events_are_taken(protocol: Any) -> None:
    pair = logux(protocol).meet()
    for number in range(3):
        pair.left.log.add({"type": f"l{number}"})
        pair.right.log.add({"type": f"r{number}"})
    emptied = logux(protocol, right={"log": pair.right.log}, left={"seed": 1})

    emptied.meet()
    emptied.left.log.add({"type": "new"})

    assert (
        sorted(emptied.left.log.types)
        == sorted(pair.right.log.types)
        == [
            *("l0", "l1", "l2", "new", "r0", "r1", "r2"),
        ]
    )


@every_dialect
def test_a_mark_of_another_client_log_does_not_hide_events_from_a_server(protocol: Any) -> None:
    stranger = met_server(protocol, synced=100)

    stranger.log.add({"type": "a"})

    assert sent_types(stranger.heard) == [["a"]]


@newer_dialects
def test_events_that_a_server_does_not_keep_have_the_number_0_and_are_confirmed_with_it(protocol: Any) -> None:
    stranger = met_client(protocol, other_synced=5)

    stranger.say("sync", 0, *event(protocol, 1, "server"))

    assert stranger.heard[-1] == ["synced", 0]
    assert stranger.role.other_synced == 5
    assert stranger.connected


def test_a_client_without_resends_does_not_send_events_to_another_server_again() -> None:
    stranger = Stranger(ClientSync, dials=False, protocol=5, resends=False)
    stranger.say("connected", 5, "server", [NOW_MS, NOW_MS])
    stranger.log.add({"type": "a"})
    stranger.say("synced", 1).say("sync", 9).dialler.disconnect("lost")
    stranger.dialler.connect()
    stranger.say("connected", 5, "server", [NOW_MS, NOW_MS])
    stranger.heard.clear()

    stranger.say("ping", 1)

    assert stranger.heard[-1] == ["connect", 5, "home", 0]
    assert stranger.role.synced == 1


@every_dialect
def test_marks_of_a_lost_client_log_do_not_hide_events_from_a_server(protocol: Any) -> None:
    stranger = met_client(protocol, synced=100)

    stranger.log.add({"type": "a"})

    assert sent_types(stranger.heard) == [["a"]]


@every_dialect
def test_a_server_does_not_send_a_client_back_what_it_wrote_over_an_earlier_link(protocol: Any) -> None:
    pair = logux(protocol).meet()
    pair.right.log.add({"type": "r"})
    pair.left.log.add({"type": "l"})

    meet_again(pair)

    assert pair.left_sent[0][3] == 1
    assert syncs(pair.right_sent) == []


@every_dialect
def test_a_client_does_not_send_a_server_back_what_it_wrote_over_an_earlier_link(protocol: Any) -> None:
    asked = Asked()
    stranger = met_client(protocol, out_filter=asked)
    stranger.log.add({"type": "confirmed"})
    asked.answer(True)
    stranger.say("synced", 1)
    stranger.log.add({"type": "held"})
    stranger.say("sync", 1, *event(protocol, 1, "server")).dialler.disconnect("lost")
    stranger.heard.clear()
    stranger.dialler.connect()

    stranger.say("connected", version(protocol), "server", [NOW_MS, NOW_MS])
    asked.answers[-1].set(True)

    assert sent_types(stranger.heard) == [["held"]]
    assert stranger.role.synced == 1


@every_dialect
def test_a_commit_that_ends_after_its_link_does_not_block_the_next(protocol: Any) -> None:
    store = MemoryRunStore()
    disk = HeldDisk(store)
    stranger = met_client(protocol, store=store, disk=disk)
    stranger.say("sync", 1, *event(protocol, 1, "server")).dialler.disconnect("lost")
    stranger.dialler.connect()
    stranger.say("connected", version(protocol), "server", [NOW_MS, NOW_MS])
    stranger.heard.clear()

    disk.release()
    stranger.say("sync", 1, *event(protocol, 1, "server")).say("ping", 5)
    disk.release()

    assert [message for message in stranger.heard if message[0] == "synced"] == [["synced", 1]]
    assert stranger.log.types == ["a"]
    assert stranger.role.other_synced == 5


@every_dialect
def test_events_that_were_cleaned_do_not_block_the_rest(protocol: Any) -> None:
    pair = logux(protocol)
    pair.left.log.add({"type": "a"})
    pair.left.log.add({"type": "b"}, {"created": (1, "left", 0)})
    pair.left.log.change_meta((1, "left", 0), {"reasons": []})

    pair.connect()

    assert pair.right.log.types == ["a"]
    assert (pair.left.lag, pair.left.state) == (0, "synchronized")
