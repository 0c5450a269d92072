"""The story of one event, by any of its ids, and over both stores."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from peers.events.created import created_text
from peers.events.event_error import EventError
from peers.log.event_story import read_event_id, read_story
from peers.stores.run_store import RunStore
from peers.stores.runs.memory import MemoryRunStore
from peers.stores.runs.sqlite.store import SqliteRunStore
from tests.support.run_house import Writer, event, put, two_that_differ, undo

CREATED = (1_700_000_000_000, "kitchen~abcdefgh", 2)


@pytest.fixture(params=["memory", "sqlite"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> RunStore:
    store = MemoryRunStore() if request.param == "memory" else SqliteRunStore(tmp_path / "log.db", synchronous="OFF")
    store.open()
    return store


@pytest.mark.parametrize(
    "text",
    [
        created_text(CREATED),
        f"  {created_text(CREATED)} ",
        json.dumps(CREATED),
        json.dumps({"created": CREATED, "added": 7}),
    ],
)
def test_an_event_is_named_as_people_have_it(text: str) -> None:
    assert read_event_id(text) == CREATED


def test_a_number_is_an_added() -> None:
    assert read_event_id("4711") == 4711


@pytest.mark.parametrize("text", ["", "milk", "1 2", "[1]", '{"a": 1}', "[" * 5_000, "null", "-3", "true", "1.5"])
def test_what_is_no_id_is_refused_with_a_sentence(text: str) -> None:
    with pytest.raises(ValueError, match=r"is no id|created must be|the node id must have") as refused:
        read_event_id(text)
    assert not isinstance(refused.value, EventError)


def test_it_says_what_is_known_of_an_event(store: RunStore) -> None:
    writer = Writer(1)
    put(store, writer, event(1, "milk", extra=b'{"reasons":["shop"]}'), event(2, "bread"))
    put(store, writer, undo(3, (1, "kitchen", 0)))
    with store.transaction():
        store.arrive(3, 90, "attic~1")

    milk, bread, undoing = read_story(store, (1, "kitchen", 0)), read_story(store, 2), read_story(store, 3)

    assert milk is not None and bread is not None and undoing is not None
    assert (milk["event"], milk["author"], milk["added"], milk["is_undone"]) == ({"type": "milk"}, "kitchen", 1, True)
    assert (milk["reasons"], milk["came"]) == (["shop"], None)
    assert (bread["created"], bread["reasons"], bread["is_undone"]) == ((2, "kitchen", 0), ["log"], False)
    assert undoing["came"] == {"ms": 90, "until_ms": 90, "via": "attic~1"}
    assert read_story(store, 4) is read_story(store, 0) is read_story(store, (9, "kitchen", 0)) is None


def test_it_shows_the_copies_aside(store: RunStore) -> None:
    winner, loser = two_that_differ()
    put(store, Writer(1), loser, event(5))
    pieces = MemoryRunStore()
    pieces.open()
    put(pieces, Writer(2), winner)
    (epoch,) = pieces.ends()
    piece = pieces.piece(epoch, 1)
    assert piece is not None
    with store.transaction():
        store.take([piece])

    story, other = read_story(store, 1), read_story(store, (5, "kitchen", 0))

    assert story is not None and other is not None
    assert story["event"] == winner.event
    assert [copy["event"] for copy in story["copies_aside"]] == [loser.event]
    assert other["copies_aside"] == []
