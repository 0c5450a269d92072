"""RareNotices: notices that others can cause again and again, a line for each cause and minute, with a count of the others."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace

from mesh.membership.actions import CHANGES, Action, LookAgain, Notice
from peers.limits import LimitHits, Limits

MAX_CAUSES = 128
"""Causes with a line of their own; all further ones share one."""
SHARE_OF_ONE = 8
"""One node or client may have one of so many parts of `Limits.changes_shown`."""
MAX_SUMMARY_CHARACTERS = 500
"""Of the last notice in a summary."""
SUMMARY = "*summary "
"""Prefix of the subject of the look at which a count is shown; no node id and no address is written like this."""
_OTHERS = "*others"


@dataclass(slots=True)
class _Interval:
    """Of `notice_seconds`, of one cause."""

    room: int
    """Notices that are still shown one by one."""
    shown: Counter[str] = field(default_factory=Counter)
    """Notices of each node or client that were shown."""
    left_out: int = 0
    last: Notice | None = None
    """The last one that was left out."""


class RareNotices:
    """Decides which notices people see.

    The first notice of a cause is shown at once. In the next `Limits.notice_seconds` the others are only counted; then comes
    a line with the count and the last of them, and so on, until an interval without any. Of CHANGES, which say of each node or
    client that it came or went, `Limits.changes_shown` are shown before that, and of one node or client a part of them. A
    notice without a cause that is no change is always shown.
    """

    def __init__(self, limits: Limits, hits: LimitHits) -> None:
        self._limits = limits
        self._hits = hits
        self._intervals: dict[str, _Interval] = {}
        """By kind and cause."""

    def on_notice(self, notice: Notice) -> list[Action]:
        """The notice, if it is to be shown; and when to call `on_look`."""
        if not notice.cause and notice.kind not in CHANGES:
            return [notice]
        key = f"{notice.kind} {notice.cause}"
        if key not in self._intervals and len(self._intervals) >= MAX_CAUSES:
            key = _OTHERS
        who, room = notice.node_id or "", self._room_of(notice)
        interval = self._intervals.get(key)
        looks: list[Action] = []
        if interval is None:
            interval = self._intervals[key] = _Interval(room)
            looks = [self._look_at(key)]
        if interval.room > 0 and interval.shown[who] < max(1, room // SHARE_OF_ONE):
            interval.room -= 1
            interval.shown[who] += 1
            return [notice, *looks]
        interval.left_out += 1
        interval.last = notice
        limit = "changes_shown" if notice.kind in CHANGES else "notice_seconds"
        self._hits.note(limit, notice.who or notice.node_id or notice.cause)
        return []

    def on_look(self, subject: str) -> list[Action]:
        """An interval is over: show how many notices were left out, if any; the next interval shows none like those."""
        key = subject.removeprefix(SUMMARY)
        interval = self._intervals.pop(key, None)
        if interval is None or interval.last is None:
            return []
        last, count = interval.last, interval.left_out
        room = self._room_of(last)
        often = {who: shown for who, shown in interval.shown.items() if shown >= max(1, room // SHARE_OF_ONE)}
        self._intervals[key] = _Interval(room if interval.room else 0, Counter(often))
        likes = "1 more notice like the last one was" if count == 1 else f"{count} more notices like the last ones were"
        sentence = last.sentence
        if len(sentence) > MAX_SUMMARY_CHARACTERS:
            sentence = f"{sentence[:MAX_SUMMARY_CHARACTERS]}..."
        text = f"{likes} left out in {self._limits.notice_seconds:g} s, of which the last is: {sentence}"
        return [replace(last, node_id=None, sentence=text), self._look_at(key)]

    def _room_of(self, notice: Notice) -> int:
        return self._limits.changes_shown if notice.kind in CHANGES else 1

    def _look_at(self, key: str) -> LookAgain:
        return LookAgain(f"{SUMMARY}{key}", self._limits.notice_seconds)
