"""When a failed child starts again."""

from __future__ import annotations

import pytest

from mesh.membership.restart_policy import (
    FAILURE_HALF_LIFE_SECONDS,
    MAX_DELAY_SECONDS,
    MIN_DELAY_SECONDS,
    Pause,
    Record,
    Restart,
    on_failure,
    on_retry,
)


@pytest.mark.parametrize(
    ("failures", "share", "delay"),
    [
        (0, 1.0, MIN_DELAY_SECONDS),
        (0, 0.0, MIN_DELAY_SECONDS / 2),
        (1, 1.0, 0.2),
        (2, 1.0, 0.4),
        (4, 1.0, 1.6),
        (4, 0.0, 0.8),
    ],
)
def test_the_pause_before_a_restart_doubles_and_is_jittered(failures: float, share: float, delay: float) -> None:
    record, outcome = on_failure(Record(failures, 7.0), 7.0, "a bug", share)

    assert isinstance(outcome, Restart)
    assert outcome.delay_seconds == pytest.approx(delay)
    assert outcome.delay_seconds <= MAX_DELAY_SECONDS
    assert (record.failures, record.restarts, record.why, record.is_paused) == (failures + 1, 1, "a bug", False)


@pytest.mark.parametrize(
    ("seconds_between", "count", "is_paused"),
    [
        (0.0, 5, False),
        (0.0, 6, True),
        (1.0, 5, False),
        (1.0, 6, True),
        (FAILURE_HALF_LIFE_SECONDS, 100, False),
        (5.0, 100, True),
        (10.0, 100, False),
    ],
    ids=str,
)
def test_too_many_failures_in_a_short_time_pause_a_child(seconds_between: float, count: int, is_paused: bool) -> None:
    record = Record()
    for number in range(count):
        record, outcome = on_failure(record, number * seconds_between, "a bug", 0.5)
        if record.is_paused:
            assert isinstance(outcome, Pause)
            break

    assert record.is_paused is is_paused


def test_a_clock_that_goes_back_does_not_make_failures_count_more() -> None:
    record, _ = on_failure(Record(2.0, 100.0), 1.0, "a bug", 0.5)

    assert record.failures == 3.0


def test_a_retry_forgets_failures_and_keeps_the_restarts_and_the_last_error() -> None:
    record = on_retry(Record(6.0, 1.0, 5, True, "a bug"))

    assert record == Record(0.0, 0.0, 5, False, "a bug")
