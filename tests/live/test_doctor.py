"""`mesh doctor` names the true cause in broken set-ups, on hosts of the lab."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from mesh_process import MESH, MeshNode, wait_until

from mesh.lab.live.namespaces import Host, NetLab
from mesh.settings.home import Home
from tests.support.root import ROOT

pytestmark = pytest.mark.netlab

HOUR_AHEAD = """
import time
now, now_ns = time.time, time.time_ns
time.time, time.time_ns = lambda: now() + 3600, lambda: now_ns() + 3600 * 10**9
from mesh.cli.main import main
main()
"""
OTHER_PROGRAM = (
    "import socket, sys; door = socket.create_server(('', 4000)); print('ready', flush=True); sys.stdin.read()"
)
QUESTION_BEFORE_ANSWER = """
import socket, struct, sys, time
heard = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
heard.bind(("224.0.0.251", 5353))
own = socket.inet_aton("10.78.0.2")
heard.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, socket.inet_aton("224.0.0.251") + own)
heard.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, own)
print("ready", flush=True)
heard.recv(9000)
name = b"\\x09_peermesh\\x04_tcp\\x05local\\0" + struct.pack(">HH", 12, 1)
heard.sendto(struct.pack(">HHHHHH", 0, 0, 1, 0, 0, 0) + name, ("224.0.0.251", 5353))
time.sleep(0.2)
found = name + struct.pack(">IH", 4500, 8) + b"\\x05study\\xc0\\x0c"
heard.sendto(struct.pack(">HHHHHH", 0, 0x8400, 0, 1, 0, 0) + found, ("224.0.0.251", 5353))
sys.stdin.read()
"""
CHAIN = "add table inet wall; add chain inet wall in { type filter hook input priority 0; }; flush chain inet wall in;"


def hosts_of(netlab: NetLab) -> list[Host]:
    hosts = netlab.hosts(2)
    for host in hosts:
        host.run(["sysctl", "-qw", "net.ipv4.ping_group_range=0 0"], check=True)  # as systemd sets it
    return hosts


def wall(host: Host, *rules: str) -> None:
    host.run(["nft", CHAIN + "".join(f"add rule inet wall in {rule};" for rule in rules)], check=True)


class Doctor:
    """A call of `mesh doctor`, which may run beside others."""

    def __init__(self, host: Host, home: Path) -> None:
        args = [*MESH, "--home", home, "doctor", "--json"]
        self.process = host.spawn(args, env={"PYTHONPATH": str(ROOT)}, stdout=subprocess.PIPE)

    def lines(self) -> dict[str, tuple[str, str]]:
        """State and sentence of each check."""
        out, _ = self.process.communicate(timeout=30)
        rows = json.loads(out)
        print("\n".join(f"{row['check']}: {row['state']}: {row['found']} -> {row['remedy']}" for row in rows), "\n")
        found = {row["check"]: (row["state"], row["found"]) for row in rows}
        assert self.process.returncode == int(any(state == "wrong" for state, _ in found.values()))
        return found

    def wrong(self) -> dict[str, str]:
        """The sentences of what is wrong, by check."""
        return {check: found for check, (state, found) in self.lines().items() if state == "wrong"}


def test_without_a_node_it_names_wrong_rights_a_full_disk_and_a_taken_port(netlab: NetLab, tmp_path: Path) -> None:
    host, _ = hosts_of(netlab)
    (tmp_path / "full").mkdir()
    homes = {name: tmp_path / name for name in ("rights", "port")}
    homes["full"] = netlab.mount(tmp_path / "full", size_bytes=256 * 1024)
    for home in homes.values():
        home.mkdir(exist_ok=True, mode=0o700)
        (home / "mesh.toml").write_text("mdns = false\n")
        made = Home(home, name="kitchen")
        made.keep_port(4000 if home.name == "port" else 4001)
        made.close()
    (homes["rights"] / "node.key").chmod(0o644)
    with pytest.raises(OSError, match="No space left"), (homes["full"] / "film").open("wb", buffering=0) as film:
        while True:
            film.write(bytes(4096))
    other = host.spawn([sys.executable, "-c", OTHER_PROGRAM], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert other.stdout is not None and other.stdout.readline() == "ready\n"

    doctors = {name: Doctor(host, tmp_path / name) for name in ("rights", "full", "port")}
    wrong = {name: doctor.wrong() for name, doctor in doctors.items()}

    assert {name: [*found] for name, found in wrong.items()} == {"rights": ["home"], "full": ["disk"], "port": ["port"]}
    assert "others may read or write" in wrong["rights"]["home"] and "node.key" in wrong["rights"]["home"]
    assert "100% of the disk" in wrong["full"]["disk"]
    assert "TCP port 4000, which this node keeps, is taken by" in wrong["port"]["port"]
    assert f"(process {other.pid})" in wrong["port"]["port"]


def test_of_two_nodes_it_names_dropped_udp_dropped_tcp_a_small_mtu_and_a_wrong_clock(
    netlab: NetLab, tmp_path: Path
) -> None:
    one, two = hosts_of(netlab)
    kitchen, study = MeshNode(tmp_path / "kitchen", one), MeshNode(tmp_path / "study", two)
    ports = [node.up("--name", node.home.name, "--requery", "1")["port"] for node in (kitchen, study)]
    wait_until(lambda: [row["session"] for row in kitchen.peers()] == ["synchronized"], 15, "the two are connected")

    healthy = Doctor(one, kitchen.home).lines()
    wall(one, "udp dport 5353 drop")
    wall(two, f"tcp dport {ports[1]} ct state new drop")
    no_udp, no_tcp = Doctor(one, kitchen.home), Doctor(two, study.home)
    without_udp, without_tcp = no_udp.wrong(), no_tcp.wrong()
    wall(one)
    wall(two)
    netlab.rules("meta length > 1400 drop")
    small = Doctor(one, kitchen.home).wrong()
    netlab.heal()
    late = [
        sys.executable,
        "-c",
        HOUR_AHEAD,
        "--home",
        tmp_path / "attic",
        "up",
        "--open=lan",
        "--requery",
        "1",
        "--json",
    ]
    two.spawn(late, env={"PYTHONPATH": str(ROOT)})
    wait_until(lambda: kitchen.status()["clocks"], 15, "the clocks are compared")
    an_hour = Doctor(one, kitchen.home).wrong()

    assert {state for state, _ in healthy.values()} == {"ok"}, healthy
    assert healthy["port"][1].endswith(f"has dialled TCP port {ports[0]} here just now")
    assert [*without_udp] == ["multicast eth0", "firewall"]
    assert "drops UDP port 5353" in without_udp["firewall"]
    assert [*without_tcp] == ["port", "firewall"]
    assert without_tcp["port"].endswith(f"cannot dial TCP port {ports[1]} here: timed out after 3 s")
    assert [*small] == ["MTU"] and "those of 1500 bytes are lost" in small["MTU"]
    assert [*an_hour] == ["clock"] and "3600 s ahead of" in an_hour["clock"]


def test_a_question_of_another_node_does_not_end_the_wait_for_its_answer(netlab: NetLab, tmp_path: Path) -> None:
    one, two = hosts_of(netlab)
    netlab.set_address(two, "10.78.0.2")
    other = two.spawn([sys.executable, "-c", QUESTION_BEFORE_ANSWER], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert other.stdout is not None and other.stdout.readline() == "ready\n"

    wrong = Doctor(one, tmp_path / "kitchen").wrong()

    assert "a node at 10.78.0.2 is heard" in wrong["multicast eth0"]


def test_nodes_in_different_subnets_of_one_network_are_told_so(netlab: NetLab, tmp_path: Path) -> None:
    one, two = hosts_of(netlab)
    netlab.set_address(two, "10.78.0.2")
    kitchen, study = MeshNode(tmp_path / "kitchen", one), MeshNode(tmp_path / "study", two)
    for node in (kitchen, study):
        node.up("--name", node.home.name, "--requery", "1")
    wait_until(lambda: [row["reason"] for row in kitchen.peers() if row["reason"]], 15, "it was dialled in vain")

    wrong = Doctor(one, kitchen.home).wrong()

    assert [*wrong] == ["multicast eth0", "neighbour"]
    assert "a node at 10.78.0.2 is heard, in no network of this interface (10.77.0.0/24)" in wrong["multicast eth0"]
    assert "10.78.0.2" in wrong["neighbour"] and "in no network of this machine (10.77.0.0/24)" in wrong["neighbour"]
