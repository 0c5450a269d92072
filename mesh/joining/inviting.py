"""Inviting: the door of a node for those that join its mesh by an invite code."""

from __future__ import annotations

import asyncio
import os
import ssl
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import msgspec

from mesh.errors import MeshError
from mesh.settings.home import Home
from mesh.trust.certificates import CertificateChain, node_certificate
from mesh.trust.invitations import Invitations
from mesh.trust.invite_code import INVITE_SECRET_BYTES, InviteCode
from mesh.trust.join_messages import MAX_JOIN_BYTES, JoinAnswer, NotWelcome, Welcome, Wish, decode_call, decode_wish
from mesh.trust.judge import KeyJudge
from peers.clock import Clock, Undo
from peers.facts.fact import MAX_SOURCE, Certificate, Fact, decode_fact
from peers.later import Later

WRONG_CODE = "this code is not open there: it has ended, or is another one; run `mesh invite` there again"
USED_UP = "this code was used already: run `mesh invite` there again"


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
        learn: Callable[[Fact], Later[Any]],
        on_joined: Callable[[str], None],
    ) -> None:
        """`facts` and `learn` are those of the log, `on_joined` gets a sentence. Raises MeshError for a damaged file."""
        self._home, self._chain, self._accepting, self._judge, self._clock = home, chain, accepting, judge, clock
        self._facts, self._learn, self._on_joined = facts, learn, on_joined
        self._invitations = Invitations(home.path)
        self._undo_look: Undo | None = None
        self._look()

    def invite(self, ttl_seconds: int, uses: int) -> OpenCode:
        """Open a code for so many seconds and nodes. Raises MeshError, with a sentence, if this node is no admin."""
        own = self._home.signer.public
        rows = self._judge.roster.rows
        if own not in rows or not rows[own].is_admin or rows[own].state != "member":
            admins = [row.node_id for row in rows.values() if row.is_admin and row.state == "member"]
            where = f"run `mesh invite` on {admins[0]}" if admins else "`mesh recover` makes it one"
            raise MeshError(f"only an admin invites, and {self._home.node_id} is none: {where}")
        secret, now_ms = os.urandom(INVITE_SECRET_BYTES), self._clock.now_ms()
        expires_ms = now_ms + ttl_seconds * 1000
        self._invitations.add(secret, expires_ms, uses, now_ms)
        self._look()
        return OpenCode(InviteCode.of(own, secret).write(), expires_ms)

    def door(self, address: str) -> asyncio.Protocol | None:
        """The protocol of a connection without a certificate; None if no code is open."""
        is_open = self._invitations.until_ms(self._clock.now_ms()) > 0
        return _JoinProtocol(self, address) if is_open else None

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
            fact = self._fact_of(wish, address)
        except ValueError as error:
            reply(NotWelcome(f"this request cannot be used: {error}"))
            return
        why = self._judge.may_greet(wish.key, wish.node_id)
        if why:
            reply(NotWelcome(f"{wish.node_id} cannot join: {why}; start a new node in another --home"))
        elif not self._invitations.use(invitation, wish.key):
            reply(NotWelcome(USED_UP))
        elif wish.key in self._judge.roster.rows:
            self._welcome(wish, reply)
        else:
            self._state(wish, fact, reply)

    def _fact_of(self, wish: Wish, address: str) -> Certificate:
        """The fact that it is in the mesh. Raises ValueError, with a sentence, for an id that it cannot have."""
        signer, source = self._home.signer, address.rpartition(":")[0][:MAX_SOURCE]
        mesh_key, now_ms = self._chain.mesh_key, self._clock.now_ms()
        fact = Certificate(mesh_key, signer.public, now_ms, b"", wish.key, wish.node_id, False, source).signed(signer)
        decode_fact(fact.data)
        return fact

    def _state(self, wish: Wish, fact: Certificate, reply: Callable[[JoinAnswer], None]) -> None:
        """Put the fact into the log, then welcome the node."""

        def learned(done: Later[Any]) -> None:
            if done.exception is not None or wish.key not in self._judge.roster.rows:
                why = done.exception or "there is no room for more facts of this admin: let another one invite"
                reply(NotWelcome(f"the inviter could not write it down: {why}"))
                return
            self._on_joined(f"{wish.node_id} joined this mesh from {fact.source}")
            self._welcome(wish, reply)

        self._learn(fact).then(learned)

    def _welcome(self, wish: Wish, reply: Callable[[JoinAnswer], None]) -> None:
        # The id is that of the first time, so that the certificate is the same again.
        node_id = self._judge.roster.rows[wish.key].node_id
        certificate = node_certificate(self._home.signer, wish.key, node_id)
        chain = (certificate, self._chain.admin, self._chain.mesh)
        reply(Welcome(chain, tuple(fact.data for fact in self._facts())))

    def close(self) -> None:
        """Let nobody in any more; the codes stay in the home."""
        self._accepting.verify_mode = ssl.CERT_REQUIRED
        if self._undo_look is not None:
            self._undo_look()

    def _look(self) -> None:
        """Open the door, or close it."""
        self.close()
        left_ms = self._invitations.until_ms(self._clock.now_ms()) - self._clock.now_ms()
        if left_ms > 0:
            self._accepting.verify_mode = ssl.CERT_OPTIONAL
            self._undo_look = self._clock.call_later(left_ms, self._look)


class _JoinProtocol(asyncio.Protocol):
    """One connection of who has no certificate: it reads one line, answers it, and closes. Its deadline is that of the door."""

    def __init__(self, inviting: Inviting, address: str) -> None:
        self._inviting = inviting
        self._address = address
        self._received = bytearray()
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        assert self._transport is not None
        self._received += data
        if len(self._received) > MAX_JOIN_BYTES:
            self._transport.abort()
        elif b"\n" in self._received:
            self._transport.pause_reading()
            self._inviting.answer(bytes(self._received).partition(b"\n")[0], self._address, self._reply)

    def _reply(self, answer: JoinAnswer) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(msgspec.json.encode(answer) + b"\n")
            self._transport.close()
