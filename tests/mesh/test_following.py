"""How an application follows the log of its node: what was there, then what comes, each event once."""

from __future__ import annotations

import asyncio
import gc
import subprocess
import sys
import threading
import weakref
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from itertools import islice
from pathlib import Path
from typing import Any

import pykka
import pytest

from mesh import MeshError, Node
from mesh.actors.log_keeper import LogKeeper
from mesh.log_walks import Follower
from peers.log import event_log, shown_tail
from peers.stores.store import PAGE_BYTES, StoreError
from tests.support.actor_loop import fail
from tests.support.commands import environment
from tests.support.street import SECONDS, at, wait_until

START_MS = 1_700_000_000_000


def new_node(path: Path) -> Node:
    return Node("kitchen", home=path, mdns=False, listen="127.0.0.1:0", open=True)


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Node]:
    with new_node(tmp_path) as node:
        yield node


def add(node: Node, *types: str, hours: int | None = None) -> list[dict[str, Any]]:
    """Add events, perhaps with a time that many hours after START_MS."""
    given = None if hours is None else {"time": START_MS + hours * 3_600_000}
    metas = node.log.add_batch([({"type": type_}, given) for type_ in types]).get(SECONDS)
    return [meta for meta in metas if isinstance(meta, dict)]


def some(follower: Follower, count: int) -> str:
    return "".join(event["type"] for event, _ in islice(follower, count))


class Reader:
    """A thread that follows, and notes what comes."""

    def __init__(self, follower: Follower) -> None:
        self.found: list[int] = []
        self.types: list[str] = []
        self.errors: list[BaseException] = []
        self._follower = follower
        self.thread = threading.Thread(target=self._read, daemon=True)
        self.thread.start()

    def _read(self) -> None:
        try:
            for event, meta in self._follower:
                self.types.append(event["type"])
                self.found.append(meta["added"])
        except BaseException as error:  # noqa: BLE001 - the test looks at it
            self.errors.append(error)

    def has(self, types: str) -> None:
        wait_until(lambda: "".join(self.types) == types or self.errors, f"{types}, not {self.types}")
        assert self.errors == []

    def has_ended(self) -> None:
        self.thread.join(SECONDS)
        assert not self.thread.is_alive()
        assert self.errors == []


def test_history_comes_first_then_what_is_added_each_once(node: Node) -> None:
    add(node, "a", "b", hours=2)
    reader = Reader(node.log.follow())
    reader.has("ab")

    add(node, "c", hours=1)
    add(node, "d", "e", hours=3)

    reader.has("abcde")
    assert reader.found == [1, 2, 3, 4, 5]


def test_a_coroutine_follows_with_async_for(tmp_path: Path) -> None:
    async def follow() -> list[str]:
        async with new_node(tmp_path) as node:
            await node.log.add({"type": "a"})
            found: list[str] = []
            async for event, _ in node.log.follow():
                found.append(event["type"])
                if len(found) == 5:
                    break
                await node.log.add({"type": "bcdef"[len(found) - 1]})
            return found

    assert asyncio.run(follow()) == list("abcde")


def test_a_program_on_another_loop_follows_too(node: Node) -> None:
    async def follow() -> list[str]:
        found: list[str] = []
        async for event, _ in node.log.follow():
            found.append(event["type"])
            if len(found) == 3:
                break
            node.log.add({"type": "bc"[len(found) - 1]})
        return found

    add(node, "a")
    assert asyncio.run(follow()) == list("abc")


# Where it begins


def test_it_begins_after_an_event_its_meta_or_its_added(node: Node) -> None:
    metas = add(node, "a", "b", "c", "d")
    entry = node.log.find(metas[1]["created"]).get(SECONDS)

    for since in (2, metas[1], entry):
        assert some(node.log.follow(since=since), 2) == "cd"


def test_it_begins_with_what_comes_from_now_on(node: Node) -> None:
    add(node, "a", "b")
    follower = node.log.follow(since=node.log.last_added)

    add(node, "c")

    assert some(follower, 1) == "c"


