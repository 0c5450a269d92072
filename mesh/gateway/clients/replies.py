"""ClientReplies: the answers of a Logux server to @logux/client about each event that it sent."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence

import msgspec

from peers.codec.codec import Dialect
from peers.codec.logux_5 import Protocol5
from peers.events.created import Created
from peers.events.entry import Entry
from peers.roles.server import written
from peers.stores.undo import UNDO

PROCESSED = "logux/processed"
DENIED = "denied"
"""The reason of Logux for what a client may not do."""
SUBSCRIBE = "logux/subscribe"
FOR_SERVERS = frozenset({SUBSCRIBE, "logux/unsubscribe"})
"""Types of events that a client sends to the server itself. They are answered and not logged. Without the option `channels`
they change nothing: every client receives all events that the filters let pass."""
MAX_UNDONE_BYTES = 1024 * 1024
"""Dropped events of one message are sent back whole up to this sum; of more, only their types are sent."""
MAX_ACTION_BYTES = 4 * 1024
"""The same for one subscription or undo that is refused."""


def replies_for(dialect: Dialect, node_id: str, is_admitted: Callable[[Entry], bool]) -> ClientReplies | None:
    """The replies for a client that is an @logux/client: it speaks protocol 5 under an id of three parts, USER:CLIENT:TAB."""
    if isinstance(dialect, Protocol5) and node_id.count(":") == 2:
        return ClientReplies(dialect.log_id, is_admitted)
    return None


class ClientReplies:
    """Replies to the events of one client: `logux/processed`, or `logux/undo` for one that was dropped.

    `client.sync` of @logux/client waits for them, and the client removes what is undone. Only events without reasons of their
    own are replied to: the client leaves it to the server how long those are kept. The replies are in no log.

    For each message call `on_message`, then `on_filtered`, then `take`; messages stay in their order.
    """

    def __init__(self, log_id: Callable[[Created], str], is_admitted: Callable[[Entry], bool]) -> None:
        """`log_id` writes an id as this client knows it; events that are not admitted get no reply."""
        self._log_id = log_id
        self._is_admitted = is_admitted
        self._asked: deque[Sequence[Entry]] = deque()
        """The events of each message that is being filtered."""
        self._replies: deque[list[msgspec.Raw]] = deque()
        """The replies to each message that is being committed."""

    def on_message(self, entries: Sequence[Entry]) -> Sequence[Entry]:
        """A message has arrived; the result is those of its events that may enter the log."""
        self._asked.append(entries)
        return [entry for entry in entries if entry.reasons or not is_for_servers(entry)]

    def on_filtered(self, passed: Sequence[Entry]) -> None:
        """The oldest message has gone through the filters, and these events passed."""
        asked, known = self._asked.popleft(), {entry.created for entry in passed}
        is_brief = sum(len(entry.body) for entry in asked) > MAX_UNDONE_BYTES
        self._replies.append(
            [
                self._processed(one) if one.created in known or is_for_servers(one) else self._undo(one, is_brief)
                for one in asked
                if self._is_admitted(one) and not one.reasons
            ]
        )

    def take(self) -> list[msgspec.Raw]:
        """The replies to the oldest message, which is committed now."""
        return self._replies.popleft()

    def _processed(self, entry: Entry) -> msgspec.Raw:
        return written(PROCESSED, self._log_id(entry.created))

    def _undo(self, entry: Entry, is_brief: bool) -> msgspec.Raw:
        action = {"type": entry.event["type"]} if is_brief else msgspec.Raw(entry.body)
        return written(UNDO, self._log_id(entry.created), reason=DENIED, action=action)


def undo_of(log_id: str, body: bytes, reason: str) -> msgspec.Raw:
    """The `logux/undo` of a refused event with this JSON text, a subscription or an undo."""
    kind = {"type": msgspec.json.decode(body)["type"]}
    action = msgspec.Raw(body) if len(body) <= MAX_ACTION_BYTES else kind
    return written(UNDO, log_id, reason=reason, action=action)


def is_for_servers(entry: Entry) -> bool:
    """Whether the event is of one of the types in FOR_SERVERS."""
    return has_type(entry, FOR_SERVERS)


def has_type(entry: Entry, types: frozenset[str]) -> bool:
    """Whether the event is of one of these types of Logux. Cheap for most others."""
    may_be = b'"logux/' in entry.body or b"\\" in entry.body  # it may be spelled with escapes
    return may_be and entry.event["type"] in types
