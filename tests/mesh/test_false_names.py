"""A stranger that greets the nodes of a house under the ids of others, and speaks nonsense: on loopback, with real sockets."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial

import pykka
import pytest
from websockets.sync.client import ClientConnection, connect

from mesh.actors.peer_session import PeerSession
from mesh.membership.dialling.refusals import ANOTHER_MESH
from mesh.node import Node
from peers.codec.run_messages import WIRE, Greeting, RunConnect, RunOptions
from peers.codec.runs import RunProtocol
from peers.events.ends import Ends
from peers.events.reconcile import Reconciliation
from peers.limits import Limits
from tests.support.street import SECONDS, Street, at, wait_until

OPEN = Limits(connects_per_second=1_000, connects_of_address_per_second=1_000, strangers_of_address=1_000)
"""The doors let all greetings in."""


def house(street: Street) -> list[Node]:
    """Three nodes, each connected with both others."""
    kitchen = street.start("kitchen", limits=OPEN)
    study = street.start("study", peers=[at(kitchen)], limits=OPEN)
    attic = street.start("attic", peers=[at(kitchen), at(study)], limits=OPEN)
    nodes = [kitchen, study, attic]
    wait_until(lambda: all(len(links(node)) == 2 for node in nodes), "all three are connected")
    return nodes


def links(node: Node) -> list[str]:
    """The nodes with which a node is synchronized, one for each link."""
    rows = node.status().get(SECONDS)["sessions"]
    return sorted(row["other_node_id"] for row in rows if row["state"] == "synchronized")


@contextmanager
def greeting(to: Node, node_id: str, boot: str, mesh: str = "home") -> Iterator[ClientConnection]:
    """A connection that greets as the run `boot` of a node."""
    known = Reconciliation(Ends({}).snapshot(), [], is_dialling=True)
    hello = Greeting(boot=boot, connection=f"c-{boot}", held=(), newest=known.newest, rest=known.rest)
    frame = RunProtocol().encode(RunConnect(WIRE, node_id, options=RunOptions(token=mesh, runs=hello)))
    with connect(f"ws://{at(to)}", proxy=None, compression=None) as wire:
        wire.send(frame, text=True)
        yield wire


@pytest.mark.parametrize("stays", [True, False], ids=["and stays", "and leaves"])
def test_who_greets_under_the_ids_of_others_with_ever_other_runs_parts_no_two_nodes(
    street: Street, stays: bool
) -> None:
    nodes = house(street)

    with ExitStack() as wires:
        for number in range(7):
            for to in nodes:
                for other in nodes:
                    if other is not to:
                        wires.enter_context(greeting(to, other.node_id, f"run{number % 2}"))
                        if not stays:
                            wires.close()
        for number, node in enumerate(nodes):
            node.log.add({"type": f"event {number}"}).get(SECONDS)
        street.converge(*nodes, events=3)
        for name, node in zip(("kitchen", "study", "attic"), nodes, strict=True):
            wait_until(partial(are_links_whole, node, nodes), "both links are there, and no other one")
            kinds = street.kinds(name)
            assert kinds.count("cloned") <= 1
            assert not {"disconnected", "paused", "restarted"} & {*kinds}


def are_links_whole(node: Node, nodes: list[Node]) -> bool:
    return links(node) == sorted(other.node_id for other in nodes if other is not node)


def test_whatever_a_stranger_says_again_and_again_is_a_line_of_its_kind_and_a_count(
    street: Street, caplog: pytest.LogCaptureFixture
) -> None:
    kitchen = street.start("kitchen", limits=OPEN, clients="127.0.0.1:0")
    evil = "x~\x9b2J"  # which no node id may have

    for number in range(30):
        with greeting(kitchen, f"stranger{number}", "run", mesh="another") as wire:
            until_closed(wire)
        with greeting(kitchen, evil, f"run{number}") as wire:
            until_closed(wire)
        with connect(f"ws://{at(kitchen)}", proxy=None, compression=None) as wire:
            wire.send(f"\x1b[31m\u202e{number}\n")
            until_closed(wire)
        with connect(f"ws://127.0.0.1:{kitchen.clients_port}", proxy=None, compression=None) as wire:
            wire.send(f'["connect",5,"ada{number}:1:a",0,{{"token":"guess"}}]')
            next(iter(wire), None)
    wait_until(partial(are_counted, kitchen, 29), "all are counted")

    others = [notice for notice in street.notices["kitchen"] if notice.kind in {"note", "refused"}]
    assert sorted((notice.kind, notice.cause) for notice in others) == [
        ("note", "turned away"),
        ("note", "wrong-format"),
        ("refused", ANOTHER_MESH),
    ]
    assert len(caplog.records) < 10
    assert all(message.isprintable() for message in caplog.messages)
    wait_until(lambda: pykka.ActorRegistry.get_by_class(PeerSession) == [], "no session is left")


def until_closed(wire: ClientConnection) -> None:
    """Who leaves before a busy node has read the greeting is not counted."""
    for _ in wire:
        pass


def are_counted(node: Node, each: int) -> bool:
    rows = node.status().get(SECONDS)["limits"]
    return sum(row["count"] for row in rows if row["limit"] == "notice_seconds") >= 4 * each
