"""`mesh up`: runs a node in the foreground until it is told to stop."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import queue
import resource
import signal
import threading
from collections.abc import Callable
from datetime import date, datetime

import msgspec

from mesh.membership.actions import Notice
from mesh.node import Node
from mesh.notices import LOGGER, OPEN_DOOR, OPEN_LINK, start_notices, stop_notice
from mesh.terminal.output import complain, printable

PRINTER_LINES = 1_000
"""Lines that wait for a slow reader of our standard output; what comes beyond them is left out."""
FLUSH_SECONDS = 1.0
MAX_FILES = 4_096
"""Files that this process lets itself open at once, if it may: connections of two full doors, and what else a node needs."""


_OPEN = {OPEN_LINK, OPEN_DOOR}


def run_up(make_node: Callable[[], Node], *, as_json: bool) -> int:
    """Run the node until SIGTERM, SIGINT or `mesh stop`; the exit code. Raises MeshError, StoreError or ValueError."""
    logging.basicConfig(level=logging.WARNING, handlers=[one_line_log()])
    _raise_file_limit()
    printer = Printer()
    try:
        return asyncio.run(_Up(make_node(), JsonTeller(printer) if as_json else LineTeller(printer)).run())
    finally:
        printer.close()


class _Up:
    """One run of a node in the foreground."""

    def __init__(self, node: Node, teller: LineTeller | JsonTeller) -> None:
        self._node = node
        self._teller = teller
        self._stop = asyncio.Event()
        self._early: list[Notice] | None = []
        """Changes that come before the node is up, to be told after it."""
        self._has_failed = False

    async def run(self) -> int:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            if number != signal.SIGHUP or signal.getsignal(number) != signal.SIG_IGN:  # `nohup mesh up`
                loop.add_signal_handler(number, self._on_signal)
        node = self._node
        node.on("change", self._on_notice)
        node.on("stop", lambda _: self._stop.set())
        async with node:
            self._teller.up(node)
            early, self._early = self._early or [], None
            for notice in early:
                self._teller.notice(notice)
            await self._stop.wait()
            node_id = node.node_id
        self._teller.stopped(node_id)
        return 1 if self._has_failed else 0

    def _on_signal(self) -> None:
        self._stop.set()
        # A second Ctrl-C ends the process at once, whatever it waits for.
        asyncio.get_running_loop().remove_signal_handler(signal.SIGINT)
        signal.signal(signal.SIGINT, signal.SIG_DFL)

    def _on_notice(self, notice: Notice) -> None:
        if self._early is None:
            self._teller.notice(notice)
        elif len(self._early) < PRINTER_LINES:
            self._early.append(notice)
        if notice.kind == "failed":
            self._has_failed = True
            self._stop.set()


class LineTeller:
    """Readable lines. The first one, and each of a later day, has the date."""

    def __init__(self, printer: Printer, *, now: Callable[[], datetime] = datetime.now) -> None:
        self._printer = printer
        self._now = now
        self._first_day: date | None = None

    def up(self, node: Node) -> None:
        for notice in start_notices(node):
            self.notice(notice)

    def notice(self, notice: Notice) -> None:
        if notice.sentence in _OPEN:
            self._printer.print(f"warning: {notice.sentence}")
            return
        now = self._now()
        stamp = f"{now:%H:%M:%S}" if now.date() == self._first_day else f"{now:%Y-%m-%d %H:%M:%S}"
        self._first_day = self._first_day or now.date()
        self._printer.print(f"{stamp}  {printable(notice.sentence)}")

    def stopped(self, node_id: str) -> None:
        self.notice(stop_notice(node_id))


class JsonTeller:
    """JSON lines. `time` is in ms since 1970, as in the log."""

    def __init__(self, printer: Printer, *, now: Callable[[], datetime] = datetime.now) -> None:
        self._printer = printer
        self._now = now

    def up(self, node: Node) -> None:
        self._tell(
            event="up",
            node_id=node.node_id,
            mesh=node.mesh,
            port=node.port,
            home=str(node.home),
            new=node.is_new,
            doors=dict(node.door_ports),
            page=node.clients_url,
        )
        for notice in start_notices(node):
            if notice.sentence in _OPEN:
                complain(f"warning: {notice.sentence}")

    def notice(self, notice: Notice) -> None:
        self._tell(event=notice.kind, node_id=notice.node_id, text=notice.sentence)

    def stopped(self, node_id: str) -> None:
        self.notice(stop_notice(node_id))

    def _tell(self, **event: object) -> None:
        time_ms = round(self._now().timestamp() * 1000)
        self._printer.print(msgspec.json.encode({"time": time_ms, **event}).decode())


class Printer:
    """Prints lines from a thread of its own: a reader that does not read must not hold up the node."""

    def __init__(self, output: int = 1) -> None:
        self._output = output
        self._lines: queue.Queue[str | None] = queue.Queue(PRINTER_LINES)
        self._thread = threading.Thread(target=self._work, name="peermesh-printer", daemon=True)
        self._thread.start()

    def print(self, line: str) -> None:
        """Print a line soon, or never if too many wait."""
        with contextlib.suppress(queue.Full):  # then nobody has read the last thousand either
            self._lines.put_nowait(line)

    def close(self) -> None:
        """Give what waits a moment to be printed."""
        try:
            self._lines.put(None, timeout=FLUSH_SECONDS)
        except queue.Full:
            return
        self._thread.join(FLUSH_SECONDS)

    def _work(self) -> None:
        is_open = True
        while (line := self._lines.get()) is not None:
            text = f"{line}\n".encode(errors="replace")
            while text and is_open:
                try:
                    text = text[os.write(self._output, text) :]
                except OSError:
                    is_open = False  # nobody reads any more; the node goes on all the same


def _raise_file_limit() -> None:
    """Let this process open more files than the usual soft limit says. A Node inside another program leaves that alone."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MAX_FILES if hard == resource.RLIM_INFINITY else min(hard, MAX_FILES)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        with contextlib.suppress(ValueError, OSError):  # a sandbox may forbid it; doors keep to the limit that there is
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def one_line_log() -> logging.Handler:
    """Prints what is logged on standard error: one line a record, and one record of each library."""
    handler = logging.StreamHandler()
    handler.setFormatter(_OneLine("%(levelname)s %(name)s: %(message)s"))
    handler.addFilter(lambda record: record.name != LOGGER)  # notices, which are printed anyhow
    handler.addFilter(_OncePerLibrary())
    return handler


class _OncePerLibrary(logging.Filter):
    """Passes our own lines; of each library one, as a sentence of ours: they repeat themselves, and name no remedy."""

    def __init__(self) -> None:
        super().__init__()
        self._shown: set[str] = set()

    def filter(self, record: logging.LogRecord) -> bool:
        library = record.name.partition(".")[0]
        if library in {"mesh", "peers"}:
            return True
        is_first = library not in self._shown
        self._shown.add(library)
        record.msg = f"the library {library} reports trouble, and the node goes on (said once): {record.msg}"
        record.name = __name__
        return is_first


class _OneLine(logging.Formatter):
    """One line a record, without tracebacks."""

    def format(self, record: logging.LogRecord) -> str:
        record.exc_info, record.exc_text, record.stack_info = None, None, None
        return printable(super().format(record))
