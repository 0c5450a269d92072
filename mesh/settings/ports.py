"""Which ports a node tries when its user chose none: outside the range from which the system takes ports for connections."""

from __future__ import annotations

import sys
from pathlib import Path
from random import Random

RANGE_FILE = Path("/proc/sys/net/ipv4/ip_local_port_range")
"""Linux: the first and the last ephemeral port, for IPv4 and IPv6."""
FIRST_EPHEMERAL = 32_768 if sys.platform == "linux" else 49_152
"""Where the system does not say it."""
PORT_COUNT = 12_000
"""From so many ports below the ephemeral ones a node chooses."""
FIRST_UNPRIVILEGED = 1_024
TRIES = 20
"""How many ports in a row may be in use."""
PATIENCE_SECONDS = 3.0
"""How long a start waits for the kept port, which may be held by a process that is just ending."""


def first_ephemeral(file: Path = RANGE_FILE) -> int:
    """The first port that the system may give to a connection of any program, and so take from a node that is off."""
    try:
        return int(file.read_text().split()[0])
    except (OSError, ValueError, IndexError):
        return FIRST_EPHEMERAL


def choose_ports(random: Random, first_ephemeral: int) -> tuple[int, ...]:
    """For a first start: a port to keep, and those to try instead if it is in use."""
    allowed = _allowed(first_ephemeral)
    return _row(allowed, random.randrange(len(allowed)))


def ports_instead(kept: int, first_ephemeral: int) -> tuple[int, ...]:
    """To try while the kept port is in use: the same ones at each start, so that a node does not move more than once."""
    allowed = _allowed(first_ephemeral)
    return tuple(port for port in _row(allowed, (kept + 1 - allowed.start) % len(allowed)) if port != kept)


def _allowed(first_ephemeral: int) -> range:
    if first_ephemeral < FIRST_UNPRIVILEGED + TRIES:  # too few are below: any port may be taken while a node is off
        first_ephemeral = FIRST_EPHEMERAL
    return range(max(FIRST_UNPRIVILEGED, first_ephemeral - PORT_COUNT), first_ephemeral)


def _row(allowed: range, start: int) -> tuple[int, ...]:
    return tuple(allowed[(start + n) % len(allowed)] for n in range(min(TRIES, len(allowed))))
