"""The lanes of a picture: what each room lived through, what it wrote, and where that arrived."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from html import escape
from itertools import pairwise

from mesh.lab.plot.label_layout import LaneTexts, text_width
from mesh.lab.plot.partitions import Partitions, groups
from mesh.lab.plot.time_axis import show_duration
from mesh.lab.recording.timeline import Happening

COLOURS = ("#2f6fb7", "#d1672a", "#7d4fa8", "#0f8b8d", "#c03a74", "#a37b00", "#5465c4", "#8a5a44", "#4c7a34", "#6d6875")
"""For the rooms, in turn."""
INK, GOOD, PAPER, AMBER = "#22262e", "#2d8a4e", "#fbfaf7", "#b7791f"
ROOMY, NARROW = 8, 16
"""Up to so many lanes are high, or of middle height; more are low."""
NAME_LETTERS = 14
SHOWN_TYPES = 60
"""Of more events than this no types are shown."""
TYPE_LETTERS = 24
MIN_OPACITY = 0.22
"""Of the lines from writes to arrivals, however many there are."""
BEYOND = 14.0
"""So far right of the lanes a text may reach."""
TOLD_ROW = 11.0
"""Height of a row of texts under a lane."""
LOW_HEIGHT, MIDDLE_HEIGHT = 20.0, 40.0
"""Under lanes up to these there is space for no text, and for one row."""
TICK_PIXELS = 16
"""Ticks nearer to each other than this are one."""
LIFE = {
    "start": "on",
    "restart": "on",
    "client": "on",
    "thaw": "on",
    "stop": "off",
    "crash": "off",
    "freeze": "frozen",
}
"""How a room goes on after what."""
MENDING = frozenset({"heal", "release", "start", "restart", "thaw"})
"""What lets events through that had to wait."""
DASHES = {
    "on": ' opacity=".4"',
    "off": ' stroke-dasharray="3 5" opacity=".55"',
    "frozen": ' stroke-dasharray="1 3" opacity=".9"',
}
TOLD = {
    "crash": "crash",
    "stop": "stop",
    "restart": "restart",
    "wipe": "disk lost",
    "restore": "backup put in",
    "snapshot": "backup",
    "freeze": "frozen",
    "thaw": "thawed",
}
"""What is written at a lane when this is done to its room; see also _told."""
LIED_TO = {"forge": "forged sighting", "repeat": "old sighting"}
"""What is written at the lane of the room that was told it, which is the last word."""


def colour(number: int) -> str:
    return COLOURS[number % len(COLOURS)]


@dataclass(slots=True)
class _Lane:
    y: float
    colour: str
    lives: list[tuple[float, str]] = field(default_factory=list)
    """From where on it is on, off or frozen."""
    full: list[float] = field(default_factory=list)
    """Where its disk became full, and free again."""
    told: list[tuple[float, float, str]] = field(default_factory=list)
    texts: list[tuple[float, float]] = field(default_factory=list)
    """From where to where texts stand above it."""


class Lanes:
    """Draws everything between the labels above and the axis below."""

    def __init__(
        self, happenings: Sequence[Happening], places: Sequence[float], top: float, left: float, right: float
    ) -> None:
        """`places` are the pixels at which the happenings stand."""
        self.pairs = list(zip(happenings, places, strict=True))
        self.left, self.right = left, right
        self.names = _names(happenings)
        count = len(self.names)
        self.height = 54.0 if count <= ROOMY else 34.0 if count <= NARROW else 16.0
        self.top = top
        self.bottom = top + self.height * count
        self._lanes = {
            name: _Lane(top + self.height * (number + 0.5), colour(number)) for number, name in enumerate(self.names)
        }
        for happening, x in self.pairs:
            self._live(happening, x)
        self.walls = Partitions(self.pairs, {name: lane.y for name, lane in self._lanes.items()}, self.height, right)

    def draw(self) -> list[str]:
        """The lanes themselves, and on them the events."""
        return [
            *self._draw_lives(),
            *self.walls.draw_signs(),
            *self._draw_ways(),
            *self._draw_dots(),
            *self._draw_told(),
            *self._draw_ticks(),
        ]

    def _live(self, happening: Happening, x: float) -> None:
        kind = happening.kind
        if kind in LIED_TO:
            told_to = happening.text.split()[-1]
            if told_to in self._lanes:
                self._lanes[told_to].told.append((x, happening.seconds, LIED_TO[kind]))
            return
        for name in happening.places:
            lane = self._lanes[name]
            if kind in LIFE:
                lane.lives.append((x if lane.lives or happening.seconds > 0 else self.left, LIFE[kind]))
            if kind == "disk":
                lane.full.append(x)
            text = "start" if kind == "start" and len(lane.lives) > 1 else _told(happening)
            if text:
                lane.told.append((x, happening.seconds, text))

    # Lanes

    def _draw_lives(self) -> list[str]:
        parts = []
        size = 13 if self.height > LOW_HEIGHT else 10
        for name, lane in self._lanes.items():
            shown = name if len(name) <= NAME_LETTERS else f"{name[: NAME_LETTERS - 1]}…"
            parts.append(
                f'<text class="lane" x="{self.left - 12:.0f}" y="{lane.y + size / 3:.1f}" text-anchor="end" '
                f'style="font-size:{size}px;fill:{lane.colour};font-weight:bold">{escape(shown)}</text>'
            )
            for start, end in zip(lane.full[::2], [*lane.full[1::2], self.right], strict=False):
                parts.append(
                    f'<rect x="{start:.1f}" y="{lane.y - 5:.1f}" width="{end - start:.1f}" height="10" rx="2" '
                    f'fill="{AMBER}" opacity=".25"/>'
                )
            width = 3 if self.height > LOW_HEIGHT else 1.5
            for (x, life), (end, _) in pairwise([*lane.lives, (self.right, "")]):
                if end > x:
                    parts.append(
                        f'<path d="M{x:.1f} {lane.y:.1f}H{end:.1f}" stroke="{lane.colour}" fill="none" '
                        f'stroke-width="{width if life != "off" else width / 2}"{DASHES[life]}/>'
                    )
        return parts

    def _draw_told(self) -> list[str]:
        """What was done to a room stands under its lane, as far as there is space."""
        parts = []
        rows = 2 if self.height > MIDDLE_HEIGHT else 1 if self.height > LOW_HEIGHT else 0
        for lane in self._lanes.values():
            together: dict[float, list[str]] = {}
            seconds: dict[float, float] = {}
            for x, second, text in lane.told:
                together.setdefault(round(x, 1), []).append(text)
                seconds[round(x, 1)] = second
            below = LaneTexts(self.left, self.right + BEYOND, rows)
            for x, told in together.items():
                if "stop" in told:
                    parts.append(f'<path d="M{x:.1f} {lane.y - 5:.1f}v10" stroke="{lane.colour}" stroke-width="2.5"/>')
                if "crash" in told:
                    parts.append(
                        f'<path d="M{x - 4:.1f} {lane.y - 4:.1f}l8 8m0 -8l-8 8" stroke="{INK}" stroke-width="2"/>'
                    )
                below.add(x, seconds[x], ", ".join(told))
            parts += [
                f'<text class="small halo told" x="{placed.start:.1f}" y="{lane.y + 17 + TOLD_ROW * placed.row:.1f}">'
                f"{escape(placed.text)}</text>"
                for placed in below.texts
            ]
        return parts

    # Events

    def _draw_ways(self) -> list[str]:
        """One path for each room: from what it wrote to wherever that arrived; it waits until the last mending."""
        written: dict[int, tuple[float, str]] = {}
        ways: dict[str, list[str]] = {}
        mended = self.left
        for happening, x in self.pairs:
            if happening.kind in MENDING:
                mended = x
            elif happening.kind == "write":
                written[happening.number] = (x, happening.places[0])
            elif happening.kind == "arrival" and happening.number in written:
                start, source = written[happening.number]
                y, end = self._lanes[source].y, self._lanes[happening.places[0]].y
                if end != y:
                    wait = f"H{mended:.1f}" if mended > start else ""
                    ways.setdefault(source, []).append(f"M{start:.1f} {y:.1f}{wait}L{x:.1f} {end:.1f}")
        count = sum(map(len, ways.values()))
        opacity = max(MIN_OPACITY, min(0.6, 24 / count)) if count else 0
        return [
            f'<path class="way" d="{"".join(lines)}" stroke="{self._lanes[source].colour}" '
            f'stroke-width="{1.4 if count < 200 else 1.2}" opacity="{opacity:.2f}"/>'  # of 1 and less dense ones are dark
            for source, lines in ways.items()
        ]

    def _draw_dots(self) -> list[str]:
        """A dot for each event in each room; those that touch the one before have no rim."""
        shades: dict[int, str] = {}
        arrivals, writes, types = [], [], []
        large, small = (5.0, 3.0) if self.height > LOW_HEIGHT else (2.8, 1.6)
        shown_types = (
            self.height > LOW_HEIGHT and sum(happening.kind == "write" for happening, _ in self.pairs) <= SHOWN_TYPES
        )
        last: dict[tuple[str, str], float] = {}
        for happening, x in self.pairs:
            if happening.kind not in {"write", "arrival"}:
                continue
            name = happening.places[0]
            lane = self._lanes[name]
            is_crowded = x - last.get((name, happening.kind), -100) < small
            last[name, happening.kind] = x
            if happening.kind == "arrival":
                shade = shades.get(happening.number, INK)
                look = f'fill="{shade}"' if is_crowded else f'stroke="{shade}"'
                arrivals.append(f'<circle class="arrival" cx="{x:.1f}" cy="{lane.y:.1f}" r="{small}" {look}/>')
                continue
            shades[happening.number] = lane.colour
            rim = "" if is_crowded else f' stroke="{PAPER}"'
            writes.append(
                f'<circle class="write" cx="{x:.1f}" cy="{lane.y:.1f}" r="{large}" fill="{lane.colour}"{rim}>'
                f"<title>{escape(name)} wrote {escape(happening.text)} at {happening.seconds:.3f} s</title></circle>"
            )
            if shown_types:
                types += self._draw_type(lane, x, happening.text)
        width = 1.5 if self.height > LOW_HEIGHT else 0.7
        return [f'<g fill="{PAPER}" stroke-width="{width}">', *arrivals, "</g>", *writes, *types]

    def _draw_type(self, lane: _Lane, x: float, text: str) -> list[str]:
        shown = text if len(text) <= TYPE_LETTERS else f"{text[: TYPE_LETTERS - 1]}…"
        half = text_width(shown, 12) / 2
        if any(x - half < end and start < x + half for start, end in lane.texts):
            return []
        lane.texts.append((x - half, x + half))
        return [
            f'<text class="halo" x="{x:.1f}" y="{lane.y - 10:.1f}" text-anchor="middle" '
            f'style="fill:{lane.colour}">{escape(shown)}</text>'
        ]

    def _draw_ticks(self) -> list[str]:
        """A tick on every lane whose room was found to hold the same as all others."""
        parts = []
        size = 1.0 if self.height > LOW_HEIGHT else 0.6
        ticks: dict[float, dict[str, None]] = {}
        for happening, x in self.pairs:
            if happening.kind in {"converged", "end"}:
                near = next((other for other in ticks if x - other < TICK_PIXELS), x)
                ticks.setdefault(near, {}).update(dict.fromkeys(happening.places))
        for x, names in ticks.items():
            for name in names:
                y = self._lanes[name].y
                parts.append(
                    f'<g class="tick" transform="translate({x:.1f} {y:.1f}) scale({size})">'
                    f'<circle r="8" fill="{GOOD}" stroke="{PAPER}" stroke-width="1.5"/>'
                    '<path d="M-3.6 .2l2.5 2.7l4.8 -5.4" fill="none" stroke="#fff" stroke-width="1.8"/></g>'
                )
        return parts


def _told(happening: Happening) -> str:
    """What is written at the lane of a room that this was done to; empty: nothing."""
    text, kind = happening.text, happening.kind
    if kind == "disk":
        return "disk full" if text.endswith("is full") else "disk free"
    if kind == "drift":
        return f"clock drifts by {float(text.split()[-1]):+.2%}"
    if kind == "skew":
        ms = int(text.split()[-2])
        return f"clock {'+' if ms >= 0 else '-'}{show_duration(abs(ms) / 1000)}"
    if kind == "failing":
        commits = int(text.split()[-1])
        return "1 commit fails" if commits == 1 else f"{commits} commits fail"
    if kind == "move":
        return f"moves to {text.split()[-1]}"
    return TOLD.get(kind, "")


def _names(happenings: Sequence[Happening]) -> list[str]:
    """In the order in which they came, but the groups of the first partition one after the other."""
    names = dict.fromkeys(name for happening in happenings for name in happening.places)
    walls = (happening.text for happening in happenings if happening.kind == "partition")
    sides = groups(next(walls, ""))
    side = {name: number for number, group in enumerate(sides) for name in group}
    return sorted(names, key=lambda name: side.get(name, len(sides)))
