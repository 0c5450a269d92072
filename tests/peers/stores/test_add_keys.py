"""An add with a key is safe to repeat."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from peers.clock import ManualClock
from peers.events.entry import Entry
from peers.stores import memory_events
from peers.stores.keys import MAX_ADD_KEY_BYTES, append_once, check_add_key
from peers.stores.run_store import RunStore
from peers.stores.runs.memory import MemoryRunStore
from peers.stores.runs.sqlite import key_rows
from peers.stores.runs.sqlite.store import SqliteRunStore
from peers.stores.store import StoreError
from tests.support.pair import NOW_MS, HeldDisk, PairLog, open_log


@pytest.fixture(params=["memory", "sqlite"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> RunStore:
    return MemoryRunStore() if request.param == "memory" else SqliteRunStore(tmp_path / "log.db", synchronous="OFF")


def opened(store: RunStore, later_ms: int = 0) -> PairLog:
    store.open()
    return open_log("till", ManualClock(NOW_MS + later_ms), store=store)


def restarted(log: PairLog, store: RunStore, later_ms: int = 1_000) -> PairLog:
    log.close().get()
    return opened(store, later_ms)


def sale(item: str = "apple") -> dict[str, Any]:
    return {"type": "shop/sold", "item": item}


def test_the_same_key_adds_nothing_and_gives_the_first_meta(store: RunStore) -> None:
    log = opened(store)
    first = log.add(sale(), {"shop": "north", "reasons": ["sale"]}, key="sale-17").get()

    again = log.add(sale(), key="sale-17").get()
    third = restarted(log, store).add(sale(), {"time": 7}, key="sale-17").get()

    assert first is not None and first["shop"] == "north"
    assert again == third == first
    assert store.state.events == 1


def test_the_order_of_the_fields_makes_no_other_event(store: RunStore) -> None:
    log = opened(store)
    first = log.add({"type": "a", "x": {"b": 1, "c": 2}}, key="k").get()

    assert log.add({"x": {"c": 2, "b": 1}, "type": "a"}, key="k").get() == first


def test_another_event_under_a_known_key_is_refused_with_both(store: RunStore) -> None:
    log = opened(store)
    first = log.add(sale(), key="sale-17").get()
    assert first is not None

    for again in (log, restarted(log, store)):
        with pytest.raises(ValueError) as caught:
            again.add(sale("pear"), key="sale-17").get()
        assert str(caught.value) == (
            f'the key "sale-17" is known for another event: that of {list(first["created"])}, '
            '{"type":"shop/sold","item":"apple"}; this one is {"type":"shop/sold","item":"pear"}: give it a key of its own'
        )
    assert store.state.events == 1


def test_a_key_is_known_after_its_event_was_cleaned(store: RunStore) -> None:
    log = opened(store)
    first = log.add(sale(), {"shop": "north"}, key="sale-17").get()
    assert first is not None
    log.clean(reasons="log").get()

    again = restarted(log, store)

    assert again.add(sale(), key="sale-17").get() == {name: first[name] for name in first if name != "shop"}
    with pytest.raises(ValueError, match="which was cleaned since"):
        again.add(sale("pear"), key="sale-17").get()
    assert store.state.last_added == 1


def test_what_this_node_changed_of_the_meta_is_not_of_the_first_add(store: RunStore) -> None:
    log = opened(store)
    first = log.add(sale(), {"shop": "north"}, key="sale-17").get()
    assert first is not None

    log.change_meta(first["created"], {"shop": "south"}).get()

    assert log.add(sale(), key="sale-17").get() == first


def test_two_adds_with_one_key_in_one_batch_are_one_event(store: RunStore) -> None:
    log = opened(store)

    metas = log.add_batch(
        [(sale(), None), (sale("x"), None), (sale(), {"n": 2}), (sale("pear"), None), (sale(), None)],
        keys=["sale-17", None, "sale-17", "sale-17", "sale-18"],
    ).get()

    assert metas[0] == metas[2]
    assert isinstance(metas[3], ValueError) and "sale-17" in str(metas[3])
    assert [meta["added"] for meta in metas if isinstance(meta, dict)] == [1, 2, 1, 3]
    assert [entry.event["item"] for entry in log.entries] == ["apple", "x", "apple"]


def test_adds_with_one_key_that_wait_for_one_commit_are_one_event(store: RunStore) -> None:
    store.open()
    disk = HeldDisk(store)
    log = open_log("till", ManualClock(NOW_MS), store=store, disk=disk)

    waiting = [
        log.add(sale(), key="sale-17"),
        log.add(sale("plain")),
        log.add(sale(), key="sale-17"),
        log.add(sale("pear"), key="sale-17"),
        log.add(sale("pear"), key="sale-18"),
    ]
    assert disk.waiting == 1
    disk.release()

    metas = [later.get() for later in waiting if later.exception is None]
    assert [meta["added"] for meta in metas if meta] == [1, 2, 1, 3]
    assert isinstance(waiting[3].exception, ValueError)


def test_a_key_of_a_commit_that_failed_is_not_known(store: RunStore) -> None:
    log = opened(store)

    _crash(log, store, "sale-17")
    first = restarted(log, store).add(sale(), key="sale-17").get()

    assert first is not None and first["added"] == 1


def test_the_keys_that_came_first_are_forgotten(store: RunStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory_events, "MAX_ADD_KEYS", 3)
    monkeypatch.setattr(key_rows, "MAX_ADD_KEYS", 3)
    log = opened(store)
    for number in range(5):
        log.add(sale(), key=f"sale-{number}").get()

    log = restarted(log, store)

    assert [log.add(sale(), key=f"sale-{number}").get()["added"] for number in (2, 3, 4, 1)] == [3, 4, 5, 6]  # type: ignore[index]
    assert log.add(sale(), key="sale-2").get()["added"] == 7  # type: ignore[index]


def test_what_a_transaction_forgot_that_failed_is_known_again(store: RunStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory_events, "MAX_ADD_KEYS", 2)
    monkeypatch.setattr(key_rows, "MAX_ADD_KEYS", 2)
    log = opened(store)
    rows = []
    for name in "ab":
        meta = log.add(sale(), key=name).get()
        assert meta is not None
        rows.append(meta["added"])
    one = next(iter(store.keyed([_hash("a")]).values()))

    with pytest.raises(KeyError), store.transaction():
        store.keep_keys([one._replace(key=b"x" * 16), one._replace(key=b"y" * 16)])
        raise KeyError

    assert [log.add(sale(), key=name).get()["added"] for name in "ab"] == rows  # type: ignore[index]
    log.add(sale(), key="c").get()
    assert set(store.keyed([_hash("a"), _hash("b"), _hash("c")])) == {_hash("b"), _hash("c")}


def _hash(key: str) -> bytes:
    return sha256(key.encode()).digest()[:16]


@pytest.mark.parametrize(
    ("key", "sentence"),
    [
        ("", "from 1 to 512 bytes in UTF-8, and this one has 0"),
        ("ä" * 257, "and this one has 514"),
        ("\ud800", "half of a character"),
        (17, "the key 17 is of the type int: give a str"),
        (b"sale", "of the type bytes"),
    ],
)
def test_what_is_no_key_is_refused_with_a_sentence(store: RunStore, key: Any, sentence: str) -> None:
    log = opened(store)

    for refused in (log.add(sale(), key=key).exception, log.add_batch([(sale(), None)], keys=[key]).get()[0]):
        assert isinstance(refused, ValueError)
        assert isinstance(refused, TypeError) == (not isinstance(key, str))
        assert sentence in str(refused)
    assert store.state.events == 0


def test_the_longest_key_is_taken(store: RunStore) -> None:
    assert opened(store).add(sale(), key=check_add_key("k" * MAX_ADD_KEY_BYTES)).get() is not None


def test_a_batch_needs_a_key_or_none_for_each_event(store: RunStore) -> None:
    assert isinstance(opened(store).add_batch([(sale(), None)], keys=[]).exception, ValueError)


def test_a_key_goes_with_no_created(store: RunStore) -> None:
    refused = opened(store).add(sale(), {"created": (5, "till", 0)}, key="sale-17").exception

    assert isinstance(refused, ValueError) and "not both" in str(refused)


def test_a_meta_that_was_returned_before_is_refused_with_what_to_do(store: RunStore) -> None:
    log = opened(store)
    meta = log.add(sale()).get()

    refused = log.add(sale(), meta).exception

    assert isinstance(refused, ValueError)
    assert "leave that meta out; to make an add safe to repeat, give the same key each time" in str(refused)


def test_a_file_of_an_earlier_release_takes_keys_once_it_was_opened(tmp_path: Path) -> None:
    store = SqliteRunStore(tmp_path / "log.db", synchronous="OFF")
    log = opened(store)
    log.add(sale("old")).get()
    log.close().get()
    with closing(sqlite3.connect(tmp_path / "log.db")) as connection:
        connection.execute("DROP TABLE keys")

    log = opened(store)
    first = log.add(sale(), key="sale-17").get()

    assert restarted(log, store).add(sale(), key="sale-17").get() == first


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("add"), st.sampled_from(["k1", "k2", "k3", "k4", None]), st.sampled_from("ab")),
        st.tuples(
            st.just("batch"),
            st.lists(st.tuples(st.sampled_from(["k1", "k2", "k3", None]), st.sampled_from("ab")), max_size=5),
        ),
        st.tuples(st.just("clean")),
        st.tuples(st.just("restart")),
        st.tuples(st.just("crash"), st.sampled_from(["k1", "k2", "k5"])),
    ),
    max_size=12,
)


@given(steps=STEPS)
def test_whatever_happens_each_key_has_one_event(steps: list[Any], tmp_path_factory: pytest.TempPathFactory) -> None:
    stores: list[RunStore] = [
        MemoryRunStore(),
        SqliteRunStore(tmp_path_factory.mktemp("keys") / "log.db", synchronous="OFF"),
    ]
    found = [_played(store, steps) for store in stores]

    assert found[0] == found[1]


def _played(store: RunStore, steps: list[Any]) -> list[Any]:
    log = opened(store)
    first: dict[str, tuple[str, Any]] = {}
    shown: list[Any] = []

    def check(key: str | None, type_: str, outcome: Any) -> None:
        if key is None:
            return
        known, added = first.setdefault(key, (type_, outcome["added"] if isinstance(outcome, dict) else None))
        if known == type_:
            assert outcome["added"] == added
        else:
            assert isinstance(outcome, ValueError)

    for step in steps:
        match step:
            case ("add", key, type_):
                added = log.add({"type": type_}, key=key)
                check(key, type_, added.exception or added.get())
            case ("batch", items):
                outcomes = log.add_batch(
                    [({"type": type_}, None) for _, type_ in items], keys=[key for key, _ in items]
                ).get()
                for (key, type_), outcome in zip(items, outcomes, strict=True):
                    check(key, type_, outcome)
            case ("clean",):
                log.clean(reasons="log").get()
            case ("restart",):
                log = restarted(log, store, 0)
            case ("crash", key):
                _crash(log, store, key)
        shown.append(store.state.events)
    return shown


def _crash(log: PairLog, store: RunStore, key: str) -> None:
    """The disk fails right before the commit of an add with this key."""
    with pytest.raises(StoreError), store.transaction():
        append_once(store, [Entry((1, "till", 9), 1, b'{"type":"z"}')], [key], log.pen)
        raise StoreError("full")
