"""Storms: random stories of all faults and writes over random houses, and the checker's verdict on each."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial

from mesh.lab.cluster.cluster import Cluster
from mesh.lab.fuzz.player import Player
from mesh.lab.fuzz.script import ROOMS, Script, draw
from mesh.lab.fuzz.shrinking import MAX_RUNS, Shrinking
from mesh.lab.fuzz.summary import storm_table
from mesh.lab.runner.interrupts import Interrupts
from mesh.lab.runner.process_pool import spread
from mesh.lab.simulation.virtual_loop import LabAlarm

MAX_SHRUNK = 3
"""Failing stories of one call that are shortened; the others are named."""
SHOWN_CHARACTERS = 600
"""Of what went wrong, in a summary."""
PROGRESS_SECONDS = 1.0


@dataclass(frozen=True)
class StormOutcome:
    """How a storm ended."""

    seed: int
    failure: str | None
    trace_hash: str
    script: Script
    steps: tuple[tuple[str, int], ...]
    """How many there were of each verb, those that made no sense left out."""
    events: int
    """That were acknowledged."""
    lost: int
    """Of these, with the last disk that held them."""
    seconds: float
    """Virtual."""


def storm(seed: int, *, nodes: tuple[int, int] = (3, 9), minutes: float = 10.0, traces: bool = False) -> StormOutcome:
    """Draw the story of a seed and play it. See `draw` for the options, and `play`."""
    return play(draw(seed, nodes=nodes, minutes=minutes), seed, traces=traces)


def play(script: Script, seed: int, *, traces: bool = False) -> StormOutcome:
    """Play a script, mend everything, and let the checker judge. What goes wrong is in the outcome, never raised.

    With `traces` every frame is part of the trace hash.
    """
    house = Cluster(seed, traces=traces)
    stage = Player(house, script)
    failure = None
    try:
        with Interrupts(house.loop.record), house:
            stage.play()
    except AssertionError as error:
        failure = str(error) or "an assertion failed"
    except (Exception, LabAlarm) as error:  # noqa: BLE001 - whatever a story makes the product raise is a finding
        failure = f"{type(error).__name__}: {error}"
    ledger = house.checker.ledger
    counts = tuple(sorted(stage.counts.items()))
    return StormOutcome(
        seed, failure, house.trace_hash, script, counts, len(ledger.acknowledged), len(ledger.lost), house.seconds
    )


@dataclass(frozen=True)
class Summary:
    """What became of many storms."""

    outcomes: tuple[StormOutcome, ...]
    """In the order of their seeds, without what an interruption left out."""
    real_seconds: float

    @property
    def failures(self) -> tuple[StormOutcome, ...]:
        return tuple(outcome for outcome in self.outcomes if outcome.failure is not None)

    def table(self) -> str:
        """Lines for people: runs, events, faults of each kind, violations."""
        return storm_table(self.outcomes, self.real_seconds)


def run_storms(
    seeds: Iterable[int],
    *,
    nodes: tuple[int, int] = (3, 9),
    minutes: float = 10.0,
    processes: int | None = None,
    on_outcome: Callable[[StormOutcome], None] | None = None,
) -> Summary:
    """Play a storm for each seed, on all cores (`processes` says otherwise); `on_outcome` gets each, in the order of seeds.

    The outcomes are the same however many processes there are. An interruption ends it with KeyboardInterrupt.
    """
    began = time.monotonic()
    play_one = partial(_play_quietly, nodes=nodes, minutes=minutes)
    outcomes = []
    for outcome in spread(play_one, list(seeds), processes=processes):
        outcomes.append(outcome)
        if on_outcome is not None:
            on_outcome(outcome)
    return Summary(tuple(outcomes), time.monotonic() - began)


def shrink(outcome: StormOutcome, *, max_runs: int = MAX_RUNS) -> StormOutcome:
    """The shortest story found that fails with the seed of a failing one."""
    seed = outcome.seed

    def fails(script: Script) -> bool:
        return play(script, seed).failure is not None

    with _quiet():
        return play(Shrinking(fails, max_runs=max_runs).shrink(outcome.script), seed)


def read_nodes(text: str) -> tuple[int, int]:
    """`3..9`, or one number. Raises ValueError, with a sentence."""
    low, _, high = text.partition("..")
    try:
        nodes = int(low), int(high or low)
    except ValueError:
        nodes = 0, 0
    if not 1 <= nodes[0] <= nodes[1] <= len(ROOMS):
        raise ValueError(f"{text!r} is not a number of nodes: write one from 1 to {len(ROOMS)}, or two, as in 3..9")
    return nodes


def main(
    seed: int = 0, seeds: int = 1, nodes: tuple[int, int] = (3, 9), minutes: float = 10.0, processes: int | None = None
) -> int:
    """What `mesh scenario storm` does: play `seeds` storms from `seed` on, show progress and a table; 1 if any failed.

    The shortest story that still fails is printed as a test for the first few of those that did.
    """
    progress = StormProgress(seeds)
    began = time.monotonic()
    outcomes: list[StormOutcome] = []

    def on_outcome(outcome: StormOutcome) -> None:
        outcomes.append(outcome)
        progress.on_outcome(outcome)

    wanted = range(seed, seed + seeds)
    try:
        run_storms(wanted, nodes=nodes, minutes=minutes, processes=processes, on_outcome=on_outcome)
    except KeyboardInterrupt:
        print(Summary(tuple(outcomes), time.monotonic() - began).table())
        raise
    finally:
        progress.clear()
    summary = Summary(tuple(outcomes), time.monotonic() - began)
    print(summary.table())
    for number, outcome in enumerate(summary.failures):
        assert outcome.failure is not None
        print(f"\nseed {outcome.seed}: {outcome.failure[:SHOWN_CHARACTERS]}")
        print(f"replay: {replay_command(outcome.seed, nodes, minutes)}")
        if number < MAX_SHRUNK:
            short = shrink(outcome)
            print(f"the shortest story found that fails:\n\n{short.script.as_test(short.seed, short.failure or '')}")
    return 1 if summary.failures else 0


def replay_command(seed: int, nodes: tuple[int, int], minutes: float) -> str:
    """What to type to see this storm again."""
    return f"mesh scenario storm --seed {seed} --seeds 1 --nodes {nodes[0]}..{nodes[1]} --minutes {minutes:g}"


class StormProgress:
    """One line that says how far it is, on a terminal only."""

    def __init__(self, total: int) -> None:
        self._total = total
        self._done = self._failed = 0
        self._told = 0.0

    def on_outcome(self, outcome: StormOutcome) -> None:
        self._done += 1
        self._failed += outcome.failure is not None
        now = time.monotonic()
        if sys.stderr.isatty() and now - self._told >= PROGRESS_SECONDS:
            self._told = now
            print(f"\r{self._done} of {self._total}, {self._failed} failed ", end="", file=sys.stderr, flush=True)

    def clear(self) -> None:
        if self._told:
            print("\r" + " " * 40 + "\r", end="", file=sys.stderr, flush=True)


def _play_quietly(seed: int, *, nodes: tuple[int, int], minutes: float) -> StormOutcome:
    with _quiet():
        return storm(seed, nodes=nodes, minutes=minutes)


@contextmanager
def _quiet() -> Iterator[None]:
    """What the nodes of a storm log is not for people: the checker says what went wrong."""
    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        yield
    finally:
        logging.disable(before)
