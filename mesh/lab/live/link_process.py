"""The process that carries the frames of bad links between ports of a switch: late, or never.

It runs in the namespace of the switch, where the kernel does not forward these frames. It reads lines of JSON. Each line is
a list of links, [source, target, hardware address of the target, latency_ms, bytes_per_second, loss, is_held], and replaces
the line before; the answer is a line `ok`. The end of its input ends it. It needs packet sockets, so CAP_NET_RAW, and no
module, device or other tool.
"""

from __future__ import annotations

import json
import os
import selectors
import socket
import sys
from collections.abc import Callable
from random import Random
from time import monotonic
from typing import Any

from mesh.lab.live.link_queue import FrameQueue, LinkQuality

FRAME_BYTES = 128 * 1024
"""The largest frame that the kernel gives us: at most 64 KiB, and headers."""
SOCKET_BYTES = 4 * 1024 * 1024
"""Bytes that may wait for us in the kernel, at each port."""
FRAMES_A_TURN = 64
"""Frames that are read at one port before the other ports get their turn."""
SOL_PACKET, PACKET_VNET_HDR, PACKET_IGNORE_OUTGOING = 263, 15, 23
"""From <linux/if_packet.h>; Python has no names for them."""
OFFLOAD_BYTES = 10
"""A `struct virtio_net_hdr` before each frame says which checksums are not made yet. It is passed on unchanged."""
ETH_P_ALL = 3

HostPair = tuple[int, int]


class LinkProcess:
    """Carries frames from source ports to target ports, until its input ends."""

    def __init__(self, *, seed: str, now: Callable[[], float]) -> None:
        self._seed = seed
        self._now = now
        self._selector = selectors.DefaultSelector()
        self._ways: dict[HostPair, FrameQueue] = {}
        self._macs: dict[HostPair, bytes] = {}
        self._sources: dict[int, socket.socket] = {}
        self._targets: dict[int, socket.socket] = {}

    def run(self, commands: int, answers: int) -> None:
        """Read commands from the file descriptor `commands`, a line each, and answer on `answers`."""
        self._selector.register(commands, selectors.EVENT_READ)
        text = b""
        while True:
            for key, _ in self._selector.select(self._pause()):
                if key.fd != commands:
                    self._read(key.data)
                    continue
                received = os.read(commands, FRAME_BYTES)
                if not received:
                    return
                *lines, text = (text + received).split(b"\n")
                for line in lines:
                    self._set_ways(json.loads(line))
                    os.write(answers, b"ok\n")
            self._deliver()

    def _set_ways(self, rows: list[list[Any]]) -> None:
        before, self._ways = self._ways, {}
        self._macs.clear()
        for source, target, mac, latency_ms, bytes_per_second, loss, is_held in rows:
            pair = source, target
            way = before.get(pair) or FrameQueue(Random(f"{self._seed} {source} {target}"))
            low, high = latency_ms
            way.change(LinkQuality((low, high), bytes_per_second, loss, is_held), self._now())
            self._ways[pair] = way
            self._macs[pair] = bytes.fromhex(mac.replace(":", ""))
        self._keep_open(self._sources, sorted({source for source, _ in self._ways}), ETH_P_ALL)
        self._keep_open(self._targets, sorted({target for _, target in self._ways}), 0)

    def _keep_open(self, ports: dict[int, socket.socket], wanted: list[int], protocol: int) -> None:
        """Open a socket for each wanted port, and close the others. With `protocol` 0 it receives nothing."""
        for port in [port for port in ports if port not in wanted]:
            if protocol:
                self._selector.unregister(ports[port])
            ports.pop(port).close()
        for port in [port for port in wanted if port not in ports]:
            opened = ports[port] = _open(port, protocol)
            if protocol:
                self._selector.register(opened, selectors.EVENT_READ, port)

    def _read(self, port: int) -> None:
        """Read what a host has sent, and queue it for the hosts to which the kernel does not forward it."""
        if port not in self._sources:
            return  # closed in this turn
        ways = [(self._macs[pair], way) for pair, way in self._ways.items() if pair[0] == port]
        for _ in range(FRAMES_A_TURN):
            try:
                frame = self._sources[port].recv(FRAME_BYTES)
            except OSError:  # nothing more, or the port is down
                return
            to = frame[OFFLOAD_BYTES : OFFLOAD_BYTES + 6]
            for mac, way in ways:
                if to == mac or to[0] & 1:  # for this host, or for a group
                    way.put(frame, len(frame) - OFFLOAD_BYTES, self._now())

    def _deliver(self) -> None:
        now = self._now()
        for (_, target), way in self._ways.items():
            for frame in way.take(now):
                try:
                    self._targets[target].send(frame)
                except OSError:
                    continue  # the port is down or full: the frame is lost

    def _pause(self) -> float | None:
        due = [due for way in self._ways.values() if (due := way.next_due) is not None]
        return max(0.0, min(due) - self._now()) if due else None


def _open(port: int, protocol: int) -> socket.socket:
    """A packet socket at one port of the switch."""
    opened = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
    opened.setsockopt(SOL_PACKET, PACKET_VNET_HDR, 1)
    opened.setsockopt(SOL_PACKET, PACKET_IGNORE_OUTGOING, 1)
    opened.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, SOCKET_BYTES)
    opened.setblocking(False)
    opened.bind((f"p{port}", protocol))
    return opened


if __name__ == "__main__":
    # On one core: each core has a queue of frames of its own, so that frames sent from two cores may overtake each other.
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    LinkProcess(seed=sys.argv[1], now=monotonic).run(0, 1)
