"""LogPrinter: prints the events that a Read asks for, and continues where it was when the node comes back."""

from __future__ import annotations

import select
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec.structs import replace

from mesh.control.messages import Read
from mesh.control.open_log import log_to_read
from mesh.errors import MeshError, NoNodeError
from mesh.terminal import output
from mesh.terminal.progress import Progress

if TYPE_CHECKING:
    from mesh.control.client import ControlClient
    from mesh.control.idle_log import IdleLog

RETRY_SECONDS = 0.2
"""Between two checks whether a node runs."""


class LogPrinter:
    """`run` it once. Everything raises MeshError; NoNodeError if no node runs or it stops, without `is_waiting`."""

    def __init__(self, home: Path, request: Read, *, as_json: bool, is_waiting: bool = False) -> None:
        self._home = home
        self._request = request
        self._is_json = as_json
        self._show: Callable[[bytes], bytes] | None = None
        """What makes an item a line for people; None for JSON, and until the names of the nodes are known."""
        self._is_waiting = is_waiting
        self._has_complained = False
        self._printed = 0
        self._last: int | None = None
        """The `added` after which to continue; None until something was printed, or it is known that there is nothing."""

    def run(self) -> None:
        """Print. Returns when everything is printed: never, for a request that follows without a limit."""
        while True:
            try:
                with log_to_read(self._home, follows=self._request.follow) as client:
                    self._has_complained = False
                    self._print(client)
                    return
            except NoNodeError as error:
                if not self._is_waiting:
                    raise
                self._wait(error)

    def _wait(self, error: NoNodeError) -> None:
        if not self._has_complained:
            self._has_complained = True
            output.complain(f"{error}; mesh log waits until it runs")
        select.select([], [], [], RETRY_SECONDS)

    def _print(self, client: ControlClient | IdleLog) -> None:
        request = self._request
        is_whole = request == Read(order=request.order, reverse=request.reverse)
        is_wanted = not request.follow and not (sys.stdout is not None and sys.stdout.isatty())
        with Progress("printed", is_wanted=is_wanted) as progress:
            status = client.status() if not self._is_json or request.follow or progress.is_shown else {}
            if not self._is_json:
                self._show = self._show or _readable(status)
            progress.total = status.get("events") if is_whole else None
            if request.follow:
                self._follow(client, status["last_added"], progress)
            else:
                self._read(client, request, progress)

    def _follow(self, client: ControlClient | IdleLog, last_added: int, progress: Progress) -> None:
        """Two requests, so that no event is missed that is added before the first line, or between two runs of the node."""
        request = self._request
        if self._last is not None and last_added < self._last:
            raise MeshError(
                f"the log in {self._home} is another one now: it ends at {last_added}, and {self._last} was printed already"
            )
        if request.tail is not None and self._last is None:
            if request.tail:
                self._read(client, replace(request, follow=False), progress)
            if self._last is None:
                self._last = last_added
        since = request.since if self._last is None else self._last
        limit = None if request.limit is None else request.limit - self._printed
        self._read(client, replace(request, tail=None, since=since, limit=limit), progress)

    def _read(self, client: ControlClient | IdleLog, request: Read, progress: Progress) -> None:
        for items in client.read(request):
            show = self._show or output.printable_json
            lines = [show(bytes(item)) for item in items]
            output.write(b"\n".join([*lines, b""]))
            self._printed += len(items)
            self._last = _ITEM_ADDED.decode(items[-1]).meta.added
            progress.at(self._printed)


class _MetaAdded(msgspec.Struct):
    added: int


class _ItemAdded(msgspec.Struct):
    """The one part of an item that is needed here."""

    meta: _MetaAdded


_ITEM_ADDED = msgspec.json.Decoder(_ItemAdded)


def _readable(status: dict[str, Any]) -> Callable[[bytes], bytes]:
    from mesh.terminal.tables import Names, show_event

    names = Names([status["node_id"], *(peer["node_id"] for peer in status["peers"])])
    return lambda item: show_event(item, names).encode(errors="replace")
