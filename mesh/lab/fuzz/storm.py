"""Storms: random scripts of all faults and writes, played in random clusters and judged by the checker."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial

from mesh.lab.fuzz.player import VERBS, Player
from mesh.lab.fuzz.script import ROOMS, Script, draw
from mesh.lab.fuzz.shrinking import MAX_PLAYS, Shrinking
from mesh.lab.runner.outcome import Outcome, Tally
from mesh.lab.runner.process_pool import spread
from mesh.lab.runner.scenario import Scenario

MAX_SHRUNK = 3
"""Failing storms of one call that are shortened; the others are named."""
FAILURE_LETTERS = 600
"""What is printed of why a storm failed."""


@dataclass(frozen=True, kw_only=True)
class StormOutcome(Outcome):
    """How a storm ended; `verbs` are the steps that were played, those that made no sense left out."""

    script: Script


def storm(seed: int, *, nodes: tuple[int, int] = (3, 9), minutes: float = 10.0, traces: bool = False) -> StormOutcome:
    """Draw the script of a seed and play it. See `draw` for the options, and `play`."""
    return play(draw(seed, nodes=nodes, minutes=minutes), seed, traces=traces)


def play(script: Script, seed: int, *, traces: bool = False) -> StormOutcome:
    """Play a script, mend everything, and let the checker judge. What goes wrong is in the outcome, never raised.

    With `traces` every frame is part of the trace hash. Nothing is logged meanwhile.
    """
    player = Player(script)
    with _quiet():
        outcome = Scenario(player.play).run(seed, traces=traces)
    return StormOutcome(
        seed=seed,
        failure=_describe(outcome.error) if outcome.error is not None else None,
        trace_hash=outcome.trace_hash,
        trace=(),
        seconds=outcome.seconds,
        events=outcome.events,
        lost=outcome.lost,
        verbs=dict(player.counts),
        real_seconds=outcome.real_seconds,
        script=script,
    )


def run_storms(
    seeds: Iterable[int], *, nodes: tuple[int, int] = (3, 9), minutes: float = 10.0, processes: int | None = None
) -> Iterator[StormOutcome]:
    """Play a storm for each seed, on all cores or in so many processes; yields the outcomes in the order of the seeds.

    The outcomes are the same however many processes there are. An interruption ends all with KeyboardInterrupt.
    """
    return spread(partial(storm, nodes=nodes, minutes=minutes), list(seeds), processes=processes)


def shrink(outcome: StormOutcome, *, max_plays: int = MAX_PLAYS) -> StormOutcome:
    """The outcome of the shortest script found that fails with the seed of a failing storm."""
    seed = outcome.seed
    shrinking = Shrinking(lambda script: play(script, seed).failure is not None, max_plays=max_plays)
    return play(shrinking.shrink(outcome.script), seed)


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

    For the first failures the shortest script that still fails is printed as a test.
    """
    began = time.monotonic()
    outcomes: list[StormOutcome] = []
    try:
        for outcome in run_storms(range(seed, seed + seeds), nodes=nodes, minutes=minutes, processes=processes):
            outcomes.append(outcome)
            show_progress(outcomes, seeds)
    finally:
        if sys.stderr.isatty():
            print("\r" + " " * 40 + "\r", end="", file=sys.stderr, flush=True)
        print(storm_table(outcomes, time.monotonic() - began))
    failed = [outcome for outcome in outcomes if outcome.failure is not None]
    for number, outcome in enumerate(failed):
        print(f"\nseed {outcome.seed}: {(outcome.failure or '')[:FAILURE_LETTERS]}")
        options = f"--seeds 1 --nodes {nodes[0]}..{nodes[1]} --minutes {minutes:g}"
        print(f"replay: mesh scenario storm --seed {outcome.seed} {options}")
        if number < MAX_SHRUNK:
            short = shrink(outcome)
            print(f"the shortest story found that fails:\n\n{short.script.as_test(short.seed, short.failure or '')}")
    return 1 if failed else 0


def storm_table(outcomes: Sequence[StormOutcome], real_seconds: float) -> str:
    """A line for each number: runs, events, steps of each kind, violations."""
    tally = Tally()
    for outcome in outcomes:
        tally.add(outcome)
    rows = {
        "runs": tally.runs,
        "runs per minute": round(tally.runs / max(real_seconds, 0.001) * 60),
        "virtual minutes": round(tally.seconds / 60),
        "houses with SQLite files": sum(outcome.script.store == "sqlite" for outcome in outcomes),
        "houses with a lying member": sum(bool(outcome.script.liar) for outcome in outcomes),
        "houses with clients": sum(bool(outcome.script.clients) for outcome in outcomes),
        "events acknowledged": tally.events,
        "lost with their last disk": tally.lost,
    }
    for subject in dict.fromkeys(verb.subject for verb in VERBS.values() if verb.subject):
        counts = {verb.words: tally.verbs[name] for name, verb in VERBS.items() if verb.subject == subject}
        rows[f"what was done: {subject}"] = sum(counts.values())
        rows |= {f"  {words}": count for words, count in counts.items() if count}
    rows["violations"] = tally.failures
    width = max(map(len, rows))
    return "\n".join(f"{name:<{width}}  {count:>8}" for name, count in rows.items())


def show_progress(outcomes: Sequence[StormOutcome], seeds: int) -> None:
    """How far it is, in one line, on a terminal only."""
    if sys.stderr.isatty():
        failed = sum(outcome.failure is not None for outcome in outcomes)
        print(f"\r{len(outcomes)} of {seeds}, {failed} failed ", end="", file=sys.stderr, flush=True)


def _describe(error: BaseException) -> str:
    if isinstance(error, AssertionError):
        return str(error) or "an assertion failed"
    return f"{type(error).__name__}: {error}"


@contextmanager
def _quiet() -> Iterator[None]:
    """What the nodes of a storm log is not for people: the checker says what went wrong."""
    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        yield
    finally:
        logging.disable(before)
