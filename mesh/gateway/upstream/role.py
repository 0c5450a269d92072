"""UpstreamSync: the role of a node that is a client of a Logux server, and connects that server's log with the mesh's."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from hashlib import sha256
from typing import Any

import msgspec

from mesh.gateway.foreign_meta import without_keep_last
from mesh.gateway.saved_cursors import SavedCursors
from mesh.gateway.upstream.send_queue import SendQueue
from peers.clock import Undo
from peers.codec.messages import Message, Sync
from peers.codec.refused import refused
from peers.errors import MAX_SHOWN
from peers.events.created import NODE_MARK, created_text
from peers.events.entry import Entry, check_extra
from peers.later import Later
from peers.log.port import SyncLog
from peers.roles.client import ClientSync
from peers.transport.port import Connection

LOGUX_SERVER = "server:"
"""Prefix of the node id of a @logux/server, which accepts only events under the id of the client that sends them."""
CONTROL = "logux/"
"""Prefix of the types of a @logux/server's own events: they answer one client, and are of no use to others."""
CAME_FROM = "upstream"
"""Meta key of an event that came from a @logux/server: the server's address. No node sends the event there again."""
MAX_TOLD = 100
"""Limit of different sentences about refusals by the server, in one connection; it may refuse every event."""
UPSTREAM_SAVE_MS = 20
"""How long the cursors wait to be saved: a @logux/server carries out again what it is sent again after a crash of ours."""
FINISH_MS = 1_000
"""How long `finish` waits for a @logux/server to confirm what it was sent."""

_encode = msgspec.json.Encoder().encode


