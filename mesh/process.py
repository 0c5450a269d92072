"""What suits a process that runs a node and nothing else: a Node inside another program changes nothing of that."""

from __future__ import annotations

import gc
import sys

SWITCH_SECONDS = 0.0001
"""After which a thread that computes lets another one go on: the disk's thread commits while the loop is busy.

A commit takes turns some ten times, and each time it waits so long.
"""
NEW_OBJECTS = 2_000
"""After so many more objects the garbage collector looks for circles: few objects of a node are in one."""
NEW_ROUNDS = 4
"""Rounds of it after which it looks at older objects too: those that are left of these rounds, in one pause."""
OLD_ROUNDS = 125
"""Rounds of that after which it looks at all objects, if a quarter of them are new: that takes 100 ms and more."""


def suit_node() -> None:
    """Set how the threads of this process take turns, and how often its garbage is collected."""
    sys.setswitchinterval(SWITCH_SECONDS)
    gc.set_threshold(NEW_OBJECTS, NEW_ROUNDS, OLD_ROUNDS)
    gc.freeze()  # what was imported is not looked at again: a look at all objects takes 20 ms and more
