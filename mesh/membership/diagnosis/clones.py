"""Two machines under one node id: how it is noticed, which of them stays connected, and when it is over."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace

from mesh.membership.actions import Notice

MAX_RUNS = 4
CLONE_RETURNS = 3
"""A late greeting of a run that has ended makes two: it comes back, and then the living one does."""
RETURN_SECONDS = 120.0
"""Returns further apart than this do not belong together."""
CLONE_SECONDS = 30.0
"""After this long without a sign of a second run there is only one machine."""
TAKEN = "taken"
"""The error for a run that is turned away because another run of its node is connected."""
TAKEN_REASON = "another machine is connected under this node id"
"""The same for people."""


@dataclass(frozen=True, slots=True)
class Run:
    """One run of a node, as its greetings show it."""

    boot: str
    seen_seconds: float
    """When its last greeting came."""


@dataclass(frozen=True, slots=True)
class Runs:
    """The runs of one node that greeted us. Those that replace each other again and again are two machines under one key."""

    seen: tuple[Run, ...] = ()
    """In the order of their first greetings."""
    last: str = ""
    """Boot id of the one that greeted last."""
    returns: int = 0
    """How often a boot id came back that another one had replaced."""
    returned_seconds: float = 0.0
    is_cloned: bool = False
    """Two machines answer under this node's key."""

    @property
    def boots(self) -> tuple[str, ...]:
        return tuple(run.boot for run in self.seen)

    def greeted(self, boot: str, now_seconds: float) -> Runs:
        """After a greeting of the run `boot`."""
        returns, returned = self.returns, self.returned_seconds
        if boot in self.boots and boot != self.last:
            returns = returns + 1 if now_seconds - returned <= RETURN_SECONDS else 1
            returned = now_seconds
        is_cloned = self.is_cloned or returns >= CLONE_RETURNS
        return replace(
            self.turned_away(boot, now_seconds),
            last=boot,
            returns=returns,
            returned_seconds=returned,
            is_cloned=is_cloned,
        )

    def turned_away(self, boot: str, now_seconds: float) -> Runs:
        """After a greeting of the run `boot` that was not let in: it lives."""
        run = Run(boot, now_seconds)
        if boot in self.boots:
            return replace(self, seen=tuple(run if old.boot == boot else old for old in self.seen))
        kept = self.seen
        if len(kept) >= MAX_RUNS:
            oldest = min(kept, key=lambda old: old.seen_seconds)
            kept = tuple(old for old in kept if old is not oldest)
        return replace(self, seen=(*kept, run))

    def is_first(self, boot: str, others: Collection[str]) -> bool:
        """Whether the run `boot` was here before all `others`: of two machines that one stays connected."""
        order = self.boots
        return all(other not in order or order.index(boot) < order.index(other) for other in others)

    def is_over(self, met: Collection[str], now_seconds: float) -> bool:
        """Whether at most one run shows signs of life; those in `met` are connected."""
        alive = [run for run in self.seen if run.boot in met or now_seconds - run.seen_seconds < CLONE_SECONDS]
        return len(alive) <= 1

    def renewed(self) -> Runs:
        """Only the last run counts from here on."""
        return Runs(tuple(run for run in self.seen if run.boot == self.last), self.last)


def clone_notice(node_id: str) -> Notice:
    """Two machines use one key, and what to do about it."""
    text = (
        f"two machines run as {node_id}: stop one of the two; if one home was copied from the other, start that node in an "
        "empty home instead (it gets all events from the others), then `mesh retry`"
    )
    return Notice("cloned", node_id, text)
