"""The lanes of a picture: when each room ran, what it wrote, where that arrived, and what was done to the room."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from mesh.lab.plot.partitions import Partitions, groups
from mesh.lab.plot.svg import AMBER, GREEN, INK, PAPER, Notes, TextRow, mark, shortened, tag, words
from mesh.lab.plot.time_axis import show_duration, show_seconds
from mesh.lab.recording.timeline import Happening

COLOURS = ("#2f6fb7", "#d1672a", "#7d4fa8", "#0f8b8d", "#c03a74", "#a37b00", "#5465c4", "#8a5a44", "#4c7a34", "#6d6875")
"""For the rooms, in turn."""
HEIGHTS = {8: 54.0, 16: 34.0}
"""Pixels of a lane in a picture of up to so many lanes."""
LOW_HEIGHT = 16.0
"""Pixels of a lane in all others; no event is named there."""
NAME_LETTERS, TYPE_LETTERS = 14, 24
MIN_OPACITY = 0.22
"""Of the lines from writes to arrivals, however many there are."""
RUNS = {"start": "on", "restart": "on", "client": "on", "thaw": "on", "stop": "off", "crash": "off", "freeze": "frozen"}
"""How a room goes on after what was done to it."""
MENDING = frozenset({"heal", "release", "start", "restart", "thaw"})
"""Verbs after which events that had to wait get through."""
DASHES = {
    "on": {"opacity": ".4"},
    "off": {"stroke_dasharray": "3 5", "opacity": ".55"},
    "frozen": {"stroke_dasharray": "1 3", "opacity": ".9"},
}
NOTES = {
    "crash": "crash",
    "stop": "stop",
    "restart": "restart",
    "wipe": "disk lost",
    "restore": "backup put in",
    "snapshot": "backup",
    "freeze": "frozen",
    "thaw": "thawed",
}
"""The note at a lane when this is done to its room; see also _note."""
FALSE_SIGHTINGS = {"forge": "forged sighting", "repeat": "old sighting"}
"""The note at the lane of the room that gets it, which is the last word of the text."""
MARK_SHAPES = {"crash": "M{x} {y}m-4 -4l8 8m0 -8l-8 8", "stop": "M{x} {y}m0 -5v10"}
NOTE_SHAPE = "M{x} {y}m0 3v5"
"""What marks a note at a lane; a crash and a stop have shapes of their own."""


def colour(number: int) -> str:
    return COLOURS[number % len(COLOURS)]


@dataclass(slots=True)
class _Lane:
    y: float
    colour: str
    runs: list[tuple[float, str]] = field(default_factory=list)
    """From where on the room is on, off or frozen."""
    full: list[float] = field(default_factory=list)
    """Where its disk became full, and free again."""
    notes: Notes = field(default_factory=dict)

    def note(self, happening: Happening, x: float, text: str) -> None:
        """Write down what was done to the room; without a text nothing."""
        if text:
            self.notes.setdefault((x, show_seconds(happening.seconds)), []).append(text)


class Lanes:
    """Draws everything between the texts above and below the lanes."""

    def __init__(
        self, happenings: Sequence[Happening], places: Sequence[float], top: float, left: float, right: float
    ) -> None:
        """`places` are the pixels at which the happenings are."""
        self._pairs = list(zip(happenings, places, strict=True))
        self._left, self._right = left, right
        self.names = _names(happenings)
        count = len(self.names)
        self._height = next((height for most, height in HEIGHTS.items() if count <= most), LOW_HEIGHT)
        self._is_low = self._height == LOW_HEIGHT
        self.bottom = top + self._height * count
        self._lanes = {
            name: _Lane(top + self._height * (number + 0.5), colour(number)) for number, name in enumerate(self.names)
        }
        for happening, x in self._pairs:
            self._note(happening, x)
        ys = {name: lane.y for name, lane in self._lanes.items()}
        self.partitions = Partitions(self._pairs, ys, self._height, right)

    def draw(self) -> list[str]:
        """The lanes, and on them the events and notes."""
        return [
            *self._draw_runs(),
            *self.partitions.draw_signs(),
            *self._draw_ways(),
            *self._draw_events(),
            *self._draw_notes(),
            *self._draw_ticks(),
        ]

    def _note(self, happening: Happening, x: float) -> None:
        kind = happening.kind
        if kind in FALSE_SIGHTINGS:
            if (lane := self._lanes.get(happening.text.split()[-1])) is not None:
                lane.note(happening, x, FALSE_SIGHTINGS[kind])
            return
        for lane in (self._lanes[name] for name in happening.places):
            if kind in RUNS:
                lane.runs.append((x if lane.runs or happening.seconds > 0 else self._left, RUNS[kind]))
            if kind == "disk":
                lane.full.append(x)
            lane.note(happening, x, "start" if kind == "start" and len(lane.runs) > 1 else _note(happening))

    def _draw_runs(self) -> list[str]:
        parts = []
        pixels, width = (10, 1.5) if self._is_low else (13, 3.0)
        for name, lane in self._lanes.items():
            look = f"font-size:{pixels}px;fill:{lane.colour};font-weight:bold"
            place = self._left - 12, lane.y + pixels / 3
            parts.append(words(shortened(name, NAME_LETTERS), *place, kind="lane", text_anchor="end", style=look))
            for start, end in zip(lane.full[::2], [*lane.full[1::2], self._right], strict=False):
                full = {"x": start, "y": lane.y - 5, "width": end - start}
                parts.append(tag("rect", height=10, rx="2", fill=AMBER, opacity=".25", title="disk full", **full))
            for (x, run), (end, _) in pairwise([*lane.runs, (self._right, "")]):
                if end > x:
                    thick = width / 2 if run == "off" else width
                    line = f"M{x:.1f} {lane.y:.1f}H{end:.1f}"
                    parts.append(tag("path", d=line, stroke=lane.colour, stroke_width=thick, **DASHES[run]))
        return parts

    def _draw_notes(self) -> list[str]:
        """A mark for what was done to a room, and its text below the lane where that has space."""
        parts = []
        for lane in self._lanes.values():
            row = TextRow(lane.y + 18, self._left, self._right + 20)
            for (x, time), texts in lane.notes.items():
                shape = next((MARK_SHAPES[text] for text in texts if text in MARK_SHAPES), NOTE_SHAPE)
                title = f"{time}: {', '.join(texts)}"
                parts.append(mark(shape.format(x=f"{x:.1f}", y=f"{lane.y:.1f}"), "note", title, stroke=INK))
                if not self._is_low:
                    parts.append(row.add(x, ", ".join(texts), "start", "middle", "end", kind="small note-text"))
        return parts

    def _draw_ways(self) -> list[str]:
        """A path for each room, from what it wrote to where that arrived; an event waits until the last mending."""
        written: dict[int, tuple[float, str]] = {}
        ways: dict[str, list[str]] = {}
        mended = self._left
        for happening, x in self._pairs:
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
        opacity = f"{max(MIN_OPACITY, min(0.6, 24 / max(1, count))):.2f}"
        return [
            tag("path", d="".join(lines), stroke=self._lanes[source].colour, stroke_width=1.3, opacity=opacity)
            for source, lines in ways.items()
        ]

    def _draw_events(self) -> list[str]:
        """A dot for each event in each room, in the colour of the room that wrote it."""
        shades: dict[int, str] = {}
        arrivals, writes = [], []
        large, small, width = (2.8, 1.6, 0.7) if self._is_low else (5.0, 3.0, 1.5)
        rows = {name: TextRow(lane.y - 10, self._left, self._right + 25) for name, lane in self._lanes.items()}
        for happening, x in self._pairs:
            if happening.kind not in {"write", "arrival"}:
                continue
            name = happening.places[0]
            lane = self._lanes[name]
            if happening.kind == "arrival":
                shade = shades.get(happening.number, INK)
                arrivals.append(tag("circle", kind="arrival", cx=x, cy=lane.y, r=small, stroke=shade))
                continue
            shades[happening.number] = lane.colour
            title = f"{name} wrote {happening.text} at {happening.seconds:.3f} s"
            dot = {"cx": x, "cy": lane.y, "r": large}
            writes.append(tag("circle", kind="write", title=title, fill=lane.colour, stroke=PAPER, **dot))
            if not self._is_low:
                shown = shortened(happening.text, TYPE_LETTERS)
                writes.append(rows[name].add(x, shown, "middle", style=f"fill:{lane.colour}"))
        return [tag("g", *arrivals, fill=PAPER, stroke_width=width), *writes]

    def _draw_ticks(self) -> list[str]:
        """A tick on every lane whose room was found to hold the same as all others."""
        found = [pair for pair in self._pairs if pair[0].kind in {"converged", "end"}]
        ticks = {(x, name): None for happening, x in found for name in happening.places}
        size = 0.6 if self._is_low else 1.0
        disc = tag("circle", r=8, fill=GREEN, stroke=PAPER, stroke_width=1.5)
        hook = tag("path", d="M-3.6 .2l2.5 2.7l4.8 -5.4", stroke="#fff", stroke_width=1.8)
        return [
            tag("g", disc, hook, kind="tick", transform=f"translate({x:.1f} {self._lanes[name].y:.1f}) scale({size})")
            for x, name in ticks
        ]


def _note(happening: Happening) -> str:
    """The note at the lane of a room that this was done to; empty: none."""
    text, kind = happening.text, happening.kind
    last = text.split()[-1] if text else ""
    if kind == "disk":
        return "disk full" if text.endswith("is full") else "disk free"
    if kind == "drift":
        return f"clock drifts by {float(last):+.2%}"
    if kind == "skew":
        ms = int(text.split()[-2])
        return f"clock {'+' if ms >= 0 else '-'}{show_duration(abs(ms) / 1000)}"
    if kind == "failing":
        return "1 commit fails" if last == "1" else f"{last} commits fail"
    if kind == "move":
        return f"moves to {last}"
    return NOTES.get(kind, "")


def _names(happenings: Sequence[Happening]) -> list[str]:
    """In the order in which they came, but the groups of the first partition one after the other."""
    names = dict.fromkeys(name for happening in happenings for name in happening.places)
    first = next((happening.text for happening in happenings if happening.kind == "partition"), "")
    sides = groups(first)
    side = {name: number for number, group in enumerate(sides) for name in group}
    return sorted(names, key=lambda name: side.get(name, len(sides)))
