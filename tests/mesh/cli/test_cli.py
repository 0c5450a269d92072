"""The commands of `mesh` in a shell, most of them with a running node."""

from __future__ import annotations

import gc
import json
import logging
import os
import pty
import re
import select
import signal
import subprocess
import sys
import termios
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import pykka
import pytest
from click.testing import CliRunner

import mesh.cli.commands
from mesh import Node
from mesh.actors.node_supervisor import NodeSupervisor
from mesh.cli.add import AHEAD_BATCHES, MAX_GIVEN_BYTES
from mesh.cli.main import main
from mesh.cli.node.up import MAX_WAITING_LINES, LineWriter, one_line_log, run_up
from mesh.control.messages import BATCH_EVENTS
from mesh.process import NEW_OBJECTS, NEW_ROUNDS, OLD_ROUNDS, SWITCH_SECONDS
from mesh.terminal.tables import Names, local_second, local_time, show_event, show_peers, show_status
from tests.support.actor_loop import fail
from tests.support.commands import DEADLINE_SECONDS, arguments, environment, next_line, run, running, say
from tests.support.forked_process import ForkedProcess

ProcessSettings = tuple[float, tuple[int, int, int]]
COMMANDS = (
    *("up", "config", "add", "log", "show", "peers", "status", "top", "doctor", "stop", "reload", "retry", "wait"),
    *("peer", "token", "found", "invite", "join", "recover", "members", "facts", "revoke", "leave", "backup"),
    *("restore", "export", "import", "verify", "upgrade", "service", "bench", "scenario", "help"),
)


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Node]:
    with Node("kitchen", home=tmp_path / "home", listen="127.0.0.1:0", open=True, mdns=False) as running:
        yield running


def interrupt(process: subprocess.Popen[bytes]) -> tuple[int, bytes]:
    process.send_signal(signal.SIGINT)
    assert process.stderr is not None
    return process.wait(DEADLINE_SECONDS), process.stderr.read()


def types(node: Node) -> list[str]:
    return [event["type"] for event, _ in node.log.each(order="added")]


def wait_for(condition: Any) -> None:
    end = time.monotonic() + DEADLINE_SECONDS
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


# add


def test_prints_a_line_for_each_event_that_is_added(node: Node) -> None:
    done = run(node.home, "add", '{"type": "milk"}', '{"type": "bread"}')

    first, second = (json.loads(line) for line in done.stdout.splitlines())
    assert sorted(first) == ["added", "created"]
    assert (first["created"][1], first["added"], second["added"]) == (node.node_id, 1, 2)
    assert (done.returncode, done.stderr) == (0, b"")
    assert types(node) == ["milk", "bread"]


def test_refuses_what_is_not_an_event_and_adds_the_others(node: Node) -> None:
    done = run(node.home, "add", '{"type": "milk"}', "[7]", '{"type": "bread"}')

    assert done.stderr == b"event 2 is not added: an event must be an object with a `type`, not a list\n"
    assert (done.returncode, len(done.stdout.splitlines())) == (1, 2)
    assert types(node) == ["milk", "bread"]


def test_refuses_lines_that_are_not_events_by_number(node: Node) -> None:
    lines = [
        b'{"type": "a"}',
        b"nonsense",
        b"",
        b'{"no": "type"}',
        b"[" * 40_000,
        b'{"type": "\xff"}',
        b'{"type": "' + b"x" * MAX_GIVEN_BYTES + b'"}',
        b'{"type": "' + b"x" * 300_000 + b'"}',
        b'{"type": "b"}\r',
        b'{"type": "c"}',
    ]

    done = run(node.home, "add", "-", given=b"\n".join(lines))

    complaints = done.stderr.decode().splitlines()
    assert [int(line.split()[1]) for line in sorted(complaints)] == [2, 4, 5, 6, 7, 8]
    assert all(re.match(r"line \d+ is not added: \w", line) for line in complaints)
    assert (done.returncode, len(done.stdout.splitlines())) == (1, 3)
    assert types(node) == ["a", "b", "c"]


