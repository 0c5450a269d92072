"""Runs a script in many processes, forked from one that has imported what it needs: a tenth of the time of new ones."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from tests.support.commands import environment

PARENT = """
import json, os, sys, traceback

folder, script = sys.argv[1:]
begin, _, work = script.partition("# fork\\n")
names = {"__name__": "__main__"}
exec(begin, names)
for line in sys.stdin:
    child = os.fork()
    if child:
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
        continue
    code = 0
    try:
        sys.argv = ["", *json.loads(line)]
        for number, name in ((1, "stdout"), (2, "stderr")):
            os.dup2(os.open(os.path.join(folder, name), os.O_WRONLY | os.O_CREAT | os.O_TRUNC), number)
        exec(work, names)
    except BaseException:
        traceback.print_exc()
        code = 1
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)
"""


@dataclass(frozen=True, slots=True)
class Done:
    """How a process ended: `code` is negative for a signal, 1 for an error, whose traceback is in `errors`."""

    code: int
    printed: str
    errors: str


class Forks:
    """Made by `forks`."""

    def __init__(self, process: subprocess.Popen[str], folder: Path) -> None:
        self._process = process
        self._folder = folder

    def run(self, *arguments: Path | str | int) -> Done:
        """Run the script to its end, with these as `sys.argv[1:]`."""
        given, answers = streams(self._process)
        print(json.dumps([str(each) for each in arguments]), file=given, flush=True)
        code = int(answers.readline())
        return Done(code, *((self._folder / name).read_text() for name in ("stdout", "stderr")))


@contextmanager
def forks(script: str, folder: Path) -> Iterator[Forks]:
    """The part of `script` before a line `# fork` runs once, the rest in each process. Its output is kept in `folder`."""
    program = [sys.executable, "-c", PARENT, str(folder), script]
    process = subprocess.Popen(program, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment())
    try:
        yield Forks(process, folder)
    finally:
        process.kill()
        process.wait()
        for stream in streams(process):
            stream.close()


def streams(process: subprocess.Popen[str]) -> tuple[IO[str], IO[str]]:
    assert process.stdin is not None
    assert process.stdout is not None
    return process.stdin, process.stdout
