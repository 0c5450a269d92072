"""How a log cleans events, and what its listeners get."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from peers.clock import ManualClock
from peers.events.entry import MAX_EXTRA_BYTES, Entry
from peers.events.reasons import MAX_LABEL, MAX_REASONS
from peers.log.run_log import RunCommit
from peers.stores.disk import InlineDisk
from peers.stores.runs.memory import MemoryRunStore
from tests.support.elsewhere import Elsewhere
from tests.support.pair import NOW_MS, HeldDisk, PairLog, open_log
from tests.support.run_house import event as written


@pytest.fixture
def log() -> PairLog:
    return open_log("home", ManualClock(NOW_MS))


def told(log: PairLog) -> list[tuple[str, str]]:
    """What listeners are told: the kind of news and the event's type."""
    news: list[tuple[str, str]] = []
    log.on("event", lambda event, _: news.append(("event", event["type"])))
    log.on("clean", lambda event, _: news.append(("clean", event["type"])))
    return news


def add(log: PairLog, type_: str, **meta: Any) -> Entry:
    log.add({"type": type_}, meta).get()
    return next(entry for entry in log.entries if entry.event["type"] == type_)


# Telling


def test_tells_of_each_event_that_is_cleaned(log: PairLog) -> None:
    add(log, "a")
    add(log, "b", reasons=["r"])
    news = told(log)

    log.remove_reason("r").get()
    log.clean().get()

    assert news == [("clean", "b"), ("clean", "a")]


def test_tells_of_a_cleaned_event_after_the_commit() -> None:
    store = MemoryRunStore()
    disk = HeldDisk(store)
    log = open_log("home", ManualClock(NOW_MS), store=store, disk=disk)
    log.add({"type": "a"}, {"reasons": ["r"]})
    disk.release()
    news = told(log)

    removed = log.remove_reason("r")
    assert (removed.is_done, news) == (False, [])

    disk.release()
    assert (removed.get(), news) == (1, [("clean", "a")])


def test_an_event_that_takes_the_place_of_another_is_told_first(log: PairLog) -> None:
    add(log, "old", keep_last="name")
    news = told(log)

    add(log, "new", keep_last="name")

    assert news == [("event", "new"), ("clean", "old")]


def test_an_event_that_comes_too_late_is_told_and_cleaned_and_not_sent(log: PairLog) -> None:
    add(log, "new", keep_last="shared/name")
    news = told(log)

    meta = log.add({"type": "late"}, {"created": (1, "n", 0), "keep_last": "shared/name"}).get()

    assert meta is not None and meta["added"] == 2
    assert news == [("event", "late"), ("clean", "late")]
    assert [entry.event["type"] for entry in log.page(0).get().entries] == ["new"]


def test_the_entry_of_an_event_that_comes_too_late_is_told_all_the_same(log: PairLog) -> None:
    add(log, "new", keep_last="shared/name")
    commits: list[RunCommit] = []
    log.on("commit", commits.append)

    log.add({"type": "late"}, {"created": (1, "n", 0), "keep_last": "shared/name"}).get()

    assert [[change.dot for change in commit.taken.changes] for commit in commits] == [[(log.state.epoch, 2)]]


def test_events_of_one_batch_supersede_each_other(log: PairLog) -> None:
    news = told(log)

    log.add_batch([({"type": type_}, {"keep_last": "name"}) for type_ in "abc"]).get()

    assert log.types == ["c"]
    assert news == [("event", "a"), ("event", "b"), ("event", "c"), ("clean", "a"), ("clean", "b")]


def test_a_cleaned_event_is_shown_to_listeners_as_it_was(log: PairLog) -> None:
    add(log, "a", reasons=["r"], k=1)
    metas: list[dict[str, Any]] = []
    log.on("clean", lambda _, meta: metas.append(meta))

    log.remove_reason("r").get()

    assert (metas[0]["reasons"], metas[0]["k"], metas[0]["added"]) == (["r"], 1, 1)


# Keepers


def test_cleans_what_no_keeper_keeps(log: PairLog) -> None:
    for type_ in "abc":
        add(log, type_)
    log.keep(lambda event, _: event["type"] == "a")
    log.keep(lambda _, meta: meta["added"] == 3)

    assert log.clean().get() == 1

    assert log.types == ["a", "c"]


def test_a_keeper_that_was_removed_keeps_nothing(log: PairLog) -> None:
    add(log, "a")
    undo = log.keep(lambda *_: True)
    assert log.clean().get() == 0

    undo()
    undo()

    assert log.clean().get() == 1


