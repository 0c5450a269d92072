"""What a store of runs does with `logux/undo`: it marks the events that are undone."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple

from peers.events.created import Created
from peers.events.entry import Entry
from peers.stores.runs.rows import RunRows
from peers.stores.undo import undone_among, undone_by


class Marked(NamedTuple):
    """What follows from the `logux/undo` of one write."""

    undone: tuple[Created, ...] = ()
    restored: tuple[Created, ...] = ()


_NOTHING = Marked()


class UndoRules(RunRows):
    """Every `logux/undo` that is shown counts, before its event comes or after it.

    Its mark follows the copy that is shown, and stays when it is cleaned. So there are as many marks as such events, at most.
    """

    def undone(self, createds: Collection[Created]) -> set[Created]:
        """As in the port."""
        return self._marked(createds)

    def has_undone(self) -> bool:
        """As in the port."""
        return self._has_marks()

    def aside_of(self, created: Created) -> list[Entry]:
        """As in the port."""
        return [copy for copy in self._aside_of(created) if not copy.tombstone and not copy.added]

    def _mark(self, shown: Sequence[Entry], replaced: Mapping[Created, Entry]) -> Marked:
        """Note what these events undo: those that are shown now, and those that are in the place of another copy."""
        marks = dict(undone_among(shown))
        if not marks and not replaced:
            return _NOTHING
        for created, copy in replaced.items():
            target = undone_by(copy.body)
            if target is None:
                marks.pop(created, None)
            else:
                marks[created] = target
        gone = {undo: target for undo, target in self._marks_by(replaced).items() if marks.get(undo) != target}
        targets = dict.fromkeys([*marks.values(), *gone.values()])
        before = self._marked(targets)
        self._remove_marks(gone)
        self._put_marks(marks)
        now = self._marked(targets)
        return Marked(
            tuple([target for target in targets if target in now and target not in before]),
            tuple([target for target in targets if target in before and target not in now]),
        )
