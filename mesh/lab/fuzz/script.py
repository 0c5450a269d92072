"""Scripts: random scenarios as values, drawn from a seed, printed as Python, and shortened step by step."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any

from mesh.lab.simulation.storage import StoreKind

ROOMS = ("attic", "bath", "cellar", "den", "entry", "foyer", "garage", "hall", "kitchen")
SHAPES = ("air", "air", "line", "ring", "star", "full", "two_lans")
"""Which rooms dial each other: with `air` all that discovery finds, else fixed addresses. A draw takes one of these."""
LIARS_SHAPES = ("air", "ring", "full")
"""Those in which the others stay together without any one of them."""
LIAR_SHARE = 0.5
"""Share of the houses with such a shape, and without clients, in which one member lies."""
PACES = (
    (0.0, 0.0, 0.002, 0.02, 0.1, 0.5, 2.0, 8.0, 25.0),
    (0.0, 0.0005, 0.002, 0.005, 0.02, 0.1, 0.6),
    (0.0, 0.02, 2.0, 6.0, 35.0, 70.0),
)
"""Seconds from one step to the next, in a script of this pace: mixed, hectic, slow."""
CLIENT_NAMES = ("radio", "phone", "tablet")
CLIENTS_SHARE = 0.3
"""Of all scripts, those that have clients."""
SQLITE_SHARE = 0.15
"""Of all scripts, those whose rooms keep their logs in real files."""
MAX_STEPS = 200
"""Of one script, besides its pauses."""
KEPT_SHARE = 0.6
"""Of all kinds of faults, those that a script has: some bugs show only where other faults are absent (swarm testing)."""
SKEWS = (-3_600_000, -20_000, -50, 50, 20_000, 90_000)
"""Jumps of clocks in ms; the largest are beyond MAX_DRIFT_MS."""
GUESTS = 20
"""Keys that facts of the mesh are about."""
BULK_BYTES = 40_000
"""Size of a bulk event: a few dozen of them fill a window."""
SLOW = (
    (2, None, 0.0),
    (300, None, 0.0),
    (5, 20_000, 0.0),
    (5, None, 0.3),
    (1_500, 100_000, 0.05),
    (900, 2_000, 0.02),
)
"""How slow links are: highest latency in ms, bytes a second (None: no limit), share of frames lost."""


@dataclass(frozen=True, slots=True)
class Step:
    """One thing that is done, by its verb in `mesh.lab.fuzz.player.VERBS`; made by `step`."""

    verb: str
    arguments: tuple[Any, ...] = ()

    def __repr__(self) -> str:
        return f"step({', '.join(map(_literal, (self.verb, *self.arguments)))})"

    def names(self, place: str) -> bool:
        """Whether it is about this room or client."""
        return place in self.arguments


@dataclass(frozen=True, slots=True)
class Script:
    """A cluster and what is done in it. Steps that make no sense by then do nothing when it is played."""

    rooms: tuple[str, ...]
    shape: str
    """A topology of `mesh.lab`, or `air`: then every room may find every other one."""
    steps: tuple[Step, ...]
    clients: tuple[tuple[str, str, Any], ...] = ()
    """Logux clients: the name, the room that is dialled, and the protocol, (0, 1), 5 or 7."""
    store: StoreKind = "memory"
    """What the rooms keep their logs in."""
    liar: str = ""
    """The room whose node lies, see LyingPeerSync; empty: none does."""

    def source(self) -> str:
        """The script as an expression of Python."""
        lines = "".join(f"        {step},\n" for step in self.steps)
        steps = f"(\n{lines}    )" if self.steps else "()"
        clients = f"    clients={_literal(self.clients)},\n" if self.clients else ""
        house = f"    rooms={_literal(self.rooms)},\n    shape={_literal(self.shape)},\n"
        store = f"    store={_literal(self.store)},\n" if self.store != "memory" else ""
        liar = f"    liar={_literal(self.liar)},\n" if self.liar else ""
        return f"Script(\n{house}    steps={steps},\n{clients}{store}{liar})"

    def as_test(self, seed: int, failure: str) -> str:
        """The source of a regression test, which fails while the script fails."""
        script = self.source().replace("\n", "\n    ")
        return (
            "from mesh.lab.fuzz.script import Script, step\n"
            "from mesh.lab.fuzz.storm import play\n\n\n"
            f"def test_a_storm_found_with_seed_{seed}() -> None:\n"
            f"    # {' '.join(failure.split())[:100]}\n"
            f"    script = {script}\n\n"
            f"    assert play(script, {seed}).failure is None\n"
        )


def step(verb: str, *arguments: Any) -> Step:
    """`step("write", "attic", 3)`."""
    return Step(verb, arguments)


def draw(seed: int, *, nodes: tuple[int, int] = (3, 9), minutes: float = 10.0) -> Script:
    """Draw the script of a seed: `nodes` are the smallest and the largest number of rooms, `minutes` is virtual time."""
    random = Random(f"storm {seed}")
    rooms = ROOMS[: random.randint(max(1, nodes[0]), min(nodes[1], len(ROOMS)))]
    clients: tuple[tuple[str, str, Any], ...] = ()
    if random.random() < CLIENTS_SHARE:
        names = CLIENT_NAMES[: random.randint(1, len(CLIENT_NAMES))]
        clients = tuple((name, random.choice(rooms), random.choice([(0, 1), 5, 7])) for name in names)
    deck = _Deck(random, rooms, [name for name, _, _ in clients])
    pauses = random.choice(PACES)
    steps: list[Step] = []
    left = minutes * 60
    for _ in range(MAX_STEPS):
        if left <= 0:
            break
        steps.append(deck.deal())
        pause = random.choice(pauses)
        if pause:
            steps.append(step("wait", pause))
            left -= pause
    store: StoreKind = "sqlite" if random.random() < SQLITE_SHARE else "memory"
    shape = random.choice(SHAPES)
    return Script(rooms, shape, tuple(steps), clients, store, _draw_liar(seed, rooms, shape, clients))


def _draw_liar(seed: int, rooms: Sequence[str], shape: str, clients: object) -> str:
    """The last room of some houses, if the honest ones can do without it: the first one is the admin."""
    may_lie = len(rooms) > 2 and shape in LIARS_SHAPES and not clients
    return rooms[-1] if may_lie and Random(f"storm {seed} liar").random() < LIAR_SHARE else ""


class _Deck:
    """Draws steps; it remembers roughly what is broken, so that most of them make sense.

    Source of KEPT_SHARE: Groce et al., "Swarm Testing" (2012).
    """

    def __init__(self, random: Random, rooms: Sequence[str], clients: Sequence[str]) -> None:
        self._random = random
        self._rooms = rooms
        self._clients = clients
        self._places = [*rooms, *clients]
        self._marks: dict[str, dict[Any, None]] = {}
        """What is broken now, by the verb that broke it, in the order in which it broke."""
        writes: list[tuple[Callable[[], Step], int]] = [(self._write, 16), *([(self._say, 12)] if clients else [])]
        kept = [*writes, *[card for card in self._faults() if random.random() < KEPT_SHARE]]
        self._cards: list[Callable[[], Step]] = [card for card, count in kept for _ in range(count)]

    def deal(self) -> Step:
        return self._random.choice(self._cards)()

    def _faults(self) -> list[tuple[Callable[[], Step], int]]:
        """How to draw each kind of fault, and how often it is in the deck."""
        of_clients: list[tuple[Callable[[], Step], int]] = [
            (lambda: step("move", self._client(), self._room()), 2),
            (lambda: self._break("fall", (self._client(),), "crash"), 2),
            (lambda: self._mend("fall", "restart"), 4),
        ]
        return [
            (lambda: step("write", self._room(), self._random.choice([20, 60]), BULK_BYTES), 1),
            (self._wall, 3),
            (lambda: step("heal"), 3),
            (lambda: step("cut", *self._pair()), 1),
            (lambda: self._break("hold", self._pair()), 2),
            (lambda: self._mend("hold", "release"), 2),
            (lambda: step("slow", *self._pair(), *self._random.choice(SLOW)), 1),
            (lambda: step("flaky", *self._pair(), self._random.choice([5, 20, 60])), 1),
            (lambda: step("reset", *self._pair()), 2),
            (lambda: self._break("freeze", (self._room(),)), 1),
            (lambda: self._mend("freeze", "thaw"), 2),
            (lambda: step("skew", self._room(), self._random.choice(SKEWS)), 1),
            (lambda: step("drift", self._room(), self._random.choice([-0.01, -0.0001, 0.0001, 0.01])), 1),
            (lambda: self._break("fill", (self._room(),)), 1),
            (lambda: self._mend("fill", "free"), 2),
            (self._crash, 4),
            (lambda: self._break("crash", (self._room(),), "stop"), 2),
            (lambda: self._mend("crash", "restart"), 6),
            (lambda: step("forge", self._room(), self._room(), self._room()), 1),
            (lambda: step("stale", self._room(), self._room()), 1),
            (lambda: step("lossy", self._random.choice([0.0, 0.3, 0.9])), 1),
            (lambda: step("late", self._random.choice([0.0, 3.0, 60.0])), 1),
            (lambda: step("trip", self._room(), self._random.choice([1, 2, 5, 20])), 2),
            (lambda: step("twin", self._room(), self._room(), self._random.random() < 0.3), 2),
            (lambda: step("clean", self._room(), self._random.choice([0.3, 1.0])), 1),
            (lambda: step("status", self._room()), 1),
            (lambda: step("tell", self._room(), self._random.randrange(GUESTS), self._random.random() < 0.3), 2),
            (lambda: step("wipe", self._broken("crash") or self._room()), 1),
            (lambda: step("lose", self._broken("crash") or self._room()), 1),
            (lambda: self._break("backup", (self._room(),)), 3),
            (self._restore, 3),
            (lambda: step("resume", self._broken("backup") or self._room()), 1),
            *(of_clients if self._clients else []),
        ]

    def _client(self) -> str:
        return self._random.choice(self._clients)

    def _room(self) -> str:
        return self._random.choice(self._rooms)

    def _pair(self) -> tuple[str, ...]:
        return tuple(self._random.sample(self._places, 2)) if len(self._places) > 1 else ("", "")

    def _broken(self, verb: str) -> Any:
        marks = list(self._marks.get(verb, ()))
        return self._random.choice(marks)[0] if marks else None

    def _break(self, mark: str, what: tuple[str, ...], verb: str | None = None) -> Step:
        self._marks.setdefault(mark, {})[what] = None
        return step(verb or mark, *what)

    def _mend(self, mark: str, verb: str) -> Step:
        marks = self._marks.get(mark)
        if not marks:
            return self._write()
        what = self._random.choice(list(marks))
        del marks[what]
        return step(verb, *what)

    def _crash(self) -> Step:
        """Half of them come while the room writes."""
        room = self._room()
        self._break("crash", (room,))
        return step("crash", room, *self._random.choice([(), (), (1,), (5,)]))

    def _write(self) -> Step:
        return step("write", self._room(), self._random.choice([1, 1, 2, 5, 30]))

    def _say(self) -> Step:
        return step("say", self._client(), self._random.choice([1, 1, 2, 5, 30]))

    def _wall(self) -> Step:
        if len(self._places) < 2:
            return step("heal")
        side = self._random.sample(self._places, self._random.randrange(1, len(self._places)))
        return step("wall", *side)

    def _restore(self) -> Step:
        source = self._broken("backup") or self._room()
        return step("restore", source if self._random.random() < 0.8 else self._room(), source)


def _literal(value: Any) -> str:
    if isinstance(value, str):
        return f'"{value}"'
    if isinstance(value, tuple):
        return f"({', '.join(map(_literal, value))}{',' if len(value) == 1 else ''})"
    return repr(value)
