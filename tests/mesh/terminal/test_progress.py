"""The progress line of long commands: on a terminal only."""

from __future__ import annotations

import io
import os
import pty
import select
import subprocess
import sys
import termios
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from mesh import Node
from mesh.terminal.progress import AFTER_SECONDS, Progress, file_position, file_size
from tests.support.commands import arguments, environment
from tests.support.forked_process import ForkedProcess

DEADLINE_SECONDS = 20.0


@contextmanager
def on_terminal(monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """A terminal as standard error; yields its other side."""
    ours, theirs = pty.openpty()
    termios.tcsetwinsize(theirs, (24, 100))
    monkeypatch.setenv("TERM", "xterm")
    with os.fdopen(theirs, "w") as stream, monkeypatch.context() as patch:
        patch.setattr(sys, "stderr", stream)
        yield ours
    os.close(ours)


def shown(terminal: int, until: str) -> str:
    """The output up to this text."""
    text = b""
    while until.encode() not in text:
        assert select.select([terminal], [], [], DEADLINE_SECONDS)[0], text
        text += os.read(terminal, 65536)
    return text.decode()


def test_a_long_command_shows_its_progress_and_hides_it_for_other_output(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    with on_terminal(monkeypatch) as terminal, Progress("printed", total=1000, now=lambda: now[0]) as progress:
        progress.at(100)
        now[0] = AFTER_SECONDS
        progress.at(200)
        text = shown(terminal, "20%")
        assert "200 events printed" in text and "100 events" not in text

        with progress.hidden():
            shown(terminal, "\x1b[2K")


def test_no_progress_is_shown_if_not_wanted_or_without_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    times = iter([0.0, *[AFTER_SECONDS] * 9])
    with (
        on_terminal(monkeypatch) as terminal,
        Progress("printed", is_wanted=False, now=lambda: next(times)) as progress,
    ):
        progress.at(1)
        assert not select.select([terminal], [], [], 0.05)[0]

    monkeypatch.setattr(sys, "stderr", io.StringIO())
    with Progress("printed", now=lambda: next(times)) as progress:
        progress.at(1)
    assert sys.stderr.getvalue() == ""  # type: ignore[attr-defined]


def test_a_file_has_a_size_and_a_position_and_a_pipe_has_none(tmp_path: Path) -> None:
    (tmp_path / "events").write_bytes(b"12345")
    with (tmp_path / "events").open("rb", buffering=0) as file:
        file.read(2)
        assert (file_size(file.fileno()), file_position(file.fileno())) == (5, 2)
    one, other = os.pipe()
    assert (file_size(one), file_position(one), file_size(None), file_position(None)) == (None, None, None, None)
    os.close(one)
    os.close(other)


def test_a_slow_input_shows_its_progress_on_the_terminal_and_its_lines_in_the_pipe(tmp_path: Path) -> None:
    ours, theirs = pty.openpty()
    with Node("kitchen", home=tmp_path, listen="127.0.0.1:0", open=True, mdns=False) as node:
        adding = ForkedProcess(
            arguments(node.home, "add", "-"),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=theirs,
            env=environment(TERM="xterm"),
            bufsize=0,
        )
        os.close(theirs)
        assert adding.stdin is not None and adding.stdout is not None
        lines = []
        while not select.select([ours], [], [], 0.2)[0]:
            assert len(lines) < DEADLINE_SECONDS / 0.2
            adding.stdin.write(b'{"type":"a"}\n')
            lines.append(adding.stdout.readline())
        shown(ours, "events stored")
        adding.communicate()

    os.close(ours)
    assert all(line.startswith(b'{"created":[') for line in lines)
