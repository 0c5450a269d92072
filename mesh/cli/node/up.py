"""`mesh up`: runs a node in the foreground until a signal or `mesh stop` ends it."""

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
from functools import partial

from mesh.cli.node.notify_socket import NotifySocket
from mesh.cli.node.reload import Reloading
from mesh.errors import MeshError, printable
from mesh.membership.actions import Notice
from mesh.node import Node
from mesh.notices import LOGGER, OPEN_DOOR, OPEN_LINK, UPGRADES, start_notices, stop_notice
from mesh.process import suit_node
from mesh.terminal.output import complain, json_line

MAX_WAITING_LINES = 1_000
"""Lines that wait for a slow reader of standard output; further ones are dropped."""
FLUSH_SECONDS = 1.0
MAX_FILES = 4_096
"""Files that this process raises its limit to, if it may: enough for nodes, clients and commands at their own limits."""

OWN_PACKAGES = ("mesh", "peers")

_WARNINGS = {OPEN_LINK, OPEN_DOOR}


def run_up(
    make_node: Callable[[], Node],
    reloading: Reloading | None = None,
    *,
    as_json: bool,
    log_level: str = "warning",
    log_as_json: bool = False,
) -> int:
    """Run the node until SIGTERM, SIGINT or `mesh stop`. Returns the exit code. Raises MeshError, StoreError or ValueError.

    SIGHUP and `mesh reload` take over what `reloading` finds changed; without it SIGHUP ends the node.
    What modules log from `log_level` on goes to standard error; of libraries, warnings and errors.
    """
    screen = one_line_log(as_json=log_as_json)
    screen.setLevel(log_level.upper())
    logging.basicConfig(level=logging.WARNING, handlers=[screen])
    if screen.level < logging.WARNING:
        for package in OWN_PACKAGES:
            logging.getLogger(package).setLevel(screen.level)
    _raise_file_limit()
    suit_node()
    writer = LineWriter()
    try:
        return asyncio.run(_Run(make_node(), JsonReport(writer) if as_json else TextReport(writer), reloading).run())
    finally:
        writer.close()


class _Run:
    """One run of a node in the foreground."""

    def __init__(self, node: Node, report: TextReport | JsonReport, reloading: Reloading | None) -> None:
        self._node = node
        self._reloading = reloading
        self._report = report
        self._stop = asyncio.Event()
        self._service = NotifySocket.of_process()
        self._early: list[Notice] | None = []
        """Notices of the start, printed after the line that the node is up; None from then on."""
        self._has_failed = False

    async def run(self) -> int:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            if number != signal.SIGHUP or signal.getsignal(number) != signal.SIG_IGN:  # `nohup mesh up`
                is_reload = number == signal.SIGHUP and self._reloading is not None
                loop.add_signal_handler(number, self._on_reload_signal if is_reload else self._on_signal)
        node = self._node
        node.on("change", self._on_notice)
        node.on("stop", lambda _: self._stop.set())
        if self._reloading is not None:
            node.reloads_by = partial(self._reloading.reload, node)
            node.given_flags = self._reloading.flags
        async with node:
            self._report.up(node)
            early, self._early = self._early or [], None
            for notice in early:
                self._report.notice(notice)
            self._service.ready(f"{node.node_id} is up in mesh {node.mesh}")
            await self._stop.wait()
            node_id = node.node_id
            self._service.stopping()
        self._service.close()
        self._report.notice(stop_notice(node_id))
        return 1 if self._has_failed else 0

    def _on_signal(self) -> None:
        self._stop.set()
        # A second Ctrl-C ends the process at once.
        asyncio.get_running_loop().remove_signal_handler(signal.SIGINT)
        signal.signal(signal.SIGINT, signal.SIG_DFL)

    def _on_reload_signal(self) -> None:
        try:
            lines = self._node.reload()
        except MeshError as error:
            lines = [str(error)]
        for line in lines:
            self._report.notice(Notice("reload", None, line))

    def _on_notice(self, notice: Notice) -> None:
        if self._early is None or notice.kind in UPGRADES:  # before the node is up there is nothing else to see
            self._report.notice(notice)
        elif len(self._early) < MAX_WAITING_LINES:
            self._early.append(notice)
        if notice.kind == "failed":
            self._has_failed = True
            self._stop.set()


