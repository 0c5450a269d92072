"""Bad links in user space: slow, lossy or held as asked; all other links stay fast."""

from __future__ import annotations

import subprocess
import sys
from random import Random

import pytest

from mesh.lab.live.link import LabLink
from mesh.lab.live.link_queue import FLIGHT_FRAMES, QUEUE_BYTES, FrameQueue, LinkQuality
from mesh.lab.live.namespaces import Host, NetLab, NetLabError

PORT = 5_000
FRAME = 1_400

ECHO = f"""
import socket
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as listening:
    listening.bind(("0.0.0.0", {PORT}))
    print("up", flush=True)
    while True:
        listening.sendto(*listening.recvfrom(2_000))
"""
PING = f"""
import socket, sys, time
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sending:
    sending.settimeout(float(sys.argv[2]))
    began = time.monotonic()
    sending.sendto(b"milk", (sys.argv[1], {PORT}))
    try:
        sending.recv(10)
        print(time.monotonic() - began)
    except TimeoutError:
        print("inf")
"""
BURST = f"""
import os, socket, sys
os.sched_setaffinity(0, {{min(os.sched_getaffinity(0))}})  # frames from another core may overtake
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sending:
    for number in range(int(sys.argv[2])):
        sending.sendto(number.to_bytes(2, "big") + bytes(int(sys.argv[3])), (sys.argv[1], {PORT}))
"""
COUNT = f"""
import socket, sys, time
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as listening:
    listening.bind(("0.0.0.0", {PORT}))
    print("up", flush=True)
    numbers, times = [], []
    listening.settimeout(10)
    while True:
        try:
            numbers.append(int.from_bytes(listening.recv(2_000)[:2], "big"))
        except TimeoutError:
            break
        times.append(time.monotonic())
        listening.settimeout(float(sys.argv[1]))
    print(len(numbers), numbers == sorted(numbers), times[-1] - times[0], flush=True)
"""
TCP = f"""
import socket, sys
if sys.argv[1:]:
    with socket.create_connection((sys.argv[1], {PORT}), 10) as one:
        one.sendall(bytes(range(250)) * 4_000)
        one.shutdown(socket.SHUT_WR)
        print(one.recv(10).decode())
else:
    with socket.create_server(("0.0.0.0", {PORT})) as listening:
        print("up", flush=True)
        one, _ = listening.accept()
        with one:
            received = b"".join(iter(lambda: one.recv(65_536), b""))
            one.sendall(b"whole" if received == bytes(range(250)) * 4_000 else b"broken")
"""
GROUP = """
import socket, sys, time
group = ("224.0.0.251", 5353)
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one:
    one.bind(group)
    one.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, socket.inet_aton(group[0]) + socket.inet_aton(sys.argv[1]))
    one.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton(sys.argv[1]))
    print("up", flush=True)
    if sys.argv[2] == "say":
        input()
        one.sendto(repr(time.monotonic()).encode(), group)
    else:
        one.settimeout(5)
        said = float(one.recv(100))
        print(time.monotonic() - said)
"""


def spawn(host: Host, script: str, *arguments: object) -> subprocess.Popen[str]:
    """Start it, and wait until it says that it is up."""
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    process = host.spawn([sys.executable, "-c", script, *map(str, arguments)], **pipes)
    assert process.stdout is not None
    assert process.stdout.readline() == "up\n"
    return process


def ask(host: Host, script: str, *arguments: object) -> str:
    return host.run([sys.executable, "-c", script, *map(str, arguments)], check=True).stdout


def ping(source: Host, target: Host, timeout: float = 2.0) -> float:
    """The round trip to a host that echoes, in seconds."""
    return float(ask(source, PING, target.ip, timeout))


def burst(
    source: Host, target: Host, count: int, *, size: int = FRAME, quiet_seconds: float = 1.0
) -> tuple[int, float]:
    """Send frames at once: how many arrive, and how long after the first the last one does."""
    counting = spawn(target, COUNT, quiet_seconds)
    ask(source, BURST, target.ip, count, size)
    answer, _ = counting.communicate(timeout=20)
    arrived, is_ordered, seconds = answer.split()
    assert is_ordered == "True"
    return int(arrived), float(seconds)


def ways(one: Host, other: Host, quality: LinkQuality) -> dict[tuple[int, int], LinkQuality]:
    return {(one.number, other.number): quality, (other.number, one.number): quality}


@pytest.mark.netlab
def test_both_directions_of_a_link_are_late_and_all_other_links_are_not(netlab: NetLab) -> None:
    one, two, three = netlab.hosts(3)
    for host in (two, three):
        spawn(host, ECHO)
        ping(one, host)  # they learn each other's address
    link = LabLink(netlab)

    link.set(bad=ways(one, two, LinkQuality(latency_ms=(100, 120))))

    assert 0.2 <= ping(one, two) < 0.35
    assert ping(one, three) < 0.05
    assert ping(two, three) < 0.05
    link.set()
    assert ping(one, two) < 0.05


@pytest.mark.netlab
def test_one_direction_alone_is_late_and_a_multicast_reaches_all_others_at_once(netlab: NetLab) -> None:
    one, two, three = netlab.hosts(3)
    LabLink(netlab).set(bad={(one.number, two.number): LinkQuality(latency_ms=(150, 150))})
    listening = [spawn(host, GROUP, host.ip, "listen") for host in (two, three)]

    spawn(one, GROUP, one.ip, "say").communicate("now\n", timeout=5)

    far, near = (float(each.communicate(timeout=5)[0]) for each in listening)
    assert 0.15 <= far < 0.25
    assert near < 0.05
    spawn(one, ECHO)
    ping(two, one)  # they learn each other's address
    assert 0.15 <= ping(two, one) < 0.25


