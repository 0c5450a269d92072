"""The bench of views: that it ends and shows what it measured; figures are no matter of tests."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner

import mesh.cli.commands
from mesh.bench import views
from mesh.bench.views import ViewFigure, show


def test_views_are_measured_for_programs(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (("KEY_READS", 100), ("VIEW_ADDS", 512), ("ADD_PAIRS", 1), ("LATE_EVENTS", 1_000)):
        monkeypatch.setattr(views, name, value)

    done = CliRunner().invoke(mesh.cli.commands.app, ["bench", "view", "--events", "20000", "--json"])

    assert done.exit_code == 0
    figures = json.loads(done.stdout)
    assert len(figures) == 6
    assert figures[0]["value"] > 0


def test_what_was_measured_is_a_table() -> None:
    shown = show([ViewFigure("reads by key", 1234567.8, "reads/s", ">= 100 000")], "2 cores")

    assert shown.splitlines() == [
        "what          measured     unit     goal",
        "reads by key  1 234 567.8  reads/s  >= 100 000",
        "2 cores",
    ]
