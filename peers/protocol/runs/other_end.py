"""OtherEnd: what one end of a link knows of the other: what it has, what it was sent, what it does not take."""

from __future__ import annotations

from bisect import bisect_right

from peers.codec.run_messages import MAX_TOGETHER, Fill, Pieces
from peers.events.dot import MAX_SEQ, Epoch
from peers.events.epoch import NO_KEYS, EpochEnd
from peers.events.reconcile import EndsView
from peers.protocol.runs.role import BadPeer, RunRole
from peers.protocol.sync import WINDOW


class OtherEnd:
    """Nothing that it says is believed for another: it can harm its own link only."""

    def __init__(self) -> None:
        self.view: EndsView | None = None
        """What it has, as it says; None until that is known."""
        self.declined = NO_KEYS
        """Keys of nodes whose epochs it does not take for now."""
        self.together = MAX_TOGETHER
        """Entries of all pieces of one message that it reads, and we send."""
        self.sent: dict[Epoch, int] = {}
        """Up to which seq epochs went over this link, in either direction."""
        self.coming: dict[Epoch, int] = {}
        """Up to which seq it has sent epochs in what is being committed."""
        self._proven: dict[Epoch, bytes] = {}
        """The marks of proofs that went over this link."""

    def has(self, epoch: Epoch) -> int:
        """Up to which seq it has an epoch, or is being sent it."""
        said = 0 if self.view is None else self.view.had(epoch)
        return max(said, self.sent.get(epoch, 0), self.coming.get(epoch, 0))

    def went(self, epoch: Epoch, seq: int) -> None:
        """Entries up to this one went over the link."""
        self.sent[epoch] = max(seq, self.sent.get(epoch, 0))

    def limit(self, epoch: Epoch, seq: int) -> None:
        """No more of an epoch counts here: of what went over the link after it, it is not known whether it was taken."""
        for seqs in (self.sent, self.coming):
            if seqs.get(epoch, 0) > seq:
                seqs[epoch] = seq

    def anew(self, epoch: Epoch, end: EpochEnd) -> None:
        """It takes an epoch anew from this end on."""
        self.sent.pop(epoch, None)
        self.coming.pop(epoch, None)
        if self.view is not None:
            self.view.begin_anew(epoch, end)

    def mark(self, epoch: Epoch) -> bytes:
        """The mark of the proof that it has of an epoch's fork, empty if it has none."""
        if epoch in self._proven or self.view is None:
            return self._proven.get(epoch, b"")
        return self.view.get(epoch).mark

    def proved(self, epoch: Epoch, mark: bytes) -> None:
        """A proof went over the link."""
        self._proven[epoch] = mark


class SendWindow:
    """The messages that were sent and are not acknowledged yet: at most WINDOW."""

    def __init__(self, role: RunRole) -> None:
        self._role = role
        self._sent: list[int] = []
        self._last = 0
        self._reserved = 0
        """Messages that are being made."""
        self.is_held = False
        """Whether no event may go for now, since something has to go before."""

    @property
    def count(self) -> int:
        return len(self._sent)

    @property
    def is_open(self) -> bool:
        """Whether one more may be made."""
        return not self.is_held and len(self._sent) + self._reserved < WINDOW and self._role.may_send()

    def reserve(self) -> None:
        """One more is being made."""
        self._reserved += 1

    def release(self) -> None:
        """It is made, or there is none."""
        self._reserved -= 1

    def next_number(self) -> int:
        """The number of the next message."""
        self._last += 1
        return self._last

    def send(self, message: Pieces | Fill) -> None:
        self._sent.append(message.number)
        self._role.send(message)

    def acknowledged(self, number: int) -> None:
        """The other end has committed all up to this message. Raises BadPeer if it was not sent, or before."""
        if number not in self._sent:
            raise BadPeer(f"it confirmed message {number}, which does not wait for it")
        while self._sent.pop(0) != number:
            pass


Ranges = list[tuple[int, int]]
"""(first, last), sorted and apart from each other."""


def ranges_with(ranges: Ranges, more: Ranges) -> Ranges:
    """All of both."""
    joined: Ranges = []
    for first, last in sorted([*ranges, *more]):
        if joined and first <= joined[-1][1] + 1:
            joined[-1] = (joined[-1][0], max(joined[-1][1], last))
        else:
            joined.append((first, last))
    return joined


def ranges_without(ranges: Ranges, less: Ranges) -> Ranges:
    """Those of the first that are not in the second, which need not be sorted."""
    left: Ranges = []
    gone = ranges_with([], less)
    at = 0
    for low, high in ranges:
        first = low
        while at < len(gone) and gone[at][1] < first:
            at += 1
        while at < len(gone) and gone[at][0] <= high:
            if first < gone[at][0]:
                left.append((first, gone[at][0] - 1))
            first = gone[at][1] + 1
            if first > high:
                break
            at += 1
        if first <= high:
            left.append((first, high))
    return left


def ranges_within(ranges: Ranges, first: int, last: int) -> Ranges:
    """Their parts from `first` to `last`."""
    at = max(0, bisect_right(ranges, (first, MAX_SEQ)) - 1)
    found: Ranges = []
    while at < len(ranges) and ranges[at][0] <= last:
        if ranges[at][1] >= first:
            found.append((max(first, ranges[at][0]), min(last, ranges[at][1])))
        at += 1
    return found
