"""States, pings and timeouts."""

from __future__ import annotations

from typing import Any

import pytest

from peers.clock import ManualClock
from peers.protocol.core import HANDSHAKE_MS
from tests.support.neighbour import Neighbour
from tests.support.pair import NOW_MS, Pair, open_log


def states_of(role: Any) -> list[str]:
    seen = [role.state]
    role.on("state", lambda: seen.append(role.state))
    return seen


# States


def test_the_first_state_is_disconnected_or_wait() -> None:
    clock = ManualClock(NOW_MS)
    log = open_log("left", clock)
    log.add({"type": "a"})

    pair = Pair(clock=clock, left={"log": log})

    assert (pair.left.state, pair.right.state) == ("wait", "disconnected")


def test_a_role_goes_through_all_five_states() -> None:
    pair = Pair()
    seen = states_of(pair.left)

    pair.connect()
    pair.left.log.add({"type": "a"})
    pair.cut()
    pair.left.log.add({"type": "b"})
    pair.connect()

    assert seen == [
        "disconnected", "connecting", "synchronized", "sending", "synchronized",
        "disconnected", "wait", "connecting", "sending", "synchronized",
    ]  # fmt: skip


def test_the_end_that_accepts_has_the_same_states() -> None:
    pair = Pair()
    pair.right.log.add({"type": "a"})
    seen = states_of(pair.right)

    pair.connect()
    pair.cut()

    assert seen == ["wait", "connecting", "sending", "synchronized", "disconnected"]


def test_the_state_is_sending_until_the_last_acknowledgement() -> None:
    pair = Pair().meet()
    pair.mute("right")
    pair.left.log.add({"type": "a"})
    pair.left.log.add({"type": "b"})

    pair.local.right.send(b'["synced",1]')
    assert pair.left.state == "sending"
    pair.local.right.send(b'["synced",2]')

    assert pair.left.state == "synchronized"


def test_the_state_is_wait_after_a_cut_with_unconfirmed_events() -> None:
    pair = Pair().meet()
    pair.mute("left")
    pair.left.log.add({"type": "a"})

    pair.cut()

    assert pair.left.state == "wait"


def test_received_events_do_not_make_the_state_wait_after_a_cut() -> None:
    pair = Pair().meet()
    pair.right.log.add({"type": "a"})

    pair.cut()

    assert (pair.left.state, pair.right.state) == ("disconnected", "disconnected")


def test_an_event_added_while_the_link_is_being_opened_leaves_it_connecting() -> None:
    clock = ManualClock(NOW_MS)
    pair = Pair(clock=clock)
    pair.left.on_connecting()

    pair.left.log.add({"type": "a"})

    assert pair.left.state == "connecting"
    pair.left.on_disconnect("refused")
    assert pair.left.state == "wait"


def test_the_event_synced_is_emitted_when_a_mark_changes() -> None:
    pair = Pair().meet()
    seen: list[int] = []
    pair.left.on("synced", lambda: seen.append(pair.left.synced))

    pair.left.log.add({"type": "a"})
    pair.right.log.add({"type": "b"})

    assert seen == [1, 2]


def test_lag_counts_unconfirmed_events() -> None:
    pair = Pair().meet()
    pair.mute("right")

    pair.left.log.add_batch([({"type": "a"}, None), ({"type": "b"}, None)])

    assert pair.left.lag == 2


# Ping


def test_a_ping_is_sent_after_a_time_of_silence() -> None:
    pair = Pair(left={"ping": 4_000}, right={"ping": None}).meet()

    pair.clock.advance(3_999)
    assert pair.left_sent == []
    pair.clock.advance(1)

    assert pair.left_sent == [["ping", 0]]
    assert pair.right_sent == [["pong", 0]]


def test_a_message_of_either_end_delays_the_ping() -> None:
    pair = Pair(left={"ping": 4_000}, right={"ping": None}).meet()
    pair.clock.advance(3_000)
    pair.right.log.add({"type": "a"})
    pair.clock.advance(3_000)
    pair.left.log.add({"type": "b"})
    pair.forget()

    pair.clock.advance(3_999)

    assert pair.left_sent == []


