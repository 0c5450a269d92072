"""Emitter: listeners by the name of their event."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from peers.clock import Undo

Listener = Callable[..., Any]


class Emitter:
    """Calls listeners in the order in which they were added; one that is removed during an emit is not called any more."""

    __slots__ = ("_listeners",)

    def __init__(self) -> None:
        self._listeners: dict[str, _Listening] = {}
        """The first one of each event; each knows the next one."""

    def on(self, event: str, listener: Listener) -> Undo:
        """Call `listener` at each `event` until the returned undo is called."""
        listening = _Listening(listener)
        last, one = None, self._listeners.get(event)
        while one is not None:
            if one.listener is None:
                one.next, one = None, one.next  # it is left out from now on
                continue
            self._put(event, last, one)
            last, one = one, one.next
        self._put(event, last, listening)
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
        one = self._listeners.get(event)
        if one is None:
            return
        listenings = [one]
        while (one := one.next) is not None:
            listenings.append(one)
        first_error: Exception | None = None
        for listening in listenings:
            listener = listening.listener
            if listener is not None:
                try:
                    listener(*args)
                except Exception as error:  # noqa: BLE001 - the others are called first; it is raised below
                    first_error = first_error or error
        if first_error is not None:
            raise first_error

    def has_listeners(self, event: str) -> bool:
        """Whether `event` has a listener."""
        one = self._listeners.get(event)
        while one is not None and one.listener is None:
            one = one.next
        return one is not None

    def clear(self) -> None:
        """Remove all listeners; their undos stay harmless."""
        for first in self._listeners.values():
            one: _Listening | None = first
            while one is not None:
                one()
                one = one.next
        self._listeners.clear()

    def _put(self, event: str, before: _Listening | None, listening: _Listening) -> None:
        if before is None:
            self._listeners[event] = listening
        else:
            before.next = listening


class _Listening:
    """One call of `on`, and its undo. A session has dozens: a list for each event would take twice the memory."""

    __slots__ = ("listener", "next")

    def __init__(self, listener: Listener) -> None:
        self.listener: Listener | None = listener
        """None once it was undone."""
        self.next: _Listening | None = None
        """The one of its event that was added after it."""

    def __call__(self) -> None:
        self.listener = None
