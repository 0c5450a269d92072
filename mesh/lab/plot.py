"""The picture of a story: rooms as lanes over time, with what was written, what broke, and what came of it, as SVG."""

from __future__ import annotations

import re
from collections.abc import Sequence
from html import escape

from mesh.lab.diary import Happening
from mesh.lab.lanes import Lanes, colour
from mesh.lab.row_labels import Label, RowLabels, text_width
from mesh.lab.time_axis import TimeAxis, show_duration, show_seconds

WIDTH = 900
LEFT, RIGHT = 118.0, 862.0
HEADER = 66.0
ROW = 17.0
"""Height of a row of labels."""
FOOTER = 40.0
PAPER, INK, MUTED, FAINT, GOOD, BAD = "#fbfaf7", "#22262e", "#686e7a", "#d9d6cd", "#2d8a4e", "#b3261e"
TICK_GAP = 10.0
"""Pixels between the times at the axis."""
SHOWN_BEATS = 20
"""A description for those who cannot see tells so many."""
TOLD_BELOW = frozenset({"partition", "heal", "cut", "hold", "release", "slow", "flaky"})
FLAKY_MARGIN = 0.001
"""Seconds after which a way that was flaky has been told to be good again."""
NOT_IN_XML = re.compile("[^\\t\\n -\\ud7ff\\ue000-\\ufffd\\U00010000-\\U0010ffff]")

STYLE = f"""
text {{ font: 12px sans-serif; fill: {INK} }}
.small {{ font-size: 11px; fill: {MUTED} }}
.halo {{ paint-order: stroke; stroke: {PAPER}; stroke-width: 3px; stroke-linejoin: round }}
.title {{ font-size: 18px; font-weight: bold }}
.beat {{ stroke: {INK}; stroke-width: 1; opacity: .55 }}
.break {{ stroke: {MUTED}; stroke-width: 1; fill: none; stroke-dasharray: 2 3 }}
.way {{ fill: none; stroke-linecap: round }}
"""


def plot(
    happenings: Sequence[Happening],
    *,
    name: str,
    sentence: str = "",
    seed: int = 0,
    failure: str | None = None,
) -> str:
    """Draw what a diary holds; the same happenings give the same bytes.

    `name` is that of the story, `sentence` what happens in it, `failure` why it failed, if it did. The SVG is 900 px wide,
    has a background of its own, and needs no font but a generic one.
    """
    svg = _Picture(_until_end(happenings), name, sentence, seed, failure).draw()
    return NOT_IN_XML.sub("�", svg)


