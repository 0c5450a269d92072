"""Tokens: the tokens of a node's clients, kept in `tokens.json` of its home."""

from __future__ import annotations

import fcntl
import os
import secrets
import select
from base64 import urlsafe_b64encode
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256
from hmac import compare_digest
from pathlib import Path
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from mesh.errors import MeshError
from mesh.gateway.clients.access import check_user
from mesh.settings.home_files import FILE_VERSION, MAX_FILE_BYTES, FileVersion, decode_file
from mesh.settings.paths import TOKENS_FILE

TOKENS_LOCK_FILE = "tokens.lock"
TOKEN_BYTES = 24
MAX_TOKEN_CHARACTERS = 128
"""Longer ones are refused without being hashed."""
MAX_TOKENS = 10_000
"""Limit of valid tokens, and of expired ones."""
EXPIRED_KEPT_MS = 90 * 86_400_000
"""How long a token stays in the file after it was first found expired: the clock may have been wrong then."""
MAX_USER_TOKENS = 100
MAX_TTL_SECONDS = 36_500 * 86_400
"""A hundred years."""
ID_CHARACTERS = 6
MAX_TOKEN_TIME_MS = 2**53 - 1
"""The largest whole number that every reader of JSON keeps exact."""
LOCK_POLLS = 250
LOCK_POLL_SECONDS = 0.02


@dataclass(frozen=True, slots=True)
class Pass:
    """The result for a right token, for `Tokens.still_valid` later."""

    user: str
    hash: str
    """Of the token; empty if no token of the home let the client in, but the option `auth`."""
    expires_ms: int | None
    """Wall clock; None: it does not expire."""


@dataclass(frozen=True, slots=True)
class TokenRow:
    """One token, as it may be shown: the id identifies it and does not give access."""

    user: str
    id: str
    made_ms: int
    expires_ms: int | None
    state: Literal["valid", "expired"]