def test_since_a_time_come_the_events_from_then_on_late_ones_too_but_no_older_one(node: Node) -> None:
    add(node, "a", hours=1)
    add(node, "b", hours=3)
    add(node, "c", hours=0)
    add(node, "d", hours=2)
    moments = [datetime.fromtimestamp(START_MS / 1_000 + 7_200, UTC), START_MS + 7_200_000]
    followers = [node.log.follow(since=moment) for moment in moments]
    assert [some(follower, 2) for follower in followers] == ["bd", "bd"]

    add(node, "e", hours=1)
    add(node, "f", hours=4)
    add(node, "g", hours=2)

    assert [some(follower, 2) for follower in followers] == ["fg", "fg"]


def test_an_age_goes_by_the_clock_of_the_node(node: Node) -> None:
    add(node, "a", hours=0)
    add(node, "b")

    assert some(node.log.follow(since=timedelta(hours=1)), 1) == "b"


def test_what_is_no_beginning_is_refused_with_a_sentence(node: Node) -> None:
    add(node, "a")
    wrong: dict[Any, str] = {
        "1h": "a moment is",
        timedelta(-1): "negative",
        2: "this log ends at 1, so nothing has been read",
    }
    for since, sentence in wrong.items():
        with pytest.raises(ValueError, match=sentence):
            next(node.log.follow(since=since))
    with pytest.raises(ValueError, match="a page goes on after"):
        next(node.log.follow(since={"time": 1}))
    for types in ("shop/sold", 7, [None]):
        with pytest.raises(ValueError, match="type"):
            node.log.follow(types=types)  # type: ignore[arg-type]


# Which types


def test_only_the_events_of_some_types_come(node: Node) -> None:
    add(node, "a", "b", "a/b", "c")
    follower = node.log.follow(types=["b", "c", "none"])
    assert some(follower, 2) == "bc"

    add(node, "a", "ab", "b")

    assert some(follower, 1) == "b"


