"""What views cost: folding history, a late event, a restart, reads, and what an open view adds to `add`."""

from __future__ import annotations

import asyncio
import resource
import tempfile
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from mesh.node import Node
from mesh.terminal.tables import table, tables
from mesh.views.view import View
from peers.later import Later

KEYS = 10_000
LATE_EVENTS = 10_000
KEY_READS = 200_000
VIEW_ADDS = 120 * 256
"""Adds of one turn: half a second or more, ten times as long as a view lets events wait, so it folds nearly all meanwhile."""
ADDS_IN_FLIGHT = 256
ADD_PAIRS = 5
HISTORY_BATCH = 100
TYPE = "shop/sold"


@dataclass(frozen=True)
class ViewFigure:
    """One line."""

    name: str
    value: float
    unit: str
    goal: str


def count(state: Any, event: dict[str, Any], _meta: dict[str, Any]) -> None:
    """The view that is measured: a counter by key."""
    state[event["item"]] = state.get(event["item"], 0) + event["change"]


async def measure(events: int) -> list[ViewFigure]:
    """Measure with a log of so many events, in a fresh home.

    Times are of the processor, of all threads, but for the start and the adds.
    """
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder) / "home"
        async with _node(home) as node:
            await _fill(node, events)
            used, view = await _timed(lambda: node.view("stock", count, types=[TYPE]))
            figures = [ViewFigure("folded from history", events / used, "events/s", ">= 100 000")]
            figures.append(await _late(node, view))
        async with _node(home) as node:
            began = time.perf_counter()
            view = await node.view("stock", count, types=[TYPE])
            figures.append(ViewFigure("ready after a restart", (time.perf_counter() - began) * 1000, "ms", "< 50"))
            figures.append(_reads(view))
        figures += await _adds(Path(folder))
    return figures


def show(figures: list[ViewFigure], machine: str) -> str:
    """A table for people."""
    rows = [(each.name, f"{each.value:,.1f}".replace(",", " "), each.unit, each.goal) for each in figures]
    return f"{tables([table(('what', 'measured', 'unit', 'goal'), rows)])}{machine}\n"


def run(events: int) -> list[ViewFigure]:
    """As `measure`, on a loop of its own."""
    return asyncio.run(measure(events))


def _node(home: Path) -> Node:
    return Node("measured", home=home, open=True, mdns=False, listen="127.0.0.1:0")


def _sale(number: int) -> dict[str, Any]:
    return {"type": TYPE, "item": f"item {number * 7_919 % KEYS}", "change": -1}


async def _fill(node: Node, events: int) -> None:
    for first in range(0, events, HISTORY_BATCH):
        numbers = range(first, min(events, first + HISTORY_BATCH))
        await node.log.add_batch([(_sale(number), None) for number in numbers])


def _cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


async def _timed(work: Callable[[], Later[View]]) -> tuple[float, View]:
    began = _cpu()
    result = await work()
    return _cpu() - began, result


async def _late(node: Node, view: View) -> ViewFigure:
    """An event of which the time is that of the one LATE_EVENTS back."""
    last: int = node.log.last_added
    page = await node.log.page(order="added", since=max(0, last - LATE_EVENTS), limit=1)
    meta = {"time": page[0].time}
    began = _cpu()
    added = await node.log.add(_sale(0), meta)
    assert added is not None
    await view.after(added)
    return ViewFigure(f"a late event, {LATE_EVENTS} back", (_cpu() - began) * 1000, "ms", "<= 150")


def _reads(view: View) -> ViewFigure:
    keys = [f"item {number * 31 % KEYS}" for number in range(KEY_READS)]
    began = _cpu()
    for key in keys:
        view[key]
    return ViewFigure("reads by key", KEY_READS / (_cpu() - began), "reads/s", ">= 100 000")


async def _adds(folder: Path) -> list[ViewFigure]:
    """An application that adds single events in a loop, ADDS_IN_FLIGHT at once, with and without a view in turns.

    How much longer its adds take while the view folds them, and how long it then waits for the view to have the last one.
    """
    async with _node(folder / "plain") as plain, _node(folder / "viewed") as viewed:
        view = await viewed.view("stock", count, types=[TYPE])
        shares, waits = [], []
        for _ in range(ADD_PAIRS):
            without = await _add_seconds(plain)
            shares.append(await _add_seconds(viewed) / without - 1)
            began = time.perf_counter()
            await view.after(viewed.log.last_added)
            waits.append(time.perf_counter() - began)
    return [
        ViewFigure("what a view adds to `add`", median(shares) * 100, "%", "<= 15"),
        ViewFigure("`after` the last of these adds", median(waits) * 1000, "ms", ""),
    ]


async def _add_seconds(node: Node) -> float:
    began = time.perf_counter()
    for _ in range(VIEW_ADDS // ADDS_IN_FLIGHT):
        waiting: list[Awaitable[Any]] = [node.log.add(_sale(number)) for number in range(ADDS_IN_FLIGHT)]
        for added in waiting:
            await added
    return time.perf_counter() - began
