"""`mesh log` in a shell: choosing events, following the log, and continuing when the node comes back."""

from __future__ import annotations

import json
import re
import select
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

import msgspec
import pytest
from click.testing import CliRunner

import mesh.cli.commands
from mesh import Node
from mesh.control import messages
from mesh.settings.paths import SOCKET_FILE
from mesh.terminal.tables import local_time
from tests.support.commands import arguments, environment
from tests.support.forked_process import ForkedProcess

DEADLINE_SECONDS = 20.0
START_MS = 1_700_000_000_000


def run_node(home: Path) -> Node:
    return Node("kitchen", home=home, listen="127.0.0.1:0", open=True, mdns=False)


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Node]:
    """With events a to e, a second apart; e was added before d, and b is milk."""
    with run_node(tmp_path / "home") as running:
        for name in "abced":
            ms = START_MS + 1_000 * "abcde".index(name)
            event = {"type": "milk" if name == "b" else "bread", "name": name}
            running.log.add(event, {"created": (ms, "n", 0), "time": ms}).get(DEADLINE_SECONDS)
        yield running


def log(home: Path, *options: str) -> str:
    """The names of the events that are printed."""
    done = CliRunner().invoke(mesh.cli.commands.app, ["--home", str(home), "log", "--json", *options])
    assert done.exit_code == 0, done.stderr
    return "".join(json.loads(line)["event"]["name"] for line in done.stdout.splitlines())


def shown(ms: int) -> str:
    """A time as `mesh log` prints it."""
    return local_time(START_MS + ms)


@contextmanager
def following(home: Path, *options: str, **streams: int) -> Iterator[subprocess.Popen[bytes]]:
    process = ForkedProcess(
        arguments(home, *options),
        env=environment(),
        bufsize=0,
        **{"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **streams},
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def next_line(stream: object) -> str:
    assert hasattr(stream, "readline")
    assert select.select([stream], [], [], DEADLINE_SECONDS)[0], "nothing was printed"
    text: bytes = stream.readline()
    return text.decode()


def add(node: Node, *names: str) -> None:
    for name in names:
        node.log.add({"type": "bread", "name": name}).get(DEADLINE_SECONDS)


def test_prints_events_between_two_moments(node: Node) -> None:
    assert log(node.home, "--since", shown(1_000), "--until", shown(3_000)) == "bcd"
    assert (
        log(node.home, "--since", f"{datetime.fromtimestamp(START_MS / 1_000 + 2).astimezone().isoformat()}") == "cde"
    )
    assert log(node.home, "--since", "3") == "de"
    assert log(node.home, "--since", "36500d", "--until", "1h") == "abcde"
    assert log(node.home, "--since", "1h") == log(node.home, "--until", "36499d") == ""
    assert log(node.home, "--since", "2023-01-01", "--until", "9999-12-31T23:59:59.999999Z") == "abcde"


def test_tail_prints_the_last_events_and_limit_the_first_ones(node: Node) -> None:
    assert (log(node.home, "--tail", "2"), log(node.home, "--limit", "2")) == ("de", "ab")
    assert log(node.home, "--tail", "2", "--order", "added") == "ed"
    assert (log(node.home, "--reverse", "--limit", "2"), log(node.home, "--tail", "2", "--reverse")) == ("ed", "ed")
    assert log(node.home, "--tail", "2", "--type", "bread", "--until", shown(3_000)) == "cd"
    assert log(node.home, "--tail", "3", "--since", shown(3_000)) == "de"
    assert (log(node.home, "--tail", "0"), log(node.home, "--limit", "0")) == ("", "")


def test_tail_and_follow_print_old_and_new_events_up_to_the_limit(node: Node) -> None:
    with following(node.home, "log", "--tail", "2", "--follow", "--limit", "4", "--json") as process:
        assert [json.loads(next_line(process.stdout))["event"]["name"] for _ in range(2)] == ["e", "d"]
        add(node, "f", "g", "h")

        rest = process.communicate(timeout=DEADLINE_SECONDS)[0].splitlines()

    assert [json.loads(each)["event"]["name"] for each in rest] == ["f", "g"]


def test_follow_with_tail_0_prints_only_new_events(node: Node) -> None:
    with following(node.home, "log", "--tail", "0", "--follow", "--limit", "1", "--json") as process:
        while process.poll() is None:  # until it follows, what is added is an old event
            add(node, "new")
            time.sleep(0.05)

        assert process.communicate()[0].count(b'"name":"new"') == 1


def test_continues_without_a_gap_when_the_node_comes_back(tmp_path: Path) -> None:
    with run_node(tmp_path) as node:
        add(node, "a", "b", "c")
    arguments = ("log", "--follow", "--wait", "--tail", "2", "--limit", "6", "--json")
    printed: list[str] = []
    said: list[str] = []
    with following(tmp_path, *arguments) as process:
        for new, expected in (("", "bc"), ("de", "de"), ("f", "f"), ("gh", "g")):
            said.append(next_line(process.stderr))
            with run_node(tmp_path) as node:
                add(node, *new)  # maybe before the command has connected again
                printed += [json.loads(next_line(process.stdout))["event"]["name"] for _ in expected]
        said += process.communicate(timeout=DEADLINE_SECONDS)[1].decode().splitlines(keepends=True)

    assert "".join(printed) == "bcdefg"
    assert said == [
        f"no node runs in {tmp_path}: start it: `mesh --home {tmp_path} up`, or the program that runs this node; "
        "mesh log waits until it runs\n",
        *[f"the node in {tmp_path} stopped; mesh log waits until it runs\n"] * 3,
    ]


def test_does_not_continue_in_another_log(tmp_path: Path) -> None:
    with following(tmp_path, "log", "--follow", "--wait", "--json") as process:
        with run_node(tmp_path) as node:
            add(node, "a", "b")
            assert [json.loads(next_line(process.stdout))["event"]["name"] for _ in "ab"] == ["a", "b"]
        (tmp_path / "log.sqlite").unlink()

        with run_node(tmp_path):
            said = process.communicate(timeout=DEADLINE_SECONDS)[1].decode()

    assert process.returncode == 1
    assert said.endswith(f"the log in {tmp_path} is another one now: it ends at 0, and 2 was printed already\n")


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--follow", "--reverse"], "leave one of them out"),
        (["--follow", "--until", "1h"], "leave --until out"),
        (["--follow", "--order", "created"], "leave --order created out"),
        (["--wait"], "--wait is for --follow"),
        (["--tail", "1", "--limit", "1"], "--tail N prints the last N, --limit N the first"),
        (["--since", "1h", "--until", "2h"], "--since is later than --until"),
        (["--since", "yesterday"], "'yesterday' is neither an `added`, a time nor an age: write 2026-11-23"),
        (["--until", "7"], "'7' is neither a time nor an age"),
        (["--until", "99999999d"], "is out of range"),
        (["--since", "-1"], "-1 is not in the range"),
        (["--tail", "-1"], "-1 is not in the range"),
        (["--limit", "x"], "'x' is not a valid whole number"),
    ],
)
def test_options_that_exclude_each_other_are_a_usage_error(tmp_path: Path, options: list[str], sentence: str) -> None:
    done = CliRunner().invoke(mesh.cli.commands.app, ["--home", str(tmp_path / "none"), "log", *options])

    assert done.exit_code == 2
    assert sentence in " ".join(done.stderr.split())


