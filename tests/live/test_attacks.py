"""A hostile host at the doors of a trio of real nodes: every attack once, and what the nodes have, say and keep afterwards."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from mesh_process import MeshNode, wait_until

from mesh.bench import MIB
from mesh.bench.attacks.catalogue import ATTACKS
from mesh.bench.attacks.clients import client_token
from mesh.bench.attacks.host import Deeds, HostileHost, HostileTarget
from mesh.bench.attacks.member import HostileIdentity
from mesh.bench.attacks.members import WRITTEN_AT_ONCE
from mesh.bench.attacks.raw_socket import Opcode, frame
from mesh.bench.attacks.strangers import nested
from mesh.bench.node_process import NodeProcess
from peers.protocol.sync import WINDOW

ATTACK_SECONDS = 0.5
MAX_LINES = 12
"""Of output for one attack: one for each cause."""
MAX_CHANGES = 200
"""Of output for one attack: that nodes came, and went."""
CHANGES = ("connected to", "synchronized with", "lost the connection to")
PEAK_BYTES = 32 * MIB
"""By which a node's memory grows in an attack."""
GROWTH_BYTES = 16 * MIB
"""By which it has grown after an attack."""
ALL_GROWTH_BYTES = 40 * MIB
"""By which it has grown after all attacks: some bring events."""
WRITERS = {"known", "epochs", "writer", "client-writer", "client-known"}
"""Attacks of a member or a client that writes events, which are taken as those of any other."""
DIAL_SECONDS = 1.0
EVENTS_PER_SECOND, EVENTS_AT_ONCE = 500, 1_000
BYTES_OF_FRAME = 1024 * 1024


@dataclass
class Trio:
    """Three nodes that are all connected; the first one is attacked."""

    nodes: list[NodeProcess]
    token: str
    """Of a client of the first one."""
    added: int = 0
    junk: int = 0
    rss: int = field(init=False)

    def __post_init__(self) -> None:
        self.rss = self.usage["rss"]

    @property
    def target(self) -> HostileTarget:
        nodes = self.nodes
        return HostileTarget(
            tuple(n.address for n in nodes), tuple(n.node_id for n in nodes), nodes[0].clients, self.token
        )

    @property
    def usage(self) -> dict[str, Any]:
        return self.nodes[0].ask("usage")

    def attacked_by(self, name: str) -> Deeds:
        return attack(self.target, ATTACKS[name])

    def agree(self) -> dict[str, Any]:
        """Each adds an event, and all have all. What their logs have."""
        for node in self.nodes:
            node.ask("add", events=1, batch=1)
        self.added += len(self.nodes)
        for node in self.nodes:
            node.tell("meet", peers=len(self.nodes) - 1)
        for node in self.nodes:
            node.answer()
        # What a client had sent before its end may still come for a second.
        wait_until(lambda: len({node.ask("log")["digest"] for node in self.nodes}) == 1, 10, "equal logs")
        log: dict[str, Any] = self.nodes[0].ask("log")
        return log

    def said(self, count: int) -> list[str]:
        """The last lines of output of the attacked node."""
        lines: list[str] = self.nodes[0].ask("said")["lines"]
        return lines[len(lines) - count :]

    def lost(self) -> list[str]:
        """The lines about links between the three that were lost."""
        ids = [node.node_id for node in self.nodes]
        return [
            line
            for node in self.nodes
            for line in node.ask("said")["lines"]
            if "lost the connection" in line and any(node_id in line for node_id in ids)
        ]


def target_of(node: NodeProcess) -> HostileTarget:
    return HostileTarget((node.address,), (node.node_id,), node.clients)


def attack(target: HostileTarget, work: Callable[[HostileHost], Any], seconds: float = ATTACK_SECONDS) -> Deeds:
    return asyncio.run(HostileHost(target, seconds).run(work))


@pytest.fixture(scope="module")
def trio(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Trio]:
    folder = tmp_path_factory.mktemp("trio")
    with ExitStack() as stack:
        nodes: list[NodeProcess] = []
        for name in ("kitchen", "study", "attic"):
            others = [node.address for node in nodes]
            nodes.append(stack.enter_context(NodeProcess(folder / name, name, *others, clients="127.0.0.1:0")))
        trio = Trio(nodes, client_token(folder / "kitchen"))
        trio.agree()
        yield trio


@pytest.mark.parametrize("name", ATTACKS)
def test_after_an_attack_the_honest_nodes_are_connected_and_agree(trio: Trio, name: str) -> None:
    trio.nodes[0].ask("forget_peak")
    before, lost = trio.usage, trio.lost()

    deeds = trio.attacked_by(name)

    log = trio.agree()
    after = trio.usage
    assert deeds.opened > 0
    assert log["types"].get("reading") == trio.added
    junk = log["types"].get("junk", 0)
    assert junk == trio.junk or name in WRITERS
    trio.junk = junk
    assert log["types"].keys() <= {"reading", "junk"}
    assert trio.lost() == lost
    said = trio.said(after["lines"] - before["lines"])
    assert len(said) <= MAX_CHANGES
    assert len([line for line in said if not line.startswith(CHANGES)]) <= MAX_LINES, said
    assert after["peak_rss"] <= before["rss"] + PEAK_BYTES
    assert after["rss"] <= before["rss"] + GROWTH_BYTES
    assert set(deeds.statuses) <= {403, 503}


