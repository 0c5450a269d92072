"""Emitter: listeners by the name of their event."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from peers.clock import Undo

Listener = Callable[..., Any]


class Emitter:
    """Calls listeners in the order in which they were added; one that is removed during an emit is not called any more."""

    def __init__(self) -> None:
        self._listeners: dict[str, dict[object, Listener]] = {}
        """By a key of its own for each, so that one function can be added twice."""

    def on(self, event: str, listener: Listener) -> Undo:
        """Call `listener` at each `event` until the returned undo is called."""
        mark = object()
        listeners = self._listeners.setdefault(event, {})
        listeners[mark] = listener

        def undo() -> None:
            listeners.pop(mark, None)

        return undo

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
        for mark, listener in tuple(listeners.items()):
            if mark in listeners:
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
            listeners.clear()
