"""Nodes whose homes have certificates: who connects, what each says of those that do not, and homes that cannot be used."""

from __future__ import annotations

import asyncio
import shutil
import socket
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from random import Random

import pytest

from mesh import MeshError
from mesh.settings.config import Settings
from mesh.settings.home import KEY_FILE
from mesh.settings.paths import CERTIFICATES_FILE
from peers.clock import LoopClock
from peers.errors import SyncError
from peers.events.epoch import is_id_of_key
from peers.log.run_log import RunLog
from peers.roles.run_peer import RunPeerSync
from peers.stores.disk import InlineDisk
from peers.stores.runs.memory import MemoryRunStore
from peers.transport.port import Connection
from peers.transport.racing import RacingConnection
from peers.transport.tls.gate import OTHER_IS_CLOSED, OTHER_IS_OPEN, TLS_AT_OPEN
from peers.transport.web_socket import WebSocketNetwork
from tests.support.one_node import STATIC, OneNode
from tests.support.street import at, wait_until
from tests.support.trusted_street import TrustedStreet, tls_options, trusted_homes

SECONDS = 15.0


def test_nodes_of_one_mesh_synchronize(street: TrustedStreet) -> None:
    kitchen = street.start("kitchen")
    study = street.start("study", peers=[at(kitchen)])

    kitchen.log.add({"type": "milk"}).get()
    study.log.add({"type": "bread"}).get()

    street.converge(kitchen, study, events=2)
    assert kitchen.is_trusted and study.is_trusted


def test_a_node_with_certificates_and_an_open_one_say_why_they_do_not_connect(street: TrustedStreet) -> None:
    kitchen, porch = street.start("kitchen"), street.start("porch", mesh="")

    kitchen.add_peer(at(porch)).get()
    porch.add_peer(at(kitchen)).get()

    wait_until(lambda: len(street.said("kitchen")) == len(street.said("porch")) == 2, "both heard of both dials")
    for name, dialled, accepted in (("kitchen", OTHER_IS_OPEN, OTHER_IS_OPEN), ("porch", OTHER_IS_CLOSED, TLS_AT_OPEN)):
        other = at(porch if name == "kitchen" else kitchen)
        assert f"cannot reach {other} yet: {dialled}; it is tried again" in street.said(name)
        assert any(said.startswith("refused: 127.0.0.1:") and said.endswith(accepted) for said in street.said(name))
    assert not porch.is_trusted


def test_strangers_that_come_again_and_again_are_one_line_a_minute(street: TrustedStreet) -> None:
    kitchen = street.start("kitchen")
    for _ in range(5):
        with socket.create_connection(("127.0.0.1", kitchen.port), timeout=SECONDS) as wire:
            wire.sendall(b"GET / HTTP/1.1\r\n\r\n")
            assert wire.recv(1_000).startswith(b"HTTP/1.1 426 ")

    wait_until(lambda: street.said("kitchen"), "the line")
    (said,) = street.said("kitchen")
    assert said.startswith("refused: 127.0.0.1:") and said.endswith(f": {OTHER_IS_OPEN}")


def test_nodes_with_certificates_announce_another_mesh_than_open_ones_of_the_same_name() -> None:
    open_one = Settings("kitchen~a", "home", "run")
    marks = {
        replace(open_one, mesh_key=key, mesh=name).mesh_mark for key in (b"", b"1", b"2") for name in ("home", "shed")
    }

    assert len(marks) == 4  # a key is the same mesh under any name


class Liar:
    """A member of the mesh, with the home "liar", that greets as another node."""

    def __init__(self, path: Path, node_id: str) -> None:
        self._options = tls_options(path / "liar")
        self._node_id = node_id
        self.errors: list[SyncError] = []

    async def dial(self, address: str) -> None:
        """Dial a node, until it has refused."""
        async with asyncio.timeout(SECONDS):
            network = self._begin()
            connection = network.dial(address)
            await self._speak(connection)
            connection.connect()
            await self._refused.wait()
            await network.close()

    async def answer(self, dial: Callable[[str], object]) -> str:
        """Let a node dial, until it has refused; the result is the address that it dialled."""
        async with asyncio.timeout(SECONDS):
            network = self._begin()
            listening = await network.listen("127.0.0.1", 0, self._on_connection)
            address = f"127.0.0.1:{listening.port}"
            await asyncio.to_thread(dial, address)
            await self._refused.wait()
            await network.close()
            return address

    def _begin(self) -> WebSocketNetwork:
        self._refused, self._tasks = asyncio.Event(), set[asyncio.Task[None]]()
        return WebSocketNetwork(asyncio.get_running_loop(), **self._options)

    def _on_connection(self, connection: Connection) -> None:
        self._tasks.add(asyncio.ensure_future(self._speak(connection)))

    async def _speak(self, connection: Connection) -> None:
        world = {"clock": LoopClock(asyncio.get_running_loop()), "random": Random(7)}
        log = await RunLog.open(InlineDisk(MemoryRunStore()), self._node_id, **world)
        role = RunPeerSync(self._node_id, log, connection, credentials="home", **world)
        role.catch(self._on_error)

    def _on_error(self, error: SyncError) -> None:
        self.errors.append(error)
        self._refused.set()


