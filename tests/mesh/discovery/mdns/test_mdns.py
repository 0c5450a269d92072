"""Discovery by mDNS: its pure parts, and two nodes that really talk, on loopback and under a type of their own."""

from __future__ import annotations

import asyncio
import itertools
import json
import secrets
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import replace
from ipaddress import ip_interface
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from zeroconf.asyncio import AsyncServiceInfo, AsyncZeroconf

from mesh.discovery.mdns import txt_record
from mesh.discovery.mdns.instances import (
    INSTANCE_LIMIT,
    LOOK_PAUSE_MS,
    REPORTS,
    REPORTS_OF_SOURCE,
    SETTLE_MS,
    InstanceReading,
    Instances,
)
from mesh.discovery.mdns.interfaces import ChosenInterfaces, Interface, choose, what_is_missing
from mesh.discovery.mdns.mdns import SERVICE_TYPE, MdnsDiscovery
from mesh.discovery.mdns.network_watch import NetworkWatch
from mesh.discovery.mdns.query_schedule import QuerySchedule, requery_pauses
from mesh.discovery.mdns.scan import scan
from mesh.discovery.port import Announcement, Discovery, DiscoveryState, Sighting
from mesh.discovery.static import StaticDiscovery
from peers.clock import LoopClock, ManualClock, Undo
from peers.later import Later
from peers.transport.sockets import EVERY_HOST
from tests.support.root import ROOT

KITCHEN = "kitchen~7f3q2x5a"
ATTIC = "attic~2222aaaa"


# The TXT record.


def test_a_text_record_reads_as_it_was_written() -> None:
    record = txt_record.TextRecord(KITCHEN, "mesh-hash", "run-1", 7)

    raw = txt_record.encode(record)

    assert raw.startswith(b"\x03v=1\x13id=" + KITCHEN.encode())
    assert txt_record.decode(raw) == record
    assert len(raw) < 200


def entries(*texts: bytes) -> bytes:
    return b"".join(bytes([len(text)]) + text for text in texts)


@pytest.mark.parametrize(
    ("why", "raw"),
    [
        ("empty", b""),
        ("cut off", entries(b"v=1", b"id=a", b"c=m", b"b=1")[:-1]),
        ("no id", entries(b"v=1", b"c=m", b"b=1")),
        ("no mesh", entries(b"v=1", b"id=a", b"b=1")),
        ("no instance", entries(b"v=1", b"id=a", b"c=m")),
        ("another version", entries(b"v=2", b"id=a", b"c=m", b"b=1")),
        ("no version", entries(b"id=a", b"c=m", b"b=1")),
        ("control characters", entries(b"v=1", b"id=a\x1b[2J", b"c=m", b"b=1")),
        ("not UTF-8", entries(b"v=1", b"id=\xff\xfe", b"c=m", b"b=1")),
        ("a long id", entries(b"v=1", b"id=" + b"a" * 101, b"c=m", b"b=1")),
        ("a long record", entries(b"v=1", b"id=a", b"c=m", b"b=1", b"x=" + b"a" * 200, b"y=" + b"a" * 200)),
        ("a counter that is none", entries(b"v=1", b"id=a", b"c=m", b"b=1", b"s=-1")),
        ("a huge counter", entries(b"v=1", b"id=a", b"c=m", b"b=1", b"s=" + b"9" * 200)),
    ],
)
def test_ignores_a_text_record_with(why: str, raw: bytes) -> None:
    assert txt_record.decode(raw) is None, why


def test_skips_unknown_entries_and_takes_the_first_of_two() -> None:
    raw = entries(b"V=1", b"=odd", b"flag", b"x=y", b"id=a", b"id=b", b"c=m", b"b=1")

    assert txt_record.decode(raw) == txt_record.TextRecord("a", "m", "1", 0)


@given(st.binary(max_size=500))
def test_no_bytes_break_the_reader(raw: bytes) -> None:
    record = txt_record.decode(raw)

    assert record is None or txt_record.decode(txt_record.encode(record)) == record


