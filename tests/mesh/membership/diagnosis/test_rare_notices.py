"""Notices that others can cause again and again: a line for each cause and minute, and a count of the others."""

from __future__ import annotations

from mesh.membership.actions import Action, LookAgain, Notice
from mesh.membership.diagnosis.rare_notices import MAX_CAUSES, MAX_SUMMARY_CHARACTERS, SHARE_OF_ONE, RareNotices
from peers.clock import ManualClock
from peers.limits import LimitHits, Limits
from tests.support.one_node import notices

LIMITS = Limits()


class Screen:
    """What people see. Time passes only in `wait`."""

    def __init__(self) -> None:
        self.hits = LimitHits(ManualClock())
        self.rare = RareNotices(LIMITS, self.hits)
        self.lines: list[str] = []
        self.looks: dict[str, None] = {}

    def note(self, sentence: str, cause: str = "a bad frame", kind: str = "note", node_id: str | None = None) -> None:
        self._show(self.rare.on_notice(Notice(kind, node_id, sentence, cause, "10.0.0.9")))

    def wait(self) -> None:
        """One interval."""
        looks, self.looks = self.looks, {}
        for subject in looks:
            self._show(self.rare.on_look(subject))

    def _show(self, actions: list[Action]) -> None:
        self.lines += [sentence for _, sentence in notices(actions)]
        for action in actions:
            if isinstance(action, LookAgain):
                assert action.delay_seconds == LIMITS.notice_seconds
                assert action.subject not in self.looks
                self.looks[action.subject] = None


def test_the_first_notice_of_a_cause_is_shown_and_the_others_are_counted_once_a_minute() -> None:
    screen = Screen()

    for number in range(2_000):
        screen.note(f"bad frame {number}")
    first = list(screen.lines)
    screen.wait()
    screen.note("bad frame again")
    screen.wait()

    assert first == ["bad frame 0"]
    assert screen.lines[1:] == [
        "1999 more notices like the last ones were left out in 60 s, of which the last is: bad frame 1999",
        "1 more notice like the last one was left out in 60 s, of which the last is: bad frame again",
    ]
    assert [(row["limit"], row["by"], row["count"]) for row in screen.hits.rows()] == [
        ("notice_seconds", "10.0.0.9", 2_000)
    ]


def test_after_a_quiet_minute_a_cause_is_shown_at_once_again() -> None:
    screen = Screen()

    screen.note("one")
    screen.wait()
    screen.note("two")
    screen.note("three")
    screen.wait()
    screen.wait()
    screen.note("four")

    assert [line.split()[-1] for line in screen.lines] == ["one", "two", "three", "four"]
    assert len(screen.looks) == 1


def test_causes_do_not_hide_each_other_and_a_notice_without_one_is_always_shown() -> None:
    screen = Screen()

    for _ in range(3):
        screen.note("a frame", "a bad frame")
        screen.note("a mesh", "another mesh")
        screen.note("a mesh", "another mesh", "refused")
        screen.note("the disk", "", "store")

    assert sorted(screen.lines) == ["a frame", "a mesh", "a mesh", "the disk", "the disk", "the disk"]


def test_many_nodes_that_come_are_named_and_then_counted() -> None:
    screen = Screen()

    for number in range(10 * LIMITS.changes_shown):
        screen.note(f"connected to {number}", "", "connected", f"node{number}")
    screen.wait()

    assert len(screen.lines) == LIMITS.changes_shown + 1
    assert screen.lines[-1].startswith(f"{9 * LIMITS.changes_shown} more notices like the last ones were left out")


def test_a_node_that_comes_and_goes_again_and_again_does_not_hide_that_another_came() -> None:
    screen = Screen()

    for minute in range(3):
        for _ in range(100):
            screen.note("connected to flapping", "", "connected", "flapping")
        screen.note(f"connected to {minute}", "", "connected", f"node{minute}")
        screen.wait()

    named = LIMITS.changes_shown // SHARE_OF_ONE
    assert screen.lines[:named] == ["connected to flapping"] * named
    rest = screen.lines[named:]
    assert [line for line in rest if "left out" not in line] == [f"connected to {minute}" for minute in range(3)]
    assert len(rest) == 6


def test_neither_many_causes_nor_a_long_sentence_make_many_or_long_lines() -> None:
    screen = Screen()

    for number in range(10 * MAX_CAUSES):
        screen.note("x" * 10_000, f"cause {number}")
    shown = len(screen.lines)
    screen.wait()

    assert shown == MAX_CAUSES + 1
    assert len(screen.lines) == MAX_CAUSES + 2
    assert len(screen.lines[-1]) < MAX_SUMMARY_CHARACTERS + 100
