"""Neighbours: with which nodes the sessions of one log are connected; each tells the other ends of the others."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

from peers.clock import Undo
from peers.codec.run_messages import LINK_BYTES
from peers.emitter import Emitter
from peers.events.dot import Epoch
from peers.transport.address import UNKNOWN_KEY, address_key


class Neighbours:
    """Shared by all sessions of a log. A node is named by the first LINK_BYTES of its public key."""

    def __init__(self) -> None:
        self._links: dict[object, bytes] = {}
        """The node at the other end, by session."""
        self._nodes: frozenset[bytes] | None = frozenset()
        self._lacked: dict[object, Callable[[], set[Epoch]]] = {}
        self._places: dict[object, str] = {}
        """The address from which the other end came or where it was dialled, without its port; by session."""
        self._crowds: Counter[str] = Counter()
        """How many sessions each of these addresses has."""
        self._ahead: dict[object, int] = {}
        """By how many ms its clock is ahead of ours, as it said at its greeting; by session."""
        self._emitter = Emitter()

    def on_change(self, listener: Callable[[], None]) -> Undo:
        """Call `listener` when a session begins or ends; returns the undo."""
        return self._emitter.on("change", listener)

    @property
    def count(self) -> int:
        """How many sessions are connected."""
        return len(self._links)

    @property
    def lacked(self) -> set[Epoch]:
        """Epochs of which any of the other ends says that it has more than this log; NO_EPOCH while one has not said it."""
        return set[Epoch]().union(*[lacked() for lacked in self._lacked.values()])

    @property
    def clock_ahead_ms(self) -> int:
        """The median of how far their clocks are ahead of ours; the smaller one of two in the middle, 0 without any.

        A node counts once, however many links it has; if it has said several times on them, with the smallest.
        """
        by_node: dict[bytes, int] = {}
        for session, ahead_ms in self._ahead.items():
            node = self._links[session]
            by_node[node] = min(ahead_ms, by_node.get(node, ahead_ms))
        sorted_ms = sorted(by_node.values())
        return sorted_ms[(len(sorted_ms) - 1) // 2] if sorted_ms else 0

    def begin(
        self,
        session: object,
        key: bytes,
        lacked: Callable[[], set[Epoch]] = set,
        ahead_ms: int | None = None,
        address: str = "",
    ) -> None:
        """A session is connected with the node that has this public key; one without a key is not named to others.

        `lacked` says of which epochs the other end has more than this log, as it says; `ahead_ms` by how much its clock is
        ahead of ours, if it said so. `address` is that of the connection.
        """
        place = address_key(address)
        if place != UNKNOWN_KEY and session not in self._places:
            self._places[session] = place
            self._crowds[place] += 1
        if key:
            self._links[session], self._lacked[session], self._nodes = key[:LINK_BYTES], lacked, None
            if ahead_ms is not None:
                self._ahead[session] = ahead_ms
            self._emitter.emit("change")

    def end(self, session: object) -> None:
        """A session is not connected any more. Harmless if it was not."""
        self._ahead.pop(session, None)
        place = self._places.pop(session, "")
        self._crowds[place] -= 1
        if self._crowds[place] <= 0:
            del self._crowds[place]
        if self._links.pop(session, None) is not None:
            del self._lacked[session]
            self._nodes = None
            self._emitter.emit("change")

    def other(self, session: object) -> bytes:
        """With which node a session is connected; empty if with none."""
        return self._links.get(session, b"")

    def crowd(self, session: object) -> int:
        """How many sessions are connected with the address of this one; 0 if that is not known."""
        return self._crowds[self._places.get(session, "")]

    @property
    def nodes(self) -> frozenset[bytes]:
        """With which nodes the sessions are connected: the same object until that changes, so all sessions may keep it."""
        if self._nodes is None:
            self._nodes = frozenset(self._links.values())
        return self._nodes