def test_refuses_to_announce_what_nobody_would_accept() -> None:
    with pytest.raises(ValueError, match="cannot announce node id 'a b'"):
        txt_record.encode(txt_record.TextRecord("a b", "m", "1"))


# When to ask.


@pytest.mark.parametrize(
    ("requery_seconds", "pauses"),
    [(45.0, [0, 1, 2, 6, 18]), (4.0, [0, 1, 2, 4, 4]), (1.0, [0, 1, 1, 1, 1])],
)
def test_asks_soon_at_first(requery_seconds: float, pauses: list[float]) -> None:
    assert list(itertools.islice(requery_pauses(requery_seconds, Random(1)), 5)) == pauses


def test_asks_steadily_later_and_not_in_chorus() -> None:
    steady = list(itertools.islice(requery_pauses(45, Random(1)), 5, 205))

    assert 36 <= min(steady) < 38
    assert 52 < max(steady) <= 54


def test_asks_again_after_a_restart_but_never_within_a_second() -> None:
    clock = ManualClock()
    asked: list[float] = []
    requery = QuerySchedule(clock, Random(1), lambda: asked.append(clock.elapsed_ms()), requery_seconds=45)

    requery.restart()
    clock.advance(3_500)
    for _ in range(8):  # as when eight sessions end one after the other
        requery.restart()
        clock.advance(100)
    clock.advance(2_000)
    requery.stop()

    assert asked == [0, 1000, 3000, 4000, 5000, 6000]
    assert clock.waiting == 0


# Which interfaces.


def own(*addresses: str) -> list[Any]:
    return [ip_interface(address) for address in addresses]


def card(name: str, index: int, *addresses: str) -> Interface:
    return Interface(name, index, tuple(own(*addresses)))


LO = Interface("lo", 1, tuple(own("127.0.0.1/8", "::1/128")))
ETH = Interface("eth0", 2, tuple(own("192.168.1.7/24", "192.168.1.8/24", "fd00::7/64", "fe80::7/64")))
WLAN = Interface("wlan0", 3, tuple(own("10.1.1.7/24")))
DOCKER = Interface("docker0", 4, tuple(own("172.17.0.1/16")))


def test_uses_every_lan_and_nothing_else() -> None:
    veth, down = card("veth12ab34c", 5, "10.9.0.1/24"), Interface("eth1", 6, WLAN.addresses, is_up=False)
    tunnel = Interface("wg0", 7, tuple(own("10.8.0.1/24")), is_multicast=False)

    network = choose([LO, ETH, WLAN, DOCKER, veth, down, tunnel], None)

    assert network.sockets == ("192.168.1.7", "fe80::7", "10.1.1.7")
    assert network.announced == ("192.168.1.7", "192.168.1.8", "10.1.1.7", "fd00::7", "fe80::7")


@pytest.mark.parametrize(
    ("hosts", "announced"),
    [
        (("0.0.0.0",), ("192.168.1.7", "192.168.1.8", "10.1.1.7")),
        (("::",), ("fd00::7", "fe80::7")),
        (("192.168.1.8",), ("192.168.1.8",)),
        (("fe80::7%2",), ("fe80::7",)),
        (("fe80::7%3",), ()),
        (("10.1.1.7", "fd00::7"), ("10.1.1.7", "fd00::7")),
        (("127.0.0.1",), ()),
        (("127.0.0.1", "::1"), ()),
        ((), ()),
    ],
)
def test_announces_exactly_what_is_listened_on(hosts: tuple[str, ...], announced: tuple[str, ...]) -> None:
    network = choose([LO, ETH, WLAN, DOCKER], None)

    assert replace(network, hosts=hosts).announced == announced


def test_an_address_of_the_other_family_takes_no_place_in_an_announcement() -> None:
    many = Interface("eth0", 2, tuple(own(*(f"10.0.0.{n}/24" for n in range(1, 30)), "fd00::7/64")))

    assert ChosenInterfaces((many,), hosts=("::",)).announced == ("fd00::7",)


