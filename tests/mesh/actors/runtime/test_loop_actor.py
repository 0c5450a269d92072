"""What Pykka documents of actors: on a LoopActor, from its loop and from a thread, as on a ThreadingActor."""

from __future__ import annotations

import gc
import threading
import weakref
from collections.abc import Iterator
from typing import Any

import pykka
import pytest

from mesh.actors.runtime.loop_actor import LoopActor
from tests.support.actor_loop import DEADLINE_SECONDS, PLACES, ActorLoop, Noter, Place, wait_until


@pytest.fixture(params=PLACES)
def place(request: pytest.FixtureRequest) -> Iterator[Place]:
    base, is_on_loop = PLACES[request.param]
    with ActorLoop() as actor_loop:
        yield Place(actor_loop, base, is_on_loop=is_on_loop)


def test_answers_an_ask(place: Place) -> None:
    ref = place.start(Noter, record=[])

    answer = place.ask(ref, "question")

    assert answer == ("got", "question")
    assert place.stop(ref) is True


def test_takes_messages_in_order_after_on_start_and_stops_after_them(place: Place) -> None:
    record: list[Any] = []
    ref = place.start(Noter, record=record)

    place.do(lambda: [ref.tell(number) for number in range(200)])
    place.stop(ref)

    assert record == ["start", *range(200), "stop"]


def test_takes_what_was_told_in_the_constructor_after_on_start(place: Place) -> None:
    class Eager(Noter):
        def __init__(self, *arguments: Any) -> None:
            super().__init__(*arguments)
            self.actor_ref.tell("early")  # type: ignore[attr-defined]

    record: list[Any] = []
    ref = place.start(Eager, record=record)
    place.stop(ref)

    assert record == ["start", "early", "stop"]


def test_a_failure_under_ask_goes_to_the_asker_and_the_actor_lives_on(place: Place) -> None:
    record: list[Any] = []
    ref = place.start(Noter, record=record)

    with pytest.raises(ValueError, match="as told"):
        place.ask(ref, "fail")

    assert place.ask(ref, "more") == ("got", "more")
    place.stop(ref)
    assert record == ["start", "fail", "more", "stop"]


def test_a_failure_under_tell_calls_on_failure_and_not_on_stop(place: Place) -> None:
    record: list[Any] = []
    ref = place.start(Noter, record=record)

    place.do(lambda: ref.tell("fail"))
    wait_until(lambda: len(record) == 3)

    assert record == ["start", "fail", ("failure", ValueError, "as told", True)]
    assert not ref.is_alive()
    assert pykka.ActorRegistry.get_by_urn(ref.actor_urn) is None


def test_a_failure_in_on_failure_harms_no_other_actor(place: Place) -> None:
    class Clumsy(Noter):
        def on_failure(self, kind: Any, error: Any, traceback: Any) -> None:
            raise KeyError("once more")

    ref, other = place.start(Clumsy, record=[]), place.start(Noter, record=[])

    place.do(lambda: ref.tell("fail"))

    wait_until(lambda: not ref.is_alive())
    assert place.ask(other, "well?") == ("got", "well?")
    place.stop(other)


def test_a_failure_in_on_start_kills_the_actor_and_calls_no_hook(place: Place) -> None:
    class Stillborn(Noter):
        def on_start(self) -> None:
            raise ValueError("no")

    record: list[Any] = []
    ref = place.start(Stillborn, record=record)

    with pytest.raises(pykka.ActorDeadError):
        place.ask(ref, "ping")

    assert record == []
    assert not ref.is_alive()


def test_a_failure_in_on_stop_still_stops_the_actor(place: Place) -> None:
    class Grudging(Noter):
        def on_stop(self) -> None:
            raise ValueError("no")

    ref = place.start(Grudging, record=[])

    assert place.stop(ref) is True
    assert not ref.is_alive()


def test_the_second_stop_is_false(place: Place) -> None:
    ref = place.start(Noter, record=[])

    assert place.stop(ref) is True
    assert place.stop(ref) is False


def test_a_stop_behind_a_stop_is_true(place: Place) -> None:
    class Twice(Noter):
        def on_receive(self, message: Any) -> Any:
            return [self.actor_ref.stop(block=False) for _ in range(2)]  # type: ignore[attr-defined]

    ref = place.start(Twice, record=[])

    stops = place.ask(ref, "go")

    assert [place.result(one.join) for one in stops] == [[True]] * 2