class _Token(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    user: str
    hash: Annotated[str, Meta(pattern=r"\A[0-9a-f]{64}\Z")]
    """SHA-256 of the token. A slow, salted hash protects passwords that people choose; 24 random bytes cannot be guessed."""
    made_ms: Annotated[int, Meta(ge=0, le=MAX_TOKEN_TIME_MS)]
    expires_ms: Annotated[int, Meta(ge=0, le=MAX_TOKEN_TIME_MS)] | None = None
    expired_ms: Annotated[int, Meta(ge=0, le=MAX_TOKEN_TIME_MS)] | None = None
    """When it was first found expired, by the wall clock of that time."""

    def is_expired(self, now_ms: int) -> bool:
        return self.expires_ms is not None and now_ms >= self.expires_ms

    def marked(self, now_ms: int) -> _Token:
        """The same token with the `expired_ms` that it should have now."""
        if not self.is_expired(now_ms):
            return msgspec.structs.replace(self, expired_ms=None)
        return msgspec.structs.replace(
            self, expired_ms=min(now_ms, now_ms if self.expired_ms is None else self.expired_ms)
        )


class _TokensFile(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    version: FileVersion
    tokens: Annotated[list[_Token], Meta(max_length=2 * MAX_TOKENS)]


_REMEDY = ", so no client is let in: put it back from a backup, or delete it and make new tokens"
_Signature = tuple[int, int, int]
"""mtime in ns, size and inode: it differs after each write."""


class Tokens:
    """The tokens of one home. Any number of processes may use them at once: each sees the changes of the others.

    Every method raises MeshError, with a sentence, if the file is damaged, was written by a newer release, or cannot be read:
    then no client is let in, and the file is not overwritten. Without a file there are no tokens. Times are of the wall
    clock, in ms.
    """

    def __init__(self, home: Path, *, random_bytes: Callable[[int], bytes] = secrets.token_bytes) -> None:
        """`random_bytes` is the system's by default, not a seeded generator as elsewhere: tokens must not be guessed."""
        self._home = home
        self._path = home / TOKENS_FILE
        self._random_bytes = random_bytes
        self._seen: _Signature | None = None
        self._trouble: str | None = None
        """Why the file that was read last cannot be used; None: it can."""
        self._by_user: dict[str, list[_Token]] = {}

    def add(self, user: str, ttl_seconds: float | None, now_ms: int) -> str:
        """A new token of `user`, valid for `ttl_seconds` (None: without end), which is on disk when this returns.

        Only its hash is stored, so it cannot be shown again. Makes the home if there is none. Raises MeshError too for a user
        that clients cannot have, a time out of range, and more than MAX_TOKENS or MAX_USER_TOKENS.
        """
        check_user(user)
        if ttl_seconds is not None and not 0 < ttl_seconds <= MAX_TTL_SECONDS:
            raise MeshError(f"a token cannot last {ttl_seconds} s: take more than 0 s, and at most 36500 days")
        token = urlsafe_b64encode(self._random_bytes(TOKEN_BYTES)).decode().rstrip("=")
        expires_ms = None if ttl_seconds is None else now_ms + max(1, round(ttl_seconds * 1000))
        new = _Token(user=user, hash=_hash(token), made_ms=now_ms, expires_ms=expires_ms)
        try:
            self._home.mkdir(parents=True, exist_ok=True, mode=0o700)
        except OSError as error:
            raise self._unusable(error) from None
        with self._locked():
            valid, expired = _sorted_out(self._all(), now_ms)
            if len(valid) >= MAX_TOKENS:
                raise MeshError(f"{MAX_TOKENS} tokens exist already: revoke some of them first, see `mesh token list`")
            if sum(one.user == user for one in valid) >= MAX_USER_TOKENS:
                raise MeshError(
                    f"{user} has {MAX_USER_TOKENS} tokens already: revoke them with `mesh token revoke {user}`"
                )
            self._write([*expired, *valid, new])
        return token

    def list(self, now_ms: int) -> tuple[TokenRow, ...]:
        """All tokens by user, the oldest first."""
        rows = (
            TokenRow(
                one.user,
                one.hash[:ID_CHARACTERS],
                one.made_ms,
                one.expires_ms,
                "expired" if one.is_expired(now_ms) else "valid",
            )
            for one in self._all()
        )
        return tuple(sorted(rows, key=lambda row: (row.user, row.made_ms, row.id)))

    def revoke(self, user: str) -> int:
        """Remove all tokens of `user`; the result is how many there were. Raises MeshError if there are none."""
        none = MeshError(f"{user} has no token: `mesh token list` shows who has")
        if not self._all():
            raise none  # before the lock file would be made in a folder that is no home
        with self._locked():
            tokens = self._all()
            kept = [one for one in tokens if one.user != user]
            if len(kept) == len(tokens):
                raise none
            self._write(kept)
        return len(tokens) - len(kept)

    def verify(self, user: str, token: object, now_ms: int) -> Pass | None:
        """The pass for a valid token of `user`; None for any other value, whatever a client has sent."""
        self._refresh()
        if not isinstance(token, str) or not token.isascii() or len(token) > MAX_TOKEN_CHARACTERS:
            return None
        return self._pass(user, _hash(token), now_ms)

    def still_valid(self, held: Pass, now_ms: int) -> bool:
        """Whether the token of a pass has neither expired nor been revoked since."""
        self._refresh()
        return self._pass(held.user, held.hash, now_ms) is not None

    def _pass(self, user: str, hashed: str, now_ms: int) -> Pass | None:
        found: _Token | None = None
        for one in self._by_user.get(user, ()):  # compare all of them, so that the time does not show which one matched
            if compare_digest(one.hash, hashed):
                found = one
        if found is None or found.is_expired(now_ms):
            return None
        return Pass(user, hashed, found.expires_ms)

    def _all(self) -> Sequence[_Token]:
        self._refresh()
        return [one for tokens in self._by_user.values() for one in tokens]

    def _refresh(self) -> None:
        """Read the file if it has changed. Raises MeshError at each call while the file cannot be used."""
        try:
            if _signature(self._path.stat()) != self._seen:
                self._read()
        except FileNotFoundError:
            self._seen, self._trouble, self._by_user = None, None, {}
        except OSError as error:
            raise self._unusable(error) from None
        if self._trouble is not None:
            raise MeshError(self._trouble)

    def _read(self) -> None:
        with self._path.open("rb") as file:
            signature = _signature(
                os.fstat(file.fileno())
            )  # before the bytes, so that a later change is seen next time
            content = file.read(MAX_FILE_BYTES + 1)
        self._seen, self._trouble, self._by_user = signature, None, {}
        try:
            for one in decode_file(content, self._path, _TokensFile, _check_users, _REMEDY).tokens:
                self._by_user.setdefault(one.user, []).append(one)
        except MeshError as error:
            self._trouble = str(error)

    def _write(self, tokens: Sequence[_Token]) -> None:
        """Replace the file, so that after a crash it is either the old or the new one. Call it with the lock."""
        temporary = self._path.with_name(f"{TOKENS_FILE}.new")
        handle = -1
        try:
            handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
            with os.fdopen(handle, "wb") as file:
                os.fchmod(handle, 0o600)  # the file may be left from a run that was killed
                file.write(msgspec.json.encode(_TokensFile(version=FILE_VERSION, tokens=list(tokens))) + b"\n")
                file.flush()
                self._make_later(handle)
                os.fsync(handle)
            temporary.replace(self._path)
            _sync_folder(self._home)
        except OSError as error:
            raise self._unusable(error) from None

    def _make_later(self, handle: int) -> None:
        """Give the new file a later mtime than the old one, even within one tick of the system's clock.

        Size and inode may repeat: otherwise a running node might miss the second of two quick changes.
        """
        try:
            old = self._path.stat().st_mtime_ns
        except FileNotFoundError:
            return
        status = os.fstat(handle)
        if status.st_mtime_ns <= old:
            os.utime(handle, ns=(status.st_atime_ns, old + 1))

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """Exclude other writers. Readers need no lock: the file is replaced as a whole."""
        try:
            lock = (self._home / TOKENS_LOCK_FILE).open("ab")
        except OSError as error:
            raise self._unusable(error) from None
        with lock:
            for _ in range(LOCK_POLLS):
                try:
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError:
                    select.select([], [], [], LOCK_POLL_SECONDS)
                except OSError as error:
                    raise self._unusable(error) from None
            else:
                raise MeshError(
                    f"another process has been changing {self._path} for {LOCK_POLLS * LOCK_POLL_SECONDS:.0f} s: "
                    "end it, or try again"
                )
            yield

    def _unusable(self, error: OSError) -> MeshError:
        return MeshError(
            f"{error.filename or self._path} cannot be used: {error.strerror or error}; "
            "the tokens of a node are in its home, see --home"
        )


def _hash(token: str) -> str:
    return sha256(token.encode()).hexdigest()


def _sorted_out(tokens: Sequence[_Token], now_ms: int) -> tuple[list[_Token], list[_Token]]:
    """The valid tokens, and the expired ones that stay in the file, with their `expired_ms`."""
    marked = [one.marked(now_ms) for one in tokens]
    expired = [one for one in marked if one.expired_ms is not None and now_ms - one.expired_ms < EXPIRED_KEPT_MS]
    expired.sort(key=lambda one: one.expired_ms or 0)
    return [one for one in marked if one.expired_ms is None], expired[-MAX_TOKENS:]


def _signature(status: os.stat_result) -> _Signature:
    return status.st_mtime_ns, status.st_size, status.st_ino


def _check_users(content: _TokensFile) -> None:
    for one in content.tokens:
        check_user(one.user)


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
