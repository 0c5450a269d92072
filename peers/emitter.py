"""Emitter: listeners by the name of their event."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from peers.clock import Undo
from peers.failures import failures

Listener = Callable[..., Any]


class Emitter:
    """Calls listeners in the order in which they were added; one that is removed during an emit is not called any more.

    Listeners may be added and undone in any thread.
    """

    __slots__ = ("_firsts", "_others")

    def __init__(self) -> None:
        self._firsts: dict[str, _Listening] = {}
        """The one of each event that was added first; it stays when it was undone."""
        self._others: dict[str, list[_Listening]] = {}
        """Those that were added after it: most events have none."""

    def on(self, event: str, listener: Listener) -> Undo:
        """Call `listener` at each `event` until the returned undo is called."""
        listening = _Listening(listener)
        # Each of these steps is done at once, whatever other threads do.
        if self._firsts.setdefault(event, listening) is not listening:
            listening.others = self._others.setdefault(event, [])
            listening.others.append(listening)
        return listening

    def once(self, event: str, listener: Listener) -> Undo:
        """Call `listener` at the next `event` only."""

        def call(*args: Any) -> Any:
            undo()
            return listener(*args)

        undo = self.on(event, call)
        return undo

    def emit(self, event: str, *args: Any) -> None:
        """Call the listeners of `event`. If some raise, the first exception is raised after all have been called."""
        first = self._firsts.get(event)
        if first is None:
            return
        first_error: BaseException | None = None
        for listening in (first, *self._others.get(event, ())):
            listener = listening.listener
            if listener is not None:
                try:
                    listener(*args)
                except failures() as error:  # the others are called first; it is raised below
                    first_error = first_error or error
        if first_error is not None:
            raise first_error

    def has_listeners(self, event: str) -> bool:
        """Whether `event` has a listener."""
        first = self._firsts.get(event)
        return (first is not None and first.listener is not None) or bool(self._others.get(event))

    def clear(self) -> None:
        """Remove all listeners; their undos stay harmless."""
        for event, first in list(self._firsts.items()):
            for listening in (first, *self._others.get(event, ())):
                listening()


class _Listening:
    """One call of `on`, and its undo. A session has dozens: a list for each event would take twice the memory."""

    __slots__ = ("listener", "others")

    def __init__(self, listener: Listener) -> None:
        self.listener: Listener | None = listener
        """None once it was undone."""
        self.others: list[_Listening] | None = None
        """Those of its event that were added after the first one; None for that."""

    def __call__(self) -> None:
        if self.listener is not None:
            self.listener = None
            if self.others is not None:
                self.others.remove(self)


def checked(event: str, known: set[str], listener: Callable[..., Any]) -> str:
    """`event`, if it is known and `listener` fits. Raises ValueError or TypeError."""
    if event not in known:
        raise ValueError(f"there is no event {event!r} here: take one of {', '.join(sorted(known))}")
    if inspect.iscoroutinefunction(listener):
        raise TypeError("a listener must be a plain function, called on the loop: let it start a task of yours")
    return event