@pytest.mark.parametrize("size", [262_145, 400_000, 1_047_552, 2_000_000])
def test_an_event_that_is_too_large_is_refused_with_the_limit(node: Node, size: int) -> None:
    event = b'{"type": "' + b"x" * (size - 12) + b'"}'

    done = run(node.home, "add", "-", given=event + b'\n{"type": "b"}')

    assert re.fullmatch(
        rb"line 1 is not added: the event has (more than )?\d+ bytes, and at most 262144 are taken\n", done.stderr
    )
    assert types(node) == ["b"]


def test_a_line_that_is_nested_too_deep_is_refused_and_the_others_are_added(node: Node) -> None:
    lines = [b'{"type": "a", "x": ' + b"[" * depth + b"]" * depth + b"}" for depth in range(20, 1100, 27)]

    done = run(node.home, "add", "-", given=b"\n".join([*lines, b'{"type": "b"}']))

    assert types(node) == ["a", "b"]
    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == len(lines) - 1


def test_prints_each_line_of_a_slow_producer_at_once(node: Node) -> None:
    with running(node.home, "add", "-") as adding:
        for n in range(1, 4):
            say(adding, b'{"type": "slow"}\n')
            assert json.loads(next_line(adding))["added"] == n


def test_adds_a_long_file_in_order(node: Node) -> None:
    lines = [b'{"type":"number","n":%d}' % n for n in range(BATCH_EVENTS * (AHEAD_BATCHES + 2) + 7)]

    done = run(node.home, "add", "-", given=b"\n".join([*lines, b""]))

    added = [json.loads(line) for line in done.stdout.splitlines()]
    assert [one["added"] for one in added] == list(range(1, len(lines) + 1))
    assert [meta["created"] for _, meta in node.log.each()] == [tuple(one["created"]) for one in added]
    assert [event["n"] for event, _ in node.log.each()] == list(range(len(lines)))


def test_adds_large_events_in_several_batches(node: Node) -> None:
    line = b'{"type":"large","text":"' + b"x" * 200_000 + b'"}\n'

    done = run(node.home, "add", "-", given=line * 12)

    assert (done.returncode, len(done.stdout.splitlines()), node.log.last_added) == (0, 12, 12)


def test_takes_an_event_of_several_lines_as_an_argument(node: Node) -> None:
    done = run(node.home, "add", '{\n  "type": "milk"\n}')

    assert done.returncode == 0
    assert types(node) == ["milk"]


@pytest.mark.parametrize("empty", ["", "   ", "\n"])
def test_says_that_an_argument_is_empty(node: Node, empty: str) -> None:
    done = run(node.home, "add", empty)

    assert done.stderr.startswith(b"event 1 is not added: it is empty: an event is an object with a `type`, as {")
    assert (done.returncode, done.stdout) == (1, b"")


RAW_CONTROL = "it has a raw control character: in a string, write a line break as \\n"


@pytest.mark.parametrize("raw", ["\n", "\r", "\t", "\x1f"])
def test_refuses_a_raw_control_character_in_a_string(node: Node, raw: str) -> None:
    done = run(node.home, "add", f'{{"type":"a{raw}b"}}', '{\r\n"type": "milk"}')

    assert done.stderr.decode() == f"event 1 is not added: {RAW_CONTROL}\n"
    assert done.returncode == 1
    assert types(node) == ["milk"]


def test_refuses_a_raw_carriage_return_in_a_string_of_a_line(node: Node) -> None:
    done = run(node.home, "add", "-", given=b'{"type":"a\rb"}\n{"type":\r"bread"}\r\n')

    assert done.stderr.decode() == f"line 1 is not added: {RAW_CONTROL}\n"
    assert done.returncode == 1
    assert types(node) == ["bread"]


def test_a_byte_order_mark_is_not_part_of_the_first_line(node: Node) -> None:
    done = run(node.home, "add", "-", given=b'\xef\xbb\xbf{"type":"a"}\n\xef\xbb\xbf{"type":"b"}\n{"type":"c"}\n')

    assert done.stderr.startswith(b"line 2 is not added: it is not JSON (JSON is malformed: ")
    assert done.stderr.endswith(b'): an event is an object with a `type`, as {"type": "milk", "litres": 2}\n')
    assert types(node) == ["a", "c"]


