"""Rewinds: the values before any earlier event are found again, in memory and by segments, and what is kept stays small."""

from __future__ import annotations

from random import Random

import pytest

from mesh.views import undo
from mesh.views.state import Changes
from mesh.views.store import Olds, Segment
from mesh.views.undo import SEGMENT_EVENTS, SEGMENT_SHARE, Rewinder
from mesh.views.values import Compact
from peers.events.columns import EventTable
from peers.events.entry import Entry


def changes_of(key: str, old: Compact, new: Compact) -> Changes:
    """Those of one event."""
    changes = Changes()
    changes.add(key, old, new)
    changes.counts.append(1)
    return changes


class Folds:
    """Folds that change keys at random; it knows every state that there was, and plays the file."""

    def __init__(self, seed: int) -> None:
        self.random = Random(seed)
        self.rewinder = Rewinder([], None)
        self.state: Olds = {}
        self.history: list[tuple[Entry, Olds]] = []
        """Each event, with the state before it."""
        self.file: dict[int, Olds] = {}

    def fold(self, count: int) -> None:
        for _ in range(count):
            time = self.history[-1][0].time + 1 if self.history else 1
            entry = Entry((time, "user", 0), time, b"{}")
            self.history.append((entry, dict(self.state)))
            key, new = f"k{self.random.randrange(6)}", b"%d" % time if self.random.random() < 0.8 else None
            self.rewinder.add(EventTable.of([entry]), changes_of(key, self.state.get(key), new))
            self.state[key] = new

    def flush(self) -> None:
        pending, last_kept = self.rewinder.flushed()
        if last_kept is not None:
            self.file = {number: olds for number, olds in self.file.items() if number <= last_kept}
        for number, olds in pending.items():
            self.file[number] = olds | self.file.get(number, {})
        for number, behind in self.rewinder.merges():
            self.file[number] = self.file.pop(behind, {}) | self.file.get(number, {})
        first = self.rewinder.first_kept()
        self.file = {number: olds for number, olds in self.file.items() if number >= first}

    def go_back(self, time: int) -> int:
        """To before the event with this time, or further; the time of the last event that is left."""
        place = (time, (time, "user", 0))
        if self.rewinder.is_recent(place):
            self.rewinder.take_back(place, self.state)
            left = self.rewinder.last_place
        else:
            number = self.rewinder.segment_before(place)
            assert number is not None
            in_file: Olds = {}
            for each in sorted(self.file, reverse=True):
                is_valid = self.rewinder.last_kept is None or each <= self.rewinder.last_kept
                in_file.update(self.file[each] if each >= number and is_valid else {})
            left = self.rewinder.go_back(number, self.state, in_file)
        at = left[0] if left is not None else 0
        before = self.history[at][1]
        assert {key: text for key, text in self.state.items() if text is not None} == {
            key: text for key, text in before.items() if text is not None
        }
        del self.history[at:]
        return at


@pytest.mark.parametrize("seed", range(12))
def test_every_earlier_state_is_found_again(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (("FOLDED_EVENTS", 12), ("SEGMENT_EVENTS", 10)):
        monkeypatch.setattr(undo, name, value)
    folds = Folds(seed)
    for _ in range(30):
        folds.fold(folds.random.randrange(1, 40))
        if folds.random.random() < 0.6:
            folds.flush()
        length = len(folds.history)
        time = folds.random.randrange(max(1, length - folds.random.choice([5, 30, 400])), length + 1)
        assert folds.go_back(time) < time


def test_a_long_history_has_few_segments_and_none_goes_back_much_too_far() -> None:
    segments = [Segment(1, None, SEGMENT_EVENTS)]
    rewinder = Rewinder(segments, (1, (1, "user", 0)))
    for number in range(2, 1_000):
        segments.append(Segment(number, (number, (1, "user", 0)), SEGMENT_EVENTS))
        rewinder.merges()

    assert len(segments) < 100
    assert rewinder.events == 999 * SEGMENT_EVENTS
    after = rewinder.events
    for segment in segments:
        after -= segment.events
        assert segment.events <= max(SEGMENT_EVENTS, after // SEGMENT_SHARE + SEGMENT_EVENTS)


def test_the_oldest_values_are_dropped_when_there_are_too_many() -> None:
    segments = [Segment(n, (n, (1, "user", 0)), 10, undo.OLDS_BYTES // 4) for n in range(1, 9)]
    rewinder = Rewinder(segments, (9, (1, "user", 0)))

    assert rewinder.first_kept() == 5
    assert rewinder.segment_before((4, (1, "user", 0))) is None
    assert rewinder.segment_before((7, (1, "user", 0))) == 6
