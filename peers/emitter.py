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
        self._listeners: dict[str, list[_Listening]] = {}

    def on(self, event: str, listener: Listener) -> Undo:
        """Call `listener` at each `event` until the returned undo is called."""
        listening = _Listening(listener)
        listeners = self._listeners.setdefault(event, listening.others)
        if listeners is not listening.others:
            listening.others = listeners
            listeners.append(listening)
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
        listeners = self._listeners.get(event)
        if not listeners:
            return
        first_error: Exception | None = None
        for listening in tuple(listeners):
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
        return bool(self._listeners.get(event))

    def clear(self) -> None:
        """Remove all listeners; their undos stay harmless."""
        for listeners in self._listeners.values():
            for listening in tuple(listeners):
                listening()


class _Listening:
    """One call of `on`, and its undo. A session has dozens: this takes a third of the memory of a closure in a dict."""

    __slots__ = ("listener", "others")

    def __init__(self, listener: Listener) -> None:
        self.others = [self]  # a list that grew by `append` has room for four: most events have one listener
        """All of its event."""
        self.listener: Listener | None = listener
        """None once it was undone."""

    def __call__(self) -> None:
        if self.listener is not None:
            self.listener = None
            self.others.remove(self)
