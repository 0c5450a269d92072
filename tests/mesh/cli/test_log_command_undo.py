"""What `mesh log` says of events that are undone."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

import mesh.cli.commands
from mesh import Node


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "home"


def log(home: Path, *options: str) -> list[str]:
    done = CliRunner().invoke(mesh.cli.commands.app, ["--home", str(home), "log", *options])
    assert done.exit_code == 0, done.stderr
    return done.stdout.splitlines()


@pytest.mark.parametrize("is_running", [True, False], ids=["running", "stopped"])
def test_events_that_are_undone_are_marked(home: Path, is_running: bool) -> None:
    with Node("kitchen", home=home, listen="127.0.0.1:0", open=True, mdns=False) as node:
        sale = node.log.add({"type": "sale", "cents": 5}, {"by": "ada"}).get()
        node.log.add({"type": "milk"}).get()
        node.log.undo(node.log.undo(sale).get()).get()
        lines, items = log(home), log(home, "--json")
    if not is_running:
        lines, items = log(home), log(home, "--json")

    assert [line.partition("  ")[2].partition("  ")[2] for line in lines[:2]] == ['sale  {"cents":5}  (undone)', "milk"]
    assert [line.endswith("  (undone)") for line in lines] == [True, False, True, False]
    decoded = [json.loads(item) for item in items]
    assert [item.get("undone") for item in decoded] == [True, None, True, None]
    assert [item.keys() - {"undone"} for item in decoded] == [{"event", "meta"}] * 4
