"""A node in a process of its own, which obeys commands on standard input: what the workloads measure.

`python -m mesh.bench.node_process HOME NAME OPTIONS [PEER ...]` answers each line of JSON with a line of JSON, in order.
OPTIONS are options of Node as JSON. Times are those of the monotonic clock, which all processes of a machine share.
"""

from __future__ import annotations

import asyncio
import json
import logging
import resource
import subprocess
import sys
import time
from collections import Counter, deque
from collections.abc import Awaitable, Callable
from contextlib import suppress
from hashlib import sha256
from math import inf
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from mesh.bench import MEASURE_SECONDS
from mesh.node import Node
from mesh.notices import LOGGER
from mesh.process import suit_node
from mesh.settings.paths import CERTIFICATES_FILE
from peers.limits import Limits

TEXT = "x" * 100
"""An event with it has about 150 bytes."""

KEPT_LINES = 1_000
"""Of output that are kept."""

Answer = dict[str, Any]


class NodeProcess:
    """Starts such a process and gives it commands. Use it as a context manager: leaving it ends the process.

    Raises RuntimeError if the process ends before its answer.
    """

    def __init__(self, home: Path, name: str, *peers: str, **options: Any) -> None:
        """`options` are those of Node, as JSON can say them: `limits` is a dict. A home without certificates is that of an open
        node.
        """
        options = {"open": not (home / CERTIFICATES_FILE).exists(), **options}
        self.began = time.monotonic()
        self._process = subprocess.Popen(
            [sys.executable, "-m", "mesh.bench.node_process", str(home), name, json.dumps(options), *peers],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        ready = self.answer()
        self.start_seconds = ready["at"] - self.began
        """From the start of the process until its node ran."""
        self.address = f"127.0.0.1:{ready['port']}"
        self.node_id: str = ready["node_id"]
        self.clients = f"127.0.0.1:{ready['clients_port']}" if ready["clients_port"] else ""
        """The door for clients; empty unless the options have one."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        with suppress(BrokenPipeError):
            assert self._process.stdin is not None
            self._process.stdin.close()
        try:
            self._process.wait(MEASURE_SECONDS)
        finally:
            self._process.kill()
            assert self._process.stdout is not None
            self._process.stdout.close()

    @property
    def waited_seconds(self) -> float:
        """How long threads of it that had something to do have waited for a processor; 0 where the system does not say."""
        with suppress(OSError):  # a thread may end meanwhile
            tasks = [task.read_text("ascii") for task in Path(f"/proc/{self._process.pid}/task").glob("*/schedstat")]
            return sum([int(task.split()[1]) for task in tasks]) / 1e9
        return 0.0

    def ask(self, command: str, **options: Any) -> Answer:
        """Give a command and wait for its answer; see Worker for the commands."""
        self.tell(command, **options)
        return self.answer()

    def tell(self, command: str, **options: Any) -> None:
        """Give a command; its answer has to be read with `answer`."""
        assert self._process.stdin is not None
        print(json.dumps({"do": command, **options}), file=self._process.stdin, flush=True)

    def answer(self) -> Answer:
        """The answer of the oldest command that was not read yet."""
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError("the process of a node has ended: its error is above")
        found: Answer = json.loads(line)
        return found


class Worker:
    """The commands: each is a method that returns its answer."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._changed = asyncio.Event()
        self._used_before = _cpu_seconds()
        self._latencies: list[tuple[float, float]] = []
        self._pacing: asyncio.Task[list[float]]
        self._pace_ends = inf
        self._lines = _Lines()
        logging.getLogger().addHandler(self._lines)
        logging.getLogger(LOGGER).setLevel(logging.INFO)
        self.commands: dict[str, Callable[..., Awaitable[Answer]]] = {
            "add": self.add,
            "pace": self.pace,
            "end_pace": self.end_pace,
            "wait": self.wait,
            "listen": self.listen,
            "latencies": self.latencies,
            "connect": self.connect,
            "meet": self.meet,
            "usage": self.usage,
            "forget_peak": self.forget_peak,
            "status": self.status,
            "log": self.log,
            "said": self.said,
        }

    async def add(self, *, events: int, batch: int, in_flight: int = 1) -> Answer:
        """Add events in batches (1: one by one), with so many calls in flight. `began` and `at` enclose it."""
        began, numbers = time.monotonic(), iter(range(0, events, batch))

        async def lane() -> None:
            for first in numbers:
                if batch == 1:
                    await self._node.log.add({"type": "reading", "n": first, "text": TEXT})
                else:
                    items = range(first, min(first + batch, events))
                    await self._node.log.add_batch([({"type": "reading", "n": n, "text": TEXT}, None) for n in items])

        await asyncio.gather(*(lane() for _ in range(in_flight)))
        return {"began": began, "at": time.monotonic()}

    async def pace(self, *, every_ms: float) -> Answer:
        """Add one event every `every_ms` until `end_pace`; each says when it was added."""
        self._pace_ends = inf
        self._pacing = asyncio.create_task(self._pace(every_ms / 1000))
        return {}

    async def end_pace(self, *, at: float = 0.0) -> Answer:
        """Go on until this time, and end with the event after it. `sent` has the times when events were added."""
        self._pace_ends = at
        return {"sent": await self._pacing}

    async def _pace(self, pause_seconds: float) -> list[float]:
        due, sent = time.monotonic(), list[float]()
        while not sent or sent[-1] < self._pace_ends:
            sent.append(time.monotonic())
            await self._node.log.add({"type": "reading", "n": len(sent), "text": TEXT, "sent": sent[-1]})
            due += pause_seconds
            await asyncio.sleep(max(0.0, due - time.monotonic()))
        return sent

    async def wait(self, *, events: int) -> Answer:
        """Wait until the log has so many events; `at` is when it had."""
        undo = self._node.log.on("change", self._changed.set)
        while self._node.log.last_added < events:
            self._changed.clear()
            await self._changed.wait()
        undo()
        return {"at": time.monotonic()}

    async def listen(self) -> Answer:
        """Note from now on how long ago each new event was sent, see `pace`."""
        self._latencies.clear()
        self._node.log.on("event", self._on_event)
        return {}

    def _on_event(self, event: dict[str, Any], _meta: Any) -> None:
        sent = event.get("sent")
        if sent is not None:
            self._latencies.append((sent, time.monotonic() - sent))

    async def latencies(self) -> Answer:
        """What `listen` noted: when each event was sent, and after how many seconds it came."""
        return {"latencies": self._latencies}

    async def connect(self, *, peer: str) -> Answer:
        """Dial an address."""
        await self._node.add_peer(peer)
        return {"at": time.monotonic()}

    async def meet(self, *, peers: int) -> Answer:
        """Wait until this node and so many others hold the same."""
        await self._node.synchronized(peers=peers, timeout=MEASURE_SECONDS)
        return {"at": time.monotonic()}

    async def usage(self) -> Answer:
        """Processor seconds since the node runs or since the last `usage`; resident memory, now and at its peak, in bytes;
        lines that `mesh up` would have printed.
        """
        before, self._used_before = self._used_before, _cpu_seconds()
        return {
            "cpu_seconds": self._used_before - before,
            "rss": _memory("VmRSS"),
            "peak_rss": peak_rss(),
            "lines": self._lines.count,
        }

    async def forget_peak(self) -> Answer:
        """Count the peak of memory from now on, where the system can do that."""
        _forget_peak()
        return {}

    async def status(self) -> Answer:
        """The status of the node."""
        return dict(await self._node.status())

    async def log(self) -> Answer:
        """How many events of which `type` the log has, and a `digest` of all that it shows, in order."""
        types: Counter[str] = Counter()
        digest = sha256()
        async for event, meta in self._node.log.each():
            types[event["type"]] += 1
            digest.update(json.dumps([meta["created"], event], sort_keys=True).encode())
        return {"types": types, "digest": digest.hexdigest()}

    async def said(self) -> Answer:
        """The last lines of output, KEPT_LINES at most."""
        return {"lines": list(self._lines.last)}


class _Lines(logging.Handler):
    """Counts notices and warnings of peermesh, and the first one of each library, as `mesh up` prints them."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 0
        self.last: deque[str] = deque(maxlen=KEPT_LINES)
        self._libraries: set[str] = set()

    def emit(self, record: logging.LogRecord) -> None:
        library = record.name.partition(".")[0]
        if library in {"mesh", "peers"} or library not in self._libraries:
            self.count += 1
            self.last.append(record.getMessage())
        self._libraries.add(library)


def peak_rss() -> int:
    """The most bytes of resident memory that this process had."""
    return _memory("VmHWM")


def _memory(name: str) -> int:
    """Bytes by the name of a line of Linux; the peak elsewhere. Linux's own `ru_maxrss` begins with that of the parent."""
    with suppress(OSError), Path("/proc/self/status").open(encoding="ascii") as lines:
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{name}:"))
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def _forget_peak() -> None:
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")


def _cpu_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


async def serve(home: str, name: str, options: str, *peers: str) -> None:
    """Run the node and obey until standard input ends."""
    loop = asyncio.get_running_loop()
    more = json.loads(options)
    limits = Limits(**more.pop("limits", {}))
    logging.getLogger(LOGGER).addHandler(logging.NullHandler())  # that the node is open is no news here
    async with Node(name, home=home, listen="127.0.0.1:0", mdns=False, peers=peers, limits=limits, **more) as node:
        worker = Worker(node)
        ready = {"port": node.port, "clients_port": node.clients_port, "node_id": node.node_id, "at": time.monotonic()}
        print(json.dumps(ready), flush=True)
        while line := await loop.run_in_executor(None, sys.stdin.readline):
            command = json.loads(line)
            async with asyncio.timeout(MEASURE_SECONDS):
                answer = await worker.commands[command.pop("do")](**command)
            print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    suit_node()  # as in `mesh up`
    with suppress(KeyboardInterrupt):
        asyncio.run(serve(*sys.argv[1:]))
