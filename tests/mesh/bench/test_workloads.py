"""Workloads of real nodes, with few events: that they end and count what they claim; figures are no matter of tests."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

import mesh.cli.commands
from mesh.bench import COMPARED, TRUSTED, WORKLOADS
from mesh.bench.node_process import NodeProcess
from mesh.bench.workloads import MEASURES, Figure, measure, measure_both, show, sqlite_inserts

FEW = {"latency": 5, "sessions": 3, "start": 1, "mesh": 50}


@pytest.mark.parametrize("name", WORKLOADS)
def test_a_workload_ends_with_all_events_at_all_nodes(name: str) -> None:
    events = FEW.get(name, 120)

    figure = measure(name, events=events)

    assert (figure.name, figure.events) == (name, events)
    assert figure.seconds > 0
    assert figure.cpu_us > 0
    assert figure.rss > 1_000_000
    assert (figure.p50_ms is not None) == (name in {"latency", "sessions"})


@pytest.mark.parametrize("name", ["latency", *[pytest.param(name, marks=pytest.mark.long) for name in TRUSTED]])
def test_nodes_with_certificates_are_measured_beside_open_ones(name: str) -> None:
    plain, secure = measure_both(name, events=20)

    assert (plain.name, secure.name, plain.events, secure.events) == (f"{name}, open", f"{name}, trusted", 20, 20)


def test_every_workload_has_its_measure() -> None:
    assert MEASURES.keys() == WORKLOADS.keys()
    assert set(COMPARED) <= WORKLOADS.keys()


def test_the_median_run_is_compared_with_plain_inserts() -> None:
    figure = measure("batch", events=100, runs=3, against=True)

    assert figure.part is not None
    assert figure.part > 0


@pytest.mark.parametrize("rows", [1, 7, 500])
def test_plain_inserts_may_have_any_number_of_rows_a_transaction(rows: int) -> None:
    assert sqlite_inserts(20, rows) > 0


def test_figures_are_a_table_for_people_and_json_for_programs() -> None:
    table = show([Figure("live", 100, 0.5, 20.0, 30 * 1024 * 1024, part=0.25)], "2 cores")
    done = CliRunner().invoke(mesh.cli.commands.app, ["bench", "start", "--json"])

    assert table.splitlines()[1].split() == ["live", "100", "0.50", "200", "-", "-", "20", "30", "-", "0.25"]
    assert table.splitlines()[-1] == "2 cores, over loopback, each commit on disk"
    (figure,) = json.loads(done.stdout)
    assert (figure["name"], figure["events"]) == ("start", 1)


def test_a_node_that_ends_early_is_an_error(tmp_path: Path) -> None:
    with NodeProcess(tmp_path / "a", "a") as node, pytest.raises(RuntimeError, match="the process of a node has ended"):
        node.ask("nothing")