def test_a_member_that_greets_under_the_id_of_another_node_is_refused_with_both_ids(street: TrustedStreet) -> None:
    ids = trusted_homes(street.path, "liar", "study")
    kitchen = street.start("kitchen")
    liar, mark = Liar(street.path, ids["study"]), ids["liar"].partition("~")[2]

    asyncio.run(liar.dial(at(kitchen)))

    assert [(error.type, error.received) for error in liar.errors] == [("wrong-credentials", True)]
    wait_until(lambda: street.said("kitchen"), "the refusal")
    (said,) = street.said("kitchen")
    assert said.startswith("refused: 127.0.0.1:")
    assert said.endswith(f": it greets as {ids['study']}, but its key is that of another node, ~{mark}")


def test_so_is_one_that_is_dialled(street: TrustedStreet) -> None:
    ids = trusted_homes(street.path, "liar", "study")
    kitchen = street.start("kitchen")
    liar, mark = Liar(street.path, kitchen.node_id), ids["liar"].partition("~")[2]

    address = asyncio.run(liar.answer(lambda where: kitchen.add_peer(where).get()))

    assert [error.type for error in liar.errors] == ["wrong-credentials"]
    wait_until(lambda: street.said("kitchen"), "the refusal")
    reason = f"it greets as {kitchen.node_id} at {address}, but its key is that of another node, ~{mark}"
    assert street.said("kitchen") == [f"refused: {address}: {reason}"]


def test_two_machines_with_one_home_are_called_clones(street: TrustedStreet) -> None:
    trusted_homes(street.path, "kitchen")
    shutil.copytree(street.path / "kitchen", street.path / "copy")
    kitchen = street.start("kitchen")

    street.start("kitchen", home=street.path / "copy", peers=[at(kitchen)])

    wait_until(lambda: "cloned" in street.kinds("kitchen"), "the notice of the copy")


def damage_key(home: Path) -> None:
    (home / KEY_FILE).write_bytes(b"no key")


def open_up(home: Path) -> None:
    (home / KEY_FILE).chmod(0o644)


def cut_off(home: Path) -> None:
    (home / CERTIFICATES_FILE).write_bytes((home / CERTIFICATES_FILE).read_bytes()[:900])


def take_from_another(home: Path) -> None:
    shutil.copy(home.parent / "study" / CERTIFICATES_FILE, home / CERTIFICATES_FILE)


@pytest.mark.parametrize(
    ("harm", "sentence"),
    [
        (lambda home: (home / KEY_FILE).unlink(), "node.key is missing: put it back from a backup with keys"),
        (damage_key, "node.key is not an Ed25519 key: put it back from a backup"),
        (open_up, r"others may read or write .*node.key \(its mode is 644\): run `chmod 600 "),
        (cut_off, "certificates.pem is damaged .*: put it back from a backup with keys"),
        (take_from_another, "certificates.pem is of another key than .*node.key: put it back"),
    ],
)
def test_a_node_does_not_start_with_files_that_are_missing_foreign_or_too_open(
    street: TrustedStreet, harm: Callable[[Path], None], sentence: str
) -> None:
    trusted_homes(street.path, "kitchen", "study")
    home = street.path / "kitchen"
    harm(home)
    before = {file.name: file.read_bytes() for file in home.iterdir()}

    with pytest.raises(MeshError, match=sentence) as caught:
        street.start("kitchen")

    assert "\n" not in str(caught.value)
    assert {file.name: file.read_bytes() for file in home.iterdir()} == before


def test_of_a_node_that_was_announced_the_key_is_known_and_of_a_given_address_it_is_not() -> None:
    node = OneNode(STATIC)
    node.membership.on_begin()
    sessions = node.membership.sessions
    node.dial("attic~aaaaaaaaaaaaaaaa")

    assert [sessions.expected(key) for key in sessions] == ["", "attic~aaaaaaaaaaaaaaaa"]


def test_at_a_wrong_address_of_a_node_nothing_is_sent_and_the_next_one_is_tried(tmp_path: Path) -> None:
    ids = trusted_homes(tmp_path, "kitchen", "study", "attic")

    async def dial() -> tuple[bytes | None, list[Connection]]:
        loop, at_study = asyncio.get_running_loop(), list[Connection]()
        networks = {name: WebSocketNetwork(loop, **tls_options(tmp_path / name)) for name in ids}
        study = await networks["study"].listen("127.0.0.1", 0, at_study.append)
        attic = await networks["attic"].listen("127.0.0.1", 0, lambda connection: None)
        connection = RacingConnection(
            lambda: [f"127.0.0.1:{door.port}" for door in (study, attic)],
            lambda address: networks["kitchen"].dial(address, node_id=ids["attic"]),
            clock=LoopClock(loop),
        )
        opened = asyncio.Event()
        connection.on("connect", opened.set)
        connection.connect()
        async with asyncio.timeout(SECONDS):
            await opened.wait()
        key = connection.proven_key
        for network in networks.values():
            await network.close()
        return key, at_study

    key, at_study = asyncio.run(dial())

    assert key is not None and is_id_of_key(ids["attic"], key)
    assert at_study == []
