"""Clocks: steps of this machine's clock, a log that is ahead of it, and clocks that differ between nodes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from mesh.membership.actions import Action, Notice
from mesh.membership.membership import Membership
from peers.events.created import MAX_DRIFT_MS
from peers.roles.clock_offset import Span, difference_ms

CHECK_SECONDS = 10.0
"""Time between two readings of our own clock."""
SHOWN_MS = 86_400_000
"""How long `status` shows a step."""
MIN_WITNESSES = 2
"""So many connected nodes must agree that our clock is wrong: a single one may be wrong itself."""
REMEDY = "set it, or let a time service (NTP) do so"

_UNITS = ((31_557_600_000, "years"), (86_400_000, "days"), (3_600_000, "hours"))


@dataclass(frozen=True, slots=True)
class _Reading:
    wall_ms: int
    uptime_ms: float


class Clocks:
    """Compares this machine's clock with its own past, with the log and with the clocks of connected nodes.

    Differences of up to MAX_DRIFT_MS are usual, and are not reported. Each other step, lead (a log ahead of the clock) and
    difference is returned as a notice once, until it has gone.
    """

    def __init__(self, membership: Membership) -> None:
        """`membership` is only read: only nodes that are connected are compared."""
        self._membership = membership
        self._last: _Reading | None = None
        self._log_ms = 0
        self._step: tuple[int, _Reading] | None = None
        """The last step in ms, and the reading that showed it."""
        self._spans: dict[str, Span] = {}
        self._reported: set[str] = set()
        """Nodes whose difference was reported."""
        self._is_lead_reported = False
        self._is_wrong_reported = False

    def on_reading(self, wall_ms: int, uptime_ms: float, log_ms: int) -> list[Action]:
        """Compare a reading of our wall clock with the last one, and with the log. Call it every CHECK_SECONDS.

        `uptime_ms` is a clock that never steps; `log_ms` is the highest time that the log's timer has given.
        """
        last, self._last, self._log_ms = self._last, _Reading(wall_ms, uptime_ms), log_ms
        lead = self._lead_ms()
        step = round(wall_ms - last.wall_ms - (uptime_ms - last.uptime_ms)) if last is not None else 0
        if abs(step) > MAX_DRIFT_MS:
            return self._on_step(step, self._last, lead)
        is_new = bool(lead) and not self._is_lead_reported
        self._is_lead_reported = bool(lead)
        return [_notice(None, _lead_sentence(lead), "lead")] if is_new else []

    def on_compared(self, node_id: str, span: Span) -> list[Action]:
        """The clock of a connected node was compared with ours: it is ahead by a value within `span`, in ms."""
        self._spans[node_id] = span
        measured, off = self._measured(), self._off()
        self._reported = {
            known for known in self._reported if known in off or (known not in measured and self._is_known(known))
        }
        wrong = self._wrong_ms()
        was_reported, self._is_wrong_reported = self._is_wrong_reported, bool(wrong)
        if wrong:
            self._reported.update(off)
            return [] if was_reported else [_notice(None, f"{self._wrong_sentence(wrong)}; {REMEDY}", "own")]
        if node_id not in off or node_id in self._reported:
            return []
        self._reported.add(node_id)
        return [_notice(node_id, self._sentence_of(node_id, off[node_id]), "neighbour")]

    def rows(self) -> list[dict[str, Any]]:
        """What `status` shows under `clocks`.

        `kind` is step, lead, own (our clock is wrong) or neighbour (that of a connected node is); `ms` is the difference,
        positive if the other clock or the log is ahead of our clock.
        """
        rows: list[dict[str, Any]] = []
        if self._step is not None and self._last is not None:
            step, when = self._step
            if self._last.uptime_ms - when.uptime_ms < SHOWN_MS:
                rows.append(_row("step", None, step, _step_sentence(step), at_ms=when.wall_ms))
        if lead := self._lead_ms():
            rows.append(_row("lead", None, lead, _lead_sentence(lead)))
        if wrong := self._wrong_ms():
            rows.append(_row("own", None, wrong, self._wrong_sentence(wrong)))
        else:
            rows += [
                _row("neighbour", node_id, ms, self._sentence_of(node_id, ms)) for node_id, ms in self._off().items()
            ]
        return rows

    def ahead_ms(self) -> dict[str, int]:
        """By how much the clocks of connected nodes are ahead of ours, at least; by node id, negative if they are behind."""
        return {node_id: difference_ms(span) for node_id, span in sorted(self._measured().items())}

    def _on_step(self, step: int, now: _Reading, lead: int) -> list[Action]:
        self._step = step, now
        self._spans = {node_id: (low - step, high - step) for node_id, (low, high) in self._spans.items()}
        # What follows from the step is shown in `status`, but gets no notice of its own.
        self._is_lead_reported, self._is_wrong_reported = bool(lead), bool(self._wrong_ms())
        self._reported = {*self._reported, *self._off()} if self._off() else set()
        sentence = _step_sentence(step)
        if lead:
            sentence += f": what is written now comes before what was written in the last {length(lead)}"
        return [_notice(None, sentence, "step")]

    def _lead_ms(self) -> int:
        """By how much the log's timer is ahead of our clock; 0 if the difference is usual."""
        lead = self._log_ms - self._last.wall_ms if self._last is not None else 0
        return lead if lead > MAX_DRIFT_MS + 1 else 0

    def _wrong_ms(self) -> int:
        """By how much our clock is ahead of most connected nodes, negative if behind; 0 if it agrees with most of them."""
        off = self._off()
        for side in ([ms for ms in off.values() if ms < 0], [ms for ms in off.values() if ms > 0]):
            if len(side) >= MIN_WITNESSES and 2 * len(side) > len(self._measured()):
                from statistics import median  # imported here: fractions and decimals come with it

                return -round(median(side))
        return 0

    def _wrong_sentence(self, wrong: int) -> str:
        count = sum((ms < 0) == (wrong > 0) for ms in self._off().values())
        of_them = f"the clocks of {count} of {len(self._measured())} neighbours"
        return f"this machine's clock is wrong: it is {_away(wrong)} {of_them}"

    def _sentence_of(self, node_id: str, ms: int) -> str:
        if len(self._measured()) == 1:  # either of the two may be wrong
            return f"this machine's clock is {_away(-ms)} {node_id}'s"
        return f"{node_id}'s clock is {_away(ms)} this machine's"

    def _off(self) -> dict[str, int]:
        """The differences of those connected nodes whose clocks differ too much, by node id."""
        return {node_id: ms for node_id, ms in self.ahead_ms().items() if abs(ms) > MAX_DRIFT_MS}

    def _measured(self) -> dict[str, Span]:
        met = {session.other_node_id for session in self._membership.sessions.values() if session.is_met}
        self._spans = {node_id: span for node_id, span in self._spans.items() if node_id in met}
        return self._spans

    def _is_known(self, node_id: str) -> bool:
        return node_id in self._membership.members


def length(ms: int) -> str:
    """A length of time in words, in the largest unit of which there are at least two: `3 hours`."""
    for unit, name in _UNITS:
        if abs(ms) >= 2 * unit:
            return f"{round(abs(ms) / unit)} {name}"
    return f"{round(abs(ms) / 1000)} s"


def _away(ms: int) -> str:
    return f"{length(ms)} {'ahead of' if ms > 0 else 'behind'}"


def _step_sentence(ms: int) -> str:
    return f"this machine's clock stepped {'forward' if ms > 0 else 'back'} by {length(ms)}"


def _lead_sentence(ms: int) -> str:
    return f"our log's clock is {_away(ms)} this machine's: what is written now comes before what was written by a wrong clock"


def _notice(node_id: str | None, sentence: str, cause: str) -> Notice:
    return Notice("clock", node_id, sentence, cause)


def _row(kind: str, node_id: str | None, ms: int, sentence: str, *, at_ms: int | None = None) -> dict[str, Any]:
    return {"kind": kind, "node_id": node_id, "ms": ms, "at_ms": at_ms, "sentence": sentence}
