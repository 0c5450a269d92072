"""PagePlayer: plays the consoles of a page on hosts of the lab, and compares what they print with the page.

A prompt is `$ `, or `kitchen$ ` on the machine of that name. Files are Python blocks that begin with a comment with their name.
Of `mesh up` the lines of the page have to come, in their order; other commands print just these, or, where the page has none,
anything. `...` stands for further lines.
"""

from __future__ import annotations

import os
import re
import shlex
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from time import monotonic
from typing import IO

from mesh_process import MESH, wait_until

from mesh.lab.live.namespaces import Host, NetLab, Process
from tests.support.guide import blocks
from tests.support.root import ROOT

SECONDS = 20.0
READING = ("mesh log", "mesh peers", "mesh members")
"""Commands whose output may be another one before news has come: they are called until it is right."""
MACHINES = 3
_UP = " is up in mesh "
_STARTS = re.compile(r"mesh (--home \w+ )?up\b")
_FOR_SHELLS = re.compile(r"[|&;<>()$`*?~#\\\n]")
"""What a shell does not just pass on to a command."""
_COMMAND = re.compile(r"^(\w*)\$ (.*)\n((?:(?!\w*\$ ).*\n)*)", re.MULTILINE)
_FILE = re.compile(r"# (\w+\.py)\n")
_AT_TERMINAL = re.compile(r"^(recovery code: |Write it down and put it away: ).*\n", re.MULTILINE)
_DIFFERS = [
    (re.compile(pattern, re.MULTILINE), same)
    for pattern, same in (
        (r"(\d{4}-\d\d-\d\d )?\d\d:\d\d:\d\d(\.\d+)?", "TIME"),
        (r"~[a-z2-7]{16}", "~HASH"),
        (r"\b\d{13}\b", "MS"),
        (r"^([0-9A-Z]{5}-){7}[0-9A-Z]{5}$", "CODE"),
        (r"^[\w-]{32}$", "TOKEN"),
        (r'\["[0-9a-f]{32}"', "[EPOCH"),
        (r",\d+\]", ",N]"),
        (r"http://[\w.]+:", "http://HOST:"),
        (r"\b\d+(\.\d+){3}\b", "ADDRESS"),
        (r":\d{4,5}\b|\bport \d+", "PORT"),
        (r"\b\d+ bytes", "BYTES"),
        (r"\b(wlan|eth)0\b", "LAN"),
        (r" {2,}|\t", "  "),
        (r" +$", ""),
    )
]
"""What differs from run to run, and what stands for it in the comparison."""


class PagePlayer:
    """The machines of one page, each a host with a home folder of its own."""

    def __init__(self, lab: NetLab, folder: Path) -> None:
        self._hosts = iter(lab.hosts(MACHINES))
        self._folder = folder
        self._machines: dict[str, _Machine] = {}
        self._said: dict[str, str] = {}
        """What the page has for codes, and what they really are."""
        tools = folder / "bin"
        tools.mkdir()
        for name, command in (("mesh", "-m mesh "), ("python", "-u ")):
            (tools / name).write_text(f'#!/bin/sh\nexec {sys.executable} {command}"$@"\n')
            (tools / name).chmod(0o755)

    def play(self, page: Path) -> int:
        """Play all. The result is the number of commands. Fails at the first one that prints something else."""
        count = 0
        for block in blocks(page, "console", "python"):
            named = _FILE.match(block)
            if named is not None:
                (self._machine("").home / named[1]).write_text(block)
            for machine, command, printed in _COMMAND.findall(block):
                self._play(self._machine(machine), command, printed)
                count += 1
        return count

    def _machine(self, name: str) -> _Machine:
        if name not in self._machines:
            home = self._folder / "home" / (name or "here")
            home.mkdir(parents=True)
            self._machines[name] = _Machine(next(self._hosts), home, self._folder / "bin")
        return self._machines[name]

    def _play(self, machine: _Machine, command: str, printed: str) -> None:
        for shown, real in self._said.items():
            command = command.replace(shown, real)
        wanted = _AT_TERMINAL.sub("", printed)
        if _STARTS.match(command):
            machine.start(command)
            with suppress(AssertionError):
                wait_until(lambda: _UP in machine.output(), SECONDS, "the node is up")
                wait_until(lambda: self._has(machine.output(), wanted), SECONDS, "the lines of the page")
            assert self._has(machine.output(), wanted), (
                f"{command} prints\n{machine.output()}\nand the page has\n{printed}"
            )
            return
        code, said = machine.run(command)
        if wanted and command.startswith(READING):
            deadline = monotonic() + SECONDS
            while not self._is(said, wanted) and monotonic() < deadline:
                code, said = machine.run(command)
        assert printed or code == 0, f"{command} ended with {code}: {said}"
        assert not printed or self._is(said, wanted), f"{command} prints\n{said}\nand the page has\n{printed}"
        if len(printed.split()) == len(said.split()) == 1:
            self._said[printed.strip()] = said.strip()

    def _same(self, text: str) -> str:
        text = text.replace(str(self._folder), "")
        for pattern, same in _DIFFERS:
            text = pattern.sub(same, text)
        return text

    def _is(self, said: str, wanted: str) -> bool:
        pattern = re.escape(self._same(wanted)).replace(re.escape("...\n"), r"(.*\n)*")
        return re.fullmatch(pattern, self._same(said)) is not None

    def _has(self, said: str, wanted: str) -> bool:
        lines: Iterator[str] = iter(self._same(said).splitlines())
        return all(line in lines for line in self._same(wanted).splitlines())


class _Machine:
    def __init__(self, host: Host, home: Path, tools: Path) -> None:
        self.home = home
        self._host = host
        self._node: Process | None = None
        self._output = home.with_suffix(".out")
        self._env = {"HOME": str(home), "PATH": f"{tools}:{os.environ['PATH']}", "PYTHONPATH": str(ROOT)}

    def start(self, command: str) -> None:
        """Start a node, in place of the one that runs here."""
        if self._node is not None:
            self._node.terminate()
            self._node.wait(SECONDS)
        with self._output.open("w") as output:
            self._node = self._spawn(command, output)

    def output(self) -> str:
        """What the node has printed."""
        return self._output.read_text()

    def run(self, command: str) -> tuple[int, str]:
        """Run a command to its end. The result is its exit code and what it prints."""
        printed = self.home.with_suffix(".txt")
        with printed.open("w") as output:
            code = self._spawn(command, output).wait(SECONDS)
        return code, printed.read_text()

    def _spawn(self, command: str, output: IO[str]) -> Process:
        unset = [f"--unset={name}" for name in os.environ if name.startswith(("MESH_", "XDG_"))]
        called: list[str] = ["env", *unset, "sh", "-c", f"exec {command}" if _STARTS.match(command) else command]
        if command.startswith("mesh ") and not unset and not _FOR_SHELLS.search(command):
            called = [*MESH, *shlex.split(command)[1:]]  # which is forked: a tenth of the time
        return self._host.spawn(called, cwd=self.home, env=self._env, stdout=output, stderr=output)
