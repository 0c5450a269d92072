"""Checks whether both ends hold the same: the other end has confirmed our log and sent all of its own."""

from __future__ import annotations

import pytest

from peers.roles.run_peer import RunPeerSync
from peers.roles.run_relaying import RELAY_MS
from peers.roles.run_session import ASK_AGAIN_MS, PEER_PING_MS, PEER_TIMEOUT_MS
from peers.stores.runs.memory import MemoryRunStore
from tests.support.neighbour import Neighbour, asked_neighbour, names_of
from tests.support.pair import HeldDisk, Pair, fill


def held_by(role: RunPeerSync) -> int:
    """The last position of the role's log."""
    return role.runs.state.last_position


def test_a_check_of_two_equal_logs_needs_one_answer() -> None:
    pair = Pair()
    fill(pair.left.log, 2)
    pair.meet()

    checked = pair.left.check(held_by(pair.left))

    assert checked.is_done
    assert (pair.left_sent, pair.right_sent) == ([["ping", 2]], [["pong", 2]])


def test_a_check_waits_until_the_other_end_has_confirmed_our_log() -> None:
    stranger = Neighbour().greet()
    stranger.log.add({"type": "a"})
    checked = stranger.role.check(held_by(stranger.role))
    stranger.log.add({"type": "later"})
    stranger.say("pong", 0)
    assert not checked.is_done

    stranger.confirms(1)

    assert checked.is_done


def test_a_check_is_fulfilled_when_what_was_left_to_send_came_there_over_another_link() -> None:
    stranger, log = asked_neighbour()
    stranger.elsewhere()
    checked = stranger.role.check(held_by(stranger.role))
    stranger.say("pong", 0)
    stranger.names()
    stranger.clock.advance(RELAY_MS)
    assert not checked.is_done

    log.answer()  # nothing has to be sent

    assert checked.is_done
    assert (stranger.role.lag, stranger.role.state) == (0, "synchronized")


def test_a_check_waits_until_the_other_end_has_sent_its_log() -> None:
    stranger = Neighbour().greet()
    checked = stranger.role.check(0)
    assert stranger.role.awaited is None
    stranger.brings()
    stranger.say("pong", 1, 3)
    assert (checked.is_done, stranger.role.awaited) == (False, 2)

    stranger.brings("b", "c")
    stranger.clock.advance(ASK_AGAIN_MS)
    stranger.say("pong", 3, 9)  # the six later events do not count

    assert (checked.is_done, stranger.role.awaited) == (True, 0)
    assert names_of(stranger.heard).count("ping") == 2


def test_a_check_waits_until_received_events_are_on_disk() -> None:
    store = MemoryRunStore()
    disk = HeldDisk(store)
    disk.is_holding = False
    stranger = Neighbour(store=store, disk=disk).greet()
    disk.is_holding = True
    checked = stranger.role.check(0)
    stranger.brings()
    stranger.say("pong", 1)
    assert not checked.is_done

    disk.release()

    assert checked.is_done


def test_an_answer_to_an_earlier_ping_does_not_decide_a_check() -> None:
    stranger = Neighbour().greet()
    stranger.clock.advance(PEER_PING_MS)
    assert stranger.heard == [["ping", 0]]
    checked = stranger.role.check(0)

    stranger.say("pong", 0)
    assert not checked.is_done
    stranger.say("pong", 0)

    assert checked.is_done


def test_a_pong_has_the_last_position_while_there_is_more_to_send() -> None:
    stranger = Neighbour().greet()
    stranger.elsewhere()

    stranger.say("ping", 0)

    assert stranger.heard[-1] == ["pong", 0, 1]


def test_events_that_the_other_end_named_count_as_confirmed_while_more_arrive() -> None:
    stranger = Neighbour().greet()
    for _ in range(1, 5):
        stranger.elsewhere().names()
        stranger.clock.advance(RELAY_MS * 0.75)

    assert stranger.role.synced >= 2


def test_the_acknowledgement_of_an_event_that_overtook_confirms_all_that_the_walk_had_passed() -> None:
    stranger = Neighbour().greet()
    for seq, type_ in enumerate("abc", 1):
        stranger.elsewhere()  # waits to be passed on, and the next one goes ahead of it
        stranger.log.add({"type": type_})
        stranger.names()
        stranger.clock.advance(RELAY_MS * (seq < 2))

    stranger.confirms(2)

    assert stranger.role.synced == 4


def test_a_check_fails_without_a_connection_or_when_it_ends() -> None:
    pair = Pair().meet()
    pair.mute("right")
    checked = pair.left.check(0)

    pair.cut()

    for done in (checked, pair.left.check(0)):
        with pytest.raises(ConnectionError):
            done.result()


def test_confirmations_on_another_link_do_not_decide_a_check() -> None:
    stranger = Neighbour().greet()
    stranger.log.add({"type": "a"})
    stranger.confirms()
    stranger.dialler.disconnect()

    stranger.dialler.connect()
    stranger.greet()  # its disk was lost
    checked = stranger.role.check(1)
    stranger.say("pong", 0)

    assert not checked.is_done


def test_a_sign_of_life_is_the_answer_to_a_ping_that_is_sent_after_the_question() -> None:
    stranger = Neighbour().greet()
    stranger.clock.advance(PEER_PING_MS)  # a ping is on its way
    sign = stranger.role.sign_of_life()

    stranger.say("pong", 0)
    early = sign.is_done
    stranger.clock.advance(ASK_AGAIN_MS)
    stranger.say("pong", 0)

    assert (early, sign.is_done, sign.exception) == (False, True, None)


def test_a_sign_of_life_that_does_not_come_ends_the_link_and_fails() -> None:
    stranger = Neighbour().greet()
    sign = stranger.role.sign_of_life()

    stranger.role.catch(lambda _error: None)
    stranger.clock.advance(PEER_TIMEOUT_MS)

    assert isinstance(sign.exception, ConnectionError)
    assert isinstance(stranger.role.sign_of_life().exception, ConnectionError)