def test_a_byte_order_mark_alone_is_an_empty_line(node: Node) -> None:
    done = run(node.home, "add", "-", given=b"\xef\xbb\xbf\n")

    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")


def test_adds_nothing_from_an_empty_input(node: Node) -> None:
    done = run(node.home, "add", "-", given=b"\n  \n")

    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")


def test_says_how_much_was_confirmed_when_the_node_stops(node: Node) -> None:
    with running(node.home, "add", "-") as adding:
        say(adding, b'{"type": "a"}\n{"type": "b"}\n')
        printed = [next_line(adding), next_line(adding)]

        node.stop()

        assert adding.stderr is not None
        assert adding.wait(DEADLINE_SECONDS) == 1
        assert adding.stderr.read().decode() == (
            f"the node in {node.home} stopped; 2 events were confirmed, and any other may be missing\n"
        )
        assert [json.loads(line)["added"] for line in printed] == [1, 2]


def test_adds_events_after_the_reader_of_its_output_has_gone(node: Node) -> None:
    with running(node.home, "add", "-") as adding:
        assert adding.stdin is not None and adding.stdout is not None and adding.stderr is not None
        adding.stdout.close()
        say(adding, b'{"type": "a"}\n')
        complaint = adding.stderr.readline().decode()
        say(adding, b'{"type": "b"}\n')
        adding.stdin.close()

        assert complaint.startswith("events are stored all the same, ") and "Broken pipe" in complaint
        assert (adding.wait(DEADLINE_SECONDS), types(node)) == (0, ["a", "b"])


# log


def test_shows_readable_lines(node: Node) -> None:
    meta = node.log.add({"type": "milk", "litres": 2, "note": "blå"}).get(DEADLINE_SECONDS)

    done = run(node.home, "log")

    assert meta is not None
    assert done.stdout.decode() == f'{local_time(meta["time"])}  kitchen  milk  {{"litres":2,"note":"blå"}}\n'


def test_shows_json_lines(node: Node) -> None:
    meta = node.log.add({"type": "milk"}, {"reason": "breakfast"}).get(DEADLINE_SECONDS)

    done = run(node.home, "log", "--json")

    assert meta is not None
    (line,) = done.stdout.splitlines()
    shown = json.loads(line)
    assert shown["event"] == {"type": "milk"}
    assert shown["meta"] == {**meta, "created": list(meta["created"]), "dot": list(meta["dot"])}
    assert shown["meta"]["reason"] == "breakfast"


def test_sorts_by_time_or_as_events_came(node: Node) -> None:
    node.log.add({"type": "late"}).get(DEADLINE_SECONDS)
    node.log.add({"type": "early"}, {"time": 5}).get(DEADLINE_SECONDS)

    by_time = run(node.home, "log")
    as_added = run(node.home, "log", "--order", "added")

    assert [line.split()[3] for line in by_time.stdout.splitlines()] == [b"early", b"late"]
    assert [line.split()[3] for line in as_added.stdout.splitlines()] == [b"late", b"early"]


def test_prints_events_of_one_type_with_a_higher_added(node: Node) -> None:
    for kind in ("milk", "bread", "milk", "bread"):
        node.log.add({"type": kind}).get(DEADLINE_SECONDS)

    done = run(node.home, "log", "--json", "--since", "1", "--type", "milk")

    assert [json.loads(line)["meta"]["added"] for line in done.stdout.splitlines()] == [3]


def test_follows_the_log_until_ctrl_c(node: Node) -> None:
    node.log.add({"type": "old"}).get(DEADLINE_SECONDS)
    with running(node.home, "log", "--follow") as following:
        assert b"old" in next_line(following)

        node.log.add({"type": "new"}).get(DEADLINE_SECONDS)

        assert b"new" in next_line(following)
        assert interrupt(following) == (130, b"")


