"""The links between real hosts, broken as the verbs ask: nft rules on the bridge, and a LabLink for bad links."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from mesh.lab.live.link import LabLink
from mesh.lab.live.link_queue import LinkQuality
from mesh.lab.live.namespaces import Host
from mesh.lab.live.not_live import NotLive
from mesh.lab.simulation.wire import LATENCY_MS, WireQuality

Pair = tuple[str, str]
"""Names of the room that sends and the room that receives."""
GOOD = WireQuality()


class LiveNetwork:
    """Implements `LinkControl` on real hosts. Each change is in force when the method returns. Raises NetLabError."""

    def __init__(self, link: LabLink, host_of: Callable[[str], Host]) -> None:
        """`host_of` gives the host of a room by the room's name, and makes it if there is none yet."""
        self._link = link
        self._host_of = host_of
        self._walls: list[Sequence[str]] = []
        self._cuts: dict[Pair, None] = {}
        self._holds: dict[Pair, None] = {}
        self._qualities: dict[Pair, WireQuality] = {}
        """Of the links that are not good."""

    def partition(self, groups: Sequence[Sequence[str]]) -> None:
        """Drop all frames between these groups, instead of an earlier partition."""
        self._walls = list(groups)
        self._apply()

    def heal(self) -> None:
        """Remove the partition and all cuts."""
        self._walls = []
        self._cuts.clear()
        self._apply()

    def cut(self, source: str, target: str) -> None:
        """Drop all frames from `source` to `target`."""
        self._cuts[source, target] = None
        self._apply()

    def hold(self, source: str, target: str) -> None:
        """Keep all frames from `source` to `target` until `release`."""
        self._holds[source, target] = None
        self._apply()

    def release(self, source: str, target: str) -> None:
        """Deliver what `hold` has kept."""
        del self._holds[source, target]
        self._apply()

    def is_held(self, source: str, target: str) -> bool:
        """Whether there was a `hold` without a `release`."""
        return (source, target) in self._holds

    def is_open(self, one: str, other: str) -> bool:
        """Whether frames pass at once in both directions."""
        return {(one, other), (other, one)}.isdisjoint([*self._closed(), *self._holds])

    def quality(self, source: str, target: str) -> WireQuality:
        """How good one direction is."""
        return self._qualities.get((source, target), GOOD)

    def set_quality(self, source: str, target: str, quality: WireQuality) -> None:
        """Set how good one direction is; only bad ones are carried in user space."""
        self._qualities.pop((source, target), None)
        if quality != GOOD:
            self._qualities[source, target] = quality
        self._apply()

    def reset(self, one: str, other: str) -> None:
        """Break the open connections between two rooms. Raises NotLive if the kernel cannot."""
        hosts = self._host_of(one), self._host_of(other)
        for host, there in (hosts, hosts[::-1]):
            _break_connections(host, there)

    def _closed(self) -> list[Pair]:
        """The directions in which nothing passes."""
        walled = [
            (a, b) for one in self._walls for other in self._walls if one is not other for a in one for b in other
        ]
        return [*walled, *self._cuts]

    def _apply(self) -> None:
        bad = {pair: self._carried(pair) for pair in [*self._holds, *self._qualities]}
        self._link.set(
            closed=map(self._numbers, self._closed()), bad={self._numbers(pair): each for pair, each in bad.items()}
        )

    def _carried(self, pair: Pair) -> LinkQuality:
        quality = self._qualities.get(pair, GOOD)
        latency_ms = (0.0, 0.0) if quality.latency_ms == LATENCY_MS else quality.latency_ms  # real hosts add their own
        return LinkQuality(latency_ms, quality.bytes_per_second, quality.loss, is_held=pair in self._holds)

    def _numbers(self, pair: Pair) -> tuple[int, int]:
        source, target = pair
        return self._host_of(source).number, self._host_of(target).number


def _break_connections(host: Host, other: Host) -> None:
    """End what a host has open to another: its own end and, by a reset, that of the other."""
    before = _connections(host, other)
    host.run(["ss", "-HKtn", "dst", other.ip], check=True)
    if before & _connections(host, other):
        raise NotLive("resets connections, which this kernel cannot do (it needs CONFIG_INET_DIAG_DESTROY)")


def _connections(host: Host, other: Host) -> set[tuple[str, ...]]:
    """Both addresses of each open connection."""
    lines = host.run(["ss", "-Htn", "state", "established", "dst", other.ip], check=True).stdout.splitlines()
    return {tuple(line.split()[2:4]) for line in lines}