class TextReport:
    """Prints notices as lines for people. The first line, and each line of a later day, has the date."""

    def __init__(self, writer: LineWriter, *, now: Callable[[], datetime] = datetime.now) -> None:
        self._writer = writer
        self._now = now
        self._first_day: date | None = None

    def up(self, node: Node) -> None:
        for notice in start_notices(node):
            self.notice(notice)

    def notice(self, notice: Notice) -> None:
        if notice.sentence in _WARNINGS:
            self._writer.print(f"warning: {notice.sentence}")
            return
        now = self._now()
        stamp = f"{now:%H:%M:%S}" if now.date() == self._first_day else f"{now:%Y-%m-%d %H:%M:%S}"
        self._first_day = self._first_day or now.date()
        self._writer.print(f"{stamp}  {printable(notice.sentence)}")


class JsonReport:
    """Prints notices as lines of JSON. `time` is in ms since 1970, as in the log."""

    def __init__(self, writer: LineWriter) -> None:
        self._writer = writer

    def up(self, node: Node) -> None:
        self._print(
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
            if notice.sentence in _WARNINGS:
                complain(f"warning: {notice.sentence}")

    def notice(self, notice: Notice) -> None:
        self._print(event=notice.kind, node_id=notice.node_id, text=notice.sentence)

    def _print(self, **event: object) -> None:
        time_ms = round(datetime.now().timestamp() * 1000)
        self._writer.print(json_line({"time": time_ms, **event}).decode())


class LineWriter:
    """Writes lines to a file descriptor from a thread of its own, so that a reader that stops reading cannot block the node."""

    def __init__(self, output: int = 1) -> None:
        self._output = output
        self._lines: queue.Queue[str | None] = queue.Queue(MAX_WAITING_LINES)
        self._thread = threading.Thread(target=self._work, name="peermesh-printer", daemon=True)
        self._thread.start()

    def print(self, line: str) -> None:
        """Write a line soon; it is dropped if MAX_WAITING_LINES wait already."""
        with contextlib.suppress(queue.Full):
            self._lines.put_nowait(line)

    def close(self) -> None:
        """Wait for the lines that are left, FLUSH_SECONDS at most."""
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
                    is_open = False  # the reader is gone; the node runs on


def _raise_file_limit() -> None:
    """Raise the soft limit of open files of this process. A Node inside another program does not do this."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MAX_FILES if hard == resource.RLIM_INFINITY else min(hard, MAX_FILES)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        with contextlib.suppress(
            ValueError, OSError
        ):  # a sandbox may forbid it; connections then keep to the present limit
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def one_line_log(*, as_json: bool = False) -> logging.Handler:
    """A log handler for standard error: one line for each record, and one record only of each library.

    `as_json`: a line is a JSON object with `time` in ms since 1970, `level`, `logger` and `text`.
    """
    handler = logging.StreamHandler()
    handler.setFormatter(_JsonLine() if as_json else _OneLine("%(levelname)s %(name)s: %(message)s"))
    handler.addFilter(lambda record: record.name != LOGGER)  # notices are printed on standard output
    handler.addFilter(_OncePerLibrary())
    return handler


class _OncePerLibrary(logging.Filter):
    """Passes all records of peermesh, and the first one of each library, as a sentence: libraries repeat themselves."""

    def __init__(self) -> None:
        super().__init__()
        self._shown: set[str] = set()

    def filter(self, record: logging.LogRecord) -> bool:
        library = record.name.partition(".")[0]
        if library in OWN_PACKAGES:
            return True
        is_first = library not in self._shown
        self._shown.add(library)
        record.msg = f"the library {library} reports trouble, and the node goes on (said once): {record.msg}"
        record.name = __name__
        return is_first


class _OneLine(logging.Formatter):
    """One line for each record, without tracebacks."""

    def format(self, record: logging.LogRecord) -> str:
        record.exc_info, record.exc_text, record.stack_info = None, None, None
        return printable(super().format(record))


class _JsonLine(logging.Formatter):
    """The same as an object of JSON."""

    def format(self, record: logging.LogRecord) -> str:
        return json_line(
            {
                "time": round(record.created * 1000),
                "level": record.levelname.lower(),
                "logger": record.name,
                "text": record.getMessage(),
            }
        ).decode()
