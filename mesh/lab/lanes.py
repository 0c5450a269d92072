"""The lanes of a picture: what each room lived through, what it wrote, where that arrived, and the walls between."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from html import escape
from itertools import pairwise

from mesh.lab.diary import Happening
from mesh.lab.row_labels import text_width
from mesh.lab.time_axis import show_duration

COLOURS = ("#2f6fb7", "#d1672a", "#7d4fa8", "#0f8b8d", "#c03a74", "#a37b00", "#5465c4", "#8a5a44", "#4c7a34", "#6d6875")
"""For the rooms, in turn."""
WALL, INK, GOOD, PAPER, AMBER = "#565d6b", "#22262e", "#2d8a4e", "#fbfaf7", "#b7791f"
ROOMY, NARROW = 8, 16
"""Up to so many lanes are high, or of middle height; more are low."""
NAME_LETTERS = 14
SHOWN_TYPES = 60
"""Of more events than this no types are shown."""
TYPE_LETTERS = 24
MIN_OPACITY = 0.22
"""Of the lines from writes to arrivals, however many there are."""
MAX_SHIFT = 16.0
"""So far to the right of its place a text may stand under a lane, if another one is there."""
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


def colour(number: int) -> str:
    return COLOURS[number % len(COLOURS)]


@dataclass(slots=True)
class _Wall:
    """A shaded stretch: a partition between groups, or one closed way."""

    left: float
    right: float
    groups: list[list[str]]
    is_way: bool
    text: str


@dataclass(slots=True)
class _Lane:
    y: float
    colour: str
    lives: list[tuple[float, str]] = field(default_factory=list)
    """From where on it is on, off or frozen."""
    full: list[float] = field(default_factory=list)
    """Where its disk became full, and free again."""
    told: list[tuple[float, str]] = field(default_factory=list)
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

    def draw(self) -> list[str]:
        """The lanes themselves, and on them the events."""
        return [
            *self._draw_lives(),
            *self._draw_ways(),
            *self._draw_dots(),
            *self._draw_told(),
            *self._draw_ticks(),
        ]

    def draw_walls(self) -> list[str]:
        """What stands behind the lanes."""
        parts = [
            '<defs><pattern id="wall" width="7" height="7" patternUnits="userSpaceOnUse" patternTransform="rotate(45)">'
            f'<rect width="7" height="7" fill="{WALL}" fill-opacity=".1"/>'
            f'<path d="M0 0V7" stroke="{WALL}" stroke-width="2" stroke-opacity=".22"/></pattern></defs>'
        ]
        for wall in self._walls():
            parts += self._draw_way(wall) if wall.is_way else self._draw_wall(wall)
        for happening, x in self.pairs:
            if happening.kind == "reset" and len(happening.places) == 2:
                y = sum(self._lanes[name].y for name in happening.places) / 2
                parts.append(
                    f'<path class="reset" d="M{x + 3:.1f} {y - 9:.1f}l-6 10h6l-6 10" fill="none" stroke="{INK}" '
                    f'stroke-width="1.5"><title>{escape(happening.text)}</title></path>'
                )
        return parts

    def _live(self, happening: Happening, x: float) -> None:
        kind = happening.kind
        for name in happening.places:
            lane = self._lanes[name]
            if kind in LIFE:
                lane.lives.append((x if lane.lives or happening.seconds > 0 else self.left, LIFE[kind]))
            if kind == "disk":
                lane.full.append(x)
            text = "start" if kind == "start" and len(lane.lives) > 1 else _told(happening)
            if text:
                lane.told.append((x, text))

    # Walls

    def _walls(self) -> Iterator[_Wall]:
        """Every stretch in which somebody could not talk to somebody."""
        wall: _Wall | None = None
        ways: dict[str, _Wall] = {}
        for happening, x in self.pairs:
            kind = happening.kind
            if kind in {"partition", "heal"} and wall is not None:
                wall.right = x
                yield wall
                wall = None
            if kind == "partition":
                wall = _Wall(x, self.right, _groups(happening.text), False, happening.text)
            elif kind in {"cut", "hold"}:
                source, _, target = happening.text.removeprefix(f"{kind} ").partition(" > ")
                ways.setdefault(happening.text, _Wall(x, self.right, [[source], [target]], True, happening.text))
            elif kind == "flaky":
                words = happening.text.split()
                end = happening.seconds + float(words[5])
                right = next((other for later, other in self.pairs if later.seconds >= end), self.right)
                yield _Wall(x, right, [[words[1]], [words[3]]], True, happening.text)
            elif kind in {"heal", "release"}:
                ended = "cut" if kind == "heal" else happening.text.replace("release", "hold", 1)
                for text in [text for text in ways if text.startswith(ended)]:
                    way = ways.pop(text)
                    way.right = x
                    yield way
        yield from [wall] if wall is not None else []
        yield from ways.values()

    def _draw_wall(self, wall: _Wall) -> list[str]:
        side = {name: number for number, group in enumerate(wall.groups) for name in group}
        ys = [self._lanes[name].y for name in side if name in self._lanes]
        if not ys:
            return []
        width, half = wall.right - wall.left, self.height / 2 - 3
        top, bottom = min(ys) - half, max(ys) + half
        parts = [
            f'<rect class="wall" x="{wall.left:.1f}" y="{top:.1f}" width="{width:.1f}" height="{bottom - top:.1f}" '
            f'rx="3" fill="url(#wall)"><title>{escape(wall.text)}</title></rect>'
        ]
        for one, other in pairwise(name for name in self.names if name in side):
            if side[one] != side[other]:
                y = (self._lanes[one].y + self._lanes[other].y) / 2
                thick = 5 if self.height > 20 else 1.5
                parts.append(
                    f'<path d="M{wall.left:.1f} {y:.1f}H{wall.right:.1f}" stroke="{WALL}" stroke-width="{thick}"/>'
                )
        return parts

    def _draw_way(self, wall: _Wall) -> list[str]:
        """One way from one room to another that is closed, or late: an arrow that does not get there."""
        (source,), (target,) = wall.groups
        if source not in self._lanes or target not in self._lanes:
            return []
        start, end = self._lanes[source].y, self._lanes[target].y
        down = 1 if end > start else -1
        x = wall.left + min(14.0, (wall.right - wall.left) / 2)
        middle = (start + end) / 2
        shade = AMBER if wall.text.startswith("hold") else WALL
        half = self.height / 2
        strips = [
            f'<rect class="wall" x="{wall.left:.1f}" y="{y:.1f}" width="{wall.right - wall.left:.1f}" '
            f'height="{half:.1f}" fill="url(#wall)"><title>{escape(wall.text)}</title></rect>'
            for y in (min(start, end), max(start, end) - half)
        ]
        if wall.text.startswith("flaky"):
            return strips
        return [
            *strips,
            f'<path d="M{x:.1f} {start:.1f}V{middle - down * 8:.1f}m-4 {-5 * down}l4 {5 * down}l4 {-5 * down}'
            f'M{x - 6:.1f} {middle:.1f}h12" fill="none" stroke="{shade}" stroke-width="2"/>',
        ]

    # Lanes

    def _draw_lives(self) -> list[str]:
        parts = []
        size = 13 if self.height > 20 else 10
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
            width = 3 if self.height > 20 else 1.5
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
        for lane in self._lanes.values():
            taken = self.left
            groups: dict[float, list[str]] = {}
            for x, text in lane.told:
                groups.setdefault(round(x, 1), []).append(text)
            for x, texts in groups.items():
                if "stop" in texts:
                    parts.append(f'<path d="M{x:.1f} {lane.y - 5:.1f}v10" stroke="{lane.colour}" stroke-width="2.5"/>')
                if "crash" in texts:
                    parts.append(
                        f'<path d="M{x - 4:.1f} {lane.y - 4:.1f}l8 8m0 -8l-8 8" stroke="{INK}" stroke-width="2"/>'
                    )
                text = ", ".join(texts)
                start = max(x, taken)
                if self.height > 20 and start - x <= MAX_SHIFT:
                    is_left = start + text_width(text, 11) > self.right
                    place = f'x="{x if is_left else start:.1f}" text-anchor="{"end" if is_left else "start"}"'
                    parts.append(f'<text class="small halo" {place} y="{lane.y + 17:.1f}">{escape(text)}</text>')
                    taken = start + text_width(text, 11) + 8
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
        large, small = (5.0, 3.0) if self.height > 20 else (2.8, 1.6)
        shown_types = self.height > 20 and sum(happening.kind == "write" for happening, _ in self.pairs) <= SHOWN_TYPES
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
        width = 1.5 if self.height > 20 else 0.7
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
        size = 1.0 if self.height > 20 else 0.6
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
    return TOLD.get(kind, "")


def _names(happenings: Sequence[Happening]) -> list[str]:
    """In the order in which they came, but the groups of the first partition one after the other."""
    names = dict.fromkeys(name for happening in happenings for name in happening.places)
    walls = (happening.text for happening in happenings if happening.kind == "partition")
    groups = _groups(next(walls, ""))
    side = {name: number for number, group in enumerate(groups) for name in group}
    return sorted(names, key=lambda name: side.get(name, len(groups)))


def _groups(partition: str) -> list[list[str]]:
    """The sides of a wall, as the trace names them."""
    return [group.split() for group in partition.removeprefix("partition ").split(" | ")]
