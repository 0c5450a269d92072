"""The memory of this process for connections that are silent, and after connections have ended."""

from __future__ import annotations

import asyncio
import ctypes
import resource
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from peers.limits import Limits
from peers.protocol.ports import Welcoming
from peers.transport.port import Connection
from peers.transport.web_socket import WebSocketNetwork
from tests.support.root import ROOT
from tests.support.trusted_street import tls_options, trusted_homes

PLENTY = dict.fromkeys(
    ("connections", "connections_of_address", "connects_per_second", "connects_of_address_per_second"), 10000
) | {"strangers_of_address": 10_000}
SECONDS = 20.0
SILENT = 500
LEFT_BYTES = 10 * 1000 * 1000


def used() -> int:
    """Bytes of memory that this process has now."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(SECONDS):
        while not condition():
            await asyncio.sleep(0.02)


@pytest.mark.parametrize(
    ("door", "stage", "most"), [("open", "", 16), ("open", "upgraded", 16), ("TLS", "", 6)], ids=["", "upgraded", "TLS"]
)
def test_a_silent_connection_takes_little_memory(tmp_path: Path, door: str, stage: str, most: int) -> None:
    """`most` is in KiB."""
    if door == "TLS":
        trusted_homes(tmp_path, "kitchen")
    options = tls_options(tmp_path / "kitchen") if door == "TLS" else {}

    async def run() -> None:
        limits = Limits(greeting_seconds=60, **PLENTY)
        network = WebSocketNetwork(asyncio.get_running_loop(), limits=limits, waits=True, **options)
        listening = await network.listen("127.0.0.1", 0, lambda connection: None)
        before = used()
        crowd = subprocess.Popen(
            [sys.executable, "-m", "tests.support.silent_crowd", str(listening.port), str(SILENT), stage],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        try:
            await until(lambda: sum(1 for _ in network.descriptors()) > SILENT)

            assert (used() - before) / SILENT < most * 1024
        finally:
            await asyncio.to_thread(crowd.communicate)
            await network.close()
            await until(
                lambda: all(number < 0 for number in network.descriptors())
            )  # also those that were just being accepted

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    try:
        asyncio.run(run())
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_the_memory_of_forty_connections_with_a_mebibyte_each_is_given_back() -> None:
    async def run() -> None:
        network = WebSocketNetwork(asyncio.get_running_loop(), limits=Limits(**PLENTY))
        frames: list[bytes] = []
        gone: list[str] = []
        kept: list[bytearray] = []  # between the frames, so that the C library cannot give back its memory from the end

        def on_frame(frame: bytes) -> None:
            frames.append(frame)
            kept.append(bytearray(1_000))

        def on_connection(connection: Connection) -> None:
            assert isinstance(connection, Welcoming)
            connection.welcome()
            connection.on("message", on_frame)
            connection.on("disconnect", gone.append)

        door = await network.listen("127.0.0.1", 0, on_connection)
        ctypes.CDLL(None).malloc_trim(0)  # else these use what tests before them have freed
        before = used()
        ends = [network.dial(f"127.0.0.1:{door.port}") for _ in range(40)]
        for end in ends:
            end.connect()
        await until(lambda: all(end.connected for end in ends))
        for end in ends:
            for _ in range(16):
                end.send(b"x" * 64 * 1024)
        await until(lambda: len(frames) == 40 * 16)
        held = used() - before

        for end in ends:
            end.disconnect()
        await until(lambda: len(gone) == 40)
        frames.clear()

        await until(lambda: used() - before < LEFT_BYTES)
        await network.close()
        assert held > 1.2 * LEFT_BYTES

    asyncio.run(run())