def test_a_member_dials_within_a_second_while_silent_connections_fill_the_door(trio: Trio) -> None:
    seconds: list[float] = []

    async def dial_meanwhile(hostile: HostileHost) -> None:
        silent = asyncio.create_task(ATTACKS["silent"](hostile))
        await asyncio.sleep(ATTACK_SECONDS / 2)
        member = HostileHost(replace(trio.target, source="127.0.0.1"), DIAL_SECONDS)
        deeds = await member.run(dial)
        seconds.append(deeds.ended - deeds.began)
        silent.cancel()

    async def dial(member: HostileHost) -> None:
        await member.member(identity=HostileIdentity(0))

    attack(trio.target, dial_meanwhile, seconds=5)

    assert seconds[0] < DIAL_SECONDS


def test_after_all_attacks_a_node_has_little_more_memory_than_before(trio: Trio) -> None:
    assert trio.usage["rss"] <= trio.rss + ALL_GROWTH_BYTES


@pytest.fixture(scope="module")
def kitchen(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NodeProcess]:
    with NodeProcess(tmp_path_factory.mktemp("alone") / "kitchen", "kitchen", clients="127.0.0.1:0") as node:
        attack(target_of(node), lambda host: host.member(), seconds=0.2)  # what is loaded with the first session
        yield node


@pytest.mark.parametrize(
    "text",
    [
        frame(b"x" * BYTES_OF_FRAME),
        frame(nested(BYTES_OF_FRAME)),
        frame(b"[" * BYTES_OF_FRAME),
        frame(nested(BYTES_OF_FRAME), is_compressed=True),
        frame(b"x" * BYTES_OF_FRAME, Opcode.BINARY),
        frame(b"", announced=2**40),
    ],
    ids=["long", "nested", "deep", "compressed", "binary", "endless"],
)
def test_one_bad_frame_of_a_member_takes_twice_its_size_at_most(kitchen: NodeProcess, text: bytes) -> None:
    async def send(host: HostileHost) -> None:
        member = await host.member()
        await member.socket.send(text)
        await host.hold()

    grown = []
    for _ in range(2):  # what the memory of the process looks like before differs by the size of a frame
        kitchen.ask("forget_peak")
        before = kitchen.ask("usage")
        attack(target_of(kitchen), send)
        grown.append(kitchen.ask("usage")["peak_rss"] - before["rss"])

    assert min(grown) <= 2 * BYTES_OF_FRAME + MIB // 2
    assert kitchen.ask("status")["sessions"] == []


def test_a_member_that_writes_without_end_is_read_slowly_and_others_are_not(tmp_path: Path) -> None:
    limits = {"events_per_second": EVENTS_PER_SECOND, "events_at_once": EVENTS_AT_ONCE}
    with (
        NodeProcess(tmp_path / "kitchen", "kitchen", limits=limits) as kitchen,
        NodeProcess(tmp_path / "study", "study", kitchen.address) as study,
    ):
        study.ask("meet", peers=1)
        deeds = attack(target_of(kitchen), ATTACKS["writer"], seconds=2 * ATTACK_SECONDS)

        study.ask("add", events=1, batch=1)
        study.ask("meet", peers=1)

        types = kitchen.ask("log")["types"]
        assert types["reading"] == 1
        most = EVENTS_AT_ONCE + EVENTS_PER_SECOND * 2 * ATTACK_SECONDS + (WINDOW + 1) * WRITTEN_AT_ONCE
        assert 0 < types["junk"] <= most
        assert deeds.sent_bytes > 0
        assert "events_per_second" in {row["limit"] for row in kitchen.ask("status")["limits"]}


def test_on_a_disk_that_is_nearly_full_a_node_takes_nothing_of_others_and_writes_itself(tmp_path: Path) -> None:
    with NodeProcess(tmp_path / "kitchen", "kitchen", limits={"disk_share_for_others": 1e-9}) as kitchen:
        attack(target_of(kitchen), ATTACKS["writer"])

        kitchen.ask("add", events=1, batch=1)

        assert kitchen.ask("log")["types"] == {"reading": 1}


def test_text_of_a_hostile_host_controls_no_terminal(tmp_path: Path) -> None:
    printed = tmp_path / "printed"
    node = MeshNode(tmp_path / "kitchen")
    with printed.open("wb") as out:
        node.process = node.spawn(
            "up", "--open", "--no-mdns", "--listen", "127.0.0.1:0", "--clients", "127.0.0.1:0", stdout=out
        )
    try:
        wait_until(lambda: b"is up in mesh" in printed.read_bytes(), 30, "it is up")
        wait_until(lambda: b"page of this node" in printed.read_bytes(), 10, "its page is there")
        status = node.status()
        (clients,) = [words for words in printed.read_text().split() if words.startswith("http://")]
        address = f"127.0.0.1:{status['port']}"
        attack(HostileTarget((address,), (status["node_id"],), clients.split("/")[2]), ATTACKS["escapes"])
        shown = node.ask("status") + node.ask("peers") + printed.read_text()
    finally:
        node.process.terminate()
        node.process.wait(10)

    assert "root" in shown  # its text is shown
    assert all(letter.isprintable() or letter == "\n" for letter in shown)
    assert "\nall is lost" not in shown
