"""RareNotices: notices that any host on the network can cause with a forged packet, limited to a few a minute."""

from __future__ import annotations

from collections.abc import Sequence

from mesh.membership.actions import Action, LookAgain, Notice
from mesh.membership.dialling.refusals import unreachable_sentence
from mesh.membership.dialling.trials import MAX_PLACES, Place

NOTICES_PER_INTERVAL = 5
"""Notices shown one by one in each interval; the others are only counted."""
INTERVAL_SECONDS = 60.0
SUMMARY = "*summary"
"""The subject of the look at which the count is shown; no node id and no address is written like this."""


class RareNotices:
    """Shows the first NOTICES_PER_INTERVAL notices of an interval, then the number of the others."""

    def __init__(self) -> None:
        self._began_seconds: float | None = None
        """When the interval began; None while there is none."""
        self._shown = 0
        self._left_out = 0
        self._unreachable: dict[Place, str] = {}
        """The addresses that were reported as unreachable, each with the node id or static address of the report."""

    def note(self, notice: Notice, now_seconds: float) -> list[Action]:
        """Show a notice, or only count it if there were too many."""
        actions: list[Action] = []
        if self._began_seconds is None:
            self._began_seconds = now_seconds
            actions.append(LookAgain(SUMMARY, INTERVAL_SECONDS))
        if self._shown < NOTICES_PER_INTERVAL:
            self._shown += 1
            return [notice, *actions]
        self._left_out += 1
        return actions

    def unreachable(
        self, subject: str, addresses: Sequence[str], node_id: str | None, reason: str, now_seconds: float
    ) -> list[Action]:
        """Say that `subject`, a node id or a static address, cannot be reached, why, and what would help.

        Said once for the same addresses, also if several nodes were announced there, until `forget` of that subject.
        """
        place = tuple(addresses)
        if place in self._unreachable:
            return []
        self._unreachable[place] = subject
        if len(self._unreachable) > MAX_PLACES:
            del self._unreachable[next(iter(self._unreachable))]
        return self.note(Notice("unreachable", node_id, unreachable_sentence(subject, addresses, reason)), now_seconds)

    def on_look(self, now_seconds: float) -> list[Action]:
        """An interval is over: show how many notices were left out, if any."""
        left_out, self._left_out = self._left_out, 0
        self._began_seconds = None
        if not left_out:
            self._shown = 0
            return []
        # The summary opens an interval in which nothing is shown one by one: a quiet minute must come first.
        self._began_seconds, self._shown = now_seconds, NOTICES_PER_INTERVAL
        text = (
            f"{left_out} more notices like the last ones were left out: nodes were announced that cannot be reached; "
            "`mesh peers` lists them, and if that goes on, a host on this network forges announcements"
        )
        return [Notice("unreachable", None, text), LookAgain(SUMMARY, INTERVAL_SECONDS)]

    def forget(self, subject: str) -> None:
        """`subject` answered, or something about it changed: say it again if it cannot be reached later."""
        self._unreachable = {place: whose for place, whose in self._unreachable.items() if whose != subject}

    def forget_all(self) -> None:
        """The operator retries: say again of everything that it cannot be reached."""
        self._unreachable.clear()
