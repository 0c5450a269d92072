"""Labels beside vertical lines, in as many rows as it takes that none covers another."""

from __future__ import annotations

from dataclasses import dataclass

MAX_ROWS = 8
"""What finds no place in so many rows keeps its line and loses its text."""
FONT = 12
GAP = 10.0


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


def text_width(text: str, size: float) -> float:
    """About how wide a text is in a sans-serif font of this size, in pixels."""
    narrow = sum(letter in " .,:;|'ijlt()" for letter in text)
    return size * (0.57 * (len(text) - narrow) + 0.3 * narrow)
