"""Events that a role offers to its log come in pieces."""

from __future__ import annotations

from collections.abc import Sequence

from peers.events.entry import Entry
from peers.later import Later
from peers.protocol.offering import MAX_OFFERED, OFFER_BYTES, OFFER_EVENTS, OFFER_MESSAGES, Offering, pieces_of


def test_many_events_are_offered_in_pieces_of_a_bounded_size() -> None:
    small = [Entry((n, "a", 0), n, b'{"type":"a"}') for n in range(2 * OFFER_EVENTS + 1)]
    large = [Entry((n, "a", 0), n, b"x" * 250_000) for n in range(40)]

    assert [len(piece) for piece in pieces_of(small)] == [OFFER_EVENTS, OFFER_EVENTS, 1]
    assert max(sum(entry.size for entry in piece) for piece in pieces_of(large)) < OFFER_BYTES + 260_000
    assert [entry for piece in pieces_of(large) for entry in piece] == large
    assert list(pieces_of([])) == [[]]


def test_many_messages_are_offered_and_answered_some_at_a_time() -> None:
    offered: list[tuple[int, Later[None]]] = []
    taken: list[int] = []

    def offer(entries: Sequence[Entry]) -> Later[None]:
        offered.append((len(entries), Later()))
        return offered[-1][1]

    offering = Offering(
        lambda value, then: value.then(then), offer, on_offered=lambda _entries, _done: None, on_taken=taken.append
    )
    for number in range(3 * OFFER_MESSAGES):
        offering.add(number, [Entry((number, "a", 0), number, b'{"type":"a"}')])

    offering.run()
    assert [count for count, _ in offered] == [OFFER_MESSAGES] * MAX_OFFERED
    offered[0][1].set(None)

    assert taken == list(range(OFFER_MESSAGES))
    assert [count for count, _ in offered] == [OFFER_MESSAGES] * 3
