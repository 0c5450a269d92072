"""Followers of a log whose keeper fails, whatever they do meanwhile; and what they get of copies that differ."""

from __future__ import annotations

import asyncio
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mesh.actors.log_keeper import LogKeeper
from mesh.actors.runtime.loop_actor import LoopActorRef
from mesh.log_walks import Follower
from peers.stores.run_store import RunStore
from peers.stores.runs.memory import MemoryRunStore
from peers.stores.store import StoreError
from tests.mesh.actors.test_log_keeper import Cellar, SlowStore, cellar  # noqa: F401
from tests.support.actor_loop import DEADLINE_SECONDS, ActorLoop, fail, wait_until
from tests.support.run_house import Writer, pieces_for, put, two_that_differ

STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("add"), st.text("abc", min_size=1, max_size=6)),
        st.tuples(st.just("fail"), st.text("abc", max_size=3)),
        st.tuples(st.just("follow"), st.integers(0, 4)),
        st.tuples(st.just("give up"), st.just(0)),
    ),
    max_size=12,
)


class Story:
    """A log that one follower reads on the loop, and another one in the thread of the test."""

    def __init__(self, cellar: Cellar, types: list[str] | None) -> None:  # noqa: F811
        self.cellar = cellar
        self.types = types
        self.keeper: LoopActorRef[LogKeeper] = cellar.open()
        self.followers = [cellar.log.follow(types=types) for _ in range(2)]
        self.found: list[list[Any]] = [[], []]

    def add(self, types: str) -> None:
        self.cellar.log.add_batch([({"type": type_}, None) for type_ in types]).get(DEADLINE_SECONDS)

    def fail(self, types: str) -> None:
        """With adds under way: what becomes of them is open."""
        waiting = [self.cellar.log.add({"type": type_}) for type_ in types]
        self.keeper.tell_to(fail)
        wait_until(lambda: not self.keeper.is_alive() and all(later.is_done for later in waiting))
        self.keeper = self.cellar.open()

    def there(self) -> list[tuple[int, str]]:
        """What a follower has to get."""
        entries = self.cellar.log.page(order="added").get(DEADLINE_SECONDS)
        found = [(entry.added, entry.event["type"]) for entry in entries]
        return [item for item in found if self.types is None or item[1] in self.types]

    def follow(self, count: int) -> None:
        """At most so many events, as far as there are more."""
        for follower, found, is_on_loop in zip(self.followers, self.found, (True, False), strict=True):
            more = min(count, len(self.there()) - len(found))
            found.extend(
                self.cellar.actor_loop.run(take_on_loop(follower, more)) if is_on_loop else take_here(follower, more)
            )

    def give_up(self, _: int) -> None:
        """Begin to wait for the next one, and cancel that."""

        async def wait() -> list[Any]:
            waiting = asyncio.ensure_future(take_on_loop(self.followers[0], 1))
            for _ in range(3):
                await asyncio.sleep(0)
            waiting.cancel()
            try:
                return await waiting
            except asyncio.CancelledError:
                return []

        self.found[0] += self.cellar.actor_loop.run(wait())


async def take_on_loop(follower: Follower, count: int) -> list[Any]:
    return [_seen(*await anext(follower)) for _ in range(count)]


def take_here(follower: Follower, count: int) -> list[Any]:
    return [_seen(*each) for each in islice(follower, count)]


def _seen(event: dict[str, Any], meta: dict[str, Any]) -> tuple[int, str]:
    return meta["added"], event["type"]


@given(steps=STEPS, types=st.sampled_from([None, ["a"], ["b", "c"]]))
@settings(max_examples=25, deadline=None)
def test_a_follower_gets_what_is_on_disk_in_order_whenever_the_log_fails_and_whenever_it_gives_up(
    steps: list[tuple[str, Any]], types: list[str] | None
) -> None:
    SlowStore.gate.set()
    with TemporaryDirectory() as folder, ActorLoop() as actor_loop:
        story = Story(Cellar(actor_loop, Path(folder) / "log.sqlite"), types)
        does = {"add": story.add, "fail": story.fail, "follow": story.follow, "give up": story.give_up}

        for name, value in steps:
            does[name](value)
        story.follow(1_000)

        assert story.found == [story.there()] * 2
        story.cellar.kept.end()
        assert list(story.followers[1]) == []
        story.cellar.end(story.keeper)


def test_another_copy_of_an_event_that_came_does_not_come_again(cellar: Cellar) -> None:  # noqa: F811
    keeper = cellar.open()
    follower = cellar.log.follow()
    better, worse = two_that_differ()
    sources: list[RunStore] = []
    for number, copy in enumerate((worse, better), 2):
        source = MemoryRunStore()
        source.open()
        put(source, Writer(number), copy)
        sources.append(source)

    def take(source: RunStore) -> None:
        pieces = pieces_for(source, {})
        cellar.kept.write(lambda store: [store.take(pieces)]).get(DEADLINE_SECONDS)

    take(sources[0])
    before = take_here(follower, 1)
    take(sources[1])
    cellar.log.add({"type": "next"}).get(DEADLINE_SECONDS)

    assert before == [(1, worse.event["type"])]
    assert take_here(follower, 1) == [(2, "next")]
    assert cellar.types() == [better.event["type"], "next"]
    assert take_here(cellar.log.follow(), 1) == [(1, better.event["type"])]
    cellar.end(keeper)


def test_an_error_of_the_disk_reaches_the_loop_and_the_next_loop_goes_on(cellar: Cellar) -> None:  # noqa: F811
    keeper = cellar.open()
    cellar.log.add_batch([({"type": "a"}, None), ({"type": "b"}, None)]).get(DEADLINE_SECONDS)
    cellar.end(keeper)
    keeper = cellar.open()  # now nothing is in memory
    follower = cellar.log.follow()

    class Broken(StoreError):
        pass

    def look(*_: Any, **__: Any) -> Any:
        raise Broken("the disk cannot be read")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(SlowStore, "look", look)
        with pytest.raises(Broken):
            next(follower)
    assert take_here(follower, 2) == [(1, "a"), (2, "b")]
    cellar.end(keeper)
