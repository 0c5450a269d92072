"""Flow control: a window in bytes and a timeout, which both follow how long answers take."""

from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st

from peers.events.run import RUN_ENTRIES
from peers.protocol.flow_control import FIRST_BYTES, LEAST_BYTES, MAX_STRETCH, PARTS, Pace, Patience
from peers.protocol.sync import WINDOW
from peers.roles.run_relaying import RELAY_MS, SLOW_GATHER_MS
from tests.support.neighbour import Neighbour, named, numbers, sent_pieces, sent_types
from tests.support.pair import Pair, fill

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
    stranger = Neighbour().greet()

    fill(stranger.log, 5_000)

    sizes = [len(json.dumps(pieces)) for pieces in sent_pieces(stranger.heard)]
    assert len(sizes) < WINDOW
    assert sum(sizes[:-1]) < 2 * FIRST_BYTES  # a piece is a run, or what is signed of it


def test_no_more_is_on_its_way_than_the_window_has() -> None:
    stranger = Neighbour().greet()
    for _ in range(4):
        stranger.log.add({"type": "x" * 10_000})
    assert len(numbers(stranger.heard)) == 2  # 16 KiB
    stranger.heard.clear()

    stranger.confirms(2)

    assert sum(map(len, sent_types(stranger.heard))) == 2


def test_own_events_that_overtake_keep_to_the_window_too() -> None:
    stranger = Neighbour().greet()
    stranger.elsewhere()
    for _ in range(4):
        stranger.log.add({"type": "x" * 10_000})

    assert len(numbers(stranger.heard)) == 2


def test_a_backlog_takes_few_messages_when_answers_are_quick() -> None:
    pair = Pair()
    names = fill(pair.left.log, 50_000)

    pair.connect()

    assert pair.right.log.types == names
    assert len(sent_pieces(pair.left_sent)) < 50_000 / RUN_ENTRIES + 100


def test_an_end_that_answers_late_gets_smaller_messages_and_a_longer_timeout() -> None:
    stranger = Neighbour(timeout=5_000, ping=None).greet()
    for _ in range(20):
        stranger.log.add({"type": "x" * 3_000})
        stranger.clock.advance(4_000)
        stranger.trickle()
        stranger.confirms()

    stranger.heard.clear()
    fill(stranger.log, 10)
    stranger.clock.advance(6_000)
    assert stranger.connected
    assert stranger.role.page_bytes() == LEAST_BYTES // PARTS
    stranger.clock.advance(14_000)

    assert not stranger.connected


def test_on_a_slow_link_one_have_message_names_many_commits() -> None:
    stranger = Neighbour().greet()
    for _ in range(1, 11):
        stranger.log.add({"type": "own"})
        stranger.clock.advance(4_500)
        stranger.confirms()
    stranger.heard.clear()

    for _ in range(1, 51):
        stranger.elsewhere()
        stranger.clock.advance(SLOW_GATHER_MS / 50)
    stranger.clock.advance(2 * SLOW_GATHER_MS + 2 * RELAY_MS)

    assert len(named(stranger.heard)) <= 2
