"""Real Logux clients at the clients' door of real nodes: partitioned, moved, restarted, and @logux/client itself."""

from __future__ import annotations

import time

import pytest
from js_peer import JsError, StartJs
from town import KINDS, SECONDS, Town, door, events, ids, js_ids, town, types, wait_until

__all__ = ["town"]

in_each_dialect = pytest.mark.parametrize("kind", KINDS)


# Between two nodes


@in_each_dialect
def test_four_logs_agree_after_a_partition(town: Town, kind: str) -> None:
    kitchen = town.start("kitchen")
    wall = town.wall(kitchen.port)
    attic = town.start("attic", peers=(wall.port,))
    ada, bob = town.client(kind, "ada:1:a", kitchen), town.client(kind, "bob:1:b", attic)
    ada.add({"type": "before"})
    bob.wait(length=1)

    wall.shut()
    wait_until(lambda: not any(row["session"] for row in kitchen.status().get(5)["peers"]), "they are parted")
    ada.add_many(20, "ada")
    bob.add_many(20, "bob")
    kitchen.log.add({"type": "kitchen"}).get(5)
    attic.log.add({"type": "attic"}).get(5)
    wait_until(lambda: (events(kitchen), events(attic)) == (22, 22), "each side agrees with itself")
    ada.wait(length=22)
    bob.wait(length=22)
    wall.open()

    for peer in (ada, bob):
        peer.wait(length=43, timeout=SECONDS)
    assert (events(kitchen), events(attic)) == (43, 43)
    assert ids(kitchen, kind) == ids(attic, kind) == js_ids(ada) == js_ids(bob)


@in_each_dialect
def test_a_client_that_moves_to_another_node_gets_everything_once_and_doubles_nothing(town: Town, kind: str) -> None:
    kitchen = town.start("kitchen")
    attic = town.start("attic", peers=(kitchen.port,))
    client = town.client(kind, "ada:1:a", kitchen)
    client.add_many(5, "own")
    kitchen.log.add({"type": "kitchen"}).get(5)
    attic.log.add({"type": "attic"}).get(5)
    client.wait(length=7, sent=5)
    saved = client.save()
    client.quit()
    attic.log.add({"type": "later"}).get(5)
    wait_until(lambda: (events(kitchen), events(attic)) == (8, 8), "both nodes have it")

    again = town.client(kind, "ada:1:a", attic, saved=saved)
    again.wait(length=8)
    again.add({"type": "last"})

    wait_until(lambda: (events(kitchen), events(attic)) == (9, 9), "both nodes have it")
    assert js_ids(again) == ids(attic, kind) == ids(kitchen, kind)


@in_each_dialect
def test_what_a_client_brings_to_two_nodes_is_one_event(town: Town, kind: str) -> None:
    kitchen = town.start("kitchen")
    wall = town.wall(kitchen.port)
    wall.shut()
    attic = town.start("attic", peers=(wall.port,))
    client = town.client(kind, "ada:1:a", kitchen)
    client.add_many(30, "own")
    client.wait(sent=30)
    saved = {**client.save(), "sent": 0}  # it did not hear that the first node has them
    client.quit()

    town.client(kind, "ada:1:a", attic, saved=saved)
    wait_until(lambda: events(attic) == 30, "the second node has them")
    wall.open()
    kitchen.log.add({"type": "from the kitchen"}).get(5)
    attic.log.add({"type": "from the attic"}).get(5)

    wait_until(lambda: (events(kitchen), events(attic)) == (32, 32), "they met")
    assert ids(kitchen, kind) == ids(attic, kind)
    assert kitchen.status().get(5)["conflicts"] == 0


@in_each_dialect
def test_a_restart_in_the_middle_of_live_events_loses_and_doubles_nothing(town: Town, kind: str) -> None:
    node = town.start("kitchen")
    port = node.clients_port
    client = town.client(kind, "ada:1:a", node)
    client.wait(state="synchronized")

    for n in range(4):
        client.add_many(40, f"run {n}")
        node.log.add({"type": f"node {n}"}).get(5)
        node.stop()
        node = town.start("kitchen", port=port)
    client.add({"type": "end"})

    client.wait(length=165, timeout=SECONDS)
    wait_until(lambda: events(node) == 165, "the node has everything")
    assert ids(node, kind) == js_ids(client)


@in_each_dialect
def test_a_client_without_a_right_token_stops_trying(town: Town, start_js: StartJs, kind: str) -> None:
    node = town.start("kitchen")
    client = start_js(kind, "client", node_id="ada", credentials="guess", fix_time=False)

    client.connect(door(node))

    client.wait_event("error", type="wrong-credentials", received=True)
    client.wait(state="disconnected")


