"""Workloads of real nodes: each starts its own processes, which speak over loopback and commit every event to the disk."""

from __future__ import annotations

import asyncio
import json
import resource
import sqlite3
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from mesh.bench import EVENTS_PER_SECOND, MIB, WORKLOADS
from mesh.bench.actors import loop_seconds, thread_seconds
from mesh.bench.many_sessions import ManySessions
from mesh.bench.node_process import TEXT, NodeProcess, peak_rss
from mesh.lab.live.homes import FoundedMesh
from mesh.terminal.tables import table, tables

IN_FLIGHT = 256
"""Single adds that are waited for at once."""
BATCH = 100
CATCH_UP_BATCH = 500
PACE_MS = 10.0
"""Between two events of `sessions`."""
MESH_NODES = 5
TURN_EVENTS = 20
"""Events that each of five writers adds before the next one's turn."""
SESSIONS = 100
WARM_SESSIONS = 20
"""After which a process has no memory left over from its start: what the others take is what a session takes."""
OF_ONE_HOST = {"connects_per_second": 1_000, "connects_of_address_per_second": 1_000}
"""Limits of a node with which all sessions begin on this machine."""
NO_RATE = ("latency", "sessions", "start", "open")


@dataclass(frozen=True)
class Figure:
    """What one workload measured."""

    name: str
    events: int
    seconds: float
    """From the first add, or from the first dial, until the events were visible at all ends."""
    cpu_us: float
    """Microseconds of processor time for an event, of all nodes together."""
    rss: int
    """Bytes of resident memory of the largest node, at its peak."""
    p50_ms: float | None = None
    p99_ms: float | None = None
    part: float | None = None
    """Of the rate of what it is compared with in the same run: plain inserts into SQLite, ThreadingActors (latency: how many
    times their time)."""
    session_kib: float | None = None
    """KiB of the node's memory for each session that waits for events."""

    @property
    def per_second(self) -> float:
        return self.events / self.seconds if self.seconds else 0.0


def _catch_up(name: str, events: int, *, batch: int, is_trusted: bool = False) -> Figure:
    with _nodes(is_trusted) as start:
        writer = start()
        writer.ask("add", events=events, batch=batch, in_flight=IN_FLIGHT if batch == 1 else 1)
        writer.ask("usage")
        reader = start()
        began = time.monotonic()
        reader.ask("connect", peer=writer.address)
        ended = reader.ask("wait", events=events)["at"]
        used = _usage([writer, reader], events)
    return Figure(name, events, ended - began, *used)


def _live(name: str, events: int, *, batch: int, in_flight: int, is_trusted: bool = False) -> Figure:
    with _nodes(is_trusted) as start:
        writer = start()
        reader = start(writer)
        reader.ask("meet", peers=1)
        reader.tell("wait", events=events)
        began = writer.ask("add", events=events, batch=batch, in_flight=in_flight)["began"]
        ended = reader.answer()["at"]
        used = _usage([writer, reader], events)
    return Figure(name, events, ended - began, *used)


def latency(events: int, *, is_trusted: bool = False) -> Figure:
    """One of two connected nodes adds 50 events a second; how long each takes until the other shows it."""
    with _nodes(is_trusted) as start:
        writer = start()
        reader = start(writer)
        reader.ask("meet", peers=1)
        reader.ask("listen")
        _usage([writer, reader], events)  # of the start and the handshake
        reader.tell("wait", events=events)
        writer.ask("pace", every_ms=1000 / EVENTS_PER_SECOND)
        reader.answer()
        writer.ask("end_pace")
        found = sorted(seconds for _, seconds in reader.ask("latencies")["latencies"])
        used = _usage([writer, reader], events)
    return Figure("latency", events, sum(found), *used, *_percentiles(found))


