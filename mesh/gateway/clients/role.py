"""ClientGatewaySync: the role at the clients' door, a ServerSync that lets users with tokens in."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from mesh.errors import MeshError
from mesh.gateway.clients.access import WrongAttempts, may_write, user_of
from mesh.gateway.clients.replies import ClientReplies
from mesh.gateway.clients.tokens import Pass, Tokens
from mesh.gateway.foreign_meta import without_keep_last
from mesh.gateway.saved_cursors import SavedCursors
from peers.clock import Clock, Undo
from peers.errors import SyncError
from peers.events.entry import Entry
from peers.later import Later
from peers.log.log import SyncLog
from peers.roles.server import ServerSync
from peers.transport.port import Connection

CHECK_MS = 2_000
"""How often it is checked that the token of an open session still holds."""

SINCE = "since"
"""The header by which a client says that it means the mark in its `connect` for this very node's log: our own page does."""

Event = dict[str, Any]
Meta = dict[str, Any]
Hook = Callable[[Event, Meta, str], Any]
"""(event, meta, user) -> what the filter or map of a role gives, or a coroutine of it."""


@dataclass(frozen=True, slots=True)
class Hooks:
    """What a node's owner decides for each user: see peers.protocol.filters for filters and maps."""

    in_filter: Hook | None = None
    in_map: Hook | None = None
    out_filter: Hook | None = None
    out_map: Hook | None = None


class Guard:
    """Judges credentials for all sessions of one door."""

    def __init__(self, tokens: Tokens, clock: Clock) -> None:
        self._tokens = tokens
        self._clock = clock
        self._wrong = WrongAttempts()

    def judge(self, node_id: str, credentials: Any, address: str) -> Pass | None:
        """The pass of a client, None for wrong credentials. Raises SyncError `bruteforce` after too many of these."""
        now = self._clock.elapsed_ms()
        if self._wrong.is_refused(address, now):
            raise SyncError("bruteforce", None, other_node_id=node_id)
        held = None
        with suppress(ValueError):  # it may be no client's node id
            held = self._tokens.verify(user_of(node_id), credentials, self._clock.now_ms())
        if held is None:
            self._wrong.count(address, now)
        return held

    def still_valid(self, held: Pass) -> bool:
        """Whether the token was neither revoked nor has expired."""
        try:
            return self._tokens.still_valid(held, self._clock.now_ms())
        except MeshError:
            return True  # a file that is damaged just now lets nobody new in, and throws nobody out


class ClientGatewaySync(SavedCursors, ClientReplies, ServerSync):
    """A client's node id is `USER` or `USER:...`, and its credentials are a token of that user.

    What it writes must be created by that user; anything else, such as what JavaScript peers echo after a reconnect, is
    acknowledged and dropped. It is sent on from the smaller of what it states and what it confirmed to this node: the mark
    that it states may be one of another node's log.
    """

    def __init__(
        self, node_id: str, log: SyncLog, connection: Connection, *, guard: Guard, hooks: Hooks, **options: Any
    ) -> None:
        self._guard_of_door = guard
        self._hooks = hooks
        self._pass: Pass | None = None
        self._undo_check: Undo | None = None
        super().__init__(
            node_id,
            log,
            connection,
            auth=self._let_pass,
            in_filter=self._with_user(hooks.in_filter),
            in_map=self._with_user(hooks.in_map),
            out_filter=self._with_user(hooks.out_filter),
            out_map=self._with_user(hooks.out_map),
            **options,
        )

    @property
    def user(self) -> str:
        """Empty until they are let in."""
        return self._pass.user if self._pass is not None else ""

    @property
    def cursors_key(self) -> str | None:
        return f"client:{self.other_node_id}" if self._pass is not None else None

    def on_authenticated(self) -> None:
        assert self.cursors_key is not None
        self._check_pass()
        self.react(self.log.cursors(self.cursors_key), self._on_cursors)

    def _on_cursors(self, done: Later[tuple[int, int]]) -> None:
        confirmed, self.other_synced = self._written = done.result()
        stated = self.stated or 0
        since = self.other_headers.get(SINCE)
        mark = self.resume_from()
        if type(since) is int and since == stated:
            self.start_walk(mark)
        else:  # what was confirmed is a mark of this log, even if what is stated is not
            self.start_walk(min(stated, confirmed))

    def _let_pass(self, credentials: Any, node_id: str) -> bool:
        try:
            self._pass = self._guard_of_door.judge(node_id, credentials, self.connection.address)
        except MeshError as error:
            # Not `wrong-credentials`: clients would give up, and nothing is wrong with theirs.
            self.emitter.emit("refused", str(error))
            raise SyncError("store", other_node_id=node_id) from None
        return self._pass is not None

    def admitted(self, entry: Entry) -> Entry | None:
        if entry.created[1] != self.other_node_id:
            is_01 = isinstance(self.protocol, list)
            if not may_write(self.other_node_id or "", entry.created[1], is_01):
                return None
        return without_keep_last(entry)

    def _with_user(self, hook: Hook | None) -> Callable[[Event, Meta], Any] | None:
        if hook is None:
            return None
        return lambda event, meta: hook(event, meta, self.user)

    def _check_pass(self) -> None:
        if self._pass is not None and not self._guard_of_door.still_valid(self._pass):
            self.fail(self.error("wrong-credentials"))
        else:
            self._undo_check = self.clock.call_later(CHECK_MS, self._turn(self._check_pass))

    def _forget_link(self) -> None:
        super()._forget_link()
        if self._undo_check is not None:
            self._undo_check()
            self._undo_check = None
