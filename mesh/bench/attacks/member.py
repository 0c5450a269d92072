"""HostileMember: a connection of a hostile host that greets as nodes do, and then says anything."""

from __future__ import annotations

import asyncio
import os
import re
import time
from functools import partial
from itertools import count

from mesh.bench.attacks.raw_socket import RawSocket, frame
from mesh.settings.config import DEFAULT_MESH
from peers.codec.messages import Message
from peers.codec.pieces import RawPiece, raw_piece
from peers.codec.run_messages import WIRE, Greeting, Pieces, RunConnect, RunOptions
from peers.codec.runs import RunProtocol
from peers.events.ends import Ends
from peers.events.entry import Entry, encode_event
from peers.events.epoch import NONCE_BYTES, Birth, key_mark
from peers.events.leaf import leaf_of
from peers.events.piece import Piece
from peers.events.reconcile import Reconciliation
from peers.events.run import OWN, RunHash
from peers.events.signature import KeySigner
from peers.protocol.sync import WINDOW
from peers.stores.run_store import Pen
from peers.stores.runs.memory import MemoryRunStore

Written = tuple[tuple[Birth, ...], tuple[RawPiece, ...]]
"""Pieces, and the births of epochs that begin in them."""
_ACKNOWLEDGED = re.compile(rb'\["(?:pieces|fill)",([0-9]{1,15})[,\]]')
_CONFIRMED = re.compile(rb'\["synced",([0-9]{1,15})\]')
_DIALECT = RunProtocol()


class HostileIdentity:
    """A key and the node id that goes with it, by a number."""

    def __init__(self, number: int) -> None:
        self.signer = KeySigner.from_seed(number.to_bytes(32, "big"))
        self.node_id = f"hostile{number}~{key_mark(self.signer.public)}"


class HostileMember:
    """Open it with `greeted`. It answers pings and acknowledges events, so that the other end keeps the link."""

    def __init__(self, socket: RawSocket) -> None:
        self.socket = socket
        self._room = asyncio.Semaphore(WINDOW)
        self._number = self._confirmed = 0
        """Of the messages with entries, which was the last one sent, and confirmed."""

    async def greet(self, node_id: str, *, key: bytes = b"", boot: str = "b1", mesh: str = DEFAULT_MESH) -> bool:
        """Open the WebSocket and greet. Whether the other end greeted too. Raises OSError."""
        if await self.socket.request() != 101:
            return False
        parts = Reconciliation(Ends({}).snapshot(), [], is_dialling=True)
        greeting = Greeting(boot=boot, connection="c1", held=(), key=key, newest=parts.newest, rest=parts.rest)
        await self.tell(RunConnect(WIRE, node_id, 0, RunOptions(token=mesh, runs=greeting)))
        # Who waits for room finds the link lost when it ends.
        return await self.socket.is_let_in(self._answer, self._room.release)

    async def tell(self, message: Message) -> None:
        """Send a message of nodes."""
        await self.socket.send(text_of(message))

    async def bring(self, written: Written) -> None:
        """Send pieces in one message, once the other end has room for it."""
        await self._room.acquire()
        self._number += 1
        await self.socket.send(text_of(Pieces(self._number, *written)))

    def close(self) -> None:
        self.socket.close()

    def _answer(self, text: bytes) -> None:
        if text.startswith(b'["ping"'):
            self.socket.post(frame(b'["pong",0]'))
        elif (found := _ACKNOWLEDGED.match(text)) is not None:
            self.socket.post(frame(b'["synced",%b]' % found[1]))
        elif (found := _CONFIRMED.match(text)) is not None:
            for _ in range(self._confirmed, int(found[1])):
                self._room.release()
            self._confirmed = int(found[1])


def text_of(message: Message) -> bytes:
    """The frame of a message of nodes."""
    return frame(_DIALECT.encode(message))


class HostileLog:
    """Events that a hostile host signs with a key of its own."""

    def __init__(self, identity: HostileIdentity) -> None:
        self._numbers = count(1)
        self._pen = Pen(identity.signer, partial(os.urandom, NONCE_BYTES), identity.node_id)
        self._store = MemoryRunStore()
        self._store.open()

    def write(self, events: int, text: str) -> Written:
        """So many events in one commit."""
        with self._store.transaction():
            taken = self._store.append(self._events(events, text), self._pen)
        births = tuple(piece.birth for piece in taken.pieces if piece.start == 1)
        return births, tuple(map(raw_piece, taken.pieces))

    def write_epochs(self, epochs: int) -> Written:
        """So many epochs with one event each."""
        births = tuple(Birth(self._pen.signer.public, self._pen.nonce()) for _ in range(epochs))
        return births, tuple(map(self._single, births))

    def _single(self, birth: Birth) -> RawPiece:
        """The piece of the first event of an epoch."""
        (event,) = self._events(1, "")
        run = RunHash(birth.epoch, 1)
        run.add([OWN], [leaf_of(event.created, event.time, event.extra, event.body)])
        signature = self._pen.signer.sign(birth.epoch, 1, run.head)
        return raw_piece(Piece(birth.epoch, birth, 1, 1, bytes([OWN]), (event,), run.head, signature))

    def _events(self, count: int, text: str) -> list[Entry]:
        now, body = int(time.time() * 1000), encode_event({"type": "junk", "text": text})
        return [Entry((now, self._pen.node_id, next(self._numbers)), now, body, b"") for _ in range(count)]
