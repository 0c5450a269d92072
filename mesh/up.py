"""`mesh up`: runs a node in the foreground until it is told to stop."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import queue
import signal
import threading
from collections.abc import Callable
from datetime import datetime

import msgspec

from mesh.actions import Notice
from mesh.node import Node
from mesh.output import complain, printable

OPEN_LINK = (
    "warning: the links between nodes are neither encrypted nor authenticated yet: "
    "anybody on this network can read and write this log"
)
OPEN_DOOR = (
    "warning: the clients' door is open to the network and not encrypted, so tokens can be read on their way: "
    "give --clients-cert and --clients-key, or open it at 127.0.0.1"
)
PRINTER_LINES = 1_000
"""Lines that wait for a slow reader of our standard output; what comes beyond them is left out."""
FLUSH_SECONDS = 1.0


def run_up(make_node: Callable[[], Node], *, as_json: bool) -> int:
    """Run the node until SIGTERM, SIGINT or `mesh stop`; the exit code. Raises MeshError, StoreError or ValueError."""
    logging.basicConfig(level=logging.WARNING, handlers=[one_line_log()])
    printer = Printer()
    try:
        return asyncio.run(_Up(make_node(), _JsonTeller(printer) if as_json else _LineTeller(printer)).run())
    finally:
        printer.close()


class _Up:
    """One run of a node in the foreground."""

    def __init__(self, node: Node, teller: _LineTeller | _JsonTeller) -> None:
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


class _LineTeller:
    """Readable lines."""

    def __init__(self, printer: Printer, *, now: Callable[[], datetime] = datetime.now) -> None:
        self._printer = printer
        self._now = now

    def up(self, node: Node) -> None:
        self._tell(f"{node.node_id} is up in mesh {node.mesh}: it listens on port {node.port}, its home is {node.home}")
        self._printer.print(OPEN_LINK)
        for key, port in node.door_ports.items():
            self._tell(f"the door for {key} is open on port {port}")
        if node.clients_url:
            self._tell(f"the page of this node is at {node.clients_url}; `mesh token add USER` prints a token for it")
        if node.is_clients_door_in_clear:
            self._printer.print(OPEN_DOOR)

    def notice(self, notice: Notice) -> None:
        self._tell(notice.sentence)

    def stopped(self, node_id: str) -> None:
        self._tell(f"{node_id} stopped")

    def _tell(self, sentence: str) -> None:
        self._printer.print(f"{self._now():%H:%M:%S}  {printable(sentence)}")


class _JsonTeller:
    """JSON lines."""

    def __init__(self, printer: Printer) -> None:
        self._printer = printer

    def up(self, node: Node) -> None:
        doors, page = dict(node.door_ports), node.clients_url
        self._tell(
            event="up",
            node_id=node.node_id,
            mesh=node.mesh,
            port=node.port,
            home=str(node.home),
            doors=doors,
            page=page,
        )
        complain(OPEN_LINK)
        if node.is_clients_door_in_clear:
            complain(OPEN_DOOR)

    def notice(self, notice: Notice) -> None:
        self._tell(event=notice.kind, node_id=notice.node_id, text=notice.sentence)

    def stopped(self, node_id: str) -> None:
        self._tell(event="stopped", node_id=node_id, text=f"{node_id} stopped")

    def _tell(self, **event: object) -> None:
        self._printer.print(msgspec.json.encode(event).decode())


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


def one_line_log() -> logging.Handler:
    """Prints what is logged on standard error: one line a record, and one record of each library."""
    handler = logging.StreamHandler()
    handler.setFormatter(_OneLine("%(levelname)s %(name)s: %(message)s"))
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