@pytest.mark.netlab
def test_tcp_comes_through_whole_although_frames_are_lost(netlab: NetLab) -> None:
    one, two = netlab.hosts(2)
    LabLink(netlab).set(bad=ways(one, two, LinkQuality(latency_ms=(0.2, 2), loss=0.02)))
    spawn(two, TCP)

    assert ask(one, TCP, two.ip) == "whole\n"


@pytest.mark.netlab
def test_a_rate_is_kept_and_a_buffer_runs_over(netlab: NetLab) -> None:
    one, two = netlab.hosts(2)
    link = LabLink(netlab)
    link.set(bad={(one.number, two.number): LinkQuality(bytes_per_second=40_000)})

    arrived, seconds = burst(one, two, 50, quiet_seconds=0.3)

    kept = QUEUE_BYTES // (FRAME + 44)  # with the number and the headers
    assert kept <= arrived <= kept + 3
    assert seconds == pytest.approx((arrived - 1) * (FRAME + 44) / 40_000, abs=0.1)


@pytest.mark.netlab
def test_a_share_of_all_frames_is_lost(netlab: NetLab) -> None:
    one, two = netlab.hosts(2)
    LabLink(netlab).set(bad={(one.number, two.number): LinkQuality(loss=0.3)})

    arrived, _ = burst(one, two, 400, size=20, quiet_seconds=0.3)

    assert 400 * 0.6 < arrived < 400 * 0.8


@pytest.mark.netlab
def test_held_frames_come_after_the_release_and_those_behind_a_wall_never(netlab: NetLab) -> None:
    one, two = netlab.hosts(2)
    way = (one.number, two.number)
    link = LabLink(netlab)
    for is_walled, expected in ((False, 5), (True, 1)):
        ask(one, PING, two.ip, 0.1)  # so that they know each other's address
        link.set(bad={way: LinkQuality(is_held=True)})
        counting = spawn(two, COUNT, 0.2)
        ask(one, BURST, two.ip, 5, FRAME)

        if is_walled:
            link.set(closed=[way], bad={way: LinkQuality(is_held=True)})
        link.set()
        if is_walled:
            ask(one, BURST, two.ip, 1, FRAME)

        assert counting.communicate(timeout=5)[0].startswith(f"{expected} True")


@pytest.mark.netlab
@pytest.mark.usefixtures("netlab_flags")
def test_no_root_is_needed() -> None:
    flags = ("--user", "--map-root-user", "--net", "--mount")
    if subprocess.run(["unshare", *flags, "true"], check=False).returncode != 0:
        pytest.skip("no user namespaces here")
    lab = NetLab(flags)
    one, two = lab.hosts(2)
    spawn(two, ECHO)
    ping(one, two)  # they learn each other's address

    LabLink(lab).set(bad={(one.number, two.number): LinkQuality(latency_ms=(200, 200))})

    assert 0.2 <= ping(one, two) < 0.3
    lab.close()


@pytest.mark.netlab
def test_the_end_of_its_process_is_noticed(netlab: NetLab) -> None:
    netlab.hosts(2)
    link = LabLink(netlab)
    link.set(bad={(1, 2): LinkQuality(is_held=True)})
    link.check()
    carrier = next(process for process in netlab.processes if process.place is netlab.switch)

    carrier.kill()
    carrier.wait(5)

    with pytest.raises(NetLabError, match="the process that carries frames ended with -9"):
        link.check()
    with pytest.raises(NetLabError, match="the process that carries frames ended with -9"):
        link.set(bad={(1, 2): LinkQuality()})


def test_the_queue_of_a_late_link_is_bounded() -> None:
    way = FrameQueue(Random(1))
    way.change(LinkQuality(is_held=True), 0.0)

    taken = [way.put(b"frame", 1_500, 0.0) for _ in range(FLIGHT_FRAMES + 5)]

    assert taken.count(True) == FLIGHT_FRAMES
    assert way.take(1_000.0) == []
    way.change(LinkQuality(), 1_000.0)
    assert len(way.take(1_000.0)) == FLIGHT_FRAMES


def test_no_frame_overtakes_another() -> None:
    way = FrameQueue(Random(1))
    way.change(LinkQuality(latency_ms=(1, 50)), 0.0)
    frames = [number.to_bytes(2, "big") for number in range(100)]
    for number, frame in enumerate(frames):
        way.put(frame, 2, number / 1_000)

    arrived = [frame for milliseconds in range(200) for frame in way.take(milliseconds / 1_000)]

    assert arrived == frames


def test_a_link_that_becomes_good_delivers_its_frames_at_once() -> None:
    way = FrameQueue(Random(1))
    way.change(LinkQuality(latency_ms=(5_000, 5_000), bytes_per_second=100), 0.0)
    way.put(b"frame", 1_000, 0.0)
    assert way.next_due == 15.0

    way.change(LinkQuality(), 1.0)

    assert way.take(1.0) == [b"frame"]


def test_the_same_seed_loses_the_same_frames() -> None:
    runs = []
    for _ in range(2):
        way = FrameQueue(Random("seed 1 2"))
        way.change(LinkQuality(loss=0.5), 0.0)
        runs.append([way.put(b"frame", 100, 0.0) for _ in range(50)])

    assert runs[0] == runs[1]
    assert len(set(runs[0])) == 2
