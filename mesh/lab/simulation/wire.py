"""One direction of a simulated connection: what was sent and is not read yet, in order."""

from __future__ import annotations

from asyncio import TimerHandle
from collections import deque
from dataclasses import dataclass
from random import Random
from typing import Literal, Protocol

from mesh.lab.simulation.virtual_loop import VirtualLoop

FLIGHT_BYTES = 256 * 1024
"""Bytes that may be in flight at once, like the socket buffers of both ends; the rest waits at the sender."""
LATENCY_MS = (0.2, 2.0)
RESEND_SECONDS = 0.2
"""The delay of a lost frame: TCP sends it again."""
MAX_RESENDS = 5
PART_SECONDS = 0.25
"""While a long frame arrives, its reader is told after each such time that bytes have come."""

ItemKind = Literal["dial", "accept", "refuse", "open", "frame", "close"]
"""A connection is dialled, accepted (or refused), then open: like the SYN, SYN-ACK (or RST) and ACK of TCP."""


@dataclass(frozen=True, slots=True)
class WireQuality:
    """How good one direction of the link between two rooms is."""

    latency_ms: tuple[float, float] = LATENCY_MS
    bytes_per_second: float | None = None
    """None: limited by FLIGHT_BYTES and the latency only."""
    loss: float = 0.0
    """The share of frames that are lost and sent again, each time RESEND_SECONDS later."""

    def travel_seconds(self, random: Random) -> float:
        """Draw how long the first byte of a frame takes."""
        seconds = random.uniform(*self.latency_ms) / 1000
        for _ in range(MAX_RESENDS):
            if self.loss == 0 or random.random() >= self.loss:
                break
            seconds += RESEND_SECONDS
        return seconds


class WireNetwork(Protocol):
    """The network, as a wire needs it."""

    loop: VirtualLoop
    random: Random

    def may_pass(self, source: str, target: str) -> bool:
        """Whether what `source` sends reaches `target` now."""

    def quality(self, source: str, target: str) -> WireQuality:
        """How good that direction is now."""

    def forget(self, wire: SimWire) -> None:
        """The wire was dropped: do not call its `route_changed` any more."""


class Reader(Protocol):
    """Reads a wire."""

    def may_read(self, wire: SimWire) -> bool:
        """Whether it takes anything now. `SimWire.wake` must be called when this becomes true."""

    def read(self, wire: SimWire, kind: ItemKind, payload: bytes) -> None:
        """The next item has arrived."""

    def read_part(self, wire: SimWire) -> None:
        """Some bytes of the next item have arrived."""


class SimWire:
    """First in, first out, like one direction of TCP. A wall delays what is in flight, and loses nothing of it."""

    def __init__(self, network: WireNetwork, source: str, target: str, reader: Reader) -> None:
        self.source = source
        self.target = target
        self.reader = reader
        self.waiting_bytes = 0
        """Bytes that were sent and are not read yet."""
        self.is_dropped = False
        self._network = network
        self._queue: deque[tuple[ItemKind, bytes]] = deque()
        self._flight: deque[tuple[float, float, ItemKind, bytes]] = deque()  # first byte, last byte, kind, payload
        self._flight_bytes = 0
        self._unconfirmed_bytes = 0
        self._last_arrival = 0.0
        self._timer: TimerHandle | None = None

    def put(self, kind: ItemKind, payload: bytes = b"") -> None:
        """Send one item. What is put into a dropped wire is lost."""
        if self.is_dropped:
            return
        self._queue.append((kind, payload))
        self.waiting_bytes += len(payload)
        self._fill_flight()
        self._arm()

    def wake(self) -> None:
        """The reader may read again."""
        self._arm()

    def route_changed(self) -> None:
        """A wall came or went: send again what it has stopped."""
        if self._network.may_pass(self.target, self.source):
            self._unconfirmed_bytes = 0
        if self._timer is not None or not self._flight or not self._may_arrive():
            return
        first = self._network.loop.time() + self._quality().travel_seconds(self._network.random)
        self._flight = deque((max(first, a), max(first, b), kind, payload) for a, b, kind, payload in self._flight)
        self._last_arrival = self._flight[-1][1]
        self._arm()

    def quality_changed(self) -> None:
        """What has not arrived yet goes on at the new rate, as the bytes that wait in the buffer of a socket do."""
        now, quality = self._network.loop.time(), self._quality()
        flight, self._flight = self._flight, deque()
        at = now
        for first, last, kind, payload in flight:
            left = len(payload) * min(1.0, max(0.0, last - now) / (last - first)) if last > first else 0.0
            begun = first if first <= now else max(at, min(first, now + quality.travel_seconds(self._network.random)))
            at = max(at, begun) + (left / quality.bytes_per_second if quality.bytes_per_second else 0)
            self._flight.append((begun, at, kind, payload))
        self._last_arrival = at
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._arm()

    def forget_unsent(self) -> None:
        """Drop what has not left the sender."""
        self.waiting_bytes -= sum(len(payload) for _, payload in self._queue)
        self._queue.clear()

    def drop(self) -> None:
        """Drop everything; nothing is read any more. Harmless when it is dropped already."""
        self.is_dropped = True
        self._network.forget(self)
        self.waiting_bytes = self._flight_bytes = 0
        self._queue.clear()
        self._flight.clear()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _quality(self) -> WireQuality:
        return self._network.quality(self.source, self.target)

    def _may_arrive(self) -> bool:
        """Whether bytes arrive. If only acknowledgements cannot come back, FLIGHT_BYTES still pass."""
        network = self._network
        if not network.may_pass(self.source, self.target):
            return False
        return self._unconfirmed_bytes < FLIGHT_BYTES or network.may_pass(self.target, self.source)

    def _fill_flight(self) -> None:
        while self._queue and (not self._flight or self._flight_bytes < FLIGHT_BYTES):
            kind, payload = self._queue.popleft()
            quality, now = self._quality(), self._network.loop.time()
            first = max(now + quality.travel_seconds(self._network.random), self._last_arrival)
            last = first + (len(payload) / quality.bytes_per_second if quality.bytes_per_second else 0)
            self._last_arrival = last
            self._flight.append((first, last, kind, payload))
            self._flight_bytes += len(payload)

    def _arm(self) -> None:
        if self._timer is not None or not self._flight or not self._may_arrive() or not self.reader.may_read(self):
            return
        first, last, _, _ = self._flight[0]
        now = self._network.loop.time()
        self._timer = self._network.loop.call_at(max(now, min(last, max(first, now) + PART_SECONDS)), self._arrive)

    def _arrive(self) -> None:
        self._timer = None
        if not self._flight or not self._may_arrive() or not self.reader.may_read(self):
            return
        first, last, kind, payload = self._flight[0]
        now = self._network.loop.time()
        if last > now:
            if first < now:
                self.reader.read_part(self)
            self._arm()
            return
        self._flight.popleft()
        self._flight_bytes -= len(payload)
        self.waiting_bytes -= len(payload)
        if not self._network.may_pass(self.target, self.source):
            self._unconfirmed_bytes += len(payload)
        self._fill_flight()
        self._arm()
        self.reader.read(self, kind, payload)