@in_each_dialect
def test_a_client_that_fixes_its_time_writes_by_the_clock_of_the_node(town: Town, kind: str) -> None:
    node = town.start("kitchen")
    client = town.client(kind, "ada:1:a", node, fix_time=True, clock_shift=-3_600_000)
    client.wait(state="synchronized")

    client.add({"type": "milk"})

    wait_until(lambda: events(node) == 1, "the node has it")
    ((_, meta),) = node.log.each()
    assert abs(meta["time"] - time.time() * 1000) < 10_000


# @logux/client


def test_logux_client_is_told_that_its_events_are_processed(town: Town) -> None:
    node = town.start("kitchen")
    client = town.client("client23", "10", node)
    client.wait(state="synchronized")

    client.add({"type": "milk"}, how="sync")
    client.add_many(30)
    wait_until(lambda: events(node) == 31, "the node has them")

    client.wait(state="synchronized", sent=31)
    assert types(node) == ["milk", *["e"] * 30]
    wait_until(lambda: client.log() == [], "the client does not keep them for their answers any more")
    assert not [event for event in client.events if event["event"] in ("undo", "error")]


def test_logux_client_undoes_what_the_node_does_not_take(town: Town) -> None:
    node = town.start("kitchen", in_filter=lambda event, meta, user: event["type"] != "secret")
    client = town.client("client23", "10", node)
    client.wait(state="synchronized")

    with pytest.raises(JsError, match="Server undid secret because of denied"):
        client.add({"type": "secret", "text": "x"}, how="sync")
    client.add({"type": "milk"}, how="sync")

    assert types(node) == ["milk"]


def test_logux_client_subscribes_and_no_other_client_hears_of_it(town: Town) -> None:
    node = town.start("kitchen")
    client, other = town.client("client23", "10", node), town.client("core10", "bob", node)
    client.wait(state="synchronized")

    client.subscribe("posts/1")
    node.log.add({"type": "post"}).get(5)
    other.wait(length=1)
    client.wait(length=1)

    assert types(node) == other.types() == ["post"]


def test_logux_client_subscribes_again_by_itself_after_a_restart_of_the_node(town: Town) -> None:
    node = town.start("kitchen")
    client = town.client("client23", "10", node)
    client.subscribe("posts/1")
    port = node.clients_port
    node.stop()
    client.wait(state="disconnected")

    node = town.start("kitchen", port=port)
    client.wait(state="synchronized")
    client.add({"type": "milk"}, how="sync")

    assert [m[2]["type"] for m in client.sent() if m[0] == "sync"] == ["logux/subscribe"] * 2 + ["milk"]
    assert types(node) == ["milk"]


def test_logux_client_with_its_promises_open_over_a_restart_is_answered_then(town: Town) -> None:
    node = town.start("kitchen")
    client = town.client("client23", "10", node)
    client.wait(state="synchronized")
    port = node.clients_port
    node.stop()
    client.wait(state="disconnected")
    client.add_many(20)

    node = town.start("kitchen", port=port)
    client.wait(state="synchronized", sent=20)

    wait_until(lambda: events(node) == 20, "the node has them")
    wait_until(lambda: client.log() == [], "the client was answered")
    assert types(node) == ["e"] * 20


def test_clients_of_three_protocols_at_one_door_see_one_log(town: Town) -> None:
    node = town.start("kitchen")
    clients = [town.client(kind, f"user{n}:1:a", node) for n, kind in enumerate((*KINDS, "client23"))]
    for client in clients:
        client.wait(state="synchronized")

    for n, client in enumerate(clients):
        client.add({"type": f"of {n}"}, **({"how": "sync"} if client.kind == "client23" else {}))
        wait_until(lambda held=n + 1: events(node) == held, "the node has it")  # no two are of one ms
    for client in clients:
        client.wait(length=3 if client.kind == "client23" else 4)  # its own is not kept once it is processed

    assert all(client.types() == types(node) for client in clients[:3])
    assert clients[3].types() == types(node)[:3]
    assert sorted(types(node)) == ["of 0", "of 1", "of 2", "of 3"]


@pytest.mark.parametrize("node_id", ["ada", "ada:tab", "ada:1:a"])
def test_other_clients_of_protocol_5_are_answered_nothing(town: Town, node_id: str) -> None:
    node = town.start("kitchen")
    client = town.client("core10", node_id, node)

    client.add({"type": "milk"})
    client.wait(sent=1)
    node.log.add({"type": "last"}).get(5)
    client.wait(length=2)

    assert [m[2::2] for way, m in client.frames() if way == "in" and m[0] == "sync"] == [[{"type": "last"}]]