def test_following_ends_with_an_error_when_the_node_stops(node: Node) -> None:
    node.log.add({"type": "old"}).get(DEADLINE_SECONDS)
    with running(node.home, "log", "-f") as following:
        next_line(following)

        node.stop()

        assert following.stderr is not None
        assert following.wait(DEADLINE_SECONDS) == 1
        assert following.stderr.read().decode() == f"the node in {node.home} stopped\n"


def test_ends_without_an_error_when_the_reader_has_gone(node: Node) -> None:
    node.log.add_batch([({"type": "long", "text": "x" * 1000}, None)] * 500).get(DEADLINE_SECONDS)
    with running(node.home, "log") as printing:
        assert next_line(printing)

        assert printing.stdout is not None
        assert printing.stderr is not None
        printing.stdout.close()

        assert (printing.wait(DEADLINE_SECONDS), printing.stderr.read()) == (0, b"")


def test_an_event_cannot_control_the_terminal(node: Node) -> None:
    node.log.add({"type": "a\x1b[2Jb\nc", "text": "\x9b31m\u202e"}).get(DEADLINE_SECONDS)

    done = run(node.home, "log")

    assert r"  a\x1b[2Jb\nc  " in done.stdout.decode()
    assert done.stdout.decode().rstrip("\n").isprintable()


def test_shows_names_while_they_are_unique() -> None:
    names = Names(["kitchen~aaaaaaaa"])

    assert names.shown("kitchen~aaaaaaaa") == "kitchen"
    assert names.shown("study~cccccccc") == "study"
    assert names.shown("10:client") == "10:client"
    assert names.shown("kitchen~bbbbbbbb") == "kitchen~bbbbbbbb"
    assert names.shown("kitchen~aaaaaaaa") == "kitchen~aaaaaaaa"


def test_shows_a_time_beyond_the_year_9999_as_a_number() -> None:
    item = b'{"event": {"type": "a"}, "meta": {"created": [1, "a~b", 0], "time": 9007199254740991}}'

    assert show_event(item, Names()) == "9007199254740991 ms  a  a"


# peers and status


def test_says_that_no_other_node_is_known(node: Node) -> None:
    assert run(node.home, "peers").stdout == b"no other node is known yet\n"
    assert run(node.home, "peers", "--json").stdout == b"[]\n"


def test_lists_the_other_nodes(node: Node, tmp_path: Path) -> None:
    address = f"127.0.0.1:{node.port}"
    with Node("study", home=tmp_path / "study", listen="127.0.0.1:0", open=True, mdns=False, peers=[address]) as study:
        wait_for(lambda: [peer["session"] for peer in node.status().get()["peers"]] == ["synchronized"])

        (row,) = json.loads(run(node.home, "peers", "--json").stdout)
        table = run(study.home, "peers").stdout.decode().splitlines()
        status = json.loads(run(study.home, "status", "--json").stdout)
        (session,), (peer,) = status["sessions"], status["peers"]

        assert (row["node_id"], row["state"]) == (study.node_id, "alive")
        headings = "node state since session behind missing restarts addresses reason"
        assert table[0].split() == headings.split()
        since = local_second(peer["since_ms"])
        assert table[1].split()[:6] == [node.node_id, "alive", *since.split(), "synchronized", "0"]
        assert (session["other_node_id"], session["address"], session["lag"]) == (node.node_id, address, 0)


def test_shows_the_status(node: Node) -> None:
    node.log.add({"type": "milk"}).get(DEADLINE_SECONDS)

    status = json.loads(run(node.home, "status", "--json").stdout)
    readable = run(node.home, "status").stdout.decode()

    assert {key: status[key] for key in ("node_id", "mesh", "port", "last_added", "events", "sessions", "paused")} == {
        "node_id": node.node_id,
        "mesh": "home",
        "port": node.port,
        "last_added": 1,
        "events": 1,
        "sessions": [],
        "paused": [],
    }
    assert status["peers"] == json.loads(run(node.home, "peers", "--json").stdout) == []
    assert f"node                {node.node_id}\nmesh                home\n" in readable


PEER: dict[str, Any] = {
    "node_id": "n" * 64 + "~7f3q2x5a",
    "state": "alive",
    "session": None,
    "addresses": ["192.168.1.7:4000", "[fd00:1234:5678:9abc:def0:1234:5678:9abc]:40000"],
    "restarts": 2,
}


