"""Real nodes in one process, with real sockets on the loopback interface and homes on disk."""

from __future__ import annotations

import asyncio
import itertools
import json
import socket
import threading
from pathlib import Path
from typing import Any

import pykka
import pytest

from mesh.actors.log_keeper import LogKeeper
from mesh.actors.node_supervisor import NodeSupervisor
from mesh.errors import MeshError
from mesh.node import Node
from mesh.settings.paths import SOCKET_FILE
from peers.codec.run_messages import Pieces
from peers.roles.run_peer import RunPeerSync
from peers.stores.store import StoreError
from tests.support.actor_loop import fail
from tests.support.street import SECONDS, Street, at, free_port, types, wait_until


def peers(node: Node) -> dict[str, Any]:
    return {row["node_id"]: row for row in node.status().get(SECONDS)["peers"]}


def sessions(node: Node) -> list[tuple[str | None, str]]:
    return [(row["other_node_id"], row["state"]) for row in node.status().get(SECONDS)["sessions"]]


# One node


def test_a_node_from_a_plain_thread(tmp_path: Path) -> None:
    with Node("kitchen", home=tmp_path, listen="127.0.0.1:0", open=True, mdns=False) as node:
        meta = node.log.add({"type": "milk"}).get()
        assert meta is not None
        assert (meta["added"], meta["created"][1]) == (1, node.node_id)
        assert [(event, meta["added"]) for event, meta in node.log.each()] == [({"type": "milk"}, 1)]
        assert node.node_id.startswith("kitchen~")


def test_a_node_on_a_loop_of_the_application(tmp_path: Path) -> None:
    async def main() -> list[str]:
        async with Node("kitchen", home=tmp_path, listen="127.0.0.1:0", open=True, mdns=False) as node:
            await node.log.add({"type": "milk"})
            return [event["type"] async for event, _ in node.log.each()]

    assert asyncio.run(main()) == ["milk"]
    assert pykka.ActorRegistry.get_all() == []


def test_a_result_is_awaited_on_a_loop_of_another_thread_and_refused_where_its_own_loop_stands_still(
    tmp_path: Path,
) -> None:
    async def add(node: Node) -> Any:
        return await node.log.add({"type": "milk"})

    with Node("kitchen", home=tmp_path / "kitchen", listen="127.0.0.1:0", open=True, mdns=False) as node:
        assert asyncio.run(add(node))["added"] == 1
    loop, study = asyncio.new_event_loop(), Node("study", home=tmp_path / "study", open=True, mdns=False)
    loop.run_until_complete(study.begin())
    try:
        with pytest.raises(RuntimeError, match=r"would wait for ever.*await it on its own loop"):
            asyncio.run(asyncio.wait_for(add(study), 10))
    finally:
        loop.run_until_complete(study.end())
        loop.close()


def test_ending_on_a_loop_leaves_no_task(tmp_path: Path) -> None:
    async def main() -> list[str]:
        async with (
            Node("kitchen", home=tmp_path / "1", listen="127.0.0.1:0", open=True, mdns=False) as kitchen,
            Node(
                "study", home=tmp_path / "2", listen="127.0.0.1:0", open=True, peers=[at(kitchen)], mdns=False
            ) as study,
        ):
            async with asyncio.timeout(SECONDS):
                while (await study.status())["peers"] == []:
                    await asyncio.sleep(0.005)
        return [str(task) for task in asyncio.all_tasks() if task is not asyncio.current_task()]

    assert asyncio.run(main()) == []


class CountingLoop(asyncio.SelectorEventLoop):
    """Knows its timers."""

    def __init__(self) -> None:
        super().__init__()
        self.timers: list[asyncio.TimerHandle] = []

    def call_at(self, when: float, *args: Any, **options: Any) -> asyncio.TimerHandle:
        self.timers.append(super().call_at(when, *args, **options))
        return self.timers[-1]

    def waiting(self) -> list[float]:
        """Seconds until each timer that is set."""
        return [
            timer.when() - self.time() for timer in self.timers if not timer.cancelled() and timer.when() > self.time()
        ]


