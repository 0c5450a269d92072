"""The clients' port of a real node: who is accepted, what may be written, and where a session resumes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from mesh.gateway.clients.tokens import Tokens
from peers.limits import Limits
from peers.transport.web_socket import MAX_CLIENT_FRAME
from tests.support.door_house import DIALECTS, SECONDS, TURNED_AWAY, House, house, now_ms, types, wait_until

__all__ = ["house"]

in_each_dialect = pytest.mark.parametrize("protocol", DIALECTS, ids=["0.1", "5", "7"])
with_ids = pytest.mark.parametrize("protocol", DIALECTS[1:], ids=["5", "7"])


# Who is accepted


@in_each_dialect
def test_a_client_with_a_token_is_accepted(house: House, protocol: Any) -> None:
    node = house.start()

    client = house.enter("ada:tab", protocol)

    assert client.heard[0][:3] == ["connected", protocol, node.node_id]
    wait_until(lambda: [row["user"] for row in house.clients()] == ["ada"], "ada in the status")


@in_each_dialect
def test_a_client_without_a_right_token_is_refused(house: House, protocol: Any) -> None:
    house.start()

    for token in ("guess", None, "", 5, {"a": 1}, "x" * 10_000):
        client = house.dial("ada:tab", protocol)
        assert client.greet(token) == ["error", "wrong-credentials"]
        assert client.end() == []


@in_each_dialect
def test_a_client_with_the_token_of_another_user_is_refused(house: House, protocol: Any) -> None:
    house.start()

    for node_id in ("", "carol", "bob:x", "ada x", "server", "server:x", "kitchen~aaaaaaaa", "ada\x00"):
        client = house.dial(node_id, protocol)
        answer = client.greet(house.token("ada"))
        assert answer[:2] in (["error", "wrong-credentials"], ["error", "wrong-format"]), node_id
        assert client.end() == []


@in_each_dialect
def test_after_ten_wrong_tokens_no_token_is_checked(house: House, protocol: Any) -> None:
    house.start()
    for _ in range(10):
        assert house.dial("ada", protocol).greet("guess") == ["error", "wrong-credentials"]

    refused = house.dial("ada", protocol).greet(house.token("ada"))
    status, _, body = house.http("GET", "/status", {"Authorization": f"Bearer ada:{house.token('ada')}"})

    assert refused == ["error", "bruteforce"]
    assert (status, b"wait a minute" in body) == (429, True)


def test_wrong_tokens_at_the_status_count_for_sessions_too(house: House) -> None:
    house.start()
    for _ in range(10):
        assert house.http("GET", "/status", {"Authorization": "Bearer ada:guess"})[0] == 401

    assert house.dial("ada").greet(house.token("ada")) == ["error", "bruteforce"]


def test_a_revoked_token_ends_the_open_session(house: House) -> None:
    node = house.start()
    ada, bob = house.enter("ada"), house.enter("bob")

    Tokens(node.home).revoke("ada")

    assert ada.end() == [["error", "wrong-credentials"]]
    assert bob.add(1, "still here") == ["synced", 1]


def test_an_expired_token_ends_the_open_session(house: House) -> None:
    node = house.start()
    token = Tokens(node.home).add("carol", 0.5, now_ms())
    client = house.dial("carol")
    assert client.greet(token)[0] == "connected"

    assert client.end() == [["error", "wrong-credentials"]]
    assert house.dial("carol").greet(token) == ["error", "wrong-credentials"]


def test_while_the_tokens_are_damaged_no_client_is_accepted_and_no_session_ends(house: House) -> None:
    node = house.start()
    inside = house.enter("ada")
    file = node.home / "tokens.json"
    content = file.read_bytes()

    file.write_bytes(b"{")
    answers = [house.dial("bob").greet(house.token("bob"))[:2] for _ in range(12)]
    status, _, body = house.http("GET", "/status", {"Authorization": f"Bearer ada:{house.token('ada')}"})

    assert answers == [["error", "store"]] * 12
    assert (status, b"damaged" in body) == (503, True)
    assert inside.add(1, "still here") == ["synced", 1]
    wait_until(lambda: any("tokens.json is damaged" in line for line in house.said()), "the reason")
    file.write_bytes(content)
    assert house.enter("bob")
    assert node.status().get(5)["paused"] == []


# What may be written


@in_each_dialect
def test_events_of_a_user_are_stored(house: House, protocol: Any) -> None:
    node = house.start()
    client = house.enter("ada:tab", protocol)

    assert client.add(1, "milk") == ["synced", 1]

    ((event, meta),) = node.log.each()
    assert (event, meta["created"][1]) == ({"type": "milk"}, "ada:tab")


@in_each_dialect
def test_events_that_another_user_created_are_confirmed_and_dropped(house: House, protocol: Any) -> None:
    node = house.start()
    client = house.enter("ada:tab", protocol)

    for added, by in enumerate(("bob", "bob:tab", "server", "adam", "ada x", "ada~aaaaaaaa", node.node_id), 1):
        assert client.add(added, "forged", by=by) == ["synced", added]

    assert client.add(8, "own") == ["synced", 8]
    assert types(node) == ["own"]


@with_ids
def test_events_that_another_tab_of_the_user_created_are_stored(house: House, protocol: Any) -> None:
    node = house.start()

    house.enter("ada:1:a", protocol).add(1, "milk", by="ada:1:b")

    assert [meta["created"][1] for _, meta in node.log.each()] == ["ada:1:b"]


def test_of_a_client_of_logux_01_only_events_under_its_own_node_id_are_stored(house: House) -> None:
    node = house.start()
    client = house.enter("ada:1", [0, 1])

    assert client.add(1, "forged", by="ada:2") == ["synced", 1]

    assert types(node) == []


@in_each_dialect
def test_an_event_without_a_node_id_is_one_of_the_client(house: House, protocol: Any) -> None:
    node = house.start()
    client = house.enter("ada:tab", protocol)
    short = {5: {"id": 1, "time": 1}, 7: {"id": "0-", "time": 1}}

    client.send("sync", 1, {"type": "milk"}, [now_ms()] if protocol == [0, 1] else short[protocol])
    client.wait_for("synced")

    assert [meta["created"][1] for _, meta in node.log.each()] == ["ada:tab"]


@in_each_dialect
def test_an_event_reaches_another_node_and_its_clients(house: House, protocol: Any) -> None:
    kitchen = house.start("kitchen")
    house.start("attic", peers=[f"127.0.0.1:{kitchen.port}"])
    ada, bob = house.enter("ada", protocol), house.enter("bob", protocol, at="attic")

    ada.add(1, "question")
    bob.take(1)
    bob.add(1, "answer")
    ada.take(1)

    assert (ada.types, bob.types) == (["answer"], ["question"])
    assert types(house.nodes["kitchen"]) == types(house.nodes["attic"]) == ["question", "answer"]


def test_the_status_has_the_state_of_a_client_and_its_lag(house: House) -> None:
    node = house.start()
    client = house.enter("ada:tab")
    node.log.add({"type": "milk"}).get(5)

    wait_until(lambda: house.clients()[0]["state"] == "sending", "the event is under way")
    (row,) = house.clients()
    assert (row["node_id"], row["user"], row["lag"], row["at"]) == ("ada:tab", "ada", 1, "the clients' door")
    client.take(1)
    wait_until(lambda: house.clients()[0]["lag"] == 0, "it is confirmed")
    assert house.clients()[0]["state"] == "synchronized"


# Where a session resumes


@in_each_dialect
def test_a_client_that_connects_again_gets_what_it_lacks_once(house: House, protocol: Any) -> None:
    node = house.start()
    node.log.add({"type": "first"}).get(5)
    client = house.enter("ada", protocol)
    client.take(1)
    client.close()
    wait_until(lambda: house.clients() == [], "it is gone")
    node.log.add({"type": "second"}).get(5)

    again = house.enter("ada", protocol, 1)

    assert again.take(1) == ["second"]
    again.add(1, "own")
    assert again.types == ["second"]


@in_each_dialect
def test_a_client_that_comes_from_another_node_gets_everything(house: House, protocol: Any) -> None:
    node = house.start()
    for name in ("one", "two", "three"):
        node.log.add({"type": name}).get(5)

    client = house.enter("ada", protocol, 2)  # a mark in the log of the other one

    assert client.take(3) == ["one", "two", "three"]


def test_a_session_resumes_at_the_confirmed_mark_if_the_client_states_more(house: House) -> None:
    node = house.start()
    node.log.add({"type": "one"}).get(5)
    client = house.enter("ada")
    client.take(1)
    client.close()
    wait_until(lambda: house.clients() == [], "it is gone")
    for name in ("two", "three"):
        node.log.add({"type": name}).get(5)

    again = house.enter("ada", 5, 900)  # it was connected to a node with a longer log meanwhile

    assert again.take(2) == ["two", "three"]


def test_a_session_resumes_at_the_stated_mark_if_that_is_less(house: House) -> None:
    node = house.start()
    for name in ("one", "two"):
        node.log.add({"type": name}).get(5)
    client = house.enter("ada")
    client.take(2)
    client.close()
    wait_until(lambda: house.clients() == [], "it is gone")

    assert house.enter("ada", 5, 1).take(1) == ["two"]
    assert house.enter("ada", 5, 0).take(2) == ["one", "two"]


def test_the_marks_of_a_client_survive_a_restart(house: House) -> None:
    node = house.start()
    node.log.add({"type": "one"}).get(5)
    house.enter("ada").take(1)
    wait_until(lambda: house.clients()[0]["lag"] == 0, "it is confirmed")
    node.stop()
    house.start().log.add({"type": "two"}).get(5)

    assert house.enter("ada", 5, 1).take(1) == ["two"]


@pytest.mark.parametrize("others", [1, 9])
def test_a_node_whose_log_was_wiped_sends_everything_anew(house: House, others: int) -> None:
    node = house.start()
    for n in range(5):
        node.log.add({"type": f"old {n}"}).get(5)
    client = house.enter("ada")
    client.take(5)
    client.close()
    node.stop()
    for file in sorted(node.home.glob("log*")):
        file.unlink()
    node = house.start()
    for n in range(others):
        node.log.add({"type": f"new {n}"}).get(5)

    assert house.enter("ada", 5, 5).take(others) == [f"new {n}" for n in range(others)]


def test_a_page_with_the_since_header_resumes_at_its_own_mark(house: House) -> None:
    node = house.start()
    for n in range(5):
        node.log.add({"type": f"e{n}"}).get(5)

    assert house.enter("ada:page", 5, 3, since=3).take(2) == ["e3", "e4"]


def test_a_since_header_that_differs_from_the_stated_mark_is_ignored(house: House) -> None:
    node = house.start()
    for n in range(5):
        node.log.add({"type": f"e{n}"}).get(5)

    for n, since in enumerate((2, "3", None, True, 3.5, 10**30)):
        client = house.dial(f"ada:{n}")
        client.send("headers", {"since": since})
        client.greet(house.token("ada"), 3)
        assert client.take(5)[0] == "e0", since


def test_a_page_that_is_ahead_of_the_log_gets_everything(house: House) -> None:
    node = house.start()
    node.log.add({"type": "new"}).get(5)

    assert house.enter("ada:page", 5, 900, since=900).take(1) == ["new"]


# Limits


@in_each_dialect
def test_an_unauthenticated_client_cannot_send_a_large_frame(house: House, protocol: Any) -> None:
    house.start()
    client = house.dial("ada", protocol)

    client.send("connect", protocol, "ada", 0, {"token": "x" * 70_000})

    assert client.end() == []
    assert house.enter("ada", protocol)


def test_fifty_thousand_events_in_one_frame_are_stored(house: House) -> None:
    node = house.start()
    client = house.enter("ada")
    items: list[Any] = []
    for n in range(50_000):
        items += [{"type": "e", "n": n}, {"id": [n - 60_000, 0], "time": n - 60_000}]
    assert len(json.dumps(items)) > 3_000_000

    client.send("sync", 50_000, *items)

    assert client.wait_for("synced") == ["synced", 50_000]
    assert node.status().get(5)["events"] == 50_000


def test_a_frame_over_the_limit_ends_the_connection_with_advice(house: House) -> None:
    house.start()
    ada, bob = house.enter("ada"), house.enter("bob")
    head = b"\x81\xff" + (MAX_CLIENT_FRAME + 1).to_bytes(8, "big") + b"mask"

    ada.wire.socket.sendall(head + b"x" * 100_000)

    (debug,) = ada.end()
    assert debug[:2] == ["debug", "error"]
    assert str(MAX_CLIENT_FRAME) in debug[2]
    assert "syncBatch" in debug[2]
    assert bob.add(1, "still here") == ["synced", 1]


def test_no_more_sessions_than_the_limit_are_accepted(house: House) -> None:
    node = house.start(limits=Limits(connections=3, reserved_connections=1))
    house.enter("ada:1")
    second = house.enter("ada:2")

    with pytest.raises(TURNED_AWAY):
        house.dial("ada:3")
    second.close()
    wait_until(lambda: len(house.clients()) == 1, "a place is free")

    assert house.enter("ada:4")
    (hit,) = node.status().get(SECONDS)["limits"]
    assert (hit["limit"], hit["by"], hit["count"]) == ("connections", "127.0.0.1", 1)


def test_a_second_connection_of_one_client_may_be_open_beside_the_first(house: House, tmp_path: Path) -> None:
    house.start()
    first, second = house.enter("ada"), house.enter("ada")

    first.add(1, "milk")
    second.add(2, "bread")

    assert (first.take(1), second.take(1)) == (["bread"], ["milk"])
