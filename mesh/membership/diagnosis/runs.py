"""Runs: the runs of one node that greeted us, and whether two machines use its key."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace

MAX_SEEN_RUNS = 4
"""Runs of one node that are remembered; a further one replaces the one that greeted longest ago."""
CLONE_RETURNS = 3
"""So many returns and contests show two machines. One late greeting of a run that has ended makes two: it returns, then the
living run answers."""
RETURN_SECONDS = 120.0
"""Returns that are further apart are not counted together."""
CLONE_SECONDS = 30.0
"""After this long without a greeting of a second run there is only one machine."""
HOLDER_SECONDS = 6.0
"""The same of runs that proved the key: all of them are turned away, and dial again after 2 s at most, so it misses three."""


@dataclass(frozen=True, slots=True)
class SeenRun:
    """One run of a node, as its greetings show it."""

    boot: str
    seen_seconds: float
    """When its last greeting came."""


@dataclass(frozen=True, slots=True)
class Runs:
    """The runs of one node that greeted us. If runs replace each other again and again, two machines use one key."""

    seen: tuple[SeenRun, ...] = ()
    """In the order of their first greetings."""
    last: str = ""
    """Boot id of the run that greeted last."""
    returns: int = 0
    """How often a run greeted again after another one had replaced it, or while another one lived."""
    returned_seconds: float = 0.0
    """When that happened last."""
    is_cloned: bool = False
    """Whether two machines answer under the key of this node."""
    are_held_twice: bool = False
    """Whether both have proved that key, so that neither is let in."""

    @property
    def boots(self) -> tuple[str, ...]:
        """The boot ids of the runs, in the order of their first greetings."""
        return tuple(run.boot for run in self.seen)

    def greeted(self, boot: str, now_seconds: float, *, is_proven: bool = False) -> Runs:
        """The runs after a greeting of the run `boot`. If it `is_proven`, only Contests show whether there are two."""
        is_return = boot in self.boots and boot != self.last and not is_proven
        seen = replace(self.turned_away(boot, now_seconds), last=boot)
        return seen._returned(now_seconds) if is_return else seen

    def contested(self, boot: str, now_seconds: float) -> Runs:
        """The runs after another one greeted while the run `boot` was connected, and this one answered: it is the last one."""
        return replace(self.turned_away(boot, now_seconds), last=boot)._returned(now_seconds)

    def held_twice(self, now_seconds: float) -> Runs:
        """The runs after two answered at the same time, both of which have proved the key."""
        seen = tuple(SeenRun(run.boot, now_seconds) for run in self.seen)
        return replace(self, seen=seen, is_cloned=True, are_held_twice=True)

    def turned_away(self, boot: str, now_seconds: float) -> Runs:
        """The runs after a greeting of the run `boot` that was turned away: it shows only that the run lives."""
        run = SeenRun(boot, now_seconds)
        if boot in self.boots:
            return replace(self, seen=tuple(run if old.boot == boot else old for old in self.seen))
        kept = self.seen
        if len(kept) >= MAX_SEEN_RUNS:
            oldest = min(kept, key=lambda old: old.seen_seconds)
            kept = tuple(old for old in kept if old is not oldest)
        return replace(self, seen=(*kept, run))

    def is_over(self, met: Collection[str], now_seconds: float) -> bool:
        """Whether at most one run lives: a run of those in `met`, which are connected, or one that greeted lately."""
        limit = HOLDER_SECONDS if self.are_held_twice else CLONE_SECONDS
        alive = [run for run in self.seen if run.boot in met or now_seconds - run.seen_seconds < limit]
        return len(alive) <= 1

    def renewed(self) -> Runs:
        """The last run alone, as if it were the only one that ever greeted."""
        last = max(self.seen, key=lambda run: run.seen_seconds).boot if self.are_held_twice else self.last
        return Runs(tuple(run for run in self.seen if run.boot == last), last)

    def _returned(self, now_seconds: float) -> Runs:
        returns = self.returns + 1 if now_seconds - self.returned_seconds <= RETURN_SECONDS else 1
        is_cloned = self.is_cloned or returns >= CLONE_RETURNS
        return replace(self, returns=returns, returned_seconds=now_seconds, is_cloned=is_cloned)
