"""Where a node listens: at which addresses and port, and the notices about it."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

import pykka
import pytest

from mesh.actors.listener import ListenAddress, Listener
from mesh.actors.runtime.mailbox import Runtime
from mesh.errors import MeshError
from mesh.lab.simulation.clock import RoomClock
from mesh.lab.simulation.network import SimNetwork
from mesh.lab.simulation.virtual_loop import VirtualLoop
from mesh.membership.actions import Notice
from mesh.node import Node
from mesh.settings.home import Home
from mesh.settings.ports import FIRST_EPHEMERAL, PORT_COUNT, TRIES, choose_ports, first_ephemeral, ports_instead
from peers.transport.port import Listening
from tests.support.actor_loop import fail, wait_until

# Which ports are tried.


@pytest.mark.parametrize(("first", "lowest"), [(32_768, 20_768), (49_152, 37_152), (10_000, 1_024)])
def test_a_new_node_takes_a_port_below_the_ephemeral_ones(first: int, lowest: int) -> None:
    chosen = [port for seed in range(500) for port in choose_ports(Random(seed), first)]

    assert lowest <= min(chosen) < lowest + 1_000
    assert first - 1_000 < max(chosen) < first


def test_the_choice_is_that_of_the_seed() -> None:
    first, again, other = (choose_ports(Random(seed), 32_768) for seed in (7, 7, 8))

    assert first == again != other
    assert len(set(first)) == len(first) == TRIES


@pytest.mark.parametrize("first", [0, 1, 1_024, 1_030])
def test_where_all_ports_are_ephemeral_it_takes_one_that_usually_is_not(first: int) -> None:
    assert FIRST_EPHEMERAL - PORT_COUNT <= choose_ports(Random(1), first)[0] < FIRST_EPHEMERAL


@pytest.mark.parametrize("kept", [4_000, 20_768, 25_000, 32_767, 41_233])
def test_what_is_tried_instead_of_a_kept_port_is_the_same_each_time(kept: int) -> None:
    instead = ports_instead(kept, 32_768)

    assert instead == ports_instead(kept, 32_768)
    assert kept not in instead
    assert all(20_768 <= port < 32_768 for port in instead)


def test_reads_where_the_ephemeral_ports_begin(tmp_path: Path) -> None:
    file = tmp_path / "range"
    file.write_text("15000\t60999\n")

    assert first_ephemeral(file) == 15_000
    file.write_text("")
    assert first_ephemeral(file) == first_ephemeral(tmp_path / "missing") == FIRST_EPHEMERAL


# How a door is opened, in virtual time.


class Attic:
    """A room of the lab with a listener; other doors of the room are other programs."""

    def __init__(self) -> None:
        self.loop = VirtualLoop(1)
        self.network = SimNetwork(self.loop, Random(1)).room("attic")
        self.listener = Listener.start(Runtime(self.loop), self.network, lambda _: None)

    def take(self, port: int) -> Listening:
        taken = self.network.listen("", port, lambda _: None)
        assert self.loop.run_until(lambda: taken.is_done, 1)
        return taken.result()

    def open(self, *ports: int, patience_seconds: float = 0.0) -> Any:
        return self.listener.ask_to(Listener.open_first, "", ports, patience_seconds, RoomClock(self.loop))


@pytest.fixture
def attic() -> Iterator[Attic]:
    attic = Attic()
    yield attic
    attic.listener.stop(block=False)
    attic.loop.run_for(1)
    attic.loop.close()


def test_waits_for_a_port_that_is_freed_in_time(attic: Attic) -> None:
    taken = attic.take(70)

    opened = attic.open(70, 71, patience_seconds=3)
    attic.loop.run_for(2)
    assert not opened.is_done
    taken.close()
    attic.loop.run_for(0.2)

    assert opened.result().port == 70


def test_takes_the_next_free_port_once_its_patience_ends(attic: Attic) -> None:
    attic.take(70), attic.take(71)

    opened = attic.open(70, 71, 72, patience_seconds=3)
    attic.loop.run_for(2.9)
    assert not opened.is_done
    attic.loop.run_for(0.3)

    assert opened.result() == ListenAddress(72, ("0.0.0.0", "::"))


def test_fails_at_once_where_one_port_was_chosen(attic: Attic) -> None:
    attic.take(70)

    opened = attic.open(70)
    attic.loop.run_for(0.01)

    assert isinstance(opened.exception, OSError)


# A node and its port, with real sockets.


class Kitchen:
    """One home, and the nodes that run in it one after the other."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.notices: list[Notice] = []
        self.node: Node | None = None

    def start(self, listen: str | None = None, **options: Any) -> Node:
        self.stop()
        self.node = Node("kitchen", home=self.path, listen=listen, **{"open": "lan", "mdns": False, **options})
        self.node.on("change", self.notices.append)
        return self.node.start()

    def stop(self) -> None:
        if self.node is not None:
            self.node.stop()

    @property
    def said(self) -> list[str]:
        return [notice.sentence for notice in self.notices]

    @property
    def kept_port(self) -> int:
        self.stop()
        home = Home(self.path)
        home.close()
        return home.facts.port


