"""Real Logux clients with events that cannot be taken, or with a very long backlog: all else arrives, and they are told."""

from __future__ import annotations

from typing import Any

import pytest
from js_peer import JsError, JsPeer
from our_end import nested
from town import KINDS, Town, door, events, ids, js_ids, town, types, wait_until

from mesh.node import Node

__all__ = ["town"]

HALF = "half a \ud83d"
WAITING = 17_000
BAD_EVENTS: dict[str, dict[str, Any]] = {
    "too-large": {"type": "bad", "text": "x" * 400_000},
    "too-deep": nested(300) | {"type": "bad"},
    "bad-text": {"type": "bad", "text": HALF},
    "bad-type": {"type": 5},
}
NEWER = ("core10", "core12")
NO_ID = {"logux01": {"created": [5, "", 0]}, "core10": {"id": "no id"}, "core12": {"id": "!bad ada:1:a"}}


def told(client: JsPeer, event: str) -> list[dict[str, Any]]:
    return [line for line in list(client.events) if line["event"] == event]


def undone(client: JsPeer) -> dict[Any, str]:
    """The ids of the events that the node undid, as the client shows them, with the reasons."""
    undos = [entry.event for entry in client.log() if entry.event["type"] == "logux/undo"]
    return {undo["id"]: undo["reason"] for undo in undos}


def named(client: JsPeer, created: Any) -> str:
    """The id in the client's log."""
    return created if isinstance(created, str) else " ".join(map(str, created))


def refused(node: Node) -> dict[str, int]:
    counts: dict[str, int] = node.status().get(15)["refused_events"]
    return counts


@pytest.mark.parametrize("kind", KINDS)
def test_logs_are_equal_but_for_the_bad_events_and_each_of_them_was_told(town: Town, kind: str) -> None:
    node = town.start("kitchen")
    client = town.client(kind, "ada:1:a", node, connects=False)
    bad: dict[Any, str] = {}
    client.add({"type": "first"})
    for cause, event in BAD_EVENTS.items():
        bad[client.add(event)] = cause
        client.add({"type": "between"})
    if kind in NEWER:
        bad[client.add({"type": "meta"}, {"note": HALF})] = "bad-text"
        bad[client.add({"type": "meta"}, {"note": "x" * 20_000})] = "too-large"
    client.add({"type": "last"})
    client.add({"type": "no id"}, NO_ID[kind])

    client.connect(door(node))
    client.wait(sent=1 + 2 * len(BAD_EVENTS) + (4 if kind in NEWER else 2), state="synchronized")
    client.add({"type": "live"})
    wait_until(lambda: "live" in types(node), "the node takes what comes later")

    ours = [created for created in js_ids(client) if created not in bad and created in ids(node, kind)]
    assert ids(node, kind) == ours
    assert types(node) == ["first", *["between"] * len(BAD_EVENTS), "last", "live"]
    causes = [*bad.values(), "bad-id"]
    assert refused(node) == {cause: causes.count(cause) for cause in sorted(causes)}
    assert len(told(client, "connect")) == 1
    assert told(client, "error") == []
    if kind in NEWER:
        wait_until(lambda: len(told(client, "debug")) == len(causes), "its developer is told of each")
        assert undone(client) == {named(client, created): cause for created, cause in bad.items()}


KINDS = ["logux01", pytest.param("core10", marks=pytest.mark.long)]  # core12 sends batches of 100


@pytest.mark.parametrize("kind", KINDS)
def test_a_long_backlog_with_bad_events_in_it_arrives_over_one_connection(town: Town, kind: str) -> None:
    node = town.start("kitchen")
    client = town.client(kind, "ada:1:a", node, connects=False)
    half = WAITING // 2
    client.add_many(half, together=True, characters=900)
    bad = [client.add(event) for event in BAD_EVENTS.values()]
    client.add_many(WAITING - half, together=True, characters=900)

    client.connect(door(node))
    wait_until(lambda: events(node) == WAITING, "the node has all of it", seconds=60)
    client.wait(state="synchronized", sent=WAITING + len(bad), timeout=60)

    assert refused(node) == dict.fromkeys(sorted(BAD_EVENTS), 1)
    assert len(told(client, "connect")) == 1
    assert ids(node, kind) == [created for created in js_ids(client) if created not in bad][:WAITING]


@pytest.mark.parametrize(("cause", "event"), BAD_EVENTS.items(), ids=BAD_EVENTS)
def test_a_promise_of_logux_client_is_settled_for_an_event_that_is_not_taken(
    town: Town, cause: str, event: dict[str, Any]
) -> None:
    node = town.start("kitchen")
    client = town.client("client23", "ada", node)
    client.wait(state="synchronized")

    with pytest.raises(JsError, match=f"because of {cause}"):
        client.add(event, how="sync")
    client.add({"type": "milk"}, how="sync")

    assert types(node) == ["milk"]
    assert client.state() == "synchronized"
