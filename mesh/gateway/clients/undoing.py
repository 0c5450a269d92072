"""UndoJudge: which `logux/undo` of a client are taken. It is decided once, here: what is stored counts on every node."""

from __future__ import annotations

import inspect
from collections import deque
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from functools import partial
from typing import Any

import msgspec

from mesh.gateway.clients.access import may_write
from mesh.gateway.clients.replies import PROCESSED, has_type
from peers.events.created import Created
from peers.events.entry import Entry, EventMeta
from peers.log.port import SyncLog
from peers.protocol.filters import Event, React
from peers.stores.run_store import RunStore
from peers.stores.undo import UNDO, undone_by

MayUndo = Callable[[str, Event, EventMeta], bool | Awaitable[bool]]
"""(user, event, meta) -> whether this user may undo that event, or a coroutine of it."""

READ_AT_ONCE = 200
"""Undos for which the store is asked in one turn of its disk."""
_texts = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_VERDICTS = frozenset({UNDO, PROCESSED})


def is_verdict(entry: Entry) -> bool:
    """Whether other clients would take the event for a verdict on the event with its `id`."""
    return has_type(entry, _VERDICTS)


class UndoJudge:
    """Judges the messages of one client, in their order.

    Without a function `may_undo` a user may undo the events that this user wrote. With one, that rule is for events only that
    are not known here, or were cleaned. An undo whose `id` cannot be read is refused, since clients of another protocol may be
    able to read it, and so is every `logux/processed`, which is the node's to say. One that is stored here already is taken: a
    client may send it again.
    """

    def __init__(self, user: str, log: SyncLog, react: React, may_undo: MayUndo | None) -> None:
        self._user = user
        self._log = log
        self._react = react
        self._may_undo = may_undo
        self._waiting: deque[tuple[Sequence[Entry], Callable[[Collection[Created]], None]]] = deque()
        self._is_busy = False

    def judge(self, undos: Sequence[Entry], on_judged: Callable[[Collection[Created]], None]) -> None:
        """Call `on_judged` with the `created` of those undos of a message that are refused, after the messages before."""
        self._waiting.append((undos, on_judged))
        if not self._is_busy:
            self._go_on()

    def _go_on(self) -> None:
        while self._waiting and not self._is_busy:
            undos, on_judged = self._waiting.popleft()
            if not undos or self._may_undo is None:
                on_judged({undo.created for undo in undos if not self._is_own(undone_by(undo.body))})
            else:
                self._is_busy = True
                self._react(self._refused(undos, self._may_undo), partial(self._on_refused, on_judged))

    def _on_refused(self, on_judged: Callable[[Collection[Created]], None], done: Any) -> None:
        refused = done.result()
        self._is_busy = False
        on_judged(refused)
        self._go_on()

    async def _refused(self, undos: Sequence[Entry], may_undo: MayUndo) -> set[Created]:
        refused: set[Created] = set()
        for start in range(0, len(undos), READ_AT_ONCE):
            some = undos[start : start + READ_AT_ONCE]
            targets = [undone_by(undo.body) for undo in some]
            wanted = [*[undo.created for undo in some], *[target for target in targets if target is not None]]
            found = await self._log.read(partial(find_all, wanted))
            for undo, target in zip(some, targets, strict=True):
                is_known = undo.created in found and found[undo.created].body == undo.body
                if not is_known and not await self._may(target, found, may_undo):
                    refused.add(undo.created)
        return refused

    async def _may(self, target: Created | None, found: dict[Created, Entry], may_undo: MayUndo) -> bool:
        if target is None or target not in found:
            return self._is_own(target)
        entry = found[target]
        answer = may_undo(self._user, entry.event, entry.meta)
        given: object = await answer if inspect.isawaitable(answer) else answer
        if not isinstance(given, bool):
            raise TypeError(f"`may_undo` must answer True or False, not a value of type {type(given).__name__}")
        return given

    def _is_own(self, target: Created | None) -> bool:
        return target is not None and may_write(self._user, target[1], dialect_is_01=False)


def find_all(createds: Collection[Created], store: RunStore) -> dict[Created, Entry]:
    """Those of these events that the store has and that were not cleaned."""
    found = ((created, store.find(created)) for created in createds)
    return {created: entry for created, entry in found if entry is not None and not entry.tombstone}


def for_clients(entry: Entry, found: Mapping[Created, Entry]) -> Entry:
    """An undo as clients of Logux expect it, with an `action`: they show its `type` to developers. It has no more than that.

    `found` has the events that are undone, as far as they are known here: `unknown` stands for the type of others.
    """
    target = undone_by(entry.body)
    if target is None or isinstance(entry.event.get("action"), dict):
        return entry
    kind = found[target].event["type"] if target in found else "unknown"
    return msgspec.structs.replace(entry, body=msgspec.json.encode({**_texts(entry.body), "action": {"type": kind}}))
