"""How an application reads the log of its node: from which event, up to which, and in which direction."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from mesh import Node

START_MS = 1_700_000_000_000


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Node]:
    """With events a to d, a second apart, of which c came last."""
    with Node("kitchen", home=tmp_path, mdns=False, listen="127.0.0.1:0", open=True) as node:
        for type_ in "abdc":
            ms = START_MS + 1_000 * "abcd".index(type_)
            node.log.add({"type": type_}, {"created": (ms, "n", 0), "time": ms}).get()
        yield node


def metas(node: Node) -> list[dict[str, Any]]:
    return [meta for _, meta in node.log.each()]


def page(node: Node, **options: Any) -> str:
    return "".join(entry.event["type"] for entry in node.log.page(**options).get())


def test_a_page_goes_on_after_an_entry_or_its_meta(node: Node) -> None:
    entry = node.log.find((START_MS + 1_000, "n", 0)).get()
    assert entry is not None

    for after in (entry, entry.meta):
        assert (page(node, after=after), page(node, order="added", after=after)) == ("cd", "dc")
        assert page(node, after=after, reverse=True) == "a"
        assert page(node, order="added", after=after, reverse=True) == "a"


def test_a_walk_since_a_moment_leaves_out_what_is_older(node: Node) -> None:
    moments: dict[Any, str] = {
        2: "cd",  # an `added`
        START_MS + 2_000: "cd",
        datetime.fromtimestamp(START_MS / 1_000 + 1.5, UTC): "cd",
        datetime.fromtimestamp(START_MS / 1_000 + 2): "cd",
        timedelta(days=36_500): "abcd",
        timedelta(days=1): "",
    }

    for since, expected in moments.items():
        assert "".join(event["type"] for event, _ in node.log.each(since=since)) == expected


def test_a_walk_since_an_event_leaves_that_out_too(node: Node) -> None:
    meta = metas(node)[1]
    entry = node.log.find(meta["created"]).get()

    for since in (meta, entry):
        assert [event["type"] for event, _ in node.log.each(since=since)] == ["c", "d"]
        assert [event["type"] for event, _ in node.log.each(order="added", since=since)] == ["d", "c"]


def test_a_page_before_a_moment_leaves_that_out(node: Node) -> None:
    assert page(node, before=START_MS + 2_000) == page(node, before=metas(node)[2]) == "ab"
    assert page(node, before=START_MS + 3_000, reverse=True, limit=2) == "cb"


def walk(node: Node, **options: Any) -> str:
    return "".join(event["type"] for event, _ in node.log.each(**options))


def test_a_walk_takes_types_bounds_and_a_direction(node: Node) -> None:
    third = metas(node)[2]
    walks: list[tuple[dict[str, Any], str, str]] = [
        ({}, "abcd", "abdc"),
        ({"types": ["a", "c", "d"]}, "acd", "adc"),
        ({"types": {"c"}, "since": START_MS + 1_000}, "c", "c"),
        ({"types": ("none",)}, "", ""),
        ({"types": []}, "", ""),
        ({"before": third}, "ab", "ab"),
        ({"before": datetime.fromtimestamp(START_MS / 1_000 + 3, UTC), "since": 1}, "bc", "bc"),
        ({"types": ["b", "d"], "since": 1, "before": START_MS + 3_000}, "b", "b"),
    ]

    for options, by_time, by_added in walks:
        for order, expected in (("created", by_time), ("added", by_added)):
            assert walk(node, order=order, **options) == page(node, order=order, **options) == expected
            assert walk(node, order=order, reverse=True, **options) == expected[::-1]
            assert page(node, order=order, reverse=True, limit=1, **options) == expected[-1:]


def test_what_is_no_list_of_types_is_refused(node: Node) -> None:
    for types in ("shop/sold", iter(["a"]), 7, [7], ["\ud800"]):
        with pytest.raises(ValueError, match=r"`types` is a list of names|the type of an event is a string"):
            list(node.log.each(types=types))  # type: ignore[arg-type]


def test_what_is_no_moment_and_no_event_is_refused(node: Node) -> None:
    wrong: list[dict[str, Any]] = [{"since": "1h"}, {"before": timedelta(-1)}, {"after": 7}, {"after": {"time": 1}}]
    for options in wrong:
        with pytest.raises(ValueError, match=r"a moment is|negative|a page goes on after"):
            node.log.page(**options).get()


def test_what_is_no_order_and_no_limit_is_refused(node: Node) -> None:
    wrong: list[dict[str, Any]] = [{"order": "time"}, {"order": None}, {"limit": -1}, {"limit": None}, {"limit": "5"}]
    for options in wrong:
        with pytest.raises(ValueError, match=r"the order of a walk is|the limit of a page is"):
            node.log.page(**options).get()
