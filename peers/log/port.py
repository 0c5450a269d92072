"""What a role needs of a log, and what anybody may know of one."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from peers.clock import Undo
from peers.emitter import Emitter
from peers.events.columns import shown_of
from peers.events.created import Created
from peers.events.ends import Ends
from peers.events.entry import Entry
from peers.events.event_error import Cause
from peers.failures import failures
from peers.later import Later
from peers.log.draft import Draft
from peers.stores.run_store import Pen, RunState, RunStore
from peers.stores.store import PAGE_BYTES, PAGE_EVENTS, Page
from peers.stores.taken import Taken

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Commit:
    """What one commit did, as far as others hear of it."""

    new: Sequence[Entry] = ()
    """New events, in the order of `added`."""
    cleaned: Sequence[Entry] = ()
    """Events that were cleaned, as they were before."""
    undone: Sequence[Created] = ()
    """Events that are undone now and were not, whether they are here or not."""
    restored: Sequence[Created] = ()
    """Events that were undone and are no more, since another copy of the `logux/undo` is shown."""
    revised: Sequence[Created] = ()
    """Events of which another copy is shown now, also where one was cleaned before."""

    def announcements(self, emitter: Emitter) -> Iterator[tuple[Any, ...]]:
        """What the listeners of `emitter` hear of it, in order: the names of the events, each with its arguments.

        `commit` (commit), `change` (), `event` (event, meta) for each new one, `clean` (event, meta) for each cleaned one.
        """
        yield "commit", self
        yield ("change",)
        for name, entries in ("event", self.new), ("clean", self.cleaned):
            if not emitter.has_listeners(name):
                continue  # they are decoded for listeners only
            for event, meta in shown_of(entries):
                yield name, event, meta
                if not emitter.has_listeners(name):
                    break


class Announcer:
    """Tells the listeners of a log of its commits, one after the other."""

    def __init__(self, emitter: Emitter) -> None:
        self._emitter = emitter
        self._news: deque[Commit] = deque()
        """What was not announced yet. Empty between two commits."""
        self._is_announcing = False

    def announce(self, commit: Commit) -> None:
        """Tell of a commit. What listeners raise is raised after all were told; what one commits is announced after this."""
        self._news.append(commit)
        if self._is_announcing:
            return
        first_error: BaseException | None = None
        self._is_announcing = True
        try:
            while self._news:
                for announcement in self._news.popleft().announcements(self._emitter):
                    try:
                        self._emitter.emit(*announcement)
                    except failures() as error:  # the rest is announced all the same; it is raised below
                        first_error = first_error or error
        finally:
            self._is_announcing = False
        if first_error is not None:
            raise first_error


def new_among(changes: Sequence[Entry], cleaned: Sequence[Entry], before: int) -> list[Entry]:
    """The events among them that are new, in the order of `added`; some were superseded, and so cleaned, at once."""
    new: list[Entry] = []
    for entry in sorted([*changes, *cleaned], key=lambda entry: entry.added):
        if entry.added > before:  # a further dot of an older event is no news
            before = entry.added
            new.append(entry)
    return new


class SyncLog(Protocol):
    """What a role needs of a log. A RunLog is one; an actor's view of it is another. Its events: `commit` (RunCommit) for
    each commit, to all listeners, then `change` ().
    """

    @property
    def state(self) -> RunState: ...

    @property
    def ends(self) -> Ends: ...

    @property
    def pen(self) -> Pen: ...

    @property
    def forks(self) -> Mapping[bytes, int]: ...

    def read(self, work: Callable[[RunStore], T]) -> Later[T]: ...

    def write(self, work: Callable[[RunStore], Sequence[Taken]]) -> Later[Sequence[Taken]]: ...

    @property
    def is_awaited(self) -> bool: ...

    def follow(self, entries: Sequence[Entry]) -> int: ...

    def offer(self, drafts: Sequence[Draft]) -> Later[list[Entry | ValueError | None]]: ...

    def page(self, after: int, *, limit: int = PAGE_EVENTS, max_bytes: int = PAGE_BYTES) -> Later[Page]: ...

    def recent(self, after: int, *, limit: int = PAGE_EVENTS, max_bytes: int = PAGE_BYTES) -> Page | None: ...

    def cursors(self, other_node_id: str) -> Later[tuple[int, int]]: ...

    def keep_cursors(self, other_node_id: str, synced: int, other_synced: int) -> Later[None]: ...

    def note_refused(self, causes: Mapping[Cause, int]) -> None: ...

    def on(self, event: str, listener: Callable[..., Any]) -> Undo: ...
