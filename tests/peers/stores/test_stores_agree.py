"""Stores agree after any operations, with entries in any order."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from hashlib import sha256
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule
from msgspec import structs

from peers.events.created import Created
from peers.events.entry import Entry
from peers.events.version_vector import Dot, VersionVector, successor
from peers.stores.memory import MemoryStore
from peers.stores.sqlite.store import SqliteStore
from peers.stores.store import Cleaning, Criteria, Order, Place, Store, WalkOptions

BODIES = [b'{"type":"a"}', b'{"type":"b"}', b'{"type":"c"}']
EXTRAS = [b"", b'{"k":1}']
LABELS = [
    b'{"reasons":["r"],"indexes":["i"]}',
    b'{"reasons":["r","log"],"indexes":["i","j"]}',
    b'{"reasons":["s","r"]}',
    b'{"keep_last":"r"}',
    b'{"reasons":["s"],"keep_last":"r","indexes":["j"]}',
    b'{"keep_last":"s","\\u0069ndexes":["i"]}',
]
DIFFS = [b"{}", b'{"k":2}', b'{"reasons":["s"]}', b'{"reasons":["log"]}', b'{"reasons":[]}', b'{"keep_last":"r"}']

createds = st.tuples(st.integers(1, 4), st.sampled_from(["a", "b"]), st.just(0))
dots = st.tuples(st.sampled_from(["e1", "e2", "own"]), st.integers(1, 6))
late_dots = st.tuples(st.sampled_from(["e1.1.x", "e1.2.y", "own.1.z"]), st.integers(1, 3))


def dotted(dots: st.SearchStrategy[Dot]) -> st.SearchStrategy[Entry]:
    return st.builds(Entry, createds, st.integers(1, 2), st.sampled_from(BODIES), st.sampled_from(EXTRAS), dots)


foreign = dotted(dots)
late = dotted(late_dots)
places = st.none() | st.tuples(st.integers(1, 2), createds)
own = st.builds(Entry, createds, st.integers(1, 2), st.sampled_from(BODIES))
labelled = st.builds(
    Entry, createds, st.integers(1, 2), st.sampled_from(BODIES), st.sampled_from(LABELS), st.none() | dots | late_dots
)
criteria = st.builds(
    Criteria,
    st.none() | st.integers(0, 10),
    st.none() | st.integers(0, 10),
    places,
    places,
    st.none() | createds,
    st.none() | st.none() | st.sampled_from(["i", "j"]),
    st.none() | st.none() | st.sampled_from(["i", "j"]),
)
vectors = st.builds(VersionVector().adds, st.lists(dots, max_size=12))

Copy = tuple[int, bytes, bytes]


def shown_by_rule(claims: list[Entry]) -> list[tuple[Created, Copy]]:
    """What must be shown of these claims, straight from the rule: no order in it."""
    best: dict[Created, Copy] = {}
    for claim in claims:
        copy = (claim.time, sha256(claim.body).digest(), claim.extra)
        best[claim.created] = min(copy, best.get(claim.created, copy))
    owners: dict[Dot, Created] = {}
    for claim in claims:
        assert claim.dot is not None
        rivals = [claim.created, owners.get(claim.dot, claim.created)]
        owners[claim.dot] = min(rivals, key=lambda created: (best[created][:2], created))
    return sorted(((each, best[each]) for each in set(owners.values())), key=lambda item: (item[1][0], item[0]))


def shown(store: Store) -> list[tuple[Created, Copy]]:
    return [(each.created, (each.time, each.digest, each.extra)) for each in store.each()]


@contextmanager
def stores() -> Iterator[tuple[Store, Store]]:
    with ExitStack() as stack:
        directory = stack.enter_context(tempfile.TemporaryDirectory())
        both = (MemoryStore(), SqliteStore(Path(directory) / "log.db", synchronous="OFF"))
        for store in both:
            store.open()
            stack.callback(store.close)
        yield both


@given(claims=st.lists(foreign, max_size=14), random=st.randoms(use_true_random=False), size=st.integers(1, 5))
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_any_order_of_arrival_ends_in_the_same_events(claims: list[Entry], random: object, size: int) -> None:
    other = [*claims, *claims[: len(claims) // 2]]
    random.shuffle(other)  # type: ignore[attr-defined]
    expected = shown_by_rule(claims)

    with stores() as (memory, sqlite):
        for store, entries in ((memory, claims), (sqlite, other)):
            for start in range(0, len(entries), size):
                with store.transaction():
                    store.append(entries[start : start + size], epoch="mine")

        assert shown(memory) == shown(sqlite) == expected
        losers = [{(each.created, each.time, each.body) for each in store.aside()} for store in (memory, sqlite)]
        visible = {(each.created, each.time, each.body) for each in memory.each()}
        offered = {(each.created, each.time, each.body) for each in claims}
        assert offered - visible <= losers[0]
        assert losers[0] - visible == losers[1] - visible
        assert memory.state.vector == sqlite.state.vector


@given(groups=st.lists(st.lists(foreign, max_size=5), min_size=2, max_size=3))
@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_stores_that_tell_each_other_what_they_lack_agree(groups: list[list[Entry]]) -> None:
    """A fork, two events or copies under one dot, is seen by those only who are offered both: here each dot is one store's."""
    nodes = [MemoryStore() for _ in groups]
    for number, (node, group) in enumerate(zip(nodes, groups, strict=True)):
        node.open()
        for entry in group:
            assert entry.dot is not None
            known = node.find(entry.created)
            epoch = f"{entry.dot[0]}-{number}"
            if (known is None or known.same_as(entry)) and not node.state.vector.covers((epoch, entry.dot[1])):
                take(node, [Entry(entry.created, entry.time, entry.body, entry.extra, (epoch, entry.dot[1]))])

    for _ in nodes:
        for sender in nodes:
            for receiver in nodes:
                take(receiver, list(sender.page(0, lacking=receiver.state.vector).entries))

    assert all(shown(node) == shown(nodes[0]) for node in nodes)
    assert all(node.state.vector == nodes[0].state.vector for node in nodes)


