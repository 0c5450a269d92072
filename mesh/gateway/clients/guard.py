"""Guard: judges the credentials of clients; ClientAccess: whether the client of one session may be in, and stay."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Protocol

from mesh.errors import MeshError
from mesh.gateway.clients.access import user_of
from mesh.gateway.clients.tokens import Pass
from peers.clock import Clock, Undo
from peers.errors import SyncError
from peers.transport.address import address_key

MAX_WRONG = 10
"""After so many wrong credentials from one address within the window, further ones are refused unread."""
WINDOW_SECONDS = 60.0
MAX_WRONG_ADDRESSES = 10_000
"""Limit of remembered addresses; a further one replaces the one whose last wrong attempt is the oldest."""
CHECK_MS = 2_000
"""How often the token of an open session is checked again."""


class WrongAttempts:
    """Counts wrong credentials per remote address. Times are monotonic, in ms.

    Call `is_refused` right before the credentials are read, not when the connection opens: otherwise many connections that
    are opened at once would get one attempt each. Refused attempts are not counted, so an address is free again after the
    window even if its attempts go on.
    """

    def __init__(
        self,
        *,
        max_wrong: int = MAX_WRONG,
        window_seconds: float = WINDOW_SECONDS,
        max_addresses: int = MAX_WRONG_ADDRESSES,
    ) -> None:
        self._max_wrong = max_wrong
        self._window_ms = window_seconds * 1000
        self._max_addresses = max_addresses
        self._wrong: dict[str, deque[float]] = {}
        """The times of the last wrong attempts by address; the address with the newest one is last."""

    def __len__(self) -> int:
        return len(self._wrong)

    def is_refused(self, address: str, now_ms: float) -> bool:
        """Whether to answer `bruteforce` without reading the credentials."""
        wrong = self._wrong.get(address_key(address))
        return wrong is not None and len(wrong) == self._max_wrong and now_ms - wrong[0] < self._window_ms

    def count(self, address: str, now_ms: float) -> None:
        """Count wrong credentials from `address`."""
        key = address_key(address)
        wrong = self._wrong.pop(key, None) or deque(maxlen=self._max_wrong)
        wrong.append(now_ms)
        self._wrong[key] = wrong
        while len(self._wrong) > self._max_addresses:
            del self._wrong[next(iter(self._wrong))]


class TokenStore(Protocol):
    """The part of Tokens that Guard needs. Times are of the wall clock, in ms; both raise MeshError for an unusable file."""

    def verify(self, user: str, token: object, now_ms: int) -> Pass | None: ...
    def still_valid(self, held: Pass, now_ms: int) -> bool: ...


class Guard:
    """Judges credentials for all sessions of the clients' port."""

    def __init__(self, tokens: TokenStore, clock: Clock) -> None:
        self._tokens = tokens
        self._clock = clock
        self._wrong = WrongAttempts()

    def judge(self, node_id: str, credentials: Any, address: str) -> Pass | None:
        """The pass of a client; None for wrong credentials.

        Raises SyncError `bruteforce` after too many of these from one address, MeshError if the tokens cannot be read.
        """
        now = self._clock.elapsed_ms()
        if self._wrong.is_refused(address, now):
            raise SyncError("bruteforce", None, other_node_id=node_id)
        held = None
        with suppress(ValueError):  # the node id may not be one of a client
            held = self._tokens.verify(user_of(node_id), credentials, self._clock.now_ms())
        if held is None:
            self._wrong.count(address, now)
        return held

    def still_valid(self, held: Pass) -> bool:
        """Whether the token was neither revoked nor has expired."""
        try:
            return self._tokens.still_valid(held, self._clock.now_ms())
        except MeshError:
            return True  # while the file cannot be read, no client is let in, and no session is ended


class ClientAccess:
    """The access of one session: `admit` judges the greeting, `watch` then checks the token every CHECK_MS, until `end`."""

    def __init__(
        self,
        guard: Guard,
        call_later: Callable[[float, Callable[[], None]], Undo],
        *,
        on_revoked: Callable[[], None],
    ) -> None:
        """`on_revoked` is called once, when the token has expired or was revoked."""
        self._guard = guard
        self._call_later = call_later
        self._on_revoked = on_revoked
        self._pass: Pass | None = None
        self._undo: Undo | None = None

    @property
    def user(self) -> str:
        """The user id; empty before the client is admitted."""
        return self._pass.user if self._pass is not None else ""

    def admit(self, node_id: str, credentials: Any, address: str) -> bool:
        """Whether these credentials are right. Raises as `Guard.judge`."""
        self._pass = self._guard.judge(node_id, credentials, address)
        return self._pass is not None

    def watch(self) -> None:
        """Check the token now, and again every CHECK_MS."""
        if self._pass is not None and not self._guard.still_valid(self._pass):
            self._on_revoked()
        else:
            self._undo = self._call_later(CHECK_MS, self.watch)

    def end(self) -> None:
        """Check no more."""
        if self._undo is not None:
            self._undo()
            self._undo = None
