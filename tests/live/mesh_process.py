"""`mesh` as a child process, for live tests."""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol

from mesh.settings.paths import CERTIFICATES_FILE
from tests.support.forked_process import MESH, ForkedProcess
from tests.support.root import ROOT


class Machine(Protocol):
    """Runs commands: this machine, or a host of the lab."""

    def spawn(self, args: Sequence[str | Path], **options: Any) -> subprocess.Popen[str]: ...


def wait_until(condition: Callable[[], Any], seconds: float, what: str) -> Any:
    """Call `condition` again and again until its value is true, and return that. Fails with `what` after `seconds`."""
    deadline = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        assert time.monotonic() < deadline, f"not within {seconds} s: {what}"
        time.sleep(0.01)


class ThisMachine:
    """Runs commands on this machine."""

    def spawn(self, args: Sequence[str | Path], **options: Any) -> subprocess.Popen[str]:
        return ForkedProcess([*args], text=True, **{"stderr": subprocess.DEVNULL, **options})


class MeshNode:
    """One node: `mesh up` in a home, on a machine."""

    def __init__(self, home: Path, machine: Machine | None = None, *, is_open: bool = True) -> None:
        """`is_open`: `up` adds --open=lan, unless the home has certificates."""
        self.home = home
        self.is_open = is_open
        self.process: subprocess.Popen[str] | None = None
        self._machine: Machine = machine or ThisMachine()

    def up(self, *options: str, **how: Any) -> dict[str, Any]:
        """Start the node. Returns its first notice."""
        is_open = self.is_open and not (self.home / CERTIFICATES_FILE).exists()
        self.process = self._spawn("up", "--json", *(["--open=lan"] if is_open else []), *options, **how)
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line, f"mesh up in {self.home} ended with {self.process.wait(5)}"
        first: dict[str, Any] = json.loads(line)
        assert first["event"] == "up"
        return first

    def notices(self) -> Iterator[dict[str, Any]]:
        """The notices from now on, until the process ends."""
        assert self.process is not None and self.process.stdout is not None
        return map(json.loads, self.process.stdout)

    def spawn(self, *arguments: str, **options: Any) -> subprocess.Popen[str]:
        """Start another command on the same home."""
        return self._spawn(*arguments, **options)

    def ask(self, *arguments: str, stdin: str | None = None, seconds: float = 30.0) -> str:
        """Run a command on the same home. Returns its output; fails unless its exit code is 0 after so many seconds."""
        process = self._spawn(*arguments, stdin=subprocess.PIPE if stdin is not None else subprocess.DEVNULL)
        out, _ = process.communicate(stdin, timeout=seconds)
        assert process.returncode == 0, f"mesh {' '.join(arguments)} ended with {process.returncode}: {out}"
        return out

    def events(self, *options: str, seconds: float = 30.0) -> list[dict[str, Any]]:
        """The lines of `mesh log --json`."""
        return [json.loads(line) for line in self.ask("log", "--json", *options, seconds=seconds).splitlines()]

    def peers(self) -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = json.loads(self.ask("peers", "--json"))
        return rows

    def status(self) -> dict[str, Any]:
        row: dict[str, Any] = json.loads(self.ask("status", "--json"))
        return row

    def kill(self) -> None:
        """kill -9."""
        if self.process is not None:
            self.process.kill()
            self.process.wait(10)
            assert self.process.stdout is not None
            self.process.stdout.close()
            self.process = None

    def _spawn(self, *arguments: str, **options: Any) -> subprocess.Popen[str]:
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        args = [*MESH, "--home", str(self.home), *arguments]
        return self._machine.spawn(args, **{"stdout": subprocess.PIPE, "env": environment, **options})
