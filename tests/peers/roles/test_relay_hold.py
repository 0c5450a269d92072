"""Changes of other nodes are held back in two groups."""

from __future__ import annotations

from dataclasses import dataclass, field

from hypothesis import given
from hypothesis import strategies as st

from peers.roles.relay_hold import HELD_COMMITS, RelayHold

WAIT_MS = 20
LACKED = {"e": 1}
"""What the other end lacks of an epoch."""


def nothing(_epoch: str) -> int:
    """The other end has nothing."""
    return 0


def test_nothing_waits_at_first() -> None:
    hold = RelayHold(7)

    assert hold.limit(7, nothing) == 7


def test_what_was_not_heard_of_yet_may_be_one_to_hold_and_waits() -> None:
    hold = RelayHold(7)

    assert hold.limit(9, nothing) == 7
    hold.note(9, {})
    assert hold.limit(9, nothing) == 9


def test_own_changes_do_not_begin_a_wait() -> None:
    relays = RelayHold(7)

    assert not relays.note(9, {})

    assert relays.limit(9, nothing) == 9


def test_changes_of_other_nodes_wait_and_earlier_ones_may_go() -> None:
    relays = RelayHold()
    relays.note(3, {})

    assert relays.note(5, LACKED)

    assert relays.limit(5, nothing) == 3


def test_no_change_overtakes_a_waiting_one() -> None:
    relays = RelayHold()
    relays.note(1, LACKED)

    assert not relays.note(2, {})

    assert relays.limit(2, nothing) == 0


def test_after_the_wait_all_of_the_group_may_go() -> None:
    relays = RelayHold()
    relays.note(1, LACKED)

    assert not relays.ripen()

    assert relays.limit(1, nothing) == 1


def test_changes_of_other_nodes_during_a_wait_have_a_wait_of_their_own() -> None:
    relays = RelayHold()
    relays.note(1, LACKED)
    assert not relays.note(2, LACKED)

    assert relays.ripen()
    assert relays.limit(2, nothing) == 1

    assert not relays.ripen()
    assert relays.limit(2, nothing) == 2


def test_own_changes_during_a_wait_do_not_extend_it() -> None:
    relays = RelayHold()
    relays.note(1, LACKED)
    relays.note(2, {})

    assert not relays.ripen()

    assert relays.limit(2, nothing) == 2


def test_the_end_of_a_wait_that_does_not_run_is_ignored() -> None:
    relays = RelayHold()
    relays.note(5, {})

    assert not relays.ripen()

    assert relays.limit(5, nothing) == 5


def test_the_limit_is_never_beyond_the_last_position() -> None:
    relays = RelayHold(9)
    relays.note(10, LACKED)

    assert relays.limit(4, nothing) == 4


@dataclass
class Watch:
    """Relays with a clock, as a session uses it."""

    relays: RelayHold = field(default_factory=RelayHold)
    now_ms: int = 0
    due_ms: int | None = None
    last_position: int = 0
    noted_ms: dict[int, tuple[int, bool]] = field(default_factory=dict)
    """When each position was noted, and whether with changes of other nodes."""
    limits: list[int] = field(default_factory=list)

    def pass_ms(self, ms: int) -> None:
        for _ in range(ms):
            self.now_ms += 1
            if self.now_ms == self.due_ms:
                self._wait(self.relays.ripen())
            self.look()

    def note(self, count: int, *, is_relay: bool) -> None:
        for position in range(self.last_position + 1, self.last_position + count + 1):
            self.noted_ms[position] = self.now_ms, is_relay
        self.last_position += count
        if self.relays.note(self.last_position, LACKED if is_relay else {}):
            self._wait(True)
        self.look()

    def look(self) -> None:
        limit = self.relays.limit(self.last_position, nothing)
        self.limits.append(limit)
        for position, (noted_ms, is_relay) in self.noted_ms.items():
            waited_ms = self.now_ms - noted_ms
            assert not is_relay or position > limit or waited_ms >= WAIT_MS
            assert position <= limit or waited_ms < 2 * WAIT_MS

    def _wait(self, begins: bool) -> None:
        self.due_ms = self.now_ms + WAIT_MS if begins else None


@given(st.lists(st.tuples(st.integers(0, 2 * WAIT_MS), st.integers(1, 3), st.booleans()), max_size=30))
def test_changes_of_other_nodes_wait_for_one_wait_and_at_most_for_two(notes: list[tuple[int, int, bool]]) -> None:
    watch = Watch()

    for ms, count, is_relay in notes:
        watch.pass_ms(ms)
        watch.note(count, is_relay=is_relay)
    watch.pass_ms(2 * WAIT_MS)

    assert watch.limits == sorted(watch.limits)
    assert watch.limits[-1] == watch.last_position
    assert watch.due_ms is None


def test_what_the_other_end_has_meanwhile_is_held_no_more_though_later_changes_are() -> None:
    relays = RelayHold()
    relays.note(2, {"a": 1, "b": 4})
    relays.note(3, {})
    relays.note(4, {"a": 2})

    assert relays.limit(4, {"a": 1, "b": 3}.__getitem__) == 0
    assert relays.limit(4, {"a": 1, "b": 4}.__getitem__) == 3
    assert relays.limit(4, {"a": 2, "b": 4}.__getitem__) == 4


def test_a_wait_begins_anew_when_nothing_is_held_any_more() -> None:
    relays = RelayHold()
    relays.note(1, LACKED)
    relays.limit(1, {"e": 1}.__getitem__)

    assert relays.note(2, {"e": 2})

    assert not relays.ripen()
    assert relays.limit(2, nothing) == 2


def test_what_may_not_wait_long_ends_the_patience_of_all_before_it() -> None:
    relays = RelayHold()
    assert relays.note(1, LACKED, is_patient=True)
    assert not relays.note(2, LACKED, is_patient=True)
    assert relays.is_patient

    assert relays.note(3, {"other": 1})
    assert not relays.is_patient
    assert not relays.note(4, LACKED, is_patient=True)

    assert relays.ripen()
    assert relays.limit(4, nothing) == 3
    assert relays.is_patient


def test_what_is_released_waits_no_more() -> None:
    relays = RelayHold()
    relays.note(1, LACKED, is_patient=True)
    relays.note(2, LACKED, is_patient=True)

    relays.release()

    assert relays.limit(2, nothing) == 2


def test_however_many_commits_wait_all_of_them_are_held() -> None:
    relays = RelayHold()
    for position in range(1, 2 * HELD_COMMITS):
        relays.note(position, {"e": position})

    assert relays.limit(2 * HELD_COMMITS, {"e": HELD_COMMITS}.__getitem__) == HELD_COMMITS - 1
    assert relays.limit(2 * HELD_COMMITS, {"e": 2 * HELD_COMMITS - 1}.__getitem__) == 2 * HELD_COMMITS - 1
