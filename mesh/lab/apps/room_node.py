"""RoomNode: the node of a room in one of its lives, as an application has it."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from inspect import iscoroutine, iscoroutinefunction
from typing import Any

from mesh.actors.log_proxy import LogProxy
from mesh.actors.node_supervisor import NodeSupervisor
from mesh.actors.runtime.loop_actor import LoopActorRef
from mesh.actors.synchronized_waiters import ask_synchronized
from mesh.app_node import AppNode
from mesh.lab.apps.room_log import OnAdd, WatchedLog
from mesh.lab.simulation.app_tasks import AppTasks
from mesh.membership.actions import Notice
from mesh.membership.status import Status
from mesh.node_log import checked
from mesh.settings.config import WAIT_SECONDS
from peers.clock import Undo
from peers.emitter import Emitter
from peers.later import Later

MakeApp = Callable[[AppNode], Any]
"""A function or coroutine function that starts an application on a node, and returns it."""


class RoomNode(AppNode):
    """An AppNode as `mesh.Node` is one, in virtual time. It ends with the life of its room: then its calls fail."""

    def __init__(
        self, node_id: str, kept: LogProxy, supervisor: LoopActorRef[NodeSupervisor], tasks: AppTasks, on_add: OnAdd
    ) -> None:
        """`kept` is the log of this life, and `supervisor` runs its node. `on_add` gets what the application adds."""
        self.log = WatchedLog(kept, on_add, tasks.guard)
        self.tasks = tasks
        """Those of the application."""
        self.app: Any = None
        """The application."""
        self._node_id = node_id
        self._supervisor = supervisor
        self._emitter = Emitter()

    @property
    def node_id(self) -> str:
        return self._node_id

    def on(self, event: str, listener: Callable[[Notice], Any]) -> Undo:
        is_plain = not iscoroutinefunction(listener)
        return self._emitter.on(
            checked(event, {"change", "stop"}, listener), self.tasks.guard(listener) if is_plain else listener
        )

    def status(self) -> Later[Status]:
        return self._supervisor.ask_to(NodeSupervisor.status)

    def synchronized(self, *, peers: int = 1, timeout: float = WAIT_SECONDS) -> Later[None]:
        return ask_synchronized(partial(self._supervisor.ask_to, NodeSupervisor.synchronized), peers, timeout)

    def start_app(self, make: MakeApp) -> Later[None]:
        """Start an application on this node. Resolves once `make` has returned."""
        return self.tasks.start(self._start_app(make))

    async def _start_app(self, make: MakeApp) -> None:
        app = make(self)
        self.app = await app if iscoroutine(app) else app

    def tell(self, event: str, notice: Notice) -> None:
        """Call the listeners of `change` or `stop`."""
        self._emitter.emit(event, notice)
