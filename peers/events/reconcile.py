"""Reconciliation: what the other end of a link has, found from greetings and a few messages about what differs.

A greeting names the epochs that grew last, and gives one fingerprint for all others. Who finds it equal, also when the epochs
are left out that the greetings name, says `same`, which ends it for both. Else the end that dialled begins with `differ`: it
divides all names into ranges and gives a fingerprint of each. What is equal is not answered; what differs is divided again by
who got it, or listed where it has few names; a list is answered with what is different there. This is range-based set
reconciliation (A. Meyer, 2022).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Annotated, NamedTuple

import msgspec
from msgspec import Meta

from peers.events.dot import NO_EPOCHS, Epoch
from peers.events.ends import FIRST_BORDER, LAST_BORDER, EndsSnapshot, Fingerprint
from peers.events.epoch import END_BYTES, NOTHING, EpochEnd, EpochName

MAX_NEWEST = 32
"""Epochs that a greeting names: below 4 KiB when written."""
LIST_NAMES = 3
"""Of a range with so many names or fewer all are listed. A name and its end take two digests or more when written."""
PIECES = 4
"""Ranges into which one that differs is divided: more cost bytes, fewer cost rounds. More than LIST_NAMES, so that the answer
to a range takes at most so many items."""
MAX_ITEMS = 144
"""Ranges and names in one message: one takes at most 109 bytes, so a message takes less than 16 KiB."""
MAX_FOREIGN = 4096
"""Epochs not held here of which a view keeps what the other has; of more it is not known."""

_Border = Annotated[str, Meta(pattern=r"^([0-9a-f]{0,32}|~)\Z")]
NewestEnds = Annotated[dict[EpochName, EpochEnd], Meta(max_length=MAX_NEWEST)]
"""What a greeting says by name."""
_Listed = Annotated[dict[EpochName, EpochEnd], Meta(max_length=LIST_NAMES)]


class Division(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """A range divided at `borders`: of each piece END_BYTES of the fingerprint of what the sender has there."""

    borders: Annotated[tuple[_Border, ...], Meta(max_length=PIECES - 1)]
    digests: Annotated[bytes, Meta(max_length=PIECES * END_BYTES)]


class Part(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """What the sender has of the names > low and <= high: all of it by name, or fingerprints."""

    low: _Border
    high: _Border
    what: Division | _Listed

    @property
    def items(self) -> int:
        """How much room it takes in a message."""
        return 1 + len(self.what) if isinstance(self.what, dict) else 1 + len(self.what.borders)


class Asked(NamedTuple):
    """A range, and what the one who asks about it has there: END_BYTES of its fingerprint."""

    low: str
    high: str
    digest: bytes


class Same(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True, tag="same"):
    """We have the same, but for what the greetings name; instead of these ends of the other's greeting we have those."""

    ends: Annotated[dict[EpochName, EpochEnd | None], Meta(max_length=MAX_NEWEST)]


class Differ(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True, tag="differ"):
    """What differs: instead of ends that the other named we have those; and parts to compare."""

    ends: Annotated[dict[EpochName, EpochEnd | None], Meta(max_length=MAX_ITEMS)]
    parts: Annotated[tuple[Part, ...], Meta(max_length=MAX_ITEMS)]
    more: bool = False
    """Not all had room: the answer is followed by more."""


class EndsView:
    """What the other end has: our map at the moment of our greeting, with exceptions."""

    __slots__ = ("_cut_off", "_exceptions", "_snapshot")

    def __init__(self, snapshot: EndsSnapshot) -> None:
        """The other has exactly what the snapshot says."""
        self._snapshot = snapshot
        self._exceptions: dict[Epoch, EpochEnd] = {}
        self._cut_off: dict[Epoch, int] = {}
        """Up to which seq it had epochs that it says less of since."""

    def get(self, epoch: Epoch) -> EpochEnd:
        """How far the other has an epoch; NOTHING if it has nothing of it, or we do not know."""
        found = self._exceptions.get(epoch)
        return found if found is not None else self._snapshot.get(epoch) or NOTHING

    def had(self, epoch: Epoch) -> int:
        """Up to which seq the other has an epoch, or had before what follows counted no more: it lacks none of it."""
        return max(self.get(epoch).seq, self._cut_off.get(epoch, 0))

    def exceptions(self) -> Iterator[tuple[Epoch, EpochEnd]]:
        """Each epoch of which the other has something else than the snapshot says, and what."""
        return iter(self._exceptions.items())

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
        """The other has more of an epoch now; or less of it counts there, after a fork or by the facts of its mesh."""
        if end.seq < self.get(epoch).seq:
            self._cut_off[epoch] = self.had(epoch)
        self.put(epoch, end)

    def begin_anew(self, epoch: Epoch, end: EpochEnd) -> None:
        """The other has an epoch up to this end, and lacks what follows, whatever it had before."""
        self._cut_off.pop(epoch, None)
        self.put(epoch, end)


