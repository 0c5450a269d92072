"""The messages of wire 2, in which nodes exchange runs: their shapes, and their limits on the wire."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from hashlib import sha256
from struct import Struct
from typing import Annotated, Any, TypeVar

import msgspec
from msgspec import Meta

from peers.codec.messages import MAX_HELD, Count, Name, Refusal, RunMessage, Seq, WireLabel, WireVersion
from peers.codec.pieces import Hash, RawPiece, Signature
from peers.events.dot import Dot
from peers.events.ends import Fingerprint
from peers.events.entry import Entry
from peers.events.epoch import (
    BIRTH_BYTES,
    END_BYTES,
    KEY_BYTES,
    MAX_BIRTH_BYTES,
    NAME_BYTES,
    NO_HEAD,
    Birth,
    EpochEnd,
    EpochName,
)
from peers.events.proof import Block, Way
from peers.events.reconcile import NewestEnds
from peers.facts.fact import Fact, WireFactId
from peers.facts.fact_set import MeshEnd
from peers.facts.summary import MAX_SUMMARY_BYTES

WIRE = 2
"""The version of the wire in `connect` and `connected`."""
WIRE_1 = 5
"""What nodes of the releases before say instead: the version of Logux that their wire was made of."""
STRANGER_BYTES = 16 * 1024
"""Of a frame before the other end has greeted, at most."""
NODE_FRAME_BYTES = 512 * 1024
"""Of a frame after that, at most."""
MAX_YOURS = 4
"""Epochs of the receiver that a greeting names."""
MAX_SPANS = 256
"""Spans of one list."""
MAX_HAVE = 128
"""Epochs of one `have` that is sent: a message is handled at once, and nothing else of the node meanwhile."""
READ_HAVE = 2_048
"""The same of one that is read: others may send more."""
MAX_PIECES = 64
"""Pieces of one `pieces` that is sent, and births beside them."""
READ_PIECES = 500
"""The same of one that is read."""
MAX_FILLED = 500
"""Events of one `fill`."""
MAX_TOGETHER = 1_000
"""Entries of all pieces of one `pieces` that all releases read."""
READ_TOGETHER = 2_000
"""The same of one that is read, or sent to an end whose greeting says that it reads so many."""
MAX_HEADS = 384
"""Runs of one `heads`: 16 KiB."""
MAX_BLOCKS = 16
"""Blocks of one `show`."""
MAX_PROOF_BYTES = 64 * 1024
MAX_DECLINED = 1_024
"""Keys of one `decline`."""
MAX_FACTS = 1_024
FACTS_BYTES = 64 * 1024
"""Of all facts of one message."""
MAX_RELEASE = 64
"""Characters of the name of a release."""
MAX_WHY = 200
"""Characters of a reason in `reached`."""
LINK_BYTES = 8
"""Of the public key of a node with which the sender is connected."""
MAX_LINKS = 1_024
"""Nodes of one `have`."""
MAX_SUMMARIES = 64
"""Of one `summaries` that is sent."""
READ_SUMMARIES = 256
"""The same of one that is read."""
MAX_WAY_BIRTHS = 256
"""Births of one `way`."""
WireBirth = Annotated[bytes, Meta(min_length=BIRTH_BYTES, max_length=MAX_BIRTH_BYTES)]
LinkName = Annotated[bytes, Meta(min_length=LINK_BYTES, max_length=LINK_BYTES)]

_LABEL = b"peermesh hollow\0"
_FRAME_TEXT = 64
"""Bytes of a message of pieces or events without these, at most."""
_BIRTH_TEXT = 4 * BIRTH_BYTES // 3 + 4
_FILLING_TEXT = 32 + 4 * 16 + 4 * 200 + 32
"""Bytes of an event in a `fill` without its body and meta, at most: name, four numbers, node id, and what is between them."""
_Item = TypeVar("_Item")
_SPAN = Struct(f">{NAME_BYTES}sQQ")

HeadEnd = Annotated[bytes, Meta(min_length=END_BYTES, max_length=END_BYTES)]
Span = tuple[EpochName, Seq, Seq]
"""(epoch, first, last): entries that follow each other, both ends included."""
Spans = Annotated[tuple[Span, ...], Meta(max_length=MAX_SPANS)]


def spans_of(dots: Iterable[Dot]) -> list[Span]:
    """These dots as spans, in the order of epoch and seq: as few as possible."""
    spans: list[Span] = []
    for epoch, seq in sorted(dots):
        if spans and spans[-1][0] == epoch and seq <= spans[-1][2] + 1:
            spans[-1] = (epoch, spans[-1][1], seq)
        else:
            spans.append((epoch, seq, seq))
    return spans


def piece_groups(pieces: Iterable[RawPiece], together: int = MAX_TOGETHER) -> Iterator[tuple[RawPiece, ...]]:
    """These pieces in order, in groups of which each has room in one `pieces`, with a birth for each.

    `together`: entries of one, at most.
    """
    return _groups(pieces, lambda piece: (len(piece.raw) + _BIRTH_TEXT, len(piece.items)), MAX_PIECES, together)


def fill_groups(events: Iterable[tuple[Dot, Entry]]) -> Iterator[tuple[tuple[Dot, Entry], ...]]:
    """These events in order, in groups of which each has room in one `fill`."""
    return _groups(events, lambda one: (_FILLING_TEXT + len(one[1].body) + len(one[1].extra), 1), MAX_FILLED)


def _groups(
    items: Iterable[_Item], measure: Callable[[_Item], tuple[int, int]], most: int, together: int = MAX_TOGETHER
) -> Iterator[tuple[_Item, ...]]:
    """Groups of at most `most` items, by bytes, and by entries; an item that is too large for any stands alone."""
    group: list[_Item] = []
    room, entries = NODE_FRAME_BYTES - _FRAME_TEXT, together
    for item in items:
        size, count = measure(item)
        if group and (size > room or count > entries or len(group) == most):
            yield tuple(group)
            group = []
            room, entries = NODE_FRAME_BYTES - _FRAME_TEXT, together
        group.append(item)
        room -= size
        entries -= count
    if group:
        yield tuple(group)


def fact_groups(facts: Iterable[Fact]) -> Iterator[tuple[bytes, ...]]:
    """The bytes of these facts in order, in groups of which each has room in one `facts`."""
    group: list[bytes] = []
    room = FACTS_BYTES
    for fact in facts:
        if len(group) == MAX_FACTS or len(fact.data) > room:
            yield tuple(group)
            group, room = [], FACTS_BYTES
        group.append(fact.data)
        room -= len(fact.data)
    if group:
        yield tuple(group)


class WantedEvents(msgspec.Struct, frozen=True, array_like=True):
    """Entries whose events the sender wants."""

    count: Count
    digest: Hash
    """SHA-256 of a label, and of each span of them in order the name of the epoch, the first and the last seq in 8 bytes."""
    spans: Spans = ()
    """All of them, or none where there are more than MAX_SPANS or no room in a greeting."""

    @classmethod
    def of(cls, dots: Iterable[Dot]) -> WantedEvents:
        """That of these dots."""
        spans = spans_of(dots)
        digest = sha256(_LABEL)
        for epoch, first, last in spans:
            digest.update(_SPAN.pack(bytes.fromhex(epoch), first, last))
        count = sum(last - first + 1 for _, first, last in spans)
        return cls(count, digest.digest(), tuple(spans) if len(spans) <= MAX_SPANS else ())


class Yours(msgspec.Struct, frozen=True, array_like=True):
    """How far the sender holds an epoch of the receiver."""

    end: EpochEnd
    head: Hash = NO_HEAD
    """The whole head there, which the signature is about."""
    signature: Signature = b""
    """Empty if the epoch forked."""


class Greeting(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The option `runs` of `connect` and `connected`."""

    boot: WireLabel
    """Random id of this run of the node: connections of an older run are replaced."""
    connection: WireLabel
    """This connection's name, from the end that dialled."""
    held: Annotated[tuple[WireLabel, ...], Meta(max_length=MAX_HELD)]
    """Names of the connections that the sender has with the receiver, and of all that it is dialling."""
    key: Annotated[bytes, Meta(max_length=KEY_BYTES)] = b""
    """The public key with which the sender signs."""
    newest: NewestEnds
    """The newest epochs of the nodes that wrote lately, the last one last."""
    rest: Fingerprint
    """Of all its other epochs."""
    yours: Annotated[dict[EpochName, Yours], Meta(max_length=MAX_YOURS)] = {}
    """The newest epochs of the receiver."""
    hollow: WantedEvents | None = None
    """None: no event is wanted."""
    last_position: Count = 0
    """The last position of the sender's log."""
    facts: MeshEnd | None = None
    """The facts of its mesh; None without one, and from releases without facts."""
    clock_ms: Count = 0
    """In `connect` the sender's wall clock; `connected` has it elsewhere. 0 from earlier releases."""
    release: Annotated[str, Meta(max_length=MAX_RELEASE)] = ""
    """That of the sender's software. Empty from earlier releases, which do not know `reach`."""
    reads_summaries: bool = False
    """Whether it gets `summaries`; earlier releases do not."""
    reads_ways: bool = False
    """Whether it reads `way`; earlier releases do not."""
    together: Count = MAX_TOGETHER
    """Entries of all pieces of one `pieces` that it reads; earlier releases do not say it."""


