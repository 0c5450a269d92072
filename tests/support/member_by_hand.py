"""MemberByHand: a member of a mesh without a node, which says over TLS whatever a test lets it say."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from struct import Struct
from typing import Any, BinaryIO

from mesh.bench.attacks.member import text_of
from mesh.bench.attacks.raw_socket import Opcode, frame, upgrade_request
from mesh.node import Node
from mesh.settings.home import Home, read_signer
from mesh.settings.paths import LOG_FILE
from mesh.trust.certificates import mesh_key_of
from peers.codec.messages import Message
from peers.codec.pieces import raw_piece
from peers.codec.run_messages import WIRE, Facts, Greeting, Pieces, RunConnect, RunConnected, RunOptions, fact_groups
from peers.codec.runs import RunProtocol
from peers.events.dot import Epoch
from peers.events.ends import Ends
from peers.events.entry import Entry
from peers.events.epoch import Birth, EpochEnd
from peers.events.leaf import leaves_of
from peers.events.piece import Piece
from peers.events.reconcile import Reconciliation
from peers.events.run import OWN, RunHash
from peers.facts.fact import Fact
from peers.stores.runs.sqlite.reader import SqliteRunReader
from tests.support.run_house import pieces_for
from tests.support.street import SECONDS
from tests.support.trusted_street import tls_options

HEAD_END = b"\r\n\r\n"
SHORT_MARK, LONG_MARK = 126, 127
_SHORT, _LONG = Struct(">H"), Struct(">Q")


class LinkByHand:
    """A connection that greeted, and was greeted unless it was refused."""

    def __init__(self, wire: ssl.SSLSocket, reader: BinaryIO) -> None:
        self._wire, self._reader = wire, reader
        self._dialect = RunProtocol()
        self._number = 0
        self.ends: dict[Epoch, EpochEnd] = {}
        """What the greeting of the other end says that it has; empty without one."""
        self.heard: list[str] = []
        """The messages that came, as texts."""

    def greet(self, message: RunConnect, address: str) -> None:
        """Open the WebSocket and greet."""
        with suppress(OSError):
            self._wire.sendall(upgrade_request(address))
            while self._reader.readline().strip():
                pass
            self.tell(message)
            if self.hear(b'["connected"'):
                greeted = self._dialect.decode(self.heard[-1].encode())
                assert isinstance(greeted, RunConnected) and greeted.options.runs is not None
                self.ends = dict(greeted.options.runs.newest)

    @property
    def error(self) -> str:
        """The last message `error` that came; empty without one."""
        return next((text for text in reversed(self.heard) if text.startswith('["error"')), "")

    def tell(self, *messages: Message) -> None:
        """Say this, unless the other end has closed."""
        with suppress(OSError):
            for message in messages:
                self._wire.sendall(text_of(message))

    def bring(self, *pieces: Piece, births: tuple[Birth, ...] | None = None) -> bool:
        """Send pieces in one message. Whether the other end confirmed it, or ended the link."""
        self._number += 1
        if births is None:
            births = tuple({piece.epoch: piece.birth for piece in pieces if piece.start == 1}.values())
        self.tell(Pieces(self._number, births, tuple(map(raw_piece, pieces))))
        return self.hear(b'["synced",%d]' % self._number)

    def hear(self, beginning: bytes) -> bool:
        """Read up to a message that begins so; False if the link ended before."""
        return any(text.startswith(beginning) for text in self._texts())

    def _texts(self) -> Iterator[bytes]:
        with suppress(OSError):
            while (head := self._reader.read(2)) and len(head) == 2:
                size = head[1]
                if size == SHORT_MARK:
                    (size,) = _SHORT.unpack(self._reader.read(_SHORT.size))
                elif size == LONG_MARK:
                    (size,) = _LONG.unpack(self._reader.read(_LONG.size))
                text = self._reader.read(size)
                if head[0] & 0x0F == Opcode.CLOSE:
                    return
                self.heard.append(text.decode())
                if text.startswith(b'["ping"'):
                    self._wire.sendall(frame(b'["pong",0]'))
                yield text


class MemberByHand:
    """A home of a mesh, with the key and the certificates of a member."""

    def __init__(self, home: Path) -> None:
        opened = Home(home)
        opened.close()
        self.node_id, self.signer = opened.node_id, opened.signer
        self._home = home
        self._token = mesh_key_of(home, self.signer.public).hex()
        self._tls: ssl.SSLContext = tls_options(home)["dial_tls"]
        self._births = 0

    @contextmanager
    def meet(
        self, node: Node, *, node_id: str = "", states: tuple[Fact, ...] = (), **said: Any
    ) -> Iterator[LinkByHand]:
        """Greet a node as one whose log is empty, and tell it the facts of the home and these. `said` is in the greeting."""
        parts = Reconciliation(Ends({}).snapshot(), [], is_dialling=True)
        address = f"127.0.0.1:{node.port}"
        known: dict[str, Any] = {"boot": "b1", "connection": "c1", "held": (), "key": self.signer.public}
        known |= {"newest": parts.newest, "rest": parts.rest} | said
        greeting = RunConnect(WIRE, node_id or self.node_id, 0, RunOptions(token=self._token, runs=Greeting(**known)))
        with (
            socket.create_connection(("127.0.0.1", node.port), timeout=SECONDS) as wire,
            self._tls.wrap_socket(wire) as secure,
            secure.makefile("rb") as reader,
        ):
            link = LinkByHand(secure, reader)
            link.greet(greeting, address)
            link.tell(*[Facts(group) for group in fact_groups((*facts_in(self._home), *states))])
            yield link

    def write(self, *events: Entry, kind: int = OWN, birth: Birth | None = None) -> Piece:
        """Sign these events, of any author, as an epoch of its own, or as one that begins with another's `birth`."""
        self._births += 1
        birth = birth or Birth(self.signer.public, self._births.to_bytes(16, "big"), node_id=self.node_id)
        run, kinds = RunHash(birth.epoch, 1), bytes([kind]) * len(events)
        run.add(kinds, leaves_of(events))
        signature = self.signer.sign(birth.epoch, run.last, run.head)
        return Piece(birth.epoch, birth, 1, 1, kinds, events, run.head, signature)


@contextmanager
def reader_of(home: Path) -> Iterator[SqliteRunReader]:
    """The log of a home, whether a node runs in it or not."""
    reader = SqliteRunReader(home / LOG_FILE)
    reader.enter_mesh(mesh_key_of(home, read_signer(home).public))
    reader.open()
    try:
        yield reader
    finally:
        reader.close()


def ends_of(home: Path) -> dict[Epoch, EpochEnd]:
    with reader_of(home) as reader:
        return reader.ends()


def facts_in(home: Path) -> tuple[Fact, ...]:
    with reader_of(home) as reader:
        return reader.facts()


def pieces_in(home: Path) -> list[Piece]:
    """All entries of a home, as a node would send them."""
    with reader_of(home) as reader:
        return pieces_for(reader, {})