class Reconciliation:
    """Finds what the other end of one link has. No messages but those that it is given, no time.

    mine = Reconciliation(ends.snapshot(), newest, is_dialling=True)
    # send mine.newest and mine.rest in the greeting; when the other's greeting comes:
    answer = mine.meet(newest, rest)  # send it, if there is one; `take` each Same and Differ, send its answer
    mine.view                         # what the other has, when it is known

    Both ends talk about their map at the moment of their own greeting; what is committed since then they say by `have`. Ends
    take turns, so there is never more than one message without an answer. Whatever the other says, the messages and the memory
    are bounded by the number of our epochs and MAX_FOREIGN.
    """

    def __init__(self, snapshot: EndsSnapshot, newest: Sequence[Epoch], *, is_dialling: bool) -> None:
        """`newest`: the epochs to say by name, the last one last: of those in the snapshot at most the last MAX_NEWEST.

        The end that dialled begins to ask.
        """
        known = [(epoch, end) for epoch in newest if (end := snapshot.get(epoch)) is not None]
        self.newest: dict[Epoch, EpochEnd] = dict(known[-MAX_NEWEST:])
        self.rest: Fingerprint = snapshot.fingerprint(self.newest)
        """Of all others."""
        self.view: EndsView | None = None
        """What the other has; None until it is known."""
        self._snapshot = snapshot
        self._is_dialling = is_dialling
        self._found = EndsView(snapshot)
        """What will be the view."""
        self._later: dict[Epoch, EpochEnd] = {}
        """What the other committed meanwhile."""
        self._theirs: Mapping[Epoch, EpochEnd] | None = None
        """What its greeting names."""
        self._without = NO_EPOCHS
        """What either greeting names is not compared."""
        self._open = [] if is_dialling else [Asked(FIRST_BORDER, LAST_BORDER, b"")]
        """What we asked and the other has not answered, in order of the ranges, which are apart."""
        self._todo: list[Asked] = []
        """What the other asked and we have not answered, in the same order."""
        self._tell: dict[Epoch, EpochEnd | None] = {}
        """What we have instead of what the other named, to be said."""
        self._foreign_left = MAX_FOREIGN
        """Of how many more epochs it is said that we have them and the other does not."""
        self._heard = 0
        """Ends that the other said in answer to ours."""
        self._has_answered = False
        self._has_more = False
        """Whether our last message said that more follows."""

    def meet(self, newest: Mapping[Epoch, EpochEnd], rest: Fingerprint) -> Same | Differ | None:
        """The other's greeting: what it says by name, and a fingerprint of the rest.

        Gives the message to send. Raises ValueError, with a sentence, for what no honest end says; then the link has to end.
        """
        if self._theirs is not None:
            raise ValueError("the other end sent a second greeting")
        if len(newest) > MAX_NEWEST:
            raise ValueError(f"a greeting names at most {MAX_NEWEST} epochs, not {len(newest)}")
        self._theirs = newest
        self._without = frozenset((*newest, *self.newest))
        for epoch, end in newest.items():
            self._found.put(epoch, end)
        mine = {epoch: self._snapshot.get(epoch) for epoch in newest if epoch not in self.newest}
        self._tell = {epoch: end for epoch, end in mine.items() if end != newest[epoch]}
        if self._snapshot.fingerprint(newest) == rest:
            return self._say_same()
        if self._snapshot.fingerprint(self._without) == rest:
            for epoch in [epoch for epoch in self.newest if epoch not in newest]:  # in an order that is not by chance
                self._found.put(epoch, None)
            return self._say_same()
        if self._is_dialling:
            return self._answer([self._part(FIRST_BORDER, LAST_BORDER)])
        return None

    def take(self, message: Same | Differ) -> Same | Differ | None:
        """A message of the other: gives the one to send. Raises ValueError as `meet`."""
        if self._theirs is None:
            raise ValueError("the other end says what it has before its greeting")
        is_first, self._has_answered = not self._has_answered, True
        if isinstance(message, Same):
            if not is_first or not message.ends.keys() <= self.newest.keys():
                raise ValueError("the other end says that we have the same, which was not due")
            self._put(message.ends)
            self._end()
            return None
        if self.view is not None:
            if self._is_dialling or not is_first:
                raise ValueError("the other end goes on about what differs, which was found out")
            return None  # it asked before it knew that we have the same
        asked = self._checked(message)
        self._put(message.ends)
        for part in message.parts:
            if isinstance(part.what, dict):
                self._compare(part, part.what)
        self._todo = sorted((*asked, *self._todo))
        if not (message.parts or message.more or self._has_more):
            self._end()
            return None
        answer = self._answer()
        if not (answer.parts or answer.more or message.more):
            self._end()
        return answer

    def have(self, ends: Mapping[Epoch, EpochEnd]) -> None:
        """What the other says that it committed since its greeting, whether or not the view is known."""
        for epoch, end in ends.items():
            if self.view is not None:
                self.view.raise_to(epoch, end)
            elif epoch in self._snapshot.now or len(self._later) < len(self._snapshot.now) + MAX_FOREIGN:
                self._later[epoch] = end

    def _say_same(self) -> Same:
        self._end()
        return Same(self._tell)

    def _end(self) -> None:
        if self.view is None:
            self.view = self._found
            self._without = NO_EPOCHS
            self.have(self._later)

    def _put(self, ends: Mapping[Epoch, EpochEnd | None]) -> None:
        if self.view is None:
            for epoch, end in ends.items():
                self._found.put(epoch, end)

    def _checked(self, message: Differ) -> list[Asked]:
        """What a message asks, if it is what it may be: about ranges that we asked about, once each, in order."""
        items = len(message.ends) + sum(part.items for part in message.parts)
        if items > MAX_ITEMS or (message.more and items < MAX_ITEMS - PIECES):
            raise ValueError(f"a message of {items} items is too long, or too short for one that more follows")
        self._heard += len(message.ends)
        if self._heard > len(self._snapshot) + MAX_NEWEST + MAX_FOREIGN:
            raise ValueError(f"the other end names {self._heard} epochs of which we have something else")
        ranges = iter(self._open)
        asked: list[Asked] = []
        for low, high, what in ((part.low, part.high, part.what) for part in message.parts):
            if not any(each.low == low and each.high == high for each in ranges):
                raise ValueError(f"the other end speaks of names from {low!r} to {high!r}, which we did not ask")
            if isinstance(what, Division):
                asked += _asked(low, high, what)
        self._open = list(ranges) if message.more and message.parts else self._open if message.more else []
        return asked

    def _compare(self, part: Part, theirs: Mapping[Epoch, EpochEnd]) -> None:
        """All that the other has in a range, against all that we have there."""
        if len(theirs) > LIST_NAMES or any(
            epoch in self._without or not part.low < epoch <= part.high for epoch in theirs
        ):
            raise ValueError(f"the other end lists names that are not from {part.low!r} to {part.high!r}")
        for epoch, end in theirs.items():
            self._found.put(epoch, end)
            mine = self._snapshot.get(epoch)
            if mine != end:
                self._tell[epoch] = mine
        for epoch in self._snapshot.names(self._without, part.low, part.high):
            if epoch not in theirs:
                self._found.put(epoch, None)
                if self._foreign_left:
                    self._foreign_left -= 1
                    self._tell[epoch] = self._snapshot.get(epoch)

    def _answer(self, parts: Sequence[Part] = ()) -> Differ:
        """The next message: `parts`, and as much of what waits as has room."""
        ends = {epoch: self._tell.pop(epoch) for epoch in list(self._tell)[: MAX_ITEMS - PIECES]}
        found = list(parts)
        items = len(ends) + sum(part.items for part in found)
        done = 0
        for low, high, digest in self._todo:
            if items + PIECES > MAX_ITEMS:
                break
            done += 1
            if self._digest(low, high) != digest:
                found.append(self._part(low, high))
                items += found[-1].items
        del self._todo[:done]
        for part in found:
            if isinstance(part.what, Division):
                self._open += _asked(part.low, part.high, part.what)
        self._open.sort()
        self._has_more = bool(self._tell or self._todo)
        return Differ(ends, tuple(found), self._has_more)

    def _digest(self, low: str, high: str) -> bytes:
        return self._snapshot.fingerprint(self._without, low, high).digest[:END_BYTES]

    def _part(self, low: str, high: str) -> Part:
        """All that we have in a range."""
        names = self._snapshot.names(self._without, low, high)
        if len(names) <= LIST_NAMES:
            return Part(low, high, {epoch: self._snapshot.get(epoch) or NOTHING for epoch in names})
        step = -(-len(names) // PIECES)
        borders = tuple(_between(names[i - 1], names[i]) for i in range(step, len(names), step))
        digests = [self._digest(first, last) for first, last in pairwise((low, *borders, high))]
        return Part(low, high, Division(borders, b"".join(digests)))


def _asked(low: str, high: str, pieces: Division) -> list[Asked]:
    """What is asked by the pieces of a range. Raises ValueError if they are none."""
    ranges = list(pairwise((low, *pieces.borders, high)))
    if not all(first < last for first, last in ranges) or len(pieces.digests) != len(ranges) * END_BYTES:
        raise ValueError(
            f"the other end divides the names from {low!r} to {high!r} in no order, or without fingerprints"
        )
    return [
        Asked(first, last, pieces.digests[i * END_BYTES : (i + 1) * END_BYTES])
        for i, (first, last) in enumerate(ranges)
    ]


def _between(name: Epoch, following: Epoch) -> str:
    """A short border: >= `name` and < `following`."""
    for size in range(len(following)):
        if following[:size] > name:
            return following[:size]
    return name
