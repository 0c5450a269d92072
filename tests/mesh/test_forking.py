"""A program that forks while its node runs: the child leaves the node to the parent, where it goes on."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from mesh import MeshError, Node
from mesh.notices import OPEN_LINK
from tests.support.root import ROOT

PROGRAM = ROOT / "tests" / "support" / "forking_program.py"
SECONDS = 15.0


class Forking:
    """The program, in a process of its own."""

    def __init__(self, *args: str | Path | int) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-W", "always", str(PROGRAM), *map(str, args)],  # it complains of what is not closed
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def told(self, *wanted: str) -> dict[str, Any]:
        """What parent and child told, once all of `wanted` is among it."""
        told: dict[str, Any] = {}
        assert self.process.stdout is not None and self.process.stderr is not None
        while not told.keys() >= set(wanted):
            line = self.process.stdout.readline()
            assert line, self.process.stderr.read()
            told |= json.loads(line)
        return told

    def end(self) -> tuple[dict[str, Any], str]:
        """What else was told, and what stands on standard error."""
        out, complaints = self.process.communicate(timeout=SECONDS)
        told: dict[str, Any] = {}
        for line in out.splitlines():
            told |= json.loads(line)
        return told, without_warning(complaints)


def wait_until(condition: Callable[[], Any], seconds: float = SECONDS) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)


@pytest.fixture
def study(tmp_path: Path) -> Iterator[Node]:
    with Node("study", home=tmp_path / "study", mdns=False, listen="127.0.0.1:0", open=True) as node:
        yield node


def types(node: Node) -> list[str]:
    return [event["type"] for event, _ in node.log.each()]


def sessions(node: Node) -> list[str]:
    return [row["state"] for row in node.status().get(SECONDS)["sessions"]]


@pytest.mark.parametrize("how", ["thread", "loop"])
def test_every_call_in_the_child_says_whose_node_it_is_and_the_parent_goes_on(
    tmp_path: Path, study: Node, how: str
) -> None:
    links: list[str] = []
    study.on("change", lambda notice: links.append(notice.kind))
    program = Forking(how, tmp_path / "kitchen", study.port, "calls")

    told = program.told("add", "node", "left", "followed", "following" if how == "thread" else "waiting")
    wait_until(lambda: types(study) == ["before", "after"])
    _, complaints = program.end()

    whose = f"this is the node of process {program.process.pid}, which forked: start a node of its own in this process"
    kept = {"sockets", "sockets_of_parent", "node", "left", "followed"}
    assert {said.startswith(whose) for call, said in told.items() if call not in kept} == {True}
    assert (told["sockets"], told["sockets_of_parent"] > 0, told["followed"]) == (0, True, ["after"])
    assert links.count("connected") == 1
    assert (complaints, program.process.returncode) == ("", 0)


@pytest.mark.parametrize("how", ["thread", "loop"])
def test_a_child_that_outlives_its_parent_keeps_neither_home_nor_port_nor_links(
    tmp_path: Path, study: Node, how: str
) -> None:
    home = tmp_path / "kitchen"
    program = Forking(how, home, study.port, "stays")
    port = program.told("child", "node")["node"]
    wait_until(lambda: sessions(study) == ["synchronized"])

    program.process.kill()
    program.process.wait(SECONDS)
    wait_until(lambda: "synchronized" not in sessions(study), seconds=2)
    with Node("kitchen", home=home, mdns=False, listen=f"127.0.0.1:{port}", open=True) as again:
        assert types(again) == ["before"]
    told, complaints = program.end()

    assert told["theirs"].startswith(f"a node ran in {home} when this process was forked")
    assert complaints == ""


def test_a_child_runs_a_node_of_its_own_in_another_home(tmp_path: Path) -> None:
    program = Forking("thread", tmp_path, 0, "starts")

    told = program.told("own", "node")
    _, complaints = program.end()

    assert told["theirs"].startswith(f"a node runs in {tmp_path} already (process {program.process.pid}): stop it with")
    assert (told["own"], complaints) == ("no error", "")


def without_warning(complaints: str) -> str:
    """What stands on standard error, but for the line of each open node."""
    return complaints.replace(f"{OPEN_LINK}\n", "")


def run(code: str) -> str:
    """What a program prints; it has nothing to complain of."""
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=True,
    )
    assert without_warning(done.stderr) == ""
    return done.stdout


def test_a_fork_waits_until_sqlite_is_at_rest() -> None:
    code = """
