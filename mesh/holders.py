"""Holders: all that a node has open while it starts, runs and ends, and how a forked process leaves it to its parent."""

from __future__ import annotations

import contextlib
import os
import threading
from pathlib import Path

from mesh.actors.runtime.inspection import abandon_actors
from mesh.actors.runtime.mailbox import Runtime
from mesh.discovery.mdns.mdns import MdnsDiscovery
from mesh.forking import Holder, leave_log, let_go, part
from peers.transport.web_socket import WebSocketNetwork

THREAD = "thread"
"""The name of the thread that a node has of its own."""


class Holders(dict[str, Holder]):
    """By a name of each."""

    def __init__(self) -> None:
        self.pid = 0
        """The process that the node runs in."""
        self.runtime: Runtime | None = None
        self._loop_thread = 0

    def begin(self) -> None:
        """The node starts in this process, on the loop of this thread."""
        self.pid, self._loop_thread = os.getpid(), threading.get_ident()

    def leave(self, log: Path) -> None:
        """To be called in a process that was forked: everything here, and the file `log`, is the parent's."""
        leave_log(log)
        for holder in self.values():
            with contextlib.suppress(Exception):  # one that was just being changed keeps no other
                let_go(holder.descriptors())
        if threading.get_ident() == self._loop_thread and self.runtime is not None:
            self._quiet(self.runtime)

    def _quiet(self, runtime: Runtime) -> None:
        """The loop lives on in the child: nothing of this node may happen there any more."""
        if THREAD in self:
            runtime.loop.stop()  # a listener forked: with the loop of the node its thread ends, too
        part(runtime.loop)
        abandon_actors(runtime)
        for holder in self.values():
            if isinstance(holder, WebSocketNetwork | MdnsDiscovery):
                holder.abandon()
