"""ClientReplies: a role that tells @logux/client what became of its events, as a Logux server does."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import Any

import msgspec

from peers.codec.logux_5 import Protocol5
from peers.events.created import Created
from peers.events.entry import Entry
from peers.log.log import SyncLog
from peers.roles.server import UNDO, ServerSync, written
from peers.transport.port import Connection

PROCESSED = "logux/processed"
FOR_SERVERS = frozenset({"logux/subscribe", "logux/unsubscribe"})
"""What a client says to a server, and to nobody behind it: here everybody sees all, but for filters."""
MAX_UNDONE_BYTES = 1024 * 1024
"""Events of one message that are sent back whole when they were dropped; of more than that, their types alone."""


class ClientReplies(ServerSync):
    """`client.sync` of @logux/client waits until its event is answered; what was dropped is undone there.

    Clients of that kind are known by protocol 5 and a node id of three parts, USER:CLIENT:TAB, and by own events that name
    no reason to be kept: what becomes of them is the server's business. The answers are in no log.
    """

    def __init__(self, node_id: str, log: SyncLog, connection: Connection, **options: Any) -> None:
        self._asked: deque[Sequence[Entry]] = deque()
        """The events of each message that is being filtered."""
        self._answers: deque[list[msgspec.Raw]] = deque()
        """What is to be said of each message that is being committed."""
        super().__init__(node_id, log, connection, **options)

    @property
    def wants_answers(self) -> bool:
        return isinstance(self.dialect, Protocol5) and (self.other_node_id or "").count(":") == 2

    def take(self, added: int, entries: Sequence[Entry]) -> None:
        if self.wants_answers:
            self._asked.append(entries)
            entries = [entry for entry in entries if entry.reasons or not _is_for_servers(entry)]
        super().take(added, entries)

    def _offer(self, added: int, entries: list[Entry]) -> None:
        if self.wants_answers:
            asked, passed = self._asked.popleft(), {entry.created for entry in entries}
            is_brief = sum(len(entry.body) for entry in asked) > MAX_UNDONE_BYTES
            self._answers.append(
                [
                    self._processed(one) if _is_done(one, passed) else self._undo(one, is_brief=is_brief)
                    for one in asked
                    if self.admitted(one) is not None and not one.reasons
                ]
            )
        super()._offer(added, entries)

    def send_synced(self, added: int) -> None:
        super().send_synced(added)
        if self.wants_answers:
            self.send_answers(self._answers.popleft())

    def _processed(self, entry: Entry) -> msgspec.Raw:
        return written(PROCESSED, self._logux_id(entry))

    def _undo(self, entry: Entry, *, is_brief: bool) -> msgspec.Raw:
        action = {"type": entry.event["type"]} if is_brief else msgspec.Raw(entry.body)
        return written(UNDO, self._logux_id(entry), reason="denied", action=action)

    def _logux_id(self, entry: Entry) -> str:
        assert isinstance(self.dialect, Protocol5)
        return self.dialect.log_id(entry.created)


def _is_for_servers(entry: Entry) -> bool:
    return b'"logux/' in entry.body and entry.event["type"] in FOR_SERVERS


def _is_done(entry: Entry, passed: set[Created]) -> bool:
    return entry.created in passed or _is_for_servers(entry)
