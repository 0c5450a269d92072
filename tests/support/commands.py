"""Runs commands of `mesh` as processes: forked ones, see `tests.support.forked_process`."""

from __future__ import annotations

import os
import select
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.support.forked_process import MESH, ForkedProcess, run_forked
from tests.support.root import ROOT

DEADLINE_SECONDS = 20.0


def arguments(home: Path, *args: str) -> list[str]:
    return [*MESH, "--home", str(home), *args]


def environment(**more: str) -> dict[str, str]:
    """The environment of the tests, without variables that change the output of commands."""
    own = {key: value for key, value in os.environ.items() if key not in {"MESH_HOME", "FORCE_COLOR", "NO_COLOR"}}
    return {**own, "PYTHONPATH": str(ROOT), **more}


def run(home: Path, *args: str, given: bytes | None = None) -> subprocess.CompletedProcess[bytes]:
    """Run a command to its end, with `given` as its standard input."""
    return run_forked(arguments(home, *args), input=given, timeout=DEADLINE_SECONDS, env=environment())


def start(home: Path, *args: str, **options: Any) -> subprocess.Popen[bytes]:
    """Start a command with pipes as its streams."""
    pipes = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
    return ForkedProcess(arguments(home, *args), **{**pipes, "env": environment(), "bufsize": 0, **options})


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
