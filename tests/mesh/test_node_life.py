"""How long events live on a node: it decides for itself, whichever node wrote them."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from mesh import Node


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Node]:
    with Node("kitchen", home=tmp_path, mdns=False, listen="127.0.0.1:0", open=True) as node:
        yield node


def types(node: Node) -> list[str]:
    return [event["type"] for event, _ in node.log.each()]


def test_an_event_is_cleaned_with_its_last_reason(node: Node) -> None:
    node.log.add({"type": "a"}, {"reasons": ["cart", "tax"]}).get()
    node.log.add({"type": "b"}, {"reasons": ["cart"]}).get()

    cleaned = node.log.remove_reason("cart").get()

    assert cleaned == 1
    assert types(node) == ["a"]


def test_only_the_newest_with_a_kept_reason_stays(node: Node) -> None:
    for price in (1, 2, 3):
        node.log.add({"type": "price", "euro": price}, {"keep_last": "price"}).get()

    assert [event["euro"] for event, _ in node.log.each()] == [3]


def test_cleaning_leaves_what_a_keeper_keeps_and_what_has_reasons(node: Node) -> None:
    node.log.add({"type": "a"}).get()
    node.log.add({"type": "b"}).get()
    node.log.add({"type": "c"}, {"reasons": ["tax"]}).get()
    gone = threading.Event()
    node.log.on("clean", lambda event, meta: gone.set() if event["type"] == "a" else None)
    node.log.keep(lambda event, meta: event["type"] == "b")

    assert node.log.clean(reasons="log").get() == 1

    assert gone.wait(5)
    assert types(node) == ["b", "c"]


def test_clean_without_arguments_cleans_nothing_and_says_what_to_give(node: Node) -> None:
    node.log.add({"type": "a"}).get()

    with pytest.raises(TypeError, match=r"say which, as in clean\(before=timedelta\(days=30\)\)"):
        node.log.clean()

    assert types(node) == ["a"]


def test_an_age_goes_by_the_clock_of_the_node(node: Node) -> None:
    node.log.add({"type": "old"}, {"time": 1_000}).get()
    node.log.add({"type": "new"}).get()
    node.log.add({"type": "cart"}, {"time": 1_000, "reasons": ["cart"]}).get()

    assert node.log.clean(before=timedelta(hours=1)).get() == 1
    assert sorted(types(node)) == ["cart", "new"]

    assert node.log.clean(reasons="cart", before=datetime.now()).get() == 1
    assert node.log.remove_reason("log", younger_than=timedelta(hours=1)).get() == 1
    assert types(node) == []


def test_a_changed_meta_is_found_again_and_an_index_too(node: Node) -> None:
    meta = node.log.add({"type": "a"}, {"indexes": ["users"]}).get()
    node.log.add({"type": "b"}).get()
    assert meta is not None

    assert node.log.change_meta(meta["created"], {"colour": "red"}).get() is True

    entry = node.log.find(meta["created"]).get()
    assert entry is not None
    assert entry.meta["colour"] == "red"
    assert [event["type"] for event, _ in node.log.each(index="users")] == ["a"]


def test_what_one_node_cleaned_is_still_there_on_another_and_does_not_come_back(tmp_path: Path) -> None:
    with (
        Node("kitchen", home=tmp_path / "k", mdns=False, listen="127.0.0.1:0", open=True) as kitchen,
        Node(
            "study",
            home=tmp_path / "s",
            mdns=False,
            listen="127.0.0.1:0",
            open=True,
            peers=[f"127.0.0.1:{kitchen.port}"],
        ) as study,
    ):
        came, back = threading.Event(), threading.Event()
        study.log.on("event", lambda event, meta: came.set())
        kitchen.log.on("event", lambda event, meta: back.set() if event["type"] == "b" else None)
        kitchen.log.add({"type": "a"}, {"reasons": ["cart"]}).get()
        assert came.wait(10)
        kitchen.log.remove_reason("cart").get()
        study.log.add({"type": "b"}).get()
        assert back.wait(10)

        assert types(kitchen) == ["b"]
        assert types(study) == ["a", "b"]