class RunOptions(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The options of `connect` and `connected` of wire 2."""

    subprotocol: Any = 0
    token: Any = None
    """The credentials."""
    runs: Greeting | None = None


class RunConnect(RunMessage, frozen=True, tag="connect"):
    """The first message of the end that dialled. Its frame has at most STRANGER_BYTES."""

    protocol: WireVersion
    node_id: Name
    synced: Count = 0
    """Always 0: the greeting says what the sender has."""
    options: RunOptions = RunOptions()


class RunConnected(RunMessage, frozen=True, tag="connected"):
    """The answer to `connect`, after its credentials were accepted."""

    protocol: WireVersion
    node_id: Name
    times: tuple[Count, Count]
    """When `connect` was received and when it was answered, in ms of the answering end's clock."""
    options: RunOptions = RunOptions()


class RunHave(RunMessage, frozen=True, tag="have"):
    """What the sender committed meanwhile; at most NODE_FRAME_BYTES, as every message."""

    ends: Annotated[dict[EpochName, EpochEnd], Meta(max_length=READ_HAVE)]
    """Epochs of others that grew, or were cut."""
    hollow: Spans = ()
    """Entries whose events it wants now."""
    filled: Spans = ()
    """Entries that were hollow and are no more."""
    links: Annotated[tuple[LinkName, ...], Meta(max_length=MAX_LINKS)] | None = None
    """All nodes with which the sender is connected, if it says that here. Earlier releases neither say nor read it."""
    anew: Annotated[tuple[EpochName, ...], Meta(max_length=READ_HAVE)] = ()
    """Epochs that it takes anew from these ends on, though it had more of another history. Earlier releases do not read it."""


class Pieces(RunMessage, frozen=True, tag="pieces"):
    """Entries, to be acknowledged by `synced` with `number`. `refusals` is not on the wire."""

    number: Count
    births: Annotated[tuple[Birth, ...], Meta(max_length=READ_PIECES)]
    """Of epochs that may be new to the receiver. The others it knows from its log, or from this link."""
    pieces: Annotated[tuple[RawPiece, ...], Meta(min_length=1, max_length=READ_PIECES)]
    """At most READ_TOGETHER entries in all; to an end that does not say that it reads so many, MAX_TOGETHER."""
    refusals: tuple[Refusal, ...] = ()
    """Of the entries that are `refused` in a piece, for people."""


class Fill(RunMessage, frozen=True, tag="fill"):
    """Events of entries that the receiver called hollow, to be acknowledged as `pieces`. `refusals` is not on the wire."""

    number: Count
    events: Annotated[tuple[tuple[Dot, Entry], ...], Meta(max_length=MAX_FILLED)]
    """Without those that are refused."""
    refusals: tuple[Refusal, ...] = ()


class Heads(RunMessage, frozen=True, tag="heads"):
    """Where the sender's runs of an epoch begin, to find the one in which two histories part."""

    epoch: EpochName
    before: Seq
    """They begin before this seq."""
    heads: Annotated[tuple[tuple[Seq, HeadEnd], ...], Meta(max_length=MAX_HEADS)]
    """For each run its first seq, and END_BYTES of the head before it; the last run first."""
    is_answer: bool = False


class ShowBlocks(RunMessage, frozen=True, tag="show"):
    """Signed blocks of an epoch: what the receiver compares with its own."""

    birth: Birth
    blocks: Annotated[tuple[Block, ...], Meta(max_length=MAX_BLOCKS)]


class Prove(RunMessage, frozen=True, tag="proof"):
    """The proof of a fork: what `Proof.encode` makes."""

    proof: Annotated[bytes, Meta(max_length=MAX_PROOF_BYTES)]


class ShowWay(RunMessage, frozen=True, tag="way"):
    """The heads of an epoch up to where the facts of the mesh say its head, to a receiver that says a fork of it, or that takes
    no more without it, since the key of the epoch has left.

    Only to an end whose greeting has `reads_ways`.
    """

    way: Way
    births: Annotated[tuple[WireBirth, ...], Meta(max_length=MAX_WAY_BIRTHS)] = ()
    """That of the epoch, and before it those of epochs that went on from it, the last one first: they may be new to the
    receiver, and say up to where it counts. Earlier releases neither say nor read them."""


class SayHollow(RunMessage, frozen=True, tag="hollow"):
    """The receiver is asked to say what it wants, by `have`, since its greeting had no room for it. Once on a link."""


class Decline(RunMessage, frozen=True, tag="decline"):
    """Public keys of nodes whose epochs the sender does not take on this link for now."""

    keys: Annotated[
        tuple[Annotated[bytes, Meta(min_length=KEY_BYTES, max_length=KEY_BYTES)], ...], Meta(max_length=MAX_DECLINED)
    ]


class AskReach(RunMessage, frozen=True, tag="reach"):
    """The receiver is asked to dial the sender, at the address of this link and the port at which the sender listens.

    Only to an end whose greeting has a `release`: earlier ones end the link. The answer is `reached`.
    """

    port: Annotated[int, Meta(ge=1, le=65_535)]


class Reached(RunMessage, frozen=True, tag="reached"):
    """The answer to `reach`."""

    why: Annotated[str, Meta(max_length=MAX_WHY)] = ""
    """Why the sender of `reach` did not answer there, or was not dialled; empty if it answered."""
    was_dialled: bool = True


class Summaries(RunMessage, frozen=True, tag="summaries"):
    """How nodes of the mesh do: only to an end whose greeting has `reads_summaries`. See peers.facts.summary."""

    summaries: Annotated[
        tuple[Annotated[bytes, Meta(max_length=MAX_SUMMARY_BYTES)], ...], Meta(max_length=READ_SUMMARIES)
    ]


class Facts(RunMessage, frozen=True, tag="facts"):
    """Facts of the mesh of both ends, or which ones the sender has: only to an end whose greeting has `facts`."""

    facts: Annotated[tuple[bytes, ...], Meta(max_length=MAX_FACTS)]
    """In an order in which each comes after those that its signer needs."""
    ids: Annotated[tuple[WireFactId, ...], Meta(max_length=MAX_FACTS)] = ()
    """Of facts that the sender has, once on a link, where the greetings differ."""
    is_last: bool = False
    """Whether these are the last of its ids."""

    def __post_init__(self) -> None:
        if sum(map(len, self.facts)) > FACTS_BYTES:
            raise ValueError(f"facts of more than {FACTS_BYTES} bytes")