def test_pings_are_sent_again_and_again() -> None:
    pair = Pair(left={"ping": 4_000}, right={"ping": None}).meet()

    pair.clock.advance(60_000)

    assert pair.left_sent == [["ping", 0]] * 15
    assert pair.left.connected


def test_at_most_one_ping_is_unanswered() -> None:
    pair = Pair(left={"ping": 1_000, "timeout": 5_500}, right={"ping": None}).catch().meet()
    pair.mute("right")

    pair.clock.advance(5_000)

    assert pair.left_sent == [["ping", 0]]


def test_no_ping_is_sent_before_the_greeting() -> None:
    stranger = Neighbour(dials=False, ping=1_000, timeout=20_000)
    stranger.heard.clear()

    stranger.clock.advance(10_000)

    assert stranger.heard == []


def test_the_marks_in_ping_and_pong_are_the_position_of_the_walk() -> None:
    pair = Pair(left={"ping": 4_000}, right={"ping": None}).meet()
    pair.left.log.add({"type": "a"})
    pair.forget()

    pair.clock.advance(4_000)

    assert pair.left_sent == [["ping", 1]]
    assert pair.right_sent == [["pong", 1]]


def test_a_ping_without_a_timeout_raises_an_error() -> None:
    with pytest.raises(ValueError, match="set the timeout option too"):
        Pair(left={"ping": 1_000, "timeout": None})


# Timeout


def test_a_peer_that_answers_nothing_is_disconnected() -> None:
    pair = Pair(left={"ping": 4_000, "timeout": 5_000}, right={"ping": None}).catch().meet()
    pair.mute("right")

    pair.clock.advance(9_000)

    assert pair.left_sent == [["ping", 0], ["error", "timeout", 5_000]]
    assert pair.left_errors == ["right: timeout (A timeout was reached (5000ms))"]
    assert not pair.left.connected


def test_an_event_that_is_not_acknowledged_ends_the_link() -> None:
    pair = Pair(timeout=5_000, ping=None).catch().meet()
    pair.mute("right")

    pair.left.log.add({"type": "a"})
    pair.clock.advance(4_999)
    assert pair.left.connected
    pair.clock.advance(1)

    assert pair.left_sent[-1] == ["error", "timeout", 5_000]


def test_an_answer_inside_the_call_leaves_no_timeout() -> None:
    pair = Pair(timeout=5_000, ping=None).meet()

    for number in range(20):
        pair.left.log.add({"type": str(number)})
    pair.clock.advance(60_000)

    assert pair.left.connected and pair.right.connected
    assert pair.clock.waiting == 0


def test_an_answer_to_one_message_does_not_end_the_timeout_of_the_next() -> None:
    pair = Pair(timeout=5_000, ping=None).catch().meet()
    pair.mute("right")
    pair.left.log.add({"type": "a"})
    pair.left.log.add({"type": "b"})
    pair.clock.advance(3_000)

    pair.local.right.send(b'["synced",1]')
    pair.clock.advance(5_000)

    assert pair.left_sent[-1] == ["error", "timeout", 5_000]


def test_a_cumulative_acknowledgement_ends_every_timeout() -> None:
    pair = Pair(timeout=5_000, ping=None).meet()
    pair.mute("right")
    for name in "abc":
        pair.left.log.add({"type": name})

    pair.local.right.send(b'["synced",3]')
    pair.clock.advance(60_000)

    assert pair.left.connected


def test_bytes_that_arrive_slowly_keep_the_link_open() -> None:
    stranger = Neighbour(timeout=5_000, ping=None).greet()
    stranger.log.add({"type": "a"})

    for _ in range(20):
        stranger.clock.advance(4_000)
        stranger.trickle()
    assert stranger.connected
    stranger.clock.advance(5_000)

    assert stranger.heard[-1] == ["error", "timeout", 5_000]


