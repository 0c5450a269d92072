"""A node with doors and lines in trouble: children that fail, starts that are cancelled, servers that refuse."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pykka
from websockets.sync.server import ServerConnection, serve

from mesh.actors.node_supervisor import NodeSupervisor
from mesh.actors.runtime.loop_thread import LoopThread
from mesh.gateway.upstream.role import UpstreamSync
from peers.events.entry import MAX_EXTRA_BYTES, check_extra
from peers.roles.client import ClientSync
from tests.support.actor_loop import fail
from tests.support.door_house import House, house, wait_until  # noqa: F401
from tests.support.upstream_script import HERE, URL, Script


@contextmanager
def server(handler: Callable[[ServerConnection], None]) -> Iterator[str]:
    with serve(handler, "127.0.0.1", 0) as listening:
        thread = threading.Thread(target=listening.serve_forever)
        thread.start()
        try:
            yield f"ws://127.0.0.1:{listening.socket.getsockname()[1]}"
        finally:
            listening.shutdown()
            thread.join()


def left() -> list[str]:
    return sorted(ref.actor_class.__name__ for ref in pykka.ActorRegistry.get_all())


def stop_the_rest() -> None:
    for ref in pykka.ActorRegistry.get_all():
        pykka.ActorRegistry.unregister(ref)


def test_the_doors_do_not_outlive_a_supervisor_that_failed(house: House) -> None:  # noqa: F811
    node = house.start(dial={"ws://127.0.0.1:1": ClientSync})
    (supervisor,) = pykka.ActorRegistry.get_by_class(NodeSupervisor)

    supervisor.tell_to(fail)
    wait_until(lambda: not supervisor.is_alive(), "the end of the supervisor")
    node.stop()

    found = left()
    stop_the_rest()
    assert found == []


def test_a_role_that_never_finishes_is_stopped_with_the_node(house: House) -> None:  # noqa: F811
    class Never(ClientSync):
        def finish(self, done: Callable[[], None]) -> None:
            pass

    node = house.start(dial={"ws://127.0.0.1:1": Never})
    node.stop()

    found = left()
    stop_the_rest()
    assert found == []


def test_a_line_whose_role_fails_at_its_end_too_is_dialled_again(house: House) -> None:  # noqa: F811
    made: list[int] = []

    class Odd(ClientSync):
        def __init__(self, *args: Any, **options: Any) -> None:
            made.append(1)
            super().__init__(*args, **options)

        def on_connect(self) -> None:
            raise ValueError("one bug")

        def destroy(self, reason: str = "") -> None:
            super().destroy(reason)
            raise ValueError("another bug")

    with server(lambda wire: [None for _ in wire] and None) as url:
        house.start(dial={url: Odd})
        try:
            wait_until(lambda: len(made) > 1, "another attempt", 5)
        finally:
            house.nodes["kitchen"].stop()


def test_a_thread_that_would_wait_for_itself_raises_an_error() -> None:
    thread = LoopThread()

    async def stop_from_a_listener() -> str:
        try:
            thread.run(asyncio.sleep(0))
        except RuntimeError:
            return "an error instead of a deadlock"
        return "done"

    answer = asyncio.run_coroutine_threadsafe(stop_from_a_listener(), thread.loop)
    assert answer.result(3) == "an error instead of a deadlock"
    thread.close()


def test_a_token_in_the_query_of_a_url_is_not_shown(house: House) -> None:  # noqa: F811
    node = house.start(upstream="ws://127.0.0.1:1/?token=SECRET", upstream_user="ada")
    wait_until(house.said, "the first notice")

    assert "SECRET" not in str(house.said()) + str(node.status().get(5))


def test_an_event_that_the_server_cannot_take_makes_no_storm_of_attempts(house: House) -> None:  # noqa: F811
    connections: list[int] = []

    def refuse_events(wire: ServerConnection) -> None:
        connections.append(1)
        for frame in wire:
            message = json.loads(frame)
            if message[0] == "connect":
                wire.send(json.dumps(["connected", message[1], "server", [1, 1]]))
            elif message[0] == "sync":
                wire.send('["error","wrong-format","bad"]')

    with server(refuse_events) as url:
        node = house.start(upstream=url, upstream_user="ada")
        node.log.add({"type": "a"}).get(5)
        threading.Event().wait(4)
        node.stop()

    assert len(connections) < 8  # else 2.8 a second, for ever


def test_a_start_that_is_cancelled_leaves_nothing_behind(house: House) -> None:  # noqa: F811
    node = house.make(mdns=True, interfaces=["127.0.0.1"])

    async def cancel_at_many_moments() -> None:
        for ms in range(1, 16):
            task = asyncio.ensure_future(node.begin())
            await asyncio.sleep(ms / 1000)
            if task.done():
                await node.end()
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        async with asyncio.timeout(10):
            while len(asyncio.all_tasks()) > 1:
                await asyncio.sleep(0.01)

    asyncio.run(cancel_at_many_moments())

    found = left()
    stop_the_rest()
    assert found == []


def test_a_token_that_a_server_sends_back_in_an_error_is_not_shown(house: House) -> None:  # noqa: F811
    def send_back(wire: ServerConnection) -> None:
        for frame in wire:
            wire.send(json.dumps(["error", "wrong-format", frame]))  # as every Logux server does

    with server(send_back) as url:
        node = house.start(upstream=url, upstream_user="ada", upstream_token="SECRET")
        wait_until(house.said, "the first notice")
        node.stop()

    assert "SECRET" not in str(house.said())


def test_an_event_from_upstream_with_much_meta_can_go_on_to_other_nodes() -> None:
    script = Script()
    assert isinstance(script.role, UpstreamSync) and HERE
    padding = "x" * (MAX_EXTRA_BYTES - 10)
    meta = {"id": [1, "bob", 0], "time": 1, "p": padding}
    script.local.right.send(json.dumps(["sync", 1, {"type": "a"}, meta]).encode())

    for entry in script.store.each():
        check_extra(entry.extra)  # as every other node does


def test_cursors_that_the_disk_did_not_take_are_written_at_the_end() -> None:
    from mesh.gateway.upstream.role import UPSTREAM_SAVE_MS
    from peers.later import Later
    from peers.stores.store import StoreError

    script = Script()
    keep, script.log.keep_cursors = script.log.keep_cursors, lambda *_: Later.failed(StoreError("full"))  # type: ignore[method-assign]
    script.add("milk")
    script.answer()
    script.clock.advance(UPSTREAM_SAVE_MS)
    script.log.keep_cursors = keep  # type: ignore[method-assign]

    script.role.destroy()

    assert script.log.cursors(f"upstream:{URL}").get()[0] == 1  # else the server carries `milk` out again
