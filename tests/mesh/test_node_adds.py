"""What applications may rely on when they add without waiting."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

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

node = Node("a", home={str(tmp_path / "home")!r}, listen="127.0.0.1:0", open=True, mdns=False)

async def main():
    await node.begin()
    return node.log.add_batch([({{"type": "x"}}, None)] * 2_000)

waiting = asyncio.run(main())
for result in (node.log.add({{"type": "y"}}), waiting, node.log.add({{"type": "z"}})):
    try:
        result.get(10)
    except Exception as error:
        print(type(error).__name__)
"""

    done = subprocess.run(
        [sys.executable, "-c", code], env=environment(), capture_output=True, text=True, timeout=60, check=False
    )

    assert done.stdout == "StoreError\n" * 3