def test_a_cleaning_leaves_what_has_another_reason_than_log(log: PairLog) -> None:
    add(log, "a", reasons=["r"])
    add(log, "b", reasons=["log"])
    add(log, "c", reasons=["log", "r"])
    add(log, "d", keep_last="name")
    asked: list[str] = []
    log.keep(lambda event, _: asked.append(event["type"]))

    assert log.clean().get() == 1

    assert log.types == ["a", "c", "d"]
    assert asked == ["b"]


def test_a_keeper_that_fails_keeps_the_event_and_the_failure_is_told(log: PairLog) -> None:
    for type_ in "abc":
        add(log, type_)

    def keeper(event: dict[str, Any], _: object) -> bool:
        if event["type"] == "b":
            raise KeyError("b")
        return False

    log.keep(keeper)

    with pytest.raises(KeyError, match="b"):
        log.clean().get()

    assert log.types == ["b"]


def test_a_cleaning_gives_others_their_turn() -> None:
    store = MemoryRunStore()
    disk = HeldDisk(store)
    log = open_log("home", ManualClock(NOW_MS), store=store, disk=disk)
    log.add_batch([({"type": "a"}, None)] * 500)
    disk.release()

    cleaned = log.clean()
    added = log.add({"type": "b"})
    disk.release(2)
    assert (added.is_done, cleaned.is_done) == (True, False)
    disk.is_holding = False
    disk.release()

    assert cleaned.get() == 500
    assert log.types == ["b"]  # it came after the cleaning began


def test_a_reason_given_while_keepers_are_asked_counts() -> None:
    store = MemoryRunStore()
    disk = HeldDisk(store)
    log = open_log("home", ManualClock(NOW_MS), store=store, disk=disk)
    log.add({"type": "a"}, {"created": (1, "n", 0)})
    disk.release()
    log.keep(lambda *_: bool(log.change_meta((1, "n", 0), {"reasons": ["r"]})) and False)

    cleaned = log.clean()
    disk.is_holding = False
    disk.release()

    assert cleaned.get() == 0
    assert log.types == ["a"]


def test_many_steps_on_a_disk_that_answers_at_once_are_no_problem() -> None:
    log = open_log("home", ManualClock(NOW_MS), disk=InlineDisk(store := MemoryRunStore()), store=store)
    for start in range(0, 20_000, 5_000):
        log.add_batch([({"type": "a"}, {"created": (start + n, "n", 0)}) for n in range(5_000)]).get()

    assert log.clean().get() == 20_000


def test_a_cleaning_for_a_reason_takes_what_lives_for_it_alone(log: PairLog) -> None:
    for type_, reasons in {"a": ["cart"], "b": ["cart", "tax"], "c": ["tax"], "d": ["cart", "log"]}.items():
        add(log, type_, reasons=reasons)
    add(log, "plain")
    add(log, "kept", reasons=["cart"])
    log.keep(lambda event, _: event["type"] == "kept")

    assert log.clean(reasons="cart").get() == 1
    assert log.types == ["b", "c", "d", "plain", "kept"]
    assert log.entries[0].reasons == ["cart", "tax"]

    assert log.clean(reasons=["tax", "cart"]).get() == 2
    assert log.types == ["d", "plain", "kept"]


def test_a_cleaning_before_a_moment_leaves_that_and_what_is_younger(log: PairLog) -> None:
    old = [add(log, type_, created=(NOW_MS - ago, "n", 0)) for type_, ago in (("a", 3), ("b", 2), ("c", 1))]
    add(log, "r", created=(NOW_MS - 4, "n", 0), reasons=["r"])

    assert log.clean(before=old[1]).get() == 1
    assert log.types == ["r", "b", "c"]

    assert log.clean(before=timedelta(milliseconds=1)).get() == 1
    assert log.types == ["r", "c"]

    assert log.clean(reasons="r", before=NOW_MS - 4).get() == 0
    assert log.clean(reasons="r", before=NOW_MS - 3).get() == 1
    assert log.types == ["c"]


def test_a_cleaning_with_invalid_options_cleans_nothing(log: PairLog) -> None:
    add(log, "a")

    for before in ("yesterday", timedelta(days=-1), True, {"time": 1}):
        with pytest.raises(ValueError, match=r"a moment is|negative|created"):
            log.clean(before=before).get()
    with pytest.raises(ValueError, match="1 to 200 characters"):
        log.clean(reasons="").get()

    assert log.types == ["a"]


# Changing meta


@pytest.mark.parametrize("key", ["created", "time", "added", "dot", "indexes", "subprotocol"])
def test_a_read_only_key_of_meta_is_refused(log: PairLog, key: str) -> None:
    entry = add(log, "a")

    with pytest.raises(ValueError, match=f"{key}' is read-only"):
        log.change_meta(entry.created, {key: 1}).get()


