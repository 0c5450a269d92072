"""Views of real nodes: in threads, on a loop, over restarts, and beside a file that cannot be used."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path
from typing import Any

import pytest

from mesh import MeshError, Node
from mesh.settings.paths import VIEWS_FILE
from peers.stores.store import StoreError

DEADLINE_SECONDS = 20.0


def apply(stock: Any, event: dict[str, Any], meta: dict[str, Any]) -> None:
    stock[event["item"]] = stock.get(event["item"], 0) + event["change"]
    stock["total"] = stock.get("total", 0) + event["change"]


def node(home: Path) -> Node:
    return Node("till", home=home, open=True, mdns=False, listen="127.0.0.1:0")


def sold(item: str, change: int = -1) -> dict[str, Any]:
    return {"type": "shop/sold", "item": item, "change": change}


def test_a_view_in_a_thread(tmp_path: Path) -> None:
    with node(tmp_path) as till:
        stock = till.view("stock", apply, types=["shop/sold"]).get(DEADLINE_SECONDS)
        meta = till.log.add(sold("apple")).get(DEADLINE_SECONDS)
        assert meta is not None

        assert stock.after(meta).get(DEADLINE_SECONDS)["apple"] == -1
        assert till.status().get(DEADLINE_SECONDS)["views"][0]["name"] == "stock"


def test_a_view_on_a_loop_and_over_a_restart(tmp_path: Path) -> None:
    folds: list[Any] = []

    async def first() -> str:
        async with node(tmp_path) as till:
            stock = await till.view("stock", apply)
            for n in range(50):
                meta = await till.log.add(sold(f"item {n % 7}"))
            return (await stock.after(meta or 0)).digest()

    async def second() -> str:
        async with node(tmp_path) as till:
            return (await till.view("stock", lambda *event: folds.append(event))).digest()

    assert asyncio.run(first()) == asyncio.run(second())
    assert folds == []
    assert (tmp_path / VIEWS_FILE).stat().st_mode & 0o777 == 0o600


def test_a_view_that_was_waited_for_too_short_is_asked_for_again(tmp_path: Path) -> None:
    async def run() -> int:
        async with node(tmp_path) as till:
            await till.log.add(sold("apple"))
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(till.view("stock", apply), 0)
            stock = await till.view("stock", apply)
            return int(stock["apple"])

    assert asyncio.run(run()) == -1


def test_a_node_without_views_has_no_file_of_them(tmp_path: Path) -> None:
    with node(tmp_path) as till:
        assert till.status().get(DEADLINE_SECONDS)["views"] == []

    assert not (tmp_path / VIEWS_FILE).exists()


def test_a_reader_in_another_thread_sees_whole_folds_only(tmp_path: Path) -> None:
    """Each event changes two keys by the same, and late ones take back what others have changed."""
    torn: list[Any] = []
    is_over = threading.Event()

    def both(state: Any, event: dict[str, Any], meta: dict[str, Any]) -> None:
        state["a"] = state.get("a", 0) + 1
        state["b"] = state.get("b", 0) + 1

    def look(view: Any) -> None:
        least = 0
        while not is_over.is_set():
            values = dict(view.items()) or {"a": 0, "b": 0}
            if values["a"] != values["b"] or values["a"] < least:
                torn.append((least, values))
            least = values["a"]

    with node(tmp_path) as till:
        view = till.view("both", both).get(DEADLINE_SECONDS)
        reader = threading.Thread(target=look, args=(view,))
        reader.start()
        for n in range(20):
            late = {"time": 1_000 * (20 - n)}
            till.log.add_batch([(sold("x"), None)] * 50 + [(sold("x"), late)]).get(DEADLINE_SECONDS)
        view.after(till.log.last_added).get(DEADLINE_SECONDS)
        is_over.set()
        reader.join()

        assert (torn, view["a"]) == ([], 20 * 51)


def test_a_file_of_views_that_cannot_be_used_harms_nothing_else(tmp_path: Path) -> None:
    with node(tmp_path) as till:
        (tmp_path / VIEWS_FILE).write_bytes(b"no database at all" * 100)

        with pytest.raises(StoreError, match="it is damaged: move it away"):
            till.view("stock", apply).get(DEADLINE_SECONDS)
        assert till.log.add(sold("apple")).get(DEADLINE_SECONDS)


def test_a_node_that_does_not_run_has_no_views(tmp_path: Path) -> None:
    till = node(tmp_path)
    with pytest.raises(MeshError, match="this node is not running"):
        till.view("stock", apply).get(DEADLINE_SECONDS)
    with till:
        stock = till.view("stock", apply).get(DEADLINE_SECONDS)
    with pytest.raises(MeshError, match="this node is not running"):
        stock["apple"]
