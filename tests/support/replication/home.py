"""Home: a node of a story: a real store behind a mailbox, and one Replication a link."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from msgspec.structs import replace

from peers.codec.pieces import RawPiece, encode_piece, fitting, raw_piece
from peers.codec.run_messages import WIRE, Fill, Greeting, Pieces, RunConnect, RunOptions
from peers.codec.runs import RunProtocol
from peers.events.created import Created
from peers.events.dot import Epoch
from peers.events.ends import Ends
from peers.events.entry import Entry
from peers.events.epoch import KEY_BYTES, NONCE_BYTES, Birth, key_mark
from peers.events.leaf import leaf_of
from peers.events.piece import Piece
from peers.events.reconcile import Differ
from peers.events.signature import KeySigner
from peers.protocol.runs.replication import Replication
from peers.protocol.runs.role import BadPeer
from peers.stores.run_store import Pen, RunState, RunStore
from peers.stores.taken import Taken
from tests.support.replication.kits import Kit
from tests.support.replication.room import Mailbox, Room, Wire, must


@dataclass
class Disk:
    """A store, and what the checks know of it: both are copied together."""

    kit: Kit
    store: RunStore
    acknowledged: dict[bytes, Created] = field(default_factory=dict)
    """Own events that the application was told are kept, by leaf."""
    cleaned: set[Created] = field(default_factory=set)

    def copy(self) -> Disk:
        return Disk(self.kit, self.kit.copy(self.store), dict(self.acknowledged), set(self.cleaned))


class Home:
    """A node. `twist` makes it hostile: it gets each message that is sent, and gives those that go instead."""

    def __init__(
        self, room: Room, name: str, disk: Disk, signer: KeySigner | None = None, *, opens: bool = True
    ) -> None:
        self.room = room
        self.name = name
        self.use_key(signer or room.key())
        self.disk = disk
        self.sessions: list[Session] = []
        self.twist: Callable[[Session, Any], Sequence[Any]] | None = None
        self.declining: set[bytes] = set()
        """Keys whose epochs were declined."""
        self.limit = 10**9
        """Epochs that are taken of one owner."""
        self.taken: dict[bytes, set[Epoch]] = {}
        self.openings = 0
        self.served: dict[Home, tuple[bytes, int]] = {}
        """What others wanted and were given, by digest, and how many fills there were here."""
        self.fills = 0
        self.troubles: list[str] = []
        """Why it ended links."""
        self.pad: int | None = None
        """Bytes that each of its events has more, if these are not random."""
        self.begun: set[Epoch | None] = {None, disk.store.state.epoch}
        """Epochs that it has written in."""
        self.begin(disk, opens=opens)

    def use_key(self, signer: KeySigner) -> None:
        """From its next epoch on it writes with this key, under the id that goes with it."""
        self.signer = signer
        self.node_id = f"{self.name.rstrip(chr(34) + chr(39))}~{key_mark(signer.public)}"
        self.pen = Pen(signer, self.room.nonce, self.node_id)

    @property
    def store(self) -> RunStore:
        return self.disk.store

    @property
    def is_hostile(self) -> bool:
        return self.twist is not None

    def begin(self, disk: Disk, *, opens: bool) -> None:
        """Start on this disk; without opening it, as a machine that was resumed."""
        self.disk = disk
        if opens or not disk.kit.can_go_on:
            disk.store.close()
            disk.store.open()
            self.openings += 1
        self.ends = Ends(disk.store.ends())
        self.epoch = disk.store.state.epoch
        self.begun.add(self.epoch)
        self.last_position = disk.store.state.last_position
        self.served.clear()
        self.mailbox = Mailbox(self.room, disk.store, self._on_commit)
        self.is_adopting = True

    def restart(self, disk: Disk | None = None, *, opens: bool = True) -> None:
        for session in list(self.sessions):
            session.end()
        self.begin(disk or self.disk, opens=opens)

    # Own writes

    def event(self, ms: int) -> Entry:
        """A new one of our timer."""
        rnd = self.room.rnd
        pad = b"x" * (rnd.choice([0, 0, 0, 40, 150]) if self.pad is None else self.pad)
        if self.is_hostile and self.room.is_coded and rnd.random() < 0.1:
            return Entry((ms, self.node_id, 0), ms, b'{"type":"x","much":1e999}')
        body = b'{"type":"%x","pad":"%s"}' % (rnd.getrandbits(40), pad)
        return Entry((ms, self.node_id, 0), ms - rnd.randint(0, 1), body)

    def add(self, count: int, *, ms: int | None = None) -> None:
        """Add own events in one commit; they are acknowledged when that is done."""
        disk = self.disk

        def work(store: RunStore) -> list[Taken]:
            first = ms or store.state.clock_ms + 1
            events = [self.event(first + at) for at in range(count)]
            return [store.append(events, self.pen, clock_ms=first + count - 1, is_each_alone=True)]

        def acknowledge(takens: Sequence[Taken]) -> None:
            for result in takens[0].results:
                if isinstance(result, Entry):
                    disk.acknowledged[leaf_of(result.created, result.time, result.extra, result.body)] = result.created

        self.write(work, acknowledge)

    def write(self, work: Callable[[RunStore], Sequence[Taken]], then: Callable[[Any], None] = lambda _: None) -> None:
        self.mailbox.ask(None, work, then, writes=True)

    def further(self, created: Created) -> None:
        self.write(lambda store: [store.offer_further([created], self.pen)])

    def clean(self, createds: Sequence[Created]) -> None:
        """Clean events, when it is their turn."""

        def work(store: RunStore) -> list[Taken]:
            gone = [each for each in createds if store.find(each) is not None]
            self.disk.cleaned.update(gone)
            store.clean(gone)
            return []

        self.write(work)

    def adopt(self) -> None:
        """What the timer of the node does a while after a proof."""
        self.is_adopting = False

        def again(takens: Sequence[Taken]) -> None:
            self.room.count["adopted"] += sum(change.length for taken in takens for change in taken.changes)
            if takens[0].is_unfinished:
                self.adopt()

        self.write(lambda store: [store.adopt(self.pen)], again)

    def _on_commit(self, heard: tuple[Sequence[Taken], RunState]) -> None:
        takens, state = heard
        for taken in takens:
            for epoch, end in taken.ends.items():
                self.ends.set(epoch, end)
            self.fills += sum(change.is_fill for change in taken.changes)
            self.is_adopting = self.is_adopting or bool(taken.proven or taken.limited)
            for epoch in taken.over:
                self.write(lambda store, epoch=epoch: [store.take_over(epoch)])
        self.epoch, self.last_position = state.epoch, state.last_position
        self.begun.add(self.epoch)
        for taken in takens:
            for session in list(self.sessions):
                if session.is_open:
                    session.guard(session.replication.committed, taken)


def through_the_codec(message: Any) -> Any:
    """The message as it arrives; None for one that is no message of the wire, as a villain may make it."""
    if isinstance(message, Greeting):
        connect = RunConnect(WIRE, "node", 0, RunOptions(runs=message))
        return RunProtocol().decode(RunProtocol().encode(connect)).options.runs
    if isinstance(message, Pieces):
        birth = Birth(bytes(KEY_BYTES), bytes(NONCE_BYTES))
        raw = tuple(replace(piece, raw=encode_piece(piece.piece(birth))) for piece in message.pieces)
        if not raw:
            return None
        message = replace(message, pieces=raw)
    protocol = RunProtocol()
    protocol.other_node_id = "node"
    return protocol.decode(protocol.encode(message))


class Session:
    """One end of a link: the role of a Replication."""

    def __init__(self, home: Home, wire: Wire, *, is_dialling: bool) -> None:
        self.home = home
        self.wire = wire
        self.other: Session = self
        self.is_dialling = is_dialling
        self.is_held = False
        """Entries of others wait before they are relayed."""
        self.held_at = 0
        self.greeting: Any = None
        self.had: dict[Epoch, int] = {}
        """Up to which seq our greeting said that we have epochs."""
        self.is_untold = self.is_doubting = False
        self.differs = 0
        """Messages that reconcile."""
        self.replication = Replication(self, is_dialling=is_dialling)
        home.sessions.append(self)

    @property
    def is_open(self) -> bool:
        return self.wire.is_up

    def end(self) -> None:
        self.wire.is_up = False
        for session in (self, self.other):
            session.home.sessions = [each for each in session.home.sessions if each.wire is not self.wire]

    def guard(self, function: Callable[[Any], None], value: Any) -> None:
        """Call it; what the other end did wrong ends the link."""
        try:
            function(value)
        except BadPeer as error:
            self.home.room.count["links ended"] += 1
            self.home.troubles.append(str(error))
            must(
                self.home.is_hostile or self.other.home.is_hostile,
                "honest neighbour accused",
                self.home.name,
                self.other.home.name,
                str(error),
            )
            self.end()

    def on_disk_error(self) -> None:
        self.end()

    def greet(self) -> None:
        """Say our greeting; the end that was dialled does when it has heard the other."""
        self.replication.greet(self._say_greeting, self.other.home.signer.public, boot="b", connection="c", held=())

    def _say_greeting(self, greeting: Any) -> None:
        self.had = {epoch: end.seq for epoch in self.ends if (end := self.ends.get(epoch))}
        self.send(greeting)
        if self.greeting is not None:
            self.replication.meet(self.greeting)

    def hear(self, message: Any) -> None:
        """A message arrives."""
        if isinstance(message, Greeting):
            self.greeting = message
            if self.is_dialling:
                self.replication.meet(message)
            else:
                self.greet()
        else:
            if isinstance(message, Pieces) and not (self.home.is_hostile or self.other.home.is_hostile):
                again = [each for each in message.pieces if each.start <= self.had.get(each.epoch, 0)]
                must(not again, "sent what a greeting said is here", self.home.name, again[:1])
            self.replication.hear(message)

    # What Replication asks

    @property
    def key(self) -> bytes:
        return self.home.signer.public

    @property
    def epoch(self) -> Epoch | None:
        return self.home.epoch

    @property
    def ends(self) -> Ends:
        return self.home.ends

    def send(self, message: Any) -> None:
        home = self.home
        if not self.is_open:
            return
        self._count(message)
        for each in [message] if home.twist is None else home.twist(self, message):
            arrived = through_the_codec(each) if home.room.is_coded else each
            if arrived is not None:
                self.wire.queues[self.other].append(arrived)

    def _count(self, message: Any) -> None:
        count = self.home.room.count
        if isinstance(message, Pieces):
            count["pieces"] += len(message.pieces)
            count["bodies"] += sum(isinstance(item, Entry) for piece in message.pieces for item in piece.items)
        elif isinstance(message, Fill) and not self.home.is_hostile:
            count["fills"] += len(message.events)
        elif isinstance(message, Differ):
            self.differs += 1
        else:
            count[type(message).__name__] += 1

    def encode(self, piece: Piece) -> RawPiece:
        return raw_piece(fitting(piece))

    def read(self, work: Callable[[RunStore], Any], then: Callable[[Any], None]) -> None:
        self.home.mailbox.ask(self, work, then, writes=False)

    def write(
        self, work: Callable[[RunStore], Any], then: Callable[[Any], None], *, is_next_part: bool = False
    ) -> None:
        self.home.mailbox.ask(self, work, then, writes=True)

    def is_awaited(self) -> bool:
        return self.home.room.rnd.random() < 0.5

    def is_shared(self) -> bool:
        return self.home.room.rnd.random() < 0.5

    def rest(self, was_awaited: bool, then: Callable[[], None]) -> None:
        if was_awaited:
            self.read(lambda store: None, lambda _: then())
        else:
            then()

    def walk_limit(self) -> int:
        return min(self.held_at, self.home.last_position) if self.is_held else self.home.last_position

    def may_send(self) -> bool:
        return True

    def page_bytes(self) -> int:
        return 2_000

    def clock_ms(self) -> int:
        return self.home.room.now

    def trusts(self, birth: Birth) -> bool:
        roster = self.home.store.roster()
        return roster is None or roster.cut_of(birth.key) != ()

    def may_begin(self, birth: Birth) -> bool:
        if not self.trusts(birth):
            return False
        taken = self.home.taken.setdefault(birth.key, set())
        if birth.epoch not in taken and len(taken) >= self.home.limit:
            self.home.declining.add(birth.key)
            return False
        taken.add(birth.epoch)
        return True

    def has_room(self) -> bool:
        return True

    def on_pieces(self, taken: Taken, idle_messages: int, idle_bytes: int) -> None:
        """Nothing is limited here."""

    def is_news(self, hollow: bytes) -> bool:
        return self.home.served.get(self.other.home) != (hollow, self.home.fills)

    def on_served(self, hollow: bytes) -> None:
        self.home.served[self.other.home] = hollow, self.home.fills

    def on_untold(self) -> None:
        """Some end tells at once, some a little later."""
        self.is_untold = True

    def on_doubt(self) -> None:
        self.is_doubting = True