@pytest.fixture
def kitchen(tmp_path: Path) -> Iterator[Kitchen]:
    kitchen = Kitchen(tmp_path / "kitchen")
    yield kitchen
    kitchen.stop()
    assert pykka.ActorRegistry.get_all() == []


def can_connect(port: int, host: str = "127.0.0.1") -> bool:
    try:
        socket.create_connection((host, port), timeout=1).close()
    except OSError:
        return False
    return True


def occupied(port: int) -> socket.socket:
    """A socket of another program at a port of this machine."""
    return socket.create_server(("127.0.0.1", port))


def test_a_node_listens_on_both_families_by_default_and_keeps_a_port_that_no_connection_gets(kitchen: Kitchen) -> None:
    port = kitchen.start().port

    assert port < first_ephemeral()
    assert can_connect(port) and can_connect(port, "::1")
    assert kitchen.kept_port == port
    assert kitchen.start().port == port
    assert kitchen.said == []


@pytest.mark.parametrize(
    ("listen", "hosts"), [("0.0.0.0:{}", ["127.0.0.1"]), ("[::]:{}", ["::1"]), (":{}", ["127.0.0.1", "::1"])]
)
def test_a_node_listens_at_the_address_that_it_is_given(kitchen: Kitchen, listen: str, hosts: list[str]) -> None:
    port = kitchen.start(listen.format(0)).port

    assert [host for host in ("127.0.0.1", "::1") if can_connect(port, host)] == hosts


def test_a_kept_port_that_is_in_use_is_left_for_this_run_and_taken_back_at_the_next(
    kitchen: Kitchen, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mesh.listening.PATIENCE_SECONDS", 0.2)
    kept = kitchen.start().port
    kitchen.stop()

    with occupied(kept):
        moved, again = kitchen.start().port, kitchen.start().port

    assert moved == again != kept  # a program that stays there moves the node once, not at each start
    assert kitchen.said[0].startswith(
        f"port {kept}, which this node keeps, is in use on this machine: it listens on port {moved} "
    )
    assert kitchen.kept_port == kept
    assert kitchen.start().port == kept


def test_a_kept_port_of_the_ephemeral_range_stays(kitchen: Kitchen) -> None:
    kitchen.start().stop()
    with occupied(0) as other:
        old = other.getsockname()[1]
    home = Home(kitchen.path)
    home.keep_port(old)
    home.close()

    assert kitchen.start().port == old == kitchen.kept_port


def test_any_free_port_is_for_one_run_and_a_chosen_one_is_kept(kitchen: Kitchen) -> None:
    kitchen.start("127.0.0.1:0")
    assert kitchen.kept_port == 0
    chosen = kitchen.start().port
    kitchen.start("127.0.0.1:0")

    assert kitchen.kept_port == chosen


@pytest.mark.parametrize(
    ("listen", "where", "option"),
    [("127.0.0.1:{}", "127.0.0.1:{}", 'listen="127.0.0.1:PORT"'), (":{}", "port {}", 'listen=":PORT"')],
)
def test_a_chosen_port_that_is_in_use_is_an_error(kitchen: Kitchen, listen: str, where: str, option: str) -> None:
    with occupied(0) as other:
        port = other.getsockname()[1]

        with pytest.raises(MeshError) as refused:
            kitchen.start(listen.format(port))

    assert str(refused.value) == (
        f"{where.format(port)} is in use on this machine: stop the program that uses it, or choose another port with {option}"
    )


@pytest.mark.parametrize("listen", ["203.0.113.9:4000", "[2001:db8::9]:4000"])
def test_an_address_that_is_not_ours_is_an_error(kitchen: Kitchen, listen: str) -> None:
    with pytest.raises(MeshError) as refused:
        kitchen.start(listen)

    assert str(refused.value).startswith(f"cannot listen on {listen}: ")
    assert str(refused.value).endswith('; choose another address with listen="HOST:PORT"')


def test_a_listener_that_fails_opens_again_at_the_port_that_others_know(kitchen: Kitchen) -> None:
    node = kitchen.start("127.0.0.1:0")
    (failing,) = pykka.ActorRegistry.get_by_class(Listener)

    failing.tell_to(fail)

    wait_until(lambda: not failing.is_alive() and can_connect(node.port))
    assert node.status().get(5)["port"] == node.port
    assert any("the listener failed and restarts" in sentence for sentence in kitchen.said)
