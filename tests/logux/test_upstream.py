"""Nodes of a mesh as clients of real Logux servers."""

from __future__ import annotations

import contextlib
import itertools
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pykka
import pytest
from js_peer import JsPeer, StartJs
from our_end import KINDS, Row, same, shown_as, theirs
from websockets.sync.server import ServerConnection, serve

from mesh.node import Node

SECONDS = 30.0
STRICT: dict[str, Any] = {"upstream_user": "10", "upstream_token": "secret", "upstream_subprotocol": 1}
each = pytest.mark.parametrize("kind", KINDS)


def wait_until(holds: Callable[[], Any], what: Callable[[], Any]) -> None:
    deadline = time.monotonic() + SECONDS
    while not holds():
        assert time.monotonic() < deadline, f"it never came about: {what()}"
        time.sleep(0.005)


class House:
    """Nodes in it, which are stopped at the end."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.nodes: dict[str, Node] = {}
        self.notices: list[str] = []

    def start(self, name: str, *, peer: Node | None = None, **options: Any) -> Node:
        peers = [f"127.0.0.1:{peer.port}"] if peer is not None else []
        node = Node(name, home=self.path / name, listen="127.0.0.1:0", open=True, peers=peers, mdns=False, **options)
        node.on("change", lambda notice: self.notices.append(notice.sentence))
        self.nodes[name] = node.start()
        return node

    def stop(self, name: str) -> None:
        self.nodes.pop(name).stop()

    def status(self) -> list[Any]:
        return [line(node) for node in self.nodes.values()]

    def close(self) -> None:
        for name in list(self.nodes):
            self.stop(name)
        assert pykka.ActorRegistry.get_all() == []

    def told(self, words: str) -> list[str]:
        return [sentence for sentence in self.notices if words in sentence]


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    house = House(tmp_path)
    try:
        yield house
    finally:
        house.close()


def add(node: Node, *names: str, **meta: Any) -> None:
    for name in names:
        node.log.add({"type": name}, meta or None).get(SECONDS)


def types(node: Node) -> list[str]:
    return [event["type"] for event, _ in node.log.each()]


def rows(node: Node, kind: str) -> list[Row]:
    return [Row(shown_as(kind, meta["created"]), meta["time"], event) for event, meta in node.log.each()]


def wait_length(node: Node, length: int) -> None:
    wait_until(lambda: len(types(node)) >= length, lambda: f"{length} events, there are {types(node)}")


def line(node: Node) -> dict[str, Any]:
    (row,) = node.status().get(SECONDS)["clients"]
    return dict(row)


def wait_synchronized(node: Node) -> None:
    wait_until(lambda: (line(node)["state"], line(node)["lag"]) == ("synchronized", 0), lambda: line(node))


def events_of(server: JsPeer) -> list[tuple[Any, str]]:
    """What a @logux/server was sent or added, but for its own control actions."""
    return [(row.created, row.event["type"]) for row in server.log() if not row.event["type"].startswith("logux/")]


def types_of(server: JsPeer) -> list[str]:
    return sorted(kind for _, kind in events_of(server))


# Plain servers


@each
def test_agrees_with_a_plain_server(start_js: StartJs, house: House, kind: str) -> None:
    server = start_js(kind, "server", node_id="server")
    kitchen = house.start("kitchen", upstream=server.listen())
    server.add_many(10, "theirs")
    for n in range(10):
        add(kitchen, f"ours{n}")

    wait_length(kitchen, 20)
    server.wait(length=20)

    assert same(rows(kitchen, kind), theirs(server.log()))
    assert len(types(kitchen)) == 20


@each
def test_goes_on_with_a_plain_server_after_a_restart_of_the_node(start_js: StartJs, house: House, kind: str) -> None:
    server = start_js(kind, "server", node_id="server")
    url = server.listen()
    kitchen = house.start("kitchen", upstream=url)
    server.add_many(3, "theirs")
    add(kitchen, "ours")
    wait_length(kitchen, 4)
    wait_synchronized(kitchen)
    house.stop("kitchen")

    server.add_many(2, "meanwhile")
    kitchen = house.start("kitchen", upstream=url)
    wait_length(kitchen, 6)
    add(kitchen, "after")
    server.wait(length=7)

    assert same(rows(kitchen, kind), theirs(server.log()))
    connects = [message for way, message in server.frames() if way == "in" and message[0] == "connect"]
    assert connects[-1][3] >= 3
    syncs = [message for way, message in server.frames() if way == "in" and message[0] == "sync"]
    assert sum(len(message) // 2 - 1 for message in syncs) == 2


@each
def test_fills_a_plain_server_that_lost_its_log(start_js: StartJs, house: House, kind: str) -> None:
    server = start_js(kind, "server", node_id="server")
    url = server.listen()
    kitchen = house.start("kitchen", upstream=url)
    server.add_many(3, "theirs")
    add(kitchen, "ours")
    wait_length(kitchen, 4)
    wait_synchronized(kitchen)
    server.kill()
    house.stop("kitchen")

    another = start_js(kind, "server", node_id="another")
    another.listen(int(url.rpartition(":")[2]))
    another.add({"type": "new"})
    kitchen = house.start("kitchen", upstream=url)
    wait_length(kitchen, 5)
    another.wait(length=5)

    assert same(rows(kitchen, kind), theirs(another.log()))


@each
def test_drops_what_comes_back_or_is_made_up_in_the_name_of_a_node(start_js: StartJs, house: House, kind: str) -> None:
    server = start_js(kind, "server", node_id="server")
    kitchen = house.start("kitchen", upstream=server.listen())
    wait_synchronized(kitchen)
    made_up = {"id": "1700000000000 study~abcdefgh 0", "reasons": ["t"]}
    if kind == "logux01":
        made_up = {"created": [1700000000000, "study~abcdefgh", 0]}
    if kind == "core12":
        made_up["id"] = "NkxF4-- study~abcdefgh"

    server.add({"type": "forged"}, made_up)
    server.add({"type": "logux/undo", "reason": "error"}, {"reasons": ["t"]} if kind != "logux01" else {})
    server.add({"type": "real"}, {"reasons": ["t"]} if kind != "logux01" else {})
    wait_length(kitchen, 1)

    assert types(kitchen) == ["real"]


@each
def test_loses_and_doubles_nothing_over_links_that_break(start_js: StartJs, house: House, kind: str) -> None:
    server = start_js(kind, "server", node_id="server")
    url = server.listen()
    for start in range(3):
        kitchen = house.start("kitchen", upstream=url)
        wait_until(lambda: line(house.nodes["kitchen"])["state"] != "connecting", house.status)
        for n in range(20):
            add(kitchen, f"ours{start}-{n}")
            server.add({"type": f"theirs{start}-{n}"}, {} if kind == "logux01" else {"reasons": ["t"]})
            if n == 10:
                server.disconnect()
        house.stop("kitchen")

    kitchen = house.start("kitchen", upstream=url)
    wait_length(kitchen, 120)
    server.wait(length=120)

    assert same(rows(kitchen, kind), theirs(server.log()))
    assert len(types(kitchen)) == 120


@each
def test_two_nodes_of_a_mesh_agree_with_one_plain_server(start_js: StartJs, house: House, kind: str) -> None:
    server = start_js(kind, "server", node_id="server")
    url = server.listen()
    kitchen = house.start("kitchen", upstream=url)
    study = house.start("study", peer=kitchen, upstream=url)
    for n in range(10):
        add(kitchen, f"k{n}")
        add(study, f"s{n}")
        add(study, f"c{n}", created=(1_700_000_000_000 + n, "ada:1", 0))
        server.add({"type": f"t{n}"}, {} if kind == "logux01" else {"reasons": ["t"]})

    for node in (kitchen, study):
        wait_length(node, 40)
    server.wait(length=40)

    assert same(rows(kitchen, kind), theirs(server.log()))
    assert same(rows(study, kind), rows(kitchen, kind))
    assert [node.status().get(SECONDS)["conflicts"] for node in (kitchen, study)] == [0, 0]
    assert [len(types(node)) for node in (kitchen, study)] == [40, 40]


# @logux/server


def strict(start_js: StartJs, **options: Any) -> JsPeer:
    server = start_js("server14", users={"10": "secret", "20": "word"}, **options)
    server.listen()
    return server


def test_a_real_server_carries_out_events_of_nodes_and_of_their_clients(start_js: StartJs, house: House) -> None:
    server = strict(start_js)
    kitchen = house.start("kitchen", upstream=server.url, **STRICT)
    wait_synchronized(kitchen)
    here = f"10:{kitchen.node_id}"
    origins = [(5, "ada:1", 0), (5, "ada:1", 7), (5, "ada:1:tab", 7), (5, "ada", 7), (6, "ada:1", 7)]

    add(kitchen, "own")
    for n, created in enumerate(origins):
        add(kitchen, f"e{n}", created=created)
    server.wait(length=6)

    ids = {kind: created for created, kind in events_of(server)}
    tags = {node_id.split(":")[2] for _, node_id, _ in ids.values()}
    assert len(tags) == 1
    here += f":{tags.pop()}"
    own = ids.pop("own")
    assert own[1] == f"{here}:{kitchen.node_id}"
    assert ids == {f"e{n}": (ms, f"{here}:{node_id}", count) for n, (ms, node_id, count) in enumerate(origins)}
    for _ in range(6):
        server.wait_event("processed")
    assert types(kitchen).count("own") == 1
    assert len(types(kitchen)) == 6
    assert not house.told("refused")


def test_a_real_server_sends_what_goes_over_the_channels(start_js: StartJs, house: House) -> None:
    server = strict(start_js)
    kitchen = house.start("kitchen", upstream=server.url, upstream_channels=["all"], **STRICT)
    client = start_js("client23", user_id="20", credentials="word")
    client.connect(server.url)
    client.subscribe("all")
    server.wait_event("report", message="Client was subscribed")
    wait_until(lambda: server.log()[-1].event["type"] == "logux/processed", server.log)

    created = client.add({"type": "milk"}, how="sync")
    server.add({"type": "bread"})
    wait_length(kitchen, 2)
    add(kitchen, "eggs")
    client.wait_event("add", type="eggs")

    assert sorted(types(kitchen)) == ["bread", "eggs", "milk"]
    assert created in [meta["created"] for _, meta in kitchen.log.each()]
    assert types_of(server) == ["bread", "eggs", "milk"]


def test_says_which_channel_a_real_server_refuses(start_js: StartJs, house: House) -> None:
    server = strict(start_js)
    kitchen = house.start("kitchen", upstream=server.url, upstream_channels=["none"], **STRICT)

    wait_until(lambda: house.told("refused the channel none: wrongChannel"), lambda: house.notices)

    add(kitchen, "milk")
    server.wait(length=1)
    assert types(kitchen) == ["milk"]


def test_says_why_a_real_server_undid_an_event(start_js: StartJs, house: House) -> None:
    server = strict(start_js, types=["milk"])
    kitchen = house.start("kitchen", upstream=server.url, **STRICT)

    add(kitchen, "gin", "milk")
    sentence = f"refused the event gin of {kitchen.node_id}: unknownType"
    wait_until(lambda: house.told(sentence), lambda: house.notices)

    server.wait_event("processed", type="milk")
    assert sorted(types(kitchen)) == ["gin", "milk"]


def test_what_came_from_a_real_server_is_not_sent_there_again(start_js: StartJs, house: House) -> None:
    server = strict(start_js)
    kitchen = house.start("kitchen", upstream=server.url, upstream_channels=["all"], **STRICT)
    server.wait_event("report", message="Client was subscribed")
    server.add({"type": "bread"})
    wait_length(kitchen, 1)
    house.stop("kitchen")

    kitchen = house.start("kitchen")
    add(kitchen, "milk")
    study = house.start("study", peer=kitchen, upstream=server.url, **STRICT)
    wait_length(study, 2)
    server.wait(length=2)
    wait_synchronized(study)

    assert types_of(server) == ["bread", "milk"]


def test_other_nodes_of_the_mesh_drop_what_one_of_them_sent_up(start_js: StartJs, house: House) -> None:
    server = strict(start_js)
    kitchen = house.start("kitchen", upstream=server.url, **STRICT)
    study = house.start("study", upstream=server.url, upstream_channels=["all"], **STRICT)
    server.wait_event("report", message="Client was subscribed")

    add(kitchen, "own")
    add(kitchen, "of a client", created=(5, "ada:1", 0))
    server.wait(length=2)
    server.add({"type": "bread"})
    wait_length(study, 1)

    assert types(study) == ["bread"]


def test_two_nodes_of_which_one_has_a_real_server(start_js: StartJs, house: House) -> None:
    server = strict(start_js)
    kitchen = house.start("kitchen", upstream=server.url, upstream_channels=["all"], **STRICT)
    study = house.start("study", peer=kitchen)
    server.wait_event("report", message="Client was subscribed")

    for n in range(5):
        add(kitchen, f"k{n}")
        add(study, f"s{n}")
        server.add({"type": f"t{n}"})
    server.wait(length=15)
    for node in (kitchen, study):
        wait_length(node, 15)

    assert types(kitchen) == types(study)
    assert types_of(server) == sorted(types(kitchen))
    assert len(set(types_of(server))) == 15


def test_a_restarted_node_sends_nothing_twice_to_a_real_server(start_js: StartJs, house: House) -> None:
    server = strict(start_js)
    sent = [f"e{n:02}" for n in range(30)]
    for start in range(0, 30, 10):
        kitchen = house.start("kitchen", upstream=server.url, **STRICT)
        add(kitchen, *sent[start : start + 10])
        house.stop("kitchen")
    house.start("kitchen", upstream=server.url, **STRICT)
    server.wait(length=30)
    wait_synchronized(house.nodes["kitchen"])

    assert types_of(server) == sent


def test_what_a_node_sends_again_after_a_crash_does_not_stop_a_real_server(start_js: StartJs, house: House) -> None:
    server = strict(start_js, keep=True)
    kitchen = house.start("kitchen", upstream=server.url, **STRICT)
    add(kitchen, "milk", "bread")
    server.wait(length=2)
    wait_synchronized(kitchen)
    home = kitchen.home
    house.stop("kitchen")
    with contextlib.closing(sqlite3.connect(home / "log.sqlite")) as store, store:  # as if it had not been written
        assert store.execute("UPDATE cursors SET synced = 1 WHERE synced = 2").rowcount == 1

    add(house.start("kitchen", upstream=server.url, **STRICT), "eggs")
    server.wait(length=4)

    assert types_of(server) == ["bread", "bread", "eggs", "milk"]


@pytest.mark.parametrize("is_killed", [False, True])
def test_a_real_server_that_restarts_misses_nothing(start_js: StartJs, house: House, is_killed: bool) -> None:
    first = strict(start_js)
    kitchen = house.start("kitchen", upstream=first.url, upstream_channels=["all"], **STRICT)
    first.wait_event("report", message="Client was subscribed")
    for n in range(100):
        kitchen.log.add({"type": f"a{n:02}"})
    first.wait(length=5)

    if is_killed:
        first.kill()
    else:
        first.destroy()
        first.quit()
    add(kitchen, *[f"b{n:02}" for n in range(10)])
    second = start_js("server14", users={"10": "secret"})
    second.listen(int(first.url.rpartition(":")[2]))
    second.wait_event("report", message="Client was subscribed")
    second.add({"type": "bread"})
    wait_length(kitchen, 111)
    wait_synchronized(kitchen)
    second.wait_event("add", type="bread")  # the kitchen may have it before the server says so

    seen = carried_out(first) + carried_out(second)
    if is_killed:  # what it had confirmed and not begun with, or begun with and not confirmed
        assert len(set(types(kitchen)) - set(seen)) <= 1
        assert len(seen) - len(set(seen)) <= 1
    else:
        assert sorted(seen) == sorted(types(kitchen))


def carried_out(server: JsPeer) -> list[str]:
    """The same as `types_of`, of a server that may be dead."""
    kinds = [event["type"] for event in list(server.events) if event["event"] == "add"]
    return [kind for kind in kinds if not kind.startswith("logux/")]


def test_starts_anew_with_what_another_server_sends(start_js: StartJs, house: House) -> None:
    first = strict(start_js, keep=True)
    kitchen = house.start("kitchen", upstream=first.url, upstream_channels=["all"], **STRICT)
    first.wait_event("report", message="Client was subscribed")
    for n in range(5):
        first.add({"type": f"t{n}"})
    wait_length(kitchen, 5)
    add(kitchen, "ours")
    first.wait(length=6)
    wait_synchronized(kitchen)
    house.stop("kitchen")
    first.kill()

    second = start_js("server14", users={"10": "secret"}, keep=True, node_id="second")
    second.listen(int(first.url.rpartition(":")[2]))
    second.add({"type": "for user"}, {"users": ["10"]})
    kitchen = house.start("kitchen", upstream=first.url, **STRICT)
    wait_length(kitchen, 7)
    wait_synchronized(kitchen)

    assert "for user" in types(kitchen)
    assert types_of(second) == ["for user"]


# Trouble


def test_runs_without_its_server_and_says_so_once(start_js: StartJs, house: House) -> None:
    server = strict(start_js)
    server.kill()
    kitchen = house.start("kitchen", upstream=server.url, **STRICT)
    add(kitchen, "milk")
    wait_until(lambda: house.told("cannot reach"), lambda: house.notices)

    again = start_js("server14", users={"10": "secret"})
    again.listen(int(server.url.rpartition(":")[2]))
    again.wait(length=1)

    assert len(house.told("cannot reach")) == 1
    assert types_of(again) == ["milk"]


def test_a_wrong_token_is_not_tried_again_until_retry(start_js: StartJs, house: House) -> None:
    server = strict(start_js)
    kitchen = house.start("kitchen", upstream=server.url, **{**STRICT, "upstream_token": "guess"})
    wait_until(lambda: house.told("wrong-credentials"), lambda: house.notices)
    wait_until(lambda: line(kitchen)["state"] == "refused", lambda: line(kitchen))
    (sentence,) = house.told("wrong-credentials")
    server.kill()
    right = start_js("server14", users={"10": "guess"})
    right.listen(int(server.url.rpartition(":")[2]))
    time.sleep(0.7)  # longer than the first delay of a redial
    assert not house.told("is connected")

    kitchen.retry().get(SECONDS)
    wait_synchronized(kitchen)

    assert "check upstream_user= and upstream_token=" in sentence
    assert "mesh retry" in sentence


def test_a_real_server_needs_a_user(start_js: StartJs, house: House) -> None:
    server = strict(start_js, env="production")
    house.start("kitchen", upstream=server.url, upstream_subprotocol=1)

    wait_until(lambda: house.told("wrong-credentials"), lambda: house.notices)


def test_a_wrong_subprotocol_is_told(start_js: StartJs, house: House) -> None:
    server = strict(start_js)
    house.start("kitchen", upstream=server.url, upstream_user="10", upstream_token="secret")

    wait_until(lambda: house.told("check upstream_subprotocol="), lambda: house.notices)


def test_a_server_that_hangs_up_at_once_is_dialled_less_and_less_often(house: House) -> None:
    dials: list[float] = []

    def hang_up(wire: ServerConnection) -> None:
        dials.append(time.monotonic())
        wire.close()

    with serve(hang_up, "127.0.0.1", 0) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        house.start("kitchen", upstream=f"ws://127.0.0.1:{server.socket.getsockname()[1]}")
        wait_until(lambda: len(dials) == 4, lambda: dials)
        house.stop("kitchen")
        server.shutdown()
        thread.join()

    first, second, third = (later - before for before, later in itertools.pairwise(dials))
    assert first < second < third
    assert len(house.told("it hung up before it let us in")) == 1
