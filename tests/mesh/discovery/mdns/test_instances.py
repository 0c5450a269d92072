"""Announcements that were heard: reported once, within limits that no host on the network can exceed."""

from __future__ import annotations

from collections.abc import Callable

from mesh.discovery.mdns.instances import (
    LOOK_PAUSE_MS,
    REPORTS_OF_SOURCE,
    REPORTS_PER_SECOND,
    SETTLE_MS,
    InstanceReading,
    Instances,
)
from mesh.discovery.port import Sighting
from peers.clock import ManualClock, Undo
from peers.limits import LimitHits, Limits


class Cache:
    """Announcements that the test makes up, and what is reported of them."""

    def __init__(self) -> None:
        self.clock = ManualClock()
        self.readings: dict[str, InstanceReading | None] = {}
        self.sightings: list[Sighting] = []
        self.reads = 0
        self.asked: list[str] = []
        self.withdrawn: list[str] = []
        self.hits = LimitHits(self.clock)
        self.instances = Instances(
            self.clock,
            read=self.read,
            ask=self.ask,
            on_sighting=self.sightings.append,
            limits=Limits(),
            hits=self.hits,
        )

    def read(self, name: str) -> InstanceReading | None:
        self.reads += 1
        return self.readings.get(name)

    def ask(self, name: str) -> Undo:
        self.asked.append(name)
        return lambda: self.withdrawn.append(name)

    def hear(self, name: str, *addresses: str, counter: int = 1) -> None:
        self.readings[name] = InstanceReading(Sighting(name, "run-1", addresses), counter)
        self.instances.heard(name)


def test_reports_each_change_of_an_announcement_once() -> None:
    cache = Cache()

    cache.hear("a", "10.0.0.1:1")
    cache.clock.advance(10_000)
    cache.instances.heard("a")
    cache.clock.advance(10_000)
    cache.hear("a", "10.0.0.2:1")
    cache.clock.advance(10_000)
    cache.hear("a", "10.0.0.2:1", counter=2)
    cache.clock.advance(10_000)

    assert [sighting.addresses for sighting in cache.sightings] == [("10.0.0.1:1",), ("10.0.0.2:1",), ("10.0.0.2:1",)]


def test_reads_an_announcement_again_when_a_replaced_address_has_expired() -> None:
    cache = Cache()
    cache.hear("a", "new", "old")
    cache.clock.advance(100)

    cache.readings["a"] = InstanceReading(Sighting("a", "run-1", ("new",)), 1)
    cache.clock.advance(SETTLE_MS)

    assert [sighting.addresses for sighting in cache.sightings] == [("new", "old"), ("new",)]
    assert cache.clock.waiting == 0


def test_reports_a_goodbye_only_of_a_reported_node() -> None:
    cache = Cache()
    cache.hear("a", "10.0.0.1:1")
    cache.instances.heard("unknown")
    cache.clock.advance(1)

    cache.instances.gone("a")
    cache.instances.gone("a")
    cache.instances.gone("unknown")

    assert [sighting.is_goodbye for sighting in cache.sightings] == [False, True]
    assert cache.withdrawn == ["unknown"]
    assert cache.clock.waiting == 0


def test_an_announcement_that_always_changes_is_read_four_times_a_second() -> None:
    cache = Cache()

    for counter in range(1000):
        cache.hear("a", "10.0.0.1:1", counter=counter)
        cache.clock.advance(1)

    assert cache.reads == 1 + 1000 / LOOK_PAUSE_MS


def test_queries_missing_records_and_queries_again_on_request() -> None:
    cache = Cache()

    cache.instances.heard("a")
    cache.clock.advance(10_000)
    cache.instances.heard("a")
    cache.clock.advance(10_000)
    assert cache.asked == ["a"]
    cache.instances.unanswered("a")
    cache.instances.ask_again()
    cache.clock.advance(10_000)
    assert cache.asked == ["a", "a"]
    cache.readings["a"] = InstanceReading(Sighting("a", "run-1", ("10.0.0.1:1",)))
    cache.instances.answered("a")
    cache.clock.advance(10_000)

    assert [sighting.node_id for sighting in cache.sightings] == ["a"]


def test_forgets_an_announcement_that_is_not_a_node() -> None:
    cache = Cache()
    cache.readings["a"] = InstanceReading(None)

    cache.instances.heard("a")
    cache.clock.advance(1)

    assert len(cache.instances) == 0
    assert cache.sightings == []


def test_two_thousand_forged_names_replace_each_other_and_no_node() -> None:
    cache = Cache()
    cache.hear("kitchen", "10.0.0.1:1")
    cache.clock.advance(2_000)

    for number in range(2_000):
        cache.instances.heard(f"forged-{number}")
        cache.clock.advance(1)
    cache.hear("attic", "10.0.0.2:1")
    cache.clock.advance(2_000)
    cache.instances.gone("kitchen")

    assert len(cache.instances) == Limits().members - 1
    assert len(cache.asked) - len(cache.withdrawn) < Limits().members
    assert [(sighting.node_id, sighting.is_goodbye) for sighting in cache.sightings] == [
        ("kitchen", False),
        ("attic", False),
        ("kitchen", True),
    ]


def flood(cache: Cache, source: Callable[[int], str], *, seconds: int, per_second: int) -> list[str]:
    """The node ids that are reported in a flood of forged, complete announcements."""
    for number in range(seconds * per_second):
        name = f"forged-{number}"
        cache.readings[name] = InstanceReading(Sighting(name, "run-1", ("10.0.0.66:1",)))
        cache.instances.heard(name, source(number))
        cache.clock.advance(1000 // per_second)
    return [sighting.node_id for sighting in cache.sightings]


def test_a_flood_from_one_address_is_limited_and_does_not_delay_other_nodes() -> None:
    cache = Cache()

    flood(cache, lambda number: "10.0.0.66", seconds=14, per_second=100)
    cache.readings["attic"] = InstanceReading(Sighting("attic", "run-1", ("10.0.0.2:1",)))
    cache.instances.heard("attic", "10.0.0.2")
    cache.clock.advance(1)
    reported = flood(cache, lambda number: "10.0.0.66", seconds=1, per_second=61)

    burst, per_second = REPORTS_OF_SOURCE
    assert "attic" in reported
    assert len(reported) <= burst + 16 * per_second + 1
    assert len(cache.instances) == Limits().members


def test_a_flood_from_many_addresses_is_limited() -> None:
    cache = Cache()

    reported = flood(cache, lambda number: f"10.0.{number % 200}.{number % 211}", seconds=10, per_second=500)

    burst, per_second = Limits().members, REPORTS_PER_SECOND
    assert burst <= len(reported) <= burst + 11 * per_second