def test_a_table_does_not_cut_its_cells() -> None:
    heading, row = show_peers([PEER]).splitlines()

    assert row.split() == [
        "n" * 64 + "~7f3q2x5a",
        "alive",
        "-",
        "-",
        "-",
        "-",
        "2",
        "192.168.1.7:4000,",
        PEER["addresses"][1],
        "-",
    ]
    assert heading.index("state") == row.index("alive")


def test_the_status_shows_sessions_and_what_is_paused() -> None:
    facts = {"node_id": "a~b", "mesh": "home", "port": 1, "events": 2, "last_added": 3, "conflicts": 0, "ahead": 0}
    session = {"other_node_id": None, "state": "connecting", "address": "[::1]:5", "lag": None}
    paused = {"what": "study~c", "restarts": 5, "why": "ValueError: [red]bad[/red]\n\x1b[2J"}
    status = {**facts, "sessions": [{**session, "restarts": 0, "dialled": True}], "paused": [paused]}

    text = show_status(status)

    assert "\n-             connecting  [::1]:5  -    -        0         us          -\n" in text
    assert r"study~c  5         ValueError: [red]bad[/red]\n\x1b[2J" in text


def test_a_narrow_terminal_shows_whole_node_ids_in_colours(node: Node, tmp_path: Path) -> None:
    address = f"127.0.0.1:{node.port}"
    with Node("n" * 64, home=tmp_path / "study", listen="127.0.0.1:0", open=True, mdns=False, peers=[address]) as study:
        wait_for(lambda: node.status().get()["peers"])

        shown = on_terminal(arguments(node.home, "peers"), columns=40)

        assert study.node_id in shown
        assert "\x1b[" in shown


def on_terminal(args: list[str], *, columns: int) -> str:
    ours, theirs = pty.openpty()
    termios.tcsetwinsize(theirs, (24, columns))
    process = ForkedProcess(args, stdin=theirs, stdout=theirs, stderr=theirs, env=environment(TERM="xterm"))
    os.close(theirs)
    shown = b""
    try:
        while select.select([ours], [], [], DEADLINE_SECONDS)[0]:
            shown += os.read(ours, 65536)
    except OSError:
        pass  # so a terminal says that its other end is closed
    os.close(ours)
    assert process.wait(DEADLINE_SECONDS) == 0
    return shown.decode()


# up: what needs no process of its own (see tests/live/test_up.py)


class FailingNode(Node):
    """A node whose supervisor dies right after its start."""

    async def begin(self) -> None:
        await super().begin()
        (supervisor,) = pykka.ActorRegistry.get_by_class(NodeSupervisor)
        supervisor.tell_to(fail)


@pytest.fixture
def settings() -> Iterator[ProcessSettings]:
    """How threads of this process take turns, and how often its garbage is collected; both are put back."""
    before = process_settings()
    yield before
    sys.setswitchinterval(before[0])
    gc.set_threshold(*before[1])


def process_settings() -> ProcessSettings:
    return sys.getswitchinterval(), gc.get_threshold()


