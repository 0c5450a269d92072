"""The shop of `scenarios/shop_app.py`: right with every seed and on real nodes; broken views are noticed."""

from __future__ import annotations

import ast
import asyncio
import signal
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from mesh import Node
from mesh.views.fold import Fold
from mesh.views.store import Flush, ViewProgress, ViewStore
from peers.events.columns import EventTable
from peers.events.created import Created
from peers.stores.store import Place
from scenarios.shop_app import open_till, shop_app
from tests.support.root import ROOT
from tests.support.story_scripts import run
from tests.support.street import SECONDS, at

FAULTY_SEEDS = 20
CODE = (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)


@pytest.mark.long
@pytest.mark.timeout(1_200)
def test_the_books_of_all_tills_agree_with_200_seeds() -> None:
    outcomes = [shop_app.run(seed, traces=False) for seed in range(200)]

    assert [(outcome.seed, outcome.failure) for outcome in outcomes if outcome.failure is not None] == []


def test_the_same_seed_gives_the_same_books_byte_for_byte() -> None:
    one, other = (
        run("scenarios/shop_app.py", "--seed", "7", "--trace", hash_seed=hash_seed, timeout=100)
        for hash_seed in ("1", "77")
    )

    assert (one.returncode, one.stderr) == (0, "")
    assert one.stdout == other.stdout
    assert len(one.stdout.splitlines()) > 100


def first_failure() -> str:
    """Of the first seed that fails; empty if none does."""
    return next((outcome.failure for seed in range(FAULTY_SEEDS) if (outcome := shop_app.run(seed)).failure), "")


def test_a_view_that_does_not_go_back_for_a_late_event_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    def go_on(
        self: Fold, _place: Place, new: EventTable | None = None, *, without: frozenset[Created] = frozenset()
    ) -> Place | None:
        if new is not None:
            self.walk(new, self.walked)  # as if it came last
        return None

    monkeypatch.setattr(Fold, "rewind", go_on)

    assert "is not so" in first_failure()


def test_half_a_snapshot_that_is_taken_for_a_whole_one_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = ViewStore.flush

    def flush(self: ViewStore, work: Flush) -> ViewProgress:
        return whole(self, replace(work, news=dict(list(work.news.items())[: len(work.news) // 2])))

    monkeypatch.setattr(ViewStore, "flush", flush)

    assert "is not so" in first_failure()


def test_the_same_tills_sell_on_real_nodes(tmp_path: Path) -> None:
    async def sell(door: Node, yard: Node) -> None:
        tills = [await open_till(door), await open_till(yard)]
        received = await tills[0].receive("apple", 1)
        await yard.synchronized(timeout=SECONDS)
        await tills[1].stock.after()
        assert received is not None
        assert await tills[1].sell("apple", "to Bob")
        await yard.synchronized(timeout=SECONDS)
        await tills[1].stock.after()
        await tills[0].stock.after(door.log.last_added)
        assert not await tills[0].sell("apple", "to Ada")
        assert tills[0].stock.digest() == tills[1].stock.digest()

    async def live() -> None:
        async with (
            Node("door", home=tmp_path / "door", open=True, mdns=False, listen="127.0.0.1:0") as door,
            Node("yard", home=tmp_path / "yard", open=True, mdns=False, listen="127.0.0.1:0", peers=[at(door)]) as yard,
        ):
            await asyncio.wait_for(sell(door, yard), SECONDS)

    asyncio.run(live())


def test_the_rules_are_short_and_what_is_around_them_shorter() -> None:
    source = (ROOT / "scenarios" / "shop_app.py").read_text()
    parts = {
        one.name: ast.get_source_segment(source, one) or "" for one in ast.parse(source).body if isinstance(one, CODE)
    }
    lines = {name: [line for line in part.splitlines() if line.strip(' "')] for name, part in parts.items()}

    assert len(lines["count"]) + len(lines["Till"]) <= 25
    assert len(lines["open_till"]) <= 15


COUNTS = """
import asyncio, os, signal, sys
from mesh import Node
from scenarios.shop_app import open_till


async def main(home, peer):
    async with Node("yard", home=home, open=True, mdns=False, listen="127.0.0.1:0", peers=[peer]) as node:
        till = await open_till(node)
        await asyncio.gather(*[till.receive("pear", 1) for _ in range(1_000)])
        os.kill(os.getpid(), signal.SIGKILL)


asyncio.run(main(*sys.argv[1:]))
"""
"""A till that is killed at once after 1 000 adds."""


def test_three_real_tills_agree_after_a_double_sale_and_a_kill(tmp_path: Path) -> None:
    def node(name: str, *peers: Node) -> Node:
        listen, addresses = "127.0.0.1:0", [at(peer) for peer in peers]
        return Node(name, home=tmp_path / name, open=True, mdns=False, listen=listen, peers=addresses)

    async def sell_offline(name: str, customer: str) -> None:
        async with node(name) as alone:
            till = await open_till(alone)
            assert till.stock["apple"]["left"] == 1
            assert await till.sell("apple", customer)

    async def live() -> None:
        async with node("door") as door, node("yard", door) as yard:
            await (await open_till(door)).receive("apple", 1)
            await yard.synchronized(timeout=SECONDS)
        await sell_offline("door", "to Ada")
        await sell_offline("yard", "to Bob")
        async with node("door") as door:
            script = await asyncio.create_subprocess_exec(
                sys.executable, "-c", COUNTS, tmp_path / "yard", at(door), cwd=ROOT
            )
            assert await script.wait() == -signal.SIGKILL
            async with node("yard", door) as yard, node("cellar", door, yard) as cellar:
                nodes = (door, yard, cellar)
                tills = [await open_till(one) for one in nodes]
                for one, till in zip(nodes, tills, strict=True):
                    await one.synchronized(peers=2, timeout=SECONDS)
                    await till.stock.after(one.log.last_added)
                assert tills[2].stock["apple"] == {"left": -1, "oversold": ["to Bob"]}
                assert tills[0].stock["pear"]["left"] == 1_000
                assert len({till.stock.digest() for till in tills}) == 1

    asyncio.run(asyncio.wait_for(live(), 3 * SECONDS))
