"""Labels beside vertical lines and texts under lanes, in as many rows as it takes that none covers another."""

from __future__ import annotations

from dataclasses import dataclass

MAX_ROWS = 8
"""What finds no place in so many rows keeps its line and loses its text."""
FONT = 12
GAP = 10.0
LANE_FONT, LANE_GAP = 11, 8.0
MAX_SHIFT = 16.0
"""So far to the right of its place a text may stand under a lane, if another one is there."""


@dataclass(slots=True)
class Label:
    """A text at a line; `row` counts from the lanes outwards, None: there was no space."""

    x: float
    text: str
    prefers_left: bool
    is_left: bool = False
    row: int | None = None

    @property
    def reach(self) -> tuple[float, float]:
        """From where to where the text goes."""
        width = text_width(self.text, FONT) + GAP
        return (self.x - width, self.x) if self.is_left else (self.x, self.x + width)


class RowLabels:
    """Gives each label the row nearest to the lanes, such that no text is on another one or, if possible, on a line."""

    def __init__(self, left: float, right: float) -> None:
        """Texts stay between `left` and `right`."""
        self.labels: list[Label] = []
        self._left = left
        self._right = right

    @property
    def rows(self) -> int:
        return max((label.row + 1 for label in self.labels if label.row is not None), default=0)

    def add(self, label: Label) -> None:
        """The labels come from left to right."""
        sides = (label.prefers_left, not label.prefers_left)
        for may_cross in (False, True):
            for is_left in sides:  # all on one side, as far as possible: whose line it is needs no thought
                for row in range(MAX_ROWS):
                    label.is_left = is_left
                    if self._fits(label, row, may_cross=may_cross):
                        label.row = row
                        self.labels.append(label)
                        return
        self.labels.append(label)

    def _fits(self, label: Label, row: int, *, may_cross: bool) -> bool:
        left, right = label.reach
        if left < self._left or right > self._right:
            return False
        for other in self.labels:
            if other.row is None:
                continue
            start, end = other.reach
            if other.row == row and left < end and start < right:
                return False
            if not may_cross and other.row > row and left < other.x < right:  # its line would go through our text
                return False
            if not may_cross and other.row < row and start < label.x < end:
                return False
        return True


@dataclass(slots=True)
class LaneText:
    """A text about what happened at `x`; it begins at `start`, in a row counted from the lane."""

    x: float
    seconds: float
    text: str
    start: float
    row: int

    @property
    def end(self) -> float:
        return self.start + text_width(self.text, LANE_FONT)


class LaneTexts:
    """The texts under one lane: none stands on another, and what finds no space is left out."""

    def __init__(self, left: float, right: float, rows: int) -> None:
        """Texts stay between `left` and `right`, in so many rows."""
        self.texts: list[LaneText] = []
        self._left = left
        self._right = right
        self._rows = rows

    def add(self, x: float, seconds: float, text: str) -> None:
        """The texts come from left to right."""
        if not (self._place(x, seconds, text, 0) or self._join(seconds, text)):
            for row in range(1, self._rows):
                if self._place(x, seconds, text, row):
                    return

    def _join(self, seconds: float, text: str) -> bool:
        """Add it to the text before, if both are of one instant."""
        if not self.texts or self.texts[-1].seconds != seconds:
            return False
        last = self.texts.pop()
        if not self._place(last.x, seconds, f"{last.text}, {text}", last.row):
            self.texts.append(last)
            return False
        return True

    def _place(self, x: float, seconds: float, text: str, row: int) -> bool:
        """To the right of its place if possible, else as far to the left as it must, else all to the left."""
        if row >= self._rows:
            return False
        width = text_width(text, LANE_FONT)
        taken = [other for other in self.texts if other.row == row]
        for preferred in (x, self._right - width, x - width):
            start = max([preferred, *(other.end + LANE_GAP for other in taken if other.start <= preferred)])
            end = start + width
            is_near = x - width <= start <= x + MAX_SHIFT and self._left <= start and end <= self._right
            if is_near and all(other.end + LANE_GAP <= start or end + LANE_GAP <= other.start for other in taken):
                self.texts.append(LaneText(x, seconds, text, start, row))
                return True
        return False


def text_width(text: str, size: float) -> float:
    """About how wide a text is in a sans-serif font of this size, in pixels."""
    narrow = sum(letter in " .,:;|'ijlt()" for letter in text)
    return size * (0.57 * (len(text) - narrow) + 0.3 * narrow)
