"""Untold: what was committed, and the other end of a link is to be told of."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from peers.codec.run_messages import MAX_HAVE, MAX_SPANS, RunHave, spans_of
from peers.events.dot import NO_EPOCHS, Dot, Epoch
from peers.events.epoch import EpochEnd


class Untold:
    """Grows with each commit; `messages` says all of it, and forgets it."""

    def __init__(self) -> None:
        self.ends: dict[Epoch, EpochEnd] = {}
        """Epochs that came from others, or that count up to another entry."""
        self.anew = NO_EPOCHS
        """Those of them that are taken anew from their ends here on."""
        self.hollow: list[Dot] = []
        self.filled: list[Dot] = []

    def begin_anew(self, ends: Mapping[Epoch, EpochEnd]) -> None:
        """These epochs are taken anew from these ends on."""
        self.anew = self.anew.union(ends)
        self.ends |= ends

    def messages(self) -> Iterator[RunHave]:
        """As few as possible."""
        ends, anew = list(self.ends.items()), self.anew
        hollow, filled = spans_of(self.hollow), spans_of(self.filled)
        self.ends, self.anew, self.hollow, self.filled = {}, NO_EPOCHS, [], []
        while ends or hollow or filled:
            some = dict(ends[:MAX_HAVE])
            yield RunHave(
                some,
                tuple(hollow[:MAX_SPANS]),
                tuple(filled[:MAX_SPANS]),
                anew=tuple([epoch for epoch in some if epoch in anew]),
            )
            ends, hollow, filled = ends[MAX_HAVE:], hollow[MAX_SPANS:], filled[MAX_SPANS:]
