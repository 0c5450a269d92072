"""Inviting: the door of a node for those that join its mesh by an invite code."""

from __future__ import annotations

import asyncio
import os
import ssl
import threading
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import msgspec

from mesh.errors import MeshError
from mesh.settings.config import MAX_INVITE_ADMIN_SECONDS
from mesh.settings.home import Home
from mesh.trust.certificates import CertificateChain, admin_certificate, load_making, node_certificate
from mesh.trust.ending import how_an_admin, is_admin
from mesh.trust.invitations import Invitation, Invitations, invitation_key
from mesh.trust.invite_code import INVITE_SECRET_BYTES, InviteCode
from mesh.trust.join_messages import (
    HELLO,
    MAX_JOIN_BYTES,
    JoinAnswer,
    NotWelcome,
    Welcome,
    Wish,
    decode_call,
    decode_wish,
)
from mesh.trust.judge import KeyJudge
from mesh.trust.recovery_code import mesh_signer
from peers.clock import Clock, Undo
from peers.events.signature import KeySigner
from peers.facts.fact import MAX_SOURCE, Certificate, Fact, decode_fact
from peers.later import Later

WRONG_CODE = "this code is not open there: it has ended, or is another one; run `mesh invite` there again"
USED_UP = "this code was used already: run `mesh invite` there again"

NO_LOG = (
    "this code lets no home in that brings events of a time without a mesh along: run `mesh invite --with-log` there, "
    "or join with another --home"
)
NO_MESH_KEY = (
    "this code makes an admin, but the inviter has no key of the mesh for that since its restart: "
    "run `mesh invite --admin` there again"
)
UNWRITTEN = "the inviter could not write it down"


class OpenCode(NamedTuple):
    """An invite code that is open."""

    code: str
    expires_ms: int
    """By the wall clock."""