def test_an_actor_can_stop_itself(place: Place) -> None:
    class Shy(Noter):
        def on_receive(self, message: Any) -> str:
            self.stop()  # type: ignore[attr-defined]
            return "bye"

    record: list[Any] = []
    ref = place.start(Shy, record=record)

    assert place.ask(ref, "hello") == "bye"
    wait_until(lambda: record == ["start", "stop"])


def test_tell_to_a_dead_actor_raises(place: Place) -> None:
    ref = place.start(Noter, record=[])
    place.stop(ref)

    with pytest.raises(pykka.ActorDeadError):
        place.do(lambda: ref.tell("late"))


def test_ask_to_a_dead_actor_raises_when_the_answer_is_looked_at(place: Place) -> None:
    ref = place.start(Noter, record=[])
    place.stop(ref)

    answer = place.do(lambda: ref.ask("late", block=False))

    with pytest.raises(pykka.ActorDeadError):
        place.result(lambda: answer)


def test_a_blocking_ask_to_a_dead_actor_raises_everywhere(place: Place) -> None:
    ref = place.start(Noter, record=[])
    place.stop(ref)

    with pytest.raises(pykka.ActorDeadError):
        place.do(lambda: ref.ask("late"))
    assert place.do(ref.stop) is False


def test_messages_behind_a_stop_are_not_handled_and_asks_among_them_get_an_error(place: Place) -> None:
    class Stopping(Noter):
        def on_receive(self, message: Any) -> Any:
            self.stop()  # type: ignore[attr-defined]
            return [self.actor_ref.ask("late", block=False), self.actor_ref.tell("later")]  # type: ignore[attr-defined]

    record: list[Any] = []
    ref = place.start(Stopping, record=record)
    late, _ = place.ask(ref, "go")

    with pytest.raises(pykka.ActorDeadError):
        place.result(lambda: late)
    assert record == ["start", "stop"]


def test_an_actor_is_dead_to_itself_in_on_stop(place: Place) -> None:
    class Late(Noter):
        def on_stop(self) -> None:
            try:
                self.actor_ref.tell("too late")  # type: ignore[attr-defined]
            except pykka.ActorDeadError:
                self.record.append("refused")

    record: list[Any] = []
    place.stop(place.start(Late, record=record))

    assert record == ["start", "refused"]


def test_a_proxy_calls_methods(place: Place) -> None:
    ref = place.start(Noter, record=[])
    proxy = ref.proxy()

    assert place.result(lambda: proxy.double(3, plus=1)) == 7
    with pytest.raises(ValueError, match="as called"):
        place.result(proxy.fail)
    place.stop(ref)


def test_a_proxy_reads_and_writes_attributes(place: Place) -> None:
    ref = place.start(Noter, record=[])
    proxy = ref.proxy()

    proxy.colour = "red"

    assert place.result(lambda: proxy.colour) == "red"
    place.stop(ref)


def test_a_deferred_proxy_call_fails_the_actor(place: Place) -> None:
    record: list[Any] = []
    ref = place.start(Noter, record=record)
    proxy = ref.proxy()

    place.do(proxy.fail.defer)

    wait_until(lambda: len(record) == 2)
    assert record[1] == ("failure", ValueError, "as called", True)


def test_a_proxy_of_a_dead_actor_is_refused(place: Place) -> None:
    ref = place.start(Noter, record=[])
    place.stop(ref)

    with pytest.raises(pykka.ActorDeadError):
        ref.proxy()


def test_a_traversable_attribute_is_reached_through_a_proxy(place: Place) -> None:
    class Radio:
        def play(self) -> str:
            return "music"

    ref = place.start(Noter, record=[], radio=pykka.traversable(Radio()))

    proxy = ref.proxy()

    assert place.result(proxy.radio.play) == "music"
    place.stop(ref)


def test_an_answered_future_is_a_plain_value(place: Place) -> None:
    class Forwarder(Noter):
        def on_receive(self, message: Any) -> Any:
            future: Any = self._create_future()  # type: ignore[attr-defined]
            future.set(message)
            return future

    ref = place.start(Forwarder, record=[])

    inner = place.ask(ref, "inner")

    assert isinstance(inner, pykka.Future)
    assert inner.get() == "inner"
    place.stop(ref)


