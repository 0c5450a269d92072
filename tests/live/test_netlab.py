"""The lab of network namespaces: hosts reach each other, partitions and pulled cables work, nothing is left behind."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from mesh_process import MESH, ROOT, wait_until

from mesh.lab.live.namespaces import Host, NetLab, NetLabError

pytestmark = pytest.mark.netlab


TOUCH = """
import socket, sys
try:
    socket.create_connection((sys.argv[1], 9), 0.4)
except ConnectionRefusedError:
    print("refused: the host is there")
"""


def can_reach(source: Host, target: Host) -> bool:
    return "refused" in source.run([sys.executable, "-c", TOUCH, target.ip]).stdout


def test_hosts_reach_each_other_until_they_are_partitioned(netlab: NetLab) -> None:
    one, two, three = netlab.hosts(3)
    assert can_reach(one, two)

    netlab.partition([1, 2], [3])

    assert not can_reach(one, three)
    assert not can_reach(three, two)
    netlab.heal()
    wait_until(lambda: can_reach(one, three), 3, "the partition is over")


def test_a_cable_that_was_pulled_can_be_plugged_in_again(netlab: NetLab) -> None:
    one, two = netlab.hosts(2)

    netlab.link_down(two)

    assert not can_reach(one, two)
    assert "NO-CARRIER" in two.run(["ip", "link", "show", "eth0"]).stdout
    netlab.link_up(two)
    wait_until(lambda: can_reach(one, two), 3, "the cable works")


def test_a_forked_node_is_in_the_network_of_its_host(netlab: NetLab, tmp_path: Path) -> None:
    one, two = netlab.hosts(2)
    networks = [host.run(["readlink", "/proc/self/ns/net"]).stdout.strip() for host in (one, two)]

    command = [*MESH, "--home", tmp_path, "up", "--open", "--json"]
    node = two.spawn(command, env={"PYTHONPATH": str(ROOT)}, stdout=subprocess.PIPE)
    assert node.stdout is not None
    first = json.loads(node.stdout.readline())

    parent = int(Path(f"/proc/{node.pid}/stat").read_text().rpartition(") ")[2].split()[1])
    network = str(Path(f"/proc/{node.pid}/ns/net").readlink())
    assert (first["event"], parent != os.getpid()) == ("up", True)
    assert network == networks[1] != networks[0]


def test_a_signal_reaches_the_spawned_process_itself(netlab: NetLab) -> None:
    (host,) = netlab.hosts(1)
    process = host.spawn(["sleep", "100"])
    wait_until(lambda: Path(f"/proc/{process.pid}/cmdline").read_bytes().startswith(b"sleep"), 3, "it sleeps")

    process.terminate()

    assert process.wait(2) == -signal.SIGTERM


def test_a_process_has_its_own_pipes_and_environment_and_its_stderr_is_kept(netlab: NetLab) -> None:
    (host,) = netlab.hosts(1)

    process = host.spawn(["sh", "-c", 'echo "$WORD"; echo oops >&2'], env={"WORD": "milk"}, stdout=subprocess.PIPE)

    assert process.communicate(timeout=2)[0] == "milk\n"
    assert process.stderr_text() == "oops\n"
    assert "h1 pid" in netlab.stderr_report()


def test_closing_reports_a_process_that_still_runs(netlab_flags: tuple[str, ...]) -> None:
    lab = NetLab(netlab_flags)
    (host,) = lab.hosts(1)
    host.run(["sh", "-c", "sleep 100 >/dev/null 2>&1 &"])

    with pytest.raises(NetLabError, match="left behind"):
        lab.close()


def test_nothing_is_left_after_its_owner_is_killed(netlab_flags: tuple[str, ...]) -> None:
    script = f"""
import sys
from mesh.lab.live.namespaces import NetLab
lab = NetLab({netlab_flags!r})
(host,) = lab.hosts(1)
print(host.spawn(["sh", "-c", "echo up >&2; exec sleep 100"]).pid, lab.holder_pid, flush=True)
sys.stdin.read()
"""
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen([sys.executable, "-c", script], cwd=Path(__file__).parent, text=True, **pipes) as owner:
        sleeper, holder = (int(pid) for pid in owner.stdout.readline().split())
        wait_until(lambda: Path(f"/proc/{sleeper}/cmdline").read_bytes().startswith(b"sleep"), 3, "it sleeps")

        owner.kill()

    wait_until(lambda: is_gone(sleeper) and is_gone(holder), 3, "both have ended")


def is_gone(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].startswith("Z")
    except (FileNotFoundError, ProcessLookupError):
        return True