def test_ending_on_a_loop_leaves_no_timer(tmp_path: Path) -> None:
    async def main() -> None:
        async with Node("kitchen", home=tmp_path / "1", listen="127.0.0.1:0", open=True, mdns=False) as kitchen:
            async with Node(
                "study", home=tmp_path / "2", listen="127.0.0.1:0", open=True, peers=[at(kitchen)], mdns=False
            ) as study:
                async with asyncio.timeout(SECONDS):
                    while (await study.status())["peers"] == []:
                        await asyncio.sleep(0.005)
            await kitchen.log.add({"type": "milk"})

    loop = CountingLoop()
    with asyncio.Runner(loop_factory=lambda: loop) as runner:
        runner.run(main())

        assert loop.waiting() == []


def test_events_are_walked_in_both_orders(street: Street) -> None:
    node = street.start("kitchen")
    for name, time_ms in (("late", 3000), ("early", 1000), ("middle", 2000)):
        node.log.add({"type": name}, {"time": time_ms}).get(SECONDS)

    assert types(node) == ["early", "middle", "late"]
    assert [event["type"] for event, _ in node.log.each(order="added")] == ["late", "early", "middle"]
    assert [event["type"] for event, _ in node.log.each(order="added", since=1)] == ["early", "middle"]


def test_listeners_are_called_on_the_loop(street: Street) -> None:
    node = street.start("kitchen")
    heard: list[tuple[str, int, str]] = []
    undo = node.log.on("event", lambda e, m: heard.append((e["type"], m["added"], threading.current_thread().name)))

    node.log.add({"type": "milk"}).get(SECONDS)
    undo()
    node.log.add({"type": "bread"}).get(SECONDS)

    assert heard == [("milk", 1, "peermesh-loop")]


def test_a_listener_to_changes_that_raises_does_not_stop_the_node(street: Street) -> None:
    kitchen = street.start("kitchen")
    study = street.make("study", peers=[at(kitchen)])
    undo = study.on("change", lambda _: 1 / 0)
    study.start()
    street.nodes.append(study)
    kitchen.log.add({"type": "milk"}).get(SECONDS)

    street.converge(kitchen, study, events=1)
    undo()


def test_a_home_runs_in_one_node_at_a_time(street: Street) -> None:
    street.start("kitchen")

    with pytest.raises(MeshError, match=r"a node runs in .* already"):
        street.make("again", home=street.path / "kitchen").start()


@pytest.mark.parametrize("turns", [0, 3, 10])
def test_an_end_during_the_start_leaves_nothing_open(tmp_path: Path, turns: int) -> None:
    async def end_early() -> None:
        node = Node("kitchen", home=tmp_path, listen="127.0.0.1:0", open=True, mdns=False)
        starting = asyncio.create_task(node.begin())
        for _ in range(turns):
            await asyncio.sleep(0)
        if turns:
            await node.end()
            with pytest.raises(MeshError):
                await starting
        else:
            await starting
            await node.end()

    asyncio.run(end_early())

    assert not (tmp_path / SOCKET_FILE).exists()
    assert pykka.ActorRegistry.get_all() == []


def test_a_second_start_fails_and_the_node_goes_on(street: Street) -> None:
    node = street.start("kitchen")

    with pytest.raises(MeshError, match="runs already"):
        node.start()

    assert node.log.add({"type": "milk"}).get(SECONDS) is not None
    node.stop()  # it still has its own thread; the street checks that none is left