@given(claims=st.lists(foreign, max_size=16), cleaned=st.lists(createds, max_size=4), when=st.integers(0, 12))
@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_cleaning_changes_nothing_for_other_events(claims: list[Entry], cleaned: list[Created], when: int) -> None:
    gone: set[Created] = set()

    with stores() as (plain, sqlite):
        for store in (plain, sqlite):
            for number, claim in enumerate(claims):
                if number == when and store is sqlite:
                    with store.transaction():
                        gone = {each.created for each in store.clean(cleaned).cleaned}
                take(store, [claim])

        assert shown(sqlite) == [each for each in shown(plain) if each[0] not in gone]
        assert sqlite.state.vector == plain.state.vector


def lives_by_rule(entries: list[Entry]) -> list[tuple[Created, list[str]]]:
    """Which events must be left of these, and why, straight from the rule of `keep_last`: no order of arrival in it."""
    lives: list[tuple[Created, list[str]]] = []
    for each in sorted(entries, key=lambda entry: (entry.time, entry.created)):
        place = (each.time, each.created)
        newer = {other.keep_last for other in entries if (other.time, other.created) > place}
        left = [reason for reason in each.reasons or ["log"] if reason not in newer]
        if left:
            lives.append((each.created, left))
    return lives


@given(
    entries=st.lists(labelled, max_size=10, unique_by=lambda entry: entry.created),
    random=st.randoms(use_true_random=False),
    size=st.integers(1, 4),
)
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_any_order_of_arrival_leaves_the_same_events_alive(entries: list[Entry], random: object, size: int) -> None:
    entries = [structs.replace(each, dot=("e", number)) for number, each in enumerate(entries, 1)]
    other = [*entries, *[structs.replace(each, dot=("f", each.dot[1])) for each in entries[::2] if each.dot]]
    random.shuffle(other)  # type: ignore[attr-defined]
    expected = lives_by_rule(entries)

    with stores() as (memory, sqlite):
        for store, offered in ((memory, entries), (sqlite, other)):
            for start in range(0, len(offered), size):
                take(store, offered[start : start + size])

        for store in (memory, sqlite):
            assert [(each.created, each.reasons or ["log"]) for each in store.each()] == expected


@given(
    entries=st.lists(labelled, max_size=12, unique_by=lambda entry: entry.created),
    places=st.lists(st.integers(0, 2), min_size=12, max_size=12),
    early=st.integers(0, 12),
)
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_stores_that_tell_each_other_keep_the_same_last_ones(
    entries: list[Entry], places: list[int], early: int
) -> None:
    """A line of three, of which the middle relays; what it has cleaned it does not send."""
    nodes = [MemoryStore() for _ in range(3)]
    for node in nodes:
        node.open()

    for number, (entry, place) in enumerate(zip(entries, places, strict=False), 1):
        take(nodes[place], [structs.replace(entry, dot=(f"e{place}", number))])
        if number == early:
            tell(nodes[0], nodes[1])
    for one, other in ((0, 1), (2, 1), (1, 0), (1, 2), (0, 1), (1, 2)):
        tell(nodes[one], nodes[other])

    for node in nodes:
        assert [(each.created, each.reasons or ["log"]) for each in node.each()] == lives_by_rule(entries)


