"""Checks whether both ends hold the same: the other end has confirmed our log and sent all of its own."""

from __future__ import annotations

import pytest

from peers.roles.checked import ASK_AGAIN_MS
from peers.roles.peer import PEER_PING_MS, RELAY_MS, PeerSync
from peers.stores.memory import MemoryStore
from tests.support.pair import HeldDisk, Pair, Stranger, fill, hello, received, wire_event


def held_by(role: PeerSync) -> int:
    """The last position of the role's log."""
    return role.log.published.state.last_position


def test_a_check_of_two_equal_logs_needs_one_answer() -> None:
    pair = Pair()
    fill(pair.left.log, 2)
    pair.meet()

    checked = pair.left.check(held_by(pair.left))

    assert checked.is_done
    assert (pair.left_sent, pair.right_sent) == ([["ping", 2]], [["pong", 2]])


def test_a_check_waits_until_the_other_end_has_confirmed_our_log() -> None:
    stranger = Stranger().greet()
    stranger.log.add({"type": "a"})
    checked = stranger.role.check(held_by(stranger.role))
    stranger.log.add({"type": "later"})
    stranger.say("pong", 0)
    assert not checked.is_done

    stranger.say("synced", 1)

    assert checked.is_done


def test_a_check_waits_until_the_other_end_has_sent_its_log() -> None:
    stranger = Stranger().greet()
    checked = stranger.role.check(0)
    assert stranger.role.awaited is None
    stranger.say("sync", 1, *wire_event(1))
    stranger.say("pong", 1, 3)
    assert (checked.is_done, stranger.role.awaited) == (False, 2)

    stranger.say("sync", 3, *wire_event(2), *wire_event(3))
    stranger.clock.advance(ASK_AGAIN_MS)
    stranger.say("pong", 3, 9)  # the six later events do not count

    assert (checked.is_done, stranger.role.awaited) == (True, 0)
    assert [frame for frame in stranger.heard if frame[0] == "ping"] == [["ping", 0], ["ping", 3]]


def test_a_check_waits_until_received_events_are_on_disk() -> None:
    disk = HeldDisk(MemoryStore())
    stranger = Stranger(disk=disk).greet()
    disk.release()
    checked = stranger.role.check(0)
    stranger.say("sync", 1, *wire_event(1))
    stranger.say("pong", 1)
    assert not checked.is_done

    disk.release()

    assert checked.is_done


def test_an_answer_to_an_earlier_ping_does_not_decide_a_check() -> None:
    stranger = Stranger().greet()
    stranger.clock.advance(PEER_PING_MS)
    assert stranger.heard == [["ping", 0]]
    checked = stranger.role.check(0)

    stranger.say("pong", 0)
    assert not checked.is_done
    stranger.say("pong", 0)

    assert checked.is_done


def test_a_pong_has_the_last_position_while_there_is_more_to_send() -> None:
    disk = HeldDisk(MemoryStore())
    disk.is_holding = False
    stranger = Stranger(disk=disk).greet()
    disk.is_holding = True
    stranger.log.add_entries([received(1)])
    disk.release()

    stranger.say("ping", 0)

    assert stranger.heard[-1] == ["pong", 0, 1]


def test_events_that_the_other_end_named_count_as_confirmed_while_more_arrive() -> None:
    stranger = Stranger().greet()
    for seq in range(1, 5):
        stranger.log.add_entries([received(seq)])
        stranger.say("have", {"e": [[1, seq]]})
        stranger.clock.advance(RELAY_MS * 0.75)

    assert stranger.role.synced >= 2


def test_the_acknowledgement_of_an_event_that_overtook_confirms_all_that_the_walk_had_passed() -> None:
    stranger = Stranger().greet()
    for seq, type_ in enumerate("abc", 1):
        stranger.log.add_entries([received(seq)])  # waits to be passed on, and the next one goes ahead of it
        stranger.log.add({"type": type_})
        stranger.say("have", {"e": [[1, seq]]})
        stranger.clock.advance(RELAY_MS * (seq < 2))

    _, ahead, _ = [frame[1] for frame in stranger.heard if frame[0] == "sync"]
    stranger.say("synced", ahead)

    assert stranger.role.synced == 2


def test_a_check_fails_without_a_connection_or_when_it_ends() -> None:
    pair = Pair().meet()
    pair.mute("right")
    checked = pair.left.check(0)

    pair.cut()

    for done in (checked, pair.left.check(0)):
        with pytest.raises(ConnectionError):
            done.result()


def test_confirmations_on_another_link_do_not_decide_a_check() -> None:
    stranger = Stranger(connects=False)
    stranger.dialler.connect()
    stranger.say("connect", 5, "stranger", 0, {"peer": hello({})})
    stranger.log.add({"type": "a"})
    stranger.say("synced", 1)
    stranger.dialler.disconnect()

    stranger.dialler.connect()
    stranger.say("connect", 5, "stranger", 0, {"peer": hello({})})  # its disk was lost
    checked = stranger.role.check(1)
    stranger.say("pong", 0)

    assert not checked.is_done
