"""The control socket of a running node: access, answers, limits and ends."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import stat
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, cast

import pytest
from msgspec import Raw

from mesh import MeshError, Node
from mesh.control import messages
from mesh.control.client import ControlClient
from mesh.control.line_reader import LineReader
from mesh.control.log_reading import EVENTS_PER_READ
from mesh.control.server import MAX_COMMANDS, MAX_FOLLOWERS, ControlServer
from mesh.control.unix_socket import connect_in
from mesh.settings.home import Home
from mesh.settings.paths import SOCKET_FILE
from peers.events.entry import MAX_EVENT_BYTES, MAX_EXTRA_BYTES
from tests.support.web_socket_room import open_files

DEADLINE_SECONDS = 10.0


def run_node(home: Path) -> Node:
    return Node("kitchen", home=home, listen="127.0.0.1:0", open=True, mdns=False)


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Node]:
    with run_node(tmp_path) as running:
        yield running


class RawClient:
    """One connection, which sends lines as they are."""

    def __init__(self, home: Path) -> None:
        self.connection = connect_in(home)
        self.connection.settimeout(DEADLINE_SECONDS)
        self._answers = self.connection.makefile("rb")

    def send(self, request: object) -> None:
        line = request if isinstance(request, bytes) else json.dumps(request).encode()
        self.connection.sendall(line + b"\n")

    def receive(self) -> Any:
        line = self._answers.readline()
        return json.loads(line) if line else None

    def ask(self, request: object) -> Any:
        self.send(request)
        return self.receive()

    def close(self) -> None:
        self._answers.close()
        self.connection.close()


@pytest.fixture
def connect(node: Node) -> Iterator[Callable[[], RawClient]]:
    clients: list[RawClient] = []

    def start() -> RawClient:
        clients.append(RawClient(node.home))
        return clients[-1]

    yield start
    for one in clients:
        one.close()


def add(node: Node, count: int, **more: object) -> None:
    node.log.add_batch([({"type": "number", "n": n, **more}, None) for n in range(count)]).get(DEADLINE_SECONDS)


def read(client: ControlClient, **options: Any) -> list[dict[str, Any]]:
    return [json.loads(bytes(item)) for items in client.read(messages.Read(**options)) for item in items]


def numbers(items: list[dict[str, Any]]) -> list[int]:
    return [item["event"]["n"] for item in items]


def test_the_socket_is_for_this_user_only(node: Node) -> None:
    mode = (node.home / SOCKET_FILE).stat().st_mode

    assert stat.S_ISSOCK(mode)
    assert stat.S_IMODE(mode) == 0o600


def test_replaces_the_socket_of_a_run_that_was_killed(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as killed:
        killed.bind(str(tmp_path / SOCKET_FILE))

    with run_node(tmp_path) as node, ControlClient(tmp_path) as client:
        assert client.status()["node_id"] == node.node_id


def test_removes_its_socket_when_the_node_stops(tmp_path: Path) -> None:
    with run_node(tmp_path):
        assert (tmp_path / SOCKET_FILE).exists()

    assert not (tmp_path / SOCKET_FILE).exists()


@pytest.mark.parametrize("turns", range(5))
def test_a_command_that_comes_just_before_the_close_is_closed_with_the_socket(tmp_path: Path, turns: int) -> None:
    stopped = run_node(tmp_path)  # of which the server needs the home
    loop = asyncio.new_event_loop()

    async def close() -> int:
        server = ControlServer(stopped, mesh=cast("Any", None), on_stop=lambda: False)
        before = open_files()
        await server.start()
        with connect_in(tmp_path):
            for _ in range(turns):
                await asyncio.sleep(0)
            await server.close()
            return open_files() - before - 1

    assert loop.run_until_complete(close()) == 0
    loop.close()


def test_works_in_a_home_whose_path_is_too_long_for_a_socket(tmp_path: Path) -> None:
    home = tmp_path / ("long" * 30)

    with run_node(home) as node, ControlClient(home) as client:
        assert client.status()["node_id"] == node.node_id


def test_says_why_it_cannot_make_its_socket(tmp_path: Path) -> None:
    (tmp_path / SOCKET_FILE).mkdir()

    with pytest.raises(MeshError, match="cannot make the socket"):
        run_node(tmp_path).start()


def test_says_how_to_start_a_node_where_none_runs(tmp_path: Path) -> None:
    with pytest.raises(
        MeshError, match=r"^no node runs in .*: start it: `mesh --home .* up`, or the program that runs this node$"
    ):
        ControlClient(tmp_path)


def test_says_that_a_node_is_just_starting(tmp_path: Path) -> None:
    home = Home(tmp_path, name="kitchen")

    with pytest.raises(MeshError, match=rf"\(process {os.getpid()}\) is just starting or stopping: .* end its process"):
        ControlClient(tmp_path)
    home.close()


@pytest.mark.parametrize(
    "request_line",
    [
        b"nonsense",
        b"{}",
        b'{"do": "dance"}',
        b'{"do": "add"}',
        b'{"do": "add", "events": []}',
        b'{"do": "add", "events": [' + b",".join([b"1"] * 501) + b"]}",
        b'{"do": "read", "since": -1}',
        b'{"do": "read", "order": "random"}',
        b'{"do": "show", "what": 1}',
        b"[" * 100_000,
        b"\xff\xfe",
    ],
)
def test_answers_a_bad_request_with_a_sentence_and_answers_the_next_one(
    connect: Callable[[], RawClient], request_line: bytes
) -> None:
    one = connect()

    answer = one.ask(request_line)

    assert answer["is"] == "failure"
    assert answer["why"].startswith("the request")
    assert one.ask({"do": "show"})["is"] == "shown"


def test_ends_a_connection_whose_request_is_too_long(connect: Callable[[], RawClient]) -> None:
    one = connect()
    threading.Thread(target=push, args=(one.connection, b"x" * (messages.MAX_LINE_BYTES * 2)), daemon=True).start()

    answer = one.receive()

    assert "1048576 bytes at most" in answer["why"]


def push(connection: socket.socket, content: bytes) -> None:
    with suppress(OSError):  # the node closes the connection
        connection.sendall(content)


def test_a_bad_event_is_refused_and_the_others_are_added(node: Node, connect: Callable[[], RawClient]) -> None:
    answer = connect().ask({"do": "add", "events": [{"type": "a"}, 7, {"type": "b"}]})

    assert [outcome["is"] for outcome in answer["outcomes"]] == ["confirmed", "rejected", "confirmed"]
    assert answer["outcomes"][1]["why"] == "an event must be an object with a `type`, not a number"
    assert answer["outcomes"][2]["created"][1] == node.node_id
    assert answer["outcomes"][2]["added"] == 2


def test_keeps_the_bytes_of_an_event_as_they_were_given(node: Node, connect: Callable[[], RawClient]) -> None:
    connect().ask(b'{"do": "add", "events": [{ "type":"a",  "price": 1.50 }]}')

    (entry,) = node.log.page().get(DEADLINE_SECONDS)
    assert entry.body == b'{ "type":"a",  "price": 1.50 }'


def test_sends_an_event_with_line_breaks_as_one_line(node: Node) -> None:
    node.log.add_batch([(Raw(b'{"type":\r\n"a"}'), None)]).get(DEADLINE_SECONDS)

    with ControlClient(node.home) as client:
        assert [item["event"] for item in read(client)] == [{"type": "a"}]


def test_answers_several_requests_in_their_order(connect: Callable[[], RawClient]) -> None:
    one = connect()

    for n in range(20):
        one.send({"do": "add", "events": [{"type": "number", "n": n}]})

    assert [one.receive()["outcomes"][0]["added"] for _ in range(20)] == list(range(1, 21))


def test_reads_the_log_in_pages(node: Node) -> None:
    add(node, EVENTS_PER_READ * 2 + 50)

    with ControlClient(node.home) as client:
        assert numbers(read(client)) == list(range(EVENTS_PER_READ * 2 + 50))


def test_reads_events_with_a_higher_added(node: Node) -> None:
    add(node, 10)

    with ControlClient(node.home) as client:
        assert [item["meta"]["added"] for item in read(client, order="added", since=7)] == [8, 9, 10]


def test_reads_one_type_of_event(node: Node) -> None:
    add(node, EVENTS_PER_READ)
    node.log.add({"type": "milk", "n": -1}).get(DEADLINE_SECONDS)

    with ControlClient(node.home) as client:
        assert numbers(read(client, type="milk")) == [-1]


def test_the_largest_events_of_a_log_fit_into_answers(node: Node) -> None:
    rest = MAX_EVENT_BYTES - len('{"type":"large","text":""}')
    event = {"type": "large", "text": "x" * rest}
    meta = {"note": "y" * (MAX_EXTRA_BYTES - len('{"note":""}'))}
    node.log.add_batch([(event, meta)] * 5).get(DEADLINE_SECONDS)

    with ControlClient(node.home) as client:
        items = list(client.read(messages.Read()))

    assert sum(len(some) for some in items) == 5
    assert all(len(bytes(item)) <= messages.MAX_ITEM_BYTES for some in items for item in some)


def test_follows_the_log(node: Node, connect: Callable[[], RawClient]) -> None:
    add(node, 2)
    one = connect()
    one.send({"do": "read", "order": "added", "since": 1, "follow": True})
    old = one.receive()

    node.log.add({"type": "new"}).get(DEADLINE_SECONDS)

    assert [item["meta"]["added"] for item in old["items"]] == [2]
    assert [item["event"] for item in one.receive()["items"]] == [{"type": "new"}]


def test_follows_events_of_a_type_from_a_time_on_up_to_a_limit(node: Node) -> None:
    for n, (ms, type_) in enumerate(zip([5, 9, 7, 9, 3, 8, 10], "abbabbb", strict=True)):
        node.log.add({"type": type_, "n": n + 1}, {"created": (ms, "n", n), "time": ms}).get(DEADLINE_SECONDS)
    wanted: dict[str, Any] = {"order": "added", "follow": True, "type": "b", "from_ms": 7, "limit": 3}

    with ControlClient(node.home) as client:
        assert numbers(read(client, **wanted)) == [2, 3, 6]
        assert numbers(read(client, **wanted, since=2)) == [3, 6, 7]
        assert read(client, follow=True, limit=0) == []


def test_a_connection_that_follows_ends_when_the_node_stops(tmp_path: Path) -> None:
    with run_node(tmp_path) as node:
        one = RawClient(tmp_path)
        add(node, 1)
        one.ask({"do": "read", "follow": True})

    assert one.receive() is None
    one.close()


def test_a_client_that_reads_late_delays_no_other_and_gets_all_events(
    node: Node, connect: Callable[[], RawClient]
) -> None:
    slow, quick = connect(), connect()
    slow.send({"do": "read", "order": "added", "follow": True})

    for _ in range(8):
        add(node, 500, text="x" * 1000)

    assert quick.ask({"do": "show"})["status"]["events"] == 4000
    seen: list[int] = []
    while len(seen) < 4000:
        seen += [item["meta"]["added"] for item in slow.receive()["items"]]
    assert seen == list(range(1, 4001))


def test_clients_that_disconnected_do_not_count(node: Node) -> None:
    add(node, 200, text="x" * 2000)
    for _ in range(MAX_COMMANDS + 5):
        gone = RawClient(node.home)
        gone.send({"do": "read", "follow": True})
        gone.receive()
        gone.close()

    with ControlClient(node.home) as client:
        assert client.status()["events"] == 200


def test_refuses_a_command_beyond_the_limit(connect: Callable[[], RawClient]) -> None:
    for _ in range(MAX_COMMANDS):
        assert connect().ask({"do": "show"})["is"] == "shown"

    refused = connect().receive()

    assert refused == {"is": "failure", "why": "64 commands talk to this node already: end some of them"}


def test_commands_that_follow_have_a_limit_of_their_own(node: Node, connect: Callable[[], RawClient]) -> None:
    add(node, 1)
    follow = {"do": "read", "follow": True}
    for _ in range(MAX_FOLLOWERS):
        assert connect().ask(follow)["is"] == "events"

    one_more = connect().ask(follow)

    assert one_more == {"is": "failure", "why": "64 commands follow this log already: end some of them"}
    with ControlClient(node.home) as client:
        assert client.status()["events"] == 1


def test_does_not_stop_a_node_inside_another_program(node: Node) -> None:
    with (
        ControlClient(node.home) as client,
        pytest.raises(MeshError, match=rf"inside another program \(process {os.getpid()}\)"),
    ):
        client.stop()


def test_stop_is_an_event_for_the_owner_of_the_node(node: Node, connect: Callable[[], RawClient]) -> None:
    notices: list[str] = []
    node.on("stop", lambda notice: notices.append(notice.kind))

    assert connect().ask({"do": "stop"}) == {"is": "done"}

    assert notices == ["stop"]


def test_retry_leaves_nothing_paused(node: Node) -> None:
    with ControlClient(node.home) as client:
        client.retry()
        assert client.status()["paused"] == []


def test_events_that_were_confirmed_before_the_node_stopped_are_in_the_log(tmp_path: Path) -> None:
    with run_node(tmp_path):
        one = RawClient(tmp_path)
        for n in range(3):
            one.send({"do": "add", "events": [{"type": "number", "n": n}] * 500})
        assert one.receive()["is"] == "added"
    confirmed = 500
    while (answer := one.receive()) is not None:
        confirmed += len(answer["outcomes"])
    one.close()

    with run_node(tmp_path) as again:
        assert again.log.last_added >= confirmed


@pytest.mark.parametrize(
    ("pieces", "lines"),
    [
        ([b"a\nb\n"], [b"a", b"b"]),
        ([b"a", b"b\n", b"c"], [b"ab", b"c"]),
        ([b"\n\n"], [b"", b""]),
        ([b"12345\n"], [b"12345"]),
        ([b"123456\nb\n"], [None, b"b"]),
        ([b"123456", b"7890", b"1\nb\n"], [None, b"b"]),
        ([b"1234567"], [None]),
        ([b"123456", b"\n"], [None]),
        ([], []),
    ],
)
def test_splits_bytes_into_lines_and_drops_those_that_are_too_long(
    pieces: list[bytes], lines: list[bytes | None]
) -> None:
    reader = LineReader(5)

    read = [line for piece in pieces for line in reader.feed(piece)] + reader.end()

    assert read == lines
