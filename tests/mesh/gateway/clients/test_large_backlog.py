"""A client's whole backlog in one frame: a node in a process of its own stores it, and frees the memory."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from websockets.sync.client import connect

from mesh.gateway.clients.tokens import Tokens
from tests.support.root import ROOT

EVENTS = 24_000
FRAME_BYTES = 1_050 * EVENTS
CACHES_BYTES = 64 * 1024 * 1024
"""Memory that a node keeps after any number of events: the tail of its log, pages of SQLite."""
SECONDS = 90.0


@pytest.fixture
def node(tmp_path: Path) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """The process of a node, and the URL of its clients' door."""
    command = [sys.executable, "-m", "mesh", "--home", str(tmp_path), "up", "--open", "--name", "kitchen", "--no-mdns"]
    doors = ["--listen", "127.0.0.1:0", "--clients", "127.0.0.1:0", "--json"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    process = subprocess.Popen([*command, *doors], stdout=subprocess.PIPE, text=True, env=environment)
    try:
        assert process.stdout is not None
        up = json.loads(process.stdout.readline())
        yield process, f"ws://127.0.0.1:{up['doors']['clients']}/"
    finally:
        process.terminate()
        process.communicate(timeout=20)


def memory(process: subprocess.Popen[str], what: str) -> int:
    """Bytes, as /proc counts them."""
    found = re.search(rf"{what}:\s+(\d+) kB", Path(f"/proc/{process.pid}/status").read_text())
    assert found is not None
    return int(found[1]) * 1024


def backlog(base: int) -> str:
    ms = int(time.time() * 1000) - base
    texts = "x" * 970
    pairs = [f'{{"type":"e","n":{n},"text":"{texts}"}},{{"id":[{ms},{n}],"time":{ms}}}' for n in range(EVENTS)]
    return f'["sync",{EVENTS},{",".join(pairs)}]'


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="needs /proc of Linux")
def test_a_long_backlog_with_a_bad_event_uses_at_most_four_times_its_size_in_memory_and_frees_it(
    node: tuple[subprocess.Popen[str], str], tmp_path: Path
) -> None:
    process, url = node
    token = Tokens(tmp_path).add("ada", None, time.time_ns() // 1_000_000)
    with connect(url, max_size=None, compression=None, proxy=None, ping_interval=None) as client:
        client.send(json.dumps(["connect", 5, "ada", 0, {"token": token}]))
        base = json.loads(client.recv(timeout=SECONDS))[3][1]
        frame = backlog(base).replace('"n":5,"text":"', '"n":5,"text":"\\ud83d')  # the harder way to read it
        before = memory(process, "VmRSS")
        Path(f"/proc/{process.pid}/clear_refs").write_text("5")  # the peak counts from here

        client.send(frame)
        while (message := json.loads(client.recv(timeout=SECONDS)))[0] != "synced":
            if message[0] == "ping":
                client.send(json.dumps(["pong", 0]))

        peak = memory(process, "VmHWM")
        deadline = time.monotonic() + SECONDS
        while memory(process, "VmRSS") - before > CACHES_BYTES and time.monotonic() < deadline:
            time.sleep(0.05)
        assert message == ["synced", EVENTS]
        assert len(frame) > 0.95 * FRAME_BYTES
        assert peak - before < 4 * len(frame)
        assert memory(process, "VmRSS") - before < CACHES_BYTES
