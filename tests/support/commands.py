"""Runs commands of `mesh` as processes."""

from __future__ import annotations

import os
import select
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.support.root import ROOT

DEADLINE_SECONDS = 20.0


def arguments(home: Path, *args: str) -> list[str]:
    return [sys.executable, "-m", "mesh", "--home", str(home), *args]


def environment(**more: str) -> dict[str, str]:
    """The environment of the tests, without variables that change the output of commands."""
    own = {key: value for key, value in os.environ.items() if key not in {"MESH_HOME", "FORCE_COLOR", "NO_COLOR"}}
    return {**own, "PYTHONPATH": str(ROOT), **more}


def run(home: Path, *args: str, given: bytes | None = None) -> subprocess.CompletedProcess[bytes]:
    """Run a command to its end, with `given` as its standard input."""
    source: dict[str, Any] = {"stdin": subprocess.DEVNULL} if given is None else {"input": given}
    return subprocess.run(
        arguments(home, *args), capture_output=True, timeout=DEADLINE_SECONDS, env=environment(), check=False, **source
    )


def start(home: Path, *args: str) -> subprocess.Popen[bytes]:
    """Start a command with pipes as its streams."""
    return subprocess.Popen(
        arguments(home, *args),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment(),
        bufsize=0,
    )


@contextmanager
def running(home: Path, *args: str) -> Iterator[subprocess.Popen[bytes]]:
    """A command that is killed at the end of the `with`."""
    process = start(home, *args)
    try:
        yield process
    finally:
        process.kill()
        process.wait()
        for stream in (process.stdin, process.stdout, process.stderr):
            assert stream is not None
            stream.close()


def next_line(process: subprocess.Popen[bytes]) -> bytes:
    assert process.stdout is not None
    assert select.select([process.stdout], [], [], DEADLINE_SECONDS)[0], "nothing was printed"
    return process.stdout.readline()


def say(process: subprocess.Popen[bytes], line: bytes) -> None:
    assert process.stdin is not None
    process.stdin.write(line)