# Nodes of other releases


class OldRead(msgspec.Struct, tag_field="do", tag="read", forbid_unknown_fields=True):
    """A Read of the release before."""

    order: str = "created"
    since: int = 0
    type: str | None = None
    follow: bool = False


@contextmanager
def old_node(home: Path) -> Iterator[None]:
    """Answers Reads as a node of the release before: with one event, or with the error of its decoder."""
    listening = socket.socket(socket.AF_UNIX)
    listening.bind(str(home / SOCKET_FILE))
    listening.listen()

    def serve() -> None:
        while True:
            try:
                connection = listening.accept()[0]
            except OSError:
                return
            with connection, connection.makefile("rb") as lines:
                for request in lines:
                    try:
                        msgspec.json.decode(request, type=OldRead)
                        item = msgspec.Raw(b'{"event":{"type":"a","name":"a"},"meta":{"added":1}}')
                        connection.sendall(messages.encode(messages.Events([item])) + messages.encode(messages.Done()))
                    except msgspec.DecodeError as error:
                        why = f"the request cannot be understood: {error}"
                        connection.sendall(messages.encode(messages.Failure(why)))

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield
    finally:
        listening.shutdown(socket.SHUT_RDWR)
        thread.join(DEADLINE_SECONDS)
        listening.close()


def test_a_node_of_the_release_before_answers_known_requests_and_refuses_others(tmp_path: Path) -> None:
    with old_node(tmp_path):
        assert log(tmp_path) == log(tmp_path, "--since", "1", "--type", "a") == "a"

        done = CliRunner().invoke(mesh.cli.commands.app, ["--home", str(tmp_path), "log", "--json", "--tail", "1"])

    assert done.exit_code == 1
    assert re.fullmatch(
        rf"the node in {tmp_path} is of another release than this command: restart it with the same release "
        r"\(the request cannot be understood: .*`tail`.*\)\n",
        done.stderr,
    )


def test_a_printed_time_can_be_used_as_an_option(node: Node) -> None:
    done = CliRunner().invoke(mesh.cli.commands.app, ["--home", str(node.home), "log", "--tail", "1"])

    assert log(node.home, "--since", done.stdout[:23]) == "e"
