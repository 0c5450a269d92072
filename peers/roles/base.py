"""BaseSync: one end of a conversation about a log, the base of every role."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from peers.codec.codec import Dialect, is_early_size, wrong_format
from peers.codec.messages import Message, Version
from peers.codec.versions import dialect_of
from peers.log.port import SyncLog
from peers.protocol.session import SessionMessages
from peers.protocol.sync import SyncMessages
from peers.transport.port import Connection


class BaseSync(SyncMessages, SessionMessages):
    """One end of a conversation: one role object on one connection, until `destroy`. It has no thread and no event loop.

    A message `x` that arrives calls the method `x_message` with its items. To add a message, a subclass adds a method, and
    sends with `send_own`. A subclass also decides which end speaks first, in `on_connect`:

        class WavingSync(BaseSync):
            def on_connect(self):
                super().on_connect()
                self.send_connect()  # both ends speak first

            def connected_message(self, protocol, node_id, times, options):
                self.end_timeout()  # their own `connect` said the rest

            def on_authenticated(self):
                super().on_authenticated()
                self.send_own("wave", self.node_id)

            def wave_message(self, who):
                print(who, "waves")

    Parameters:
    - `node_id`: our id, as the other end sees it; `log`: a RunLog, or what implements SyncLog; `connection`: a Connection,
      open or not.
    - `clock` and `random`: where times and random ids come from, as LoopClock and random.Random.
    - `protocol`: 5, 7 or (0, 1), the version of Logux to speak.
    - `timeout`: ms within which an answer must arrive, else the link ends; `ping`: ms of silence after which a `ping` is
      sent, which needs a `timeout`. None, the default, waits without limit and never pings.
    - `subprotocol`: the version of the application's events; `credentials`: any JSON value, or a function that gives it at
      each greeting; `auth` (credentials, node_id) -> bool: whether to accept the other end, None for always.
    - `in_filter` and `out_filter` (event, meta) -> bool: keep an event, or drop it for good; `in_map` and `out_map`
      (event, meta) -> (event, meta): replace it. `in_` is for events that arrive, `out_` for those that are sent.
    - `synced` and `other_synced`: the marks of both logs where the last session ended.
    - `fix_time`: take times by the other end's clock. In protocol (0, 1) that changes the identity of events: use it for a
      single client and its server only, never in a mesh.
    - `budgets`: what the other end may cost, see peers.budgets; beyond it the link is read more slowly. None: no limit.
    - `spawn`: runs coroutines, see peers.protocol.ports; without it, a callback that is a coroutine function is a TypeError.
    - `turn`: wraps every reaction, so that an actor can run it in its mailbox.

    Callbacks (`credentials`, `auth`, filters and maps) are plain or coroutine functions, or return a Later. A filter or map
    that does not answer within 30 s ends the link, if there is a `timeout`.

    Events, for `on` and `once`: `state` (); `connect` (), when the other end has greeted: a listener that raises SyncError
    refuses it; `authenticated` (); `synced` (), when `synced` or `other_synced` has changed; `headers` (headers);
    `debug` (type, text); `client_error` (an error that we sent); `refused` (sentence), when an event was not accepted or
    could not be sent.

    States: `disconnected` (no link, nothing to send), `wait` (no link, something to send), `connecting` (until both ends
    have greeted), `sending` (an event is not confirmed yet), `synchronized`.

    Errors of the protocol are passed to the listeners of `catch`; without one they are raised where they are found. The
    constructor raises ValueError for a `ping` without a `timeout`.
    """

    def __init__(
        self, node_id: str, log: SyncLog, connection: Connection, *, protocol: int | Sequence[int] = 5, **options: Any
    ) -> None:
        self._protocol: Version = protocol if isinstance(protocol, int) else list(protocol)
        super().__init__(node_id, log, connection, **options)

    def make_dialect(self) -> Dialect:
        return dialect_of(self._protocol, self.node_id)

    def decode(self, frame: bytes) -> Message:
        is_stranger = self.dialect.other_node_id is None and not self.connection.dialled
        if is_stranger and not is_early_size(frame):
            raise wrong_format(frame)
        return super().decode(frame)

    def greeting_synced(self) -> int:
        return self.other_synced

    def on_authenticated(self) -> None:
        """Send what they lack: after the mark that their `connect` stated, else after what they confirmed."""
        self.start_walk(self.resume_from())

    def resume_from(self) -> int:
        """The mark in our log after which they may lack events; 0 if the mark that is known is beyond the end of our log."""
        last = self.log.state.last_added
        if self.stated is None:
            return self.synced if self.synced <= last else 0
        if self.stated > last:
            self.stated = 0  # our log was lost: they may have to bring even what they wrote themselves
        return self.stated
