"""LogPrinter: prints what a Read asks for, and goes on where it was when the node comes back."""

from __future__ import annotations

import select
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec import Raw
from msgspec.structs import replace

from mesh.control.client import ControlClient
from mesh.control.messages import Read
from mesh.errors import MeshError, NoNodeError
from mesh.settings.home_lock import is_locked
from mesh.terminal import output
from mesh.terminal.progress import Progress

if TYPE_CHECKING:
    from mesh.cli.log.idle_log import IdleLog

RETRY_SECONDS = 0.2
"""Between two looks for a node that does not run."""


class LogPrinter:
    """`run` it once. Everything raises MeshError; NoNodeError if no node runs, or it stops, and is not waited for."""

    def __init__(self, home: Path, request: Read, *, as_json: bool, is_waiting: bool = False) -> None:
        self._home = home
        self._request = request
        self._show: Callable[[bytes], bytes] | None = bytes if as_json else None
        self._is_waiting = is_waiting
        self._is_told = False
        self._printed = 0
        self._last: int | None = None
        """The `added` after which to go on; None until something was printed, or it is known that there is nothing."""

    def run(self) -> None:
        """Print; it returns when all is printed, so never for a request that follows without a limit."""
        while True:
            try:
                with self._open() as client:
                    self._is_told = False
                    self._print(client)
                    return
            except NoNodeError as error:
                if not self._is_waiting:
                    raise
                self._wait(error)

    def _open(self) -> ControlClient | IdleLog:
        """Where to read the log: from the node, or from the disk while none runs."""
        try:
            return ControlClient(self._home)
        except NoNodeError:
            from mesh.cli.log.idle_log import IdleLog  # with the store, which a running node's command does without

            if self._request.follow or is_locked(self._home) or not IdleLog.is_there(self._home):
                raise
        return IdleLog(self._home)

    def _wait(self, error: NoNodeError) -> None:
        if not self._is_told:
            self._is_told = True
            output.complain(f"{error}; mesh log waits until it runs")
        select.select([], [], [], RETRY_SECONDS)

    def _print(self, client: ControlClient | IdleLog) -> None:
        request = self._request
        is_whole = request == Read(order=request.order, reverse=request.reverse)
        is_wanted = not request.follow and not (sys.stdout is not None and sys.stdout.isatty())
        with Progress("printed", is_wanted=is_wanted) as progress:
            status = client.status() if self._show is None or request.follow or progress.is_shown else {}
            self._show = self._show or _readable(status)
            progress.total = status.get("events") if is_whole else None
            if request.follow:
                self._follow(client, status["last_added"], progress)
            else:
                self._read(client, request, progress)

    def _follow(self, client: ControlClient | IdleLog, last_added: int, progress: Progress) -> None:
        """Two requests, so that what comes in between two nodes, or before the first line, is not missed."""
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
        assert self._show is not None
        for items in client.read(request):
            output.write(b"".join(self._show(bytes(item)) + b"\n" for item in items))
            self._printed += len(items)
            self._last = _added(items)
            progress.at(self._printed)


class _Meta(msgspec.Struct):
    added: int


class _Item(msgspec.Struct):
    meta: _Meta


_ITEM = msgspec.json.Decoder(_Item)


def _added(items: Sequence[Raw]) -> int:
    return _ITEM.decode(items[-1]).meta.added


def _readable(status: dict[str, Any]) -> Callable[[bytes], bytes]:
    from mesh.terminal.tables import Names, show_event

    names = Names([status["node_id"], *(peer["node_id"] for peer in status["peers"])])
    return lambda item: show_event(item, names).encode(errors="replace")
