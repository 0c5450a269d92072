"""Children: what a supervisor does with what it started."""

from __future__ import annotations

from random import Random
from typing import Any

import pytest

from mesh.actors.children import CHILD_ANSWER_SECONDS, MAX_FAILURES, SESSIONS_CLOSE_SECONDS, Children
from mesh.actors.environment import Environment
from mesh.actors.runtime.loop_actor import LoopActor, LoopActorRef
from mesh.actors.runtime.mailbox import Runtime
from mesh.discovery.static import StaticDiscovery
from mesh.lab.simulation.virtual_loop import VirtualLoop
from peers.clock import LoopClock
from peers.events.signature import KeySigner
from peers.later import Later
from peers.limits import LimitHits
from tests.support.actor_loop import fail


class Child(LoopActor):
    """Opens, answers and closes as the test says."""

    def __init__(self, runtime: Runtime, answer: Any = "here", *, is_broken: bool = False) -> None:
        super().__init__(runtime)
        self._answer = answer
        self._is_broken = is_broken
        self.is_closed = False

    def open(self) -> str:
        if self._is_broken:
            raise OSError("it cannot be opened")
        return "open"

    def describe(self) -> Any:
        return self._answer

    def close(self) -> Later[None]:
        self.is_closed = True
        return Later.done(None)


class Nursery:
    """Children of a supervisor that runs what is deferred at once, in virtual time."""

    def __init__(self) -> None:
        self.loop = VirtualLoop(1)
        self.said: list[str] = []
        self.runtime = Runtime(self.loop)
        environment = Environment(
            runtime=self.runtime,
            clock=LoopClock(self.loop),
            random=Random(1),
            signer=KeySigner.from_seed(bytes(32)),
            network=None,  # type: ignore[arg-type]
            spawn=None,  # type: ignore[arg-type]
            open_disk=None,  # type: ignore[arg-type]
            discovery=StaticDiscovery,
            hits=LimitHits(LoopClock(self.loop)),
        )
        self.children: Children[Child] = Children(
            environment, lambda function, *args: function(*args), lambda notice: self.said.append(notice.sentence)
        )

    def start(self, *args: Any, **options: Any) -> LoopActorRef[Child]:
        return Child.start(self.runtime, *args, **options)

    def run(self, work: Any) -> Any:
        task = self.loop.create_task(work)
        assert self.loop.run_until(task.done, 60)
        return task.result()


@pytest.fixture
def nursery() -> Any:
    nursery = Nursery()
    yield nursery
    nursery.children.stop()
    nursery.loop.run_for(1)
    nursery.loop.close()


def test_a_service_that_opens_is_kept(nursery: Nursery) -> None:
    ref = nursery.start()

    assert nursery.run(nursery.children.open("door", ref, ref.ask_to(Child.open))) == "open"

    assert nursery.children.services == {"door": ref}


def test_a_service_that_cannot_be_opened_is_stopped(nursery: Nursery) -> None:
    ref = nursery.start(is_broken=True)

    with pytest.raises(OSError, match="it cannot be opened"):
        nursery.run(nursery.children.open("door", ref, ref.ask_to(Child.open)))

    assert not ref.is_alive()
    assert nursery.children.services == {}


def test_a_child_that_is_dead_or_too_slow_has_no_answer_and_does_not_delay_the_others(nursery: Nursery) -> None:
    dead = nursery.start()
    nursery.children.sessions = {
        "quick": nursery.start("quick"),
        "slow": nursery.start(Later()),
        "slow too": nursery.start(Later()),
        "dead": dead,
    }
    dead.tell_to(fail)
    began = nursery.loop.time()

    answers = nursery.run(nursery.children.ask_sessions(Child.describe))

    assert answers == {"quick": "quick", "slow": None, "slow too": None, "dead": None}
    assert nursery.loop.time() - began <= 2 * CHILD_ANSWER_SECONDS + 0.1


def test_what_fails_is_restarted_after_a_delay_and_paused_when_it_keeps_failing(nursery: Nursery) -> None:
    restarts: list[float] = []

    outcomes = [
        nursery.children.on_failed("door", "a bug", lambda: restarts.append(nursery.loop.time()), name="the door")
        for _ in range(6)
    ]
    nursery.loop.run_for(60)

    assert outcomes == [True] * 5 + [False]
    assert len(restarts) == 5
    assert min(restarts) > 0
    assert nursery.said == ["paused the door after too many failures: a bug; `mesh retry` starts it again"]
    assert nursery.children.forgive() == ["door"]
    assert not nursery.children.failures.is_paused("door")


def test_nothing_is_restarted_once_the_supervisor_ends(nursery: Nursery) -> None:
    restarts: list[None] = []
    nursery.children.on_failed("door", "a bug", lambda: restarts.append(None))

    nursery.children.is_ending = True
    nursery.loop.run_for(60)

    assert restarts == []


def test_failures_of_the_oldest_are_forgotten_when_there_are_too_many(nursery: Nursery) -> None:
    for number in range(MAX_FAILURES + 1):
        nursery.children.on_failed(f"user {number}", "a bug", None)

    assert len(nursery.children.failures) == MAX_FAILURES
    assert "user 0" not in nursery.children.failures


def test_waits_until_all_sessions_have_ended(nursery: Nursery) -> None:
    children = nursery.children

    def end(name: str) -> None:
        children.sessions[name].stop(block=False)
        children.forget(name)

    children.sessions = {name: nursery.start() for name in ("one", "two")}
    children.is_ending = True
    for number, name in enumerate(("one", "two")):
        nursery.loop.call_later(number, end, name)
    began = nursery.loop.time()

    nursery.run(children.until_closed())

    assert nursery.loop.time() - began == pytest.approx(1, abs=0.1)
    assert nursery.said == []


def test_says_so_when_a_session_does_not_end(nursery: Nursery) -> None:
    nursery.children.sessions = {"one": nursery.start()}
    nursery.children.is_ending = True

    nursery.run(nursery.children.until_closed())

    assert nursery.said == [f"some sessions did not close within {SESSIONS_CLOSE_SECONDS:.0f} s"]