def mesh(events: int) -> Figure:
    """Five connected nodes add a fifth of the events each, all at once, until each has all."""
    each = max(1, events // MESH_NODES)
    with _nodes() as start:
        nodes: list[NodeProcess] = []
        for _ in range(MESH_NODES):
            nodes.append(start(*nodes))
        for node in nodes:
            node.ask("meet", peers=MESH_NODES - 1)
        for node in nodes:
            node.tell("add", events=each, batch=1, in_flight=IN_FLIGHT)
            node.tell("wait", events=each * MESH_NODES)
        began = min(node.answer()["began"] for node in nodes)
        ended = max(node.answer()["at"] for node in nodes)
        used = _usage(nodes, each * MESH_NODES)
    return Figure("mesh", each * MESH_NODES, ended - began, *used)


def catch_up_turns(events: int, *, is_trusted: bool = False) -> Figure:
    """An empty node gets a log to which five connected nodes have added 20 events each in turn."""
    with _nodes(is_trusted) as start:
        nodes: list[NodeProcess] = []
        for _ in range(MESH_NODES):
            nodes.append(start(*nodes))
        for number, first in enumerate(range(0, events, TURN_EVENTS)):
            nodes[number % MESH_NODES].ask("add", events=min(TURN_EVENTS, events - first), batch=TURN_EVENTS)
        nodes[0].ask("wait", events=events)
        nodes[0].ask("usage")
        reader = start()
        began = time.monotonic()
        reader.ask("connect", peer=nodes[0].address)
        ended = reader.ask("wait", events=events)["at"]
        used = _usage([nodes[0], reader], events)
    return Figure("catch-up-turns", events, ended - began, *used)


def line(events: int) -> Figure:
    """The first of three nodes in a line adds events one by one, 256 in flight, until all are visible at the third."""
    with _nodes() as start:
        first = start()
        second = start(first)
        third = start(second)
        second.ask("meet", peers=2)
        third.tell("wait", events=events)
        began = first.ask("add", events=events, batch=1, in_flight=IN_FLIGHT)["began"]
        ended = third.answer()["at"]
        used = _usage([first, second, third], events)
    return Figure("line", events, ended - began, *used)


def merge(events: int) -> Figure:
    """Two nodes that wrote half of the events each, apart, meet, until both have all."""
    half = max(1, events // 2)
    with _nodes() as start:
        one, other = start(), start()
        for node in (one, other):
            node.ask("add", events=half, batch=CATCH_UP_BATCH)
        began = time.monotonic()
        one.ask("connect", peer=other.address)
        for node in (one, other):
            node.tell("wait", events=2 * half)
        ended = max(node.answer()["at"] for node in (one, other))
        used = _usage([one, other], 2 * half)
    return Figure("merge", 2 * half, ended - began, *used)


def appends(events: int) -> Figure:
    """A node alone adds events one by one, 256 in flight."""
    with _nodes() as start:
        node = start()
        done = node.ask("add", events=events, batch=1, in_flight=IN_FLIGHT)
        return Figure("appends", events, done["at"] - done["began"], *_usage([node], events))


def start(_events: int) -> Figure:
    """The start of a process until its node runs in a new home."""
    with _nodes() as begin:
        node = begin()
        return Figure("start", 1, node.start_seconds, *_usage([node], 1))


def opening(events: int) -> Figure:
    """The start of a process until its node runs in a home with so many events."""
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder, "a")
        with NodeProcess(home, "a") as node:
            node.ask("add", events=events, batch=CATCH_UP_BATCH)
        with NodeProcess(home, "a") as node:
            return Figure("open", events, node.start_seconds, *_usage([node], events))


def sessions(events: int, *, is_trusted: bool = False) -> Figure:
    """A node has 100 sessions, and adds events one after the other; how long each takes until all got it."""
    with _nodes(is_trusted) as start:
        node = start(limits=OF_ONE_HOST)
        return asyncio.run(_sessions(node, events, FoundedMesh() if is_trusted else None))


async def _sessions(node: NodeProcess, events: int, mesh: FoundedMesh | None) -> Figure:
    found = []
    async with ManySessions(node.address, mesh) as many:
        await many.open(WARM_SESSIONS)
        before = node.ask("usage")["rss"]
        await many.open(SESSIONS - WARM_SESSIONS)
        idle = node.ask("usage")["rss"] - before
        for n in range(events):
            many.expect(n + 1)
            node.tell("add", events=1, batch=1)
            ended = await many.until_all_have()
            found.append(ended - node.answer()["began"])
            await asyncio.sleep(PACE_MS / 1000)
        used = _usage([node], events)
    found.sort()
    kib = idle / (SESSIONS - WARM_SESSIONS) / 1024
    return Figure("sessions", events, sum(found), *used, *_percentiles(found), session_kib=kib)


def actors(events: int) -> Figure:
    """So many hops of a message from LoopActor to LoopActor, compared with a tenth as many between ThreadingActors."""
    before = resource.getrusage(resource.RUSAGE_SELF)
    ours = asyncio.run(loop_seconds(events))
    after = resource.getrusage(resource.RUSAGE_SELF)
    theirs = thread_seconds(max(1, events // 10))
    used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return Figure("actors", events, ours * events, used * 1e6 / events, peak_rss(), part=theirs / ours)


MEASURES: dict[str, Callable[..., Figure]] = {
    "catch-up": partial(_catch_up, "catch-up", batch=CATCH_UP_BATCH),
    "catch-up-singles": partial(_catch_up, "catch-up-singles", batch=1),
    "catch-up-turns": catch_up_turns,
    "live": partial(_live, "live", batch=1, in_flight=IN_FLIGHT),
    "batch": partial(_live, "batch", batch=BATCH, in_flight=4),
    "latency": latency,
    "line": line,
    "mesh": mesh,
    "merge": merge,
    "appends": appends,
    "start": start,
    "open": opening,
    "sessions": sessions,
    "actors": actors,
    "growth": partial(_catch_up, "growth", batch=CATCH_UP_BATCH),
}
"""By the names of mesh.bench.WORKLOADS; with so many events, and those of TRUSTED with `is_trusted`."""


def measure_both(name: str, *, events: int | None = None, runs: int = 1) -> list[Figure]:
    """The median runs of a workload of TRUSTED, with open nodes and with nodes of a mesh, which take turns."""
    count = events or WORKLOADS[name][0]
    pairs = [(MEASURES[name](count), MEASURES[name](count, is_trusted=True)) for _ in range(runs)]
    plain, secure = (sorted(figures, key=_seconds_of)[(runs - 1) // 2] for figures in zip(*pairs, strict=True))
    return [replace(plain, name=f"{name}, open"), replace(secure, name=f"{name}, trusted")]


def _seconds_of(figure: Figure) -> float:
    return figure.seconds


def measure(name: str, *, events: int | None = None, runs: int = 1, against: bool = False) -> Figure:
    """The run with the median time of so many runs of a workload, by its name; see mesh.bench.WORKLOADS.

    With `against`, plain inserts into SQLite are measured after each run, and `part` compares the medians.
    """
    count = events or WORKLOADS[name][0]
    figures, plain = [], []
    for _ in range(runs):
        figures.append(MEASURES[name](count))
        if against:
            plain.append(sqlite_inserts(min(count, 1_000) if name == "latency" else count, _rows_of(name)))
    figures.sort(key=_seconds_of)
    median = figures[(len(figures) - 1) // 2]
    if not plain:
        return median
    seconds = statistics.median(plain)
    ours = median.p50_ms / 1000 if median.p50_ms is not None else median.seconds / median.events
    part = ours / seconds if median.p50_ms is not None else seconds / ours
    return replace(median, part=part)


def sqlite_inserts(events: int, rows: int) -> float:
    """Seconds for an event: plain inserts into SQLite, so many rows a transaction, each committed to the disk."""
    body = json.dumps({"type": "reading", "n": 1, "text": TEXT})
    with (
        tempfile.TemporaryDirectory() as folder,
        closing(sqlite3.connect(Path(folder, "plain.db"), isolation_level=None)) as base,
    ):
        base.execute("PRAGMA journal_mode=WAL")
        base.execute("PRAGMA synchronous=FULL")
        base.execute("CREATE TABLE events (id INTEGER PRIMARY KEY, body TEXT)")
        began = time.perf_counter()
        for first in range(0, events, rows):
            base.execute("BEGIN")
            many = min(rows, events - first)
            base.executemany("INSERT INTO events (body) VALUES (?)", [(body,)] * many)
            base.execute("COMMIT")
        return (time.perf_counter() - began) / events


def show(figures: Sequence[Figure], machine: str) -> str:
    """The figures as a table for people."""
    heading = (
        "workload",
        "events",
        "seconds",
        "events/s",
        "p50 ms",
        "p99 ms",
        "CPU us/event",
        "peak MiB",
        "KiB/session",
        "compared",
    )
    rows = [
        (
            figure.name,
            f"{figure.events}",
            f"{figure.seconds:.2f}",
            "-" if figure.name.partition(",")[0] in NO_RATE else f"{figure.per_second:.0f}",
            _milliseconds(figure.p50_ms),
            _milliseconds(figure.p99_ms),
            f"{figure.cpu_us:.0f}",
            f"{figure.rss / MIB:.0f}",
            "-" if figure.session_kib is None else f"{figure.session_kib:.0f}",
            "-" if figure.part is None else f"{figure.part:.2f}",
        )
        for figure in figures
    ]
    return f"{tables([table(heading, rows)])}{machine}, over loopback, each commit on disk\n"


def _milliseconds(found: float | None) -> str:
    return "-" if found is None else f"{found:.2f}"


def _percentiles(found: Sequence[float]) -> tuple[float, float]:
    """The median and the 99th percentile of sorted seconds, in ms."""
    return found[len(found) // 2] * 1000, found[min(len(found) - 1, len(found) * 99 // 100)] * 1000


def _rows_of(name: str) -> int:
    """How many rows a transaction of the comparison has."""
    return {"latency": 1, "batch": BATCH}.get(name, CATCH_UP_BATCH)


@contextmanager
def _nodes(is_trusted: bool = False) -> Iterator[Callable[..., NodeProcess]]:
    """Starts nodes in new homes, each with the others that it dials; all end with the workload."""
    mesh = FoundedMesh()
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        names = iter("abcdefgh")

        def begin(*others: NodeProcess, **options: Any) -> NodeProcess:
            name = next(names)
            if is_trusted:
                mesh.make_home(Path(folder, name), name)
            peers = [other.address for other in others]
            return stack.enter_context(NodeProcess(Path(folder, name), name, *peers, **options))

        yield begin


def _usage(nodes: Sequence[NodeProcess], events: int) -> tuple[float, int]:
    found = [node.ask("usage") for node in nodes]
    return sum(each["cpu_seconds"] for each in found) * 1e6 / events, max(each["peak_rss"] for each in found)
