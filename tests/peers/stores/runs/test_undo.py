"""Which events of a store are undone by a `logux/undo`."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from peers.events.created import Created
from peers.events.entry import Entry, encode_event
from peers.stores.runs.memory import MemoryRunStore
from peers.stores.runs.sqlite.store import SqliteRunStore
from peers.stores.taken import Taken
from tests.support.run_house import (
    CheckedStore,
    Writer,
    clean,
    event,
    fill,
    fresh,
    hollowed,
    leaf,
    piece_of,
    pieces_for,
    put,
    send,
    take,
    undo,
)

SALE: Created = (1, "kitchen", 0)
OTHER: Created = (2, "kitchen", 0)
BOTH = (SALE, OTHER)


def with_text(body: bytes, ms: int = 5) -> Entry:
    return Entry((ms, "kitchen", 0), ms, body)


def revised_undo() -> tuple[Entry, Entry]:
    """Two copies of one event that undo different ones: the winner undoes the sale."""
    for extra in (b'{"try":%d}' % number for number in range(99)):
        winner, loser = undo(5, SALE, extra=extra), undo(5, OTHER)
        if leaf(winner) < leaf(loser):
            return winner, loser
    raise AssertionError("half of them win")


def test_an_event_is_undone_once_its_undo_is_shown(store: CheckedStore, anna: Writer) -> None:
    put(store, anna, event(1), event(2))
    assert store.undone(BOTH) == set()

    taken = put(store, anna, undo(3, SALE))

    assert (taken.undone, taken.restored) == ((SALE,), ())
    assert store.undone(BOTH) == {SALE}
    assert [each.created for each in store.each()] == [SALE, OTHER, (3, "kitchen", 0)]


def test_an_undo_that_comes_before_its_event_counts(store: CheckedStore, anna: Writer, bert: Writer) -> None:
    source, _ = fresh(bert, undo(3, SALE, node="bob"))
    assert send(source, store).undone == (SALE,)
    assert store.undone(BOTH) == {SALE}

    assert put(store, anna, event(1)).undone == ()
    assert store.undone(BOTH) == {SALE}


def test_what_a_cleaned_undo_has_undone_is_found_by_its_position(store: CheckedStore, anna: Writer) -> None:
    put(store, anna, event(1), undo(3, SALE), event(4), undo(5, OTHER))
    assert store.undone_by_cleaned(0, 9) == set()

    clean(store, (3, "kitchen", 0), (4, "kitchen", 0))

    assert store.undone_by_cleaned(0, 9) == store.undone_by_cleaned(1, 2) == {SALE}
    assert store.undone_by_cleaned(0, 1) == store.undone_by_cleaned(2, 9) == set()


def test_an_event_that_is_undone_twice_becomes_so_once(store: CheckedStore, anna: Writer) -> None:
    taken = put(store, anna, undo(3, SALE), undo(4, SALE), undo(5, OTHER))
    assert taken.undone == BOTH
    assert put(store, anna, undo(6, SALE)).undone == ()


@pytest.mark.parametrize(
    "body",
    [
        b'{"type":"logux/undo"}',
        b'{"type":"logux/undo","id":1}',
        b'{"type":"logux/undo","id":null}',
        b'{"type":"logux/undo","id":"1 kitchen"}',
        b'{"type":"logux/undo","id":"1 kitchen 0 "}',
        b'{"type":"logux/undo","id":" 1 kitchen 0"}',
        b'{"type":"logux/undo","id":"01 kitchen 0"}',
        b'{"type":"logux/undo","id":"1 kitchen -0"}',
        b'{"type":"logux/undo","id":"1 kitchen 99999999999999999"}',
        b'{"type":"logux/undo","id":"\xd9\xa1 kitchen 0"}',
        b'{"type":"logux/undo","id":["1 kitchen 0"]}',
        b'{"type":"note","text":"logux/undo","id":"1 kitchen 0"}',
        b'{"type":"logux/undone","id":"1 kitchen 0"}',
        b'{"type":"a","then":{"type":"logux/undo","id":"1 kitchen 0"}}',
    ],
)
def test_a_malformed_undo_undoes_nothing_and_is_an_event_like_any(
    store: CheckedStore, anna: Writer, body: bytes
) -> None:
    put(store, anna, event(1))
    taken = put(store, anna, with_text(body), event(6), undo(7, OTHER))
    assert taken.undone == (OTHER,)
    assert store.undone(BOTH) == {OTHER}
    assert len(store.each()) == 4


@pytest.mark.parametrize(
    "body",
    [
        b'{"id":"1 kitchen 0","type":"logux/undo"}',
        b'{"type":"logux\\/undo","id":"1 kitchen 0"}',
        b'{"type":"logu\\u0078/undo","id":"1 kitchen\\u00200"}',
        b' { "type" : "logux/undo" , "id" : "1 kitchen 0" , "reason" : null } ',
        b'{"type":"a","id":"2 kitchen 0","type":"logux/undo","id":"1 kitchen 0"}',
    ],
)
def test_however_the_text_of_an_undo_is_written_it_counts(store: CheckedStore, anna: Writer, body: bytes) -> None:
    assert put(store, anna, with_text(body)).undone == (SALE,)


def test_an_undo_that_was_cleaned_goes_on_to_count(store: CheckedStore, anna: Writer) -> None:
    put(store, anna, event(1), undo(3, SALE))
    clean(store, (3, "kitchen", 0))
    assert store.undone(BOTH) == {SALE}
    clean(store, SALE)
    assert store.undone(BOTH) == {SALE}


def test_an_undo_that_is_cleaned_as_it_comes_counts(store: CheckedStore, anna: Writer, bert: Writer) -> None:
    last = b'{"keep_last":"r"}'
    put(store, anna, event(9, extra=last))
    source, _ = fresh(bert, undo(3, SALE, extra=last))

    taken = send(source, store)

    assert taken.shown == () and len(taken.cleaning.cleaned) == 1
    assert (taken.undone, store.undone(BOTH)) == ((SALE,), {SALE})


def test_an_undo_that_is_undone_still_counts(store: CheckedStore, anna: Writer) -> None:
    put(store, anna, event(1), undo(3, SALE), undo(4, (3, "kitchen", 0)))
    assert store.undone([SALE, (3, "kitchen", 0), (4, "kitchen", 0)]) == {SALE, (3, "kitchen", 0)}


def test_an_undo_from_the_future_counts_when_its_time_comes(store: CheckedStore, anna: Writer) -> None:
    store.until_ms = 100
    assert put(store, anna, undo(200, SALE)).undone == ()
    assert store.undone(BOTH) == set()

    store.until_ms = 200
    with store.transaction():
        taken = store.show_due()

    assert (taken.undone, store.undone(BOTH)) == ((SALE,), {SALE})


def test_an_undo_whose_event_was_wanted_counts_when_it_is_filled(store: CheckedStore, bert: Writer) -> None:
    source, epoch = fresh(bert, undo(3, SALE))
    assert take(store, hollowed(piece_of(source, epoch))).undone == ()
    assert fill(source, store).undone == (SALE,)
    assert store.undone(BOTH) == {SALE}


def test_of_two_copies_of_an_undo_the_one_that_is_shown_counts(store: CheckedStore, anna: Writer, bert: Writer) -> None:
    winner, loser = revised_undo()
    put(store, anna, loser)
    assert store.undone(BOTH) == {OTHER}

    taken = send(fresh(bert, winner)[0], store)

    assert taken.revised == ((5, "kitchen", 0),)
    assert (taken.undone, taken.restored) == ((SALE,), (OTHER,))
    assert store.undone(BOTH) == {SALE}
    assert send(fresh(Writer(7), loser)[0], store).undone == ()
    assert store.undone(BOTH) == {SALE}


def test_an_event_stays_undone_while_one_of_its_undos_is_shown(store: CheckedStore, anna: Writer, bert: Writer) -> None:
    winner, loser = revised_undo()
    put(store, anna, loser, undo(6, OTHER))
    taken = send(fresh(bert, winner)[0], store)
    assert (taken.undone, taken.restored) == ((SALE,), ())
    assert store.undone(BOTH) == {SALE, OTHER}


def test_an_undo_in_whose_place_another_event_is_shown_counts_no_more(
    store: CheckedStore, anna: Writer, bert: Writer
) -> None:
    names = (event(5, f"other{number}") for number in range(99))
    better = next(each for each in names if leaf(each) < leaf(undo(5, SALE)))
    put(store, anna, event(1), undo(5, SALE))

    taken = send(fresh(bert, better)[0], store)

    assert (taken.undone, taken.restored, store.undone(BOTH)) == ((), (SALE,), set())


def test_what_a_transaction_undid_that_was_taken_back_is_not_undone(store: CheckedStore, anna: Writer) -> None:
    winner, loser = revised_undo()
    put(store, anna, loser)
    with pytest.raises(ZeroDivisionError), store.transaction():
        store.append([undo(7, SALE)], anna.pen)
        store.take([piece_of(*fresh(Writer(7), winner))])
        assert store.undone(BOTH) == {SALE}
        raise ZeroDivisionError
    assert store.undone(BOTH) == {OTHER}


def test_many_undos_at_once_are_marked(store: CheckedStore, anna: Writer) -> None:
    targets: list[Created] = [(ms, "Ä room", ms % 3) for ms in range(1, 1202)]
    taken = put(store, anna, *[undo(5_000 + each[0], each) for each in targets])
    assert list(taken.undone) == targets
    assert store.undone([*targets, SALE]) == set(targets)
    store.close()
    store.open()
    assert store.undone(targets[::7]) == set(targets[::7])


CREATEDS = st.tuples(st.integers(1, 4), st.sampled_from(["kitchen", "Ä-room"]), st.integers(0, 1))
"""Of events and of undos: one may undo another, or itself."""
WRITTEN = st.lists(
    st.tuples(
        CREATEDS,
        st.one_of(st.none(), CREATEDS),
        st.sampled_from([b"", b"", b'{"keep_last":"r"}', b'{"reasons":["r"]}']),
    ),
    min_size=1,
    max_size=10,
)
ACTS = st.lists(
    st.one_of(
        st.tuples(st.integers(0, 2), WRITTEN),
        st.tuples(st.just("clean"), st.lists(CREATEDS, max_size=3)),
        st.just(("reopen", None)),
    ),
    max_size=12,
)


def written(created: Created, target: Created | None, extra: bytes) -> Entry:
    body = {"type": "a"} if target is None else {"type": "logux/undo", "id": " ".join(map(str, target))}
    return Entry(created, created[0], encode_event(body), extra)


class Model:
    """What is undone, by its definition: by each undo as it is shown, or was when it was cleaned."""

    def __init__(self) -> None:
        self.marks: dict[Created, Created | None] = {}

    @property
    def undone(self) -> set[Created]:
        return {target for target in self.marks.values() if target is not None}

    def see(self, store: CheckedStore, taken: Taken) -> None:
        before = self.undone
        for entry in (*taken.cleaning.cleaned, *store.each()):
            words = entry.event.get("id", "").split(" ")
            self.marks[entry.created] = (int(words[0]), words[1], int(words[2])) if len(words) == 3 else None
        assert set(taken.undone) == self.undone - before and set(taken.restored) == before - self.undone


@settings(deadline=None, max_examples=60)
@given(acts=ACTS)
@pytest.mark.parametrize("kind", ["memory", "sqlite"])
def test_whatever_comes_in_whatever_order_what_is_shown_says_what_is_undone(
    acts: Sequence[tuple[object, object]], kind: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    make: Callable[[], CheckedStore] = MemoryRunStore
    if kind == "sqlite":
        path = tmp_path_factory.mktemp("undo") / "log.db"
        make = lambda: SqliteRunStore(path, synchronous="OFF")  # noqa: E731
    store, model, keys = make(), Model(), iter(range(10, 200))
    store.open()
    for what, values in acts:
        if what == "reopen":
            store.close()
            store.open()
        elif what == "clean":
            with store.transaction():
                taken = Taken(cleaning=store.clean(values, frozenset({"log", "r"})))  # type: ignore[arg-type]
            model.see(store, taken)
        else:
            key = next(keys)
            events = [written(*each) for each in values]  # type: ignore[attr-defined]
            source = MemoryRunStore()
            source.open()
            put(source, Writer(key), *events, is_each_alone=True)
            model.see(store, take(store, *pieces_for(source, store.ends())))
            model.see(store, fill(source, store))
        every = [(ms, node, n) for ms in range(5) for node in ("kitchen", "Ä-room") for n in (0, 1)]
        assert store.undone(every) == model.undone
    store.close()
