"""Invitations: the open invite codes of a node, kept in its home."""

from __future__ import annotations

from hashlib import sha256
from hmac import compare_digest, digest
from pathlib import Path

import msgspec
from msgspec.structs import replace

from mesh.errors import MeshError
from mesh.settings.home_files import FILE_VERSION, MAX_FILE_BYTES, FileVersion, decode_file, write_whole

INVITATIONS_FILE = "invitations.json"
MAX_INVITATIONS = 100
"""That are open at the same time; the oldest ones go."""

_KEY_LABEL = b"peermesh invitation\0"
_PROOF_LABEL = b"peermesh join\0"


class Invitation(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One open code."""

    key: bytes
    """See `invitation_key`: the code cannot be made of it."""
    expires_ms: int
    uses: int
    """How many keys may join by it."""
    joined: tuple[bytes, ...] = ()
    """The public keys that have."""
    is_admin: bool = False
    """Whether they become admins."""
    with_log: bool = False
    """Whether their homes may bring events of a time without a mesh along."""


class _Content(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    version: FileVersion = FILE_VERSION
    invitations: tuple[Invitation, ...] = ()


def invitation_key(secret: bytes) -> bytes:
    """What both ends make of the secret of a code: the hash that the inviter keeps, and the key of proofs."""
    return sha256(_KEY_LABEL + secret).digest()


def join_proof(key: bytes, certificate: bytes, request: bytes) -> bytes:
    """HMAC-SHA256 by which who joins shows that it knows a code: for one request, to the node with this certificate."""
    return digest(key, _PROOF_LABEL + sha256(certificate).digest() + request, "sha256")


class Invitations:
    """Those of one home. Each change is on disk when it returns, or raises MeshError, with a sentence."""

    def __init__(self, home: Path) -> None:
        """Raises MeshError, with a sentence, if the file is damaged."""
        self._path = home / INVITATIONS_FILE
        self._all: tuple[Invitation, ...] = ()
        if self._path.exists():
            with self._path.open("rb") as file:
                content = file.read(MAX_FILE_BYTES + 1)
            remedy = ": delete it, and the invite codes that are open end"
            self._all = decode_file(content, self._path, _Content, lambda _: None, remedy).invitations

    def open_now(self, now_ms: int) -> list[Invitation]:
        """Those that are open."""
        return [one for one in self._all if one.expires_ms > now_ms]

    def add(self, opened: Invitation, now_ms: int) -> None:
        """Open a code."""
        self._keep((*self.open_now(now_ms)[1 - MAX_INVITATIONS :], opened))

    def proven(self, certificate: bytes, request: bytes, proof: bytes, now_ms: int) -> Invitation | None:
        """The open code that a proof shows; None for any other proof, which changes nothing."""
        for one in self.open_now(now_ms):
            if compare_digest(join_proof(one.key, certificate, request), proof):
                return one
        return None

    def use(self, invitation: Invitation, public: bytes) -> bool:
        """Let the node with this public key join by a code; again and again if it is one. False if the code is used up."""
        if public in invitation.joined:
            return True
        if len(invitation.joined) >= invitation.uses:
            return False
        used = replace(invitation, joined=(*invitation.joined, public))
        self._keep(tuple(used if one is invitation else one for one in self._all))
        return True

    def _keep(self, invitations: tuple[Invitation, ...]) -> None:
        try:
            write_whole(self._path, msgspec.json.encode(_Content(invitations=invitations)) + b"\n", mode=0o600)
        except OSError as error:
            raise MeshError(f"{self._path} cannot be written ({error.strerror}): mend that, then try again") from None
        self._all = invitations