def test_a_port_in_use_gives_a_sentence_and_leaves_nothing_behind(street: Street) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        node = street.make("kitchen", port=port)

        with pytest.raises(
            MeshError, match=rf"^127\.0\.0\.1:{port} is in use on this machine: .* listen=.127\.0\.0\.1:PORT.$"
        ):
            node.start()

        assert not node.home.exists()  # a mesh that was founded there would stay
        street.start("kitchen").stop()
        with pytest.raises(MeshError, match="is in use on this machine"):
            node.start()

    assert pykka.ActorRegistry.get_all() == []
    street.start("kitchen", port=port)  # the home is free again


def test_a_log_that_cannot_be_read_gives_a_sentence_and_leaves_nothing_behind(street: Street) -> None:
    (street.path / "kitchen").mkdir()
    (street.path / "kitchen" / "log.sqlite").write_bytes(b"this is no database" * 100)

    with pytest.raises(StoreError, match=r"log\.sqlite"):
        street.make("kitchen").start()

    assert pykka.ActorRegistry.get_all() == []


def test_a_stopped_node_says_so(street: Street) -> None:
    node = street.start("kitchen")
    node.stop()
    node.stop()

    with pytest.raises(MeshError, match="not running"):
        node.status().get(SECONDS)
    with pytest.raises(StoreError, match="not open"):
        node.log.add({"type": "milk"}).get(SECONDS)
    with pytest.raises(MeshError, match="not running"):
        _ = node.node_id


# Two nodes


def test_two_nodes_converge_both_ways(street: Street) -> None:
    kitchen = street.start("kitchen")
    kitchen.log.add({"type": "before"}).get(SECONDS)
    study = street.start("study", peers=[at(kitchen)])
    study.log.add({"type": "ink"}).get(SECONDS)
    kitchen.log.add({"type": "milk"}).get(SECONDS)

    street.converge(kitchen, study, events=3)
    assert street.kinds("study")[:2] == ["connected", "synchronized"]


def test_two_nodes_that_dial_each_other_end_with_one_connection(street: Street) -> None:
    ports = [free_port(), free_port()]
    pair = [
        street.start(name, port=own, peers=[f"127.0.0.1:{other}"])
        for name, own, other in (("kitchen", ports[0], ports[1]), ("study", ports[1], ports[0]))
    ]

    def is_paired() -> bool:
        return [sessions(node) for node in pair] == [[(other.node_id, "synchronized")] for other in reversed(pair)]

    wait_until(is_paired, "one session each, also after the dial that came too early is tried again")
    pair[0].log.add({"type": "milk"}).get(SECONDS)
    street.converge(*pair, events=1)

    assert sorted(row["dialled"] for node in pair for row in node.status().get(SECONDS)["sessions"]) == [False, True]
    assert all(street.kinds(name).count("connected") == 1 for name in ("kitchen", "study"))
    assert "disconnected" not in street.kinds("kitchen") + street.kinds("study")


def test_a_node_of_another_mesh_is_refused_and_shown(street: Street) -> None:
    kitchen = street.start("kitchen", mesh="home")
    study = street.start("study", mesh="garden", peers=[at(kitchen)])
    study.log.add({"type": "secret"}).get(SECONDS)

    wait_until(lambda: "refused" in street.kinds("study") and "refused" in street.kinds("kitchen"), "refusals")

    assert all(
        any("belongs to another mesh: start this node with mesh= of that mesh" in notice.sentence for notice in notices)
        for notices in street.notices.values()
    )
    assert [row["why"].split(":")[0] for row in study.status().get(SECONDS)["refused"]] == ["belongs to another mesh"]
    wait_until(lambda: sessions(study) == sessions(kitchen) == [], "no sessions")
    assert types(kitchen) == []


def test_a_node_that_has_itself_as_a_peer_notices(street: Street) -> None:
    port = free_port()
    node = street.start("kitchen", port=port, peers=[f"127.0.0.1:{port}"])

    wait_until(lambda: "refused" in street.kinds("kitchen"), "it notices")

    address = f"127.0.0.1:{port}"
    assert [n.sentence for n in street.notices["kitchen"]] == [f"{address} is this node itself: leave it out of peers="]
    wait_until(lambda: sessions(node) == [], "it drops it")
    status = node.status().get(SECONDS)
    assert [row["why"] for row in status["refused"]] == ["is this node itself: leave it out of peers="]
    assert status["discovery"]["why"] == "this node was started without it (mdns=False)"
    assert peers(node) == {}


