"""RoomNode: the node of a room in one of its lives, as an application has it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from inspect import iscoroutine
from typing import Any, TypeVar

from mesh.actors.log_proxy import LogProxy
from mesh.actors.node_supervisor import NodeSupervisor
from mesh.actors.runtime.loop_actor import LoopActorRef
from mesh.actors.synchronized_waiters import ask_synchronized
from mesh.app_node import AppNode
from mesh.lab.apps.room_log import Guard, OnAdd, WatchedLog
from mesh.lab.simulation.app_tasks import AppTasks
from mesh.membership.actions import Notice
from mesh.membership.status import Status
from mesh.settings.config import WAIT_SECONDS
from mesh.views.state import Apply
from mesh.views.view import ShownState, View
from mesh.views.views import Views
from peers.clock import Undo
from peers.emitter import Emitter, checked
from peers.later import Later

T = TypeVar("T")

MakeApp = Callable[[AppNode], Any]
"""A function that starts an application on a node, and returns it, or a coroutine or a Later of it."""


class GuardedEmitter(Emitter):
    """Whose listeners are code of an application."""

    def __init__(self, guard: Guard) -> None:
        super().__init__()
        self._guard = guard

    def on(self, event: str, listener: Callable[..., Any]) -> Undo:
        return super().on(event, self._guard(listener))


class AppShown(ShownState):
    """What an application sees of a view."""

    def __init__(self, guard: Guard) -> None:
        super().__init__()
        self.emitter = GuardedEmitter(guard)


class RoomNode(AppNode):
    """An AppNode as `mesh.Node` is one, in virtual time. It ends with the life of its room: then its calls fail."""

    def __init__(
        self,
        node_id: str,
        kept: LogProxy,
        supervisor: LoopActorRef[NodeSupervisor],
        *,
        views: Views,
        tasks: AppTasks,
        on_add: OnAdd,
    ) -> None:
        """`kept` is the log of this life, and `supervisor` runs its node. `on_add` gets what the application adds."""
        self.log = WatchedLog(kept, on_add, tasks.guard)
        self.views = views
        self.tasks = tasks
        """Those of the application."""
        self.app: Any = None
        """The application."""
        self._node_id = node_id
        self._supervisor = supervisor
        self._emitter = GuardedEmitter(tasks.guard)

    @property
    def node_id(self) -> str:
        return self._node_id

    def on(self, event: str, listener: Callable[[Notice], Any]) -> Undo:
        return self._emitter.on(checked(event, {"change", "stop"}, listener), listener)

    def status(self) -> Later[Status]:
        return self._supervisor.ask_to(NodeSupervisor.status)

    def synchronized(self, *, peers: int = 1, timeout: float = WAIT_SECONDS) -> Later[None]:
        return ask_synchronized(partial(self._supervisor.ask_to, NodeSupervisor.synchronized), peers, timeout)

    def view(self, name: str, apply: Apply, *, types: Sequence[str] | None = None, version: int = 1) -> Later[View]:
        return self.views.view(name, self.tasks.watch(apply), types=types, version=version)

    def start_app(self, make: MakeApp, begun: Later[T], explain: Callable[[BaseException], BaseException]) -> Later[T]:
        """Start an application once this node has `begun`. Resolves as `begun`, once `make` has returned.

        An error of the application fails it with what `explain` makes of the error.
        """
        started = Later[T]()

        def on_begun(done: Later[T]) -> None:
            if done.exception is not None:
                started.follow(done)
            else:
                self.tasks.start(self._start_app(make)).then(on_started)

        def on_started(done: Later[None]) -> None:
            if done.exception is not None:
                started.fail(explain(done.exception))
            else:
                started.follow(begun)

        begun.then(on_begun)
        return started

    async def _start_app(self, make: MakeApp) -> None:
        app = make(self)
        self.app = await app if iscoroutine(app) or isinstance(app, Later) else app

    def end(self) -> Later[None]:
        """Let the application hear `stop`, end its tasks, close the views. Fails with RuntimeError for a task that goes on."""
        self.tell("stop", Notice("stop", None, "asked to stop"))
        ended = Later[None]()

        def on_tasks_ended(done: Later[None]) -> None:
            self.views.close().then(lambda closed: ended.follow(done if done.exception is not None else closed))

        self.tasks.end().then(on_tasks_ended)
        return ended

    def behind(self) -> str:
        """What a view lacks, or why it has stopped; empty if all have what the log has."""
        for row in self.views.status():
            if row["error"] is not None:
                return f"the view {row['name']!r} has stopped: {row['error']['why']}"
            if row["behind"]:
                return f"the view {row['name']!r} is {row['behind']} events behind"
        return ""

    def tell(self, event: str, notice: Notice) -> None:
        """Call the listeners of `change` or `stop`."""
        self._emitter.emit(event, notice)