def test_an_end_that_dials_and_sends_nothing_is_disconnected() -> None:
    stranger = Neighbour(timeout=5_000)

    stranger.clock.advance(5_000)

    assert stranger.heard == [["error", "timeout", 5_000]]
    assert stranger.reasons == ["timeout"]


def test_an_end_that_is_dialled_and_sends_nothing_is_disconnected() -> None:
    stranger = Neighbour(dials=False, timeout=5_000)

    stranger.clock.advance(5_000)

    assert stranger.heard[1:] == [["error", "timeout", 5_000]]


@pytest.mark.parametrize("dials", [True, False])
def test_an_end_that_sends_single_bytes_is_disconnected_at_the_limit_of_the_handshake(dials: bool) -> None:
    stranger = Neighbour(dials=dials, timeout=5_000)

    while stranger.clock.elapsed_ms() < HANDSHAKE_MS - 1_000:
        stranger.clock.advance(1_000)
        stranger.trickle()
    assert stranger.connected
    stranger.clock.advance(1_000)

    assert stranger.heard[-1] == ["error", "timeout", HANDSHAKE_MS]
    assert not stranger.connected


def test_an_end_that_sends_only_headers_is_disconnected_too() -> None:
    stranger = Neighbour(timeout=5_000)

    for number in range(HANDSHAKE_MS // 1_000):
        stranger.say("headers", {"number": number})
        stranger.clock.advance(1_000)

    assert not stranger.connected


def test_the_handshake_has_no_limit_when_there_is_no_timeout() -> None:
    stranger = Neighbour(timeout=None, ping=None)

    stranger.clock.advance(10 * HANDSHAKE_MS)

    assert stranger.connected


def test_an_end_that_is_authenticated_in_time_stays_connected() -> None:
    pair = Pair(ping=None).meet()

    pair.clock.advance(10 * HANDSHAKE_MS)

    assert pair.left.connected


def test_timeouts_of_the_last_link_do_not_end_the_next() -> None:
    pair = Pair(timeout=5_000, ping=None).meet()
    pair.mute("right")
    pair.left.log.add({"type": "a"})
    pair.unmute("right")
    pair.cut()
    pair.connect()

    pair.clock.advance(60_000)

    assert pair.left.connected


class LateTurns:
    """A `turn` that takes reactions one by one, as a mailbox does."""

    def __init__(self) -> None:
        self.waiting: list[Any] = []

    def __call__(self, reaction: Any) -> Any:
        return lambda *args: self.waiting.append((reaction, args))

    def run(self) -> None:
        while self.waiting:
            reaction, args = self.waiting.pop(0)
            reaction(*args)


def test_a_role_works_when_its_reactions_run_in_a_later_turn() -> None:
    turns = LateTurns()
    pair = Pair(right={"turn": turns}).connect()
    pair.left.log.add({"type": "a"})
    pair.right.log.add({"type": "b"})

    turns.run()

    assert pair.left.log.types == pair.right.log.types == ["a", "b"]


def test_a_link_that_has_closed_before_its_turn_is_not_greeted() -> None:
    turns = LateTurns()
    pair = Pair(left={"turn": turns}, right={"turn": turns})
    pair.connect()
    pair.cut()

    turns.run()

    assert pair.left_sent == []
    assert pair.left.state == "disconnected"
    assert pair.clock.waiting == 0


def test_a_timer_that_fired_before_a_loss_does_not_affect_the_next_link() -> None:
    turns = LateTurns()
    pair = Pair(timeout=5_000, ping=None, left={"turn": turns}).catch()
    pair.mute("right")
    pair.connect()
    turns.run()
    pair.clock.advance(4_999)
    pair.cut()
    pair.unmute("right")
    pair.clock.advance(1)  # the timer of the first link is in the mailbox, behind the loss
    pair.connect()
    turns.run()

    assert pair.left.authenticated
    assert pair.left_errors == []
    pair.destroy()
    turns.run()
    assert pair.clock.waiting == 0
