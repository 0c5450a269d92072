"""Two Memberships that connect, lose each other, restart and say goodbye, among strangers: they always connect again."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from mesh.membership.dialling.dial_backoff import MAX_BACKOFF_SECONDS
from tests.support.two_ends import TwoEnds

END = st.sampled_from(("a", "b"))


class TwoNodes(RuleBasedStateMachine):
    """At the end the network works, and time passes: then there is exactly one connection, and both nodes use it."""

    world: TwoEnds

    @initialize(
        sighting=st.sampled_from((("a", "b"), ("a",), ("b",), ())),
        static=st.sampled_from((((), ()), (("x:1",), ()), ((), ("x:1",)), (("x:1",), ("x:1",)), ((), ("x:1", "x:2")))),
    )
    def begin(self, sighting: tuple[str, ...], static: tuple[tuple[str, ...], tuple[str, ...]]) -> None:
        self.sighting = sighting if sighting or any(static) else ("a", "b")
        self.world = TwoEnds(*static)
        for end in self.world.ends.values():
            end.perform(end.membership.on_begin())
        self.sight_all()

    def sight_all(self) -> None:
        self.has_unseen_run = False
        for name in self.sighting:
            self.world.ends[name].sight(self.world.other(self.world.ends[name]))

    @rule(picks=st.lists(st.integers(0, 50), min_size=1, max_size=12))
    def go_on(self, picks: list[int]) -> None:
        for pick in picks:
            steps = self.world.steps(with_redials=True)
            if steps:
                steps[pick % len(steps)]()

    @rule(seconds=st.sampled_from((0.1, 0.5, 2.0, 61.0)))
    def wait(self, seconds: float) -> None:
        self.world.pass_time(seconds)

    @precondition(lambda self: self.world.wires)
    @rule(number=st.integers(0, 5))
    def cut(self, number: int) -> None:
        self.world.cut(self.world.wires[number % len(self.world.wires)])

    @rule()
    def partition(self) -> None:
        self.world.is_partitioned = True
        for wire in self.world.wires:
            self.world.cut(wire)

    @precondition(lambda self: self.world.is_partitioned)
    @rule()
    def heal(self) -> None:
        self.world.is_partitioned = False
        if self.has_unseen_run:
            self.sight_all()

    @rule(name=END, goodbye=st.booleans())
    def restart(self, name: str, goodbye: bool) -> None:
        self.world.restart(name, goodbye=goodbye)
        self.has_unseen_run = True
        if not self.world.is_partitioned:
            self.sight_all()

    @rule(
        name=END,
        boot=st.sampled_from(("x", "y", "")),
        answers=st.booleans(),
        holds=st.booleans(),
    )
    def intrude(self, name: str, boot: str, answers: bool, holds: bool) -> None:
        """A stranger greets as the other node: as another run of it, or as the present one, whose links it may know."""
        other = self.world.other(self.world.ends[name])
        held = tuple(self.world.open_wires()) if holds else ()
        self.world.intrude(name, boot=boot or other.membership.instance, answers=answers, held=held)

    @rule()
    def strangers_leave(self) -> None:
        self.world.strangers_leave()

    @rule(name=END)
    def lose_the_log(self, name: str) -> None:
        end = self.world.ends[name]
        end.perform(end.membership.close_all("the log restarts"))
        end.looks.append((self.world.now + 0.1, ""))

    @rule(name=END, number=st.integers(0, 5))
    def fail(self, name: str, number: int) -> None:
        end = self.world.ends[name]
        sessions = [session for session in end.sessions.values() if not session.is_over]
        if sessions and not end.reports:
            end.fail(sessions[number % len(sessions)])

    @rule(name=END)
    def retry(self, name: str) -> None:
        end = self.world.ends[name]
        end.perform(end.membership.on_retry(self.world.now))

    def teardown(self) -> None:
        if not hasattr(self, "world"):
            return
        self.heal()
        self.world.strangers_leave()
        for end in self.world.ends.values():
            if any(record.is_paused for record in end.membership.failures.values()):
                end.perform(end.membership.on_retry(self.world.now))
        self.world.pass_time(MAX_BACKOFF_SECONDS + 10.0)
        stays = self.world.open_wires()
        assert len(stays) == 1
        assert self.world.met("a") == self.world.met("b") == stays
        for end in self.world.ends.values():
            assert sorted(end.sessions) == sorted(end.membership.sessions)
            assert [m.state for m in end.membership.members.values()] == ["alive"]


TestTwoNodes = TwoNodes.TestCase
TestTwoNodes.settings = settings(max_examples=250, stateful_step_count=25, deadline=None, derandomize=True)


@given(
    strangers=st.lists(
        st.tuples(END, st.sampled_from(("x", "y", "")), st.booleans(), st.booleans()), min_size=1, max_size=8
    ),
    picks=st.lists(st.integers(0, 50), max_size=60),
)
@settings(max_examples=300, deadline=None, derandomize=True)
def test_whatever_strangers_say_under_the_ids_of_two_nodes_their_link_stays(
    strangers: list[tuple[str, str, bool, bool]], picks: list[int]
) -> None:
    world = TwoEnds(("x:1",))
    world.a.perform(world.a.membership.on_begin())
    world.pass_time(1)
    (link,) = world.open_wires()

    for name, boot, answers, holds in strangers:
        other = world.other(world.ends[name])
        held = (link,) if holds else ()
        world.intrude(name, boot=boot or other.membership.instance, answers=answers, held=held)
    for pick in picks:
        if steps := world.steps():
            steps[pick % len(steps)]()
            assert link in world.open_wires()
    world.pass_time(1)

    assert link in world.open_wires()
    assert not any(record.is_paused for end in world.ends.values() for record in end.membership.failures.values())
