"""Neighbour: a scripted end that speaks as nodes do; Author: a node whose events come in pieces."""

from __future__ import annotations

import json
from collections.abc import Sequence
from copy import deepcopy
from typing import Any

import msgspec

from peers.clock import ManualClock
from peers.codec.messages import Message
from peers.codec.pieces import raw_piece
from peers.codec.run_messages import (
    WIRE,
    Greeting,
    Pieces,
    RunConnect,
    RunConnected,
    RunHave,
    RunOptions,
)
from peers.codec.runs import RunProtocol
from peers.events.dot import Epoch
from peers.events.ends import Ends
from peers.events.entry import Entry
from peers.events.epoch import EpochEnd
from peers.events.piece import Piece
from peers.events.proof import Proof
from peers.events.reconcile import Differ, Reconciliation, Same
from peers.log.run_log import RunLog
from peers.roles.run_peer import RunPeerSync
from peers.stores.run_store import Pen
from peers.stores.runs.memory import MemoryRunStore
from tests.support.pair import NOW_MS, AskedLog, Stranger, open_log
from tests.support.run_house import Writer, event, own_epoch, piece_of


class Author:
    """A node that writes. Its events are older than all clocks of the tests."""

    def __init__(self, node_id: str = "attic", number: int = 200) -> None:
        self.node_id = node_id
        self.store = MemoryRunStore()
        self.store.open()
        self.writer = Writer(number)
        self.written = 0

    @property
    def epoch(self) -> Epoch:
        return own_epoch(self.store)

    @property
    def end(self) -> EpochEnd:
        return self.store.ends()[self.epoch]

    @property
    def ends(self) -> dict[Epoch, EpochEnd]:
        return self.store.ends()

    def write(self, *types: str) -> Piece:
        """Events in one commit, as the piece that brings them."""
        events = []
        for type_ in types or ("r",):
            self.written += 1
            events.append(event(self.written, type_, node=self.node_id))
        return self.put(*events)

    def put(self, *events: Entry) -> Piece:
        """As `write`, with these events."""
        last = self.store.ends().get(self.store.state.epoch or "", EpochEnd()).seq
        with self.store.transaction():
            self.store.append(events, Pen(self.writer.signer, self.writer.nonce, self.node_id))
        return self.piece(last + 1)

    def piece(self, start: int = 1) -> Piece:
        return piece_of(self.store, self.epoch, start)

    def pieces(self) -> list[Piece]:
        """All that it wrote."""
        found = [self.piece()]
        while found[-1].last < self.end.seq:
            found.append(self.piece(found[-1].last + 1))
        return found


def forked(author: Author | None = None) -> tuple[Author, Proof]:
    """A node that signed two histories after a first event, with one of them; and the proof. It may go on with a new epoch."""
    author = author or Author("forked", 77)
    if author.store.state.epoch is not None:
        with author.store.transaction():
            author.store.leave(author.epoch)
    author.write("common")
    other = deepcopy(author.store)
    author.write("one")
    with other.transaction():
        other.append([event(9, "two")], Pen(author.writer.signer, author.writer.nonce, "forked"))
        other.compare(author.piece().birth, author.store.blocks(author.epoch))
    proof = other.proof(author.epoch)
    assert proof is not None
    return author, proof


def bring(log: RunLog, *pieces: Piece) -> None:
    """These come over another link."""
    log.write(lambda store: [store.take(pieces)])


def hello(
    ends: dict[Epoch, EpochEnd] | None = None, *, names: int = 32, last_position: int = 0, **more: Any
) -> dict[str, Any]:
    """The option `runs` of a greeting, as JSON."""
    known = Ends(ends or {}).snapshot()
    parts = Reconciliation(known, list(ends or {})[:names], is_dialling=True)
    return _as_json(_greeting(parts, last_position=last_position)) | more


def _greeting(parts: Reconciliation, **more: Any) -> Greeting:
    return Greeting(
        **{"boot": "b1", "connection": "c1", "held": (), "newest": parts.newest, "rest": parts.rest, **more}
    )


def _as_json(greeting: Greeting) -> dict[str, Any]:
    decoded: dict[str, Any] = json.loads(msgspec.json.encode(greeting))
    return decoded


