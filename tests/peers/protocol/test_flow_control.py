"""Flow control: a window in bytes and a timeout, which both follow how long answers take."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from peers.protocol.flow_control import FIRST_BYTES, LEAST_BYTES, MAX_STRETCH, PARTS, Pace, Patience
from peers.roles.peer import RELAY_MS, SLOW_GATHER_MS
from tests.support.pair import Pair, Stranger, fill, received, sent_types, syncs

MOST = 4 * 1024 * 1024
answers = st.lists(st.tuples(st.integers(0, MOST), st.floats(0, 3_600_000)))


def test_full_messages_with_quick_answers_widen_the_window_and_late_answers_narrow_it() -> None:
    pace = Pace(MOST, MOST // 8)

    for _ in range(3):
        pace.note(pace.page_bytes, 20)
    assert pace.window == 8 * FIRST_BYTES
    pace.note(pace.page_bytes, 2_000)
    assert pace.window == 8 * FIRST_BYTES
    pace.note(100, 3_500)

    assert pace.window == 4 * FIRST_BYTES


def test_a_quick_answer_to_a_small_message_does_not_widen_the_window() -> None:
    pace = Pace(MOST, MOST // 8)

    for _ in range(100):
        pace.note(100, 1)

    assert pace.window == FIRST_BYTES


@given(answers)
def test_the_window_stays_within_its_limits(answers: list[tuple[int, float]]) -> None:
    pace = Pace(MOST, MOST // 8)

    for size, answer_ms in answers:
        pace.note(size, answer_ms)

        assert LEAST_BYTES <= pace.window <= MOST
        assert pace.page_bytes == min(pace.window // PARTS, MOST // 8)


def test_the_timeout_is_not_extended_for_an_end_that_answers_at_once() -> None:
    patience = Patience()

    for _ in range(10):
        patience.note(5)

    assert patience.limit_ms(5_000) == 5_000


def test_the_timeout_is_extended_for_an_end_whose_answers_take_long() -> None:
    patience = Patience()

    patience.note(3_000)

    assert patience.limit_ms(5_000) == 9_000


@given(st.lists(st.floats(0, 3_600_000)))
def test_the_timeout_stays_within_its_limits(answers: list[float]) -> None:
    patience = Patience()

    for answer_ms in answers:
        patience.note(answer_ms)

    assert 5_000 <= patience.limit_ms(5_000) <= 5_000 * MAX_STRETCH


# On a link. On real hosts with 2 kB/s, the first page of 512 kB never arrived before one end ended the link, and each
# attempt began from the start.


def test_a_new_link_begins_with_a_small_window() -> None:
    stranger = Stranger().greet()

    fill(stranger.log, 5_000)

    events = [name for types in sent_types(stranger.heard) for name in types]
    assert 10 < len(events) < 2 * FIRST_BYTES / 100


def test_a_backlog_takes_few_messages_when_answers_are_quick() -> None:
    pair = Pair()
    names = fill(pair.left.log, 50_000)

    pair.connect()

    assert pair.right.log.types == names
    assert len(syncs(pair.left_sent)) < 50_000 / 500 + 100


def test_an_end_that_answers_late_gets_smaller_messages_and_a_longer_timeout() -> None:
    stranger = Stranger(timeout=5_000, ping=None).greet()
    fill(stranger.log, 5_000)
    for _ in range(20):
        stranger.clock.advance(4_000)
        stranger.trickle()
        stranger.say("synced", syncs(stranger.heard)[-1][1])

    stranger.heard.clear()
    stranger.clock.advance(6_000)
    assert stranger.connected
    assert stranger.role._pace.window == LEAST_BYTES  # no port shows the window alone
    stranger.clock.advance(14_000)

    assert not stranger.connected


def test_on_a_slow_link_one_have_message_names_many_commits() -> None:
    stranger = Stranger().greet()
    for number in range(1, 11):
        stranger.log.add({"type": "own"})
        stranger.clock.advance(4_500)
        stranger.say("synced", number)
    stranger.heard.clear()

    for seq in range(1, 51):
        stranger.log.add_entries([received(seq)])
        stranger.clock.advance(SLOW_GATHER_MS / 50)
    stranger.clock.advance(2 * SLOW_GATHER_MS + 2 * RELAY_MS)

    assert len([message for message in stranger.heard if message[0] == "have"]) <= 2
