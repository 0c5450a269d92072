"""LinkProgress: how far both ends of a link between nodes have come, by the messages with entries that they exchange."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from peers.events.dot import Epoch
from peers.events.ends import Ends
from peers.events.epoch import EpochEnd
from peers.protocol.flow_control import Pace, Patience, Sent
from peers.protocol.sync import WINDOW
from peers.roles.checks import Checks
from peers.stores.store import PAGE_BYTES


class LinkProgress:
    """Made when a link opens. Positions are those of the log of the end that is named."""

    def __init__(self, synced: int = 0) -> None:
        """`synced`: what was confirmed on the link before; it counts until it is known what the other end has now."""
        self.pace = Pace(WINDOW * PAGE_BYTES, PAGE_BYTES)
        self.patience = Patience()
        self.checks = Checks()
        self.in_flight: list[Sent] = []
        """Messages that were sent and are not acknowledged yet."""
        self.taking: list[int] = []
        """Numbers of the messages that came and are not committed yet."""
        self.synced = synced
        """The position of our log up to which the other end has confirmed all."""
        self.heard = 0
        """The position of its log up to which the other end has sent all."""
        self.other_last = 0
        """The last position of its log at its greeting."""
        self.has_moved = False
        """Whether something of it was committed here, or the other end acknowledged something."""
        self.greeted: Mapping[Epoch, int] = {}
        """Up to which seq the other end had epochs at its greeting, where we had another one."""
        self._owed: dict[Epoch, int] = {}
        """Those of which we lack something still."""

    def on_view(self, exceptions: Iterable[tuple[Epoch, EpochEnd]]) -> None:
        """It is known what the other end has, and we have not."""
        self.greeted = {epoch: end.seq for epoch, end in exceptions}
        self._owed = dict(self.greeted)
        self.synced = 0

    def missing(self, ends: Ends) -> int:
        """Entries that the other end had at its greeting and that our ends do not cover, at most."""
        if not self._owed:  # the usual case
            return 0
        if self.heard >= self.other_last and not self.taking:
            self._owed = {}  # it has sent all that it had: what has not come never will
            return 0
        count = 0
        for epoch, seq in tuple(self._owed.items()):
            ours = ends.get(epoch)
            if ours is not None and (ours.seq >= seq or ours.mark):
                del self._owed[epoch]
            else:
                count += seq - (ours.seq if ours is not None else 0)
        return count

    @property
    def bytes_in_flight(self) -> int:
        """Of the events that were sent and are not acknowledged yet."""
        return sum([sent.size for sent in self.in_flight])

    def on_sent(self, number: int, position: int, size: int, now_ms: float) -> None:
        """A message with `size` bytes of events was sent; with those before, all up to `position` of our log was."""
        if self.in_flight:
            self.in_flight[-1].confirms = position
        self.in_flight.append(Sent(number, position, size, now_ms))

    def on_synced(self, number: int, now_ms: float) -> int:
        """The other end has committed all up to this message; how many messages that are."""
        count = next((at for at, sent in enumerate(self.in_flight, 1) if sent.number == number), 0)
        for sent in self.in_flight[:count]:
            self.has_moved = True
            self.pace.note(sent.size, now_ms - sent.since_ms)
            self.synced = max(self.synced, sent.confirms)
        del self.in_flight[:count]
        return count

    def on_taken(self, number: int) -> None:
        """We have committed all up to this message."""
        self.has_moved = True
        if number in self.taking:
            while self.taking.pop(0) != number:
                self.checks.on_taken()
            self.checks.on_taken()

    def on_pong(self, walked: int, last_position: int) -> None:
        """The other end answered a ping."""
        self.checks.on_pong(walked, last_position, len(self.taking))

    def settle(self, position: int) -> None:
        """All up to `position` of our log was sent, or left out."""
        if self.in_flight:
            self.in_flight[-1].confirms = position
        else:
            self.synced = max(self.synced, position)
        self.checks.settle(self.synced)
