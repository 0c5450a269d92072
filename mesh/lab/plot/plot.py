"""The picture of a story: rooms as lanes over time, with what was written, what broke, and what came of it, as SVG."""

from __future__ import annotations

import re
from collections.abc import Sequence
from html import escape
from textwrap import wrap

from mesh.lab.plot.label_layout import Label, RowLabels, text_width
from mesh.lab.plot.lanes import Lanes, colour
from mesh.lab.plot.partitions import flaky_end, flaky_pair
from mesh.lab.plot.time_axis import TimeAxis, show_duration, show_seconds
from mesh.lab.recording.timeline import Happening

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
TOLD_BELOW = frozenset({"partition", "heal", "cut", "hold", "release", "slow", "flaky", "bad"})
GOOD_AIR = "bad air: 0 lost, up to 0 s late"
FLAKY_MARGIN = 0.001
"""Seconds after which a way that was flaky has been told to be good again."""
BROKEN_PIXELS = 20.0
"""Marks of time left out are not nearer to each other than this."""
REASON_LINES, REASON_LETTERS = 5, 125
"""So much is told of why a story failed, in lines so long at most."""
REASON_GAP = 6.0
VERDICT_WIDTH = 340.0
"""What is no wider stands beside what the signs mean."""
NOT_IN_XML = re.compile("[^\\t\\n -\\ud7ff\\ue000-\\ufffd\\U00010000-\\U0010ffff]")

