"""Sending: the walk of a log by position, which sends each epoch from where the other end of a link has it."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from functools import partial
from typing import NamedTuple

from peers.codec.run_messages import MAX_PIECES, Pieces, piece_groups
from peers.events.columns import size_of
from peers.events.dot import MAX_SEQ, NO_EPOCHS, Dot, Epoch
from peers.events.piece import Piece
from peers.events.proof import Proof
from peers.events.run import RUN_ENTRIES
from peers.protocol.runs.fork_search import ForkSearch, ShownWay, needed_way
from peers.protocol.runs.other_end import OtherEnd, SendWindow
from peers.protocol.runs.role import RunRole
from peers.protocol.runs.wants import Wants
from peers.stores.run_store import RunStore
from peers.stores.taken import Change

WALK_CHANGES = 500
"""Changes that are read at a time."""
MAX_FIRSTS = 1_000
"""Epochs whose first lacked entry is looked for; a walk for an end that lacks more begins at the first position."""


class RunPage(NamedTuple):
    """What one message can bring."""

    pieces: list[Piece]
    proofs: list[Proof]
    """Of the epochs whose pieces end at a cut."""
    until: int
    """The position up to which it goes."""
    ways: list[ShownWay]
    """Of the epochs of keys that have left."""


class Sending:
    """The walk goes over all changes after `position`, in pages; live commits are its tail.

    Where it first meets an entry of a run, the whole rest of that run goes, though its later entries may lie at later
    positions; these are left out when the walk comes there. While entries of others are held back, our own overtake them.
    """

    def __init__(self, role: RunRole, other: OtherEnd, window: SendWindow, wants: Wants, forks: ForkSearch) -> None:
        self._role = role
        self._other = other
        self._window = window
        self._wants = wants
        self._forks = forks
        self.position = 0
        """Up to here all was sent, or left out."""
        self._begun: dict[bytes, set[Epoch]] = {}
        """Epochs that were begun, or ended at a cut, or were left out since they are declined, by the keys of their owners."""
        self._overtaken: Epoch | None = None
        """Our own epoch, if entries of it may be waiting behind those of others."""
        self._read: tuple[Change, ...] = ()
        """Changes that were read, of which some are after `position`."""
        self._begins_again = False
        self._led = NO_EPOCHS
        """Epochs whose ways were looked for since the walk began, or began again."""
        self._told_births = NO_EPOCHS
        """Of epochs that went on from these."""
        self._made: list[Pieces] = []
        """Messages of a page for which the window was not open: a page is one message, unless its runs are large."""
        self._made_of: tuple[Sequence[Change], int] | None = None
        """The changes of that page, and up to where it goes; the walk passes them when all its messages are sent."""
        self._is_asking = False
        self._is_going = False

    @property
    def is_done(self) -> bool:
        """Whether the walk has come to the limit."""
        return not self._is_asking and not self._made and self.position >= self._role.walk_limit()

    def begin(self, lacked: Sequence[Dot], last_position: int) -> None:
        """Walk from the first of these entries, or what came after `last_position`."""
        self.position = last_position
        begins_again, self._begins_again = self._begins_again, False
        if lacked or begins_again:
            self.position = 0  # also while the answer is awaited: no end says that all was sent
        if 0 < len(lacked) <= MAX_FIRSTS and not begins_again:
            self._begin_asking()
            self._role.read(partial(_first_position, lacked, last_position), self._on_first)

    def overtake(self, epoch: Epoch) -> None:
        """There are new entries of our own epoch."""
        self._overtaken = epoch

    def readmit(self, keys: Iterable[bytes]) -> None:
        """The other end takes epochs of these nodes again: those that were begun on this link are sent from there.

        In any case the walk begins again: there may be entries that count only now.
        """
        for key in keys:
            for epoch in self._begun.pop(key, ()):
                self._other.sent.pop(epoch, None)
        self._begins_again = True
        if self._other.view is not None and not self._is_asking:
            self._begin_again()

    def _begin_again(self) -> None:
        """Go back to the first position, if need be; not while an answer is awaited."""
        if self._begins_again:
            self._begins_again = False
            self._led = self._told_births = NO_EPOCHS
            self._read = ()
            self.position = 0
            if self._made_of is not None:
                self._made_of = (), 0  # messages that are made go still, and the walk comes there once more

    def go_on(self) -> None:
        """Ask for the next page, while there is one and the window is open."""
        if self._is_going:
            return  # the store answered at once, and the loop below goes on
        self._send_made()
        self._is_going = True
        try:
            while self._may_ask() and self._ask():
                pass
        finally:
            self._is_going = False

    def _may_ask(self) -> bool:
        return self._other.view is not None and not self._is_asking and not self._made and self._window.is_open

    def _ask(self) -> bool:
        """Ask for what follows. False if there is nothing, or its answer comes later."""
        limit = self._role.walk_limit()
        if self.position < limit:
            self._begin_asking()
            if self._read and _end(self._read[-1]) > self.position:
                self._on_changes(limit, self._read)
            else:
                self._role.read(partial(_changes, self.position), partial(self._on_changes, limit))
        else:
            overtaken = self._overtaken
            end = None if overtaken is None else self._role.ends.get(overtaken)
            if overtaken is None or end is None or self._other.has(overtaken) >= end.seq:
                self._overtaken = None
                return False
            self._begin_asking()
            due = [Change(self.position + 1, (overtaken, end.seq))]
            self._ask_pieces(due, {overtaken: self._other.has(overtaken)}, self.position, ())
        return not self._is_asking

    def _begin_asking(self) -> None:
        self._is_asking = True
        self._window.reserve()

    def _end_asking(self) -> None:
        self._is_asking = False
        self._window.release()

    def _on_first(self, position: int) -> None:
        self._end_asking()
        self.position = position - 1
        self._begin_again()
        self.go_on()

    def _on_changes(self, limit: int, changes: tuple[Change, ...]) -> None:
        self._read = tuple(_between(changes, self.position, MAX_SEQ))
        until = min(_end(changes[-1]), limit) if changes else limit
        has: dict[Epoch, int] = {}
        due: list[Change] = []
        for change in _between(self._read, self.position, until):
            epoch, seq = change.dot
            if epoch not in has:
                has[epoch] = self._other.has(epoch)
            if has[epoch] < seq + change.length - 1 and not change.is_fill:
                due.append(change)
        if due:
            self._ask_pieces(due, has, until, self._read)
            return
        self._end_asking()
        self._pass(changes, until)
        self.go_on()

    def _pass(self, changes: Sequence[Change], until: int) -> None:
        """The walk has come to this position."""
        for change in _between(changes, self.position, until):
            epoch, seq = change.dot
            self._wants.met(epoch, seq, seq + change.length - 1)
        self.position = max(self.position, until)
        self._begin_again()
        self._wants.go_on()

    def _ask_pieces(
        self, due: Sequence[Change], has: Mapping[Epoch, int], until: int, changes: Sequence[Change]
    ) -> None:
        """`has` says of the epochs of `due` how far the other end has them."""
        led = frozenset([epoch for epoch in has if epoch in self._led or not self._forks.may_lead(epoch)])
        limits = self._role.page_bytes(), self._other.together
        page = partial(_page, due, has, until, limits, led, self._told_births)
        self._role.read(page, partial(self._on_page, changes))

    def _on_page(self, changes: Sequence[Change], page: RunPage) -> None:
        self._end_asking()
        if self._begins_again:  # it was asked for by what the other end had before
            self._begin_again()
            self.go_on()
            return
        for proof in page.proofs:
            end = self._role.ends.get(proof.birth.epoch)
            if end is not None and end.mark:
                self._forks.send_proof(proof)
        declined = self._other.declined
        for shown in page.ways:
            self._told_births = self._told_births.union([birth.epoch for birth in shown.births])
            self._forks.send_way(shown)
        self._led = self._led.union([piece.epoch for piece in page.pieces])
        for piece in page.pieces:
            self._other.went(piece.epoch, piece.last)
            if piece.start == 1 or not piece.signature or piece.birth.key in declined:
                self._begun.setdefault(piece.birth.key, set()).add(piece.epoch)
        if not page.pieces:
            self._overtaken = None  # nothing of it can be sent
        pieces = [piece for piece in page.pieces if piece.birth.key not in declined]
        births = {piece.epoch: piece.birth for piece in pieces if piece.start == 1}
        for group in piece_groups(map(self._role.encode, pieces), self._other.together):
            fresh = tuple(births[piece.epoch] for piece in group if piece.start == 1)
            self._made.append(Pieces(self._window.next_number(), fresh, group))
        self._made_of = changes, page.until
        self._send_made()
        self.go_on()

    def _send_made(self) -> None:
        while self._made and self._window.is_open:
            self._window.send(self._made.pop(0))
        if not self._made and self._made_of is not None:
            (changes, until), self._made_of = self._made_of, None
            self._pass(changes, until)


def _start(change: Change) -> int:
    return change.position


def _end(change: Change) -> int:
    return change.position + change.length - 1


def _between(changes: Sequence[Change], after: int, until: int) -> Iterator[Change]:
    """The parts of these changes, which are in order, whose positions are > after and <= until."""
    for change in changes[bisect_right(changes, after, key=_end) : bisect_right(changes, until, key=_start)]:
        position, dot, length, is_fill = change
        if position > after and position + length - 1 <= until:
            yield change
        else:
            skipped = max(0, after + 1 - position)
            length = min(length, until - position + 1) - skipped
            yield Change(position + skipped, (dot[0], dot[1] + skipped), length, is_fill)


def _changes(after: int, store: RunStore) -> tuple[Change, ...]:
    return store.changes(after, WALK_CHANGES)


def _first_position(lacked: Sequence[Dot], last_position: int, store: RunStore) -> int:
    return min([last_position + 1, *[at for dot in lacked if (at := store.position(dot)) is not None]])


def _page(
    due: Sequence[Change],
    has: Mapping[Epoch, int],
    until: int,
    limits: tuple[int, int],
    led: Set[Epoch],
    births: Set[Epoch],
    store: RunStore,
) -> RunPage:
    """Pieces for these changes, of which the other end has epochs up to `has`; as many as a message may hold by its `limits`,
    in bytes and entries.

    With the ways of those epochs that need one, but for `led`, and the births that these need, but for `births`.
    """
    pieces: list[Piece] = []
    ways: dict[Epoch, ShownWay | None] = dict.fromkeys(led)
    known = set(births)
    proofs: dict[Epoch, Proof] = {}
    sent = dict(has)
    ends = {change.dot[0]: change.dot[1] + change.length - 1 for change in due}
    max_bytes, together = limits
    entries = size = 0
    for change in due:
        epoch, seq = change.dot
        while sent[epoch] < seq + change.length - 1:
            if size >= max_bytes or entries > together - RUN_ENTRIES or len(pieces) == MAX_PIECES:
                until = change.position + max(sent[epoch] - seq, -1)
                return RunPage(pieces, list(proofs.values()), until, [way for way in ways.values() if way])
            if epoch not in ways:
                ways[epoch] = needed_way(epoch, sent[epoch], known, store)
                known |= {birth.epoch for way in [ways[epoch]] if way is not None for birth in way.births}
            piece = store.piece(epoch, sent[epoch] + 1, ends[epoch])
            if piece is None:
                break  # what follows is not signed, or comes after a cut
            proof = None if piece.signature or epoch in proofs else store.proof(epoch)
            if proof is not None:
                proofs[epoch] = proof
            pieces.append(piece)
            sent[epoch] = piece.last
            entries += len(piece.items)
            size += size_of(piece.items)
    return RunPage(pieces, list(proofs.values()), until, [way for way in ways.values() if way])
