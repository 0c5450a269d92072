"""mDNS discovery between processes on several hosts, on a LAN that can be partitioned."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from mesh.lab.live.namespaces import Host, NetLab

pytestmark = pytest.mark.netlab

HERE = Path(__file__).parent
REPOSITORY = HERE.parent.parent


class Node:
    """One process of `mdns_node.py` on a host, and its sightings."""

    def __init__(self, host: Host, folder: Path, node_id: str, port: int = 4000, **options: Any) -> None:
        self.host = host
        self.node_id = node_id
        self.seen_path = folder / f"{node_id}-{host.number}-{port}"
        args = [sys.executable, "-W", "error", HERE / "mdns_node.py", node_id, str(port), json.dumps(options)]
        with self.seen_path.open("w") as seen:
            self.process = host.spawn(args, env={"PYTHONPATH": str(REPOSITORY)}, stdin=subprocess.PIPE, stdout=seen)

    @property
    def lines(self) -> list[dict[str, Any]]:
        return [
            json.loads(line) for line in self.seen_path.read_text().splitlines(keepends=True) if line.endswith("\n")
        ]

    @property
    def dials(self) -> dict[str, list[str]]:
        """The addresses of each node in its last sighting."""
        sightings = [line for line in self.lines if "node_id" in line]
        last = {line["node_id"]: line for line in sightings}
        return {node_id: line["addresses"] for node_id, line in last.items() if not line["is_goodbye"]}

    def started(self) -> Node:
        until(lambda: {"started": self.node_id} in self.lines, 5)
        return self

    def say(self, word: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(f"{word}\n")

    def stop(self) -> int:
        self.say("stop")
        return self.process.wait(5)


def until(is_true: Callable[[], bool], seconds: float) -> float:
    """Wait until `is_true`. Returns how long that took."""
    begin = time.monotonic()
    while not is_true():
        assert time.monotonic() - begin < seconds, f"still not so after {seconds} s"
        time.sleep(0.005)
    return time.monotonic() - begin


@pytest.fixture
def took(record_property: Callable[[str, object], None]) -> Iterator[Callable[[str, float], None]]:
    """Records a measured time: `pytest -s` prints it, `--junitxml` writes it."""

    def keep(what: str, seconds: float) -> None:
        record_property(what, round(seconds, 3))
        print(f"{seconds:.3f} s  {what}")

    return keep


Took = Callable[[str, float], None]


def test_two_hosts_see_each_other_and_a_goodbye(netlab: NetLab, tmp_path: Path, took: Took) -> None:
    one, two, three = netlab.hosts(3)
    before = sent(three)
    cellar = Node(three, tmp_path, "cellar", interfaces=["127.0.0.1"])

    kitchen, attic = Node(one, tmp_path, "kitchen"), Node(two, tmp_path, "attic")
    kitchen.started(), attic.started()

    both = until(lambda: "attic" in kitchen.dials and "kitchen" in attic.dials, 3)
    took("both listening -> both see each other", both)
    assert kitchen.dials == {"attic": [f"{two.ip}:4000"]}
    assert attic.dials == {"kitchen": [f"{one.ip}:4000"]}
    assert attic.stop() == 0
    took("stopped -> goodbye seen", until(lambda: kitchen.dials == {}, 1))
    assert kitchen.stop() == cellar.stop() == 0
    assert kitchen.process.stderr_text() == attic.process.stderr_text() == ""
    assert sent(three) == before  # the cellar, on loopback only, has sent nothing into the LAN


def test_two_processes_of_one_host_and_a_third_elsewhere_see_each_other(
    netlab: NetLab, tmp_path: Path, took: Took
) -> None:
    one, two = netlab.hosts(2)
    nodes = [Node(one, tmp_path, "kitchen", 4000), Node(one, tmp_path, "pantry", 4001), Node(two, tmp_path, "attic")]

    took("three processes started -> all see all", until(lambda: all(len(node.dials) == 2 for node in nodes), 4))

    late = Node(one, tmp_path, "late", 4002).started()
    took("late one on a shared host: listening -> sees all", until(lambda: len(late.dials) == 3, 3))


def test_finds_a_node_that_was_started_during_a_partition(netlab: NetLab, tmp_path: Path, took: Took) -> None:
    one, two, three = netlab.hosts(3)
    kitchen = Node(one, tmp_path, "kitchen", requery_seconds=1).started()
    netlab.partition([1], [2, 3])
    attic, cellar = (
        Node(host, tmp_path, name, requery_seconds=1) for host, name in ((two, "attic"), (three, "cellar"))
    )
    until(lambda: "cellar" in attic.dials and "attic" in cellar.dials, 4)
    assert kitchen.dials == {}
    assert "kitchen" not in attic.dials

    netlab.heal()

    nodes = [kitchen, attic, cellar]
    took("heal -> all see all, requery every second", until(lambda: all(len(node.dials) == 2 for node in nodes), 3))


def test_a_node_that_lost_a_session_finds_the_others_at_once_after_a_heal(
    netlab: NetLab, tmp_path: Path, took: Took
) -> None:
    one, two = netlab.hosts(2)
    netlab.partition([1], [2])
    kitchen, attic = Node(one, tmp_path, "kitchen"), Node(two, tmp_path, "attic")
    kitchen.started(), attic.started()
    time.sleep(1.4)  # its announcement reached no host, and the quick queries at 0 and 1 s are over
    netlab.heal()

    kitchen.say("requery")

    took("heal and requery() -> found", until(lambda: "attic" in kitchen.dials, 2.5))
    attic.say("requery")
    until(lambda: "kitchen" in attic.dials, 2.5)


def test_announces_a_new_address_and_moves_its_sockets_to_it(netlab: NetLab, tmp_path: Path, took: Took) -> None:
    one, two = netlab.hosts(2)
    kitchen, attic = (
        Node(one, tmp_path, "kitchen", interfaces=["eth0"], watch_seconds=0.5),
        Node(two, tmp_path, "attic"),
    )
    until(lambda: "attic" in kitchen.dials and "kitchen" in attic.dials, 4)

    time.sleep(1.1)  # an address announced within the last second is not withdrawn by another (RFC 6762, 10.2)

    netlab.set_address(one, "10.77.0.99")

    took("new address, watched every 0.5 s -> seen", until(lambda: "10.77.0.99:4000" in attic.dials["kitchen"], 4))
    took("old address forgotten after", until(lambda: attic.dials["kitchen"] == ["10.77.0.99:4000"], 3))
    assert attic.stop() == 0
    until(lambda: kitchen.dials == {}, 1)  # it hears on the new address too


def test_a_network_that_comes_late_and_then_on_another_card_is_used(netlab: NetLab, tmp_path: Path, took: Took) -> None:
    one, two = netlab.hosts(2)
    one.run(["ip", "link", "set", "eth0", "down"], check=True)
    kitchen, attic = Node(one, tmp_path, "kitchen", watch_seconds=0.5), Node(two, tmp_path, "attic")
    kitchen.started()  # on loopback

    one.run(["ip", "link", "set", "eth0", "up"], check=True)

    took("interface up -> both see each other", until(lambda: kitchen.dials != {} and attic.dials != {}, 6))
    assert attic.dials == {"kitchen": [f"{one.ip}:4000"]}
    netlab.replug(one)
    cellar = Node(two, tmp_path, "cellar", 4001)
    took(
        "card replaced, process started -> both see", until(lambda: "cellar" in kitchen.dials and cellar.dials != {}, 6)
    )


def test_sees_a_host_that_has_only_ipv6(netlab: NetLab, tmp_path: Path, took: Took) -> None:
    one, two = netlab.hosts(2, ipv6=True)
    two.run(["ip", "addr", "del", f"{two.ip}/24", "dev", "eth0"], check=True)
    kitchen, attic = Node(one, tmp_path, "kitchen", watch_seconds=0.5), Node(two, tmp_path, "attic", watch_seconds=0.5)

    # A link-local address may not be used in its first 2 s: found without it, and later with it.
    took("IPv6 address tentative -> both see each other", until(lambda: bool(kitchen.dials and attic.dials), 6))
    until(lambda: len(attic.dials["kitchen"]) == 3, 6)

    assert kitchen.dials["attic"][0] == "[fd77::2]:4000"
    assert [address.rpartition("%")[2] for address in kitchen.dials["attic"][1:]] == [f"{index_of_eth0(one)}]:4000"]


def index_of_eth0(host: Host) -> int:
    return int(json.loads(host.run(["ip", "-j", "link", "show", "eth0"], check=True).stdout)[0]["ifindex"])


def sent(host: Host) -> int:
    """Frames of any kind that a host has sent into the LAN."""
    counters = host.run(["ip", "-s", "-j", "link", "show", "eth0"], check=True).stdout
    return int(json.loads(counters)[0]["stats64"]["tx"]["packets"])
