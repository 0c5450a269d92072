"""How large a cluster the lab simulates on this machine, and how fast; each size in a process of its own."""

from __future__ import annotations

import logging
import resource
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context
from random import Random

from mesh.lab.cluster.cluster import Cluster
from mesh.lab.cluster.topology import Links, chords, line

LINKS_EACH = 4
"""Links of a node in the shape `some`, on average."""
LARGE_CLUSTER_SECONDS = 600.0
"""Virtual time within which all nodes must have the same events."""
APART_SECONDS = 5.0
"""Virtual time of the partition."""


@dataclass(frozen=True)
class Size:
    """A cluster, and how much is written in it."""

    name: str
    nodes: int
    shape: str
    """`all`: each node finds all others; `some`: a ring and LINKS_EACH links for each, dialled by address; `line`."""
    before: int
    """Events that each node writes before the partition."""
    apart: int
    """Events that each node writes while the two halves are apart."""


SIZES = (Size("few", 5, "all", 0, 1_000), Size("hundred", 100, "all", 2, 2), Size("hundreds", 300, "some", 2, 2))


@dataclass(frozen=True)
class LabRun:
    """The figures of one size."""

    size: str
    nodes: int
    links: int
    """Connections between nodes before the partition."""
    events: int
    virtual_seconds: float
    real_seconds: float
    """From the start of the first node to the end of the checker."""
    callbacks: int
    peak_mb: float
    """Memory of the process, at most."""
    trace_hash: str


def measure(sizes: Sequence[Size], *, seed: int = 0) -> list[LabRun]:
    """Simulate each size in a new process, one after the other."""
    runs = []
    for size in sizes:
        with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
            runs.append(pool.submit(play, size, seed).result())
    return runs


def play(size: Size, seed: int = 0) -> LabRun:
    """All nodes meet and write, both halves of a partition write, it heals and all agree. Raises Violation."""
    logging.disable(logging.CRITICAL)  # hundreds of nodes would fill the screen
    try:
        return _play(size, seed)
    finally:
        logging.disable(logging.NOTSET)


def _play(size: Size, seed: int) -> LabRun:
    began = time.monotonic()
    with Cluster(seed, traces=False) as cluster:
        names = [f"room{number}" for number in range(size.nodes)]
        rooms = cluster.start(*names, links=_shape(size.shape, seed))
        cluster.settle("all have met", limit_seconds=LARGE_CLUSTER_SECONDS)
        links = sum(len(room.peers) for room in rooms) // 2
        for room in rooms:
            for number in range(size.before):
                room.log.add({"type": f"{room.name}.before.{number}"})
        cluster.settle("all agree", limit_seconds=LARGE_CLUSTER_SECONDS)
        half = size.nodes // 2
        cluster.partition(names[:half], names[half:])
        for room in rooms:
            for number in range(size.apart):
                room.log.add({"type": f"{room.name}.apart.{number}"})
        cluster.run(APART_SECONDS)
        cluster.heal()
        cluster.settle("all agree again", limit_seconds=LARGE_CLUSTER_SECONDS)
        cluster.assert_converged()
        events = rooms[0].store.state.events
    real_seconds = time.monotonic() - began
    turns = cluster.loop.turns
    return LabRun(
        size.name, size.nodes, links, events, cluster.seconds, real_seconds, turns, _peak_mb(), cluster.trace_hash
    )


def show(runs: Sequence[LabRun]) -> str:
    """A table with a line for each run."""
    from mesh.terminal.tables import table, tables

    rows = [
        (
            run.size,
            f"{run.nodes}",
            f"{run.links}",
            f"{run.events}",
            f"{run.virtual_seconds:.1f}",
            f"{run.real_seconds:.1f}",
            f"{run.callbacks}",
            f"{run.peak_mb:.0f}",
        )
        for run in runs
    ]
    headings = ("size", "nodes", "links", "events", "virtual s", "real s", "callbacks", "peak MB")
    return tables([table(headings, rows)])


def _shape(shape: str, seed: int) -> Links | None:
    shapes: dict[str, Links | None] = {
        "all": None,
        "line": line,
        "some": partial(chords, random=Random(f"{seed} chords"), links_each=LINKS_EACH),
    }
    return shapes[shape]


def _peak_mb() -> float:
    unit = 1 if sys.platform == "darwin" else 1024  # bytes there, kilobytes here
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1_000_000