@pytest.mark.usefixtures("settings")
def test_up_ends_with_an_error_when_the_node_fails(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    def make_node() -> Node:
        return FailingNode("kitchen", home=tmp_path, listen="127.0.0.1:0", open=True, mdns=False)

    assert run_up(make_node, as_json=True) == 1

    events = [json.loads(line) for line in capfd.readouterr().out.splitlines()]
    assert [event["event"] for event in events] == ["up", "failed", "stopped"]
    assert events[1]["text"].startswith("the node failed: RuntimeError: a bug")


def test_threads_take_turns_faster_and_garbage_is_collected_less_often_in_a_process_of_up_alone(
    tmp_path: Path, settings: ProcessSettings
) -> None:
    with Node("kitchen", home=tmp_path / "a", listen="127.0.0.1:0", open=True, mdns=False):
        assert process_settings() == settings

    run_up(
        lambda: FailingNode("cellar", home=tmp_path / "b", listen="127.0.0.1:0", open=True, mdns=False), as_json=True
    )

    assert sys.getswitchinterval() == pytest.approx(SWITCH_SECONDS)
    assert gc.get_threshold() == (NEW_OBJECTS, NEW_ROUNDS, OLD_ROUNDS)


def test_shows_the_first_log_record_of_each_library_and_all_of_peermesh(capsys: pytest.CaptureFixture[str]) -> None:
    screen = one_line_log()
    for name in ("zeroconf", "asyncio", "asyncio", "mesh.discovery.mdns.mdns", "mesh.discovery.mdns.mdns"):
        screen.handle(logging.LogRecord(name, logging.ERROR, "", 1, "%s\n  File x", ("oops",), None))

    shown = capsys.readouterr().err.splitlines()

    said = "ERROR mesh.cli.node.up: the library {} reports trouble, and the node goes on (said once): oops\\n  File x"
    ours = "ERROR mesh.discovery.mdns.mdns: oops\\n  File x"
    assert shown == [said.format("zeroconf"), said.format("asyncio"), ours, ours]


def test_log_lines_can_be_json(capsys: pytest.CaptureFixture[str]) -> None:
    record = logging.LogRecord("mesh.discovery", logging.WARNING, "", 1, "%s\n  File x", ("oops",), None)
    one_line_log(as_json=True).handle(record)

    shown = json.loads(capsys.readouterr().err)
    assert shown == {
        "time": round(record.created * 1000),
        "level": "warning",
        "logger": "mesh.discovery",
        "text": "oops\n  File x",
    }


def test_a_reader_that_does_not_read_does_not_block_the_writer() -> None:
    ours, theirs = os.pipe()
    writer = LineWriter(theirs)

    for _ in range(MAX_WAITING_LINES * 3):
        writer.print("x" * 1000)
    os.close(ours)
    writer.close()

    os.close(theirs)


# errors and help


@pytest.mark.parametrize(
    "command", [("add", '{"type": "a"}'), ("log",), ("peers",), ("status",), ("stop",), ("retry",)]
)
def test_says_that_no_node_runs(tmp_path: Path, command: tuple[str, ...]) -> None:
    home = tmp_path / "my home"

    done = run(home, *command)

    assert (
        done.stderr.decode()
        == f"no node runs in {home}: start it: `mesh --home '{home}' up`, or the program that runs this node\n"
    )
    assert (done.returncode, done.stdout) == (1, b"")


@pytest.mark.parametrize("command", [("verify",), ("peer", "add")])
def test_says_where_an_option_of_all_commands_stands(command: tuple[str, ...]) -> None:
    found = CliRunner().invoke(mesh.cli.commands.app, [*command, "--home", "elsewhere"], prog_name="mesh")

    assert found.exit_code == 2
    assert f"--home stands before the command: mesh --home DIR {' '.join(command)}" in found.output

    found = CliRunner().invoke(mesh.cli.commands.app, [*command, "--version"], prog_name="mesh")

    assert f"--version stands before the command: mesh --version {' '.join(command)}" in found.output


def test_finds_the_home_in_the_environment(node: Node) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "mesh", "status", "--json"],
        capture_output=True,
        timeout=DEADLINE_SECONDS,
        env=environment(MESH_HOME=str(node.home)),
        check=True,
    )

    assert json.loads(done.stdout)["node_id"] == node.node_id


def test_retry_prints_nothing(node: Node) -> None:
    done = run(node.home, "retry")

    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")


def test_ctrl_c_prints_no_traceback(node: Node) -> None:
    with running(node.home, "add", "-") as adding:
        say(adding, b'{"type": "a"}\n')
        next_line(adding)

        assert interrupt(adding) == (130, b"")


