"""RareNotices: of many notices about nodes that never answered a few are shown, and then how many there were."""

from __future__ import annotations

from mesh.membership.actions import Action, LookAgain, Notice

SHOWN = 5
"""Notices shown one by one in each interval."""
INTERVAL_SECONDS = 60.0
SUMMARY = "*summary"
"""The subject of the look at which the rest is summed up; no node id and no address is written like this."""


class RareNotices:
    """What anybody on the network can cause with a forged packet costs a few lines a minute."""

    def __init__(self) -> None:
        self._began_seconds: float | None = None
        """When the interval began; None while there is none."""
        self._shown = 0
        self._left_out = 0

    def note(self, notice: Notice, now_seconds: float) -> list[Action]:
        """The notice itself, or nothing if there were too many: then `on_look` tells how many."""
        actions: list[Action] = []
        if self._began_seconds is None:
            self._began_seconds = now_seconds
            actions.append(LookAgain(SUMMARY, INTERVAL_SECONDS))
        if self._shown < SHOWN:
            self._shown += 1
            return [notice, *actions]
        self._left_out += 1
        return actions

    def on_look(self, now_seconds: float) -> list[Action]:
        """An interval is over: the next one begins if this one was full."""
        left_out, self._left_out = self._left_out, 0
        self._began_seconds = None
        if not left_out:
            self._shown = 0
            return []
        self._began_seconds, self._shown = (
            now_seconds,
            SHOWN,
        )  # the summary was one more line: first let a minute be quiet
        text = (
            f"{left_out} more notices like the last ones were left out: nodes were announced that cannot be reached; "
            "`mesh peers` lists them, and if that goes on, somebody on this network forges announcements"
        )
        return [Notice("unreachable", None, text), LookAgain(SUMMARY, INTERVAL_SECONDS)]
