"""Which epoch stands in for which others: their names say so."""

from __future__ import annotations

import re

from peers.events.version_vector import Epoch

_SUCCESSOR = re.compile(r"(.+)\.([1-9][0-9]{0,8})\.[^.]+")


def lineage(epoch: Epoch) -> tuple[str, int]:
    """Its root and generation. It stands in for every epoch of the same root and a smaller generation.

    `ROOT` is generation 0, and `ROOT.3.ANYTHING` is one of generation 3.
    """
    match = _SUCCESSOR.fullmatch(epoch)
    return (match[1], int(match[2])) if match else (epoch, 0)


def successor(epoch: Epoch, mark: str) -> Epoch:
    """An epoch that stands in for this one; `mark` (without a full stop) sets it apart from others that do."""
    root, generation = lineage(epoch)
    return f"{root}.{generation + 1}.{mark}"


def stands_in(new: Epoch, old: Epoch) -> bool:
    """Whether `new` stands in for `old`."""
    (new_root, new_generation), (old_root, old_generation) = lineage(new), lineage(old)
    return new_root == old_root and new_generation > old_generation
