"""What a log says of events that are undone."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from peers.clock import ManualClock
from peers.events.created import Created
from peers.events.entry import Entry
from peers.log.draft import make_undo
from peers.log.run_log import RunCommit
from peers.stores.store import PAGE_EVENTS
from tests.support.pair import NOW_MS, PairLog, open_log

SALE: Created = (5, "till", 0)


@pytest.fixture
def log() -> PairLog:
    return open_log("home", ManualClock(NOW_MS))


@pytest.fixture
def commits(log: PairLog) -> Iterator[list[RunCommit]]:
    found: list[RunCommit] = []
    end = log.on("commit", found.append)
    yield found
    end()


def undo(log: PairLog, which: Any, reason: str | None = None) -> Any:
    return log.add_drafts([make_undo(which, reason)]).get()[0]


def types(page: tuple[Entry, ...]) -> list[str]:
    return [entry.event["type"] for entry in page]


def test_a_commit_says_what_it_undid(log: PairLog, commits: list[RunCommit]) -> None:
    meta = log.add({"type": "sale"}).get()
    undo(log, meta)
    undo(log, meta)

    assert [tuple(commit.undone) for commit in commits] == [(), (meta["created"],), ()]
    assert [tuple(commit.restored) for commit in commits] == [(), (), ()]


def test_a_commit_names_an_undone_event_that_is_not_here(log: PairLog, commits: list[RunCommit]) -> None:
    undo(log, SALE)
    log.add({"type": "sale"}, {"created": SALE}).get()
    assert [tuple(commit.undone) for commit in commits] == [(SALE,), ()]
    assert log.each(undone=False).get() == log.each().get()[1:]


def test_an_undo_names_its_event_as_logux_does(log: PairLog) -> None:
    undo(log, log.add({"type": "sale"}, {"created": SALE}).get(), "typed twice")
    assert log.each().get()[-1].event == {"type": "logux/undo", "id": "5 till 0", "reason": "typed twice"}


@pytest.mark.parametrize("form", ["meta", "entry", "created", "list"])
def test_an_event_to_undo_is_given_as_its_meta_its_entry_or_its_created(log: PairLog, form: str) -> None:
    meta = log.add({"type": "sale"}, {"created": SALE}).get()
    forms = {"meta": meta, "entry": log.find(SALE).get(), "created": SALE, "list": list(SALE)}
    undo(log, forms[form])
    assert log.each().get()[-1].event == {"type": "logux/undo", "id": "5 till 0"}


@pytest.mark.parametrize(
    "which", [None, {}, {"id": "5 till 0"}, "5 till 0", 5, (5, "till"), (5, "", 0), (-1, "till", 0)]
)
def test_what_names_no_event_is_not_undone(which: Any) -> None:
    with pytest.raises(ValueError, match="created"):
        make_undo(which)


def test_the_entry_of_an_undo_is_not_undone(log: PairLog) -> None:
    undo(log, SALE)
    with pytest.raises(ValueError, match="an undo cannot be undone: add the event that it took back anew"):
        make_undo(log.each().get()[-1])


def test_a_reason_that_is_no_text_is_refused() -> None:
    with pytest.raises(ValueError, match="the reason of an undo must be a text, not 5"):
        make_undo(SALE, 5)


def test_an_undo_lives_as_long_as_its_event_and_goes_to_the_same_clients(log: PairLog) -> None:
    meta = {"reasons": ["cart", "audit"], "channels": ["stock/apple"], "indexes": ["x"], "by": "ada"}
    added = undo(log, log.add({"type": "sale"}, meta).get())
    assert (added["reasons"], added["channels"]) == (["cart", "audit"], ["stock/apple"])
    assert "indexes" not in added and "by" not in added
    assert undo(log, {**added, "created": SALE, "channels": ("stock/apple",)})["channels"] == ["stock/apple"]


def test_an_undo_does_not_end_with_what_only_the_last_event_of_its_writer_keeps(log: PairLog) -> None:
    added = undo(log, log.add({"type": "price"}, {"keep_last": "price", "reasons": ["audit"]}).get())
    assert added["reasons"] == ["audit"]
    assert "reasons" not in undo(log, log.add({"type": "price"}, {"keep_last": "price"}).get())


@pytest.mark.parametrize("order", ["created", "added"])
@pytest.mark.parametrize("reverse", [False, True])
def test_a_walk_without_what_is_undone_has_all_other_events(log: PairLog, order: Any, reverse: bool) -> None:
    metas = [log.add({"type": f"e{n}"}).get() for n in range(40)]
    for at in [*range(5, 25), 39]:
        undo(log, metas[at])

    found: list[Entry] = []
    after = None
    while page := log.each(order=order, reverse=reverse, undone=False, after=after, limit=7).get():
        assert len(page) <= 7
        found += page
        after = page[-1]

    expected = [f"e{n}" for n in [*range(5), *range(25, 39)]] + ["logux/undo"] * 21
    assert types(tuple(found)) == (expected[::-1] if reverse else expected)


def test_a_walk_goes_past_pages_of_which_all_are_undone(log: PairLog) -> None:
    count = 2 * PAGE_EVENTS + 100
    metas = log.add_batch([({"type": "sale"}, None)] * count).get()
    log.add({"type": "last"}).get()
    log.add_drafts([make_undo(meta) for meta in metas]).get()

    (last,) = log.each(undone=False, limit=1).get()

    assert last.event == {"type": "last"}
    assert len(log.each(undone=False, after=last, limit=10_000).get()) == count
    assert log.each(undone=False, before=last).get() == ()
