"""Subscriptions: the channels that the client of one session has subscribed to, and the answers to its `logux/subscribe`."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any, Protocol

import msgspec

from mesh.gateway.clients.channels import Channels, Denied, MatchedChannel
from mesh.gateway.clients.replies import DENIED, PROCESSED, SUBSCRIBE, is_for_servers, undo_of
from peers.codec.logux_5 import TimedDialect
from peers.events.entry import Entry, encode_event
from peers.failures import failures
from peers.later import Later
from peers.log.port import SyncLog
from peers.roles.server import written

ERROR = "error"
WRONG_CHANNEL = "wrongChannel"
"""Reasons of Logux for a subscription that is undone, beside DENIED."""
MAX_LOAD_BYTES = 8 * 1024 * 1024
"""Of the events that a function returns: the connection has room for about twice as much."""
MAX_UNCONFIRMED_BYTES = 1024 * 1024
"""Of answers; while the client has not confirmed so many, its next subscription waits."""

log = logging.getLogger(__name__)


class SubscribingSession(Protocol):
    """The part of the role that Subscriptions needs."""

    @property
    def user(self) -> str: ...

    @property
    def unconfirmed_bytes(self) -> int: ...

    @property
    def log(self) -> SyncLog: ...

    def send_answers(self, answers: Sequence[msgspec.Raw]) -> None: ...

    def walk(self) -> None: ...

    def await_load(self, value: Any, reaction: Callable[[Later[Any]], None]) -> None: ...

    def on_too_many(self) -> None: ...


class Subscriptions:
    """For each message call `on_message`, then, when its events are committed, `on_committed`; messages stay in their order.

    One subscription is answered after the other: with what its function returns, and `logux/processed`; or with `logux/undo`.
    Events that were stored after the function was called follow; until it has answered the session sends no others.
    """

    def __init__(self, channels: Channels, limit: int, dialect: TimedDialect, session: SubscribingSession) -> None:
        """`limit` of channels, with those that wait for an answer."""
        self.is_loading = False
        """Whether a function is running."""
        self._channels = channels
        self._limit = limit
        self._dialect = dialect
        self._session = session
        self._marks: dict[str, int] = {}
        """By channel: the last `added` when its function was called."""
        self._asked: deque[list[Entry]] = deque()
        """The subscriptions in each message that is being committed."""
        self._waiting: deque[Entry] = deque()
        self._is_running = False

    def on_message(self, asked: list[Entry]) -> None:
        """A message has come, with these events for the server itself."""
        self._asked.append(asked)

    def on_committed(self) -> None:
        """The other events of the oldest message are committed."""
        for entry in self._asked.popleft():
            if len(self._waiting) < self._limit:
                self._waiting.append(entry)
            else:
                self._refuse(entry)
        self.go_on()

    def covers(self, channels: Sequence[str], added: int) -> bool:
        """Whether an event with these channels is sent to the client."""
        return any(added > self._marks.get(channel, added) for channel in channels)

    def go_on(self) -> None:
        """The client has confirmed answers: send further ones, if some wait."""
        if self._is_running:
            return  # called by an answer in the loop below
        self._is_running = True
        try:
            while self._waiting and not self.is_loading and self._session.unconfirmed_bytes < MAX_UNCONFIRMED_BYTES:
                entry = self._waiting.popleft()
                event = entry.event
                self._handle(entry, event.get("channel"), is_subscribe=event["type"] == SUBSCRIBE)
        finally:
            self._is_running = False

    def _handle(self, entry: Entry, channel: object, *, is_subscribe: bool) -> None:
        found = self._channels.find(channel)
        if found is None or not isinstance(channel, str):
            self._undo(entry, WRONG_CHANNEL)
        elif not is_subscribe:
            self._marks.pop(channel, None)
            self._answer(entry)
        elif len(self._marks) >= self._limit and channel not in self._marks:
            self._refuse(entry)
        else:
            # Before the function is called: what comes later may not be in what it returns.
            self._marks.setdefault(channel, self._session.log.state.last_added)
            self.is_loading = True
            self._session.await_load(self._load(found), partial(self._on_loaded, entry, channel, found))

    def _refuse(self, entry: Entry) -> None:
        self._session.on_too_many()
        self._undo(entry, DENIED)

    def _load(self, found: MatchedChannel) -> Any:
        try:
            return found.load(self._session.user, found.params)
        except failures() as error:  # it is the user's function; `_on_loaded` looks at it
            return Later.failed(error)

    def _on_loaded(self, entry: Entry, channel: str, found: MatchedChannel, done: Later[Any]) -> None:
        self.is_loading = False
        try:
            given = done.result()
            if isinstance(given, str | Mapping) or not isinstance(given, Iterable):
                raise TypeError(f"it returned {type(given).__name__}, and not a list of events")
            events = [msgspec.Raw(encode_event(event)) for event in given]
            size = sum([len(bytes(event)) for event in events])
            if size > MAX_LOAD_BYTES:
                raise ValueError(
                    f"its events have {size} bytes, and at most {MAX_LOAD_BYTES} are sent: divide the channel"
                )
        except Denied as denied:
            self._marks.pop(channel, None)
            self._undo(entry, denied.reason)
        except failures() as error:
            self._marks.pop(channel, None)
            log.exception(
                "channel %r: its function failed for %r, whose subscription is undone: %s: %s",
                found.pattern,
                self._session.user,
                type(error).__name__,
                error,
                exc_info=error,
            )
            self._undo(entry, ERROR)
        else:
            self._answer(entry, events)
        self.go_on()
        if not self.is_loading:
            self._session.walk()

    def _answer(self, entry: Entry, events: Sequence[msgspec.Raw] = ()) -> None:
        self._session.send_answers([*events, written(PROCESSED, self._dialect.log_id(entry.created))])

    def _undo(self, entry: Entry, reason: str) -> None:
        self._session.send_answers([undo_of(self._dialect.log_id(entry.created), entry.body, reason)])


def apart(entries: Sequence[Entry]) -> tuple[list[Entry], list[Entry]]:
    """The entries without, and those that are for the server itself."""
    others: list[Entry] = []
    asked: list[Entry] = []
    for entry in entries:
        (asked if is_for_servers(entry) else others).append(entry)
    return others, asked
