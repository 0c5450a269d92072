"""A change of the network, and a sleep of the machine, are noticed."""

from __future__ import annotations

from dataclasses import replace

from mesh.discovery.mdns.interfaces import Interface
from mesh.discovery.mdns.network_watch import NetworkWatch
from peers.clock import ManualClock
from tests.support.mdns_parts import ETH, LO, WLAN, card


class Lan:
    """A network watch over interfaces that the test makes up."""

    def __init__(self, *interfaces: Interface, wanted: list[str] | None = None) -> None:
        self.clock = ManualClock()
        self.interfaces: tuple[Interface, ...] = interfaces
        self.error: OSError | None = None
        self.changes: list[tuple[str, ...]] = []
        self.wakes = 0
        self.watch = NetworkWatch(
            self.clock,
            wanted,
            on_change=lambda network: self.changes.append(network.announced),
            on_wake=self.wake,
            on_quiet=lambda: None,
            look=self.look,
        )
        self.watch.start()

    def look(self) -> tuple[Interface, ...]:
        if self.error is not None:
            raise self.error
        return self.interfaces

    def wake(self) -> None:
        self.wakes += 1


def test_reports_a_new_address_once_it_has_settled() -> None:
    lan = Lan(LO, WLAN)

    lan.interfaces = (LO, ETH)
    lan.clock.advance(500)
    assert lan.changes == []
    lan.clock.advance(250)

    assert lan.changes == [("192.168.1.7", "192.168.1.8", "fd00::7", "fe80::7")]
    lan.clock.advance(60_000)
    assert len(lan.changes) == 1


def test_reports_the_return_of_a_cable_but_not_its_loss() -> None:
    lan = Lan(LO, WLAN)

    lan.interfaces = (LO, replace(WLAN, is_running=False))
    lan.clock.advance(10_000)
    assert lan.changes == []
    lan.interfaces = (LO, WLAN)
    lan.clock.advance(10_000)

    assert lan.changes == [("10.1.1.7",)]


def test_reports_an_interface_that_was_replaced_under_the_same_address() -> None:
    lan = Lan(LO, WLAN)

    lan.interfaces = (LO, replace(WLAN, index=9))
    lan.clock.advance(10_000)

    assert lan.changes == [("10.1.1.7",)]


def test_reports_a_network_that_never_settles() -> None:
    lan = Lan(LO, WLAN)

    for number in range(1, 40):
        lan.interfaces = (LO, card("wlan0", 3, f"10.1.1.{number}/24"))
        lan.clock.advance(200)

    assert 3 <= len(lan.changes) <= 5


def test_does_not_report_interfaces_that_were_not_given() -> None:
    lan = Lan(LO, WLAN, wanted=["10.1.1.7"])

    lan.interfaces = (LO, WLAN, ETH)
    lan.clock.advance(20_000)
    assert lan.changes == []
    lan.interfaces = (LO, ETH)
    lan.clock.advance(20_000)

    assert lan.changes == [()]


def test_reports_no_change_while_the_interfaces_cannot_be_listed() -> None:
    lan = Lan(LO, WLAN)

    lan.error = OSError("changed while it was read")
    lan.clock.advance(20_000)
    assert lan.watch.trouble == "the network interfaces cannot be listed: changed while it was read"
    lan.error = None
    lan.clock.advance(20_000)

    assert lan.changes == []
    assert lan.watch.trouble == ""


def test_notices_that_the_machine_slept() -> None:
    lan = Lan(LO, WLAN)

    lan.clock.advance(20_000)
    assert lan.wakes == 0
    lan.clock.wall_ms += 3_600_000
    lan.clock.advance(5_000)
    lan.clock.wall_ms -= 3_600_000
    lan.clock.advance(20_000)

    assert lan.wakes == 1
    lan.watch.stop()
    assert lan.clock.waiting == 0
