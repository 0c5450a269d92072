"""NetworkWatch: notices that the network of the machine changed, or that the machine slept."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from mesh.discovery.mdns.interfaces import ChosenInterfaces, Interface, choose
from mesh.discovery.mdns.scan import scan
from peers.clock import Clock, Undo

WATCH_SECONDS = 0.5
"""Time between two looks at the interfaces, each of which takes 0.5 ms. A new network must be in use within 3 s."""
CONFIRM_SECONDS = 0.25
"""A change is reported when a second look after this time agrees with the first."""
MAX_UNSETTLED_LOOKS = 5
"""After so many looks in a row that all differ, the last one is reported."""
WAKE_SECONDS = 5.0
"""If the wall clock gained this much on the monotonic clock, the machine slept (or its time was set)."""


class NetworkWatch:
    """Looks at the interfaces every `watch_seconds`, and reports each change of those that are used once."""

    def __init__(
        self,
        clock: Clock,
        wanted: Sequence[str] | None,
        *,
        on_change: Callable[[ChosenInterfaces], None],
        on_wake: Callable[[], None],
        on_quiet: Callable[[], None],
        look: Callable[[], Sequence[Interface]] = scan,
        watch_seconds: float = WATCH_SECONDS,
    ) -> None:
        """`wanted` are the interfaces that MdnsDiscovery was given; `look` lists those of the machine.

        `on_change` gets the new interfaces, `on_wake` is called after a sleep of the machine, and `on_quiet` after each look
        without a change: then what failed before can be repaired.
        """
        self._clock = clock
        self._wanted = wanted
        self._on_change = on_change
        self._on_wake = on_wake
        self._on_quiet = on_quiet
        self._look = look
        self._watch_seconds = watch_seconds
        self.trouble = ""
        """Why the last look failed; empty if it did not."""
        self._reported = ChosenInterfaces()
        self._seen = ChosenInterfaces()
        self._unsettled_looks = 0
        self._offset_ms = 0.0
        self._undo: Undo | None = None

    @property
    def network(self) -> ChosenInterfaces:
        """The interfaces that were reported last."""
        return self._reported

    def start(self) -> ChosenInterfaces:
        """Begin to watch. Returns the present interfaces; none while they cannot be listed."""
        self._seen = ChosenInterfaces()
        self._reported = self._seen = self._see()
        self._offset_ms = self._clock.now_ms() - self._clock.elapsed_ms()
        self._wait(self._watch_seconds)
        return self._reported

    def stop(self) -> None:
        """Stop watching. Does nothing if it never started."""
        if self._undo is not None:
            self._undo()
            self._undo = None

    def _wait(self, seconds: float) -> None:
        self._undo = self._clock.call_later(seconds * 1000, self._on_time)

    def _on_time(self) -> None:
        """The next look is scheduled before any callback, so that an error of a callback does not end the watch."""
        seen = self._see()
        is_settled = seen == self._seen or self._unsettled_looks >= MAX_UNSETTLED_LOOKS
        self._seen = seen
        self._unsettled_looks = 0 if is_settled else self._unsettled_looks + 1
        self._wait(self._watch_seconds if is_settled else min(CONFIRM_SECONDS, self._watch_seconds))
        if self._has_slept():
            self._on_wake()
        if is_settled:
            self._report(seen)

    def _see(self) -> ChosenInterfaces:
        """The present interfaces, or those of the last look if they cannot be listed."""
        try:
            self.trouble, seen = "", choose(self._look(), self._wanted)
        except OSError as error:
            self.trouble, seen = f"the network interfaces cannot be listed: {error.strerror or error}", self._seen
        return seen

    def _report(self, seen: ChosenInterfaces) -> None:
        before, self._reported = self._reported, seen
        if is_news(before, seen):
            self._on_change(seen)
        else:
            self._on_quiet()

    def _has_slept(self) -> bool:
        before = self._offset_ms
        self._offset_ms = self._clock.now_ms() - self._clock.elapsed_ms()
        return self._offset_ms - before >= WAKE_SECONDS * 1000


def is_news(before: ChosenInterfaces, after: ChosenInterfaces) -> bool:
    """Whether other nodes must hear of the change: an address came or went, or an interface is connected again."""
    if before.addresses != after.addresses or before.places() != after.places():
        return True
    return any(name not in _running(before) for name in _running(after))


def _running(network: ChosenInterfaces) -> tuple[str, ...]:
    return tuple(interface.name for interface in network.interfaces if interface.is_running)
