"""Whatever happens, and in whatever order, a view is the fold from scratch of all that was ever shown and is not undone."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from mesh.views import feed, keeper, source, undo
from mesh.views.view import View
from peers.events.entry import Entry
from tests.support.neighbour import Author
from tests.support.view_house import ViewHouse, follow, state_of

CREATEDS = 12

steps = st.lists(
    st.one_of(
        st.tuples(st.just("add"), st.integers(1, 5)),
        st.tuples(st.just("late"), st.integers(1, 2_000)),
        st.tuples(st.just("copy"), st.integers(0, CREATEDS), st.integers(1, 3)),
        st.tuples(st.just("undo"), st.integers(0, 200)),
        st.tuples(st.just("undo first"), st.integers(0, CREATEDS)),
        st.tuples(st.just("clean"), st.integers(0, 200)),
        st.tuples(st.just("pass"), st.sampled_from([0.0, 0.003, 0.6])),
        st.tuples(st.just("turns"), st.integers(1, 30)),
        st.tuples(st.just("settle")),
        st.tuples(st.just("crash")),
        st.tuples(st.just("restart")),
    ),
    max_size=30,
)


class Story:
    """A house, and its view."""

    def __init__(self, seed: int) -> None:
        self.house = ViewHouse(seed)
        self.view = self.open()
        self.n = 0
        self.copies: Counter[int] = Counter()
        self.authors: dict[int, Author] = {}
        """Each vouches for one copy of an event, at most."""
        self.is_cleaned = False

    def open(self) -> View:
        """Open the view."""
        return self.house.view(apply=follow, types=["n"])

    def event(self) -> dict[str, Any]:
        self.n += 1
        return {"type": "n", "n": self.n}

    def play(self, what: str, *how: Any) -> None:
        house = self.house
        match what:
            case "add":
                house.wait(house.log.add_batch([(self.event(), None) for _ in range(how[0])]))
            case "late":
                house.add(self.event(), time=how[0])
            case "copy":
                number, time = how
                self.n += 1
                body = b'{"type":"n","n":%d}' % self.n
                self.copies[number] += 1
                author = self.authors.setdefault(self.copies[number], Author("attic", 100 + self.copies[number]))
                house.take(author.put(Entry((1_000 + number, "user", 0), 1_000 + number * time, body)))
            case "undo" | "undo first":
                known = sorted(house.ever)
                target = (
                    (1_000 + how[0], "user", 0)
                    if what == "undo first"
                    else known[how[0] % len(known)]
                    if known
                    else None
                )
                if target is not None:
                    house.wait(house.log.undo(target))
            case "clean":
                known = sorted(house.ever)
                if known:
                    created = known[how[0] % len(known)]
                    if house.ever[created].event["type"] != "n":
                        house.settle(self.view)  # else it counts as one that the view has not folded
                    house.wait(house.log.remove_reason("log", created=created))
                    self.is_cleaned = True
            case "pass":
                house.pass_seconds(how[0])
            case "turns":
                until = house.loop.turns + how[0]
                house.loop.run_until(lambda: house.loop.turns >= until, 60)
            case "settle":
                house.settle(self.view)
            case _:
                self.end_life(what)

    def end_life(self, how: str) -> None:
        """What was cleaned and is in no flush is lost in a crash: the log has it no more."""
        if self.is_cleaned and how == "crash":
            self.house.settle(self.view)
            self.house.pass_seconds(1)
        self.is_cleaned = False
        if how == "crash":
            self.house.crash()
        else:
            self.house.restart()
        self.view = self.open()


class HardStory(Story):
    """Folds step by step, and ends lives in between; its view says which events it has."""

    def __init__(self, seed: int) -> None:
        super().__init__(seed)
        self.cleaned: set[str] = set()

    def open(self) -> View:
        return self.house.view(apply=mark, types=["n"])

    def play(self, what: str, *how: Any) -> None:
        if what == "clean":
            known = sorted(self.house.ever)
            for created in known[how[0] % len(known) :][:1] if known else []:
                self.house.wait(self.house.log.remove_reason("log", created=created))
                self.cleaned.add(str(self.house.ever[created].event["n"]))
        else:
            super().play(what, *how)

    def end_life(self, how: str) -> None:
        self.is_cleaned = False
        super().end_life(how)


def mark(state: Any, event: dict[str, Any], meta: dict[str, Any]) -> None:
    """Which events there are."""
    state[str(event["n"])] = meta["time"]


@pytest.fixture(scope="module")
def small_steps() -> Iterator[None]:
    """Rewinds reach back a few events in memory, then by small segments, and take many turns."""
    with pytest.MonkeyPatch.context() as patch:
        for module, name, value in (
            (undo, "FOLDED_EVENTS", 4),
            (undo, "SEGMENT_EVENTS", 3),
            (keeper, "FOLD_EVENTS", 3),
            (keeper, "EVENTS_BETWEEN_LOOKS", 2),
            (keeper, "MAX_BETWEEN_LOOKS", 2),
            (source, "PAGE", 4),
            (source, "READ_STEP", 4),
            (feed, "PAGE", 4),
        ):
            patch.setattr(module, name, value)
        yield


hard_steps = st.lists(
    st.one_of(
        st.tuples(st.just("add"), st.integers(1, 5)),
        st.tuples(st.just("late"), st.integers(1, 2_000)),
        st.tuples(st.just("turns"), st.integers(1, 30)),
        st.tuples(st.just("clean"), st.integers(0, 200)),
        st.tuples(st.just("pass"), st.sampled_from([0.003, 0.6])),
        st.tuples(st.just("crash")),
        st.tuples(st.just("restart")),
    ),
    max_size=30,
)
KILLED_IN_A_REWIND: list[tuple[Any, ...]] = [
    *[
        ("restart",),
        ("pass", 0.003),
        ("clean", 3),
        ("clean", 156),
        ("turns", 10),
        ("turns", 4),
        ("crash",),
        ("pass", 0.6),
    ],
    *[("turns", 10), ("late", 424), ("late", 734), ("turns", 3), ("add", 3), ("crash",), ("late", 772), ("clean", 85)],
    *[("crash",), ("add", 5), ("add", 1), ("crash",), ("clean", 187), ("restart",)],
]


@settings(max_examples=25, deadline=None)
@example(20_073, KILLED_IN_A_REWIND)
@given(st.integers(0, 10_000), hard_steps)
@pytest.mark.usefixtures("small_steps")
def test_what_a_crash_has_lost_was_cleaned_and_is_counted(seed: int, history: list[tuple[Any, ...]]) -> None:
    story = HardStory(seed)
    try:
        for step in history:
            story.play(*step)
        story.house.settle(story.view)

        state, expected = state_of(story.view), story.house.expected(mark, ["n"])
        lost = expected.keys() - state.keys()
        assert state == {key: value for key, value in expected.items() if key not in lost}
        assert lost <= story.cleaned
        assert story.house.row()["folded_without"] == len(lost)
    finally:
        story.house.close()


UNDO_CLEANED_BEFORE_A_FLUSH: list[tuple[Any, ...]] = [
    *[("crash",), ("copy", 7, 2), ("copy", 7, 2), ("clean", 172), ("crash",)],
    *[("undo", 198), ("add", 4), ("clean", 43), ("crash",)],
]


@settings(max_examples=100, deadline=None)
@example(1_370, UNDO_CLEANED_BEFORE_A_FLUSH)
@given(st.integers(0, 10_000), steps)
def test_a_view_is_the_fold_of_all_that_was_ever_shown(seed: int, history: list[tuple[Any, ...]]) -> None:
    story = Story(seed)
    try:
        for step in history:
            story.play(*step)
        story.house.settle(story.view)

        assert state_of(story.view) == story.house.expected(follow, ["n"])
        if not any(step[0].startswith("undo") for step in history):
            assert story.house.row()["folded_without"] == 0
    finally:
        story.house.close()
