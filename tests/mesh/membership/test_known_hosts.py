"""KnownHosts: whose connections a door does not turn away for what others do."""

from __future__ import annotations

import pytest

from mesh.discovery.port import Sighting
from mesh.membership.dialling.link_selection import Link
from mesh.membership.known_hosts import MAX_MET, KnownHosts
from mesh.membership.membership import Membership
from peers.clock import ManualClock
from peers.limits import LimitHits, Limits


@pytest.mark.parametrize(
    ("address", "key"),
    [
        ("192.0.2.7:4000", "192.0.2.7"),
        ("[fe80::7%eth0]:4000", "fe80::7"),
        ("[2001:db8:1:2::7]:4000", "2001:db8:1:2::/64"),
    ],
)
def test_a_host_is_known_where_a_member_was_met(address: str, key: str) -> None:
    hosts = KnownHosts()
    hosts.on_met(address)

    assert key in hosts and "192.0.2.8" not in hosts


def test_a_name_makes_no_host_known() -> None:
    hosts = KnownHosts()
    hosts.on_met("attic.local:4000")
    hosts.set_static(["attic.local:4000"])

    assert "unknown" not in hosts


def test_the_hosts_met_last_are_remembered() -> None:
    hosts = KnownHosts()
    for number in range(MAX_MET + 1):
        hosts.on_met(f"10.1.{number // 250}.{number % 250}:4000")
        hosts.on_met("192.0.2.7:4000")

    assert "192.0.2.7" in hosts and "10.1.0.0" not in hosts and "10.1.0.2" in hosts


def test_members_that_greeted_and_static_addresses_are_known_and_announced_ones_are_not() -> None:
    hosts = KnownHosts()
    membership = Membership(
        "kitchen", "k1", ["192.0.2.1:4000"], limits=Limits(), hits=LimitHits(ManualClock()), hosts=hosts
    )
    membership.on_sighting(Sighting("attic", ("192.0.2.2:4000",), "a1"), 0.0)
    membership.on_accepted("accepted:1", "192.0.2.3:50000")
    before = [f"192.0.2.{number}" in hosts for number in (1, 2, 3)]

    link = Link("accepted:1", "c1", False, "s1", 1.0)
    membership.on_greeted("accepted:1", "study", link, (), "192.0.2.3:50000", 1.0)
    membership.add_static("192.0.2.4:4000", 2.0)
    membership.remove_static("192.0.2.1:4000")

    assert before == [True, False, False]
    assert [f"192.0.2.{number}" in hosts for number in (1, 2, 3, 4)] == [False, False, True, True]
