"""The picture of a scenario as SVG: a lane over time for each room, with what was written, what broke, and how it ended."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from html import escape
from textwrap import wrap

from mesh.lab.plot.lanes import Lanes, colour
from mesh.lab.plot.partitions import BAD_FILL, WALL_FILL
from mesh.lab.plot.svg import (
    GREEN,
    GREY,
    LABEL_GAP,
    PALE,
    PAPER,
    RED,
    STYLE,
    Notes,
    TextRow,
    mark,
    tag,
    text_width,
    words,
)
from mesh.lab.plot.time_axis import TimeAxis, show_duration, show_seconds
from mesh.lab.recording.timeline import Happening

WIDTH, MARGIN = 900, 24.0
LEFT, RIGHT, TOP = 118.0, 862.0, 92.0
"""Where the lanes are."""
LINE = 17.0
"""Height of a line of text."""
SIGN_PIXELS, SIGN_GAP = 32.0, 18.0
"""Width of a sign in the legend, and pixels between two explanations."""
DESCRIBED_HAPPENINGS = 20
"""The description for readers who cannot see the picture names so many."""
LINK_CHANGES = frozenset({"partition", "heal", "cut", "hold", "release", "slow", "flaky", "bad"})
SHORTER = {"bad air: 0 lost, up to 0 s late": "good air again"}
BREAK_PIXELS = 20.0
"""Breaks of the axis are not nearer to each other than this."""
ENDING_LINES, ENDING_LETTERS = 5, 125
NOT_IN_XML = re.compile("[^\\t\\n -\\ud7ff\\ue000-\\ufffd\\U00010000-\\U0010ffff]")


def plot(
    happenings: Sequence[Happening], *, name: str, sentence: str = "", seed: int = 0, failure: str | None = None
) -> str:
    """Draw what the timeline of a run holds; equal happenings give equal bytes.

    `name` and `sentence` are the name of the scenario and what happens in it, `failure` is why the run failed. The SVG is
    900 px wide, has a background, and needs no particular font. Its marks have tooltips; their texts are left out where
    they have no space.
    """
    ends = [number for number, happening in enumerate(happenings) if happening.kind == "end"]
    if ends and failure is None:  # how the rooms are stopped afterwards is not shown
        happenings = happenings[: ends[0] + 1]
    return NOT_IN_XML.sub("�", _Picture(happenings, name.replace("_", " "), sentence, seed, failure).draw())


class _Picture:
    """One drawing, from the top to the bottom."""

    def __init__(
        self, happenings: Sequence[Happening], name: str, sentence: str, seed: int, failure: str | None
    ) -> None:
        self.happenings = happenings
        self.name, self.sentence, self.seed, self.failure = name, sentence, seed, failure
        self.axis = TimeAxis(happenings, LEFT + 6, RIGHT - 8)
        self.lanes = Lanes(happenings, self.axis.places, TOP, LEFT, RIGHT)
        self.axis_y = self.lanes.bottom + 1.8 * LINE
        self.legend_y = self.axis_y + 3 * LINE

    def draw(self) -> str:
        ending = wrap(self._ending(), ENDING_LETTERS, max_lines=ENDING_LINES, placeholder=" …", break_on_hyphens=False)
        height = self.legend_y + LINE * (len(ending) + 1.2)
        shade = GREEN if self.failure is None else RED
        above, below = TextRow(TOP - 10, MARGIN, RIGHT + 20), TextRow(self.lanes.bottom + 14, LEFT, WIDTH - MARGIN)
        parts = [
            tag("desc", escape(self._description())),
            tag("style", STYLE),
            tag("rect", x=0.5, y=0.5, width=WIDTH - 1, height=height - 1, rx="10", fill=PAPER, stroke=PALE),
            words(self.name, MARGIN, 35, kind="title"),
            words(f"seed {self.seed}", WIDTH - MARGIN, 35, kind="small", text_anchor="end"),
            words(self.sentence, MARGIN, 55, style=f"fill:{GREY}"),
            *self.lanes.partitions.draw(),
            *self._draw_notes("beat", {"beat"}, above, TOP - 20, self.axis_y, "end", "start"),
            *self._draw_notes("change", LINK_CHANGES, below, TOP, self.lanes.bottom + 16, "start", "end"),
            *self.lanes.draw(),
            *self._draw_axis(),
            *self._draw_legend(),
        ]
        parts += [
            words(line, MARGIN, self.legend_y + LINE * (number + 1.4), style=f"fill:{shade}")
            for number, line in enumerate(ending)
        ]
        if self.failure is not None and self.happenings:
            parts.append(mark(f"M{self.axis.places[-1]:.1f} {TOP}V{self.axis_y}", "failure", self.failure))
        return tag(
            "svg",
            *(f"\n{part}" for part in parts if part),
            title=f"{self.name}: {self.sentence}",
            xmlns="http://www.w3.org/2000/svg",
            viewBox=f"0 0 {WIDTH} {height:.0f}",
            width=f"{WIDTH}",
            height=f"{height:.0f}",
            role="img",
        )

    def _draw_notes(
        self, kind: str, kinds: Collection[str], row: TextRow, top: float, bottom: float, *anchors: str
    ) -> list[str]:
        """Lines for what did not happen to single rooms, with their texts in the row."""
        notes: Notes = {}
        for happening, x in zip(self.happenings, self.axis.places, strict=True):
            if happening.kind in kinds and not self.lanes.partitions.is_of_flaky(happening, x):
                text = SHORTER.get(happening.text, happening.text)
                notes.setdefault((x, show_seconds(happening.seconds)), []).append(text)
        lines, labels = [], []
        for (x, time), texts in notes.items():
            text = ", ".join(texts)
            lines.append(mark(f"M{x:.1f} {top:.1f}V{bottom:.1f}", kind, f"{time}: {text}"))
            labels.append(row.add(x, text, *anchors))
        return lines + labels

    def _draw_axis(self) -> list[str]:
        y = self.axis_y
        parts = [tag("path", d=f"M{LEFT} {y:.1f}H{RIGHT}", stroke=GREY)]
        broken: list[float] = []
        for quiet in sorted(self.axis.breaks(), key=lambda quiet: (-quiet.seconds, quiet.left)):
            x, duration = (quiet.left + quiet.right) / 2, show_duration(quiet.seconds)
            half = text_width(duration) / 2 + LABEL_GAP
            has_space = quiet.right - quiet.left > 2 * half + 16
            if not has_space and any(abs(x - other) < BREAK_PIXELS for other in broken):
                continue
            broken.append(x)
            half = half if has_space else 2.5
            slashes = f"M{x - half - 2:.1f} {y + 5:.1f}l4 -10M{x + half - 2:.1f} {y + 5:.1f}l4 -10"
            gap = tag("rect", x=x - half, y=y - 7, width=2 * half, height=14, fill=PAPER)
            parts.append(tag("g", gap, tag("path", d=slashes, stroke=GREY), title=duration, kind="broken"))
            if has_space:
                parts.append(words(duration, x, y + 4, kind="small", text_anchor="middle"))
        row = TextRow(y + 16, 0, WIDTH)
        for text, x in self._times().items():
            if shown := row.add(x, text, "middle", kind="small"):
                parts += [tag("path", d=f"M{x:.1f} {y:.1f}v4", stroke=GREY), shown]
        return parts

    def _times(self) -> dict[str, float]:
        """The times of happenings by how they are written, the more important ones first."""
        ranks = {"now": 0, "beat": 0, "start": 1, "write": 3}
        pairs = [pair for pair in zip(self.happenings, self.axis.places, strict=True) if pair[0].kind != "arrival"]
        times: dict[str, float] = {}
        for happening, x in sorted(pairs, key=lambda pair: (ranks.get(pair[0].kind, 2), pair[1])):
            times.setdefault(show_seconds(happening.seconds), x)
        return times

    def _draw_legend(self) -> list[str]:
        shade = colour(0)
        way = tag("path", d="M0 -9L26 -3", stroke=shade, opacity=".6")
        arrival = tag("circle", cx=26, cy=-3, r=3, fill=PAPER, stroke=shade, stroke_width="1.5")
        signs = {
            "written": tag("circle", cx=13, cy=-4, r=5, fill=shade),
            "arrived": way + arrival,
            "wall": tag("rect", y=-11, width=26, height=13, fill=WALL_FILL),
            "off": tag("path", d="M0 -4h26", stroke=GREY, stroke_width="1.5", stroke_dasharray="3 4"),
            "time left out": tag("path", d="M9 1l4 -10M14 1l4 -10", stroke=GREY),
        }
        if self.lanes.partitions.has_bad_links:
            signs["closed or bad link"] = tag("rect", y=-11, width=26, height=13, fill=BAD_FILL)
        parts, x = [], MARGIN
        for text, sign in signs.items():
            place = f"translate({x:.1f} {self.legend_y:.1f})"
            parts.append(tag("g", sign, words(text, SIGN_PIXELS, 0, kind="small"), transform=place))
            x += SIGN_PIXELS + text_width(text) + SIGN_GAP
        return parts

    def _ending(self) -> str:
        """How the run ended; empty if the checker did not judge."""
        if self.failure is not None:
            return f"✗ {self.failure}"
        return f"✓ {self._verdict()}" if any(happening.kind == "end" for happening in self.happenings) else ""

    def _verdict(self) -> str:
        """What holds at the end of a run without a failure."""
        changes = [happening.kind for happening in self.happenings if happening.kind in {"partition", "cut", "heal"}]
        if changes and changes[-1] != "heal":
            return "nothing is lost, all who can talk agree"
        return "the same events, in the same order"

    def _description(self) -> str:
        writes = sum(happening.kind == "write" for happening in self.happenings)
        happened = [
            f"{show_seconds(happening.seconds)}: {happening.text or happening.kind}."
            for happening in self.happenings
            if happening.kind not in {"write", "arrival", "end", "converged", "now"}
        ]
        left_out = len(happened) - DESCRIBED_HAPPENINGS
        more = [f"And {left_out} more."] if left_out > 0 else []
        ended = f"It failed: {self.failure}" if self.failure is not None else f"It ends well: {self._verdict()}."
        rooms = f"{len(self.lanes.names)} rooms, {writes} events written, seed {self.seed}."
        return " ".join([rooms, *happened[:DESCRIBED_HAPPENINGS], *more, ended])
