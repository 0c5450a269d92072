"""Views: all views of one node."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from mesh.actors.log_proxy import LogProxy
from mesh.actors.runtime.loop_actor import LoopActorRef, alive_or
from mesh.actors.runtime.mailbox import Runtime
from mesh.errors import MeshError
from mesh.views.keeper import ViewKeeper
from mesh.views.state import Apply
from mesh.views.store import ViewDisk, ViewStore
from mesh.views.view import ShownState, View
from peers.clock import Clock
from peers.later import Later
from peers.stores.store import Place

MAX_NAME = 100
ENDED = "this view has ended: its node is not running"


class _Open(NamedTuple):
    """A view, from the first call of `view` on."""

    keeper: LoopActorRef[ViewKeeper]
    shown: ShownState
    arguments: dict[str, Any]
    """Those of the call, but for the name."""
    opened: Later[View]

    def others(self, arguments: dict[str, Any]) -> str:
        """The names of arguments that another call gives in another way; empty: none."""
        return " and ".join(f"`{name}`" for name, value in arguments.items() if value != self.arguments[name])


class Views:
    """Opens views over a log, and closes them. Needs no Node: the lab makes one for each life of a room.

        views = Views(log, runtime=runtime, clock=clock, store=ViewStore(path), open_disk=lambda store: ThreadDisk(loop, store))
        stock = await views.view("stock", apply)
        await views.close()

    A crash in the lab abandons the actors of `runtime`, and drops what waits for the disk; the next life makes a new one over
    the same store.
    """

    def __init__(
        self,
        log: LogProxy,
        *,
        runtime: Runtime,
        clock: Clock,
        store: ViewStore,
        open_disk: Callable[[ViewStore], ViewDisk],
        make_shown: Callable[[], ShownState] = ShownState,
    ) -> None:
        """`open_disk` makes what works on `store`; called for the first view, so a node without views has no file."""
        self._log = log
        self._runtime = runtime
        self._clock = clock
        self._store = store
        self._open_disk = open_disk
        self._make_shown = make_shown
        self._disk: ViewDisk | None = None
        self._open: dict[str, _Open] = {}
        self._lock = threading.Lock()
        self._is_closed = False

    def view(self, name: str, apply: Apply, *, types: Sequence[str] | None = None, version: int = 1) -> Later[View]:
        """See Node.view. It may be called in any thread."""
        try:
            _check(name, apply, types, version)
        except (TypeError, ValueError) as error:
            return Later.failed(error)
        shown = self._make_shown()
        wanted = None if types is None else sorted(set(types))
        arguments = {"apply": apply, "types": wanted, "version": version}
        opened: Later[View] = Later()
        opened.loop = self._runtime.loop
        with self._lock:
            if self._is_closed:
                return Later.failed(MeshError("this node is not running"))
            if name in self._open:
                before = self._open[name]
                others = before.others(arguments)
                return Later.failed(ValueError(_open_already(name, others))) if others else before.opened
            if self._disk is None:
                self._disk = self._open_disk(self._store)
            keeper = ViewKeeper.start(
                self._runtime,
                name,
                apply,
                wanted,
                version,
                log=self._log,
                clock=self._clock,
                store=self._store,
                disk=self._disk,
                shown=shown,
            )
            self._open[name] = _Open(keeper, shown, arguments, opened)
        view = View(name, shown, _Asked(keeper))

        def on_opened(done: Later[None]) -> None:
            if done.exception is None:
                opened.set(view)
                return
            with self._lock:
                self._open.pop(name, None)
            keeper.stop(block=False)
            opened.fail(done.exception)

        keeper.ask_to(ViewKeeper.open).then(on_opened)
        return opened

    def status(self) -> list[dict[str, Any]]:
        """A row for each open view, by name: what `views` is in the status of a node. To be called on the loop."""
        hollow = self._log.state.hollow if self._log.is_open else 0
        rows = [self._open[name].shown.status() for name in sorted(self._open)]
        return [_with_hollow(row, hollow) for row in rows]

    def disown(self, why: str) -> None:
        """Called in a forked process: from now on every call of a view raises MeshError with the sentence `why`."""
        for each in self._open.values():
            each.shown.disown(why)

    def close(self) -> Later[None]:
        """Flush all views, and close the file. Harmless when it is closed."""
        with self._lock:
            self._is_closed = True
            keepers = [each.keeper for each in self._open.values()]
            disk, self._disk = self._disk, None
        closed: Later[None] = Later()
        _end_all(keepers, lambda: disk.close().then(closed.follow) if disk is not None else closed.set(None))
        return closed


class _Asked:
    """The keeper of a view, as that asks it."""

    def __init__(self, keeper: LoopActorRef[ViewKeeper]) -> None:
        self._keeper = keeper

    def after(self, added: int | None, place: Place | None) -> Later[None]:
        return alive_or(self._keeper.ask_to(ViewKeeper.after, added, place), MeshError(ENDED))

    def retry(self) -> Later[None]:
        return alive_or(self._keeper.ask_to(ViewKeeper.retry), MeshError(ENDED))


def _open_already(name: str, others: str) -> str:
    return (
        f"the view {name!r} is open already, with other {others}: keep what `view` returned, or take another name. "
        "A view is changed by the next start of its node"
    )


def _with_hollow(row: dict[str, Any], hollow: int) -> dict[str, Any]:
    """The row of a view, whose `folded_without` counts these too: events that others cleaned before they came here."""
    return row | {"folded_without": row["folded_without"] + hollow} if "folded_without" in row else row


def _end_all(keepers: Sequence[LoopActorRef[ViewKeeper]], then: Callable[[], None]) -> None:
    """Let them end, one after the other."""
    if not keepers:
        then()
        return
    keeper = keepers[0]

    def stop(_: object) -> None:
        keeper.stop(block=False).then(lambda _: _end_all(keepers[1:], then))

    keeper.ask_to(ViewKeeper.close).then(stop)


def _check(name: str, apply: Apply, types: Sequence[str] | None, version: int) -> None:
    if not isinstance(name, str) or not 0 < len(name) <= MAX_NAME or not name.isprintable():
        raise ValueError(f"the name of a view is a text of 1 to {MAX_NAME} characters, not {name!r}")
    if not callable(apply):
        raise TypeError(f"`apply` is a function that changes the state by an event, not {apply!r}")
    if not isinstance(version, int) or isinstance(version, bool) or version < 1:
        raise ValueError(f"the version of a view is a whole number from 1 on, not {version!r}")
    if isinstance(types, str) or (types is not None and not all(isinstance(kind, str) for kind in types)):
        raise TypeError(f'`types` is a list of types, as in types=["shop/sold"], not {types!r}')
