"""Discoverer: runs one Discovery and reports what it finds."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from mesh.actors.reports import AddressesGone, Failed, Noted, Report, Sighted
from mesh.actors.runtime.loop_actor import LoopActor
from mesh.actors.runtime.mailbox import Runtime
from mesh.discovery.port import NOT_WANTED, Announcement, Discovery, DiscoveryState
from peers.clock import Clock
from peers.later import Later


class Discoverer(LoopActor):
    """Ask it to `open`, later to `close`. It reports sightings, addresses that this machine lost, and in a sentence each
    change of the state of discovery."""

    def __init__(self, runtime: Runtime, discovery: Discovery, tell: Callable[[Report], None], clock: Clock) -> None:
        super().__init__(runtime)
        self._discovery = discovery
        self._tell = tell
        self._clock = clock
        self._state = NOT_WANTED
        self._since_ms = clock.now_ms()

    def open(self, announcement: Announcement) -> Later[None]:
        """Announce this node and look for others, as soon as there is a network that allows it."""
        return self._discovery.start(announcement, lambda sighting: self._tell(Sighted(sighting)), self._on_state)

    def describe(self) -> dict[str, Any]:
        """What `status` shows; `since_ms`, by the wall clock, is when discovery went on or off."""
        state = self._state
        return {
            "on": state.is_on,
            "interfaces": list(state.interfaces),
            "since_ms": self._since_ms,
            "why": state.why or None,
        }

    def _on_state(self, state: DiscoveryState) -> None:
        if state.is_on != self._state.is_on:
            self._since_ms = self._clock.now_ms()
        before, self._state = self._state, state
        gone = before.addresses - state.addresses
        if gone and state.addresses:
            self._tell(AddressesGone(gone))
        if state.sentence and state.sentence != before.sentence:
            self._tell(Noted("discovery", state.sentence, "note" if state.why else "discovery"))

    def requery(self) -> None:
        """Ask the network again for other nodes, now."""
        self._discovery.requery()

    def close(self) -> Later[None]:
        """Withdraw the announcement and stop."""
        return self._discovery.stop()

    def on_stop(self) -> None:
        self._discovery.stop()

    def on_failure(self, exception_type: Any, exception_value: Any, traceback: Any) -> None:
        self._discovery.stop()
        self._tell(Failed.of("discovery", exception_value))
