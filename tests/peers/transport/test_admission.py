"""Door: which connections come in, by their addresses, and which strangers have to leave."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from mesh.lab.simulation.virtual_loop import VirtualLoop
from peers.limits import Limits
from peers.transport.accepting.door import MAX_ADDRESSES, Door, Visit

KNOWN = "192.0.2.1"
PLENTY = dict.fromkeys(("connects_per_second", "connects_of_address_per_second", "strangers_of_address"), 10000)


class Street:
    """A door in virtual time, and what happened at it."""

    def __init__(self, loop: VirtualLoop, **fields: Any) -> None:
        self.loop = loop
        self.hits: list[tuple[str, str]] = []
        self.ended: list[Visit] = []
        self.door = Door(loop, Limits(**fields), lambda limit, who: self.hits.append((limit, who)), {KNOWN})

    def come(self, address: str, *, is_greeting: bool = False) -> Visit | None:
        """One connection that is let in, or none. Who is ended is closed at once."""
        if not self.door.may_enter(address):
            return None
        visit = self.door.enter(address, lambda: self.end(visit))
        if is_greeting:
            visit.welcome()
        return visit

    def end(self, visit: Visit) -> None:
        self.ended.append(visit)
        visit.leave()


@pytest.fixture
def loop() -> Iterator[VirtualLoop]:
    loop = VirtualLoop(1)
    yield loop
    loop.close()


def test_a_stranger_has_to_leave_at_its_deadline_and_a_known_end_stays(loop: VirtualLoop) -> None:
    street = Street(loop, greeting_seconds=5)
    first = street.come("192.0.2.7")
    loop.run_for(2.0)
    known, second = street.come("192.0.2.7", is_greeting=True), street.come("192.0.2.8")

    loop.run_for(2.9)
    assert street.ended == []
    loop.run_for(0.2)
    assert street.ended == [first]
    loop.run_for(60.0)

    assert known is not None and street.ended == [first, second]
    assert street.hits == [("greeting_seconds", "192.0.2.7"), ("greeting_seconds", "192.0.2.8")]


def test_connections_of_an_address_come_in_up_to_a_rate(loop: VirtualLoop) -> None:
    street = Street(loop, connects_of_address_per_second=10, connects_per_second=40)

    at_once = [street.come("192.0.2.7", is_greeting=True) for _ in range(30)]
    loop.run_for(0.5)
    later = [street.come("192.0.2.7", is_greeting=True) for _ in range(30)]

    assert [sum(visit is not None for visit in visits) for visits in (at_once, later)] == [20, 5]
    assert street.hits == [("connects_of_address_per_second", "192.0.2.7")] * 35
    assert street.come("192.0.2.8") is not None


def test_known_addresses_have_a_rate_for_themselves(loop: VirtualLoop) -> None:
    street = Street(loop, connects_per_second=50, strangers_of_address=8)

    strangers = [street.come(f"198.51.100.{number}") for number in range(80)]

    assert sum(visit is not None for visit in strangers) == 50
    assert street.hits == [("connects_per_second", f"198.51.100.{number}") for number in range(50, 80)]
    assert sum(street.come(KNOWN) is not None for _ in range(60)) == 50
    assert street.hits[30:] == [("connects_per_second", KNOWN)] * 10


def test_a_newcomer_ends_an_old_stranger_of_its_address_but_no_young_one(loop: VirtualLoop) -> None:
    street = Street(loop, strangers_of_address=2, greeting_seconds=5)
    first, second = street.come("192.0.2.7"), street.come("192.0.2.7")

    assert street.come("192.0.2.7") is None
    assert street.come("192.0.2.8") is not None
    loop.run_for(2.6)
    assert street.come("192.0.2.7") is not None

    assert street.ended == [first] and second is not None
    assert street.hits == [("strangers_of_address", "192.0.2.7")] * 2


def test_an_address_has_a_limit_of_open_connections(loop: VirtualLoop) -> None:
    street = Street(loop, connections_of_address=3, **PLENTY)
    visits = [street.come("192.0.2.7", is_greeting=True) for _ in range(4)]

    assert visits[3] is None and visits[0] is not None
    visits[0].leave()
    visits[0].leave()

    assert street.come("192.0.2.7", is_greeting=True) is not None
    assert street.come("192.0.2.7") is None
    assert street.hits == [("connections_of_address", "192.0.2.7")] * 2


def test_known_addresses_have_places_of_their_own(loop: VirtualLoop) -> None:
    street = Street(loop, connections=10, reserved_connections=3, **PLENTY)

    others = [street.come(f"198.51.100.{number}", is_greeting=True) for number in range(8)]
    known = [street.come(KNOWN, is_greeting=True) for _ in range(4)]

    assert sum(visit is not None for visit in others) == 7
    assert sum(visit is not None for visit in known) == 3
    assert street.hits == [("connections", "198.51.100.7"), ("connections", KNOWN)]


def test_while_strangers_hold_all_places_a_newcomer_ends_the_oldest(loop: VirtualLoop) -> None:
    street = Street(loop, connections=4, reserved_connections=1, **PLENTY)
    strangers = [street.come(f"198.51.100.{number}") for number in range(3)]

    assert street.come("192.0.2.7") is not None

    assert street.ended == strangers[:1]
    assert street.hits == [("connections", "198.51.100.0")]


def test_the_rates_of_addresses_do_not_fill_the_memory(loop: VirtualLoop) -> None:
    street = Street(loop, connects_of_address_per_second=1, connects_per_second=2, connections_of_address=1)
    assert street.come("192.0.2.7", is_greeting=True) is not None
    for number in range(MAX_ADDRESSES + 10):
        loop.run_for(0.6)
        visit = street.come(f"stranger {number}", is_greeting=True)
        assert visit is not None
        visit.leave()

    loop.run_for(0.3)
    assert street.come(f"stranger {MAX_ADDRESSES + 9}") is None
    assert street.come("192.0.2.7") is None  # an address with a connection is not forgotten

    assert street.hits == [
        ("connects_of_address_per_second", f"stranger {MAX_ADDRESSES + 9}"),
        ("connections_of_address", "192.0.2.7"),
    ]


def test_a_closed_door_keeps_no_stranger(loop: VirtualLoop) -> None:
    street = Street(loop)
    stranger, known = street.come("192.0.2.7"), street.come("192.0.2.8", is_greeting=True)

    street.door.close()

    assert street.ended == [stranger] and known is not None
