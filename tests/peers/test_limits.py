"""Limits, and the counts of which were hit."""

from __future__ import annotations

import pytest

from mesh.errors import MeshError
from mesh.settings.config import read_limits
from peers.clock import ManualClock
from peers.limits import MAX_HITS, LimitHits, Limits


def test_limits_are_read_from_numbers_and_their_text() -> None:
    limits = read_limits({"connections": "100", "greeting_seconds": 2, "disk_share_for_own": "0.5"})
    assert limits == Limits(connections=100, greeting_seconds=2, disk_share_for_own=0.5)


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"conections": "100"}, "there is no limit 'conections'; did you mean connections, "),
        ({"milk": "1"}, "there is no limit 'milk'; `mesh config` lists them"),
        ({"connections": "many"}, "the limit connections cannot be 'many': take a whole number above 0"),
        ({"connections": "1.5"}, "the limit connections cannot be 1.5: take a whole number above 0"),
        ({"connections": ""}, "the limit connections cannot be '': take a whole number above 0"),
        ({"connections": "0"}, "the limit connections cannot be 0: take a whole number above 0"),
        ({"connections": True}, "the limit connections cannot be True: take a whole number above 0"),
        ({"greeting_seconds": "nan"}, "the limit greeting_seconds cannot be nan: take a number above 0"),
    ],
)
def test_what_is_no_limit_gets_a_sentence(given: dict[str, object], sentence: str) -> None:
    with pytest.raises(MeshError) as error:
        read_limits(given)
    assert str(error.value).startswith(sentence)


def test_hits_are_counted_by_limit_and_by_who_it_was() -> None:
    clock = ManualClock()
    hits = LimitHits(clock)
    hits.note("connections", "192.0.2.1")
    clock.advance(1_000)
    for _ in range(3):
        hits.note("connects_per_second", "192.0.2.1")
    hits.note("connections", "192.0.2.1")
    assert [(row["limit"], row["by"], row["count"]) for row in hits.rows()] == [
        ("connections", "192.0.2.1", 2),
        ("connects_per_second", "192.0.2.1", 3),
    ]
    assert {row["last_ms"] for row in hits.rows()} == {clock.now_ms()}


def test_the_hit_of_longest_ago_is_forgotten_first() -> None:
    hits = LimitHits(ManualClock())
    for number in range(MAX_HITS):
        hits.note("connections", f"192.0.2.{number}")
    hits.note("connections", "192.0.2.0")
    hits.note("connections", "198.51.100.1")
    found = {row["by"] for row in hits.rows()}
    assert len(found) == MAX_HITS and {"192.0.2.0", "198.51.100.1"} <= found and "192.0.2.1" not in found
