"""`mesh status --mesh`, `mesh top` and `mesh show`, with nodes that run, and with one that was stopped."""

from __future__ import annotations

import io
import json
import os
import pty
import re
import select
import signal
import termios

import pytest
from rich.console import Console

from mesh import Node
from mesh.cli.watch.top import screen_of
from mesh.terminal.tables import table, tables
from tests.support.commands import DEADLINE_SECONDS, arguments, environment, run
from tests.support.forked_process import ForkedProcess
from tests.support.street import SECONDS, Street, at, wait_until


def nodes_of(node: Node) -> list[dict[str, object]]:
    return [{**row} for row in node.status().get(SECONDS)["mesh_nodes"]]


def test_three_nodes_in_a_row_know_each_other(street: Street) -> None:
    attic = street.start("attic")
    study = street.start("study", peers=[at(attic)])
    hall = street.start("hall", peers=[at(study)])
    try:
        study.synchronized(peers=2).get(SECONDS)
        wait_until(lambda: {row["state"] for row in nodes_of(attic)} == {"this", "linked", "seen"}, "all are known")
        wait_until(lambda: all(row["version"] for row in nodes_of(attic)), "how all are doing")

        shown = json.loads(run(attic.home, "status", "--mesh", "--json").stdout)
        table = run(attic.home, "status", "--mesh").stdout.decode()
        top = run(attic.home, "top").stdout.decode()

        assert [row["node_id"] for row in shown] == [attic.node_id, hall.node_id, study.node_id]
        assert {link["node_id"] for link in shown[2]["links"]} == {attic.node_id, hall.node_id}
        for text in (table, top):
            lines = text.splitlines()
            assert [line.split()[:2] for line in lines[1:]] == [
                ["attic", "this"],
                ["hall", "seen"],
                ["study", "linked"],
            ]
            assert lines[0].split()[:3] == ["node", "state", "seen"]
    finally:
        for node in street.nodes:
            node.stop()


@pytest.mark.parametrize("is_key", [True, False], ids=["q", "Ctrl-C"])
def test_top_draws_the_mesh_on_a_terminal_until_a_key_ends_it(street: Street, *, is_key: bool) -> None:
    attic = street.start("attic")
    ours, theirs = pty.openpty()
    termios.tcsetwinsize(theirs, (24, 140))
    before = termios.tcgetattr(theirs)
    args = arguments(attic.home, "top")
    process = ForkedProcess(args, stdin=theirs, stdout=theirs, stderr=theirs, env=environment(TERM="xterm"))
    try:
        shown = b""
        while b"linked with" not in shown or b"attic" not in shown.split(b"linked with")[-1]:
            assert select.select([ours], [], [], DEADLINE_SECONDS)[0], shown
            shown += os.read(ours, 65536)
        if is_key:
            os.write(ours, b"q")
        else:
            process.send_signal(signal.SIGINT)

        assert process.wait(DEADLINE_SECONDS) == 0
        assert b"1 of 1 nodes can be reached" in shown
        assert termios.tcgetattr(theirs) == before
    finally:
        process.kill()
        process.wait()
        os.close(ours)
        os.close(theirs)
        attic.stop()


def known_node(position: int, state: str = "linked", island: int = 0) -> dict[str, object]:
    """The row of a node of thirty, which are all linked with each other."""
    ids = [f"till-{number:02}~{'a' * 16}" for number in range(30)]
    return {
        "node_id": ids[position],
        "state": state,
        "island": island,
        "seen_ms": 1_700_000_000_000,
        "version": "0.1.0",
        "last_event_ms": 1_700_000_000_000,
        "last_added": 123_456,
        "worst_lag": 0,
        "worst_lag_to": None,
        "queue": 0,
        "disk_share": 0.23,
        "clock_offset_ms": 12,
        "uptime_seconds": 4_000,
        "links": [{"node_id": node_id, "lag": 0} for node_id in ids if node_id != ids[position]],
        "more_links": 0,
    }