def test_a_rare_type_is_looked_for_in_steps_and_then_waited_for(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (shown_tail, event_log):
        monkeypatch.setattr(module, "LOOK_EVENTS", 3)
    monkeypatch.setattr("peers.log.shown_tail.TAIL_CHANGES", 4)
    add(node, *"aaaaaaaabaaaaaaaa")
    add(node, *"aaaaaaaaa")
    reader = Reader(node.log.follow(types=["b"]))
    reader.has("b")

    add(node, *"aaaaaaaaaaaba")

    reader.has("bb")
    assert [event["type"] for event, _ in node.log.each(types=["b"], reverse=True)] == ["b", "b"]
    assert [meta["added"] for _, meta in node.log.each(order="added", types=["b"])] == reader.found
    assert len(node.log.page(types=["a"], limit=20).get(SECONDS)) == 20


def test_what_another_node_wrote_before_comes_when_it_arrives(node: Node, tmp_path: Path) -> None:
    options: dict[str, Any] = {"home": tmp_path / "study", "mdns": False, "listen": "127.0.0.1:0", "open": True}
    with Node("study", **options) as alone:
        add(alone, "old", hours=0)
        add(alone, "late", hours=2)
    add(node, "early", hours=3)
    reader = Reader(node.log.follow(since=datetime.fromtimestamp(START_MS / 1_000 + 3_600, UTC)))

    with Node("study", peers=[at(node)], **options):
        reader.has("earlylate")

    assert [event["type"] for event, _ in node.log.each()] == ["old", "late", "early"]


# How it ends


def test_close_ends_it_while_it_waits(node: Node) -> None:
    add(node, "a")
    follower = node.log.follow()
    reader = Reader(follower)
    reader.has("a")

    follower.close()

    reader.has_ended()
    add(node, "b")
    assert list(follower) == []


def test_a_second_loop_over_a_follower_that_waits_is_refused(node: Node) -> None:
    add(node, "a")
    follower = node.log.follow()
    reader = Reader(follower)
    reader.has("a")

    with pytest.raises(RuntimeError, match="call `follow` once for each loop"):
        next(follower)

    add(node, "b")
    reader.has("ab")
    follower.close()
    reader.has_ended()


def test_after_close_nothing_more_comes_of_what_was_read(node: Node) -> None:
    add(node, "a", "b")
    follower = node.log.follow()
    assert some(follower, 1) == "a"

    follower.close()
    follower.close()

    assert list(follower) == []


def test_stopping_the_node_ends_it_in_a_thread_without_an_exception(tmp_path: Path) -> None:
    with new_node(tmp_path) as node:
        add(node, "a")
        reader = Reader(node.log.follow())
        never = Reader(node.log.follow(types=["none"]))
        reader.has("a")

    reader.has_ended()
    never.has_ended()


def test_a_stop_that_is_interrupted_ends_it_in_a_thread(tmp_path: Path) -> None:
    """As by a second Ctrl-C: the loop of the node is gone, and answers no more."""
    code = f"""
import asyncio, os, signal, threading
from mesh import Node

node = Node("a", home={str(tmp_path / "home")!r}, listen="127.0.0.1:0", open=True, mdns=False)

async def interrupted():
    os.kill(os.getpid(), signal.SIGINT)
    await asyncio.sleep(60)

node.start()
reader = threading.Thread(target=lambda: list(node.log.follow(since=None)))
reader.start()
node.end = interrupted
try:
    node.stop()
except KeyboardInterrupt:
    reader.join()
    print("ended")
"""

    done = subprocess.run(
        [sys.executable, "-c", code], env=environment(), capture_output=True, text=True, timeout=60, check=False
    )

    assert done.stdout == "ended\n", done.stderr


def test_leaving_the_node_ends_it_in_a_coroutine_without_an_exception(tmp_path: Path) -> None:
    async def follow(node: Node, has_begun: asyncio.Event) -> list[str]:
        found: list[str] = []
        async for event, _ in node.log.follow():
            found.append(event["type"])
            has_begun.set()
        return found

    async def run() -> list[str]:
        has_begun = asyncio.Event()
        async with new_node(tmp_path) as node:
            await node.log.add({"type": "a"})
            task = asyncio.create_task(follow(node, has_begun))
            await has_begun.wait()
        return await asyncio.wait_for(task, SECONDS)

    assert asyncio.run(run()) == ["a"]


def test_one_that_was_not_waiting_when_the_node_stopped_ends_too(tmp_path: Path) -> None:
    with new_node(tmp_path) as node:
        add(node, "a", "b")
        never_asked, follower = node.log.follow(), node.log.follow()
        assert some(follower, 1) == "a"

    assert list(follower) == list(never_asked) == []


def test_without_a_running_node_it_says_so(tmp_path: Path) -> None:
    node = new_node(tmp_path)
    follower = node.log.follow()
    with pytest.raises(StoreError, match="the log is not open"):
        next(follower)
    with node:
        add(node, "a")
        assert some(follower, 1) == "a"
    with pytest.raises(StoreError, match="the log is not open"):
        next(node.log.follow())


def test_a_loop_in_a_listener_would_wait_for_itself_and_is_refused(node: Node) -> None:
    add(node, "a")
    follower = node.log.follow()
    assert some(follower, 1) == "a"
    errors: list[str] = []

    def listen(event: dict[str, Any], _: Any) -> None:
        try:
            next(node.log.follow(since=event["last"]))
        except RuntimeError as error:
            errors.append(str(error))

    node.log.on("event", listen)
    node.log.add({"type": "b", "last": 1}).get(SECONDS)
    node.log.add({"type": "c", "last": 3}).get(SECONDS)

    assert len(errors) == 2
    assert all("would block the event loop" in error for error in errors)


def test_in_a_process_that_was_forked_it_raises(node: Node) -> None:
    add(node, "a")
    waiting = Reader(node.log.follow())
    follower = node.log.follow()
    waiting.has("a")
    assert some(follower, 1) == "a"

    node.log.disown("this is the node of another process")  # as a child does: tests/mesh/test_forking.py forks

    waiting.thread.join(SECONDS)
    assert [str(error) for error in waiting.errors] == ["this is the node of another process"]
    with pytest.raises(MeshError):
        next(follower)
    node.log.disown("")


# What it leaves alone


def test_a_loop_that_was_left_goes_on_with_the_next_event(node: Node) -> None:
    add(node, "a", "b")
    follower = node.log.follow()
    for _ in follower:
        break

    add(node, "c")

    assert some(follower, 2) == "bc"


def test_one_that_was_left_holds_nothing(node: Node) -> None:
    add(node, "a", "b")
    follower = node.log.follow()
    for _ in follower:
        break
    left = weakref.ref(follower)
    del follower

    assert left() is None


def test_a_wait_that_is_cancelled_loses_nothing_and_holds_nothing(node: Node) -> None:
    async def follow() -> tuple[str, weakref.ref[Follower]]:
        follower = node.log.follow()
        found = ""
        for type_ in "abcde":
            waiting = asyncio.ensure_future(follower.next_page())
            await asyncio.sleep(0)
            waiting.cancel()
            added = node.log.add({"type": type_})  # before it knows that it is cancelled
            with suppress(asyncio.CancelledError):
                await waiting
            await added
            found += (await anext(follower))[0]["type"]
        return found, weakref.ref(follower)

    found, left = asyncio.run(follow())

    assert found == "abcde"
    gc.collect()  # the traceback of a task that was cancelled
    assert left() is None


def test_a_slow_one_does_not_delay_others_and_reads_a_page_at_a_time(node: Node) -> None:
    text = "x" * 100_000
    follower = node.log.follow()
    node.log.add({"type": "a", "text": text}).get(SECONDS)
    next(follower)

    for _ in range(20):
        node.log.add({"type": "b", "text": text}).get(SECONDS)

    async def sizes() -> list[int]:
        found: list[int] = []
        while sum(found) < 20 * len(text):
            found.append(sum(entry.size for entry in await follower.next_page()))
        return found

    assert max(asyncio.run(sizes())) <= PAGE_BYTES


def test_an_event_that_was_cleaned_before_its_turn_does_not_come(node: Node) -> None:
    add(node, "a")
    follower = node.log.follow()
    assert some(follower, 1) == "a"
    add(node, "b")
    node.log.add({"type": "c"}, {"reasons": ["cart"]}).get(SECONDS)

    node.log.clean(reasons="log").get(SECONDS)

    assert some(follower, 1) == "c"


# While the log fails


def test_a_log_that_restarts_after_a_failure_loses_and_repeats_nothing(node: Node) -> None:
    restarts: list[str] = []
    node.on("change", lambda notice: restarts.append(notice.kind) if notice.kind == "restarted" else None)
    add(node, "a")
    reader = Reader(node.log.follow())
    late = node.log.follow()
    assert some(late, 1) == "a"
    reader.has("a")

    for number, type_ in enumerate("bcd"):
        kill_keeper()
        wait_until(lambda number=number: len(restarts) > number, "the restart")
        wait_until(lambda type_=type_: is_added(node, type_), "the log is open again")

    reader.has("abcd")
    assert some(late, 3) == "bcd"
    assert reader.found == [1, 2, 3, 4]


def kill_keeper() -> None:
    (keeper,) = pykka.ActorRegistry.get_by_class(LogKeeper)
    keeper.tell_to(fail)  # type: ignore[attr-defined]


def is_added(node: Node, type_: str) -> bool:
    try:
        return bool(add(node, type_))
    except StoreError:
        return False


def test_what_is_added_while_the_log_fails_comes_as_it_stands_on_disk(node: Node) -> None:
    readers = [Reader(node.log.follow()), Reader(node.log.follow(types=["b"]))]
    results: list[Callable[[], Any]] = []
    for number in range(300):
        results += [node.log.add({"type": "ab"[number % 2]}).get]
        if number == 150:
            kill_keeper()
    for result in results:
        try:
            result(SECONDS)
        except StoreError:  # it may be in the log or not
            continue
    wait_until(lambda: is_added(node, "end"), "the log is open again")
    add(node, "b")

    there = [(meta["added"], event["type"]) for event, meta in node.log.each(order="added")]
    wait_until(lambda: all(there[-1][0] in reader.found for reader in readers), "the last one")
    assert readers[0].found == [added for added, _ in there]
    assert readers[1].found == [added for added, type_ in there if type_ == "b"]
