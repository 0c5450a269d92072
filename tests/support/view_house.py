"""ViewHouse: a log and views over it in virtual time, with crashes; and what its views have to be."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from random import Random
from typing import Any, TypeVar

from mesh.actors.log_keeper import LogKeeper
from mesh.actors.log_proxy import LogProxy
from mesh.actors.runtime.inspection import abandon_actors
from mesh.actors.runtime.loop_actor import LoopActorRef
from mesh.actors.runtime.mailbox import Runtime
from mesh.lab.simulation.clock import RoomClock
from mesh.lab.simulation.disk import SimDisk
from mesh.lab.simulation.virtual_loop import VirtualLoop
from mesh.membership.diagnosis.disk_room import DiskRoom, DiskUse
from mesh.node_log import NodeLog
from mesh.views.state import meta_of
from mesh.views.store import ViewStore
from mesh.views.undo import place_of
from mesh.views.view import View
from mesh.views.views import Views
from peers.events.created import Created
from peers.events.entry import Entry
from peers.events.signature import KeySigner
from peers.later import Later
from peers.limits import LimitHits, Limits
from peers.log.run_log import RunCommit
from peers.stores.runs.memory import MemoryRunStore
from peers.stores.store import StoreError
from peers.stores.undo import UNDO

T = TypeVar("T")

ANSWER_SECONDS = 600.0


def count(state: Any, event: dict[str, Any], meta: dict[str, Any]) -> None:
    """The usual view of a shop."""
    state[event["item"]] = state.get(event["item"], 0) + event["change"]


def follow(state: Any, event: dict[str, Any], meta: dict[str, Any]) -> None:
    """A state that is another one for every other order of events."""
    state["last"] = [*state.get("last", []), event["n"]][-3:]
    state["sum"] = (state.get("sum", 7) * 31 + event["n"]) % 1_000_003
    state.setdefault(f"of {event['n'] % 5}", {"seen": []})["seen"].append(event["n"])
    if event["n"] % 7 == 0:
        state.pop(f"of {(event['n'] + 1) % 5}", None)


class _Unreadable(ViewStore):
    """A file of views that cannot be read for a while."""

    is_unreadable = False

    def read(self, view: int, key: str) -> Any:
        self._check()
        return super().read(view, key)

    def page(self, view: int, first: str, before: str | None, limit: int) -> Any:
        self._check()
        return super().page(view, first, before, limit)

    def _check(self) -> None:
        if self.is_unreadable:
            raise StoreError("the file of views cannot be read: disk I/O error")


class ViewHouse:
    """Lives one after the other on the same disks: `begin`, then `crash` or `end`."""

    def __init__(self, seed: int = 1, *, log_store: MemoryRunStore | None = None) -> None:
        self.loop = VirtualLoop(seed)
        self.random = Random(seed)
        self.store = log_store or MemoryRunStore()
        self.view_store = _Unreadable()
        self.ever: dict[Created, Entry] = {}
        """Every event that was shown in one of its lives, as it was shown last."""
        self._lives = 0
        self.begin()

    def begin(self) -> None:
        """Another life of the process."""
        self._lives += 1
        loop = self.loop
        self.clock = RoomClock(loop)
        self.runtime = Runtime(loop, schedule=loop.schedule_drain, messages_per_turn=1)
        self.kept = LogProxy()
        self.kept.on("commit", self._on_commit)
        self.log = NodeLog(self.kept)
        self.disk = SimDisk(loop, self.random, self.store)
        self.view_disk: Any = None
        self.keeper: LoopActorRef[LogKeeper] = LogKeeper.start(
            self.runtime,
            "home",
            lambda: self.disk,
            self.kept,
            clock=self.clock,
            random=Random(self._lives),
            signer=KeySigner.from_seed(bytes(32)),
            room=DiskRoom(Limits(), DiskUse()),
            hits=LimitHits(self.clock),
            max_future_seconds=Limits().max_future_seconds,
            on_failed=lambda why: None,
        )
        self.wait(self.keeper.ask_to(LogKeeper.open))
        self.kept.kept_by(self.keeper)
        self.views = Views(
            self.kept, runtime=self.runtime, clock=self.clock, store=self.view_store, open_disk=self._open_disk
        )

    def view(self, name: str = "stock", apply: Any = count, **options: Any) -> View:
        """Open a view, and wait until it has all."""
        return self.wait(self.views.view(name, apply, **options))

    def wait(self, later: Later[T]) -> T:
        """Let virtual time pass until there is a result."""
        assert self.loop.run_until(lambda: later.is_done, ANSWER_SECONDS), "no result"
        return later.result()

    def pass_seconds(self, seconds: float) -> None:
        """Let virtual time pass."""
        self.loop.run_for(seconds)

    def settle(self, view: View) -> View:
        """Wait until a view has all that the log has."""
        return self.wait(view.after(self.kept.state.last_added))

    def add(self, event: dict[str, Any], **meta: Any) -> dict[str, Any]:
        """Add an event, and wait until it is on disk."""
        added = self.wait(self.log.add(event, meta or None))
        assert added is not None
        return added

    def sell(self, item: str = "apple", change: int = -1, **meta: Any) -> dict[str, Any]:
        """Add an event of a shop."""
        return self.add({"type": "sold", "item": item, "change": change}, **meta)

    def take(self, *pieces: Any) -> None:
        """Pieces of other nodes come."""
        self.wait(self.kept.write(lambda store: [store.take(pieces)]))

    def row(self, name: str = "stock") -> dict[str, Any]:
        """What the status says of a view."""
        return next(row for row in self.views.status() if row["name"] == name)

    def crash(self) -> None:
        """Kill the process: what is not committed is lost."""
        self.clock.stop()
        self.disk.crash()
        if self.view_disk is not None:
            self.view_disk.crash()
        abandon_actors(self.runtime)
        self.store.close()
        self.store.open()
        self.begin()

    def end(self) -> None:
        """End the process as its user would."""
        self.wait(self.views.close())
        self.wait(self.keeper.ask_to(LogKeeper.close))
        self.wait(self.keeper.stop(block=False))

    def restart(self) -> None:
        """End it, and begin another life."""
        self.end()
        self.begin()

    def close(self) -> None:
        """After a test: no task and no actor may be left."""
        self.end()
        self.loop.close()

    def expected(self, apply: Callable[..., None] = count, types: Sequence[str] | None = None) -> dict[str, Any]:
        """The fold from scratch of all events that were ever shown and are not undone."""
        state: dict[str, Any] = {}
        undone = self.store.undone(list(self.ever))
        for entry in sorted(self.ever.values(), key=place_of):
            if entry.created not in undone and (
                entry.event["type"] in types if types is not None else entry.event["type"] != UNDO
            ):
                apply(state, entry.event, meta_of(entry.created, entry.time, entry.origin, entry.extra, entry.vouched))
        return state

    def _open_disk(self, store: ViewStore) -> Any:
        disk: Any = store
        self.view_disk = SimDisk(self.loop, self.random, disk)
        return self.view_disk

    def _on_commit(self, commit: RunCommit) -> None:
        self.ever.update({entry.created: entry for entry in commit.new})
        for created in commit.revised:
            shown = self.store.find(created)
            if shown is not None:
                self.ever[created] = shown


def state_of(view: View) -> dict[str, Any]:
    """All of a view."""
    found: dict[str, Any] = {}
    after: str | None = None
    while page := view.items(limit=100, after=after):
        found.update(page)
        after = page[-1][0]
    return found