def test_nodes_that_listen_on_loopback_are_announced_where_discovery_is_on_loopback() -> None:
    assert replace(choose([LO], None), hosts=("127.0.0.1",)).announced == ("127.0.0.1",)


@pytest.mark.parametrize("name", ["br-lan", "br-home", "vethlan", "veth0", "tun5", "virbr0", "docker1", "dockerlan"])
def test_only_docker_s_own_names_are_passed_over(name: str) -> None:
    docker = [card(each, 9, "172.18.0.1/16") for each in ("br-0123456789ab", "veth0a1b2c3")]

    network = choose([LO, DOCKER, *docker, card(name, 5, "10.9.0.1/24")], None)

    assert network.names == (name,)
    assert what_is_missing(network, None) == ""


def test_uses_what_it_passed_over_and_then_loopback_when_there_is_nothing_else() -> None:
    docker, alone = choose([LO, DOCKER], None), choose([LO], None)

    assert (docker.announced, alone.announced) == (("172.17.0.1",), ("127.0.0.1",))
    assert what_is_missing(docker, None) == "no other network than Docker's is up"
    assert (
        what_is_missing(alone, None) == "no network that can multicast is up, so only nodes of this machine are found"
    )
    assert what_is_missing(choose([LO], ["lo"]), ["lo"]) == ""
    assert choose([], None).sockets == ()


@pytest.mark.parametrize(
    ("wanted", "announced"),
    [
        (["192.168.1.8"], ("192.168.1.8",)),
        (["wlan0"], ("10.1.1.7",)),
        (["fe80::7%eth0", "10.1.1.7"], ("10.1.1.7", "fe80::7")),
        (["fe80::7%wlan0"], ()),
        (["docker0"], ("172.17.0.1",)),
        (["10.99.99.99", "nonsense"], ()),
        ([], ()),
    ],
)
def test_never_widens_a_given_list(wanted: list[str], announced: tuple[str, ...]) -> None:
    assert choose([LO, ETH, WLAN, DOCKER], wanted).announced == announced


def test_finds_loopback_on_this_machine() -> None:
    loopback = [interface for interface in scan() if ip_interface("127.0.0.1/8") in interface.addresses]

    assert [interface.is_loopback and interface.is_up for interface in loopback] == [True]


SANDBOX = ROOT / "tests" / "support" / "sandbox.py"


@pytest.mark.skipif(sys.platform != "linux", reason="sandboxes are made with Linux's seccomp")
@pytest.mark.parametrize(
    ("denied", "versions", "missing"),
    [
        ("AF_INET", {6}, "without IPv4, since this process may not open AF_INET sockets"),
        ("AF_NETLINK", {4}, "without IPv6, since this process may not open AF_NETLINK sockets"),
        ("AF_INET,AF_NETLINK", set(), "without IPv4 and IPv6, since this process may not open AF_INET and AF_NETLINK"),
    ],
)
def test_lists_what_a_sandbox_leaves_and_says_what_it_takes(denied: str, versions: set[int], missing: str) -> None:
    code = """
from mesh.discovery.mdns.scan import scan, what_is_denied
try:
    print(sorted({address.version for each in scan() for address in each.addresses}))
except OSError:
    print([])
print(what_is_denied())
"""

    command = [sys.executable, SANDBOX, denied, sys.executable, "-c", code]
    shown = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT).stdout.splitlines()

    assert set(json.loads(shown[0])) <= versions  # a machine may have no IPv6
    assert shown[1].startswith(missing)


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

    lan.interfaces = (LO, Interface("wlan0", 3, WLAN.addresses, is_running=False))
    lan.clock.advance(10_000)
    assert lan.changes == []
    lan.interfaces = (LO, WLAN)
    lan.clock.advance(10_000)

    assert lan.changes == [("10.1.1.7",)]


def test_reports_an_interface_that_was_replaced_under_the_same_address() -> None:
    lan = Lan(LO, WLAN)

    lan.interfaces = (LO, Interface("wlan0", 9, WLAN.addresses))
    lan.clock.advance(10_000)

    assert lan.changes == [("10.1.1.7",)]