class Inviting:
    """Makes the codes of one running node, and lets those in that prove one.

    While a code is open, and only then, connections without a certificate pass the handshake: `door` makes their protocol,
    which takes one request to join and nothing else. A code stays open until its time is over, also once it is used up, so
    that who comes late or again hears why; wrong tries change nothing. Everything runs on the loop of the node.
    """

    def __init__(
        self,
        home: Home,
        chain: CertificateChain,
        accepting: ssl.SSLContext,
        judge: KeyJudge,
        clock: Clock,
        *,
        facts: Callable[[], Sequence[Fact]],
        learn: Callable[[Sequence[Fact]], Later[Any]],
        on_joined: Callable[[str], None],
    ) -> None:
        """`facts` and `learn` are those of the log, `on_joined` gets a sentence. Raises MeshError for a damaged file."""
        self._home, self._chain, self._accepting, self._judge, self._clock = home, chain, accepting, judge, clock
        self._facts, self._learn, self._on_joined = facts, learn, on_joined
        self._invitations = Invitations(home.path)
        self._mesh: KeySigner | None = None
        """The key of the mesh, while a code is open that makes admins."""
        self._undo_look: Undo | None = None
        self._look()

    def invite(
        self, ttl_seconds: int, uses: int, *, with_log: bool = False, recovery_code: str | None = None
    ) -> OpenCode:
        """Open a code for so many seconds and nodes.

        `with_log`: their homes may bring events of a time without a mesh along. `recovery_code`: they become admins. Then the
        key of the mesh is in the memory of this node until no such code is open, or the node stops, and never on its disk.
        Raises MeshError, with a sentence, if this node is no admin, for a wrong recovery code, or for too long a time.
        """
        own, roster = self._home.signer.public, self._judge.roster
        if self._judge.why_out:
            raise MeshError(self._judge.why_out)
        if not is_admin(roster, own):
            how = how_an_admin(roster, "invite")
            raise MeshError(f"only an admin invites, and {self._home.node_id} is none: {how}")
        if not self._chain.is_of_admin:  # as after a backup was restored that was made before
            raise MeshError(
                f"{self._home.node_id} is an admin, but its certificates are from before that: stop the node, and write them "
                "anew with `mesh recover`"
            )
        mesh = None if recovery_code is None else self._checked(mesh_signer(recovery_code), ttl_seconds)
        secret, now_ms = os.urandom(INVITE_SECRET_BYTES), self._clock.now_ms()
        expires_ms = now_ms + ttl_seconds * 1000
        opened = Invitation(
            key=invitation_key(secret),
            expires_ms=expires_ms,
            uses=uses,
            is_admin=mesh is not None,
            with_log=with_log,
        )
        self._invitations.add(opened, now_ms)
        self._mesh = mesh or self._mesh
        self._look()
        return OpenCode(InviteCode.of(own, secret).write(), expires_ms)

    def _checked(self, mesh: KeySigner, ttl_seconds: int) -> KeySigner:
        if mesh.public != self._chain.mesh_key:
            raise MeshError("this recovery code is of another mesh: use the one of this mesh")
        if ttl_seconds > MAX_INVITE_ADMIN_SECONDS:
            raise MeshError(
                f"a code that makes an admin is open for {MAX_INVITE_ADMIN_SECONDS // 60} minutes at most: "
                "this node holds the key of the mesh meanwhile"
            )
        return mesh

    def door(self, address: str) -> asyncio.Protocol | None:
        """The protocol of a connection without a certificate; None if no code is open."""
        return _JoinProtocol(self, address) if self._invitations.open_now(self._clock.now_ms()) else None

    def answer(self, line: bytes, address: str, reply: Callable[[JoinAnswer], None]) -> None:
        """Answer a request to join, at once or once it is in the log."""
        try:
            call = decode_call(line)
            wish = decode_wish(call.wish)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            reply(NotWelcome(f"this request cannot be understood: {error}; use the same release on both machines"))
            return
        invitation = self._invitations.proven(self._chain.node, call.wish, call.proof, self._clock.now_ms())
        if invitation is None:
            reply(NotWelcome(WRONG_CODE))
            return
        try:
            facts = self._facts_of(wish, address, self._mesh if invitation.is_admin else None)
        except ValueError as error:
            reply(NotWelcome(f"this request cannot be used: {error}"))
            return
        why = self._judge.may_greet(wish.key, wish.node_id)
        if not is_admin(self._judge.roster, self._home.signer.public):
            how = how_an_admin(self._judge.roster, "invite")
            reply(NotWelcome(f"{self._home.node_id} is no admin any more: {how}"))
        elif why:
            reply(NotWelcome(f"{wish.node_id} cannot join: {why}; start a new node in another --home"))
        elif invitation.is_admin and self._mesh is None:
            reply(NotWelcome(NO_MESH_KEY))
        elif wish.with_log and not invitation.with_log:
            reply(NotWelcome(NO_LOG))
        else:
            self._admit(wish, invitation, facts, reply)

    def _admit(
        self, wish: Wish, invitation: Invitation, facts: list[Certificate], reply: Callable[[JoinAnswer], None]
    ) -> None:
        try:
            is_free = self._invitations.use(invitation, wish.key)
        except MeshError as error:
            reply(NotWelcome(f"{UNWRITTEN}: {error}"))
            return
        if not is_free:
            reply(NotWelcome(USED_UP))
        elif not facts:
            self._welcome(wish, invitation, reply)
        else:
            self._state(wish, invitation, facts, reply)

    def _facts_of(self, wish: Wish, address: str, mesh: KeySigner | None) -> list[Certificate]:
        """What is to be stated: that it is in the mesh, and an admin, if the mesh's key is given; not what is known already.

        Raises ValueError, with a sentence, for an id that it cannot have.
        """
        source, now_ms = address.rpartition(":")[0][:MAX_SOURCE], self._clock.now_ms()
        row = self._judge.roster.rows.get(wish.key)
        signers = [self._home.signer] if row is None else []
        if mesh is not None and (row is None or not row.is_admin):
            signers.append(mesh)
        facts: list[Certificate] = []
        for signer in signers:
            what = (b"", wish.key, wish.node_id, signer is mesh, source)
            facts.append(Certificate(self._chain.mesh_key, signer.public, now_ms, *what).signed(signer))
            decode_fact(facts[-1].data)
        return facts

    def _state(
        self, wish: Wish, invitation: Invitation, facts: list[Certificate], reply: Callable[[JoinAnswer], None]
    ) -> None:
        """Put the facts into the log, then welcome the node."""

        def learned(done: Later[Any]) -> None:
            if done.exception is not None or wish.key not in self._judge.roster.rows:
                why = done.exception or "there is no room for more facts of this admin: let another one invite"
                reply(NotWelcome(f"{UNWRITTEN}: {why}"))
                return
            as_admin = " as an admin" if invitation.is_admin else ""
            self._on_joined(f"{wish.node_id} joined this mesh from {facts[0].source}{as_admin}")
            self._welcome(wish, invitation, reply)

        self._learn(facts).then(learned)

    def _welcome(self, wish: Wish, invitation: Invitation, reply: Callable[[JoinAnswer], None]) -> None:
        # The id is that of the first time, so that the certificate is the same again.
        node_id = self._judge.roster.rows[wish.key].node_id
        certificate = node_certificate(self._home.signer, wish.key, node_id)
        chain = (certificate, self._chain.admin, self._chain.mesh)
        admin = b""
        if invitation.is_admin:
            if self._mesh is None:  # its time ended while the facts were written
                reply(NotWelcome(NO_MESH_KEY))
                return
            admin = admin_certificate(self._mesh, wish.key, node_id)
        reply(Welcome(chain, tuple(fact.data for fact in self._facts()), admin))

    def close(self) -> None:
        """Admit no more nodes; the codes stay in the home."""
        self._shut()
        self._mesh = None

    def _shut(self) -> None:
        self._accepting.verify_mode = ssl.CERT_REQUIRED
        if self._undo_look is not None:
            self._undo_look()

    def _look(self) -> None:
        """Open the door, or close it; now, and whenever a code ends."""
        self._shut()
        now_ms = self._clock.now_ms()
        open_now = self._invitations.open_now(now_ms)
        if not any(one.is_admin for one in open_now):
            self._mesh = None
        if open_now:
            self._accepting.verify_mode = ssl.CERT_OPTIONAL
            self._undo_look = self._clock.call_later(min(one.expires_ms for one in open_now) - now_ms, self._look)
            # A thread, so that the loop does not load it when the first node joins.
            threading.Thread(target=load_making, name="peermesh-loading", daemon=True).start()


class _JoinProtocol(asyncio.Protocol):
    """A connection of who has no certificate: it greets, answers one line, and closes. Its deadline is that of the door."""

    def __init__(self, inviting: Inviting, address: str) -> None:
        self._inviting = inviting
        self._address = address
        self._received = bytearray()
        self._is_asked = False
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        transport.write(HELLO)

    def data_received(self, data: bytes) -> None:
        assert self._transport is not None
        self._received += data
        if len(self._received) > MAX_JOIN_BYTES:
            self._transport.abort()
        elif b"\n" in self._received and not self._is_asked:
            self._is_asked = True  # and reading goes on: else the end of the connection would not be seen
            self._inviting.answer(bytes(self._received).partition(b"\n")[0], self._address, self._reply)

    def _reply(self, answer: JoinAnswer) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(msgspec.json.encode(answer) + b"\n")
            self._transport.close()