def tell(sender: Store, receiver: Store) -> None:
    changes = sender.page(0, lacking=receiver.state.vector).entries
    take(receiver, [structs.replace(each, added=0, position=0, local=b"") for each in changes])


def take(store: Store, entries: list[Entry]) -> None:
    with store.transaction():
        store.append(entries, epoch="mine")


class BothStores(RuleBasedStateMachine):
    """Does the same to both stores and compares all that they show."""

    def __init__(self) -> None:
        super().__init__()
        self.epoch, self.openings = "own", 0
        self.cleaned: set[Created] = set()
        self.directory = tempfile.TemporaryDirectory()
        self.memory = MemoryStore()
        self.sqlite = SqliteStore(Path(self.directory.name) / "log.db", synchronous="OFF")
        self.stores: tuple[Store, Store] = (self.memory, self.sqlite)
        for store in self.stores:
            store.open()

    def teardown(self) -> None:
        self.sqlite.close()
        self.directory.cleanup()

    @rule(
        batches=st.lists(st.lists(st.one_of(foreign, foreign, own, late, labelled), max_size=6), max_size=3),
        clock=st.integers(0, 50),
        is_each_alone=st.booleans(),
    )
    def append(self, batches: list[list[Entry]], clock: int, is_each_alone: bool) -> None:
        self.compare(*[self.outcome(store, batches, clock, is_each_alone) for store in self.stores])

    def outcome(self, store: Store, batches: list[list[Entry]], clock: int, is_each_alone: bool) -> object:
        results: list[object] = []
        with store.transaction():
            for batch in batches:
                try:
                    done = store.append(batch, epoch=self.epoch, clock_ms=clock, is_each_alone=is_each_alone)
                except ValueError as error:
                    results.append(str(error))
                else:
                    self.note(done.cleaning)
                    results.append([str(each) if isinstance(each, ValueError) else each for each in done.results])
                    results += [done.changes, done.is_revised, done.is_forked, done.cleaning]
        return results

    @rule(reason=st.sampled_from(["r", "r", "s", "log"]), criteria=criteria, limit=st.integers(1, 4))
    def remove_reason(self, reason: str, criteria: Criteria, limit: int) -> None:
        results: list[object] = []
        for store in self.stores:
            done: list[Cleaning] = []
            until: int | None = 0
            with store.transaction():
                while until is not None:
                    done.append(store.remove_reason(reason, criteria, after=until, limit=limit))
                    self.note(done[-1])
                    until = done[-1].until
            results.append(done)
            assert not [each for each in store.each() if reason in (each.reasons or ["log"]) and criteria.fit(each)]
        self.compare(*results)

    @rule(reason=st.sampled_from(["r", "t", "log"]), criteria=criteria, limit=st.integers(1, 4))
    def add_reason(self, reason: str, criteria: Criteria, limit: int) -> None:
        results: list[object] = []
        for store in self.stores:
            until: int | None = 0
            with store.transaction():
                while until is not None:
                    done = store.add_reason(reason, criteria, after=until, limit=limit)
                    results.append(done)
                    until = done.until
            assert all(reason in (each.reasons or ["log"]) for each in store.each() if criteria.fit(each))
        self.compare(results[: len(results) // 2], results[len(results) // 2 :])

    @rule(created=createds, diff=st.sampled_from(DIFFS))
    def change_meta(self, created: Created, diff: bytes) -> None:
        results: list[Cleaning | None] = []
        for store in self.stores:
            with store.transaction():
                results.append(store.change_meta(created, diff))
            self.note(results[-1] or Cleaning())
        self.compare(*results)

    @rule(some=st.lists(createds, max_size=4))
    def clean(self, some: list[Created]) -> None:
        results: list[Cleaning] = []
        for store in self.stores:
            with store.transaction():
                results.append(store.clean(some))
            self.note(results[-1])
        self.compare(*results)

    def note(self, cleaning: Cleaning) -> None:
        self.cleaned |= {each.created for each in cleaning.cleaned}

    @rule(batch=st.lists(st.one_of(foreign, own, labelled), max_size=6), reason=st.sampled_from(["r", "log"]))
    def take_back(self, batch: list[Entry], reason: str) -> None:
        for store in self.stores:
            before = self.visible(store)
            try:
                with store.transaction():
                    store.append(batch, epoch=self.epoch)
                    store.remove_reason(reason, Criteria())
                    for each in store.each()[:2]:
                        store.change_meta(each.created, b'{"reasons":["t"]}')
                    store.renew_epoch(self.epoch, successor(self.epoch, "own"))
                    raise KeyError
            except (KeyError, ValueError):
                pass
            assert self.visible(store) == before

    @rule()
    def renew(self) -> None:
        renewed: list[object] = []
        old, self.epoch = self.epoch, successor(self.epoch, "own")
        for store in self.stores:
            with store.transaction():
                renewed.append(store.renew_epoch(old, self.epoch))
        self.compare(*renewed)

    @rule()
    def reopen(self) -> None:
        self.openings += 1
        self.epoch = f"own{self.openings}"
        for store in self.stores:
            store.close()
        self.compare(*[store.open() for store in self.stores])

    @rule(after=st.integers(0, 30), lacking=vectors, limit=st.integers(1, 4), max_bytes=st.integers(1, 400))
    def page(self, after: int, lacking: VersionVector, limit: int, max_bytes: int) -> None:
        self.compare(*[store.page(after, lacking=lacking, limit=limit, max_bytes=max_bytes) for store in self.stores])
        self.compare(*[store.page(after, limit=limit) for store in self.stores])

    @rule(vector=vectors)
    def first_lacked(self, vector: VersionVector) -> None:
        first = [store.first_lacked(vector) for store in self.stores]
        lacked = self.memory.page(0, lacking=vector).entries
        expected = lacked[0].position if lacked else self.memory.state.last_position + 1
        assert first == [expected, expected]

    @rule(
        order=st.sampled_from(["created", "added"]),
        since=st.integers(0, 12),
        limit=st.integers(1, 3),
        index=st.sampled_from([None, "i", "j"]),
        is_backward=st.booleans(),
        younger_than=places,
        older_than=places,
    )
    def each(
        self,
        order: Order,
        since: int,
        limit: int,
        index: str | None,
        is_backward: bool,
        younger_than: Place | None,
        older_than: Place | None,
    ) -> None:
        options: WalkOptions = {"order": order, "since": since, "index": index, "is_backward": is_backward}
        options |= {"younger_than": younger_than, "older_than": older_than, "limit": limit}
        pages: list[object] = []
        for store in self.stores:
            entries: list[Entry] = []
            after = None
            while page := store.each(after=after, **options):
                entries += page
                after = page[-1]
            pages.append(entries)
            assert entries == [
                each
                for each in store.each(order=order)[:: -1 if is_backward else 1]
                if each.added > since
                and (index is None or index in each.meta.get("indexes", []))
                and Criteria(younger_than=younger_than, older_than=older_than).fit(each)
            ]
        self.compare(*pages)

    @invariant()
    def agree(self) -> None:
        self.compare(self.visible(self.memory), self.visible(self.sqlite))

    @invariant()
    def add_up(self) -> None:
        state, entries = self.memory.state, self.memory.each()
        assert state.events == len(entries) == len({each.created for each in entries})
        assert not self.cleaned & {each.created for each in entries}, "what was cleaned has returned"
        assert state.conflicts == len(self.memory.aside())
        changes = self.memory.page(0).entries
        assert len({each.dot for each in changes}) == len(changes)
        for each in changes:
            assert each.dot is not None
            if self.is_renewed(each.dot):
                assert not state.vector.covers(each.dot)
            else:
                assert state.vector.covers(each.dot)
        assert {each.created for each in changes} == {each.created for each in entries}
        for created in {each.created for each in entries}:
            kinds = {self.is_renewed(each.dot) for each in changes if each.created == created and each.dot}
            assert len(kinds) == 1, "an event has dots of renewed epochs or others, not both"
        assert not [
            each for each in self.memory.aside() if each.dot and self.is_renewed(each.dot) and self.is_idle(each)
        ]

    def is_idle(self, claim: Entry) -> bool:
        """Whether a claim says nothing: its event is shown so, or is hidden for the sake of old dots alone."""
        shown = self.memory._shown(claim.created)  # `find` leaves out what was cleaned
        if shown is not None:
            return shown.same_as(claim)
        claims = [each for each in self.memory.aside() if each.created == claim.created]
        return all(each.dot is not None and self.is_renewed(each.dot) for each in claims)

    def is_renewed(self, dot: Dot) -> bool:
        return self.memory._numbers.is_renewed(dot[0])  # no port shows it: only the rules of a store ask for it

    def visible(self, store: Store) -> object:
        keys = [(ms, node, 0) for ms in range(1, 5) for node in "ab"]
        return (
            store.state,
            store.page(0),
            store.each(),
            store.each(order="added"),
            store.aside(),
            [store.find(created) for created in keys],
        )

    def compare(self, memory: object, sqlite: object) -> None:
        assert memory == sqlite


TestBothStores = BothStores.TestCase
TestBothStores.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