def test_a_node_that_dials_a_copy_of_its_own_home_says_so(street: Street) -> None:
    kitchen = street.start("kitchen")
    copy = street.path / "copy"
    copy.mkdir()
    for name in ("node.key", "node.json"):
        copy.joinpath(name).write_bytes((street.path / "kitchen" / name).read_bytes())
    facts = json.loads((copy / "node.json").read_text())
    (copy / "node.json").write_text(json.dumps({**facts, "port": 0}))

    other = street.start("kitchen", home=copy, peers=[at(kitchen)])

    wait_until(lambda: street.kinds("kitchen").count("cloned") >= 1, "the dialler notices")
    assert "the one that is left goes on by itself" in street.notices["kitchen"][0].sentence
    assert other.status().get(SECONDS)["refused"] == []  # it is dialled again: another node may answer there


def test_a_goodbye_is_seen_and_the_other_comes_back(street: Street) -> None:
    kitchen = street.start("kitchen")
    study = street.start("study", peers=[at(kitchen)])
    wait_until(lambda: "synchronized" in street.kinds("kitchen"), "they met")

    study.stop()
    wait_until(lambda: "left" in street.kinds("kitchen"), "the goodbye")
    again = street.start("study", peers=[at(kitchen)])
    kitchen.log.add({"type": "milk"}).get(SECONDS)

    street.converge(kitchen, again, events=1)
    assert "disconnected" not in street.kinds("kitchen")


# A line


class Line:
    """a - b - c - d: each has the one before as its peer; `write` adds one event everywhere."""

    def __init__(self, street: Street) -> None:
        self.street = street
        self.ports = {name: free_port() for name in "abcd"}
        self.nodes = {name: self.start(name) for name in "abcd"}
        self.events = 0

    def start(self, name: str) -> Node:
        before = {"b": "a", "c": "b", "d": "c"}.get(name)
        known = [f"127.0.0.1:{self.ports[before]}"] if before else []
        return self.street.start(name, port=self.ports[name], peers=known)

    def write(self) -> None:
        for name, node in self.nodes.items():
            node.log.add({"type": f"{name}{self.events}"}).get(SECONDS)
            self.events += 1

    def converge(self) -> None:
        self.street.converge(*self.nodes.values(), events=self.events)

    def remove(self, name: str, pattern: str) -> None:
        for path in (self.street.path / name).glob(pattern):
            path.unlink()


@pytest.mark.parametrize("deleted", ["nothing", "log.sqlite*", "*"])
def test_a_line_converges_also_when_one_in_the_middle_lost_something(street: Street, deleted: str) -> None:
    line = Line(street)
    line.write()
    line.converge()
    before = line.nodes["b"].node_id

    line.nodes.pop("b").stop()
    line.write()
    line.remove("b", deleted)
    line.nodes["b"] = line.start("b")
    line.write()

    line.converge()
    assert (line.nodes["b"].node_id == before) is (deleted != "*")


# Failures


class Breaks(RunPeerSync):
    """Raises at the first events that come, as often as it is told."""

    left = 0

    def dispatch(self, message: Any) -> None:
        if isinstance(message, Pieces) and Breaks.left > 0:
            Breaks.left -= 1
            raise RuntimeError("a bug")
        super().dispatch(message)


