"""Reconciliation: what the other end of a link has, found from greetings and a few messages about what differs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated

import msgspec
from msgspec import Meta

from peers.events.ends import EndsSnapshot, Fingerprint
from peers.events.epoch import NOTHING, EpochEnd, EpochName
from peers.events.version_vector import Epoch

MAX_NEWEST = 32
"""Epochs that a greeting names: below 4 KiB when written."""
LIST_NAMES = 8
"""Of a range with so many names or fewer all are listed."""
PIECES = 16
"""Parts into which a range that differs is divided."""
MAX_ITEMS = 112
"""Parts and names in one message: below 16 KiB when written."""
MAX_FOREIGN = 4096
"""Epochs not held here of which a view keeps what the other has; of more it is not known."""

_Border = Annotated[str, Meta(pattern=r"^([0-9a-f]{0,32}|~)\Z")]
NewestEnds = Annotated[dict[EpochName, EpochEnd], Meta(max_length=MAX_NEWEST)]
"""What a greeting says by name."""
_Listed = Annotated[dict[EpochName, EpochEnd], Meta(max_length=LIST_NAMES)]


class Part(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """What the sender has of the names > low and <= high: all of it by name, or a fingerprint."""

    low: _Border
    high: _Border
    what: Fingerprint | _Listed


class Same(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True, tag="same"):
    """We have the same, but for what the greetings name; instead of these ends of the other's greeting we have those."""

    ends: Annotated[dict[EpochName, EpochEnd | None], Meta(max_length=MAX_NEWEST)]


class Differ(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True, tag="differ"):
    """What differs: instead of ends that the other named we have those; and parts to compare."""

    ends: Annotated[dict[EpochName, EpochEnd | None], Meta(max_length=MAX_ITEMS)]
    parts: Annotated[tuple[Part, ...], Meta(max_length=MAX_ITEMS)]
    more: bool = False
    """Not all had room: the answer is followed by more."""


class View:
    """What the other end has: our map at the moment of our greeting, with exceptions."""

    __slots__ = ("_exceptions", "_snapshot")

    def __init__(self, snapshot: EndsSnapshot) -> None:
        """The other has exactly what the snapshot says."""
        self._snapshot = snapshot
        self._exceptions: dict[Epoch, EpochEnd] = {}

    def get(self, epoch: Epoch) -> EpochEnd:
        """How far the other has an epoch; NOTHING if it has nothing of it, or we do not know."""
        found = self._exceptions.get(epoch)
        return found if found is not None else self._snapshot.get(epoch) or NOTHING

    def put(self, epoch: Epoch, end: EpochEnd | None) -> None:
        """The other has this of an epoch. Of epochs that are not held here at most MAX_FOREIGN are kept."""
        if end == self._snapshot.get(epoch):
            self._exceptions.pop(epoch, None)
        elif (
            epoch in self._exceptions
            or epoch in self._snapshot.now
            or len(self._exceptions) < len(self._snapshot.now) + MAX_FOREIGN
        ):
            self._exceptions[epoch] = end or NOTHING

    def raise_to(self, epoch: Epoch, end: EpochEnd) -> None:
        """The other has more of an epoch now; a fork may make it less. What is neither changes nothing."""
        if end.mark or end.seq >= self.get(epoch).seq:
            self.put(epoch, end)


class Reconciliation:
    """Finds what the other end of one link has. No messages but those that it is given, no time.

    mine = Reconciliation(ends.snapshot(), newest, is_dialling=True)
    # send mine.newest and mine.rest in the greeting; when the other's greeting comes:
    answer = mine.meet(newest, rest, yours)      # send it, if there is one; `take` each Same and Differ, send its answer
    mine.view                                     # what the other has, when it is known

    Both ends talk about their map at the moment of their own greeting; what is committed since then they say by `have`. Ends
    take turns, so there is never more than one message without an answer.
    """

    def __init__(self, snapshot: EndsSnapshot, newest: Sequence[Epoch], *, is_dialling: bool) -> None:
        """`newest`: the epochs to say by name, see `RunStore.newest`; those after MAX_NEWEST, or not in the snapshot, are not.

        The end that dialled begins to ask.
        """
        known = [(epoch, end) for epoch in newest if (end := snapshot.get(epoch)) is not None]
        self.newest: dict[Epoch, EpochEnd] = dict(known[:MAX_NEWEST])
        self.rest: Fingerprint = snapshot.fingerprint(self.newest)
        """Of all others."""
        self.view: View | None = None
        """What the other has; None until it is known."""
        self._snapshot = snapshot
        self._is_dialling = is_dialling

    def meet(
        self, newest: Mapping[Epoch, EpochEnd], rest: Fingerprint, yours: Mapping[Epoch, EpochEnd]
    ) -> Same | Differ | None:
        """The other's greeting: what it says by name, a fingerprint of the rest, and what it has of our current epoch.

        Gives the message to send. Raises ValueError, with a sentence, for what no honest end says; then the link has to end.
        """
        raise NotImplementedError

    def take(self, message: Same | Differ) -> Same | Differ | None:
        """A message of the other: gives the one to send. Raises ValueError as `meet`."""
        raise NotImplementedError

    def have(self, ends: Mapping[Epoch, EpochEnd]) -> None:
        """What the other says that it committed since its greeting, whether or not the view is known."""
        raise NotImplementedError
