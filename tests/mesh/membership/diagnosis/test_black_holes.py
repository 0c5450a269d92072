"""Path MTU black holes: two blocked links in a row show one."""

from __future__ import annotations

from mesh.membership.actions import Action, Notice, Requery
from mesh.membership.diagnosis.black_holes import BLOCKED_LINKS, PROOF_SECONDS, SMALL_SEGMENT, BlackHoles
from mesh.membership.dialling.link_selection import Link
from mesh.membership.ended_sessions import SURPLUS
from mesh.membership.session_record import LinkOutcome
from tests.support.one_node import membership


def blocked(holes: BlackHoles, times: int = BLOCKED_LINKS) -> list[bool]:
    return [holes.note("study", 9.0, is_blocked=True) for _ in range(times)]


def test_the_second_blocked_link_in_a_row_shows_a_black_hole() -> None:
    holes = BlackHoles()

    assert blocked(holes, 4) == [False, True, False, False]
    assert holes.max_segment("study") == SMALL_SEGMENT
    assert holes.max_segment("attic") is None


def test_a_link_that_was_not_blocked_starts_the_count_anew() -> None:
    holes = BlackHoles()
    blocked(holes, 1)

    holes.note("study", 1.0, is_blocked=False)

    assert blocked(holes, 1) == [False]
    assert holes.max_segment("study") is None


def test_small_packets_are_used_until_a_link_has_lasted_ten_minutes() -> None:
    holes = BlackHoles()
    blocked(holes)

    holes.note("study", PROOF_SECONDS - 1, is_blocked=False)
    assert holes.max_segment("study") == SMALL_SEGMENT
    holes.note("study", PROOF_SECONDS, is_blocked=False)

    assert holes.max_segment("study") is None


class Dialler:
    """A node that dials `study`; each link lasts 9 s."""

    def __init__(self, subject: str = "study") -> None:
        self.membership = membership("attic", "run", (subject,))
        self.key = f"static:{subject}"
        self.now = 0.0
        self.membership.on_begin()

    def link(self, outcome: LinkOutcome, *, greets: bool = True, reason: str = "timeout") -> list[Action]:
        """One link, from its greeting to its end."""
        membership, key = self.membership, self.key
        membership.on_dialled(key, "c", self.now)
        if greets:
            membership.on_greeted(key, "study~1", Link(key, "c", True, "boot", self.now), (), "study:1", self.now)
        self.now += 9
        return membership.on_closed(key, reason, self.now, outcome=outcome)


def test_a_black_hole_is_reported_once_and_later_dials_use_small_packets() -> None:
    dialler = Dialler("study:1")
    outcome = LinkOutcome(is_stalled=True, is_blocked=True)

    reported = [action for _ in range(4) for action in dialler.link(outcome) if isinstance(action, Notice)]

    sentences = [notice.sentence for notice in reported if "large packets" in notice.sentence]
    assert len(sentences) == 1
    assert sentences[0].startswith("large packets do not get through to study~1, small ones do: ")
    assert dialler.membership.max_segment(dialler.key) == SMALL_SEGMENT


def test_a_black_hole_shows_although_no_greeting_gets_through() -> None:
    dialler = Dialler("study:1")

    for _ in range(BLOCKED_LINKS):
        dialler.link(LinkOutcome(is_blocked=True), greets=False)

    assert dialler.membership.max_segment(dialler.key) == SMALL_SEGMENT


def test_a_link_on_which_no_data_moved_counts_as_brief() -> None:
    dialler = Dialler("study:1")

    first, *_, last = [dialler.link(LinkOutcome(is_stalled=True)) for _ in range(4)]

    assert Requery() in first
    assert Requery() not in last  # it is dialled after a pause


def test_a_link_that_the_other_end_closed_for_another_one_does_not_count_as_brief() -> None:
    dialler = Dialler("study:1")

    ended = [dialler.link(LinkOutcome(is_stalled=True), reason=SURPLUS) for _ in range(6)]

    assert all(Requery() in actions for actions in ended)


def test_the_confirmed_position_of_a_node_is_remembered_after_its_link() -> None:
    dialler = Dialler("study:1")

    dialler.link(LinkOutcome(confirmed=7))

    assert dialler.membership.members["study~1"].confirmed == 7