@pytest.mark.parametrize(("columns", "lines"), [(200, 60), (120, 40), (80, 24), (50, 10)])
def test_top_cuts_off_neither_names_nor_what_is_wrong(columns: int, lines: int) -> None:
    """Thirty tills, of which three are apart from the others, and one is off."""
    apart = {27: 1, 28: 1, 29: 1, 5: 2}
    nodes = [known_node(0, "this"), *[known_node(at) for at in range(1, 30)]]
    for position, island in apart.items():
        nodes[position] |= {"state": "gone", "island": island}
    console = Console(file=io.StringIO(), width=columns, height=lines)

    with console.capture() as capture:
        console.print(screen_of(nodes, columns, lines))

    shown = capture.get().splitlines()
    text = "\n".join(shown)
    assert shown[0].startswith("26 of 30 nodes can be reached")
    assert len(shown) <= lines and "\u2026" not in text
    assert "till-27, till-28" in next(line for line in shown if line.startswith("apart 1"))
    assert next(line for line in shown if line.startswith("off, or alone")).split()[-1] == "till-05"
    rows = [line.split() for line in shown if "linked" in line or "gone" in line]
    assert {row[0] for row in rows if row[1] == "gone"} >= ({f"till-{at:02}" for at in apart} if lines > 10 else set())
    if columns > 50:
        (off,) = [line for line in shown if line.startswith("till-05 ")]
        assert off.rstrip().endswith(" -"), "the links that it had are gone, too"
    if lines < 30:
        assert "more: `mesh status --mesh` shows them" in shown[-1]


def test_no_line_of_a_table_ends_with_blanks_that_a_terminal_would_wrap(monkeypatch: pytest.MonkeyPatch) -> None:
    ours, theirs = pty.openpty()
    with os.fdopen(theirs, "w") as terminal:
        monkeypatch.setattr("sys.stdout", terminal)
        text = tables([table(("check", "found"), [("node", "x" * 200)])])
    os.close(ours)

    assert [len(re.sub(r"\x1b\[[0-9;]*m", "", line)) for line in text.splitlines()] == [12, 207]


@pytest.mark.parametrize("is_running", [True, False])
def test_show_tells_who_wrote_an_event_and_through_whom_it_came(street: Street, *, is_running: bool) -> None:
    attic = street.start("attic")
    study = street.start("study", peers=[at(attic)])
    try:
        milk = study.log.add({"type": "milk", "litres": 2}).get(SECONDS)
        wait_until(lambda: attic.log.last_added == 1, "the milk in the attic")
        study.log.undo(milk).get(SECONDS)
        wait_until(lambda: attic.log.last_added == 2, "the undo in the attic")
        study_id, home = study.node_id, attic.home
        if not is_running:
            attic.stop()
        ms, node_id, n = milk["created"]
        ids = (["1"], [f"{ms} {node_id} {n}"], [str(ms), node_id, str(n)], [json.dumps(milk["created"])])
        stories = [json.loads(run(home, "show", "--json", *words).stdout) for words in ids]
        text = run(home, "show", "1").stdout.decode()
        own = json.loads(run(study.home, "show", "--json", "1").stdout)

        assert all(story == stories[0] for story in stories)
        story = stories[0]
        assert story["event"] == {"type": "milk", "litres": 2}
        assert (story["author"], story["origin"], story["vouched"]) == (study_id, study_id, "")
        assert (story["came"]["via"], own["came"]["via"]) == (study_id, "")
        assert story["came"]["ms"] >= own["came"]["ms"] - 1
        assert (story["added"], story["reasons"], story["is_undone"], story["copies_aside"]) == (1, ["log"], True, [])
        assert f"through {study_id}" in text
    finally:
        for node in street.nodes:
            node.stop()


def test_show_says_what_is_no_id_and_what_is_not_here(street: Street) -> None:
    attic = street.start("attic")
    try:
        unknown, wrong = run(attic.home, "show", "7"), run(attic.home, "show", "the", "milk")
    finally:
        attic.stop()
    none = run(street.path / "none", "show", "1")

    assert (unknown.returncode, wrong.returncode, none.returncode) == (1, 2, 1)
    assert b"this node has no event 7: it has not come here, or was cleaned" in unknown.stderr
    assert b"'the milk' is no id: it is written `MS NODE N`" in wrong.stderr
    assert b"Traceback" not in none.stderr


def test_status_says_how_large_and_how_old_the_log_is(street: Street) -> None:
    attic = street.start("attic")
    try:
        first = attic.log.add({"type": "milk"}).get(SECONDS)
        last = attic.log.add({"type": "bread"}).get(SECONDS)
        status = attic.status().get(SECONDS)
        text = run(attic.home, "status").stdout.decode()
    finally:
        attic.stop()

    assert status["log_bytes"] > 4_096
    assert (status["oldest_ms"], status["newest_ms"]) == (first["time"], last["time"])
    assert status["events_a_day"] is None, "of less than an hour nothing follows for a day"
    assert "log on disk" in text and "oldest event" in text
