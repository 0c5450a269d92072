"""What an application raises in a callback that ends a program elsewhere, as `sys.exit`: in a thread of ours, and on a loop."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import Any

import pytest

from mesh import Node
from mesh.actors.runtime.loop_thread import LoopThread
from tests.support.door_house import House, house

__all__ = ["house"]

SECONDS = 20.0


def node(home: Path, **options: Any) -> Node:
    return Node("till", home=home, open=True, mdns=False, listen="127.0.0.1:0", **options)


def last(state: Any, event: dict[str, Any], meta: dict[str, Any]) -> None:
    state["last"] = event["n"]


def quit_program(*_: Any) -> Any:
    sys.exit(3)


async def quit_later(*_: Any) -> Any:
    sys.exit(3)


@pytest.mark.parametrize("error", [SystemExit(3), KeyboardInterrupt(), asyncio.CancelledError(), GeneratorExit()])
def test_no_listener_ends_the_thread_of_a_node(
    tmp_path: Path, error: BaseException, caplog: pytest.LogCaptureFixture
) -> None:
    called: list[str] = []

    def listener(name: str) -> Any:
        def listen(*_: Any) -> None:
            called.append(name)
            raise error

        return listen

    with node(tmp_path) as till:
        view = till.view("last", last).get(SECONDS)
        for event in "event", "change", "clean":
            till.log.on(event, listener(event))
        view.on("change", listener("view"))
        till.log.add({"type": "a", "n": 1}).then(listener("then"))
        till.log.add({"type": "a", "n": 2}).get(SECONDS)
        assert view.after().get(SECONDS)["last"] == 2
        till.log.keep(listener("keep"))
        with pytest.raises(BaseException) as raised:
            till.log.clean(reasons="log").get(SECONDS)

        meta = till.log.add({"type": "a", "n": 3}).get(SECONDS)
        assert view.after(meta).get(SECONDS)["last"] == 3
        assert till.status().get(SECONDS)["views"][0]["error"] is None

    assert error in (raised.value, raised.value.__cause__)
    assert set(called) == {"event", "change", "view", "then", "keep"}
    assert "a listener of 'event' failed" in caplog.text
    assert type(error).__name__ in caplog.text


def test_a_recovery_code_that_cannot_be_shown_ends_the_start_and_no_more(tmp_path: Path) -> None:
    with pytest.raises(SystemExit), Node("till", home=tmp_path, mdns=False, on_recovery_code=quit_program):
        pass

    with Node("till", home=tmp_path, mdns=False, listen="127.0.0.1:0") as till:
        assert till.log.add({"type": "a"}).get(SECONDS)


def test_a_task_that_exits_does_not_end_the_thread(caplog: pytest.LogCaptureFixture) -> None:
    thread = LoopThread()

    with pytest.raises(SystemExit):
        thread.run(quit_later())

    assert thread.run(asyncio.sleep(0, "alive")) == "alive"
    thread.close()
    assert "SystemExit in a callback does not end the thread of a node" in caplog.text


@pytest.mark.parametrize("leave", [quit_program, quit_later])
def test_a_function_for_clients_that_exits_ends_the_session_of_its_client_only(house: House, leave: Any) -> None:
    def in_filter(event: Any, meta: Any, user: str) -> Any:
        return leave() if user == "ada" else True

    kitchen = house.start(in_filter=in_filter, auth=leave, channels={"stock": leave})
    ada, bob = house.enter("ada:1:a"), house.enter("bob:1:a")

    bob.send("sync", 1, {"type": "logux/subscribe", "channel": "stock"}, bob.meta(0, "bob:1:a"))
    ada.send("sync", 1, {"type": "milk"}, ada.meta(0, "ada:1:a"))
    ada.end()
    assert house.dial("carol").greet("not one")[0] == "error"

    kitchen.log.add({"type": "bread"}, {"channels": ["stock"]}).get(SECONDS)
    assert kitchen.log.last_added == 1


@pytest.mark.parametrize("place", ["event", "view", "keep"])
def test_on_a_loop_of_the_application_it_ends_the_program(
    tmp_path: Path, place: str, caplog: pytest.LogCaptureFixture
) -> None:
    async def run() -> None:
        async with node(tmp_path) as till:
            if place == "view":
                (await till.view("last", last)).on("change", quit_program)
            elif place == "keep":
                till.log.keep(quit_program)
            else:
                till.log.on("event", quit_program)
            await till.log.add({"type": "a", "n": 1})
            await till.log.clean(reasons="log")
            await asyncio.sleep(SECONDS)

    with pytest.raises(SystemExit) as ended:
        asyncio.run(run())

    assert ended.value.code == 3
    assert "Traceback" not in caplog.text
    with node(tmp_path) as till:
        assert till.log.last_added == 1
