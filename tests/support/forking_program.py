"""A program with a node, which forks. Arguments: `HOW HOME PORT WHAT`. It prints what happened as JSON lines.

HOW is `thread` (the node has a loop of its own) or `loop` (it runs on the program's loop); PORT is where another node
listens, 0 for none; WHAT is what the child does: `calls` the node, `starts` a node of its own, or `stays` until standard input
ends. With `mdns` as a last argument the node looks for others.
"""

from __future__ import annotations

import asyncio
import json
import multiprocessing
import os
import signal
import socket
import stat
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from mesh import MeshError, Node, View, ViewState

HOW, HOME, PORT, WHAT = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]), sys.argv[4]
DEADLINE = 10.0
PROCESS_SECONDS = 20
"""What takes longer is ended by the system."""


def tell(**what: Any) -> None:
    os.write(1, json.dumps(what).encode() + b"\n")


def network_sockets() -> int:
    """How many this process has open."""
    found = 0
    for name in Path("/dev/fd").iterdir():
        try:
            is_socket = stat.S_ISSOCK(os.fstat(int(name.name)).st_mode)
        except OSError:
            continue  # the one that listed them
        if is_socket:
            with socket.socket(fileno=os.dup(int(name.name))) as copy:
                found += copy.family != socket.AF_UNIX
    return found


def outcome(call: Callable[[], Any]) -> str:
    began = time.monotonic()
    try:
        call()
    except MeshError as error:
        return str(error) if time.monotonic() - began < 1 else f"late: {error}"
    return "no error"


def new_node(name: str, home: Path) -> Node:
    return Node(name, home=home, mdns=False, listen="127.0.0.1:0", open=True)


def calls(node: Node) -> None:
    tell(
        sockets=network_sockets(),
        add=outcome(lambda: node.log.add({"type": "ghost"})),
        add_batch=outcome(lambda: node.log.add_batch([({"type": "ghost"}, None)])),
        each=outcome(node.log.each),
        follow=outcome(node.log.follow),
        page=outcome(node.log.page),
        find=outcome(lambda: node.log.find((1, "kitchen", 0))),
        on_event=outcome(lambda: node.log.on("event", print)),
        on_change=outcome(lambda: node.on("change", print)),
        status=outcome(node.status),
        retry=outcome(node.retry),
        start=outcome(node.start),
        stop=outcome(node.stop),
    )


def count(state: ViewState, event: dict[str, Any], meta: dict[str, Any]) -> None:
    state["n"] = state.get("n", 0) + 1


def calls_of(view: View) -> dict[str, str]:
    return {
        "view": outcome(lambda: view["n"]),
        "view_after": outcome(view.after),
        "view_retry": outcome(view.retry),
        "view_on": outcome(lambda: view.on("change", print)),
    }


def starts(node: Node) -> None:
    def start(home: Path) -> None:
        with new_node("child", home) as own:
            own.log.add({"type": "a"}).get(DEADLINE)

    tell(theirs=outcome(lambda: start(HOME)), own=outcome(lambda: start(HOME / "child")))


def stays(node: Node) -> None:
    tell(child=os.getpid())
    sys.stdin.read()
    tell(theirs=outcome(new_node("kitchen", HOME).start))


def fork(node: Node) -> int:
    """The child's process; 0 in it."""
    child = {"calls": calls, "starts": starts, "stays": stays}[WHAT]
    if WHAT == "starts":
        process = multiprocessing.get_context("fork").Process(target=child, args=(node,))
        process.start()
        return process.pid or -1
    pid = os.fork()
    if not pid:
        child(node)
    return pid


def make() -> Node:
    peers = [f"127.0.0.1:{PORT}"] if PORT else ()
    return Node("kitchen", home=HOME, mdns=sys.argv[5:] == ["mdns"], listen="127.0.0.1:0", open="lan", peers=peers)


def run_in_thread() -> None:
    with make() as node:
        node.log.add({"type": "before"}).get(DEADLINE)
        view, walk, follower = node.view("count", count).get(DEADLINE), iter(node.log.each()), node.log.follow()
        next(walk)
        next(follower)
        outcome(node.start)  # it runs already: that changes nothing of what the child has to close
        pid = fork(node)
        if not pid:
            tell(walk=outcome(lambda: list(walk)), following=outcome(lambda: next(follower)), **calls_of(view))
            return
        tell(node=node.port, sockets_of_parent=network_sockets())
        os.waitpid(pid, 0)
        node.log.add({"type": "after"}).get(DEADLINE)
        assert view.after().get(DEADLINE)["n"] == 2
        tell(followed=[next(follower)[0]["type"]])
        sys.stdin.read()


async def run_on_loop() -> None:
    async with make() as node:
        await node.log.add({"type": "before"})
        follower = node.log.follow()
        await anext(follower)
        waiting = asyncio.create_task(follower.next_page())
        await asyncio.sleep(0)
        pid = fork(node)
        if not pid:
            try:
                await waiting
            except MeshError as error:
                tell(waiting=str(error))
            return
        tell(node=node.port, sockets_of_parent=network_sockets())
        await asyncio.to_thread(os.waitpid, pid, 0)
        await node.log.add({"type": "after"})
        tell(followed=[entry.event["type"] for entry in await waiting])
        await asyncio.to_thread(sys.stdin.read)


signal.alarm(PROCESS_SECONDS)
os.register_at_fork(after_in_child=lambda: signal.alarm(PROCESS_SECONDS))
me = os.getpid()
if HOW == "thread":
    run_in_thread()
else:
    asyncio.run(run_on_loop())
if os.getpid() != me:
    tell(left=True)
