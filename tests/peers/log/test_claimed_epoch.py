"""A neighbour claims dots of our own epoch: our log stays readable and accepts events."""

from __future__ import annotations

from pathlib import Path

import pytest

from peers.clock import ManualClock
from peers.events.entry import Entry
from peers.events.version_vector import MAX_FOREIGN_SEQ
from peers.log.log import MAX_RENEWALS, Log
from peers.stores.sqlite.store import SqliteStore
from tests.support.pair import NOW_MS, Stranger, open_log


def claim(log: Log, seq: int, ms: int = 1) -> None:
    entry = Entry((ms, "liar~1", 0), ms, b'{"type":"lie"}', dot=(log.published.epoch, seq))
    log.add_entries([entry]).get()


def test_a_dot_far_ahead_in_our_epoch_does_not_spoil_what_we_write(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "log.sqlite")
    store.open()
    log = open_log("home", ManualClock(NOW_MS), store=store)
    log.add({"type": "before"}).get()

    claim(log, MAX_FOREIGN_SEQ)
    log.add({"type": "after"}).get()

    assert sorted(log.types) == ["after", "before", "lie"]
    assert all(entry.dot is not None and entry.dot[1] < 10 for entry in log.page(0).get().entries)
    log.close()
    again = SqliteStore(tmp_path / "log.sqlite")
    assert again.open().events == 3
    again.close()


def test_a_dot_that_would_end_the_counter_is_not_taken_from_the_wire() -> None:
    stranger = Stranger()
    stranger.greet("liar~1")
    epoch = stranger.role.log.published.epoch

    stranger.say("sync", 1, {"type": "lie"}, {"id": 1, "time": 1, "dot": [epoch, MAX_FOREIGN_SEQ + 1]})

    assert stranger.heard[-1] == ["synced", 1]
    assert stranger.log.types == []


def test_we_give_way_only_so_often() -> None:
    log = open_log("home", ManualClock(NOW_MS))
    for n in range(MAX_RENEWALS + 5):
        claim(log, 1_000_000, ms=n + 1)

    assert log.published.renewals == MAX_RENEWALS
    assert log.published.state.events == MAX_RENEWALS  # the rest was left out
    assert not log.published.may_renew
    log.add({"type": "ours"}).get()
    assert log.page(0).get().entries[-1].dot == (log.published.epoch, MAX_RENEWALS + 1)


@pytest.mark.parametrize("claims", [1, MAX_RENEWALS + 1])
def test_a_greeting_that_claims_more_of_ours_than_we_wrote_is_followed_only_so_often(claims: int) -> None:
    log = open_log("home", ManualClock(NOW_MS))
    log.add({"type": "ours"}).get()

    for n in range(claims):
        Stranger(log=log).greet(f"liar~{n}", {log.published.epoch: [[1, 5_000]]})

    assert log.published.renewals == min(claims, MAX_RENEWALS)
    assert log.types == ["ours"]
