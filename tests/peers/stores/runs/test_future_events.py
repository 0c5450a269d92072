"""Events from the future: held and covered, and not shown before their time comes."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import NamedTuple

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from peers.events.entry import WAITS, Entry
from peers.events.piece import Piece
from peers.events.run import ADOPTED_FORK, OWN
from peers.stores.run_store import RunStore
from peers.stores.runs.memory import MemoryRunStore
from peers.stores.taken import Taken
from tests.peers.stores.runs.test_authors import name
from tests.peers.stores.runs.test_hostile_pieces import signed
from tests.support.run_house import (
    CheckedStore,
    Writer,
    check,
    event,
    fresh,
    hollowed,
    own_epoch,
    piece_of,
    pieces_for,
    put,
    send,
    shown_by,
    take,
    types,
)

NOW, LATER = 100, 200


def at(store: CheckedStore, ms: int) -> list[Taken]:
    """The clock says so, and what is due is shown."""
    store.until_ms = ms
    steps: list[Taken] = []
    while not steps or steps[-1].is_unfinished:
        with store.transaction():
            steps.append(store.show_due(2))
    return steps


def shown_of(steps: list[Taken]) -> list[str]:
    return [type_ for taken in steps for type_ in types(taken.shown)]


def test_an_event_from_the_future_is_held_and_shown_when_its_time_comes(store: CheckedStore, bert: Writer) -> None:
    store.until_ms = NOW
    source, epoch = fresh(bert, event(1, "old"), event(LATER, "future"), event(2, "after it"))

    taken = take(store, *pieces_for(source, {}))

    assert types(taken.shown) == types(store.each()) == types(store.each(order="added")) == ["old", "after it"]
    assert types(taken.waiting) == ["future"] and [each.added for each in taken.waiting] == [WAITS]
    assert store.ends() == source.ends() and not pieces_for(source, store.ends())
    assert store.find((LATER, "kitchen", 0)) is None
    assert types(piece_of(store, epoch).items) == ["old", "future", "after it"]  # it is passed on
    check(store)
    assert at(store, LATER - 1)[0].shown == ()
    assert shown_of(at(store, LATER)) == ["future"]
    assert types(store.each(order="added")) == ["old", "after it", "future"]
    assert store.state.waiting == 0


def test_what_waits_is_there_after_a_restart_and_what_is_shown_stays_shown(store: CheckedStore, bert: Writer) -> None:
    source, _ = fresh(bert, event(LATER, "future"), event(300, "far"))
    store.until_ms = LATER
    send(source, store)
    store.until_ms = NOW

    store.close()
    store.open()

    assert types(store.each()) == ["future"]
    assert store.state.waiting == 1
    check(store)
    assert shown_of(at(store, 300)) == ["far"]


def test_the_past_is_shown_at_once(store: CheckedStore, bert: Writer) -> None:
    store.until_ms = NOW
    source, _ = fresh(bert, event(0, "1970", time=0))

    assert types(send(source, store).shown) == ["1970"]


def test_keep_last_of_an_event_from_the_future_has_no_effect_before_its_time(store: CheckedStore, bert: Writer) -> None:
    last = b'{"keep_last":"price"}'
    source, _ = fresh(bert, event(1, "price now", extra=last), event(LATER, "price of 2100", extra=last))
    store.until_ms = NOW
    send(source, store)
    send(fresh(Writer(7), event(2, "newer", extra=last))[0], store)

    assert types(store.each()) == ["newer"]
    at(store, LATER)
    assert types(store.each()) == ["price of 2100"]


def test_an_own_event_from_the_future_waits_and_a_repeat_of_it_is_known(store: CheckedStore, anna: Writer) -> None:
    store.until_ms = NOW
    future = event(LATER, "future")

    first = put(store, anna, event(1), future)
    again = put(store, anna, future, event(2))

    assert [isinstance(each, Entry) and each.added for each in first.results] == [1, WAITS]
    assert again.results[0] is None
    assert [len(piece.items) for piece in (*first.pieces, *again.pieces)] == [2, 1]
    assert types(piece_of(store, own_epoch(store)).items) == ["a", "future", "a"]
    assert shown_of(at(store, LATER)) == ["future"]


def test_a_plain_batch_is_taken_while_another_event_waits(store: CheckedStore, bert: Writer) -> None:
    store.until_ms = NOW
    send(fresh(Writer(7), event(LATER, "future", node="bob"))[0], store)
    source, _ = fresh(bert, *[event(ms, node="ada") for ms in range(1, 40)])

    taken = send(source, store)

    assert len(taken.shown) == 39
    take(store, *[hollowed(piece) for piece in pieces_for(fresh(Writer(8), event(50, node="ada"))[0], {})])
    send(fresh(Writer(8), event(50, node="ada"))[0], store)
    assert store.state.events == 40


class Step(NamedTuple):
    writer: int
    kind: int
    author: str
    time: int
    type_: str
    is_hollow: bool
    clock: int
    """That of the store when it comes."""


steps = st.builds(
    Step,
    st.integers(1, 3),
    st.sampled_from([OWN, OWN, ADOPTED_FORK]),
    st.sampled_from([name(1), name(2), "ada"]),
    st.sampled_from([1, NOW, LATER, 300]),
    st.sampled_from("ab"),
    st.booleans(),
    st.sampled_from([NOW, NOW, LATER]),
)


def piece(step: Step) -> tuple[Piece, Entry]:
    item = event(1, step.type_, node=step.author, time=step.time)
    return signed(Writer(step.writer), [[(step.kind, item, True)]], is_one_run=True)[0], item


def played(store: CheckedStore, arriving: list[Step]) -> CheckedStore:
    """It hears all of it, with clocks that go on and back; events of hollow entries come in the end."""
    store.open()
    for step in arriving:
        before = set(shown_by(store))
        at(store, step.clock)
        made, _ = piece(step)
        take(store, hollowed(made) if step.is_hollow else made)
        assert set(shown_by(store)) >= before, "what was shown stays shown"
        check(store)
    with store.transaction():
        store.fill([((made.epoch, 1), item) for made, item in map(piece, arriving)])
    check(store)
    return store


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(
    said=st.lists(steps, min_size=1, max_size=6, unique_by=lambda each: each.writer), order=st.permutations(range(6))
)
def test_when_all_times_have_come_all_show_the_same_in_whatever_order_they_heard_of_it(
    make: Callable[[], CheckedStore], said: list[Step], order: list[int]
) -> None:
    one = played(make(), said)
    other = played(MemoryRunStore(), [said[place] for place in order if place < len(said)])
    at_once = played(make(), [step._replace(clock=1_000) for step in said])

    for store in (one, other, at_once):
        at(store, 1_000)
        check(store)
        assert store.state.waiting == 0
    for left, right in pairwise((one, other, at_once)):
        assert shown_by(left) == shown_by(right)
        assert left.ends() == right.ends()
    _close(one, other, at_once)


def _close(*stores: RunStore) -> None:
    for store in stores:
        store.close()
