"""`mesh status --mesh`, `mesh top` and `mesh show`, with nodes that run, and with one that was stopped."""

from __future__ import annotations

import json
import os
import pty
import select
import signal
import subprocess
import termios

import pytest

from mesh import Node
from tests.support.commands import DEADLINE_SECONDS, arguments, environment, run
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
    process = subprocess.Popen(args, stdin=theirs, stdout=theirs, stderr=theirs, env=environment(TERM="xterm"))
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
