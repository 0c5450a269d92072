"""Listeners by event name."""

from __future__ import annotations

import gc
import sys
import threading
from typing import Any

import pytest

from peers.clock import Undo
from peers.emitter import Emitter


@pytest.fixture
def emitter() -> Emitter:
    return Emitter()


def test_calls_listeners_in_the_order_in_which_they_came(emitter: Emitter) -> None:
    seen: list[Any] = []
    emitter.on("a", lambda *args: seen.append(("first", args)))
    emitter.on("a", lambda *args: seen.append(("second", args)))

    emitter.emit("a", 1, 2)
    emitter.emit("b", 3)

    assert seen == [("first", (1, 2)), ("second", (1, 2))]


def test_one_function_may_listen_twice(emitter: Emitter) -> None:
    seen: list[int] = []
    undo = emitter.on("a", seen.append)
    emitter.on("a", seen.append)

    emitter.emit("a", 1)
    undo()
    undo()
    emitter.emit("a", 2)

    assert seen == [1, 1, 2]


def test_once_is_once(emitter: Emitter) -> None:
    seen: list[int] = []
    emitter.once("a", seen.append)

    emitter.emit("a", 1)
    emitter.emit("a", 2)

    assert seen == [1]
    assert not emitter.has_listeners("a")


def test_once_is_once_even_if_it_emits_itself(emitter: Emitter) -> None:
    seen: list[int] = []

    def again(number: int) -> None:
        seen.append(number)
        emitter.emit("a", number + 1)

    emitter.once("a", again)
    emitter.emit("a", 1)

    assert seen == [1]


def test_once_can_be_undone(emitter: Emitter) -> None:
    seen: list[int] = []

    emitter.once("a", seen.append)()
    emitter.emit("a", 1)

    assert seen == []


def test_a_listener_removed_during_an_emit_is_not_called_any_more(emitter: Emitter) -> None:
    seen: list[str] = []
    undos: list[Undo] = []
    emitter.on("a", lambda: [undo() for undo in undos])
    undos.append(emitter.on("a", lambda: seen.append("late")))

    emitter.emit("a")

    assert seen == []


def test_a_listener_added_during_an_emit_is_called_at_the_next(emitter: Emitter) -> None:
    seen: list[str] = []
    emitter.once("a", lambda: emitter.on("a", lambda: seen.append("new")))

    emitter.emit("a")
    assert seen == []
    emitter.emit("a")

    assert seen == ["new"]


def test_a_listener_that_fails_does_not_stop_the_others(emitter: Emitter) -> None:
    seen: list[int] = []

    def fail(_: int) -> None:
        raise KeyError("mine")

    emitter.on("a", fail)
    emitter.on("a", seen.append)

    with pytest.raises(KeyError, match="mine"):
        emitter.emit("a", 1)
    assert seen == [1]


def test_clear_removes_all_listeners(emitter: Emitter) -> None:
    seen: list[int] = []
    undo = emitter.on("a", seen.append)

    emitter.clear()
    undo()
    emitter.emit("a", 1)

    assert seen == []
    assert not emitter.has_listeners("a")


def test_clear_during_an_emit_stops_it(emitter: Emitter) -> None:
    seen: list[str] = []
    emitter.on("a", emitter.clear)
    emitter.on("a", lambda: seen.append("late"))

    emitter.emit("a")

    assert seen == []


def test_knows_whether_an_event_has_listeners(emitter: Emitter) -> None:
    assert not emitter.has_listeners("a")
    undo = emitter.on("a", print)
    assert emitter.has_listeners("a")
    undo()
    assert not emitter.has_listeners("a")


def test_one_that_is_undone_in_between_leaves_the_others_in_order(emitter: Emitter) -> None:
    seen: list[str] = []
    undos = [emitter.on("a", lambda name=name: seen.append(name)) for name in ["first", "second", "third"]]

    undos[1]()
    emitter.on("a", lambda: seen.append("fourth"))
    emitter.emit("a")

    assert seen == ["first", "third", "fourth"]


def test_listeners_that_follow_each_other_leave_nothing_behind(emitter: Emitter) -> None:
    held = undo = emitter.on("a", print)
    before = count_like(held)

    for _ in range(100):
        last, undo = undo, emitter.on("a", print)
        last()

    assert count_like(held) <= before + 2


def test_listeners_may_be_added_and_undone_in_any_thread() -> None:
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        for _ in range(100):
            emitter, seen, begin = Emitter(), list[object](), threading.Barrier(4)
            emitter.on("a", seen.append)
            threads = [threading.Thread(target=listen, args=(emitter, seen, begin)) for _ in range(4)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            emitter.emit("a", 1)
            assert len(seen) == 81
    finally:
        sys.setswitchinterval(interval)


def listen(emitter: Emitter, seen: list[object], begin: threading.Barrier) -> None:
    begin.wait()
    for _ in range(20):
        emitter.on("a", print)()
        emitter.on("a", seen.append)


def count_like(one: object) -> int:
    gc.collect()
    return sum(type(other) is type(one) for other in gc.get_objects())
