"""Opening a view: the state in the file that answers, and the one that goes on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from mesh.errors import MeshError
from mesh.views.disks import Disks
from mesh.views.source import read_mark
from mesh.views.store import ViewProgress, ViewStore
from peers.events.created import Created
from peers.stores.run_store import RunStore

Found = tuple[int, ViewProgress]
"""The number of a state, and how far it has come."""


class Wanted(NamedTuple):
    """The view that a program asks for."""

    name: str
    version: int
    types: list[str] | None

    def is_made_by(self, progress: ViewProgress) -> bool:
        """Whether a state was folded by this version, from these types."""
        return (progress.version, progress.types) == (self.version, self.types)


class Opened(NamedTuple):
    """What is found."""

    answering: Found | None
    """The state that answers; None: there is none yet."""
    going_on: Found
    """The state that is folded on; another one takes the place of that which answers when it is complete."""


async def open_view(disks: Disks, wanted: Wanted) -> Opened:
    """Find the states of a view; without one that fits, begin one.

    Raises MeshError for a state of a newer version, or StoreError.
    """
    states, _ = await disks.ask_views(lambda store: store.find(wanted.name))
    newest = max((progress.version for _, progress in states.values()), default=0)
    if newest > wanted.version:
        raise MeshError(
            f"the view {wanted.name!r} was folded by version {newest} of its `apply`, and this program has version "
            f"{wanted.version}: run the newer program, or give it version {newest + 1} or another name, and it is folded anew "
            "from what the log still has"
        )
    good = await disks.ask_log(lambda store: _of_this_log(store, states))
    answering = states.get("current")
    for role in "building", "current":
        if role in good and wanted.is_made_by(good[role][1]) and not await _is_blank(disks, good[role]):
            return Opened(answering, good[role])
    return Opened(answering, await begin_anew(disks, wanted))


async def begin_anew(disks: Disks, wanted: Wanted) -> Found:
    """Begin a state that is folded from the begin of the log, from what is there. Raises StoreError."""
    last, events = await disks.ask_log(lambda store: (store.state.last_added, store.state.events))
    progress = ViewProgress(wanted.version, wanted.types, added=last, is_walking=True, without=max(0, last - events))

    def make(store: ViewStore) -> int:
        _, number = store.find(wanted.name)
        store.make(number, wanted.name, progress)
        return number

    return await disks.ask_views(make), progress


async def _is_blank(disks: Disks, found: Found) -> bool:
    """Whether nothing came of a walk: another one counts what was cleaned since it began."""
    number, progress = found
    is_new = progress.is_walking and progress.place is None
    return is_new and not await disks.ask_views(lambda store: store.cleaned(number))


def _of_this_log(store: RunStore, states: Mapping[str, Found]) -> dict[str, Found]:
    """Those that were folded from this log, as far as that can be seen: a home may have got another one."""
    return {role: found for role, found in states.items() if _is_of(store, found[1].added, found[1].mark)}


def _is_of(store: RunStore, added: int, mark: Created | None) -> bool:
    if added > store.state.last_added:
        return False
    now = read_mark(store, added) if mark is not None else None
    return now is None or now == mark
