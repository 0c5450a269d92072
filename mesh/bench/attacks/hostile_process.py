"""The hostile host as a process: `python -m mesh.bench.attacks.hostile_process NAME SECONDS TARGET`.

It prints a line when all is prepared, begins after a line on standard input, and prints its Deeds as JSON at the end.
"""

from __future__ import annotations

import asyncio
import json
import os
import resource
import signal
import subprocess
import sys
from contextlib import suppress
from dataclasses import asdict
from math import ceil
from types import TracebackType
from typing import Self

import msgspec

from mesh.bench.attacks.catalogue import ATTACKS
from mesh.bench.attacks.host import Deeds, HostileHost, HostileTarget

LOW_PRIORITY = 19
"""Its `nice`, where there is no policy for idle processors."""
LIFE_SECONDS = 60
"""That the process lives at most, besides the time of its attack."""


class HostileProcess:
    """Starts such a process, and waits until it is ready. Use it as a context manager: leaving it ends the process.

    Raises RuntimeError if the process ends too early.
    """

    def __init__(self, name: str, target: HostileTarget, seconds: float) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", __name__, name, str(seconds), json.dumps(asdict(target))],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self._read_line()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._process.kill()
        self._process.communicate()

    def attack(self) -> Deeds:
        """Let it begin, and wait for its end. What it did."""
        assert self._process.stdin is not None
        print(file=self._process.stdin, flush=True)
        return msgspec.json.decode(self._read_line(), type=Deeds, strict=False)

    def _read_line(self) -> str:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError("the hostile process has ended: its error is above")
        return line


def leave_processors_to_nodes() -> None:
    """Run only on processors that have nothing else to do: in the field a hostile host has a machine of its own.

    With a low priority alone, a node that has something to do waits up to 3 ms for each of its threads, several times for one
    event. What the attack brings shows that it is not starved: the bench prints it.
    """
    if sys.platform == "linux":
        os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
    else:
        os.nice(LOW_PRIORITY)


def main(name: str, seconds: str, target: str) -> None:
    """Run one attack."""
    signal.alarm(LIFE_SECONDS + ceil(float(seconds)))  # it ends this process
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))

    def on_begin() -> None:
        print("ready", flush=True)
        sys.stdin.readline()
        leave_processors_to_nodes()  # not before: what it prepares may take long

    host = HostileHost(msgspec.json.decode(target, type=HostileTarget), float(seconds), on_begin=on_begin)
    print(json.dumps(asdict(asyncio.run(host.run(ATTACKS[name])))), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
