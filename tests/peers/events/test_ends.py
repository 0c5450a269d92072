"""Ends: maps of a moment, their fingerprints, and what a commit costs."""

from __future__ import annotations

import gc
import tracemalloc
from hashlib import sha256
from random import Random

from hypothesis import given
from hypothesis import strategies as st

from peers.events.dot import Epoch
from peers.events.ends import FIRST_BORDER, LAST_BORDER, Ends, EndsSnapshot, Fingerprint
from peers.events.epoch import NOTHING, EpochEnd, item_digest

names = st.integers(0, 9).map(lambda n: f"{n * 0x0707:032x}"[::-1])
ends = st.builds(
    EpochEnd, st.integers(0, 3), st.sampled_from([b"h" * 16, b"i" * 16]), st.sampled_from([b"", b"m" * 16])
)
borders = st.one_of(names, st.sampled_from([FIRST_BORDER, "3", "7", "a1", LAST_BORDER]))


def plain_fingerprint(epochs: dict[Epoch, EpochEnd], without: set[Epoch], low: str, high: str) -> Fingerprint:
    chosen = sorted(epoch for epoch in epochs if epoch not in without and low < epoch <= high)
    return Fingerprint(len(chosen), sha256(b"".join(item_digest(each, epochs[each]) for each in chosen)).digest())


@given(st.data(), st.dictionaries(names, ends))
def test_a_snapshot_stays_as_it_was_whatever_is_set(data: st.DataObject, at_opening: dict[Epoch, EpochEnd]) -> None:
    now = dict(at_opening)
    vector = Ends(now)
    held: list[tuple[EndsSnapshot, dict[Epoch, EpochEnd]]] = []
    steps = ["set", "set", "set", "end", "hold", "drop", "look"]
    for step in data.draw(st.lists(st.sampled_from(steps), max_size=25)):
        if step == "set":
            epoch, end = data.draw(names), data.draw(ends)
            vector.set(epoch, end)
            now[epoch] = end
        elif step == "end":
            epoch = data.draw(names)
            vector.set(epoch, NOTHING)
            now.pop(epoch, None)
        elif step == "hold":
            held.append((vector.snapshot(), dict(now)))
        elif step == "drop" and held:
            held.pop(data.draw(st.integers(0, len(held) - 1)))
        elif step == "look":
            for snapshot in [vector.snapshot(), *(each for each, _ in held)]:
                snapshot.fingerprint()
    assert {epoch: vector.get(epoch) for epoch in vector} == now
    for snapshot, then in [*held, (vector.snapshot(), now)]:
        assert len(snapshot) == len(then)
        assert all(snapshot.get(epoch) == then.get(epoch) for epoch in {*then, *now})
        without, low, high = data.draw(st.sets(names, max_size=5)), data.draw(borders), data.draw(borders)
        assert snapshot.fingerprint(without, low, high) == plain_fingerprint(then, without, low, high)
        assert snapshot.names(without, low, high) == sorted(n for n in then if n not in without and low < n <= high)
        assert snapshot.fingerprint() == plain_fingerprint(then, set(), FIRST_BORDER, LAST_BORDER)


@given(st.dictionaries(names, ends, min_size=1), st.data())
def test_each_part_of_an_end_changes_the_fingerprint(epochs: dict[Epoch, EpochEnd], data: st.DataObject) -> None:
    epoch = data.draw(st.sampled_from(sorted(epochs)))
    end = epochs[epoch]
    others = [end._replace(seq=end.seq + 1), end._replace(head=b"j" * 16), end._replace(mark=b"n" * 16)]
    fingerprints = [Ends({**epochs, epoch: each}).snapshot().fingerprint() for each in [end, *others]]
    fingerprints.append(Ends({each: epochs[each] for each in epochs if each != epoch}).snapshot().fingerprint())
    assert len({each.digest for each in fingerprints}) == 5


class Counted(str):
    """A name that counts what is done with it and its like."""

    uses = 0

    def __hash__(self) -> int:
        Counted.uses += 1
        return super().__hash__()

    def __eq__(self, other: object) -> bool:
        Counted.uses += 1
        return super().__eq__(other)

    def __lt__(self, other: str) -> bool:
        Counted.uses += 1
        return super().__lt__(other)


def cost_of_a_commit(epochs: int) -> tuple[int, int]:
    """How often names were looked at, and bytes allocated, while a known epoch grew; a snapshot is held."""
    random = Random(1)
    in_order = sorted(random.randbytes(16).hex() for _ in range(epochs))
    everything = {Counted(name): EpochEnd(1, bytes(16)) for name in in_order}
    vector = Ends(everything)
    held = [vector.snapshot(), vector.snapshot()]
    epoch, end = next(iter(everything)), EpochEnd(2, bytes(16))
    held[0].fingerprint()
    gc.collect()
    tracemalloc.start()
    try:
        Counted.uses, before = 0, tracemalloc.get_traced_memory()[0]
        vector.set(epoch, end)
        vector.set(epoch, end._replace(seq=3))
        held.append(vector.snapshot())
        allocated = tracemalloc.get_traced_memory()[1] - before
        uses = Counted.uses
    finally:
        tracemalloc.stop()
    vector.set(Counted("ab" * 16), end)
    assert Counted.uses - uses <= 30
    assert [each.get(epoch) for each in held] == [EpochEnd(1, bytes(16))] * 2 + [EpochEnd(3, bytes(16))]
    return uses, allocated


def test_a_commit_and_a_snapshot_cost_the_same_with_one_epoch_and_with_100_000() -> None:
    cost_of_a_commit(1)  # whatever is made at the first call
    uses, allocated = cost_of_a_commit(100_000)
    assert uses <= cost_of_a_commit(1)[0] + 5  # two names may have one place in a table
    assert allocated < 5000


def test_a_snapshot_that_is_not_held_costs_no_work() -> None:
    vector = Ends({"ab" * 16: EpochEnd(1, bytes(16))})
    kept = vector.snapshot()
    for _ in range(1000):
        vector.snapshot()
    Counted.uses = 0
    vector.set(Counted("cd" * 16), EpochEnd(1, bytes(16)))
    assert Counted.uses <= 10
    assert (len(kept), len(vector), kept.get("cd" * 16)) == (1, 2, None)


def test_further_commits_of_an_epoch_cost_the_same_with_1000_sessions() -> None:
    epoch = Counted("ab" * 16)
    vector = Ends({epoch: EpochEnd(1, bytes(16))})
    held = [vector.snapshot() for _ in range(1000)]
    vector.set(epoch, EpochEnd(2, bytes(16)))
    Counted.uses = 0
    vector.set(epoch, EpochEnd(3, bytes(16)))
    assert Counted.uses <= 10
    assert {each.get(epoch) for each in held} == {EpochEnd(1, bytes(16))}


def test_after_one_change_a_fingerprint_computes_one_digest_and_sorts_no_names_anew() -> None:
    random = Random(2)
    vector = Ends({Counted(random.randbytes(16).hex()): EpochEnd(1, bytes(16)) for _ in range(10_000)})
    vector.snapshot().fingerprint()
    Counted.uses = 0
    vector.set(Counted("ab" * 16), EpochEnd(1, bytes(16)))
    vector.snapshot().fingerprint()
    assert Counted.uses < 100
