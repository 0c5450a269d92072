"""ClientGatewaySync: the role of the clients' port, a ServerSync that admits users with tokens."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from mesh.errors import MeshError
from mesh.gateway.clients.access import may_write
from mesh.gateway.clients.channels import Channels, channels_of, goes_to_writer
from mesh.gateway.clients.guard import ClientAccess, Guard
from mesh.gateway.clients.replies import DENIED, ClientReplies, replies_for, undo_of
from mesh.gateway.clients.subscriptions import Subscriptions, apart
from mesh.gateway.clients.undoing import MayUndo, UndoJudge, find_all, for_clients, is_verdict
from mesh.gateway.foreign_meta import without_keep_last
from mesh.gateway.saved_cursors import SavedCursors
from peers.codec.logux_5 import TimedDialect
from peers.errors import SyncError
from peers.events.created import Created
from peers.events.entry import Entry
from peers.later import Later
from peers.limits import Limits
from peers.log.draft import Meta
from peers.log.port import SyncLog
from peers.protocol.filters import Event
from peers.roles.server import ServerSync
from peers.stores.store import Page
from peers.stores.undo import undone_among, undone_by
from peers.transport.accepting.door import Note, note_nothing
from peers.transport.port import Connection

SINCE = "since"
"""The header in which a client repeats the mark of its `connect` if that is one of this node's log, as our own page does."""

MAX_UNDONE_BEFORE = 10_000
"""Events of which a session remembers that their undo came first."""

Hook = Callable[[Event, Meta, str], Any]
"""(event, meta, user) -> what the filter or map of a role returns, or a coroutine of it."""


@dataclass(frozen=True, slots=True)
class Hooks:
    """The filters and maps of the clients' port: those of a role, see peers.protocol.filters, with the user besides."""

    in_filter: Hook | None = None
    in_map: Hook | None = None
    out_filter: Hook | None = None
    out_map: Hook | None = None
    channels: Channels | None = None
    """None: there are no channels, and every client receives all."""
    may_undo: MayUndo | None = None
    """None: a user may undo what this user wrote."""
    max_subscriptions: int = Limits().subscriptions
    note: Note = note_nothing
    """Gets the name of a limit that was hit, and by whom."""


