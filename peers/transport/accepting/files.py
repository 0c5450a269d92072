"""How many files this process may have open."""

from __future__ import annotations

import resource
import sys


def max_files() -> int:
    """How many files this process may have open: the soft limit, which may change."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return sys.maxsize if soft == resource.RLIM_INFINITY else soft


def limited_by_files(wanted: int, share: int) -> int:
    """The smaller of `wanted` and one of `share` equal parts of the files that this process may open; at least 1."""
    return min(wanted, max(1, max_files() // share))
