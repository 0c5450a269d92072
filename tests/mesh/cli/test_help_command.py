"""`mesh help`: the pages of the guide."""

from __future__ import annotations

import os
import pty
import re
import subprocess
from pathlib import Path

from mesh.cli.help import page, topics
from tests.support.commands import arguments, environment, run


def test_without_a_topic_it_lists_all_pages(tmp_path: Path) -> None:
    done = run(tmp_path, "help")

    assert done.returncode == 0
    assert sorted(re.findall(r"^- `mesh help ([a-z]+)`: ", done.stdout.decode(), re.MULTILINE)) == topics()


def test_a_page_is_plain_text_where_it_is_piped(tmp_path: Path) -> None:
    done = run(tmp_path, "help", "tutorial")

    assert done.stdout.decode() == page("tutorial")
    assert b"\x1b" not in done.stdout and done.stdout.startswith(b"# Tutorial")


def test_a_page_is_rendered_at_a_terminal(tmp_path: Path) -> None:
    own, other = pty.openpty()

    done = subprocess.run(
        arguments(tmp_path, "help", "security"), stdout=other, env=environment(TERM="xterm", COLUMNS="100"), check=False
    )

    os.close(other)
    shown = os.read(own, 100_000).decode()
    os.close(own)
    assert done.returncode == 0
    assert "\x1b[" in shown and "withhold" in shown and "**withhold**" not in shown


def test_a_page_that_is_not_there_is_a_sentence_that_names_the_nearest(tmp_path: Path) -> None:
    near, none, command = (run(tmp_path, "help", topic) for topic in ("backup", "weather", "add"))

    assert b"did you mean" not in near.stderr and b"`mesh backup --help`" in near.stderr
    assert b"there is no page 'weather'; `mesh help` lists them" in none.stderr
    assert b"the help of this command is `mesh add --help`" in command.stderr
    assert b"did you mean members?" in run(tmp_path, "help", "member").stderr
    assert {near.returncode, none.returncode, command.returncode} == {2}


def test_a_page_names_other_pages_by_their_commands() -> None:
    text = page("members")

    assert "`mesh help tutorial`" in text and ".md)" not in text
