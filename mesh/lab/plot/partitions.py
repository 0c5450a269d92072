"""What is drawn for links that carry nothing or little: partitions, closed, held and flaky links, and broken connections."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from mesh.lab.plot.svg import AMBER, INK, SLATE, mark, tag
from mesh.lab.recording.timeline import Happening

WALL_FILL, BAD_FILL = "url(#wall)", "url(#bad)"
HATCH = (
    '<pattern id="{}" width="7" height="7" patternUnits="userSpaceOnUse" patternTransform="rotate({})">'
    '<rect width="7" height="7" fill="{}" fill-opacity=".09"/>'
    '<path d="M0 0V7" stroke="{}" stroke-width="2" stroke-opacity=".24"/></pattern>'
)
HATCHES = f"<defs>{HATCH.format('wall', 45, SLATE, SLATE)}{HATCH.format('bad', -45, AMBER, AMBER)}</defs>"
ENDED_BY = {"partition": {"partition", "heal"}, "cut": {"heal"}, "hold": {"release"}, "flaky": set[str]()}
"""What a stretch begins with, and what ends it; a flaky link says at its beginning when it ends."""


@dataclass(slots=True)
class _Stretch:
    """A time in which some rooms could not, or not always, talk to others."""

    kind: str
    left: float
    right: float
    text: str
    sides: list[list[str]]


class Partitions:
    """Draws the stretches in which some rooms could not talk to others, behind the lanes and on them."""

    def __init__(
        self, pairs: Sequence[tuple[Happening, float]], ys: Mapping[str, float], height: float, right: float
    ) -> None:
        """`pairs` are happenings and their pixels, `ys` where each lane is, from the top down, `height` that of one."""
        self._pairs = pairs
        self._ys = ys
        self._height = height
        self._stretches = list(self._find(right))
        self.has_bad_links = any(each.kind != "partition" for each in self._stretches)

    def is_of_flaky(self, happening: Happening, x: float) -> bool:
        """Whether this is how a flaky link gets worse and better, which its own stretch shows."""
        return happening.kind == "slow" and any(
            each.kind == "flaky" and each.left <= x <= each.right and each.sides == groups(happening.text)
            for each in self._stretches
        )

    def draw(self) -> list[str]:
        """What is behind the lanes."""
        parts = [HATCHES]
        for each in self._stretches:
            parts += self._draw_wall(each) if each.kind == "partition" else self._draw_strips(each)
        return parts

    def draw_signs(self) -> list[str]:
        """What is on the lanes: arrows that do not arrive, and the bolts of broken connections."""
        parts = []
        for each in self._stretches:
            if each.kind in {"cut", "hold"}:
                x = each.left + min(14.0, (each.right - each.left) / 2)
                shade = AMBER if each.kind == "hold" else SLATE
                parts.append(self._draw_sign(x, each.sides, "closed", each.text, shade))
        for happening, x in self._pairs:
            if happening.kind == "reset":
                parts.append(self._draw_sign(x, groups(happening.text), "reset", happening.text, INK))
        return parts

    def _find(self, end: float) -> Iterator[_Stretch]:
        lasting: list[_Stretch] = []
        for happening, x in self._pairs:
            kind, sides = happening.kind, groups(happening.text)
            for each in [each for each in lasting if kind in ENDED_BY[each.kind]]:
                if kind != "release" or each.sides == sides:
                    each.right = x
                    lasting.remove(each)
            if kind not in ENDED_BY or any(each.text == happening.text for each in lasting):
                continue
            if kind != "partition" and not all(name in self._ys for side in sides for name in side):
                continue
            stretch = _Stretch(kind, x, end, happening.text, sides)
            if kind == "flaky":
                until = happening.seconds + float(happening.text.split()[-2])
                stretch.right = next((place for later, place in self._pairs if later.seconds >= until), end)
            else:
                lasting.append(stretch)
            yield stretch

    def _draw_wall(self, wall: _Stretch) -> list[str]:
        side = {name: number for number, group in enumerate(wall.sides) for name in group}
        names = [name for name in self._ys if name in side]
        if not names:
            return []
        half = self._height / 2 - 3
        top, bottom = self._ys[names[0]] - half, self._ys[names[-1]] + half
        width, height = wall.right - wall.left, bottom - top
        place = {"x": wall.left, "y": top, "width": width, "height": height}
        parts = [tag("rect", title=wall.text, kind="wall", rx="3", fill=WALL_FILL, **place)]
        for one, other in pairwise(names):
            if side[one] != side[other]:
                y, thick = (self._ys[one] + self._ys[other]) / 2, min(5, self._height / 10)
                parts.append(
                    tag("path", d=f"M{wall.left:.1f} {y:.1f}H{wall.right:.1f}", stroke=SLATE, stroke_width=thick)
                )
        return parts

    def _draw_strips(self, link: _Stretch) -> list[str]:
        """The shade of one link, beside the lanes at its two ends."""
        start, end = sorted(self._ys[name] for side in link.sides for name in side)
        place = {"x": link.left, "width": link.right - link.left, "height": self._height / 2}
        return [
            tag("rect", title=link.text, kind="bad", fill=BAD_FILL, y=y, **place)
            for y in (start, end - self._height / 2)
        ]

    def _draw_sign(self, x: float, sides: list[list[str]], kind: str, text: str, shade: str) -> str:
        """A line from lane to lane: an arrow that ends at a bar before the last lane, or a bolt at the first one."""
        start, end = (self._ys[name] for side in sides for name in side)
        down = 1 if end > start else -1
        line = f"M{x:.1f} {start:.1f}V{end:.1f}"
        if kind == "closed":
            bar = end - down * self._height / 2
            line += f"M{x - 4:.1f} {bar - 9 * down:.1f}l4 {5 * down}l4 {-5 * down}M{x - 6:.1f} {bar:.1f}h12"
        else:
            line += f"M{x + 3:.1f} {start + down * (self._height / 2 - 10):.1f}l-6 {10 * down}h6l-6 {10 * down}"
        dots = [tag("circle", cx=x, cy=y, r=2.4, fill=shade) for y in (start, end)]
        return tag("g", mark(line, "sign", text, stroke=shade), *dots, kind=kind)


def groups(text: str) -> list[list[str]]:
    """The places that a verb is about, as the trace writes it: `partition a | b c`, `cut a > b`, `flaky a - b for 5 s`."""
    places = re.sub(r" for \S+ s$", "", text.partition(" ")[2])
    return [side.split() for side in re.split(r" [|>-] ", places)]
