"""The walls of a picture: between whom nothing went, and the ways that were closed, late, bad or broken."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from itertools import pairwise

from mesh.lab.recording.timeline import Happening

WALL, INK, AMBER = "#565d6b", "#22262e", "#b7791f"
LOW = 20.0
"""Lanes up to this height have thin signs."""
BAD_WAYS = frozenset({"cut", "hold", "flaky"})
"""What is shaded as a closed or bad way."""
HATCHES = (
    '<defs><pattern id="wall" width="7" height="7" patternUnits="userSpaceOnUse" patternTransform="rotate(45)">'
    f'<rect width="7" height="7" fill="{WALL}" fill-opacity=".1"/>'
    f'<path d="M0 0V7" stroke="{WALL}" stroke-width="2" stroke-opacity=".22"/></pattern>'
)
BAD_HATCH = (
    '<pattern id="bad" width="6" height="6" patternUnits="userSpaceOnUse" patternTransform="rotate(-45)">'
    f'<rect width="6" height="6" fill="{AMBER}" fill-opacity=".07"/>'
    f'<path d="M0 0V6" stroke="{AMBER}" stroke-width="1.2" stroke-opacity=".3"/></pattern>'
)


@dataclass(slots=True)
class _Wall:
    """A shaded stretch: a partition between groups, or one closed way."""

    left: float
    right: float
    groups: list[list[str]]
    is_way: bool
    text: str


class Partitions:
    """Draws the stretches in which somebody could not talk to somebody, behind the lanes and on them."""

    def __init__(
        self, pairs: Sequence[tuple[Happening, float]], ys: Mapping[str, float], height: float, right: float
    ) -> None:
        """`pairs` are happenings and their pixels, `ys` where each lane is, from the top down, `height` that of one."""
        self._pairs = pairs
        self._ys = ys
        self._height = height
        self._right = right
        self._walls = list(self._find())
        self.has_bad_ways = any(wall.is_way for wall in self._walls)
        """Whether there is something to explain that is not a wall."""

    def draw(self) -> list[str]:
        """What stands behind the lanes."""
        parts = [HATCHES + (BAD_HATCH if self.has_bad_ways else "") + "</defs>"]
        for wall in self._walls:
            parts += self._draw_strips(wall) if wall.is_way else self._draw_wall(wall)
        return parts

    def draw_signs(self) -> list[str]:
        """What stands on the lanes: arrows that do not get there, and the bolts of broken connections."""
        parts = []
        for wall in self._walls:
            if wall.is_way and not wall.text.startswith("flaky"):
                parts += self._draw_arrow(wall)
        for happening, x in self._pairs:
            if happening.kind == "reset" and len(happening.places) == 2:
                parts.append(self._draw_bolt(happening, x))
        return parts

    def _find(self) -> Iterator[_Wall]:
        """Every stretch in which somebody could not talk to somebody."""
        wall: _Wall | None = None
        ways: dict[str, _Wall] = {}
        for happening, x in self._pairs:
            kind = happening.kind
            if kind in {"partition", "heal"} and wall is not None:
                wall.right = x
                yield wall
                wall = None
            if kind == "partition":
                wall = _Wall(x, self._right, groups(happening.text), False, happening.text)
            elif kind in {"cut", "hold"}:
                source, _, target = happening.text.removeprefix(f"{kind} ").partition(" > ")
                ways.setdefault(happening.text, _Wall(x, self._right, [[source], [target]], True, happening.text))
            elif kind == "flaky":
                one, other = flaky_pair(happening)
                end = flaky_end(happening)
                right = next((place for later, place in self._pairs if later.seconds >= end), self._right)
                yield _Wall(x, right, [[one], [other]], True, happening.text)
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
        ys = [self._ys[name] for name in side if name in self._ys]
        if not ys:
            return []
        width, half = wall.right - wall.left, self._height / 2 - 3
        top, bottom = min(ys) - half, max(ys) + half
        parts = [
            f'<rect class="wall" x="{wall.left:.1f}" y="{top:.1f}" width="{width:.1f}" height="{bottom - top:.1f}" '
            f'rx="3" fill="url(#wall)"><title>{escape(wall.text)}</title></rect>'
        ]
        for one, other in pairwise(name for name in self._ys if name in side):
            if side[one] != side[other]:
                y = (self._ys[one] + self._ys[other]) / 2
                thick = 5 if self._height > LOW else 1.5
                parts.append(
                    f'<path d="M{wall.left:.1f} {y:.1f}H{wall.right:.1f}" stroke="{WALL}" stroke-width="{thick}"/>'
                )
        return parts

    def _draw_strips(self, wall: _Wall) -> list[str]:
        """The shade of one way, at the lanes at its two ends."""
        (source,), (target,) = wall.groups
        if source not in self._ys or target not in self._ys:
            return []
        start, end = self._ys[source], self._ys[target]
        half = self._height / 2
        return [
            f'<rect class="bad" x="{wall.left:.1f}" y="{y:.1f}" width="{wall.right - wall.left:.1f}" '
            f'height="{half:.1f}" fill="url(#bad)"><title>{escape(wall.text)}</title></rect>'
            for y in (min(start, end), max(start, end) - half)
        ]

    def _draw_arrow(self, wall: _Wall) -> list[str]:
        """One way that is closed, or late: from dot to dot, with a bar across it shortly before its end."""
        (source,), (target,) = wall.groups
        if source not in self._ys or target not in self._ys:
            return []
        start, end = self._ys[source], self._ys[target]
        down = 1 if end > start else -1
        x = wall.left + min(14.0, (wall.right - wall.left) / 2)
        shade = AMBER if wall.text.startswith("hold") else WALL
        size = 1.0 if self._height > LOW else 0.5
        bar = end - down * self._height / 2
        tip = bar - down * 4 * size
        return [
            f'<g class="closed" fill="none" stroke="{shade}" stroke-width="{2 * size:.1f}">'
            f"<title>{escape(wall.text)}</title>"
            f'<path d="M{x:.1f} {start:.1f}V{tip:.1f}m{-4 * size} {-5 * down * size}l{4 * size} {5 * down * size}'
            f'l{4 * size} {-5 * down * size}M{x - 6 * size:.1f} {bar:.1f}h{12 * size}"/>'
            f'<path d="M{x:.1f} {bar:.1f}V{end:.1f}" stroke-width="{size}" opacity=".6"/>'
            f"{_ends(x, start, end, shade, size)}</g>"
        ]

    def _draw_bolt(self, happening: Happening, x: float) -> str:
        """Where a connection was broken: a line from lane to lane, and the bolt on it where it leaves the first lane."""
        one, other = (self._ys[name] for name in happening.places)
        y = one + (1 if other > one else -1) * self._height / 2
        size = 1.0 if self._height > LOW else 0.5
        return (
            f'<g class="reset" fill="none" stroke="{INK}" stroke-width="{1.5 * size}">'
            f"<title>{escape(happening.text)}</title>"
            f'<path d="M{x:.1f} {one:.1f}V{other:.1f}" stroke-width="{size}" opacity=".45"/>'
            f'<path d="M{x + 3 * size:.1f} {y - 10 * size:.1f}l{-6 * size} {10 * size}h{6 * size}'
            f'l{-6 * size} {10 * size}"/>{_ends(x, one, other, INK, size)}</g>'
        )


def groups(partition: str) -> list[list[str]]:
    """The sides of a wall, as the trace names them."""
    return [group.split() for group in partition.removeprefix("partition ").split(" | ")]


def flaky_pair(happening: Happening) -> tuple[str, str]:
    """Between whom a way is flaky."""
    words = happening.text.split()
    return words[1], words[3]


def flaky_end(happening: Happening) -> float:
    """The second in which a flaky way is good again."""
    return happening.seconds + float(happening.text.split()[5])


def _ends(x: float, one: float, other: float, shade: str, size: float) -> str:
    """Dots on the two lanes that are meant, for lines that pass over others."""
    return "".join(
        f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{2.4 * size}" fill="{shade}" stroke="none"/>' for y in (one, other)
    )
