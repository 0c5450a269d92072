"""`synchronized` and `mesh wait` on real nodes."""

from __future__ import annotations

import asyncio
import threading

import pytest

from mesh import Node
from mesh.control.client import ControlClient
from mesh.errors import MeshError
from tests.support.commands import run, running
from tests.support.street import Street, at, wait_until


def commands_at(node: Node) -> int:
    """Connections to the control socket. It is private, since no caller outside of tests needs the number."""
    opened = node._resources
    return 0 if opened is None or opened.control is None else len(opened.control._connections)


def test_a_node_has_all_events_when_synchronized_returns(street: Street) -> None:
    kitchen = street.start("kitchen")
    for number in range(300):
        meta = kitchen.log.add({"type": f"e{number}"})
    meta.get()

    study = street.start("study", peers=[at(kitchen)])
    study.synchronized(timeout=10).get()

    assert len(list(study.log.each())) == 300


def test_synchronized_says_how_many_nodes_are_missing(street: Street) -> None:
    kitchen = street.start("kitchen")
    study = street.start("study", peers=[at(kitchen)])

    async def wait() -> None:
        await kitchen.synchronized()
        await kitchen.synchronized(peers=2, timeout=0.2)

    with pytest.raises(TimeoutError, match=r"not synchronized within 0\.2 s: only 1 of 2 nodes is connected$"):
        asyncio.run(wait())
    with pytest.raises(ValueError, match="take 1 or more"):
        study.synchronized(peers=0).get()


def test_mesh_wait_exits_with_0_when_synchronized_and_with_1_and_a_sentence_when_not(street: Street) -> None:
    kitchen = street.start("kitchen")
    kitchen.log.add({"type": "milk"}).get()
    alone = run(kitchen.home, "wait", "--timeout", "0.2")

    with running(kitchen.home, "wait", "--timeout", "10") as waiting:
        street.start("study", peers=[at(kitchen)])
        assert waiting.wait(10) == 0

    assert (alone.returncode, alone.stdout) == (1, b"")
    assert alone.stderr.endswith(b"not synchronized within 0.2 s: no node is connected\n")


def test_a_wait_ends_with_its_command_and_does_not_delay_the_stop_of_the_node(
    street: Street,
) -> None:
    kitchen = street.start("kitchen")
    before = ControlClient(kitchen.home)
    with running(kitchen.home, "wait") as waiting:
        wait_until(lambda: commands_at(kitchen) == 2, "the command waits")
        waiting.terminate()
        waiting.wait(10)
    wait_until(lambda: commands_at(kitchen) == 1, "its connection is closed")
    errors: list[str] = []

    def wait() -> None:
        try:
            before.wait(1, 60)
        except MeshError as error:
            errors.append(str(error))

    thread = threading.Thread(target=wait)
    thread.start()
    kitchen.stop()
    thread.join(1.5)
    before.connection.close()

    assert errors == [f"the node in {kitchen.home} stopped"]