@pytest.mark.parametrize(
    ("diff", "sentence"),
    [
        ({"channels": "stock/apple"}, "'channels' must be a list of strings, not 'stock/apple'"),
        ({"channels": [7]}, "'channels' must be a list of strings"),
        ({"reasons": "r"}, "'reasons' must be a list of strings"),
        ({"reasons": [1]}, "'reasons' takes strings, not 1"),
        ({"k": object()}, 'meta."k". is an object: give'),
        ({"k": "x" * MAX_EXTRA_BYTES}, "at most"),
        (7, "must be a dict"),
    ],
)
def test_a_change_of_meta_that_is_none_is_refused(log: PairLog, diff: Any, sentence: str) -> None:
    entry = add(log, "a")

    with pytest.raises(ValueError, match=sentence):
        log.change_meta(entry.created, diff).get()


def test_changes_of_meta_add_up_to_a_limit(log: PairLog) -> None:
    entry = add(log, "a")
    half = "x" * (MAX_EXTRA_BYTES * 2 // 3)
    log.change_meta(entry.created, {"one": half}).get()

    with pytest.raises(ValueError, match="at most"):
        log.change_meta(entry.created, {"two": half}).get()

    assert log.change_meta(entry.created, {"one": "x"}).get()


def test_a_walk_sees_changed_meta_of_recent_events(log: PairLog) -> None:
    entry = add(log, "a")

    log.change_meta(entry.created, {"k": 1}).get()

    assert log.page(0).get().entries[0].meta["k"] == 1


# Adding


@pytest.mark.parametrize(
    ("meta", "sentence"),
    [
        ({"reasons": "r"}, "'reasons' must be a list of strings, not 'r'"),
        ({"channels": "stock/apple"}, "'channels' must be a list of strings, not 'stock/apple'"),
        ({"reasons": [""]}, "'reasons': a name has 1 to"),
        ({"reasons": ["r"] * (MAX_REASONS + 1)}, "and at most 32 are taken"),
        ({"indexes": [1]}, "'indexes' takes strings, not 1"),
        ({"indexes": ["x" * (MAX_LABEL + 1)]}, "'indexes': a name has 1 to 200 characters, and one has 201"),
        ({"keep_last": ["r"]}, "'keep_last' takes strings"),
    ],
)
def test_reasons_that_are_none_are_refused(log: PairLog, meta: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        log.add({"type": "a"}, meta).get()


@pytest.mark.parametrize("reason", [7, "", ["r", 7], None])
def test_a_reason_that_is_none_is_refused(log: PairLog, reason: Any) -> None:
    with pytest.raises((ValueError, TypeError)):
        log.remove_reason(reason).get()
    with pytest.raises((ValueError, TypeError)):
        log.add_reason(reason).get()


@pytest.mark.parametrize(
    ("criteria", "sentence"),
    [
        ({"older_than": "7"}, "a moment is an entry, a meta"),
        ({"younger_than": timedelta(-1)}, "an age cannot be negative"),
        ({"younger_than": {"time": 7}}, "created must be"),
        ({"created": "x"}, "created must be"),
        ({"min_added": "1"}, "a bound of `added` is a whole number"),
        ({"index": 1}, "an index is a string"),
        ({"older": 1}, "unexpected keyword"),
    ],
)
def test_criteria_that_are_none_are_refused(log: PairLog, criteria: dict[str, Any], sentence: str) -> None:
    with pytest.raises((ValueError, TypeError), match=sentence):
        log.remove_reason("r", **criteria).get()
    with pytest.raises((ValueError, TypeError), match=sentence):
        log.add_reason("r", **criteria).get()


# Copies that differ


def test_another_copy_of_a_cleaned_event_is_not_shown_whether_it_is_better_or_not(log: PairLog) -> None:
    Elsewhere(1).bring(log, written(1, "a", time=2)).get()
    log.clean().get()
    news = told(log)

    Elsewhere(2).bring(log, written(1, "b", time=1)).get()
    Elsewhere(3).bring(log, written(1, "c", time=3)).get()

    assert (log.types, news) == ([], [])
    assert log.aside().get() == ()


def test_a_cleaned_event_stays_cleaned_when_it_comes_under_another_dot(log: PairLog) -> None:
    Elsewhere(1).bring(log, written(8, "a"), written(2, "b")).get()
    log.clean().get()

    Elsewhere(2).bring(log, written(8, "a"), written(3, "c")).get()

    assert log.types == ["c"]
    assert log.aside().get() == ()