def test_the_registry_lists_the_actors_that_live(place: Place) -> None:
    ref = place.start(Noter, record=[])

    assert pykka.ActorRegistry.get_by_urn(ref.actor_urn) is ref
    assert pykka.ActorRegistry.get_by_class_name("Noter") == [ref]
    assert pykka.ActorRegistry.get_by_class(place.base) == [ref]
    place.stop(ref)
    assert pykka.ActorRegistry.get_all() == []


def test_a_broadcast_reaches_all_actors(place: Place) -> None:
    records: list[list[Any]] = [[], []]
    refs = [place.start(Noter, record=record) for record in records]

    place.do(lambda: pykka.ActorRegistry.broadcast("hear"))
    for ref in refs:
        place.stop(ref)

    assert records == [["start", "hear", "stop"]] * 2


def test_stop_all_without_blocking_stops_all(place: Place) -> None:
    for _ in range(3):
        place.start(Noter, record=[])

    stopped = place.do(lambda: pykka.ActorRegistry.stop_all(block=False))

    assert [place.result(one.join) for one in stopped] == [[True]] * 3
    assert pykka.ActorRegistry.get_all() == []


def test_a_base_exception_stops_every_actor(place: Place) -> None:
    class Alarm(BaseException):
        pass

    class Alarming(Noter):
        def on_receive(self, message: Any) -> Any:
            raise Alarm

    records: list[list[Any]] = [[], []]
    place.start(Noter, record=records[0])
    ref = place.start(Alarming, record=records[1])

    place.do(lambda: ref.tell("go"))

    wait_until(lambda: records == [["start", "stop"]] * 2 and not pykka.ActorRegistry.get_all())
    if place.base is LoopActor:
        wait_until(lambda: bool(place.actor_loop.errors))
        assert isinstance(place.actor_loop.errors.pop(), Alarm)


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda future: future.map(sum), 6),
        (lambda future: future.filter(lambda number: number > 1), [2, 3]),
        (lambda future: future.reduce(lambda left, right: left * right), 6),
        (lambda future: future.reduce(lambda left, right: left * right, 10), 60),
        (lambda future: future.join(future.map(len)), [[1, 2, 3], 3]),
        (lambda future: future.map(len).map(str).map(len), 1),
    ],
)
def test_answers_can_be_transformed_before_they_are_there(place: Place, change: Any, expected: Any) -> None:
    class Counting(Noter):
        def on_receive(self, message: Any) -> Any:
            return [1, 2, 3]

    ref = place.start(Counting, record=[])

    answer = place.result(lambda: change(ref.ask("numbers", block=False)))

    assert answer == expected
    place.stop(ref)


def test_many_answers_are_collected(place: Place) -> None:
    ref = place.start(Noter, record=[])

    futures = [ref.ask(number, block=False) for number in range(5)]

    assert pykka.get_all(futures, timeout=DEADLINE_SECONDS) == [("got", number) for number in range(5)]
    place.stop(ref)


def test_a_blocking_ask_and_stop_work_from_a_plain_thread(place: Place) -> None:
    ref = place.start(Noter, record=[])

    assert ref.ask("question", timeout=DEADLINE_SECONDS) == ("got", "question")
    assert ref.stop(timeout=DEADLINE_SECONDS) is True
    assert ref.stop(timeout=DEADLINE_SECONDS) is False


def test_an_ask_times_out(place: Place) -> None:
    inside, release = threading.Event(), threading.Event()

    class Slow(Noter):
        def on_receive(self, message: Any) -> Any:
            inside.set()
            release.wait(DEADLINE_SECONDS)

    ref = place.start(Slow, record=[])

    with pytest.raises(pykka.Timeout):
        ref.ask("question", timeout=0.01)

    release.set()
    ref.stop()


def test_a_dead_actor_is_not_kept_in_memory(place: Place) -> None:
    ref = place.start(Noter, record=[])
    actor = weakref.ref(ref._actor_weakref())
    place.stop(ref)

    def is_gone() -> bool:
        gc.collect()
        return actor() is None

    wait_until(is_gone)
