"""What must be true of the homes of a story when nothing moves any more."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from peers.events.created import Created
from peers.events.dot import Epoch
from peers.events.entry import Entry
from peers.events.epoch import NOTHING
from peers.events.leaf import leaf_of
from peers.events.run import ADOPTED_FORK
from peers.stores.run_store import RunStore
from tests.support.replication.home import Home
from tests.support.replication.room import must

Shown = dict[Created, bytes]
"""The leaf of each event that is shown."""


def leaf(entry: Entry) -> bytes:
    return leaf_of(entry.created, entry.time, entry.extra, entry.body)


def shown(store: RunStore) -> Shown:
    """What `each` shows, by leaf."""
    found: dict[Created, bytes] = {}
    after = 0
    while page := store.each(order="added", since=after):
        for entry in page:
            must(entry.created not in found, "shown twice", entry.created)
            found[entry.created] = leaf(entry)
            after = entry.added
    return found


def adoptions(store: RunStore) -> Counter[bytes]:
    """How many entries of kind ADOPTED_FORK name each leaf."""
    count: Counter[bytes] = Counter()
    for epoch, end in store.ends().items():
        seq = 1
        while seq <= end.seq:
            piece = store.piece(epoch, seq)
            must(piece is not None, "no piece of what is held", epoch, seq)
            count.update(each for kind, each in zip(piece.kinds, piece.leaves, strict=True) if kind == ADOPTED_FORK)
            seq = piece.last + 1
    return count


def check_home(home: Home, events: Shown) -> None:
    """The promises of one store, which shows these events."""
    store, disk = home.store, home.disk
    held = {*events.values(), *map(leaf, store.aside())}
    for each, created in disk.acknowledged.items():
        must(each in held or created in disk.cleaned, "acknowledged and lost", home.name, created)
    ends = store.ends()
    must({epoch: home.ends.get(epoch) for epoch in home.ends} == ends, "the published ends are not those of the store")
    places: dict[Epoch, int] = {}
    position = 0
    for change in store.changes(0, 10**6):
        epoch, seq = change.dot
        must(change.position > position, "positions out of order", home.name)
        position = change.position + change.length - 1
        if change.is_fill:
            must(seq <= places.get(epoch, 0), "filled before it came", home.name)
            continue
        must(seq == places.get(epoch, 0) + 1, "positions out of order", home.name, epoch, seq)
        places[epoch] = seq + change.length - 1
    for epoch, end in ends.items():
        must(places.get(epoch, 0) == end.seq, "covered without a place", home.name, epoch, end.seq, places.get(epoch))
        must(end.seq == 0 or store.head(epoch, end.seq)[:16] == end.head, "the end has another head", home.name)
        birth = store.birth(epoch)
        must(
            all(block.is_genuine(birth) for block in store.blocks(epoch)), "keeps what is not signed", home.name, epoch
        )
        proof = store.proof(epoch)
        must((proof.mark if proof else b"") == end.mark, "the mark is not that of the proof", home.name)
        if proof is not None:
            must(proof.birth.key in home.room.doubtful, "accused without a double signature", home.name, epoch)
            proof.check()
    for each, count in adoptions(store).items():
        must(count <= home.room.adoption_limit, "relabelled without bound", home.name, each, count)
    must(store.state.hollow == len(list(store.hollow())), "hollow entries are counted wrong", home.name)


def groups(homes: Sequence[Home]) -> Iterator[list[Home]]:
    """Honest homes that are linked, through honest ones."""
    left = [home for home in homes if not home.is_hostile]
    while left:
        group: list[Home] = []
        todo = [left[0]]
        while todo:
            home = todo.pop()
            if home not in group:
                group.append(home)
                todo += [session.other.home for session in home.sessions if not session.other.home.is_hostile]
        left = [home for home in left if home not in group]
        yield group


def reaches(created: Created, one: Home, other: Home) -> bool:
    """Whether a body can go from one to the other: it passes only through homes that did not clean it."""
    near: list[Home] = []
    todo = [one]
    while todo:
        home = todo.pop()
        if home not in near and created not in home.disk.cleaned:
            near.append(home)
            todo += [session.other.home for session in home.sessions if not session.other.home.is_hostile]
    return other in near


def check_group(group: Sequence[Home], seen: dict[Home, Shown], *, final: bool) -> None:
    """The promises between homes that are linked. While epochs are declined, theirs may differ, unless `final`."""
    declining = set() if final else {key for home in group for key in home.declining}
    for home in group:
        for session in home.sessions:
            other = session.other.home
            if other.is_hostile:
                continue
            must(session.replication.is_settled, "handshake has no end", home.name, other.name)
            must(
                declining or session.replication.is_idle, "something is not sent or acknowledged", home.name, other.name
            )
            for epoch in home.ends:
                theirs = other.ends.get(epoch) or NOTHING
                ours = home.ends.get(epoch) or NOTHING
                believed = min(session.replication.other.has(epoch), ours.seq)
                is_true = believed <= theirs.seq or theirs.mark or declining
                must(is_true, "believed to have what it has not", home.name, other.name, epoch, believed, theirs.seq)
    for index, one in enumerate(group):
        for other in group[index + 1 :]:
            check_pair(one, other, seen, declining)


def check_pair(one: Home, other: Home, seen: dict[Home, Shown], declining: set[bytes]) -> None:
    mine, theirs = one.store.ends(), other.store.ends()
    for epoch in {*mine, *theirs}:
        birth = one.store.birth(epoch) or other.store.birth(epoch)
        is_same = mine.get(epoch) == theirs.get(epoch) or birth.key in declining
        must(is_same, "vectors differ", one.name, other.name, epoch, mine.get(epoch), theirs.get(epoch))
    if declining:
        return
    here, there = seen[one], seen[other]
    for created in {*here, *there} - one.disk.cleaned - other.disk.cleaned:
        is_same = here.get(created) == there.get(created) or not reaches(created, one, other)
        must(is_same, "shown differently", one.name, other.name, created, here.get(created), there.get(created))
