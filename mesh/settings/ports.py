"""The ports that a node tries if its user chose none: below the ephemeral ports, which the system gives to connections."""

from __future__ import annotations

import sys
from pathlib import Path
from random import Random

RANGE_FILE = Path("/proc/sys/net/ipv4/ip_local_port_range")
"""Linux: the first and last ephemeral port, for IPv4 and IPv6."""
FIRST_EPHEMERAL = 32_768 if sys.platform == "linux" else 49_152
"""The first ephemeral port where the system does not say it."""
PORT_COUNT = 12_000
"""A node chooses from so many ports below the ephemeral ones."""
FIRST_UNPRIVILEGED = 1_024
TRIES = 20
"""So many ports are tried, one after the other."""
PATIENCE_SECONDS = 3.0
"""How long a start waits for the kept port: a process that is just ending may still have it."""


def first_ephemeral(file: Path = RANGE_FILE) -> int:
    """The first ephemeral port: the system may give it to a connection of any program while the node is off."""
    try:
        return int(file.read_text().split()[0])
    except (OSError, ValueError, IndexError):
        return FIRST_EPHEMERAL


def choose_ports(random: Random, first_ephemeral: int) -> tuple[int, ...]:
    """The ports to try at the first start of a node. It keeps the one that it gets."""
    allowed = _allowed(first_ephemeral)
    return _row(allowed, random.randrange(len(allowed)))


def ports_instead(kept: int, first_ephemeral: int) -> tuple[int, ...]:
    """The ports to try while the kept port is in use: the same at each start, so that a node does not move more than once."""
    allowed = _allowed(first_ephemeral)
    return tuple(port for port in _row(allowed, (kept + 1 - allowed.start) % len(allowed)) if port != kept)


def _allowed(first_ephemeral: int) -> range:
    if first_ephemeral < FIRST_UNPRIVILEGED + TRIES:  # too few are left: use the usual first one
        first_ephemeral = FIRST_EPHEMERAL
    return range(max(FIRST_UNPRIVILEGED, first_ephemeral - PORT_COUNT), first_ephemeral)


def _row(allowed: range, start: int) -> tuple[int, ...]:
    return tuple(allowed[(start + n) % len(allowed)] for n in range(min(TRIES, len(allowed))))
