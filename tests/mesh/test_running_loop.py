"""A node with a loop of its own in a thread that runs another loop, as a notebook does; and what its own loop refuses."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from mesh import Node
from mesh.actors.runtime.loop_actor import LoopActor, LoopActorRef, Runtime
from mesh.actors.runtime.loop_thread import LoopThread
from peers.later import Later

SECONDS = 15.0


@pytest.fixture
def node(tmp_path: Path) -> Node:
    return Node("kitchen", home=tmp_path / "kitchen", mdns=False, listen="127.0.0.1:0", open=True)


def in_a_cell(code: Callable[[], Any]) -> Any:
    """What a notebook does: plain code, in a thread whose loop runs."""

    async def cell() -> Any:
        return code()

    return asyncio.run(cell())


def on_the_nodes_loop(node: Node, code: Callable[[], Any]) -> Any:
    """The result of `code` as a listener of the node's log."""
    results: list[Any] = []
    done = threading.Event()

    def listener(event: dict[str, Any], meta: dict[str, Any]) -> None:
        undo()
        try:
            results.append(code())
        except RuntimeError as error:
            results.append(error)
        done.set()

    undo = node.log.on("event", listener)
    node.log.add({"type": "a"}).get(SECONDS)
    assert done.wait(SECONDS)
    return results[0]


def test_every_call_of_a_node_works_in_a_notebook(node: Node) -> None:
    def cell() -> None:
        with node:
            meta = node.log.add({"type": "milk"}).get(SECONDS)
            assert meta is not None
            node.log.add_batch([({"type": "bread"}, None)]).get(SECONDS)
            assert [event["type"] for event, _ in node.log.each()] == ["milk", "bread"]
            assert node.log.find(meta["created"]).get(SECONDS) is not None
            assert node.status().get(SECONDS)["node_id"] == node.node_id
            node.retry().get(SECONDS)
            node.stop()

    in_a_cell(cell)


def test_the_nodes_own_loop_is_not_blocked_and_the_event_is_stored_all_the_same(node: Node) -> None:
    with node:
        refused = on_the_nodes_loop(node, lambda: node.log.add({"type": "b"}).get())

        assert isinstance(refused, RuntimeError)
        assert "stored all the same: await it, or do not wait" in str(refused)
        assert [event["type"] for event, _ in node.log.each()] == ["a", "b"]


@pytest.mark.parametrize("ask", [lambda node: next(iter(node.log.each())), lambda node: node.status().get()])
def test_the_nodes_own_loop_is_not_blocked_by_a_question(node: Node, ask: Callable[[Node], Any]) -> None:
    with node:
        refused = on_the_nodes_loop(node, lambda: ask(node))

        assert "await it" in str(refused)


def test_a_loop_that_runs_the_node_itself_is_not_blocked(node: Node) -> None:
    async def main() -> list[str]:
        async with node:
            for wait in (node.log.add({"type": "a"}).get, node.status().get, lambda: next(iter(node.log.each()))):
                with pytest.raises(RuntimeError, match="await it"):
                    wait()
            return [event["type"] async for event, _ in node.log.each()]

    assert asyncio.run(main()) == ["a"]


def test_a_stop_on_the_nodes_own_loop_is_refused_and_the_node_can_still_be_stopped(node: Node) -> None:
    with node:
        refused = on_the_nodes_loop(node, node.stop)
        assert "cannot wait for itself" in str(refused)

        node.stop()

        assert node.status().exception is not None


class Echo(LoopActor):
    """Answers with what it is asked."""

    def on_receive(self, message: Any) -> Any:
        return message


@pytest.fixture
def echo() -> Iterator[LoopActorRef[Echo]]:
    thread = LoopThread()
    ref = Echo.start(Runtime(thread.loop))  # the loop is private: a node alone starts actors on it
    yield ref
    ref.stop()
    thread.close()


def test_an_actor_of_another_loop_can_be_waited_for(echo: LoopActorRef[Echo]) -> None:
    def cell() -> list[Any]:
        first, second = echo.ask(2, block=False), echo.ask(3, block=False)
        return [echo.ask(1), first.map(str).get(SECONDS), first.join(second).get(SECONDS), echo.stop()]

    assert in_a_cell(cell) == [1, "2", [2, 3], True]


def test_a_result_that_any_thread_may_resolve_blocks_no_loop(echo: LoopActorRef[Echo]) -> None:
    def cell() -> None:
        unknown: Later[int] = Later()
        for later in (unknown, unknown.transform(str)):
            with pytest.raises(RuntimeError, match="await it"):
                later.get(SECONDS)

    in_a_cell(cell)
