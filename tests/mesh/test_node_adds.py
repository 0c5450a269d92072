"""What applications may rely on when they add without waiting."""

from __future__ import annotations

import asyncio
import json
import re
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from mesh import Node
from peers import BusyError
from peers.log import draft as draft_module
from tests.support.commands import environment


def test_an_event_is_stored_as_it_was_when_it_was_added(tmp_path: Path) -> None:
    with Node("till", home=tmp_path, listen="127.0.0.1:0", open=True, mdns=False) as node:
        event = {"type": "sale", "n": 0}
        added = []
        for n in range(500):
            event["n"] = n
            added.append(node.log.add(event))
        for later in added:
            later.get(10)

        assert [stored["n"] for stored, _ in node.log.each(order="added")] == list(range(500))


def test_adding_without_waiting_is_bounded_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(draft_module, "MAX_WAITING", 20)
    with Node("till", home=tmp_path, listen="127.0.0.1:0", open=True, mdns=False) as node:
        added = [node.log.add({"type": "sale", "n": n}) for n in range(2_000)]
        refused = [later for later in added if later.is_done and isinstance(later.exception, BusyError)]
        kept = [later for later in added if later not in refused]
        for later in kept:
            later.get(10)

        assert refused  # at once: they never reached the log's mailbox
        assert node.log.last_added == len(kept)


def test_what_is_not_an_event_fails_in_its_own_result(tmp_path: Path) -> None:
    with Node("till", home=tmp_path, listen="127.0.0.1:0", open=True, mdns=False) as node:
        outcomes = node.log.add_batch([({"type": "a"}, None), ({"no": "type"}, None), ({"type": "b"}, None)]).get(10)

        assert isinstance(outcomes[1], ValueError)
        with pytest.raises(ValueError, match="needs a `type`"):
            node.log.add({"no": "type"}).get(10)
        assert [stored["type"] for stored, _ in node.log.each()] == ["a", "b"]


def test_adds_fail_at_once_when_the_loop_was_closed_under_the_node(tmp_path: Path) -> None:
    code = f"""
import asyncio
from mesh import Node
from peers import StoreError

node = Node("a", home={str(tmp_path / "home")!r}, listen="127.0.0.1:0", open=True, mdns=False)

async def main():
    await node.begin()
    return node.log.add_batch([({{"type": "x"}}, None)] * 2_000)

waiting = asyncio.run(main())
for result in (node.log.add({{"type": "y"}}), waiting, node.log.add({{"type": "z"}})):
    try:
        result.get(10)
    except StoreError:
        print("StoreError")
"""

    done = subprocess.run(
        [sys.executable, "-c", code], env=environment(), capture_output=True, text=True, timeout=60, check=False
    )

    assert done.stdout == "StoreError\n" * 3


def test_threads_that_add_with_one_key_add_one_event(tmp_path: Path) -> None:
    with (
        Node("till", home=tmp_path, listen="127.0.0.1:0", open=True, mdns=False) as node,
        ThreadPoolExecutor(4) as pool,
    ):
        metas = list(pool.map(lambda n: node.log.add({"type": "sale"}, key=f"sale-{n % 3}").get(10), range(60)))

        assert [stored["type"] for stored, _ in node.log.each()] == ["sale"] * 3
        assert all(meta == metas[n % 3] for n, meta in enumerate(metas))


def test_a_key_is_known_after_kill_9(tmp_path: Path) -> None:
    code = f"""
import json, os, signal
from mesh import Node

with Node("till", home={str(tmp_path)!r}, listen="127.0.0.1:0", open=True, mdns=False) as node:
    later = [node.log.add({{"type": "sale", "n": n}}, key=f"sale-{{n}}") for n in range(100)]
    print(json.dumps(later[-1].get(10)), flush=True)
    os.kill(os.getpid(), signal.SIGKILL)
"""
    killed = subprocess.run(
        [sys.executable, "-c", code], env=environment(), capture_output=True, timeout=60, check=False
    )
    assert killed.returncode == -signal.SIGKILL, killed.stderr

    with Node("till", home=tmp_path, listen="127.0.0.1:0", open=True, mdns=False) as node:
        again = [node.log.add({"type": "sale", "n": n}, key=f"sale-{n}") for n in range(100)]

        last = again[-1].get(10)
        assert last is not None
        assert [list(last["created"]), last["added"]] == [*map(json.loads(killed.stdout).get, ("created", "added"))]
        assert [stored["n"] for stored, _ in node.log.each(order="added")] == list(range(100))


def test_a_value_that_json_has_not_fails_in_the_result_with_its_place(tmp_path: Path) -> None:
    with Node("till", home=tmp_path, listen="127.0.0.1:0", open=True, mdns=False) as node:
        failed = node.log.add({"type": "sale", "lines": [{"price": 1}, {"price": Decimal("1.5")}]})
        outcomes = node.log.add_batch([({"type": "a"}, None), ({"type": "b", "at": {1}}, None)]).get(10)

        with pytest.raises(TypeError, match=re.escape('event["lines"][1]["price"] is a Decimal: give a str, int or')):
            failed.get(10)
        assert isinstance(outcomes[0], dict)
        assert str(outcomes[1]) == 'event["at"] is a set: give a list'


def test_asyncio_takes_what_add_returns(tmp_path: Path) -> None:
    async def main() -> list[Any]:
        async with Node("till", home=tmp_path, listen="127.0.0.1:0", open=True, mdns=False) as node:
            add = node.log.add
            both = await asyncio.gather(add({"type": "a"}), add({"type": "b"}))
            one = await asyncio.wait_for(add({"type": "c"}), 10)
            two = await asyncio.shield(add({"type": "d"}))
            three = await asyncio.ensure_future(add({"type": "e"}))
            done, _ = await asyncio.wait({asyncio.ensure_future(add({"type": "f"}))})
            first = [await one for one in asyncio.as_completed([add({"type": "g"})])]
            return [*both, one, two, three, *[task.result() for task in done], *first]

    assert [meta["added"] for meta in asyncio.run(main())] == [1, 2, 3, 4, 5, 6, 7]


def test_who_ends_the_wait_for_an_add_does_not_end_the_add(tmp_path: Path) -> None:
    async def main() -> list[str]:
        async with Node("till", home=tmp_path, listen="127.0.0.1:0", open=True, mdns=False) as node:
            adds = [node.log.add({"type": name}) for name in "abcd"]
            ended = asyncio.gather(adds[1], adds[2])
            waits = [asyncio.ensure_future(adds[0]), ended, asyncio.ensure_future(asyncio.shield(adds[3]))]
            for wait in waits:
                wait.cancel()
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(node.log.add({"type": "e"}), 0)
            outcomes = await asyncio.gather(*waits, return_exceptions=True)
            assert [type(outcome) for outcome in outcomes] == [asyncio.CancelledError] * 3

            assert [meta["added"] for add in adds if (meta := await add)] == [1, 2, 3, 4]
            await node.log.add({"type": "f"})
            return [event["type"] async for event, _ in node.log.each(order="added")]

    assert asyncio.run(main()) == list("abcdef")
