"""Drafts: an event does not change after it was added, and a limited number of them waits."""

from __future__ import annotations

from typing import Any

import pytest

from peers.log import draft as draft_module
from peers.log.draft import BusyError, Draft, Waiting, make_draft


def test_a_draft_does_not_change_with_its_event() -> None:
    event = {"type": "sale", "n": 1}
    meta = {"shop": "north"}

    draft = make_draft(event, meta)
    event["n"] = 2
    meta["shop"] = "south"

    assert draft == Draft(b'{"type":"sale","n":1}', b'{"shop":"north"}')


def test_a_draft_may_name_its_identity_and_time() -> None:
    draft = make_draft({"type": "a"}, {"created": [5, "till~1", 0], "time": 7})

    assert (draft.created, draft.time, draft.extra) == ((5, "till~1", 0), 7, b"")


@pytest.mark.parametrize(
    ("event", "meta", "sentence"),
    [
        ({"n": 1}, None, "needs a `type`"),
        ({"type": "a"}, "meta", "meta must be a dict"),
        ({"type": "a"}, {"time": -1}, "time must be"),
        ({"type": "a"}, {"time": True}, "time must be"),
        ({"type": "a"}, {"created": 5}, "created must be"),
        ({"type": "a"}, {"created": [5, "a"]}, "created must be"),
        ({"type": "a"}, {"dot": 1}, "the log itself gives"),
    ],
)
def test_says_what_is_wrong(event: Any, meta: Any, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        make_draft(event, meta)


def test_counts_events_and_bytes_that_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(draft_module, "MAX_WAITING", 3)
    monkeypatch.setattr(draft_module, "MAX_WAITING_BYTES", 100)
    waiting = Waiting()

    waiting.take(2, 60)

    with pytest.raises(BusyError, match="2 events wait"):
        waiting.take(2, 1)
    with pytest.raises(BusyError):
        waiting.take(1, 50)
    waiting.give_back(2, 60)
    waiting.take(5, 500)  # one batch alone is always taken: else it never could be