def test_reports_a_network_that_never_settles() -> None:
    lan = Lan(LO, WLAN)

    for number in range(1, 40):
        lan.interfaces = (LO, card("wlan0", 3, f"10.1.1.{number}/24"))
        lan.clock.advance(200)

    assert 3 <= len(lan.changes) <= 5


def test_does_not_report_what_a_given_list_leaves_out() -> None:
    lan = Lan(LO, WLAN, wanted=["10.1.1.7"])

    lan.interfaces = (LO, WLAN, ETH)
    lan.clock.advance(20_000)
    assert lan.changes == []
    lan.interfaces = (LO, ETH)
    lan.clock.advance(20_000)

    assert lan.changes == [()]


def test_keeps_what_it_knows_while_the_interfaces_cannot_be_listed() -> None:
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


# What was heard.


class Cache:
    """Records that the test makes up, and what became of them."""

    def __init__(self) -> None:
        self.clock = ManualClock()
        self.readings: dict[str, InstanceReading | None] = {}
        self.sightings: list[Sighting] = []
        self.reads = 0
        self.asked: list[str] = []
        self.withdrawn: list[str] = []
        self.instances = Instances(self.clock, read=self.read, ask=self.ask, on_sighting=self.sightings.append)

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


def test_looks_again_once_a_replaced_address_has_expired() -> None:
    cache = Cache()
    cache.hear("a", "new", "old")
    cache.clock.advance(100)

    cache.readings["a"] = InstanceReading(Sighting("a", "run-1", ("new",)), 1)
    cache.clock.advance(SETTLE_MS)

    assert [sighting.addresses for sighting in cache.sightings] == [("new", "old"), ("new",)]
    assert cache.clock.waiting == 0


def test_says_goodbye_only_of_what_it_reported() -> None:
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


def test_a_flood_of_changes_is_looked_at_four_times_a_second() -> None:
    cache = Cache()

    for counter in range(1000):
        cache.hear("a", "10.0.0.1:1", counter=counter)
        cache.clock.advance(1)

    assert cache.reads == 1 + 1000 / LOOK_PAUSE_MS


def test_asks_for_missing_records_and_again_when_told_to() -> None:
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


def test_forgets_what_is_not_for_us() -> None:
    cache = Cache()
    cache.readings["a"] = InstanceReading(None)

    cache.instances.heard("a")
    cache.clock.advance(1)

    assert len(cache.instances) == 0
    assert cache.sightings == []


def test_two_thousand_forged_names_push_out_each_other_and_not_a_node() -> None:
    cache = Cache()
    cache.hear("kitchen", "10.0.0.1:1")
    cache.clock.advance(2_000)

    for number in range(2_000):
        cache.instances.heard(f"forged-{number}")
        cache.clock.advance(1)
    cache.hear("attic", "10.0.0.2:1")
    cache.clock.advance(2_000)
    cache.instances.gone("kitchen")

    assert len(cache.instances) == INSTANCE_LIMIT - 1
    assert len(cache.asked) - len(cache.withdrawn) < INSTANCE_LIMIT
    assert [(sighting.node_id, sighting.is_goodbye) for sighting in cache.sightings] == [
        ("kitchen", False),
        ("attic", False),
        ("kitchen", True),
    ]


