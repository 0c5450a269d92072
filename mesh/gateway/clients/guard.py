"""Guard: judges the credentials of clients; ClientAccess: whether the client of one session may be in, and stay."""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any, Protocol

from mesh.errors import MeshError
from mesh.gateway.clients.access import user_of
from mesh.gateway.clients.tokens import Pass
from peers.clock import Clock, Undo
from peers.errors import SyncError
from peers.failures import failures
from peers.transport.address import address_key

MAX_WRONG = 10
"""After so many wrong credentials from one address within the window, further ones are refused unread."""
WINDOW_SECONDS = 60.0
MAX_WRONG_ADDRESSES = 10_000
"""Limit of remembered addresses; a further one replaces the one whose last wrong attempt is the oldest."""
CHECK_MS = 2_000
"""How often the token of an open session is checked again."""
AUTH_SECONDS = 4.0
"""How long the option `auth` may take to answer; less than `greeting_seconds` of Limits, so that the client gets an answer."""
CANNOT_JUDGE = "this node cannot judge tokens now: try again later"

Auth = Callable[[str, str], bool | Awaitable[bool]]
"""(user, token) -> whether the token is right, or a coroutine of it. The token is empty if the client shows none."""

log = logging.getLogger(__name__)


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
    """Judges credentials for all sessions of the clients' port: by the tokens of the home, then by the option `auth`."""

    def __init__(self, tokens: TokenStore, clock: Clock, auth: Auth | None = None) -> None:
        self._tokens = tokens
        self._clock = clock
        self._auth = auth
        self._is_failing = False
        """Whether `auth` has failed since it answered last: that is logged once."""
        self._wrong = WrongAttempts()

    def judge(self, node_id: str, credentials: Any, address: str) -> Pass | Awaitable[Pass | None] | None:
        """The pass of a client, or None for wrong credentials; as an awaitable if `auth` is asked and is a coroutine function.

        Raises SyncError: `bruteforce` after too many wrong ones from one address, `store` if `auth` fails, which counts as a
        wrong one. Raises MeshError if the tokens cannot be read.
        """
        self._check(node_id, address)
        try:
            user = user_of(node_id)
        except ValueError:  # the node id is not one of a client
            return self._pass_of("", False, address)
        held = self._tokens.verify(user, credentials, self._clock.now_ms())
        token = "" if credentials is None else credentials
        if held is not None or self._auth is None or not isinstance(token, str):
            return held or self._pass_of(user, False, address)
        try:
            answer = self._auth(user, token)
        except failures() as error:  # it is the user's function, and is logged
            raise self._failed(node_id, address, error) from None
        if inspect.isawaitable(answer):
            return self._wait(answer, node_id, address)
        return self._decide(answer, node_id, address)

    def still_valid(self, held: Pass) -> bool:
        """Whether the token was neither revoked nor has expired. What `auth` let in stays until its connection ends."""
        if not held.hash:
            return True
        try:
            return self._tokens.still_valid(held, self._clock.now_ms())
        except MeshError:
            return True  # while the file cannot be read, no client is let in, and no session is ended

    async def _wait(self, answer: Awaitable[bool], node_id: str, address: str) -> Pass | None:
        try:
            async with asyncio.timeout(AUTH_SECONDS):
                given = await answer
        except Exception as error:  # noqa: BLE001 - as above
            raise self._failed(node_id, address, error) from None
        self._check(
            node_id, address
        )  # again: of many that were asked at once, the first wrong ones count for the others
        return self._decide(given, node_id, address)

    def _decide(self, given: object, node_id: str, address: str) -> Pass | None:
        if not isinstance(given, bool):
            error = TypeError(f"it must answer True or False, not a value of type {type(given).__name__}")
            raise self._failed(node_id, address, error)
        self._is_failing = False
        return self._pass_of(user_of(node_id), given, address)

    def _pass_of(self, user: str, is_right: bool, address: str) -> Pass | None:
        if is_right:
            return Pass(user, "", None)
        self._wrong.count(address, self._clock.elapsed_ms())
        return None

    def _check(self, node_id: str, address: str) -> None:
        if self._wrong.is_refused(address, self._clock.elapsed_ms()):
            raise SyncError("bruteforce", None, other_node_id=node_id)

    def _failed(self, node_id: str, address: str, error: BaseException) -> SyncError:
        """Log it once, and count it: tokens that make `auth` raise must not be tried without end either."""
        if not self._is_failing:
            self._is_failing = True
            what = "did not answer in time" if isinstance(error, TimeoutError) else "failed"
            text = "the option `auth` %s for %r, which is refused; this is not logged again until it has answered once"
            log.error(text, what, node_id, exc_info=error)
        self._wrong.count(address, self._clock.elapsed_ms())
        # Not `wrong-credentials`: the client's may be right, and after that error it would not try again.
        return SyncError("store", CANNOT_JUDGE, other_node_id=node_id)


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

    def admit(self, node_id: str, credentials: Any, address: str) -> bool | Awaitable[bool]:
        """Whether these credentials are right. Waits and raises as `Guard.judge`."""
        judged = self._guard.judge(node_id, credentials, address)
        if isinstance(judged, Awaitable):
            return self._admit_later(judged)
        self._pass = judged
        return judged is not None

    def watch(self) -> None:
        """Check the token now, and again every CHECK_MS."""
        if self._pass is not None and not self._guard.still_valid(self._pass):
            self._on_revoked()
        else:
            self._undo = self._call_later(CHECK_MS, self.watch)

    async def _admit_later(self, judged: Awaitable[Pass | None]) -> bool:
        self._pass = await judged
        return self._pass is not None

    def end(self) -> None:
        """Check no more."""
        if self._undo is not None:
            self._undo()
            self._undo = None
