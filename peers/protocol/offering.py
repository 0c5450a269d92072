"""Offering: passes the events of messages to the log, in their order, in transactions of bounded size."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

from peers.events.entry import Entry
from peers.later import Later

OFFER_EVENTS = 500
"""Events of one transaction."""
OFFER_MESSAGES = 16
"""Messages that end in one transaction: each is answered, all in one turn of the loop."""
OFFER_BYTES = 4 * 1024 * 1024
"""The same limit in bytes; one event may exceed it."""
MAX_OFFERED = 2
"""Pieces of one link: while one is being committed, the next is offered."""

OfferPiece = tuple[list[Entry], list[int]]
"""Events of one transaction, and the numbers of the messages that are complete with it."""


class Offering:
    """The messages of one link. Peers that send one event a message, or all at once, get transactions of a similar size."""

    def __init__(
        self,
        react: Callable[[Any, Callable[[Later[Any]], None]], None],
        offer: Callable[[Sequence[Entry]], Later[Any]],
        *,
        on_offered: Callable[[Sequence[Entry], Later[Any]], None],
        on_taken: Callable[[int], None],
    ) -> None:
        """`react` is SyncCore.react, `offer` that of the log.

        `on_offered` gets the events and the outcome of each transaction, `on_taken` the number of each committed message.
        """
        self._react = react
        self._offer = offer
        self._on_offered = on_offered
        self._on_taken = on_taken
        self._passed: list[tuple[int, list[Entry]]] = []
        """Messages that are not divided into pieces yet."""
        self._pieces: deque[OfferPiece] = deque()
        self._offered = self._bytes = 0
        """Pieces that the log is committing, and their bytes."""
        self._is_running = False

    def add(self, added: int, entries: list[Entry]) -> bool:
        """Add a message. True if the caller has to call `run`, in a later turn, so that more messages join it until then."""
        self._passed.append((added, entries))
        return len(self._passed) == 1

    def run(self) -> None:
        """Offer the messages that were added, as far as there is room: those that are left join later ones."""
        if self._is_running:
            return  # called by an answer of `offer` in the loop below
        self._is_running = True
        try:
            while self._offered < MAX_OFFERED and self._bytes <= OFFER_BYTES and (self._pieces or self._passed):
                if not self._pieces:
                    self._divide()
                entries, numbers = self._pieces.popleft()
                self._count(entries, 1)
                # A message without events still waits for those before it.
                outcomes: Any = self._offer(entries) if entries or self._offered > 1 else []
                self._react(outcomes, partial(self._on_done, entries, numbers))
        finally:
            self._is_running = False

    def _divide(self) -> None:
        passed, self._passed = self._passed[:OFFER_MESSAGES], self._passed[OFFER_MESSAGES:]
        *pieces, last = pieces_of([entry for _, entries in passed for entry in entries])
        self._pieces += [(piece, []) for piece in pieces]
        self._pieces.append((last, [added for added, _ in passed]))

    def _count(self, entries: list[Entry], sign: int) -> None:
        self._offered += sign
        self._bytes += sign * sum([entry.size for entry in entries])

    def _on_done(self, entries: list[Entry], numbers: list[int], done: Later[Any]) -> None:
        self._count(entries, -1)
        self._on_offered(entries, done)
        for added in numbers:
            self._on_taken(added)
        self.run()


def pieces_of(entries: Sequence[Entry]) -> Iterator[list[Entry]]:
    """The entries in pieces within the limits; one empty piece for no entries."""
    piece: list[Entry] = []
    size = 0
    for entry in entries:
        if len(piece) >= OFFER_EVENTS or size >= OFFER_BYTES:
            yield piece
            piece, size = [], 0
        piece.append(entry)
        size += entry.size
    yield piece
