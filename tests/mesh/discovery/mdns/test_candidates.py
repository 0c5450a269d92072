"""Which addresses of an announcement are dialled, and in which order."""

from __future__ import annotations

import pytest

from mesh.discovery.mdns.candidates import candidates
from mesh.discovery.mdns.interfaces import ChosenInterfaces, Interface
from tests.support.mdns_parts import card


def on(*interfaces: Interface, unused: tuple[Interface, ...] = ()) -> ChosenInterfaces:
    return ChosenInterfaces(interfaces, machine=(*interfaces, *unused))


LAN_CARD = card("eth0", 2, "10.0.0.1/24", "fd77::1/64", "fe80::5/64")
BRIDGES = [card(f"bridge{number}", 10 + number, f"10.{88 + number}.0.1/24") for number in range(10)]
BRIDGE_ADDRESSES = [f"10.{88 + number}.0.1" for number in range(10)]


def dialled(
    *found: str, network: ChosenInterfaces | None = None, port: int = 4000, source: str = ""
) -> tuple[str, ...]:
    return candidates(found, port, network=network or on(LAN_CARD), own_port=4000, limit=6, source=source)


def test_dials_addresses_of_the_nearest_network_first() -> None:
    found = ["172.17.0.1", "fe80::1%2", "2001:db8::1", "10.0.0.9", "fd77::9"]

    assert dialled(*found) == (
        "10.0.0.9:4000",
        "[fd77::9]:4000",
        "[fe80::1%2]:4000",
        "172.17.0.1:4000",
        "[2001:db8::1]:4000",
    )


@pytest.mark.parametrize(
    "address",
    [
        "10.0.0.1",
        "127.0.0.1",
        "::1",
        "fe80::1",
        "0.0.0.0",
        "::",
        "224.0.0.251",
        "ff02::fb",
        "255.255.255.255",
        "169.254.1.1",
        "::ffff:10.0.0.9",
        "x",
    ],
)
def test_never_dials(address: str) -> None:
    assert dialled(address) == ()


@pytest.mark.parametrize("source", ["", "10.0.0.9", "fe80::9%2"])
def test_an_address_that_this_machine_has_itself_is_not_dialled_for_another_machine(source: str) -> None:
    network = on(LAN_CARD, *BRIDGES[:5], unused=tuple(BRIDGES[5:]))

    assert dialled(*BRIDGE_ADDRESSES, "10.0.0.9", network=network, source=source) == ("10.0.0.9:4000",)


def test_an_address_of_this_machine_is_dialled_when_nothing_else_is_left() -> None:
    assert dialled("10.0.0.1", port=4001, source="10.0.0.9") == ("10.0.0.1:4001",)


def test_a_second_node_of_this_machine_is_dialled_at_any_address_of_it() -> None:
    both = dialled("127.0.0.1", "10.88.0.1", "10.0.0.1", port=4001, source="10.0.0.1", network=on(LAN_CARD, BRIDGES[0]))

    assert both == ("10.0.0.1:4001", "10.88.0.1:4001", "127.0.0.1:4001")
    assert dialled("127.0.0.1", port=4001, network=on(card("lo", 1, "127.0.0.1/8", "::1/128"))) == ("127.0.0.1:4001",)
    assert dialled("127.0.0.1", port=4001, source="10.0.0.9") == ()


@pytest.mark.parametrize("source", ["192.168.5.9", "fe80::9%3"])
def test_the_network_on_which_the_announcement_came_is_dialled_first(source: str) -> None:
    wifi = card("wlan0", 3, "192.168.5.1/24", "fd99::1/64", "fe80::6/64")
    found = ["10.0.0.9", "fd77::9", "8.8.8.8", "fd99::9", "192.168.5.9"]

    assert dialled(*found, network=on(LAN_CARD, wifi), source=source) == (
        "192.168.5.9:4000",
        "[fd99::9]:4000",
        "10.0.0.9:4000",
        "[fd77::9]:4000",
        "8.8.8.8:4000",
    )


def test_a_wide_network_does_not_take_the_place_of_a_narrow_one() -> None:
    vpn = card("vpn0", 3, "10.8.0.1/8")

    assert dialled("10.200.0.9", "10.0.0.9", network=on(vpn, LAN_CARD), source="10.0.0.9") == (
        "10.0.0.9:4000",
        "10.200.0.9:4000",
    )


def test_of_the_link_local_addresses_the_one_that_sent_the_announcement_is_tried_first() -> None:
    found = ["fe80::a%2", "fe80::b%2", "fe80::9%2", "8.8.8.8"]

    assert dialled(*found, source="fe80::9%2")[0] == "[fe80::9%2]:4000"
    assert dialled("fe80::5%2", "fe80::9%2") == ("[fe80::9%2]:4000",)  # the first is our own


def test_dials_another_port_of_its_own_machine() -> None:
    assert dialled("10.0.0.1", port=4001) == ("10.0.0.1:4001",)


def test_dials_six_addresses_of_a_node_at_most_and_its_own_address_among_them() -> None:
    found = [f"10.0.0.{number}" for number in range(2, 200)]

    assert dialled(*found, *found) == tuple(f"10.0.0.{number}:4000" for number in range(2, 8))
    assert "10.0.0.150:4000" in dialled(*found, source="10.0.0.150")
    assert "172.20.0.9:4000" in dialled(*found, "172.20.0.9", source="172.20.0.9")
    assert "10.0.0.250:4000" in dialled(*found, source="10.0.0.250")  # the announcement was full
    assert (
        dialled(*(f"10.1.{number // 256}.{number % 256}" for number in range(9_000)), source="10.0.0.9")[0]
        == "10.0.0.9:4000"
    )
    assert dialled(*found, port=0) == dialled(*found, port=65536) == ()
