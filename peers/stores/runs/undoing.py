"""What a store of runs keeps of `logux/undo`: marks of the events that are undone."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple, Protocol

from peers.events.created import Created
from peers.events.entry import Entry
from peers.stores.undo import undone_among, undone_by


class Marked(NamedTuple):
    """What follows from the `logux/undo` of one write."""

    undone: tuple[Created, ...] = ()
    restored: tuple[Created, ...] = ()


_NOTHING = Marked()


class UndoTable(Protocol):
    """What a store keeps of undone events: the `created` of each `logux/undo` that is shown or was cleaned, and what it undoes.

    Every `logux/undo` that is shown counts, before its event comes or after it. Its mark follows the copy that is shown, and
    stays when it is cleaned. So there are as many marks as such events, at most.
    """

    def by(self, undos: Collection[Created]) -> dict[Created, Created]:
        """The marks of these `logux/undo`."""

    def marked(self, targets: Collection[Created]) -> set[Created]:
        """Those of these events that have a mark, or several."""

    def are_any(self) -> bool:
        """Whether there are marks."""

    def put(self, marks: Mapping[Created, Created]) -> None:
        """Add these; those that are there already stay. As `remove`, it is called inside a transaction."""

    def remove(self, undos: Collection[Created]) -> None:
        """Remove the marks of these `logux/undo`."""


def mark_undone(table: UndoTable, shown: Sequence[Entry], replaced: Mapping[Created, Entry]) -> Marked:
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
    gone = {undo: target for undo, target in table.by(replaced).items() if marks.get(undo) != target}
    targets = dict.fromkeys([*marks.values(), *gone.values()])
    before = table.marked(targets)
    table.remove(gone)
    table.put(marks)
    now = table.marked(targets)
    return Marked(
        tuple([target for target in targets if target in now and target not in before]),
        tuple([target for target in targets if target in before and target not in now]),
    )
