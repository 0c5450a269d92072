"""Addresses that are dialled whether discovery finds them or not: `mesh peer`, `add_peer`, `peers=`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from mesh import Node
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


def test_an_added_address_is_dialled_even_if_its_node_is_connected() -> None:
    node = OneNode()
    node.meet("a")

    assert node.membership.add_static(STATIC, 0.0) == [Dial(KEY, (STATIC,))]


def test_dialling_an_address_ends_when_it_is_removed() -> None:
    node = OneNode()
    node.membership.add_static(STATIC, 0.0)

    assert closes(node.membership.remove_static(STATIC)) == [(KEY, REMOVED)]

    again = node.close(KEY, REMOVED)
    assert all(node.look(subject, after=60) == [] for subject in looks(again))
    assert (node.membership.static, node.membership.sessions) == ({}, {})


def test_a_connection_ends_and_is_not_dialled_again_when_its_only_address_is_removed() -> None:
    node = OneNode(STATIC)
    node.membership.on_begin()
    node.greet(KEY, "a", address=STATIC)

    assert closes(node.membership.remove_static(STATIC)) == [(KEY, REMOVED)]

    again = node.close(KEY, REMOVED)
    assert not any(isinstance(action, Dial) for subject in looks(again) for action in node.look(subject, after=1))
    assert node.membership.members["a"].reason == REMOVED


def test_a_connection_stays_when_discovery_knows_its_node_and_is_redialled_at_the_discovered_address() -> None:
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


def test_an_address_that_is_added_again_keeps_its_connection() -> None:
    node = OneNode(STATIC)
    node.membership.on_begin()
    node.greet(KEY, "a", address=STATIC)
    node.sight("a", AT)
    node.membership.remove_static(STATIC)

    assert node.membership.add_static(STATIC, 0.0) == [Redial(KEY, (STATIC,))]

    assert closes(node.close(KEY, "lost")) == []
    assert node.membership.static == {STATIC: "a"}


def test_an_address_that_was_refused_is_dialled_after_it_is_removed_and_added() -> None:
    node = OneNode(STATIC)
    node.membership.on_begin()
    node.membership.on_refused(KEY, None, "no nodes here", 0.0)
    node.close(KEY, "refused")
    node.membership.remove_static(STATIC)

    assert node.membership.add_static(STATIC, 1.0) == [Dial(KEY, (STATIC,))]


def test_an_added_address_is_dialled_at_once_and_after_the_next_start_until_it_is_removed(
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


def test_an_address_of_the_start_is_listed_as_such_and_cannot_be_removed(street: Street) -> None:
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


def test_add_peer_fails_while_the_node_does_not_run_and_for_bad_addresses(street: Street) -> None:
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
def test_a_damaged_or_newer_file_is_an_error_and_is_not_changed(street: Street, content: bytes, why: str) -> None:
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

    peers.add("10.0.0.1:7")  # a known one is no further peer
    with pytest.raises(MeshError, match="has 256 peers already"):
        peers.add("10.0.0.1:999")


def test_mesh_peer_works_with_and_without_a_running_node(street: Street) -> None:
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
    assert run(home, "peer", "list").stdout == b"no address is dialled but those that discovery finds\n"


def test_one_address_may_be_given_without_a_list(street: Street, tmp_path: Path) -> None:
    kitchen = street.start("kitchen")
    with Node("study", home=tmp_path / "s", listen="127.0.0.1:0", open=True, peers=at(kitchen), mdns=False) as study:
        study.synchronized(timeout=20).get(30)

        assert [row["address"] for row in study.static_peers().get(10)] == [at(kitchen)]


def test_one_address_that_is_none_is_refused_whole() -> None:
    with pytest.raises(MeshError, match="the peer 'nowhere'"):
        Node("study", peers="nowhere")