STYLE = f"""
text {{ font: 12px sans-serif; fill: {INK} }}
.small {{ font-size: 11px; fill: {MUTED} }}
.halo {{ paint-order: stroke; stroke: {PAPER}; stroke-width: 3px; stroke-linejoin: round }}
.title {{ font-size: 18px; font-weight: bold }}
.beat {{ stroke: {INK}; stroke-width: 1; opacity: .55 }}
.break {{ stroke: {MUTED}; stroke-width: 1; fill: none; stroke-dasharray: 2 3 }}
.failure {{ stroke: {BAD}; stroke-width: 1.5; stroke-dasharray: 6 3 }}
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
    svg = _Picture(happenings if failure is not None else _until_end(happenings), name, sentence, seed, failure).draw()
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
        self._add_labels()
        self.top = HEADER + ROW * self.beats.rows + 8
        self.lanes = Lanes(happenings, self.axis.places, self.top, LEFT, RIGHT)
        self.bottom = self.lanes.bottom
        verdict = self._ending()
        self.reason = [] if text_width(verdict, 12) <= VERDICT_WIDTH else _wrapped(verdict)
        """Why it failed, where that is too long to stand beside what the signs mean."""

    def _add_labels(self) -> None:
        flaky_until: dict[frozenset[str], float] = {}
        for happening, x in zip(self.happenings, self.axis.places, strict=True):
            if happening.kind == "beat":
                self.beats.add(Label(x, happening.text, prefers_left=True))
            elif happening.kind in TOLD_BELOW:
                # what flaky does to its own way meanwhile can be seen
                is_flaky = happening.seconds < flaky_until.get(frozenset(happening.places), 0.0)
                if happening.kind != "slow" or not is_flaky:
                    self.faults.add(Label(x, _fault_text(happening), prefers_left=False))
            if happening.kind == "flaky":
                flaky_until[frozenset(flaky_pair(happening))] = flaky_end(happening) + FLAKY_MARGIN

    def draw(self) -> str:
        axis_y = self.bottom + ROW * self.faults.rows + 16
        legend_y = axis_y + 26 + FOOTER - 17
        height = legend_y + 17 + (REASON_GAP + ROW * len(self.reason) if self.reason else 0)
        parts = [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height:.0f}" width="{WIDTH}" '
            f'height="{height:.0f}" role="img" aria-labelledby="title description">',
            f'<title id="title">{escape(self.name)}: {escape(self.sentence)}</title>',
            f'<desc id="description">{escape(self._description())}</desc>',
            f"<style>{STYLE}</style>",
            f'<rect x=".5" y=".5" width="{WIDTH - 1}" height="{height - 1:.0f}" rx="10" fill="{PAPER}" stroke="{FAINT}"/>',
            *self._header(),
            *self.lanes.walls.draw(),
            *self._marks(axis_y),
            *self.lanes.draw(),
            *self._axis(axis_y),
            *self._footer(legend_y),
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
                texts += _text(label, y)
        for label in self.faults.labels:
            y = self.bottom + ROW * ((label.row or 0) + 1) - 3
            parts.append(_line(label.x, self.top, y + 2, f'stroke="{MUTED}" stroke-dasharray="3 3"'))
            if label.row is not None:
                texts += _text(label, y)
        if self.failure is not None and self.happenings:
            parts.append(_line(self.axis.places[-1], self.top, axis_y, 'class="failure"'))
        return parts + texts

    def _axis(self, y: float) -> list[str]:
        parts = [f'<path d="M{LEFT} {y:.1f}H{RIGHT}" stroke="{MUTED}" fill="none"/>']
        parts += self._broken(y)
        for x, text in self._times():
            parts.append(f'<path d="M{x:.1f} {y:.1f}v4" stroke="{MUTED}"/>')
            parts.append(f'<text class="small" x="{x:.1f}" y="{y + 16:.1f}" text-anchor="middle">{text}</text>')
        return parts

    def _broken(self, y: float) -> list[str]:
        """Where time is left out: how much, or, where that has no space, at least that it is so."""
        parts: list[str] = []
        marked: list[float] = []
        for quiet in sorted(self.axis.breaks(), key=lambda quiet: (-quiet.seconds, quiet.left)):
            x, text = (quiet.left + quiet.right) / 2, show_duration(quiet.seconds)
            half = text_width(text, 11) / 2 + 5
            is_told = quiet.right - quiet.left > 2 * half + 16
            if not is_told and any(abs(x - other) < BROKEN_PIXELS for other in marked):
                continue
            marked.append(x)
            half = half if is_told else 2.5
            parts += [
                f'<g class="broken"><title>{text}</title>'
                f'<rect x="{x - half:.1f}" y="{y - 7:.1f}" width="{2 * half:.1f}" height="14" fill="{PAPER}"/>'
                f'<path d="M{x - half - 2:.1f} {y + 5:.1f}l4 -10M{x + half - 2:.1f} {y + 5:.1f}l4 -10" '
                f'stroke="{MUTED}" fill="none"/></g>'
            ]
            if is_told:
                parts.append(f'<text class="small" x="{x:.1f}" y="{y + 4:.1f}" text-anchor="middle">{text}</text>')
        return parts

    def _times(self) -> list[tuple[float, str]]:
        """What stands at the axis, the beats first, as much as there is space for."""
        ranks = {"now": 0, "beat": 0, "start": 1, "write": 3, "arrival": 4}
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
        if self.lanes.walls.has_bad_ways:
            parts += [
                f'<rect x="412" y="{y - 11:.1f}" width="26" height="13" fill="url(#bad)"/>',
                f'<text class="small" x="444" y="{y:.1f}">closed or bad way</text>',
            ]
        fill = GOOD if self.failure is None else BAD
        for number, line in enumerate(self.reason):
            parts.append(
                f'<text x="24" y="{y + REASON_GAP + ROW * (number + 1):.1f}" style="fill:{fill}">{escape(line)}</text>'
            )
        if self.reason:
            return parts
        text = escape(self._ending())
        return [*parts, f'<text x="876" y="{y:.1f}" text-anchor="end" style="fill:{fill}">{text}</text>']

    def _ending(self) -> str:
        """How it ended, in one line; nothing if nobody judged."""
        if self.failure is not None:
            return f"✗ {self.failure}"
        return f"✓ {self._verdict()}" if any(happening.kind == "end" for happening in self.happenings) else ""

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
            if happening.kind not in {"write", "arrival", "end", "converged", "now"}
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
    if happening.kind == "bad":
        return "good air again" if happening.text == GOOD_AIR else happening.text
    if happening.kind != "partition":
        return happening.text
    groups = happening.text.removeprefix("partition ")
    return f"wall: {groups}" if len(groups) <= 60 else f"wall between {groups.count('|') + 1} groups"


def _wrapped(text: str) -> list[str]:
    return wrap(text, REASON_LETTERS, max_lines=REASON_LINES, placeholder=" …", break_on_hyphens=False)


def _line(x: float, top: float, bottom: float, attributes: str) -> str:
    return f'<path d="M{x:.1f} {top:.1f}V{bottom:.1f}" fill="none" {attributes}/>'


def _text(label: Label, y: float) -> list[str]:
    """The text of a label, on paper of its own: lines of others end beside it."""
    x, anchor = (label.x - 5, "end") if label.is_left else (label.x + 5, "start")
    width = text_width(label.text, 12)
    left = x - width if label.is_left else x
    return [
        f'<rect class="paper" x="{left - 2:.1f}" y="{y - 11:.1f}" width="{width + 4:.1f}" height="14" fill="{PAPER}"/>',
        f'<text class="halo" x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(label.text)}</text>',
    ]
