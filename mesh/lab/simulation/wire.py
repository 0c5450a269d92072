"""One direction of one simulated connection: what was sent and is not read yet, in order."""

from __future__ import annotations

from asyncio import TimerHandle
from collections import deque
from dataclasses import dataclass
from random import Random
from typing import Literal, Protocol

from mesh.lab.simulation.virtual_loop import VirtualLoop

FLIGHT_BYTES = 256 * 1024
"""What may be under way at once, like the socket buffers of both ends; the rest waits at the sender."""
LATENCY_MS = (0.2, 2.0)
RESEND_SECONDS = 0.2
"""What a lost piece costs: TCP sends it again."""
MAX_RESENDS = 5
PART_SECONDS = 0.25
"""How often the reader of a frame that takes long is told that bytes come."""

ItemKind = Literal["dial", "accept", "refuse", "open", "frame", "close"]
"""A connection is dialled, accepted (or refused) and open, as with TCP's SYN, SYN-ACK (or RST) and ACK."""


@dataclass(frozen=True, slots=True)
class WireQuality:
    """How good the way from one room to another is."""

    latency_ms: tuple[float, float] = LATENCY_MS
    bytes_per_second: float | None = None
    """None: as many as fit into FLIGHT_BYTES at this latency."""
    loss: float = 0.0
    """The share of frames that have to be sent again, each time for RESEND_SECONDS."""

    def travel_seconds(self, random: Random) -> float:
        """How long the first byte takes, this time."""
        seconds = random.uniform(*self.latency_ms) / 1000
        for _ in range(MAX_RESENDS):
            if self.loss == 0 or random.random() >= self.loss:
                break
            seconds += RESEND_SECONDS
        return seconds


class Ways(Protocol):
    """What a wire must know of the house."""

    loop: VirtualLoop
    random: Random

    def may_pass(self, source: str, target: str) -> bool:
        """Whether what `source` sends reaches `target` now."""

    def quality(self, source: str, target: str) -> WireQuality:
        """How good that way is now."""

    def forget(self, wire: SimWire) -> None:
        """It was dropped: no more `route_changed` for it."""


class Reader(Protocol):
    """Whoever reads a wire."""

    def may_read(self, wire: SimWire) -> bool:
        """Whether it takes anything now; `SimWire.wake` says that this has changed."""

    def read(self, wire: SimWire, kind: ItemKind, payload: bytes) -> None:
        """The next item arrived."""

    def read_part(self, wire: SimWire) -> None:
        """Some bytes of the next item arrived."""


class SimWire:
    """First in, first out, like one direction of TCP: a wall delays what is under way, and loses nothing of it."""

    def __init__(self, ways: Ways, source: str, target: str, reader: Reader) -> None:
        self.source = source
        self.target = target
        self.reader = reader
        self.waiting_bytes = 0
        """Sent and not read yet."""
        self.is_dropped = False
        self._ways = ways
        self._queue: deque[tuple[ItemKind, bytes]] = deque()
        self._flight: deque[tuple[float, float, ItemKind, bytes]] = deque()  # first byte, last byte, kind, payload
        self._flight_bytes = 0
        self._unconfirmed_bytes = 0
        self._last_arrival = 0.0
        self._timer: TimerHandle | None = None

    def put(self, kind: ItemKind, payload: bytes = b"") -> None:
        """Send; what is put into a dropped wire is lost."""
        if self.is_dropped:
            return
        self._queue.append((kind, payload))
        self.waiting_bytes += len(payload)
        self._fill_flight()
        self._arm()

    def wake(self) -> None:
        """The reader reads again."""
        self._arm()

    def route_changed(self) -> None:
        """A wall came or went: what it held up is sent again."""
        if self._ways.may_pass(self.target, self.source):
            self._unconfirmed_bytes = 0
        if self._timer is not None or not self._flight or not self._may_arrive():
            return
        first = self._ways.loop.time() + self._quality().travel_seconds(self._ways.random)
        self._flight = deque((max(first, a), max(first, b), kind, payload) for a, b, kind, payload in self._flight)
        self._last_arrival = self._flight[-1][1]
        self._arm()

    def forget_unsent(self) -> None:
        """What has not left the sender is lost."""
        self.waiting_bytes -= sum(len(payload) for _, payload in self._queue)
        self._queue.clear()

    def drop(self) -> None:
        """Lose everything; nothing is read from it any more. Harmless when it is dropped."""
        self.is_dropped = True
        self._ways.forget(self)
        self.waiting_bytes = self._flight_bytes = 0
        self._queue.clear()
        self._flight.clear()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _quality(self) -> WireQuality:
        return self._ways.quality(self.source, self.target)

    def _may_arrive(self) -> bool:
        """Whether the way is open; if only answers cannot come back, FLIGHT_BYTES still pass."""
        ways = self._ways
        if not ways.may_pass(self.source, self.target):
            return False
        return self._unconfirmed_bytes < FLIGHT_BYTES or ways.may_pass(self.target, self.source)

    def _fill_flight(self) -> None:
        while self._queue and (not self._flight or self._flight_bytes < FLIGHT_BYTES):
            kind, payload = self._queue.popleft()
            quality, now = self._quality(), self._ways.loop.time()
            first = max(now + quality.travel_seconds(self._ways.random), self._last_arrival)
            last = first + (len(payload) / quality.bytes_per_second if quality.bytes_per_second else 0)
            self._last_arrival = last
            self._flight.append((first, last, kind, payload))
            self._flight_bytes += len(payload)

    def _arm(self) -> None:
        if self._timer is not None or not self._flight or not self._may_arrive() or not self.reader.may_read(self):
            return
        first, last, _, _ = self._flight[0]
        now = self._ways.loop.time()
        self._timer = self._ways.loop.call_at(max(now, min(last, max(first, now) + PART_SECONDS)), self._arrive)

    def _arrive(self) -> None:
        self._timer = None
        if not self._flight or not self._may_arrive() or not self.reader.may_read(self):
            return
        first, last, kind, payload = self._flight[0]
        now = self._ways.loop.time()
        if last > now:
            if first < now:
                self.reader.read_part(self)
            self._arm()
            return
        self._flight.popleft()
        self._flight_bytes -= len(payload)
        self.waiting_bytes -= len(payload)
        if not self._ways.may_pass(self.target, self.source):
            self._unconfirmed_bytes += len(payload)
        self._fill_flight()
        self._arm()
        self.reader.read(self, kind, payload)
