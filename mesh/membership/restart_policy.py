"""When a child that failed starts again: failures decay, too many of them pause it."""

from __future__ import annotations

from dataclasses import dataclass

THRESHOLD = 5.0
"""Failures that count at one time before a child is paused."""
DECAY_SECONDS = 30.0
"""After this long a failure counts half."""
MIN_DELAY_SECONDS = 0.1
MAX_DELAY_SECONDS = 15.0


@dataclass(frozen=True, slots=True)
class Record:
    """What is remembered of a child's failures."""

    failures: float = 0.0
    """As of `at_seconds`, older ones counted less."""
    at_seconds: float = 0.0
    restarts: int = 0
    is_paused: bool = False
    why: str = ""
    """The last failure, as a sentence."""


@dataclass(frozen=True, slots=True)
class Restart:
    """Start it again after `delay_seconds`."""

    delay_seconds: float


@dataclass(frozen=True, slots=True)
class Pause:
    """Leave it alone until an operator or a change says otherwise."""


def on_failure(record: Record, now_seconds: float, why: str, share: float) -> tuple[Record, Restart | Pause]:
    """What to do after a failure at `now_seconds`; `share` from 0 to 1 is the jitter.

    Source: the supervisor of suture (Go), after Erlang/OTP: a count that halves every DECAY_SECONDS, compared with THRESHOLD.
    The delay doubles with the count; a random half of it keeps children from starting in step.
    """
    elapsed = max(0.0, now_seconds - record.at_seconds)
    failures = record.failures * 0.5 ** (elapsed / DECAY_SECONDS) + 1
    if failures > THRESHOLD:
        return Record(failures, now_seconds, record.restarts, True, why), Pause()
    delay = min(MAX_DELAY_SECONDS, MIN_DELAY_SECONDS * 2 ** (failures - 1)) * (0.5 + share / 2)
    return Record(failures, now_seconds, record.restarts + 1, False, why), Restart(delay)


def on_retry(record: Record) -> Record:
    """The operator, or a change of address or instance, gives it a new chance."""
    return Record(restarts=record.restarts, why=record.why)


class Failures(dict[str, Record]):
    """Records by what failed: a node id or a static address."""

    def on_failure(self, subject: str, now_seconds: float, why: str, share: float) -> Restart | Pause:
        """Note a failure of `subject`, and what to do; see the function `on_failure`."""
        self[subject], outcome = on_failure(self.get(subject, Record()), now_seconds, why, share)
        return outcome

    def is_paused(self, subject: str) -> bool:
        record = self.get(subject)
        return record is not None and record.is_paused

    def forgive(self, subject: str, *, only_paused: bool = False) -> None:
        """Give it a new chance, if it failed."""
        if subject in self and (self.is_paused(subject) or not only_paused):
            self[subject] = on_retry(self[subject])
