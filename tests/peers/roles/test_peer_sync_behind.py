"""A node that is behind is not synchronized."""

from __future__ import annotations

from typing import Any

from peers.events.piece import Piece
from peers.later import Later
from peers.roles.run_relaying import RELAY_MS
from peers.roles.run_session import PEER_PING_MS, PEER_TIMEOUT_MS
from tests.support.neighbour import Author, Neighbour, bring
from tests.support.pair import Pair, fill
from tests.support.run_house import hollowed


def greeted_by(written: int, **options: Any) -> Neighbour:
    """A stranger whose log holds so many events of its own."""
    stranger = Neighbour(**options)
    for number in range(1, written + 1):
        stranger.own.write(f"{number}")
    stranger.greet(ends=stranger.own.ends, last_position=written)
    return stranger


def test_the_state_is_sending_until_the_events_of_the_other_ends_greeting_have_arrived() -> None:
    stranger = greeted_by(3)
    assert (stranger.role.state, stranger.role.missing) == ("sending", 3)

    stranger.sends(first_of(stranger, 2))
    assert (stranger.role.state, stranger.role.missing) == ("sending", 1)
    stranger.sends(stranger.own.piece(3))

    assert (stranger.role.state, stranger.role.missing) == ("synchronized", 0)


def first_of(stranger: Neighbour, count: int) -> Piece:
    """Its first events, as one that has no more of them would send them."""
    author = Author("stranger", 100)
    for number in range(1, count + 1):
        author.write(f"{number}")
    return author.piece()


def test_the_state_is_never_synchronized_while_a_backlog_arrives() -> None:
    pair = Pair()
    fill(pair.left.log, 3)
    states: list[tuple[str, int]] = []
    pair.right.on("state", lambda: states.append((pair.right.state, len(pair.right.log.types))))

    pair.connect()

    assert pair.right.state == "synchronized"
    assert [held for state, held in states if state == "synchronized"] == [3]


def test_a_log_that_the_other_end_has_cleaned_is_not_waited_for() -> None:
    stranger = greeted_by(3)

    stranger.sends(hollowed(stranger.own.piece()))  # it has their leaves still

    assert (stranger.role.state, stranger.role.missing) == ("synchronized", 0)
    assert stranger.log.types == []


def test_a_ping_of_an_end_that_has_sent_everything_ends_the_waiting() -> None:
    stranger = greeted_by(3)

    stranger.say("ping", 2)
    assert stranger.role.state == "sending"
    stranger.say("ping", 3)

    assert stranger.role.state == "synchronized"


def test_events_that_came_over_another_link_are_not_waited_for() -> None:
    stranger = greeted_by(3)

    bring(stranger.log, stranger.own.piece())
    stranger.clock.advance(2 * RELAY_MS)

    assert (stranger.role.state, stranger.role.missing) == ("synchronized", 0)


def test_a_link_on_which_nothing_moves_is_stalled_for_the_end_that_lacks_something() -> None:
    stranger = greeted_by(3)

    assert stranger.role.is_owing
    assert stranger.role.is_stalled
    stranger.sends(first_of(stranger, 1))
    assert stranger.role.is_owing
    assert not stranger.role.is_stalled


def test_a_link_on_which_nothing_is_acknowledged_is_stalled_for_the_end_that_sends() -> None:
    pair = Pair().catch().meet()
    pair.mute("left")
    pair.left.log.add({"type": "a"})
    assert pair.left.is_stalled

    pair.clock.advance(PEER_PING_MS + PEER_TIMEOUT_MS)

    assert pair.left_errors == ["right sent timeout (A timeout was reached (5000ms))"]
    assert pair.left.is_stalled  # also when the link is over


def test_a_link_with_nothing_to_send_is_not_owing() -> None:
    pair = Pair().meet()

    assert not pair.left.is_owing
    assert not pair.left.is_stalled


def test_the_lag_of_the_last_link_counts_until_it_is_known_what_the_other_end_has() -> None:
    verdict: Later[bool] = Later()
    verdicts = [Later.done(True), verdict]
    stranger = Neighbour(auth=lambda *_: verdicts.pop(0)).greet()
    stranger.log.add({"type": "a"})
    stranger.confirms()
    stranger.theirs.disconnect()

    stranger.dialler.connect()
    stranger.greet()  # its disk was wiped
    assert (stranger.role.lag, stranger.role.state) == (0, "connecting")
    verdict.set(True)

    assert (stranger.role.lag, stranger.role.state) == (1, "sending")