class Neighbour(Stranger):
    """It greets as a node that has `ends`, and finds out what differs; all else is said by the test.

    `attic` is a third node, whose events come to the role over other links: `elsewhere`.
    """

    def __init__(self, role: type[RunPeerSync] = RunPeerSync, *, connects: bool = True, **options: Any) -> None:
        super().__init__(role, connects=False, **options)
        self.dialect = RunProtocol()
        self.dialect.other_node_id = "home"
        self.attic = Author()
        self.own = Author("stranger", 100)
        self.number = 0
        self._parts: Reconciliation | None = None
        self._heard_first: Greeting | None = None
        """The greeting of a role that dialled."""
        self.theirs.on("message", self._on_frame)
        if connects:
            self.dialler.connect()

    def tell(self, message: Message | Same | Differ) -> Neighbour:
        self.say_raw(self.dialect.encode(message))
        return self

    def greet(
        self, node_id: str = "stranger", ends: dict[Epoch, EpochEnd] | None = None, *, forgets: bool = True, **more: Any
    ) -> Neighbour:
        """Greet, and forget the answers."""
        known = Ends(ends or {}).snapshot()
        self.number = 0
        self._parts = Reconciliation(known, list(ends or {}), is_dialling=self.theirs.dialled)
        options = RunOptions(runs=_greeting(self._parts, **more))
        if self.theirs.dialled:
            self.tell(RunConnect(WIRE, node_id, 0, options))
        else:
            assert self._heard_first is not None
            answer = self._parts.meet(self._heard_first.newest, self._heard_first.rest)
            self.tell(RunConnected(WIRE, node_id, (NOW_MS, NOW_MS), options))
            self._answer(answer)
        if forgets:
            self.heard.clear()
        return self

    def brings(self, *types: str) -> Neighbour:
        """It wrote these, and sends them."""
        return self.sends(self.own.write(*types))

    def sends(self, *pieces: Piece) -> Neighbour:
        """One message with these."""
        self.number += 1
        births = tuple({piece.epoch: piece.birth for piece in pieces if piece.start == 1}.values())
        return self.tell(Pieces(self.number, births, tuple(map(raw_piece, pieces))))

    def elsewhere(self, *types: str) -> Neighbour:
        """Events of the attic come to the role over another link."""
        bring(self.log, self.attic.write(*types))
        return self

    def names(self, end: EpochEnd | None = None) -> Neighbour:
        """It has what the attic wrote."""
        return self.tell(RunHave({self.attic.epoch: end or self.attic.end}))

    def confirms(self, number: int | None = None) -> Neighbour:
        """It has committed all that was sent, or all up to this message."""
        return self.tell_synced(numbers(self.heard)[-1] if number is None else number)

    def tell_synced(self, number: int) -> Neighbour:
        self.say("synced", number)
        return self

    def _on_frame(self, frame: bytes) -> None:
        message = self.dialect.decode(frame)
        if isinstance(message, RunConnect):
            self._heard_first = message.options.runs
        elif self._parts is not None and isinstance(message, RunConnected) and message.options.runs is not None:
            self._answer(self._parts.meet(message.options.runs.newest, message.options.runs.rest))
        elif self._parts is not None and isinstance(message, Same | Differ):
            self._answer(self._parts.take(message))

    def _answer(self, answer: Same | Differ | None) -> None:
        if answer is not None and self.connected:
            self.tell(answer)


def sent_pieces(sent: list[Any]) -> list[list[dict[str, Any]]]:
    """The pieces of each message with some."""
    return [message[3:4] if isinstance(message[3], dict) else message[3] for message in messages(sent, "pieces")]


def sent_types(sent: list[Any]) -> list[list[str]]:
    """The types of the events of each message with pieces."""
    return [[event["type"] for piece in pieces for event in piece["events"]] for pieces in sent_pieces(sent)]


def filled_types(sent: list[Any]) -> list[list[str]]:
    """The types of the events of each `fill`."""
    return [[each[-1]["type"] for each in message[2]] for message in messages(sent, "fill")]


def numbers(sent: list[Any]) -> list[int]:
    """Of the messages that want an acknowledgement."""
    return [message[1] for message in sent if message[0] in ("pieces", "fill")]


def named(sent: list[Any]) -> list[dict[Epoch, int]]:
    """For each `have` up to which seq it names epochs."""
    return [{epoch: end[0] for epoch, end in message[1].items()} for message in messages(sent, "have")]


def messages(sent: list[Any], name: str) -> list[Any]:
    return [message for message in sent if message[0] == name]


def names_of(sent: Sequence[Any]) -> list[str]:
    return [message[0] for message in sent]


def asked_neighbour() -> tuple[Neighbour, AskedLog]:
    """A neighbour that has greeted a role, whose log answers when the test says so."""
    log = open_log("home", ManualClock(NOW_MS), kind=AskedLog)
    assert isinstance(log, AskedLog)
    neighbour = Neighbour(log=log)
    neighbour.greet()
    log.answer()
    neighbour.heard.clear()
    return neighbour, log
