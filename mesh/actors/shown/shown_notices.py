"""ShownNotices: passes notices on to people, and in time the counts of those that were left out."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from mesh.membership.actions import Action, LookAgain, Notice
from mesh.membership.diagnosis.rare_notices import RareNotices


class ShownNotices:
    """RareNotices decides; this one has the timers."""

    def __init__(
        self,
        rare: RareNotices,
        show: Callable[[Notice], None],
        later: Callable[[float, Callable[[], None]], None],
    ) -> None:
        """`later` calls a function after so many seconds, unless the node ends before."""
        self._rare = rare
        self._show = show
        self._later = later

    def on_notice(self, notice: Notice) -> None:
        """Show it, or count it."""
        self._perform(self._rare.on_notice(notice))

    def _perform(self, actions: list[Action]) -> None:
        for action in actions:
            match action:
                case Notice():
                    self._show(action)
                case LookAgain(subject, delay_seconds):
                    self._later(delay_seconds, partial(self._sum_up, subject))

    def _sum_up(self, subject: str) -> None:
        self._perform(self._rare.on_look(subject))
