"""A node that is behind is not synchronized."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from peers.events.version_vector import VersionVector
from peers.roles.missing import Missing
from peers.roles.peer import PEER_PING_MS, PEER_TIMEOUT_MS
from tests.support.pair import Pair, Stranger, fill, hello, wire_event


def greeted_by(last_position: int, seqs: list[tuple[int, int]], **options: Any) -> Stranger:
    """A stranger whose log holds these dots of an epoch `e`."""
    stranger = Stranger(**options)
    peer = hello({"e": seqs}, last_position=last_position)
    stranger.say("connect", 5, "stranger", 0, {"peer": peer})
    stranger.heard.clear()
    return stranger


def test_the_state_is_sending_until_the_events_of_the_other_ends_greeting_have_arrived() -> None:
    stranger = greeted_by(3, [(1, 3)])
    assert (stranger.role.state, stranger.role.missing) == ("sending", 3)

    stranger.say("sync", 2, *wire_event(1), *wire_event(2))
    assert (stranger.role.state, stranger.role.missing) == ("sending", 1)
    stranger.say("sync", 3, *wire_event(3))

    assert (stranger.role.state, stranger.role.missing) == ("synchronized", 0)


def test_the_state_is_never_synchronized_while_a_backlog_arrives() -> None:
    pair = Pair()
    fill(pair.left.log, 3)
    states: list[tuple[str, int]] = []
    pair.right.on("state", lambda: states.append((pair.right.state, len(pair.right.log.types))))

    pair.connect()

    assert pair.right.state == "synchronized"
    assert [held for state, held in states if state == "synchronized"] == [3]


def test_events_that_the_other_end_has_cleaned_are_not_waited_for() -> None:
    stranger = greeted_by(3, [(1, 3)])

    stranger.say("sync", 3, *wire_event(3))

    assert stranger.heard[-1][0] == "ping"  # asks up to where it has sent all
    stranger.say("pong", 3)
    assert (stranger.role.state, stranger.role.missing) == ("synchronized", 0)


def test_an_own_event_that_overtook_others_does_not_count_as_the_end_of_the_walk() -> None:
    stranger = greeted_by(3, [(1, 3)])
    stranger.say("sync", 3, *wire_event(3))

    stranger.say("pong", 1)  # the mark of that `sync` lay beyond the walk

    assert (stranger.role.state, stranger.role.missing) == ("sending", 2)


def test_a_ping_of_an_end_that_has_sent_everything_ends_the_waiting() -> None:
    stranger = greeted_by(3, [(1, 3)])

    stranger.say("ping", 3)

    assert stranger.role.state == "synchronized"


def test_a_greeting_of_an_older_release_without_a_last_position_is_accepted() -> None:
    stranger = Stranger().greet(vector={"e": [[1, 2]]})
    assert stranger.role.state == "sending"

    stranger.say("sync", 2, *wire_event(1), *wire_event(2))

    assert stranger.role.state == "synchronized"


def test_a_link_on_which_nothing_moves_is_stalled_for_the_end_that_lacks_something() -> None:
    stranger = greeted_by(3, [(1, 3)])

    assert stranger.role.is_owing
    assert stranger.role.is_stalled
    stranger.say("sync", 1, *wire_event(1))
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


vectors = st.dictionaries(st.sampled_from("ab"), st.sets(st.integers(1, 12))).map(
    lambda dots: VersionVector().adds((epoch, seq) for epoch, seqs in dots.items() for seq in seqs)
)


@given(vectors, vectors, vectors)
def test_only_events_of_the_greeting_count_as_missing(
    held: VersionVector, greeted: VersionVector, came: VersionVector
) -> None:
    missing = Missing(held, greeted, 9)

    now = held.joins(came)

    assert missing.count(now) == sum(last - first + 1 for _, first, last in now.lacks(greeted))
    assert missing.is_past(9)
    assert not missing.is_past(8)
    missing.end()
    assert missing.count(VersionVector()) == 0