def flood(cache: Cache, source: Callable[[int], str], *, seconds: int, per_second: int) -> list[str]:
    """Node ids that were reported while so many forged announcements, whole ones, come in."""
    for number in range(seconds * per_second):
        name = f"forged-{number}"
        cache.readings[name] = InstanceReading(Sighting(name, "run-1", ("10.0.0.66:1",)))
        cache.instances.heard(name, source(number))
        cache.clock.advance(1000 // per_second)
    return [sighting.node_id for sighting in cache.sightings]


def test_of_a_flood_from_one_address_few_are_reported_and_other_nodes_at_once() -> None:
    cache = Cache()

    flood(cache, lambda number: "10.0.0.66", seconds=14, per_second=100)
    cache.readings["attic"] = InstanceReading(Sighting("attic", "run-1", ("10.0.0.2:1",)))
    cache.instances.heard("attic", "10.0.0.2")
    cache.clock.advance(1)
    reported = flood(cache, lambda number: "10.0.0.66", seconds=1, per_second=61)

    burst, per_second = REPORTS_OF_SOURCE
    assert "attic" in reported
    assert len(reported) <= burst + 16 * per_second + 1
    assert len(cache.instances) == INSTANCE_LIMIT


def test_of_a_flood_from_many_addresses_what_is_reported_is_limited_too() -> None:
    cache = Cache()

    reported = flood(cache, lambda number: f"10.0.{number % 200}.{number % 211}", seconds=10, per_second=500)

    burst, per_second = REPORTS
    assert burst <= len(reported) <= burst + 11 * per_second


# What people are told.


@pytest.mark.parametrize(
    ("state", "sentence"),
    [
        (DiscoveryState(True, ("eth0", "wlan0")), "looks for other nodes on eth0, wlan0"),
        (DiscoveryState(True, tuple("abcdefghij")), "looks for other nodes on a, b, c, d, e, f, g, h and 2 more"),
        (DiscoveryState(True, ("lo",), "it is alone"), "warning: looks for other nodes on lo, but it is alone"),
        (DiscoveryState(True), ""),
        (
            DiscoveryState(False, (), "no network"),
            "warning: does not look for other nodes: no network; "
            "it tries again when the network changes, and nodes given with --peer are dialled all the same",
        ),
    ],
)
def test_says_in_a_sentence_where_it_looks_for_others(state: DiscoveryState, sentence: str) -> None:
    assert state.sentence == sentence


# The ports, and what they refuse.


def test_the_service_type_is_one_that_every_browser_takes() -> None:
    name = SERVICE_TYPE.removesuffix("._tcp.local.")

    assert name.startswith("_")
    assert len(name) - 1 <= 15


@pytest.mark.parametrize(
    "service_type",
    [
        "_a_b._tcp.local.",
        "_abcdefghijklmnop._tcp.local.",
        "_x._tcp.local",
        "_1._tcp.local.",
        "_a--b._tcp.local.",
        "_-a._tcp.local.",
    ],
)
def test_refuses_the_service_type(service_type: str) -> None:
    with pytest.raises(ValueError, match="service type"):
        run(lambda: asyncio.sleep(0, MdnsDiscovery(*parts(), service_type=service_type)))


def test_fixed_discovery_finds_nobody() -> None:
    discovery: Discovery = StaticDiscovery()

    assert discovery.start(Announcement(KITCHEN, "m", "run-1", 4000), pytest.fail).get() is None
    discovery.requery()
    assert discovery.stop().get() is None


# Two nodes on loopback. Each test has a service type of its own: other programs of the machine are heard too.


def run(test: Callable[[], Coroutine[Any, Any, Any]]) -> None:
    """Run a coroutine in asyncio's debug mode; nothing of it may be left."""

    async def check() -> None:
        async with asyncio.timeout(20):
            await test()
        await asyncio.sleep(0)
        left = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        assert left == []

    asyncio.run(check(), debug=True)


def parts() -> tuple[asyncio.AbstractEventLoop, LoopClock, Random]:
    loop = asyncio.get_running_loop()
    return loop, LoopClock(loop), Random(1)


class Loopback:
    """Nodes of one service type on 127.0.0.1, and what each of them saw."""

    def __init__(self) -> None:
        self.service_type = f"_t{secrets.token_hex(6)}._tcp.local."
        self.seen: dict[str, list[Sighting]] = {}
        self.running: list[MdnsDiscovery] = []
        self.strangers: list[AsyncZeroconf] = []
        self.broadcasts: list[Awaitable[Any]] = []

    async def start(
        self,
        node_id: str,
        *,
        mesh: str = "m",
        instance: str = "run-1",
        port: int = 4000,
        hosts: tuple[str, ...] = EVERY_HOST,
    ) -> MdnsDiscovery:
        node = MdnsDiscovery(*parts(), interfaces=["127.0.0.1"], service_type=self.service_type)
        seen = self.seen.setdefault(node_id, [])
        await node.start(Announcement(node_id, mesh, instance, port, hosts), seen.append)
        self.running.append(node)
        return node

    async def register(self, label: str, raw: bytes, *, port: int = 4001) -> AsyncZeroconf:
        """What any program on the LAN may announce, at once and without asking."""
        stranger = AsyncZeroconf(interfaces=["127.0.0.1"])
        self.strangers.append(stranger)
        info = self.info(label, raw, port)
        self.broadcasts.append(await stranger.async_register_service(info, cooperating_responders=True))
        return stranger

    def info(self, label: str, raw: bytes, port: int = 4001) -> AsyncServiceInfo:
        return AsyncServiceInfo(
            self.service_type,
            f"{label}.{self.service_type}",
            port=port,
            properties=raw,
            server=f"{label}.local.",
            parsed_addresses=["127.0.0.1"],
        )

    async def until(self, node_id: str, *wanted: Sighting) -> None:
        """Wait until the last sightings of a node are these."""
        deadline = time.monotonic() + 5
        while self.seen[node_id][-len(wanted) :] != list(wanted):
            assert time.monotonic() < deadline, self.seen[node_id]
            await asyncio.sleep(0.01)

    async def until_seen(self, node_id: str, *wanted: Sighting) -> None:
        """Wait until a node has seen these, in any order."""
        deadline = time.monotonic() + 5
        while not all(each in self.seen[node_id] for each in wanted):
            assert time.monotonic() < deadline, self.seen[node_id]
            await asyncio.sleep(0.01)

    async def until_dials(self, node_id: str, address: str) -> None:
        """Wait until a node's last sighting has this address in the first place."""
        deadline = time.monotonic() + 5
        while self.seen[node_id][-1].addresses[0] != address:
            assert time.monotonic() < deadline, self.seen[node_id]
            await asyncio.sleep(0.01)

    async def __aenter__(self) -> Loopback:
        return self

    async def __aexit__(self, *_: object) -> None:
        ends = [until_done(node.stop()) for node in self.running]
        await asyncio.gather(*self.broadcasts)
        await asyncio.gather(*ends, *(stranger.async_close() for stranger in self.strangers))


def sighting(node_id: str, port: int, *, instance: str = "run-1", **more: Any) -> Sighting:
    return Sighting(node_id, instance, (f"127.0.0.1:{port}",), **more)


def test_two_nodes_see_each_other_and_not_themselves() -> None:
    async def test() -> None:
        async with Loopback() as lan:
            await lan.start(KITCHEN, port=4000)
            await lan.start(ATTIC, port=4001)

            await lan.until(KITCHEN, sighting(ATTIC, 4001))
            await lan.until(ATTIC, sighting(KITCHEN, 4000))

        assert {each.node_id for each in lan.seen[KITCHEN]} == {ATTIC}
        assert {each.node_id for each in lan.seen[ATTIC]} == {KITCHEN}

    run(test)


def test_marks_nodes_of_other_meshes_and_reports_copies_of_itself() -> None:
    async def test() -> None:
        async with Loopback() as lan:
            await lan.start(KITCHEN)
            await lan.register("cellar", txt_record.encode(txt_record.TextRecord("cellar~1", "another", "run-1")))
            await lan.register("copy", txt_record.encode(txt_record.TextRecord(KITCHEN, "m", "run-2")))
            await lan.register("attic", txt_record.encode(txt_record.TextRecord(ATTIC, "m", "run-1")))

            stranger = sighting("cellar~1", 4001, other_mesh="another")
            await lan.until_seen(KITCHEN, sighting(ATTIC, 4001), sighting(KITCHEN, 4001, instance="run-2"), stranger)

        seen = {(each.node_id, each.instance) for each in lan.seen[KITCHEN]}
        assert seen == {(ATTIC, "run-1"), (KITCHEN, "run-2"), ("cellar~1", "run-1")}

    run(test)


def test_sees_a_restart_and_a_goodbye() -> None:
    async def test() -> None:
        async with Loopback() as lan:
            await lan.start(KITCHEN)
            attic = await lan.register("attic", txt_record.encode(txt_record.TextRecord(ATTIC, "m", "run-1", 1)))
            await lan.until(KITCHEN, sighting(ATTIC, 4001))

            restarted = lan.info("attic", txt_record.encode(txt_record.TextRecord(ATTIC, "m", "run-2", 1)))
            lan.broadcasts.append(await attic.async_update_service(restarted))
            await lan.until(KITCHEN, sighting(ATTIC, 4001, instance="run-2"))
            await attic.async_close()

            await lan.until(KITCHEN, sighting(ATTIC, 4001, instance="run-2", is_goodbye=True))

    run(test)


def test_sees_a_node_that_stopped_and_came_back_at_once() -> None:
    async def test() -> None:
        async with Loopback() as lan:
            await lan.start(KITCHEN)
            attic = await lan.start(ATTIC, port=4001)
            await lan.until(KITCHEN, sighting(ATTIC, 4001))

            await attic.stop()
            await lan.until(KITCHEN, sighting(ATTIC, 4001, is_goodbye=True))
            await attic.start(Announcement(ATTIC, "m", "run-2", 4001), lan.seen[ATTIC].append)

            await lan.until(KITCHEN, sighting(ATTIC, 4001, instance="run-2"))

    run(test)


def test_hostile_announcements_are_ignored_and_break_nothing() -> None:
    good = txt_record.encode(txt_record.TextRecord(ATTIC, "m", "run-1"))
    hostile = [
        b"",
        b"\xff",
        b"\x00" * 50,
        entries(b"v=1", b"c=m"),
        good[:-1],
        entries(b"v=1", b"id=" + b"x" * 200),
        good + b"\x05x=y",
    ]

    async def test() -> None:
        async with Loopback() as lan:
            await lan.start(KITCHEN)
            for number, raw in enumerate(hostile):
                await lan.register(f"hostile {number} \u2620 . {number}", raw)
            await lan.register("no port", good, port=0)
            await lan.register("attic", txt_record.encode(txt_record.TextRecord(ATTIC, "m", "run-1")))

            await lan.until(KITCHEN, sighting(ATTIC, 4001))

        assert set(lan.seen[KITCHEN]) == {sighting(ATTIC, 4001)}

    run(test)


def test_a_node_id_that_is_in_use_is_announced_under_another_name(caplog: pytest.LogCaptureFixture) -> None:
    async def test() -> None:
        async with Loopback() as lan:
            await lan.start(KITCHEN, instance="run-1", port=4000)
            await lan.start(ATTIC, port=4002)
            await lan.until(ATTIC, sighting(KITCHEN, 4000))
            await lan.start(KITCHEN, instance="copy", port=4001)

            await lan.until(ATTIC, sighting(KITCHEN, 4001, instance="copy"))
            await lan.until_seen(KITCHEN, sighting(KITCHEN, 4001, instance="copy"), sighting(KITCHEN, 4000))

    run(test)

    assert caplog.text == ""  # a cache that repeats an announcement looks the same: a greeting has to tell


def test_a_listener_that_fails_ends_nothing() -> None:
    async def test() -> None:
        errors: list[dict[str, Any]] = []
        asyncio.get_running_loop().set_exception_handler(lambda _, context: errors.append(context))
        async with Loopback() as lan:
            node = await lan.start(KITCHEN)
            node._on_sighting = lambda each: lan.seen[KITCHEN].append(each) or 1 / 0
            await lan.register("one", txt_record.encode(txt_record.TextRecord("one", "m", "run-1")))
            await lan.until(KITCHEN, sighting("one", 4001))
            await lan.register("two", txt_record.encode(txt_record.TextRecord("two", "m", "run-1")))

            await lan.until(KITCHEN, sighting("two", 4001))

        assert [type(context["exception"]) for context in errors[:2]] == [ZeroDivisionError, ZeroDivisionError]

    run(test)


def test_says_why_it_cannot_work_here_and_may_be_started_again() -> None:
    async def test() -> None:
        node = MdnsDiscovery(*parts(), interfaces=["203.0.113.9"])

        for _ in range(2):
            states: list[DiscoveryState] = []
            await node.start(Announcement(KITCHEN, "m", "run-1", 4000), pytest.fail, states.append)
            await node.stop()
            (state,) = states
            assert not state.is_on
            assert "nothing like 203.0.113.9 is up on this machine (found: lo" in state.why

    run(test)


def test_starts_by_itself_when_its_interface_comes_up_and_says_each_change_once() -> None:
    async def test() -> None:
        states: list[DiscoveryState] = []
        async with Loopback() as lan:
            there: list[Interface] = []
            node = MdnsDiscovery(*parts(), interfaces=["127.0.0.1"], service_type=lan.service_type, watch_seconds=0.05)
            node._watch._look = lambda: tuple(there)  # what this machine really has cannot be changed here
            lan.running.append(node)
            await node.start(Announcement(ATTIC, "m", "run-1", 4001), pytest.fail, states.append)
            await lan.start(KITCHEN)
            await asyncio.sleep(0.2)  # some looks that find nothing new

            there.append(LO)

            await lan.until(KITCHEN, sighting(ATTIC, 4001))

        assert [(state.is_on, state.interfaces) for state in states] == [(False, ()), (True, ("lo",))]

    run(test)


@pytest.mark.parametrize("turns", [0, 1, 2, 5, 20])
def test_a_stop_in_the_middle_of_the_start_leaves_nothing(turns: int) -> None:
    async def test() -> None:
        lan = Loopback()
        node = MdnsDiscovery(*parts(), interfaces=["127.0.0.1"], service_type=lan.service_type)
        started = node.start(Announcement(KITCHEN, "m", "run-1", 4000), pytest.fail)
        for _ in range(turns):
            await asyncio.sleep(0)

        await asyncio.gather(until_done(node.stop()), until_done(node.stop()))

        assert started.is_done
        await node.stop()

    run(test)


async def until_done(later: Later[None]) -> None:
    await later


def test_follows_the_network_onto_other_addresses() -> None:
    """127.0.0.2 stands for the address after a move; the interface watch is told by hand."""

    async def test() -> None:
        async with Loopback() as lan:
            await lan.start(KITCHEN)
            attic = await lan.start(ATTIC, port=4001)
            await lan.until(KITCHEN, sighting(ATTIC, 4001))
            moved = ChosenInterfaces((Interface("lo", 1, tuple(own("127.0.0.2/8"))),))

            attic._on_change(ChosenInterfaces())  # all is gone
            attic._on_change(moved)

            await lan.until_dials(KITCHEN, "127.0.0.2:4001")
            cellar = await lan.register("cellar", txt_record.encode(txt_record.TextRecord("cellar", "m", "run-1")))
            await lan.until(ATTIC, Sighting("cellar", "run-1", ("127.0.0.1:4001",)))
            await cellar.async_close()

    run(test)


def test_a_node_that_listens_at_no_address_here_hears_and_is_announced_once_there_is_one() -> None:
    """127.0.0.2 is where it listens; the interface watch is told by hand."""

    async def test() -> None:
        async with Loopback() as lan:
            await lan.start(KITCHEN)
            attic = await lan.start(ATTIC, port=4001, hosts=("127.0.0.2",))
            await lan.until(ATTIC, sighting(KITCHEN, 4000))
            await asyncio.sleep(0.1)
            assert lan.seen[KITCHEN] == []

            attic._on_change(ChosenInterfaces((Interface("lo", 1, tuple(own("127.0.0.1/8", "127.0.0.2/8"))),)))

            await lan.until(KITCHEN, Sighting(ATTIC, "run-1", ("127.0.0.2:4001",)))

    run(test)
