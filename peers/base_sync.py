"""BaseSync: one end of a conversation about a log, on which every role is built."""

from __future__ import annotations

import inspect
from typing import Any

import msgspec

from peers.messages.connect import ConnectMessages
from peers.messages.error import ErrorMessages
from peers.messages.headers import HeadersMessages
from peers.messages.ping import PingMessages
from peers.messages.sync import SyncMessages
from peers.wire.messages import Custom, Message, name_of

BEFORE_AUTHENTICATION = frozenset({"connect", "connected", "error", "headers", "debug"})


class BaseSync(ConnectMessages, SyncMessages, PingMessages, ErrorMessages, HeadersMessages):
    """One role object on one connection, until `destroy`. It reacts; it owns no thread and no loop.

    A message `x` that arrives calls the method `x_message` with its items, so a role of your own adds a message by adding a
    method, and sends one with `send_own("x", ...)`. What a role must decide is who speaks first (`on_connect`) and what it
    sends once the other end is let in (`on_authenticated`).

    Options: `clock`, `random`, `spawn` (runs coroutine callbacks; without it one is a TypeError), `turn` (wraps every
    reaction; an actor passes its mailbox), `timeout` and `ping` in ms, `subprotocol`, `credentials` (what we show), `auth`
    (credentials, node_id -> bool, or a Later or coroutine of one).

    States: `disconnected` (no link, nothing to send), `wait` (no link, something to send), `connecting` (until both
    greetings are done), `sending` (something is under way), `synchronized`.

    Errors of the protocol are given to `catch` listeners; without one they are raised where they are found.
    """

    def dispatch(self, message: Message) -> None:
        name = name_of(message)
        if not self.authenticated and name not in BEFORE_AUTHENTICATION:
            if self._judging:
                self.queue(message)
                return
            raise self.error("missed-auth", name)
        method = getattr(self, f"{name}_message", None)
        if method is None:
            raise self.error("unknown-message", name)
        if isinstance(message, Custom):
            try:
                inspect.signature(method).bind(*message.items)
            except TypeError as error:
                raise self.error("wrong-format", f"{name}: {error}") from None
            method(*message.items)
        else:
            method(*msgspec.structs.astuple(message))

    def send_own(self, name: str, *items: Any) -> None:
        """Send a message of your own; the other end's role needs a method `<name>_message`."""
        self.send(Custom(name, items))
