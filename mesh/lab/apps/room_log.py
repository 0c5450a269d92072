"""`room.log` of a story, and `node.log` of an application: the log of a node, whose writes the checker watches."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from functools import partial
from inspect import iscoroutinefunction
from typing import Any

import msgspec

from mesh.actors.log_proxy import LogProxy
from mesh.lab.apps.story_log import PendingWrite
from mesh.lab.simulation.app_tasks import AppTasks
from mesh.lab.simulation.virtual_loop import VirtualLoop
from mesh.node_log import NodeLog
from peers.clock import Undo
from peers.later import Later
from peers.log.draft import Meta, make_undo

OnAdd = Callable[[dict[str, Any], Later[Any], bool], None]
"""Gets each event that is added, its result, and whether the node's own timer makes its `created`."""
Guard = Callable[[Callable[..., Any]], Callable[..., None]]
"""Makes of a listener one whose error fails the run."""


class WatchedLog(NodeLog):
    """A NodeLog that tells of each event that is added, and whose listeners fail the run if they fail."""

    def __init__(self, log: LogProxy, on_add: OnAdd, guard: Guard) -> None:
        super().__init__(log)
        self._on_add = on_add
        self._guard = guard

    def add(self, event: dict[str, Any], meta: Any = None, **options: Any) -> Later[Any]:
        result = super().add(event, meta, **options)
        self._note(event, meta, options, result)
        return result

    def add_batch(self, items: Sequence[tuple[Any, Any]], **options: Any) -> Later[list[Any]]:
        result = super().add_batch(items, **options)
        for place, (event, meta) in enumerate(items):
            self._note(event, meta, options, result.transform(partial(_pick, place)))
        return result

    def undo(self, which: Any, reason: str | None = None) -> Later[Any]:
        result = super().undo(which, reason)
        if result.exception is None:
            self._note(msgspec.json.decode(make_undo(which, reason).body), None, {}, result)
        return result

    def _note(self, event: Any, meta: Any, options: Mapping[str, Any], result: Later[Any]) -> None:
        """An add was asked for. What its caller does with `event` from now on does not count."""
        is_refused = result.exception is not None
        self._on_add({} if is_refused else deepcopy(event), result, not options and (not meta or "created" not in meta))

    def on(self, event: str, listener: Callable[..., Any]) -> Undo:
        return super().on(event, listener if iscoroutinefunction(listener) else self._guard(listener))


class RoomLog(WatchedLog):
    """The log of the node that runs in a room, for a story. What NodeLog promises of threads holds of a story here.

    `get` lets virtual time pass until the result is there, and so does iterating: `for event, meta in room.log.each()`. Raises
    RuntimeError if the room does not run; `room.entries` shows what its disk holds. Nothing of a frozen room answers:
    TimeoutError after VIRTUAL_ANSWER_SECONDS. A listener hears the present life of the node alone.
    """

    def __init__(self, loop: VirtualLoop, name: str, current: Callable[[], LogProxy], on_add: OnAdd) -> None:
        """`current` is the log of the node that runs in the room `name`, and raises RuntimeError if none does."""
        super().__init__(LogProxy(), on_add, AppTasks(loop, loop.record).guard)
        self._loop = loop
        self._name = name
        self._current = current

    @property
    def _log(self) -> LogProxy:
        return self._current()

    def add(self, event: dict[str, Any], meta: Any = None, **options: Any) -> Later[Any]:
        """As NodeLog.add. The result says so if it is asked for too early."""
        pending = PendingWrite(self._loop, self._name)
        super().add(event, meta, **options).then(pending.follow)
        return pending


def _pick(place: int, results: list[Meta | ValueError | None]) -> Meta | None:
    """The result of one event of a batch. Raises what is wrong with it."""
    result = results[place]
    if isinstance(result, ValueError):
        raise result
    return result