def test_ctrl_c_prints_no_traceback_while_options_are_read(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def interrupt_here(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(click.Group, "parse_args", interrupt_here)

    done = CliRunner().invoke(mesh.cli.commands.app, ["--home", str(tmp_path), "status"])

    assert (done.exit_code, done.output) == (130, "")


def test_a_sentence_names_no_home_that_is_the_default_one(tmp_path: Path) -> None:
    given = {"HOME": str(tmp_path), "XDG_DATA_HOME": str(tmp_path)}

    done = CliRunner().invoke(mesh.cli.commands.app, ["status"], env=given)

    assert done.stderr.endswith(": start it: `mesh up`, or the program that runs this node\n")


def test_without_a_command_it_shows_the_help_as_an_error() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "mesh"],
        capture_output=True,
        text=True,
        timeout=DEADLINE_SECONDS,
        env=environment(),
        check=False,
    )

    listed = re.findall(r"^  (\w+)  +\w", done.stderr.partition("Commands:")[2], re.MULTILINE)
    assert (done.returncode, done.stdout) == (2, "")
    assert tuple(listed) == COMMANDS
    assert "..." not in done.stderr.partition("Commands:")[2], "no sentence is cut off"
    assert "[env var: MESH_HOME]" in done.stderr


@pytest.mark.parametrize(
    "args",
    [
        ["add"],
        ["add", "-", "{}"],
        ["dance"],
        ["log", "--order", "random"],
        ["log", "--since", "-1"],
        ["log", "--follow", "--order", "created"],
        ["log", "more"],
        ["up", "--name", "a b"],
        ["up", "--mesh", ""],
        ["up", "--listen", "nowhere"],
        ["up", "--peer", "127.0.0.1:0"],
        ["up", "--peer", "127.0.0.1:1", "--peer", "fd00::7:4000"],
        ["up", "--peer", "kitchen:0"],
        ["up", "--requery", "0.1"],
        ["up", "--requery", "nan"],
    ],
)
def test_a_usage_error_is_explained_with_exit_code_2(tmp_path: Path, args: list[str]) -> None:
    done = CliRunner().invoke(mesh.cli.commands.app, ["--home", str(tmp_path / "none"), *args])

    assert done.exit_code == 2
    assert "Error: " in done.stderr
    assert not (tmp_path / "none").exists()


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize(("option", "variable"), [(["--home", ""], None), ([], "")])
def test_an_empty_home_is_not_the_current_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, option: list[str], variable: str | None, command: str
) -> None:
    monkeypatch.chdir(tmp_path)

    done = CliRunner().invoke(mesh.cli.commands.app, [*option, command], env={"MESH_HOME": variable})

    assert done.exit_code == 2
    assert "--home" in done.stderr and "it is empty: give a directory" in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_the_option_home_takes_precedence_over_an_empty_variable(node: Node) -> None:
    args = ["--home", str(node.home), "status", "--json"]

    done = CliRunner().invoke(mesh.cli.commands.app, args, env={"MESH_HOME": ""})

    assert done.exit_code == 0


@pytest.mark.parametrize("command", COMMANDS)
def test_help_has_examples(command: str) -> None:
    done = CliRunner().invoke(mesh.cli.commands.app, [command, "--help"])

    assert done.exit_code == 0
    assert re.search(rf"^  mesh {command}\b", done.stdout, re.MULTILINE)


def test_a_bug_is_reported_as_a_sentence(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def fail(**_: object) -> None:
        raise KeyError("surprise")

    monkeypatch.setattr(mesh.cli.commands, "app", fail)

    with pytest.raises(SystemExit) as ended:
        main()

    assert ended.value.code == 1
    assert capsys.readouterr().err.startswith("mesh itself failed (KeyError: 'surprise'): ")


def test_commands_load_no_module_that_only_a_node_needs() -> None:
    modules = "mesh.cli.main, mesh.cli.commands, mesh.cli.add, mesh.terminal.tables"
    node_only = {"asyncio", "cryptography", "ifaddr", "peers", "pykka", "sqlite3", "websockets", "zeroconf"}
    slow = {"pydantic", "rich.table", "typer"}

    done = subprocess.run(
        [sys.executable, "-c", f"import sys, {modules}; print(*sys.modules)"],
        capture_output=True,
        text=True,
        timeout=DEADLINE_SECONDS,
        env=environment(),
        check=True,
    )

    assert (node_only | slow) & set(done.stdout.split()) == set()
