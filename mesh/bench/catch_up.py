"""How fast an empty node gets a long log from another one: two processes, SQLite at both ends.

`python -m mesh.bench.catch_up [--events N]` runs it without `mesh`, and is how it starts its two processes.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import click
from click.exceptions import Exit

from mesh.bench import MEASURE_SECONDS
from mesh.node import Node
from mesh.terminal.output import INTERRUPTED

EVENTS_PER_WRITE = 500


async def _write(home: str, count: int) -> None:
    """The first process: fill a log, then serve it until standard input ends."""
    async with Node("writer", home=home, listen="127.0.0.1:0", mdns=False) as node:
        began = time.monotonic()
        for first in range(0, count, EVENTS_PER_WRITE):
            numbers = range(first, min(first + EVENTS_PER_WRITE, count))
            await node.log.add_batch([({"type": "reading", "n": n, "text": "x" * 100}, None) for n in numbers])
        took = time.monotonic() - began
        print(json.dumps({"port": node.port, "seconds": took}), flush=True)
        await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)


async def _fetch(home: str, count: int, peer: str) -> None:
    """The second process: start empty and wait for all events."""
    began = 0.0

    def on_change(_: object) -> None:
        nonlocal began
        began = began or time.monotonic()

    node = Node("reader", home=home, listen="127.0.0.1:0", mdns=False, peers=[peer])
    node.on("change", on_change)  # the first change is the connection
    async with node, asyncio.timeout(MEASURE_SECONDS):
        committed = asyncio.Event()
        node.log.on("change", committed.set)
        while node.log.last_added < count:
            committed.clear()
            await committed.wait()
        print(json.dumps({"seconds": time.monotonic() - began}), flush=True)


def measure(events: int) -> None:
    """Fill the log of one node, start an empty node beside it, and print how long it takes to get all events."""
    command = [sys.executable, "-m", "mesh.bench.catch_up", "--events", str(events)]
    with (
        tempfile.TemporaryDirectory() as folder,
        subprocess.Popen(
            [*command, "--child", "write", "--home", str(Path(folder, "a"))],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        ) as writer,
    ):
        assert writer.stdout is not None
        written = json.loads(writer.stdout.readline())
        print(f"written: {events} events in {written['seconds']:.2f} s, {events / written['seconds']:,.0f} events/s")
        peer = f"127.0.0.1:{written['port']}"
        fetched = subprocess.run(
            [*command, "--child", "fetch", "--home", str(Path(folder, "b")), "--peer", peer],
            check=True,
            capture_output=True,
            text=True,
        )
        seconds = json.loads(fetched.stdout)["seconds"]
        print(f"caught up: {events} events in {seconds:.2f} s, {events / seconds:,.0f} events/s")
        writer.communicate()


@click.command()
@click.option("--events", default=100_000, show_default=True, help="How many events of about 150 bytes.")
@click.option("--child", default="", hidden=True)
@click.option("--home", default="", hidden=True)
@click.option("--peer", default="", hidden=True)
def main(*, events: int, child: str, home: str, peer: str) -> None:
    """Fill the log of one node, start an empty node beside it, and print how long it takes to get all events."""
    try:
        if child == "write":
            asyncio.run(_write(home, events))
        elif child == "fetch":
            asyncio.run(_fetch(home, events, peer))
        else:
            measure(events)
    except KeyboardInterrupt:
        raise Exit(INTERRUPTED) from None


if __name__ == "__main__":
    main()
