"""Elements of an SVG as text, and rows of short texts."""

from __future__ import annotations

from html import escape

INK, GREY, PALE, PAPER = "#22262e", "#686e7a", "#d9d6cd", "#fbfaf7"
GREEN, RED, AMBER, SLATE = "#2d8a4e", "#b3261e", "#b7791f", "#565d6b"
FONT_PIXELS = 12
"""Size of the largest texts but the title."""
LABEL_LETTERS = 44
"""A longer text is shortened where it is shown, and whole in its tooltip."""
LABEL_GAP = 5.0
"""Pixels from a mark to its text, and from one text to the next."""
ANCHORS = {"start": (LABEL_GAP, 0.0), "middle": (0.0, 0.5), "end": (-LABEL_GAP, 1.0)}
"""How far from its mark a text stands, and which share of it is to the left of that place."""

Notes = dict[tuple[float, str], list[str]]
"""What happened, by its pixel from the left and its time as it is shown."""

STYLE = f"""
text {{ font: {FONT_PIXELS}px sans-serif; fill: {INK}; paint-order: stroke; stroke: {PAPER}; stroke-width: 3px }}
.small {{ font-size: 11px; fill: {GREY} }}
.title {{ font-size: 18px; font-weight: bold }}
path {{ fill: none }}
.beat {{ stroke: {INK}; opacity: .55 }}
.change {{ stroke: {GREY}; stroke-dasharray: 3 3 }}
.failure {{ stroke: {RED}; stroke-width: 1.5; stroke-dasharray: 6 3 }}
.reach {{ stroke: transparent; stroke-width: 9 }}
"""


def tag(name: str, *inside: str, **attributes: float | str) -> str:
    """An element; `inside` is markup, `title` the plain text of its tooltip, `kind` its class.

    Numbers are written with one decimal, and `_` in the names of attributes as `-`.
    """
    title = escape(str(attributes.pop("title", "")))
    shown = "".join(
        f" {'class' if key == 'kind' else key.replace('_', '-')}="
        f'"{escape(value) if isinstance(value, str) else f"{value:.1f}"}"'
        for key, value in attributes.items()
    )
    content = (f"<title>{title}</title>" if title else "") + "".join(inside)
    return f"<{name}{shown}>{content}</{name}>" if content else f"<{name}{shown}/>"


def words(text: str, x: float, y: float, **attributes: float | str) -> str:
    """A text element of plain text."""
    return tag("text", escape(text), x=x, y=y, **attributes)


def mark(shape: str, kind: str, title: str, **attributes: float | str) -> str:
    """A path with a tooltip, which shows a few pixels beside the path too."""
    lines = tag("path", d=shape, kind=kind, **attributes), tag("path", d=shape, kind="reach")
    return tag("g", *lines, title=title)


def shortened(text: str, letters: int = LABEL_LETTERS) -> str:
    """The beginning of a long text."""
    return text if len(text) <= letters else f"{text[: letters - 1]}…"


def text_width(text: str) -> float:
    """About how wide a text is in a sans-serif font, in pixels."""
    narrow = sum(letter in " .,:;|'ijlt()" for letter in text)
    return FONT_PIXELS * (0.57 * (len(text) - narrow) + 0.3 * narrow)


class TextRow:
    """Texts beside marks at one height. A text that would cover another one, or leave the row, is left out."""

    def __init__(self, y: float, left: float, right: float) -> None:
        """Texts stay between the pixels `left` and `right`."""
        self._y = y
        self._left, self._right = left, right
        self._taken: list[tuple[float, float]] = []

    def add(self, x: float, text: str, *anchors: str, **attributes: float | str) -> str:
        """The element for a text at `x`, anchored in the first of these ways that has space; "" if none has."""
        shown = shortened(text)
        width = text_width(shown)
        for anchor in anchors:
            gap, share = ANCHORS[anchor]
            start = x + gap - share * width
            end = start + width + LABEL_GAP
            if start < self._left or end > self._right or any(start < b and a < end for a, b in self._taken):
                continue
            self._taken.append((start, end))
            return words(shown, x + gap, self._y, text_anchor=anchor, **attributes)
        return ""