def test_a_session_that_raises_comes_back_and_its_siblings_see_nothing(street: Street) -> None:
    attic = street.start("attic")
    kitchen = street.start("kitchen", peers=[at(attic)], role=Breaks)
    study = street.start("study", peers=[at(kitchen)])
    wait_until(lambda: "synchronized" in street.kinds("study") and "synchronized" in street.kinds("attic"), "they met")
    Breaks.left = 3

    study.log.add({"type": "ink"}).get(SECONDS)
    street.converge(attic, kitchen, study, events=1)

    assert Breaks.left == 0
    assert street.kinds("kitchen").count("restarted") == 1  # a line a minute
    assert street.kinds("attic") == ["connected", "synchronized"]
    assert peers(kitchen)[study.node_id]["restarts"] == 3


def test_a_session_that_always_raises_is_paused_until_a_retry(street: Street) -> None:
    kitchen = street.start("kitchen", role=Breaks)
    study = street.start("study", peers=[at(kitchen)])
    Breaks.left = 1_000_000
    study.log.add({"type": "ink"}).get(SECONDS)

    kitchen_says = street.notices["kitchen"]
    wait_until(lambda: "paused" in street.kinds("kitchen"), "it is paused")
    assert peers(kitchen)[study.node_id]["state"] == "paused"
    (paused,) = kitchen.status().get(SECONDS)["paused"]
    assert (paused["what"], paused["why"]) == (study.node_id, "RuntimeError: a bug")
    assert "mesh retry" in next(notice.sentence for notice in kitchen_says if notice.kind == "paused")
    before = street.kinds("study").count("connected")
    wait_until(lambda: any("paused" in notice.sentence for notice in street.notices["study"]), "the other is told")
    assert street.kinds("study").count("connected") == before

    Breaks.left = 0
    kitchen.retry().get(SECONDS)
    study.retry().get(SECONDS)

    street.converge(kitchen, study, events=1)


def test_a_failed_keeper_closes_the_sessions_and_all_synchronize_again(street: Street) -> None:
    kitchen = street.start("kitchen")
    heard: list[str] = []
    kitchen.log.on("event", lambda event, _meta: heard.append(event["type"]))
    study = street.start("study", peers=[at(kitchen)])
    kitchen.log.add({"type": "milk"}).get(SECONDS)
    street.converge(kitchen, study, events=1)

    keeper = next(ref for ref in pykka.ActorRegistry.get_by_class(LogKeeper))  # the one that was started first
    keeper.tell_to(fail)
    wait_until(lambda: any("the log failed and restarts" in n.sentence for n in street.notices["kitchen"]), "restart")
    study.log.add({"type": "ink"}).get(SECONDS)

    def is_heard() -> bool:
        return heard == ["milk", "ink"]

    wait_until(is_heard, "the listener hears of new events")
    street.converge(kitchen, study, events=2)
    assert "paused" not in street.kinds("kitchen")
    assert not any("session" in n.sentence and n.kind == "restarted" for n in street.notices["kitchen"])


def test_a_node_whose_supervisor_failed_says_so_and_stops_without_leaving_anything(street: Street) -> None:
    kitchen = street.start("kitchen")
    street.start("study", peers=[at(kitchen)])
    wait_until(lambda: "synchronized" in street.kinds("kitchen"), "they met")

    supervisor = next(iter(pykka.ActorRegistry.get_by_class(NodeSupervisor)))
    supervisor.tell_to(fail)
    wait_until(lambda: "failed" in street.kinds("kitchen"), "it says so")
    kitchen.stop()

    street.start("kitchen")


def test_under_load_from_many_threads_nothing_is_lost_or_doubled(street: Street) -> None:
    kitchen = street.start("kitchen")
    study = street.start("study", peers=[at(kitchen)])

    def write(node: Node, name: str) -> None:
        laters = [node.log.add({"type": f"{name}-{number}"}) for number in range(200)]
        for later in laters:
            later.get(SECONDS)

    threads = [
        threading.Thread(target=write, args=(node, f"{node.port}-{number}"))
        for node, number in itertools.product((kitchen, study), range(2))
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    street.converge(kitchen, study, events=800)
    assert len(set(types(kitchen))) == 800