import asyncio, os, threading
from mesh.actors.thread_disk import ThreadDisk
from peers.stores.runs.memory import MemoryRunStore

order, begun = [], threading.Event()
disk = ThreadDisk(asyncio.new_event_loop(), MemoryRunStore())
disk.run(lambda store: (begun.set(), threading.Event().wait(0.2), order.append("worked")))
begun.wait()
if not os.fork():
    os._exit(0)
print(order, flush=True)
os._exit(0)
"""

    assert run(code) == "['worked']\n"  # else one child in fifty waits for ever when it uses SQLite


def test_a_fork_waits_for_work_that_waits_for_inner_work() -> None:
    code = """
import os, threading
from mesh.forking import work_lock

inner = [work_lock(is_inner=True) for _ in range(20)]
outer = work_lock()
begun = threading.Event()

def work():
    with outer:
        begun.set()
        threading.Event().wait(0.2)  # the fork waits meanwhile
        for lock in inner:
            with lock:
                pass

thread = threading.Thread(target=work)
thread.start()
begun.wait()
if not os.fork():
    os._exit(0)
thread.join()
print(os.wait()[1])
"""

    assert run(code) == "0\n"


def test_a_fork_while_checkpoints_run_harms_neither_process(tmp_path: Path) -> None:
    code = f"""
import asyncio, os
from mesh.actors.thread_disk import ThreadDisk
from mesh.forking import work_lock
from peers.events.entry import Entry
from peers.events.signature import KeySigner
from peers.stores.sqlite import checkpointer
from peers.stores.run_store import Pen
from peers.stores.runs.sqlite.store import SqliteRunStore

checkpointer.CHECKPOINT_ROWS, checkpointer.CHECKPOINT_BYTES = 100, 10_000
CHILDREN, EACH = 20, 30
PEN = Pen(KeySigner.from_seed(bytes(32)), lambda: bytes(16), "a")

def add(store, ms):
    store.append([Entry((ms, "a", 0), ms, b'{{"type":"a"}}')], PEN)

async def main():
    store = SqliteRunStore({str(tmp_path / "log.db")!r}, checkpoint_lock=work_lock(is_inner=True))
    disk = ThreadDisk(asyncio.get_running_loop(), store)
    for child in range(CHILDREN):
        laters = [disk.run(lambda store, ms=child * EACH + n: add(store, ms)) for n in range(EACH)]
        await laters[child]
        if not os.fork():
            other = SqliteRunStore({str(tmp_path)!r} + "/" + str(child))
            other.open()
            with other.transaction():
                add(other, 1)
            other.close()
            os._exit(0)
        assert os.wait()[1] == 0
        await laters[-1]
    print(await disk.run(lambda store: store.state.events))
    await disk.close()

asyncio.run(main())
"""

    assert run(code) == "600\n"


def test_a_node_that_did_not_run_can_be_started_after_the_fork(tmp_path: Path) -> None:
    code = f"""
import os
from mesh import Node

node = Node("kitchen", home={str(tmp_path)!r}, mdns=False, listen="127.0.0.1:0", open=True)
if os.fork():
    os.wait()
else:
    with node:
        print(node.log.add({{"type": "a"}}).get(10)["added"])
"""

    assert run(code) == "1\n"


def test_a_child_that_a_listener_forked_ends_with_the_listener(tmp_path: Path) -> None:
    code = f"""
import os, threading
from mesh import Node

forked, children = threading.Event(), []

def fork(event, meta):
    child = os.fork()
    if child:
        children.append(child)
        forked.set()

with Node("kitchen", home={str(tmp_path)!r}, mdns=False, listen="127.0.0.1:0", open=True) as node:
    node.log.on("event", fork)
    node.log.add({{"type": "a"}}).get(10)
    forked.wait(10)
    print(os.waitpid(children[0], 0)[1], len(list(node.log.each())))
"""

    assert run(code) == "0 1\n"


def test_a_home_in_use_is_named_with_its_process(tmp_path: Path, study: Node) -> None:
    with pytest.raises(MeshError, match=rf"a node runs in .*study already \(process {os.getpid()}\): stop it with"):
        Node("again", home=study.home, open=True, mdns=False).start()
