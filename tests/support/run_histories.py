"""Random histories of nodes that write, restart, are copied and rolled back, clean, and take each other's pieces."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from hypothesis import strategies as st
from msgspec import structs

from peers.events.created import Created
from peers.events.entry import Entry
from peers.events.piece import Piece
from tests.support.run_house import (
    CheckedStore,
    Writer,
    adopt,
    check,
    event,
    exchange,
    fill,
    hollowed,
    pieces_for,
    put,
    shown_by,
    take,
)

EXTRAS = (b"", b"", b'{"k":1}', b'{"keep_last":"r"}', b'{"reasons":["s"]}')


class Step(NamedTuple):
    kind: str
    a: int
    b: int
    n: int


KINDS = (
    "add",
    "add",
    "add",
    "send",
    "send",
    "send",
    "hollow",
    "refused",
    "late",
    "fill",
    "further",
    "clean",
    "restart",
)
FORKING = ("twin", "copy", "resume", "prove", "adopt")

steps = st.builds(Step, st.sampled_from(KINDS + FORKING), st.integers(0, 3), st.integers(0, 3), st.integers(0, 30))


def fork(n: int) -> list[Step]:
    """A machine is copied while it runs, both go on, and each branch has a neighbour."""
    plan = (("add", 0, 0), ("send", 1, 0), ("twin", 0, 0), ("add", 0, 1), ("add", 3, 1), ("send", 1, 0), ("send", 2, 3))
    return [Step(kind, a, b, (n + at) % 9) for at, (kind, a, b) in enumerate(plan)]


def joined(parts: list[list[Step]]) -> list[Step]:
    return [step for part in parts for step in part]


histories = st.lists(st.lists(steps, max_size=12) | st.integers(0, 8).map(fork), max_size=6).map(joined)


class Node:
    """A store, the key that it writes with, and what it is known to have shown."""

    def __init__(self, store: CheckedStore, writer: Writer) -> None:
        self.store = store
        self.writer = writer


class History:
    """Nodes with stores that `make` gives. `copied` copies one as it is, with what it has in memory, open."""

    def __init__(self, make: Callable[[], CheckedStore], copied: Callable[[CheckedStore], CheckedStore]) -> None:
        self.copied = copied
        self.nodes = [Node(make(), Writer(number)) for number in (1, 2, 3)]
        self.nodes.append(Node(make(), self.nodes[0].writer))  # another home with the same key
        self.old: list[tuple[int, CheckedStore]] = []
        self.cleaned: list[set[Created]] = [set() for _ in self.nodes]
        self.late: list[Piece] = []
        for node in self.nodes:
            node.store.open()

    def play(self, steps: list[Step]) -> None:
        for step in steps:
            self.do(step)
            check(self.nodes[step.a].store)

    def do(self, step: Step) -> None:
        node, other = self.nodes[step.a], self.nodes[step.b]
        store = node.store
        before = shown_by(store)
        match step.kind:
            case "add":
                put(store, node.writer, *self.events(step), is_each_alone=True)
            case "send" | "hollow" | "refused" | "late":
                self.send(step)
            case "fill":
                fill(other.store, store)
            case "further":
                with store.transaction():
                    store.offer_further([entry.created for entry in store.each(limit=step.b + 1)], node.writer.pen)
            case "clean":
                with store.transaction():
                    store.clean([entry.created for entry in store.each()[step.n % 4 :: 3]])
            case "restart":
                store.close()
                store.open()
            case "copy":
                self.old.append((step.a, self.copied(store)))
            case "twin":  # of a machine that runs: both go on in one epoch
                self.nodes[3].store.close()
                self.nodes[3].store = self.copied(self.nodes[0].store)
                before = {}
            case "resume":
                self.resume(step)
                before = {}
            case "prove":
                for epoch in other.store.ends():
                    proof = other.store.proof(epoch)
                    birth = other.store.birth(epoch)
                    assert birth is not None
                    with store.transaction():
                        store.compare(birth, other.store.blocks(epoch, limit=100))
                        if proof is not None:
                            store.prove(proof)
            case "adopt":
                adopt(store, node.writer)
        gone = before.keys() - shown_by(node.store).keys()
        assert all(is_cleaned(node.store, created) for created in gone), (
            "what was shown is shown, unless it was cleaned"
        )

    def events(self, step: Step) -> list[Entry]:
        """Some of them share their `created`, some are offered on several nodes."""
        return [
            event(ms, "abc"[(ms + step.b * (ms % 3 == 0)) % 3], node="xyz"[ms % 3], extra=EXTRAS[(ms * step.n) % 5])
            for ms in range(step.n + 1, step.n + 2 + step.b)
        ]

    def send(self, step: Step) -> None:
        target, source = self.nodes[step.a].store, self.nodes[step.b].store
        pieces = pieces_for(source, {} if step.n % 3 == 0 else target.ends())
        if step.n % 4 == 1:
            pieces = pieces[::-1]
        if step.n % 5 == 1:
            pieces = [each for piece in pieces for each in (piece, piece)]
        if step.kind == "hollow":
            pieces = [hollowed(piece, *range(step.n % 3, 600, 2)) for piece in pieces]
        if step.kind == "refused":
            pieces = [hollowed(piece) for piece in pieces]
            pieces = [structs.replace(piece, refused=frozenset([piece.start])) for piece in pieces]
        if step.kind == "late":
            pieces, self.late = self.late, pieces
        take(target, *pieces)

    def resume(self, step: Step) -> None:
        """A disk and memory of a while ago go on, where there are two of them both do."""
        mine = [store for number, store in self.old if number == step.a]
        if mine:
            node = self.nodes[step.a]
            node.store.close()
            node.store = self.copied(mine[step.n % len(mine)])
            if step.n % 2:
                node.store.close()
                node.store.open()

    def meet(self) -> None:
        """All meet, until none has anything to say; then all have the same ends and show the same."""
        for _ in range(10):
            before = [(node.store.state, node.store.ends()) for node in self.nodes]
            for one in self.nodes:
                for other in self.nodes:
                    if one is not other:
                        fill_refused(other.store, one.store)
                        exchange(one.store, other.store, (one.writer, other.writer))
            if [(node.store.state, node.store.ends()) for node in self.nodes] == before:
                break
        else:
            raise AssertionError("meetings do not come to an end")
        first = self.nodes[0].store
        for node in self.nodes:
            check(node.store)
            assert node.store.ends() == first.ends()
            one, other = shown_by(first), shown_by(node.store)
            for created in one.keys() | other.keys():
                if not is_cleaned(first, created) and not is_cleaned(node.store, created):
                    assert one.get(created) == other.get(created), created


def fill_refused(source: CheckedStore, target: CheckedStore) -> None:
    """What was refused here only because these histories say so is given again."""
    dots = [
        (epoch, seq)
        for epoch in target.ends()
        for seq, standing in enumerate(target.entries(epoch), 1)
        if standing.state == "refused"
    ]
    with target.transaction():
        target.fill(source.events_at(dots))


def is_cleaned(store: CheckedStore, created: Created) -> bool:
    return any(copy.tombstone and copy.created == created for copy in store.copies())