class _Picture:
    """One drawing, from the top to the bottom."""

    def __init__(
        self, happenings: Sequence[Happening], name: str, sentence: str, seed: int, failure: str | None
    ) -> None:
        self.happenings = happenings
        self.name = name.replace("_", " ")
        self.sentence = sentence
        self.seed = seed
        self.failure = failure
        self.axis = TimeAxis(happenings, LEFT + 6, RIGHT - 8)
        self.beats = RowLabels(20, RIGHT + 14)
        self.faults = RowLabels(LEFT, RIGHT + 14)
        flaky_until = 0.0
        for happening, x in zip(happenings, self.axis.places, strict=True):
            if happening.kind == "beat":
                self.beats.add(Label(x, happening.text, prefers_left=True))
            elif happening.kind in TOLD_BELOW and happening.seconds >= flaky_until:
                self.faults.add(Label(x, _fault_text(happening), prefers_left=False))
            if happening.kind == "flaky":  # what it does to its way meanwhile can be seen
                flaky_until = happening.seconds + float(happening.text.split()[5]) + FLAKY_MARGIN
        self.top = HEADER + ROW * self.beats.rows + 8
        self.lanes = Lanes(happenings, self.axis.places, self.top, LEFT, RIGHT)
        self.bottom = self.lanes.bottom

    def draw(self) -> str:
        axis_y = self.bottom + ROW * self.faults.rows + 16
        height = axis_y + 26 + FOOTER
        parts = [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height:.0f}" width="{WIDTH}" '
            f'height="{height:.0f}" role="img" aria-labelledby="title description">',
            f'<title id="title">{escape(self.name)}: {escape(self.sentence)}</title>',
            f'<desc id="description">{escape(self._description())}</desc>',
            f"<style>{STYLE}</style>",
            f'<rect x=".5" y=".5" width="{WIDTH - 1}" height="{height - 1:.0f}" rx="10" fill="{PAPER}" stroke="{FAINT}"/>',
            *self._header(),
            *self.lanes.draw_walls(),
            *self._marks(axis_y),
            *self.lanes.draw(),
            *self._axis(axis_y),
            *self._footer(height - 17),
            "</svg>",
        ]
        return "\n".join(parts) + "\n"

    def _header(self) -> list[str]:
        return [
            f'<text class="title" x="24" y="35">{escape(self.name)}</text>',
            f'<text class="small" x="876" y="35" text-anchor="end">seed {self.seed}</text>',
            f'<text x="24" y="55" style="fill:{MUTED}">{escape(self.sentence)}</text>',
        ]

    def _marks(self, axis_y: float) -> list[str]:
        """The beats above the lanes and what was done to the ways below, each with its line."""
        parts, texts = [], []
        for label in self.beats.labels:
            y = self.top - 8 - ROW * (label.row or 0)
            parts.append(_line(label.x, y - (11 if label.row is not None else 0), axis_y, 'class="beat"'))
            if label.row is not None:
                texts.append(_text(label, y))
        for label in self.faults.labels:
            y = self.bottom + ROW * ((label.row or 0) + 1) - 3
            parts.append(_line(label.x, self.top, y + 2, f'stroke="{MUTED}" stroke-dasharray="3 3"'))
            if label.row is not None:
                texts.append(_text(label, y))
        return parts + texts

    def _axis(self, y: float) -> list[str]:
        parts = [f'<path d="M{LEFT} {y:.1f}H{RIGHT}" stroke="{MUTED}" fill="none"/>']
        for quiet in self.axis.breaks():
            x, text = (quiet.left + quiet.right) / 2, show_duration(quiet.seconds)
            half = text_width(text, 11) / 2 + 5
            if quiet.right - quiet.left > 2 * half + 16:
                parts.append(
                    f'<rect x="{x - half:.1f}" y="{y - 7:.1f}" width="{2 * half:.1f}" height="14" fill="{PAPER}"/>'
                )
                for side in (x - half, x + half):
                    parts.append(f'<path d="M{side - 2:.1f} {y + 5:.1f}l4 -10" stroke="{MUTED}" fill="none"/>')
                parts.append(f'<text class="small" x="{x:.1f}" y="{y + 4:.1f}" text-anchor="middle">{text}</text>')
        for x, text in self._times():
            parts.append(f'<path d="M{x:.1f} {y:.1f}v4" stroke="{MUTED}"/>')
            parts.append(f'<text class="small" x="{x:.1f}" y="{y + 16:.1f}" text-anchor="middle">{text}</text>')
        return parts

    def _times(self) -> list[tuple[float, str]]:
        """What stands at the axis, the beats first, as much as there is space for."""
        ranks = {"beat": 0, "start": 1, "write": 3, "arrival": 4}
        order = sorted(
            zip(self.happenings, self.axis.places, strict=True), key=lambda pair: (ranks.get(pair[0].kind, 2), pair[1])
        )
        chosen: list[tuple[float, str]] = []
        for happening, x in order:
            if happening.kind == "arrival":
                break
            text = show_seconds(happening.seconds)
            width = text_width(text, 11) + TICK_GAP
            if text not in (shown for _, shown in chosen) and all(
                abs(x - other) >= (width + text_width(shown, 11) + TICK_GAP) / 2 for other, shown in chosen
            ):
                chosen.append((x, text))
        return sorted(chosen)

    def _footer(self, y: float) -> list[str]:
        """What the signs mean, and how it ended."""
        shade = colour(0)
        parts = [
            f'<circle cx="30" cy="{y - 4:.1f}" r="5" fill="{shade}"/>',
            f'<text class="small" x="40" y="{y:.1f}">written</text>',
            f'<path d="M92 {y - 9:.1f}L122 {y - 3:.1f}" stroke="{shade}" opacity=".6"/>',
            f'<circle cx="122" cy="{y - 3:.1f}" r="3" fill="{PAPER}" stroke="{shade}" stroke-width="1.5"/>',
            f'<text class="small" x="131" y="{y:.1f}">arrived</text>',
            f'<rect x="184" y="{y - 11:.1f}" width="26" height="13" fill="url(#wall)"/>',
            f'<text class="small" x="216" y="{y:.1f}">wall</text>',
            f'<path d="M252 {y - 4:.1f}h28" stroke="{MUTED}" stroke-width="1.5" stroke-dasharray="3 4"/>',
            f'<text class="small" x="286" y="{y:.1f}">off</text>',
            f'<path d="M318 {y + 1:.1f}l4 -10M323 {y + 1:.1f}l4 -10" stroke="{MUTED}"/>',
            f'<text class="small" x="333" y="{y:.1f}">time left out</text>',
        ]
        if any(happening.kind == "end" for happening in self.happenings):
            text, fill = f"✓ {self._verdict()}", GOOD
        elif self.failure is not None:
            text, fill = f"✗ {_shorten(self.failure, 70)}", BAD
        else:
            return parts
        return [*parts, f'<text x="876" y="{y:.1f}" text-anchor="end" style="fill:{fill}">{escape(text)}</text>']

    def _verdict(self) -> str:
        """What the checker found in the end, if it found no fault."""
        ways = [happening.kind for happening in self.happenings if happening.kind in {"partition", "cut", "heal"}]
        if ways and ways[-1] != "heal":
            return "nothing is lost, all who can talk agree"
        return "the same events, in the same order"

    def _description(self) -> str:
        writes = sum(happening.kind == "write" for happening in self.happenings)
        told = [
            f"{show_seconds(happening.seconds)}: {happening.text or happening.kind}."
            for happening in self.happenings
            if happening.kind not in {"write", "arrival", "end", "converged"}
        ]
        more = [f"And {len(told) - SHOWN_BEATS} more."] if len(told) > SHOWN_BEATS else []
        ended = f"It failed: {self.failure}" if self.failure is not None else f"It ends well: {self._verdict()}."
        rooms = f"{len(self.lanes.names)} rooms, {writes} events written, seed {self.seed}."
        return " ".join([rooms, *told[:SHOWN_BEATS], *more, ended])


def _until_end(happenings: Sequence[Happening]) -> Sequence[Happening]:
    """Without how the rooms are stopped after the story."""
    ends = [number for number, happening in enumerate(happenings) if happening.kind == "end"]
    return happenings[: ends[0] + 1] if ends else happenings


def _fault_text(happening: Happening) -> str:
    if happening.kind != "partition":
        return happening.text
    groups = happening.text.removeprefix("partition ")
    return f"wall: {groups}" if len(groups) <= 60 else f"wall between {groups.count('|') + 1} groups"


def _shorten(text: str, limit: int) -> str:
    return text if len(text) <= limit else f"{text[: limit - 1]}…"


def _line(x: float, top: float, bottom: float, attributes: str) -> str:
    return f'<path d="M{x:.1f} {top:.1f}V{bottom:.1f}" fill="none" {attributes}/>'


def _text(label: Label, y: float) -> str:
    x, anchor = (label.x - 5, "end") if label.is_left else (label.x + 5, "start")
    return f'<text class="halo" x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(label.text)}</text>'
