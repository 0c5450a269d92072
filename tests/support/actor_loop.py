"""An event loop in a thread of its own for tests of LoopActors, and actors that record what happens to them."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from typing import Any, Self

import pykka

from mesh.actors.runtime.loop_actor import LoopActor, Runtime

DEADLINE_SECONDS = 10


class ActorLoop:
    """A loop that runs in a thread. At its end no actor, no task and no error of the loop may be left."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self.errors: list[Any] = []
        self.loop.set_exception_handler(lambda _, context: self.errors.append(context.get("exception")))
        self.thread = threading.Thread(target=self.loop.run_forever)
        self.runtime = Runtime(self.loop)

    def __enter__(self) -> Self:
        self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        left = pykka.ActorRegistry.get_all()
        for ref in left:
            ref.stop(block=True, timeout=DEADLINE_SECONDS)
        try:
            if not self.loop.is_closed():
                wait_until(lambda: self.run(self._count_tasks) == 0)
        finally:
            self.close()
        assert left == []
        assert self.errors == []

    def _count_tasks(self) -> int:
        return len(asyncio.all_tasks()) - 1  # less the one that counts

    def run(self, work: Any) -> Any:
        """Run a coroutine, or call a function, on the loop."""

        async def call() -> Any:
            return work()

        coroutine = work if asyncio.iscoroutine(work) else call()
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop).result(DEADLINE_SECONDS)

    def close(self) -> None:
        if not self.loop.is_closed():
            self.loop.call_soon_threadsafe(self.loop.stop)
            self.thread.join(DEADLINE_SECONDS)
            self.loop.close()


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + DEADLINE_SECONDS
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.001)


def fail(_actor: LoopActor) -> None:
    """`ref.tell_to(fail)`: the actor dies of a bug."""
    raise RuntimeError("a bug")


class Recorder(LoopActor):
    """Answers with the message, and records what happens to it."""

    def __init__(self, runtime: Runtime, record: list[Any] | None = None) -> None:
        super().__init__(runtime)
        self._record: list[Any] = [] if record is None else record

    def on_start(self) -> None:
        self._record.append(("start", asyncio.get_running_loop() is self._runtime.loop))

    def on_stop(self) -> None:
        self._record.append("stop")

    def on_failure(self, kind: Any, error: Any, traceback: Any) -> None:
        self._record.append(("failure", str(error)))

    def on_receive(self, message: Any) -> Any:
        self._record.append(message)
        return message

    def note(self, *words: Any) -> None:
        self._record.append(words)


class Lending(Recorder):
    """Answers with the Later that it gets in a list."""

    def on_receive(self, message: Any) -> Any:
        return message[0] if isinstance(message, list) else message


class Place:
    """Where a test calls actors: on the loop, or in the thread of the test."""

    def __init__(self, actor_loop: ActorLoop, base: type[pykka.Actor], *, is_on_loop: bool) -> None:
        self.actor_loop = actor_loop
        self.base = base
        self.is_on_loop = is_on_loop

    def do(self, function: Callable[[], Any]) -> Any:
        return self.actor_loop.run(function) if self.is_on_loop else function()

    def result(self, make_future: Callable[[], Any]) -> Any:
        async def work() -> Any:
            return await make_future()

        return self.actor_loop.run(work()) if self.is_on_loop else make_future().get(timeout=DEADLINE_SECONDS)

    def start(self, body: type, **attributes: Any) -> Any:
        actor_class: Any = type(body.__name__, (body, self.base), attributes)
        arguments = (self.actor_loop.runtime,) if self.base is LoopActor else ()
        return self.do(lambda: actor_class.start(*arguments))

    def ask(self, ref: Any, message: Any) -> Any:
        return self.result(lambda: ref.ask(message, block=False))

    def stop(self, ref: Any) -> Any:
        return self.result(lambda: ref.stop(block=False))


PLACES: dict[str, tuple[Any, bool]] = {
    "loop actor, from its loop": (LoopActor, True),
    "loop actor, from a thread": (LoopActor, False),
    "threading actor, from a thread": (pykka.ThreadingActor, False),
}


class Noter:
    """The body of an actor of any type: answers each message, and records in `record` what happens to it."""

    record: list[Any]
    colour = "green"

    def on_start(self) -> None:
        self.record.append("start")

    def on_stop(self) -> None:
        self.record.append("stop")

    def on_failure(self, kind: Any, error: Any, traceback: Any) -> None:
        self.record.append(("failure", kind, str(error), traceback is not None))

    def on_receive(self, message: Any) -> Any:
        self.record.append(message)
        if message == "fail":
            raise ValueError("as told")
        return ("got", message)

    def double(self, number: int, *, plus: int = 0) -> int:
        return 2 * number + plus

    def fail(self) -> None:
        raise ValueError("as called")
