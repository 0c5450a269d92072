"""What a Logux client costs the node that serves it: beyond its budget its link is read more slowly, and nothing is lost."""

from __future__ import annotations

from itertools import count
from typing import Any

import pytest

from peers.budgets import Budgets
from peers.clock import ManualClock
from peers.limits import LimitHits, Limits
from tests.support.logux_pair import event, met_server
from tests.support.pair import Stranger

SECOND = 1_000.0
MESSAGES = 20
"""That are allowed in a second here."""


def costly(*, cpu_ms: int = 0, **limits: Any) -> tuple[Stranger, LimitHits]:
    """`cpu_ms`: what each message takes."""
    clock = ManualClock()
    hits = LimitHits(clock)
    limits = {"other_messages_per_second": MESSAGES, **limits}
    return met_server(5, clock=clock, budgets=Budgets(Limits(**limits), hits, clock, count(0, cpu_ms).__next__)), hits


@pytest.mark.parametrize(
    "message",
    [["ping", 0], ["synced", 7], ["sync", 1], ["sync", 1, *event(5, 1)], ["debug", "error", "again"], ["headers", {}]],
    ids=str,
)
def test_of_messages_in_a_loop_no_more_is_read_than_the_budget_allows(message: list[Any]) -> None:
    client, hits = costly()
    client.clock.advance(SECOND)
    heard: list[bytes] = []
    client.connection.on("message", heard.append)

    for _ in range(10 * MESSAGES):
        client.say(*message)
    at_once = len(heard)
    client.clock.advance(4 * SECOND)

    assert at_once <= MESSAGES + 2
    assert 4 * MESSAGES <= len(heard) <= 5 * MESSAGES + 3
    assert client.connected
    assert [(row["limit"], row["by"]) for row in hits.rows()] == [("other_messages_per_second", "client")]


def test_a_client_that_writes_without_end_is_read_more_slowly() -> None:
    client, hits = costly(events_per_second=5, events_at_once=10)

    for number in range(30):
        client.say("sync", number + 1, {"type": f"n{number}"}, {"id": [number, "client", 0], "time": number})
    assert len(client.log.types) == 11
    client.clock.advance(4 * SECOND)

    assert len(client.log.types) == 30
    assert [(row["limit"], row["by"]) for row in hits.rows()] == [("events_per_second", "client")]


def test_messages_with_one_event_each_have_the_budget_for_processor_time_and_many_events_in_one_do_not() -> None:
    client, hits = costly(cpu_ms=1, other_cpu_ms_per_second=50)
    client.clock.advance(SECOND)
    items = [part for n in range(400) for part in ({"type": "a"}, {"id": [n, "client", 0], "time": n})]

    client.say("sync", 1, *items)
    assert hits.rows() == []
    for number in range(30):
        client.say("sync", number + 2, {"type": "b"}, {"id": [400 + number, "client", 0], "time": number})
    assert client.log.types.count("b") < 15
    client.clock.advance(10 * SECOND)

    assert client.log.types.count("b") == 30
    assert [(row["limit"], row["by"]) for row in hits.rows()] == [("other_cpu_ms_per_second", "client")]


def test_a_client_that_lost_its_marks_sends_much_again_without_a_wait() -> None:
    client, hits = costly()
    items = [part for n in range(300) for part in ({"type": "a"}, {"id": [n, "client", 0], "time": n})]

    for number in (1, 2, 3):
        client.say("sync", number, *items)
    client.clock.advance(1)

    assert len(client.log.types) == 300
    assert [message for message in client.heard if message[0] == "synced"] == [["synced", n] for n in (1, 2, 3)]
    assert hits.rows() == []


def test_an_honest_client_is_never_hit() -> None:
    client, hits = costly()

    for number in range(5 * MESSAGES):
        client.say("sync", number + 1, {"type": "a"}, {"id": [number, "client", 0], "time": number})
        client.log.add({"type": "ours"})
        client.say("synced", client.log.state.last_added)

    assert len(client.log.types) == 10 * MESSAGES
    assert hits.rows() == []
