"""When a child that failed starts again: each failure counts less as time passes, and too many of them pause the child."""

from __future__ import annotations

from dataclasses import dataclass

THRESHOLD = 5.0
"""A child is paused when its count of failures is above this."""
FAILURE_HALF_LIFE_SECONDS = 30.0
"""After this long a failure counts half."""
MIN_DELAY_SECONDS = 0.1
MAX_DELAY_SECONDS = 15.0
"""Shortest and longest wait before a restart, without jitter."""


@dataclass(frozen=True, slots=True)
class Record:
    """The failures of one child."""

    failures: float = 0.0
    """The count at `at_seconds`, with older failures counted less."""
    at_seconds: float = 0.0
    restarts: int = 0
    is_paused: bool = False
    why: str = ""
    """The last error."""


@dataclass(frozen=True, slots=True)
class Restart:
    """Start the child again after `delay_seconds`."""

    delay_seconds: float


@dataclass(frozen=True, slots=True)
class Pause:
    """Do not start the child again before a retry of the operator, or a new run or address of the node it is about."""


def on_failure(record: Record, now_seconds: float, why: str, share: float) -> tuple[Record, Restart | Pause]:
    """The new record of a child that failed at `now_seconds`, and what to do; `share` from 0 to 1 is the jitter.

    After the supervisor of suture (Go) and Erlang/OTP: the count halves every FAILURE_HALF_LIFE_SECONDS and is compared with
    THRESHOLD. The delay doubles with the count; half of it is jitter, so that children do not start at the same moment.
    """
    elapsed = max(0.0, now_seconds - record.at_seconds)
    failures = record.failures * 0.5 ** (elapsed / FAILURE_HALF_LIFE_SECONDS) + 1
    if failures > THRESHOLD:
        return Record(failures, now_seconds, record.restarts, True, why), Pause()
    delay = min(MAX_DELAY_SECONDS, MIN_DELAY_SECONDS * 2 ** (failures - 1)) * (0.5 + share / 2)
    return Record(failures, now_seconds, record.restarts + 1, False, why), Restart(delay)


def on_retry(record: Record) -> Record:
    """The record after a retry of the operator, or a new run of the node: no failure counts any more."""
    return Record(restarts=record.restarts, why=record.why)


class Failures(dict[str, Record]):
    """Records by what failed: a node id or a static address."""

    def on_failure(self, subject: str, now_seconds: float, why: str, share: float) -> Restart | Pause:
        """Count a failure of `subject`. Parameters and result are those of the function `on_failure`."""
        self[subject], outcome = on_failure(self.get(subject, Record()), now_seconds, why, share)
        return outcome

    def is_paused(self, subject: str) -> bool:
        """Whether `subject` is not started again because it failed too often."""
        record = self.get(subject)
        return record is not None and record.is_paused

    def forgive(self, subject: str, *, only_paused: bool = False) -> None:
        """Let the failures of `subject` count no more, with `only_paused` only if it is paused."""
        if subject in self and (self.is_paused(subject) or not only_paused):
            self[subject] = on_retry(self[subject])
