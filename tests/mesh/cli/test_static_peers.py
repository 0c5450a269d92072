"""Addresses that are dialled whatever discovery finds: added and removed while a node runs, and kept in its home."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from mesh.errors import MeshError
from mesh.membership.actions import Dial, Redial
from mesh.membership.dialling.dialling import REMOVED
from mesh.settings.kept_peers import PEERS_FILE, KeptPeers
from tests.support.commands import run
from tests.support.one_node import AT, STATIC, OneNode, closes, looks
from tests.support.street import Street, at, wait_until

KEY = f"static:{STATIC}"


def test_an_address_that_is_added_is_dialled_at_once() -> None:
    node = OneNode()

    assert node.membership.add_static(STATIC, 0.0) == [Dial(KEY, (STATIC,))]
    assert node.membership.add_static(STATIC, 0.0) == []


def test_an_address_of_a_node_that_is_connected_is_dialled_to_learn_whose_it_is() -> None:
    node = OneNode()
    node.meet("a")

    assert node.membership.add_static(STATIC, 0.0) == [Dial(KEY, (STATIC,))]


def test_a_dial_of_an_address_that_is_removed_ends() -> None:
    node = OneNode()
    node.membership.add_static(STATIC, 0.0)

    assert closes(node.membership.remove_static(STATIC)) == [(KEY, REMOVED)]

    again = node.close(KEY, REMOVED)
    assert all(node.look(subject, after=60) == [] for subject in looks(again))
    assert (node.membership.static, node.membership.sessions) == ({}, {})


def test_a_connection_that_an_address_alone_held_ends_with_it_and_is_not_dialled_again() -> None:
    node = OneNode(STATIC)
    node.membership.on_begin()
    node.greet(KEY, "a", address=STATIC)

    assert closes(node.membership.remove_static(STATIC)) == [(KEY, REMOVED)]

    again = node.close(KEY, REMOVED)
    assert not any(isinstance(action, Dial) for subject in looks(again) for action in node.look(subject, after=1))
    assert node.membership.members["a"].reason == REMOVED


def test_a_connection_with_a_node_that_discovery_knows_is_kept_and_later_dialled_where_it_was_found() -> None:
    node = OneNode(STATIC)
    node.membership.on_begin()
    node.greet(KEY, "a", address=STATIC)
    node.sight("a", AT)

    assert node.membership.remove_static(STATIC) == [Redial(KEY, (AT,))]
    assert node.membership.sessions[KEY].is_met

    broken = node.close(KEY, "lost")
    assert closes(broken) == [(KEY, REMOVED)]
    node.close(KEY, REMOVED)
    assert node.look("a", after=1) == [Dial("dial:a", (AT,))]


def test_an_address_that_is_added_again_takes_its_connection_back() -> None:
    node = OneNode(STATIC)
    node.membership.on_begin()
    node.greet(KEY, "a", address=STATIC)
    node.sight("a", AT)
    node.membership.remove_static(STATIC)

    assert node.membership.add_static(STATIC, 0.0) == [Redial(KEY, (STATIC,))]

    assert closes(node.close(KEY, "lost")) == []
    assert node.membership.static == {STATIC: "a"}


def test_what_was_refused_or_paused_about_an_address_is_forgotten_with_it() -> None:
    node = OneNode(STATIC)
    node.membership.on_begin()
    node.membership.on_refused(KEY, None, "no nodes here", 0.0)
    node.close(KEY, "refused")
    node.membership.remove_static(STATIC)

    assert node.membership.add_static(STATIC, 1.0) == [Dial(KEY, (STATIC,))]


@pytest.fixture
def street(tmp_path: Path) -> Iterator[Street]:
    street = Street(tmp_path)
    yield street
    street.close()


def test_a_running_node_dials_what_is_added_at_once_and_after_its_next_start_and_no_more_once_it_is_removed(
    street: Street,
) -> None:
    kitchen, study = street.start("kitchen"), street.start("study")
    study.add_peer(at(kitchen)).get(10)
    study.synchronized(timeout=10).get()
    study.stop()
    study = street.start("study")
    study.synchronized(timeout=10).get()
    assert study.static_peers().get(10) == [
        {"address": at(kitchen), "source": "peers.json", "node_id": kitchen.node_id}
    ]

    study.remove_peer(at(kitchen)).get(10)

    wait_until(lambda: not kitchen.status().get()["sessions"], "the connection ends")
    assert study.status().get()["sessions"] == study.static_peers().get(10) == []
    assert json.loads((study.home / PEERS_FILE).read_bytes()) == {"version": 1, "peers": []}


def test_an_address_that_a_node_was_started_with_is_listed_as_such_and_not_removed(street: Street) -> None:
    kitchen = street.start("kitchen")
    study = street.start("study", peers=[at(kitchen)])
    study.synchronized(timeout=10).get()
    with pytest.raises(MeshError, match=r"was given to the node when it was started \(--peer or peers=\)"):
        study.remove_peer(at(kitchen)).get(10)

    study.add_peer(at(kitchen)).get(10)
    both = [row["source"] for row in study.static_peers().get(10)]
    study.remove_peer(at(kitchen)).get(10)

    assert both == ["--peer", "peers.json"]
    assert [row["source"] for row in study.static_peers().get(10)] == ["--peer"]
    assert [row["state"] for row in study.status().get()["sessions"]] == ["synchronized"]


def test_a_node_that_does_not_run_says_so_and_an_address_that_is_none_is_refused(street: Street) -> None:
    kitchen = street.make("kitchen")
    with pytest.raises(MeshError, match="this node is not running"):
        kitchen.add_peer("10.0.0.1:1").get(10)
    kitchen.start()
    street.nodes.append(kitchen)

    for ask in (kitchen.add_peer, kitchen.remove_peer):
        with pytest.raises(MeshError):
            ask("nonsense").get(10)
    assert not (kitchen.home / PEERS_FILE).exists()


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"{", "is damaged"),
        (b'{"version": 1, "peers": ["10.0.0.1"]}', "is damaged"),
        (b'{"version": 1, "peers": "10.0.0.1:1"}', "is damaged"),
        (b'{"peers": []}', "is damaged"),
        (b"[" * 100_000, "is damaged"),
        (b'{"version": 2, "peers": []}', "was written by a newer release"),
        (b'{"version": 1, "peers": [], "names": {}}', "was written by a newer release"),
    ],
    ids=lambda value: value[:40] if isinstance(value, bytes) else value,
)
def test_a_damaged_or_newer_file_is_a_sentence_and_stays_as_it_is(street: Street, content: bytes, why: str) -> None:
    home = street.path / "kitchen"
    home.mkdir()
    (home / PEERS_FILE).write_bytes(content)

    for use in (KeptPeers(home).list, lambda: KeptPeers(home).add("10.0.0.1:1"), street.make("kitchen").start):
        with pytest.raises(MeshError, match=why):
            use()

    assert (home / PEERS_FILE).read_bytes() == content


def test_too_many_peers_are_refused(tmp_path: Path) -> None:
    peers = KeptPeers(tmp_path)
    content = {"version": 1, "peers": [f"10.0.0.1:{port}" for port in range(1, 257)]}
    (tmp_path / PEERS_FILE).write_text(json.dumps(content))

    peers.add("10.0.0.1:7")  # it is there
    with pytest.raises(MeshError, match="has 256 peers already"):
        peers.add("10.0.0.1:999")


def test_mesh_peer_works_on_an_idle_home_and_on_a_running_node(street: Street) -> None:
    kitchen, home = street.start("kitchen"), street.path / "study"
    address = at(kitchen)
    assert run(home, "peer", "remove", address).returncode == 1
    assert not home.exists()
    assert run(home, "peer", "add", address).returncode == 0
    assert run(home, "peer", "add", "10.0.0.9:9").returncode == 0
    assert run(home, "peer", "remove", "10.0.0.9:9").returncode == 0
    idle = json.loads(run(home, "peer", "list", "--json").stdout)

    study = street.start("study")
    study.synchronized(timeout=10).get()
    table = run(home, "peer", "list").stdout.decode().splitlines()
    removed = run(home, "peer", "remove", address)
    again = run(home, "peer", "remove", address)

    assert idle == [{"address": address, "source": "peers.json", "node_id": None}]
    assert [line.split() for line in table] == [["address", "from", "node"], [address, "peers.json", kitchen.node_id]]
    assert (removed.returncode, again.returncode) == (0, 1)
    assert again.stderr.decode().endswith("`mesh peer list` shows which addresses are\n")
    wait_until(lambda: not kitchen.status().get()["sessions"], "the connection ends")
    assert run(home, "peer", "list").stdout == b"no address is dialled besides those that are found\n"
