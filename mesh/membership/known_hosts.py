"""KnownHosts: the machines whose connections a door does not turn away for what others do."""

from __future__ import annotations

from collections.abc import Iterable

from peers.transport.address import UNKNOWN_KEY, address_key

MAX_MET = 1_024
"""Hosts that are remembered of members; a further one replaces the one that was met longest ago."""


class KnownHosts:
    """Hosts at which members were met, and those of static addresses, as `address_key` writes them.

    What was only announced is not among them, since anybody can announce. A static address with a name counts once its node
    has connected.
    """

    def __init__(self) -> None:
        self._met: dict[str, None] = {}
        """The one met last is the last."""
        self._static: frozenset[str] = frozenset()

    def __contains__(self, key: object) -> bool:
        return key in self._met or key in self._static

    def set_static(self, addresses: Iterable[str]) -> None:
        """These are the static addresses now."""
        self._static = frozenset(map(address_key, addresses)) - {UNKNOWN_KEY}

    def on_met(self, address: str) -> None:
        """A member is connected at `address`."""
        key = address_key(address)
        if key == UNKNOWN_KEY:
            return
        self._met.pop(key, None)
        self._met[key] = None
        if len(self._met) > MAX_MET:
            del self._met[next(iter(self._met))]