class UpstreamSync(ClientSync):
    """Sends events of the mesh to the server, and takes the events of the server's other clients into the mesh.

    Events from the server that name a node as their creator are dropped: the mesh replicates the events of its nodes itself,
    and a client of the server could forge them. `logux/...` events of the server do not enter the mesh either.

    A plain Logux server keeps a log: ids are the same there and here, and a server that lost its log is sent everything.

    A @logux/server carries out each event that it is sent, and may keep none. So:
    - No event is sent to it twice, and events that came from it are marked (CAME_FROM), so that no node sends them back.
    - It accepts only events of the client that sends them, with no meta but id and time. Each event is sent under our id
      there, USER:NODE, followed by a random name of the connection and the event's own id; what comes back is recognised by
      that id. Without the random name, an event that is sent again after a broken link would have the same id twice, and a
      server that keeps events then carries out no more of ours.
    - When it refuses an event, it drops those that wait behind it, so events are sent one at a time.
    - It sends only events of the `channels` that we subscribe to, anew in each connection.

    Parameters, besides those of ClientSync: `url`, the server's address, which names its cursors in the log; `channels`.
    """

    follows_times = False  # the times of the mesh count

    def __init__(
        self,
        node_id: str,
        log: SyncLog,
        connection: Connection,
        *,
        url: str,
        channels: Sequence[str] = (),
        **options: Any,
    ) -> None:
        self._url = url
        self._place = url.partition("?")[0]
        self._channels = tuple(channels)
        self._asked: dict[str, str] = {}
        """The channel of each subscription that is not answered yet, by its id."""
        self._subscriptions = 0
        self._told: set[str] = set()
        self._saved_owner = 0
        self._here = ""
        """Prefix of the ids under which events are sent."""
        self._send_queue = SendQueue(super().send, self.call_later, on_silence=self._on_silence_of)
        """Events for a @logux/server, at most one page: each waits until the server has carried out the one before."""
        self._on_finished: Callable[[], None] | None = None
        self._undo_finish: Undo | None = None
        super().__init__(node_id, log, connection, **options)
        self._cursors = SavedCursors(self, cursors_key(url), save_ms=UPSTREAM_SAVE_MS)
        self._is_seeded = bool(self.synced or self.other_synced)
        self.on("connect", self._on_met)
        self.on("synced", self._check_finished)

    @property
    def is_strict(self) -> bool:
        """Whether the other end is a @logux/server."""
        return self.protocol == 5 and (self.other_node_id or "").startswith(LOGUX_SERVER)

    def on_authenticated(self) -> None:
        if self._is_seeded:
            self._is_seeded = False
            self.react(self.log.cursors(self._owner_key), self._on_owner)
        else:
            self._go_on()

    def is_due(self, entry: Entry) -> bool:
        if not super().is_due(entry):
            return False
        return not (self.is_strict and (_is_control(entry) or self._came_from_here(entry)))

    def send_sync(self, added: int, entries: tuple[Entry, ...], *, confirms: int | None = None) -> None:
        if not self.is_strict:
            super().send_sync(added, entries, confirms=confirms)
            return
        for entry in entries[:-1]:
            super().send_sync(entry.added, (self._under_our_id(entry),))
        super().send_sync(added, (self._under_our_id(entries[-1]),), confirms=confirms)

    def send(self, message: Message) -> None:
        if self.is_strict and isinstance(message, Sync) and message.added:
            self._send_queue.push(created_text(message.entries[0].created), message)
        else:
            super().send(message)

    def finish(self, done: Callable[[], None]) -> None:
        """Send no more events; call `done` once the server has confirmed those that were sent, or after FINISH_MS."""
        self._send_queue.stop()
        self._on_finished = done
        self._undo_finish = self.call_later(FINISH_MS, self._finished)
        self._check_finished()

    def send_subscribe(self, channel: str) -> None:
        """Ask a @logux/server for the events of a channel. The request is no event of the log."""
        self._subscriptions += 1
        now = self.clock.now_ms()
        created = now, self.node_id, self._subscriptions
        self._asked[created_text(created)] = channel
        body = _encode({"type": f"{CONTROL}subscribe", "channel": channel})
        self.send(Sync(0, (Entry(created, now, body),)))

    def take(self, added: int, entries: Sequence[Entry]) -> None:
        taken = []
        for entry in entries:
            if _is_control(entry):
                if self.is_strict:  # a plain server gives back what nodes undid, and refuses nothing
                    self._on_control(entry.event)
            elif NODE_MARK in entry.created[1]:
                self._check_sender(entry.created[1])
            else:
                try:
                    taken.append(self._marked(without_keep_last(entry)) if self.is_strict else without_keep_last(entry))
                except ValueError as error:
                    self.refuse([refused(error, entry.body, entry.created)])
        super().take(added, taken)

    def on_disconnect(self, reason: str) -> None:
        super().on_disconnect(reason)
        self._finished()

    def _forget_link(self) -> None:
        super()._forget_link()
        self._send_queue.clear()
        self._cursors.save()

    def _check_finished(self) -> None:
        is_open = self.is_strict and self.connected
        if self._on_finished is not None and not (is_open and len(self._in_flight) > len(self._send_queue)):
            self._finished()

    def _finished(self) -> None:
        if self._undo_finish is not None:
            self._undo_finish()
            self._undo_finish = None
        done, self._on_finished = self._on_finished, None
        if done is not None:
            done()

    @property
    def _owner_key(self) -> str:
        """The name under which the log keeps whose cursors they are."""
        return f"{self._cursors.key} of"

    def _on_owner(self, done: Later[tuple[int, int]]) -> None:
        self._saved_owner = done.result()[0]
        # "": unknown or another server, so that ClientSync starts from the beginning.
        self.cursors_of = self.other_node_id if self._saved_owner == _fingerprint(self.other_node_id or "") else ""
        self._go_on()

    def _go_on(self) -> None:
        super().on_authenticated()
        owner = _fingerprint(self.other_node_id or "")
        if owner != self._saved_owner:
            self._saved_owner = owner
            self._cursors.save()  # first: cursors of an unknown owner are harmless, those of a wrong one are not
            self._cursors.save_as(self._owner_key, owner, 0)
        if self.authenticated and self.is_strict:
            for channel in self._channels:
                self.send_subscribe(channel)

    def _on_met(self) -> None:
        self._asked.clear()
        self._told.clear()
        self._here = f"{self.node_id}:{self.random.getrandbits(32):08x}:"
        self.dialect.bare_meta = self.is_strict
        self.resends = not self.is_strict  # before the first message: its number may show that the server lost its log
        if self.is_strict and ":" not in self.node_id:
            self._tell(f"{self.other_node_id} takes events only from a user: give --upstream-user")
            raise self.error("wrong-credentials")

    def _under_our_id(self, entry: Entry) -> Entry:
        ms, origin, n = entry.created
        return msgspec.structs.replace(entry, created=(ms, self._here + origin, n))

    def _check_sender(self, sender: str) -> None:
        """Report another node of this mesh that is a client of the server too: its events return to us from there."""
        ours = self.node_id.partition(":")[2]
        if self.is_strict and sender.endswith(f":{ours}") and not sender.startswith(f"{self.node_id}:"):
            other = sender.split(":")[1]
            self._tell(
                f"{other} sends the events of this mesh to {self.other_node_id} too, where they are carried out twice: "
                "start only one node with --upstream"
            )

    def _marked(self, entry: Entry) -> Entry:
        extra = msgspec.json.decode(entry.extra) if entry.extra else {}
        return msgspec.structs.replace(entry, extra=check_extra(_encode({**extra, CAME_FROM: self._place})))

    def _came_from_here(self, entry: Entry) -> bool:
        if f'"{CAME_FROM}"'.encode() not in entry.extra:
            return False
        return bool(msgspec.json.decode(entry.extra).get(CAME_FROM) == self._place)

    def _on_control(self, event: dict[str, Any]) -> None:
        self._send_queue.answered(str(event.get("id")))
        channel = self._asked.pop(str(event.get("id")), None)
        if event["type"] != f"{CONTROL}undo":
            return
        action, reason = event.get("action"), str(event.get("reason") or "it did not say why")[:MAX_SHOWN]
        kind = str(action.get("type"))[:MAX_SHOWN] if isinstance(action, dict) else "an event"
        whose = str(event.get("id")).partition(" ")[2].partition(" ")[0][:MAX_SHOWN]
        what = f"the event {kind} of {whose.removeprefix(self._here)}"
        self._tell(f"{self.other_node_id} refused {what if channel is None else f'the channel {channel}'}: {reason}")

    def _on_silence_of(self, _logux_id: str) -> None:
        self._tell(f"{self.other_node_id} does not say whether it has carried out an event: it is sent the next one")

    def _tell(self, sentence: str) -> None:
        if sentence not in self._told and len(self._told) < MAX_TOLD:
            self._told.add(sentence)
            self.emitter.emit("refused", sentence)


def cursors_key(url: str) -> str:
    """The name under which the log keeps the cursors of the server at `url`."""
    return f"upstream:{url}"


def _is_control(entry: Entry) -> bool:
    # JSON may spell it with escapes.
    is_likely = b"logux" in entry.body or b"\\" in entry.body
    return is_likely and entry.event["type"].startswith(CONTROL)


def _fingerprint(node_id: str) -> int:
    """A number for a node id, where only numbers can be saved; never 0."""
    return int.from_bytes(sha256(node_id.encode()).digest()[:6], "big") or 1