class ClientGatewaySync(ServerSync):
    """One session with a Logux client. Its node id is `USER` or `USER:...`, its credentials are a token of that user,
    or what the option `auth` takes.

    The client may only write events that its user created; others, such as those that JavaScript peers echo after a
    reconnect, are acknowledged and dropped. It is sent what follows the smaller of two marks: the one in its `connect`, which
    may be a mark of another node's log, and the one up to which it confirmed this node's log.

    Where there are channels, it is sent the events of the channels that it has subscribed to, and those without channels that
    its user wrote. Protocol 0.1 has no subscriptions.

    Parameters, besides those of ServerSync: `guard` judges credentials, for all sessions; `hooks` are the node's filters, maps
    and channels. Both are given by the gateway, so that a subclass for `clients_role` only passes them on.
    """

    def __init__(
        self, node_id: str, log: SyncLog, connection: Connection, *, guard: Guard, hooks: Hooks, **options: Any
    ) -> None:
        super().__init__(
            node_id,
            log,
            connection,
            auth=self._admit,
            in_filter=self._with_user(hooks.in_filter),
            in_map=self._with_user(hooks.in_map),
            out_filter=self._with_user(hooks.out_filter),
            out_map=self._with_user(hooks.out_map),
            **options,
        )
        self._access = ClientAccess(guard, self.call_later, on_revoked=self._on_revoked)
        self._cursors = SavedCursors(self)
        self._hooks = hooks
        self._replies: ClientReplies | None = None
        self._subscriptions: Subscriptions | None = None
        self._judge_undos: UndoJudge | None = None
        self._targets: Mapping[Created, Entry] = {}
        """What the undos of the page that is being sent undo, as far as it is known here."""
        self._undone_before: dict[Created, None] = {}
        """What comes after its undo in the walk: it is not sent, since the client would show it."""

    @property
    def user(self) -> str:
        """The user id; empty before the client is admitted."""
        return self._access.user

    def admitted(self, entry: Entry) -> Entry | None:
        if entry.created[1] != self.other_node_id:
            is_01 = isinstance(self.protocol, list)
            if not may_write(self.other_node_id or "", entry.created[1], is_01):
                return None
        return without_keep_last(entry)

    def on_authenticated(self) -> None:
        node_id = self.other_node_id or ""
        self.reading.who = self.user
        self._cursors.key = f"client:{node_id}"
        self._replies = replies_for(self.dialect, node_id, lambda entry: self.admitted(entry) is not None)
        react = partial(self._react_in_time, "undo")
        self._judge_undos = UndoJudge(self.user, self.log, react, self._hooks.may_undo)
        if self._hooks.channels is not None and isinstance(self.dialect, TimedDialect):
            self._subscriptions = Subscriptions(self._hooks.channels, self._hooks.max_subscriptions, self.dialect, self)
        self._access.watch()
        self.react(self.log.cursors(self._cursors.key), self._on_cursors)

    def take(self, added: int, entries: Sequence[Entry]) -> None:
        assert self._judge_undos is not None
        verdicts = [entry for entry in entries if is_verdict(entry) and self.admitted(entry) is not None]
        self._judge_undos.judge(verdicts, partial(self._take_judged, added, entries))

    def _take_judged(self, added: int, entries: Sequence[Entry], refused: Collection[Created]) -> None:
        if refused:
            self._deny([entry for entry in entries if entry.created in refused])
            entries = [entry for entry in entries if entry.created not in refused]
        if self._hooks.channels is not None:
            entries, asked = apart(entries)
            if asked:
                self.reading.spend(len(asked), sum([entry.size for entry in asked]))
            if self._subscriptions is not None:
                self._subscriptions.on_message([entry for entry in asked if self.admitted(entry) is not None])
        super().take(added, entries if self._replies is None else self._replies.on_message(entries))

    def _deny(self, undos: Sequence[Entry]) -> None:
        """Take back these undos at the client. Protocol 0.1 has no message for that."""
        dialect = self.dialect
        self.reading.spend(len(undos), sum([undo.size for undo in undos]))
        if isinstance(dialect, TimedDialect):
            bodies = [(dialect.log_id(undo.created), dialect.body_for_them(undo.body)) for undo in undos]
            self.send_answers([undo_of(log_id, body, DENIED) for log_id, body in bodies])

    def send_synced(self, added: int) -> None:
        super().send_synced(added)
        if self._replies is not None:
            self.send_answers(self._replies.take())
        if self._subscriptions is not None:
            self._subscriptions.on_committed()

    def synced_message(self, added: int) -> None:
        super().synced_message(added)
        if self._subscriptions is not None and self.connected:
            self._subscriptions.go_on()

    def is_due(self, entry: Entry) -> bool:
        is_undone = entry.created in self._undone_before
        if is_undone or (self._hooks.channels is not None and not self._is_for_client(entry)):
            self._undone_before.pop(entry.created, None)
            self.received.pop(entry.created, None)
            return False
        return super().is_due(entry)

    def _is_for_client(self, entry: Entry) -> bool:
        target = undone_by(entry.body)
        channels = channels_of(entry)
        if not channels and target is not None and target in self._targets:
            channels = channels_of(self._targets[target])
        if channels and self._subscriptions is not None and self._subscriptions.covers(channels, entry.added):
            return True
        return goes_to_writer(entry, target, channels, self.user)

    def _on_page(self, page: Page, limit: int) -> None:
        """For undos, the events are looked up that they undo."""
        wanted = [target for _, target in undone_among(page.entries)]
        if wanted:
            self.react(self.log.read(partial(find_all, wanted)), partial(self._on_targets, page, limit))
        else:
            super()._on_page(page, limit)

    def _on_targets(self, page: Page, limit: int, done: Later[dict[Created, Entry]]) -> None:
        # One that names no channels goes where its event went: it may have been written by another node, or offline.
        self._targets = done.result()
        for entry in page.entries:
            target = undone_by(entry.body)
            if target is not None and (target not in self._targets or self._targets[target].added > entry.added):
                self._undone_before[target] = None
        while len(self._undone_before) > MAX_UNDONE_BEFORE:
            del self._undone_before[next(iter(self._undone_before))]
        entries = tuple([for_clients(entry, self._targets) for entry in page.entries])
        super()._on_page(replace(page, entries=entries), limit)
        self._targets = {}

    def await_load(self, value: Any, reaction: Callable[[Later[Any]], None]) -> None:
        """React to what a function of `channels` returned; end the link if a coroutine does not answer in time."""
        self._react_in_time("load", value, reaction)

    def on_too_many(self) -> None:
        """The client asks for more channels than it may have."""
        self._hooks.note("subscriptions", self.user)
        self.send_debug(
            "error", f"a client may subscribe to {self._hooks.max_subscriptions} channels: this one is too many"
        )

    def _may_page(self) -> bool:
        is_loading = self._subscriptions is not None and self._subscriptions.is_loading
        return super()._may_page() and not is_loading

    def _admit(self, credentials: Any, node_id: str) -> bool | Awaitable[bool]:
        try:
            return self._access.admit(node_id, credentials, self.connection.address)
        except MeshError as error:
            # Not `wrong-credentials`: the client's may be right, and after that error it would not try again.
            self.emitter.emit("refused", str(error))
            raise SyncError("store", other_node_id=node_id) from None

    def _with_user(self, hook: Hook | None) -> Callable[[Event, Meta], Any] | None:
        if hook is None:
            return None
        return lambda event, meta: hook(event, meta, self.user)

    def _on_cursors(self, done: Later[tuple[int, int]]) -> None:
        confirmed, self.other_synced = self._cursors.saved = done.result()
        stated = self.stated or 0
        since = self.other_headers.get(SINCE)
        mark = self.resume_from()
        if type(since) is int and since == stated:
            self.start_walk(mark)
        else:  # the confirmed mark is one of this log, the stated one may not be
            self.start_walk(min(stated, confirmed))

    def _on_revoked(self) -> None:
        self.fail(self.error("wrong-credentials"))

    def _offer(self, added: int, entries: list[Entry]) -> None:
        if self._replies is not None:
            self._replies.on_filtered(entries)
        super()._offer(added, entries)

    def _forget_link(self) -> None:
        super()._forget_link()
        self._access.end()
        self._cursors.save()
