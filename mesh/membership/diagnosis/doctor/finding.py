"""Finding: one line of `mesh doctor`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

CheckState = Literal["ok", "look", "wrong"]


@dataclass(frozen=True, slots=True)
class Finding:
    """The result of one check: what was found, and what to do about it."""

    check: str
    state: CheckState
    """`look`: it may be as it should, or it could not be checked; only `wrong` is certain to do harm."""
    found: str
    remedy: str = ""


def needs_node(check: str) -> Finding:
    """A check that only a running node can make."""
    return Finding(check, "look", "not checked: no node runs here", "start the node to check this")
