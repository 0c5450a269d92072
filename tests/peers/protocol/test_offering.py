"""Events that a role offers to its log come in pieces."""

from __future__ import annotations

from peers.events.entry import Entry
from peers.protocol.offering import OFFER_BYTES, OFFER_EVENTS, pieces_of


def test_many_events_are_offered_in_pieces_of_a_bounded_size() -> None:
    small = [Entry((n, "a", 0), n, b'{"type":"a"}') for n in range(2 * OFFER_EVENTS + 1)]
    large = [Entry((n, "a", 0), n, b"x" * 250_000) for n in range(40)]

    assert [len(piece) for piece in pieces_of(small)] == [OFFER_EVENTS, OFFER_EVENTS, 1]
    assert max(sum(entry.size for entry in piece) for piece in pieces_of(large)) < OFFER_BYTES + 260_000
    assert [entry for piece in pieces_of(large) for entry in piece] == large
    assert list(pieces_of([])) == [[]]
