"""kill -9 at any moment: an event that was confirmed on standard output is in the log of both nodes."""

from __future__ import annotations

import json
import os
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from random import Random

import pytest
from mesh_process import MeshNode, wait_until

ROUNDS = int(os.environ.get("KILL_ROUNDS", "5"))
"""Set KILL_ROUNDS=1000 for a long run."""


@pytest.fixture
def nodes(tmp_path: Path) -> Iterator[tuple[MeshNode, MeshNode]]:
    pair = MeshNode(tmp_path / "till"), MeshNode(tmp_path / "office")
    yield pair
    for node in pair:
        node.kill()


def feed(adder: subprocess.Popen[str], number: int) -> None:
    """Write events, about 2 000 a second, until the pipe is closed."""
    assert adder.stdin is not None
    with suppress(BrokenPipeError):
        for n in range(100_000):
            adder.stdin.write(json.dumps({"type": "sale", "round": number, "n": n}) + "\n")
            if n % 4 == 3:
                adder.stdin.flush()
                time.sleep(0.002)  # so that a thousand rounds stay within the memory of this test
    with suppress(BrokenPipeError):
        adder.stdin.close()


def add_until_killed(till: MeshNode, number: int, seconds: float) -> set[tuple[int, str, int]]:
    """Kill the node `seconds` after the first confirmation. Returns the events that were confirmed before."""
    adder = till.spawn("add", "-", stdin=subprocess.PIPE)
    feeder = threading.Thread(target=feed, args=(adder, number))
    feeder.start()
    assert adder.stdout is not None
    printed = [adder.stdout.readline()]
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        printed.append(adder.stdout.readline())
    till.kill()
    printed += adder.stdout.readlines()
    adder.wait(10)
    feeder.join(10)
    adder.stdout.close()
    assert not feeder.is_alive()
    assert adder.returncode == 1  # the node has gone
    return {tuple(json.loads(line)["created"]) for line in printed if line.endswith("\n")}


@pytest.mark.timeout(60 + 10 * ROUNDS)
def test_a_confirmed_event_survives_kill_9_and_reaches_the_other_node(nodes: tuple[MeshNode, MeshNode]) -> None:
    till, office = nodes
    random = Random(1)
    options = ["--no-mdns", "--listen", "127.0.0.1:0"]
    port = office.up(*options)["port"]
    confirmed: set[tuple[int, str, int]] = set()

    for number in range(ROUNDS):
        till.up(*options, "--peer", f"127.0.0.1:{port}")
        confirmed |= add_until_killed(till, number, random.uniform(0, 0.4))
    till.up(*options, "--peer", f"127.0.0.1:{port}")

    patience = 30.0 + ROUNDS  # a thousand rounds leave 700 000 events to print
    held = [tuple(row["meta"]["created"]) for row in till.events(seconds=patience)]
    assert confirmed
    assert confirmed <= set(held)
    assert len(held) == len(set(held))
    wait_until(lambda: office.status()["events"] == len(held), 20, "the office has all that the till has")
    assert [tuple(row["meta"]["created"]) for row in office.events(seconds=patience)] == held
