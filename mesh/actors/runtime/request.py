"""Requests by method name, for actors whose callers hold no proxy: making one costs more than the call."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any

from mesh.actors.runtime.loop_actor import LoopActor


@dataclass(frozen=True, slots=True)
class Request:
    """One call of a public method of the actor; ask it for the result, tell it for none."""

    method: str
    arguments: tuple[Any, ...] = ()


@dataclass(frozen=True, slots=True)
class Work:
    """A coroutine function that an actor tells itself to run."""

    coroutine: Callable[[], Coroutine[Any, Any, None]]


class RequestActor(LoopActor):
    """A LoopActor that takes Requests and Work."""

    def on_receive(self, message: Any) -> Any:
        if isinstance(message, Work):
            return message.coroutine()
        if isinstance(message, Request):
            return getattr(self, message.method)(*message.arguments)
        return super().on_receive(message)
