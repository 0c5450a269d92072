"""Reconciliation: both ends of a link find exactly what the other has, in few bytes, whatever one of them says."""

from __future__ import annotations

import tracemalloc
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from random import Random

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from peers.events.dot import MAX_FOREIGN_SEQ, Epoch
from peers.events.ends import FIRST_BORDER, LAST_BORDER, Ends, Fingerprint
from peers.events.epoch import END_BYTES, NOTHING, EpochEnd
from peers.events.leaf import HASH_BYTES
from peers.events.reconcile import (
    LIST_NAMES,
    MAX_FOREIGN,
    MAX_ITEMS,
    MAX_NEWEST,
    PIECES,
    Differ,
    Division,
    EndsView,
    NewestEnds,
    Part,
    Reconciliation,
    Same,
)

Vector = dict[Epoch, EpochEnd]


class Greeting(msgspec.Struct, array_like=True, forbid_unknown_fields=True):
    newest: NewestEnds
    rest: Fingerprint


Message = Greeting | Same | Differ | Vector
MAX_BYTES = 16 * 1024
LONGEST = EpochEnd(MAX_FOREIGN_SEQ, b"\xff" * END_BYTES, b"\xff" * END_BYTES)
as_greeting = msgspec.json.Decoder(Greeting)
as_answer = msgspec.json.Decoder(Same | Differ)


def some(random: Random, count: int) -> Vector:
    return {random.randbytes(16).hex(): EpochEnd(random.randint(1, 3000), random.randbytes(16)) for _ in range(count)}


class Half:
    """One end: its store, its reconciliation, what came for it, how much it sent."""

    def __init__(self, vector: Vector, newest: Sequence[Epoch], *, is_dialling: bool) -> None:
        self.ends = Ends(vector)
        self.then = dict(vector)
        self.mine = Reconciliation(self.ends.snapshot(), newest, is_dialling=is_dialling)
        self.inbox: deque[Message] = deque()
        self.sizes: list[int] = []

    def say(self, other: Half, message: Message | None) -> None:
        if message is None or isinstance(message, dict):
            other.inbox.extend([] if message is None else [message])
            return
        data = msgspec.json.encode(message)
        self.sizes.append(len(data))
        read = as_greeting if isinstance(message, Greeting) else as_answer
        other.inbox.append(read.decode(data))

    def greet(self, other: Half) -> None:
        self.say(other, Greeting(self.mine.newest, self.mine.rest))

    def step(self, other: Half) -> None:
        """Take the first message that came."""
        message = self.inbox.popleft()
        if isinstance(message, dict):
            self.mine.have(message)
        elif isinstance(message, Greeting):
            self.say(other, self.mine.meet(message.newest, message.rest))
        else:
            self.say(other, self.mine.take(message))

    def commit(self, other: Half, epoch: Epoch, end: EpochEnd) -> None:
        self.ends.set(epoch, end)
        self.say(other, {epoch: end})

    @property
    def view(self) -> EndsView:
        assert self.mine.view is not None
        return self.mine.view

    @property
    def bytes(self) -> int:
        """What it sent, the greeting included."""
        return sum(self.sizes)


def talk(
    one: Vector, other: Vector, *, newest: tuple[Sequence[Epoch], Sequence[Epoch]] = ((), ())
) -> tuple[Half, Half]:
    """The end that dialled and the other one, after all that they had to say."""
    dialled, called = Half(one, newest[0], is_dialling=True), Half(other, newest[1], is_dialling=False)
    dialled.greet(called)
    called.greet(dialled)
    while dialled.inbox or called.inbox:
        for half, opposite in ((dialled, called), (called, dialled)):
            if half.inbox:
                half.step(opposite)
    for half, opposite in ((dialled, called), (called, dialled)):
        assert max(half.sizes) <= MAX_BYTES
        assert all(half.view.get(epoch) == opposite.then.get(epoch, NOTHING) for epoch in half.then)
    return dialled, called


randoms = st.integers(0, 2**64).map(Random)
names = st.integers(0, 2**128 - 1).map(lambda n: f"{n:032x}")
SAMPLE = [EpochEnd(seq, head, mark) for seq in (1, 2) for head in (b"h" * 16, b"i" * 16) for mark in (b"", b"m" * 16)]


def two_vectors(random: Random, pool: list[Epoch]) -> tuple[Vector, Vector]:
    """Equal, nearly equal, or not at all."""
    kept, given_up, own = random.choice([(1.0, 0.0, 0.0), (0.95, 0.5, 0.05), (0.5, 0.5, 0.5), (0.0, 0.5, 1.0)])
    one = {epoch: random.choice(SAMPLE) for epoch in pool if random.random() < 0.9}
    other = {}
    for epoch in pool:
        if epoch in one and random.random() < kept:
            other[epoch] = one[epoch]
        elif random.random() < (given_up if epoch in one else own):
            other[epoch] = random.choice(SAMPLE)
    return one, other


def later(random: Random, old: EpochEnd) -> EpochEnd:
    """An end after this one: more entries, or a fork whose cut is lower."""
    if random.random() < 0.2:
        return EpochEnd(max(0, old.seq - 1), random.randbytes(16), random.randbytes(16))
    return old._replace(seq=old.seq + random.randint(1, 3), head=random.randbytes(16))


@settings(deadline=None, max_examples=300)
@given(st.lists(names, max_size=80, unique=True), randoms)
def test_each_end_finds_exactly_what_the_other_has_while_both_commit(pool: list[Epoch], random: Random) -> None:
    vectors = two_vectors(random, pool)
    newest = [random.sample(sorted(each), min(len(each), random.choice([0, 1, 5, 40]))) for each in vectors]
    dialled, called = (Half(vectors[i], newest[i], is_dialling=not i) for i in range(2))
    dialled.greet(called)
    called.greet(dialled)
    pairs = [(dialled, called), (called, dialled)]
    commits = 20
    while commits or dialled.inbox or called.inbox:
        half, opposite = random.choice(pairs)
        if commits and random.random() < 0.3:
            commits -= 1
            for epoch in random.sample(pool, min(1, len(pool))):
                half.commit(opposite, epoch, later(random, half.ends.get(epoch) or NOTHING))
        elif half.inbox:
            half.step(opposite)
        assert len(half.sizes) < 40
    for half, opposite in pairs:
        assert max(half.sizes) <= MAX_BYTES
        assert all(half.view.get(epoch) == (opposite.ends.get(epoch) or NOTHING) for epoch in pool)


@settings(deadline=None)
@given(st.lists(names, max_size=80, unique=True), randoms)
def test_two_ends_that_have_the_same_say_no_more_than_that(pool: list[Epoch], random: Random) -> None:
    vector = {epoch: random.choice(SAMPLE) for epoch in pool}
    newest = [random.sample(pool, min(len(pool), random.choice([0, 1, 5, 40]))) for _ in range(2)]
    for half in talk(vector, dict(vector), newest=(newest[0], newest[1])):
        assert len(half.sizes) <= 2
        assert list(half.view.exceptions()) == []
        assert sum(half.sizes[1:]) < 20


# How many bytes


@pytest.fixture(scope="module")
def restarts() -> Vector:
    """10 000 epochs."""
    return some(Random(1), 10_000)


def test_after_10_000_restarts_of_one_node_a_reconnect_with_nothing_new_takes_a_kilobyte(restarts: Vector) -> None:
    last = list(restarts)[-1:]
    for half in talk(restarts, dict(restarts), newest=(last, last)):
        assert half.bytes < 200
    here = {**restarts, last[0]: restarts[last[0]]._replace(seq=4000)}  # and one that wrote meanwhile
    for half in talk(here, restarts, newest=(last, last)):
        assert half.bytes < 300
    here = {**restarts, "ab" * 16: EpochEnd(1, bytes(16))}  # and one that was restarted meanwhile
    for half in talk(restarts, here, newest=(last, ["ab" * 16])):
        assert half.bytes < 400
    there = {**restarts, "cd" * 16: EpochEnd(1, bytes(16))}  # and two that were
    for half in talk(there, here, newest=(["cd" * 16], ["ab" * 16])):
        assert (len(half.sizes), half.bytes < 260) == (2, True)


@pytest.mark.parametrize("is_dialling", [True, False])
def test_20_missed_restarts_of_10_000_take_few_kilobytes(restarts: Vector, is_dialling: bool) -> None:
    missed = some(Random(2), 20)
    vectors, newest = (restarts, {**restarts, **missed}), (list(restarts)[-1:], list(missed)[-1:])
    dialled, called = talk(*vectors, newest=newest) if is_dialling else talk(*vectors[::-1], newest=newest[::-1])
    assert max(dialled.bytes, called.bytes) < 9000
    assert dialled.bytes + called.bytes < 15_000


def test_200_nodes_of_50_restarts_take_what_32_names_take(restarts: Vector) -> None:
    epochs = list(restarts)
    lately = (epochs[:200], epochs[:180])
    for half in talk(restarts, dict(restarts), newest=lately):
        assert half.bytes < 2500
    grown = {epoch: restarts[epoch]._replace(seq=4000) for epoch in epochs[200 - MAX_NEWEST : 200]}
    for half in talk({**restarts, **grown}, restarts, newest=lately):
        assert half.bytes < 4000
    newest = some(Random(3), 40)
    greeting = Half(dict.fromkeys(newest, LONGEST), list(newest), is_dialling=True).mine
    assert list(greeting.newest) == list(newest)[-MAX_NEWEST:]
    assert len(msgspec.json.encode(greeting.newest)) < 4096


@pytest.mark.parametrize("prefix", ["", "00" * 14])
def test_no_message_is_longer_than_16_kib(prefix: str) -> None:
    random = Random(4)
    epochs = [(prefix + f"{n:04x}" * (8 if not prefix else 1)) for n in random.sample(range(2**16), 2000)]
    one = dict.fromkeys(epochs[:1500], LONGEST)
    other = {epoch: LONGEST._replace(mark=random.randbytes(16)) for epoch in epochs[500:]}
    dialled, called = talk(one, other, newest=(epochs[:40], epochs[-40:]))
    assert max(dialled.sizes + called.sizes) > MAX_BYTES * 0.7


def test_a_newcomer_is_told_of_a_bounded_number_of_epochs(restarts: Vector) -> None:
    for one, other in ((restarts, {}), ({}, restarts)):
        halves = talk(dict(one), dict(other))
        full, empty = halves if one else halves[::-1]
        assert sum(1 for _ in empty.view.exceptions()) == MAX_FOREIGN
        assert len(full.sizes) <= 4 + MAX_FOREIGN // (MAX_ITEMS - PIECES)


# What an end says that is not honest


def in_doubt(count: int = 40, *, is_dialling: bool = True) -> tuple[Reconciliation, Differ | Same | None]:
    """One that has met a node with something else, and what it said then."""
    mine = Reconciliation(Ends(some(Random(5), count)).snapshot(), [], is_dialling=is_dialling)
    return mine, mine.meet({}, Fingerprint(count, bytes(HASH_BYTES)))


NAME = "ab" * 16
LIST = Part(FIRST_BORDER, LAST_BORDER, {NAME: EpochEnd(1)})
HALVES = Division(("7",), bytes(2 * END_BYTES))


def asked(message: Differ | Same | None) -> list[tuple[str, str]]:
    """The ranges that a message asks about."""
    assert isinstance(message, Differ)
    found = []
    for part in message.parts:
        if isinstance(part.what, Division):
            borders = (part.low, *part.what.borders, part.high)
            found += list(pairwise(borders))
    return found


@pytest.mark.parametrize(
    "message",
    [
        Differ({}, (LIST,)),
        Differ({}, (Part("0", "00", {}),)),
        Differ({}, (Part("00", "0", {}),)),
        Differ({}, (), more=True),
        Differ({f"{n:032x}": None for n in range(MAX_ITEMS + 1)}, ()),
        Differ({f"{n:032x}": None for n in range(MAX_ITEMS - PIECES - 1)}, (), more=True),
        Same({NAME: None}),
    ],
)
def test_what_was_not_asked_ends_the_link(message: Same | Differ) -> None:
    mine, _ = in_doubt()
    with pytest.raises(ValueError, match=r"not ask|too long|not due"):
        mine.take(message)


@pytest.mark.parametrize(
    "what",
    [
        {NAME: EpochEnd(1)},
        Division((), b""),
        Division((), bytes(END_BYTES - 1)),
        Division((), bytes(2 * END_BYTES)),
        Division(("ff",), bytes(2 * END_BYTES)),
        Division(("000001", "000001"), bytes(3 * END_BYTES)),
        Division(("000002", "000001"), bytes(3 * END_BYTES)),
        {f"{n:032x}": EpochEnd(1) for n in range(1, LIST_NAMES + 2)},
    ],
)
def test_an_answer_that_is_none_ends_the_link(what: Division | Vector) -> None:
    mine, question = in_doubt()
    low, high = asked(question)[0]
    with pytest.raises(ValueError, match=r"the other end (lists|divides)"):
        mine.take(Differ({}, (Part(low, high, what),)))


def test_answers_come_once_each_and_in_order() -> None:
    for chosen in ([0, 0], [1, 0]):
        mine, question = in_doubt()
        ranges = [asked(question)[i] for i in chosen]
        with pytest.raises(ValueError, match="did not ask"):
            mine.take(Differ({}, tuple(Part(*each, {}) for each in ranges)))


def test_what_is_behind_the_last_answer_of_a_message_waits_if_more_follows() -> None:
    told = dict.fromkeys(some(Random(9), MAX_ITEMS - PIECES))
    for chosen, is_good in ((2, True), (1, False), (0, False)):
        mine, question = in_doubt()
        ranges = asked(question)
        answer = mine.take(Differ(dict(told), (Part(*ranges[1], {}),), more=True))
        assert isinstance(answer, Differ)
        message = Differ({}, (Part(*ranges[chosen], {}),))
        if is_good:
            mine.take(message)
        else:
            with pytest.raises(ValueError, match="did not ask"):
                mine.take(message)


def test_who_says_more_and_more_is_stopped() -> None:
    random = Random(10)
    mine, _ = in_doubt()
    with pytest.raises(ValueError, match="the other end names"):
        for _ in range(40):
            mine.take(Differ(dict.fromkeys(some(random, MAX_ITEMS)), (), more=True))


def test_who_says_less_than_before_has_less_that_counts_and_lacks_nothing_of_what_it_had() -> None:
    view = EndsView(Ends({NAME: EpochEnd(5)}).snapshot())
    for end, had in (
        (EpochEnd(4, b"h" * 16), 5),
        (EpochEnd(6, b"i" * 16), 6),
        (EpochEnd(2, b"j" * 16, b"m" * 16), 6),
        (NOTHING, 6),
    ):
        view.raise_to(NAME, end)
        assert (view.get(NAME), view.had(NAME)) == (end, had)
    assert view.get("cd" * 16) == NOTHING


def test_a_list_does_not_name_what_a_greeting_names() -> None:
    mine = Reconciliation(Ends({NAME: EpochEnd(1)}).snapshot(), [NAME], is_dialling=False)
    assert mine.meet({}, Fingerprint(0, bytes(HASH_BYTES))) is None
    with pytest.raises(ValueError, match="lists names"):
        mine.take(Differ({}, (LIST,)))


def test_a_greeting_names_32_epochs_and_comes_once() -> None:
    mine, _ = in_doubt()
    with pytest.raises(ValueError, match="second greeting"):
        mine.meet({}, mine.rest)
    with pytest.raises(ValueError, match="at most 32"):
        Reconciliation(Ends({}).snapshot(), [], is_dialling=True).meet(some(Random(6), 33), mine.rest)


def test_nothing_is_said_before_the_greeting_or_after_the_end() -> None:
    for message in (Same({}), Differ({}, ())):
        early = Reconciliation(Ends({}).snapshot(), [], is_dialling=False)
        with pytest.raises(ValueError, match="before its greeting"):
            early.take(message)
        for is_dialling in (True, False):
            mine, _ = in_doubt(is_dialling=is_dialling)
            mine.take(Differ({}, ()))
            assert mine.view is not None
            with pytest.raises(ValueError, match="the other end"):
                mine.take(message)


def test_who_dialled_may_ask_once_before_it_hears_that_both_have_the_same() -> None:
    for is_dialling in (True, False):
        mine = Reconciliation(Ends({}).snapshot(), [], is_dialling=is_dialling)
        assert mine.meet({}, mine.rest) == Same({})
        if not is_dialling:
            assert mine.take(Differ({}, (LIST,))) is None
        with pytest.raises(ValueError, match="was found out"):
            mine.take(Differ({}, (LIST,)))


@pytest.mark.parametrize(
    "change",
    [
        lambda text: text.replace(NAME, NAME.upper()),
        lambda text: text.replace(NAME, NAME + "\\n"),
        lambda text: text.replace(NAME, NAME[1:]),
        lambda text: text.replace("[1,", "[-1,"),
        lambda text: text.replace("[1,", f"[{2**52 + 1},"),
        lambda text: text.replace('AA=="', 'AAAA"'),
        lambda text: text.replace('""', '"AAAAAAAAAAAAAAAAAAAAAAAAAAAA"'),
        lambda text: text.replace('"~"', '"~~"'),
        lambda text: text.replace("false", "false,1"),
    ],
)
def test_a_message_has_no_other_shape(change: Callable[[str], str]) -> None:
    text = msgspec.json.encode(Differ({NAME: None}, (LIST,))).decode()
    assert as_answer.decode(text) == Differ({NAME: None}, (LIST,))
    assert change(text) != text
    with pytest.raises(msgspec.ValidationError):
        as_answer.decode(change(text))


def lies(random: Random, ranges: list[tuple[str, str]]) -> Differ:
    """An answer that looks like one."""
    parts: list[Part] = []
    room = MAX_ITEMS
    for low, high in ranges:
        if random.random() < 0.2:
            continue
        what: Division | Vector = {}
        if random.random() < 0.7:
            inside = {low + random.choice("0123456789abcdef") * random.randint(1, 3) for _ in range(PIECES - 1)}
            borders = tuple(sorted(each for each in inside if low < each < high and len(each) <= 32))
            what = Division(borders, random.randbytes((len(borders) + 1) * END_BYTES))
        if room < PIECES:
            break
        parts.append(Part(low, high, what))
        room -= parts[-1].items
    more = random.random() < 0.5
    names = some(random, random.randint(0, room) if not more else room)
    return Differ({epoch: random.choice([end, None]) for epoch, end in names.items()}, tuple(parts), more)


def conversation(random: Random, mine: Reconciliation, question: Differ | Same | None) -> Iterator[Differ]:
    """What is said to one who lies, until it ends the link or knows enough."""
    ranges = asked(question) if question else [(FIRST_BORDER, LAST_BORDER)]
    while mine.view is None:
        lie = lies(random, ranges)
        try:
            answer = mine.take(lie)
        except ValueError:
            return
        if answer is None:
            return
        assert isinstance(answer, Differ)
        yield answer
        last = lie.parts[-1].high if lie.parts else FIRST_BORDER
        ranges = sorted([*(each for each in ranges if lie.more and each[0] >= last), *asked(answer)])


@settings(deadline=None, max_examples=200)
@given(randoms, st.sampled_from([0, 3, 40, 300]), st.booleans())
def test_who_lies_hears_a_bounded_number_of_messages(random: Random, count: int, is_dialling: bool) -> None:
    mine, question = in_doubt(count, is_dialling=is_dialling)
    messages = list(conversation(random, mine, question))
    assert len(messages) <= 60 + count // 4
    assert all(len(msgspec.json.encode(each)) <= MAX_BYTES for each in messages)
    if mine.view is not None:
        assert sum(1 for _ in mine.view.exceptions()) <= 2 * count + MAX_FOREIGN


def test_of_epochs_that_no_node_has_a_bounded_number_is_kept() -> None:
    for is_early in (True, False):
        vector = Ends(some(Random(7), 10))
        mine = Reconciliation(vector.snapshot(), [], is_dialling=True)
        if not is_early:
            mine.meet({}, mine.rest)
        strangers = [{epoch: end} for epoch, end in some(Random(8), 5 * MAX_FOREIGN).items()]
        tracemalloc.start()
        for each in strangers:
            mine.have(each)
        allocated = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert allocated < 150 * MAX_FOREIGN
        for epoch in vector:
            mine.have({epoch: EpochEnd(5000, b"h" * END_BYTES)})
        if is_early:
            mine.meet({}, mine.rest)
        assert mine.view is not None
        assert sum(1 for _ in mine.view.exceptions()) <= MAX_FOREIGN + 2 * 10
        assert all(mine.view.get(epoch).seq == 5000 for epoch in vector)


def mutated(random: Random, data: bytes) -> bytes:
    """With some bytes changed, left out, or said twice."""
    for _ in range(random.choice([0, 1, 1, 2, 5])):
        at, size = random.randrange(len(data)), random.choice([1, 1, 2, 34, 100])
        piece = random.choice([b"", data[at : at + size] * 2, random.choice([b"0", b"a", b"~", b"[]", b"{}", b"null"])])
        data = data[:at] + piece + data[at + size :]
    return data


@settings(deadline=None, max_examples=300)
@given(randoms)
def test_a_message_that_was_changed_on_its_way_is_refused_by_its_name(random: Random) -> None:
    one, other = two_vectors(random, list(some(random, 60)))
    dialled, called = Half(one, list(one)[:3], is_dialling=True), Half(other, list(other)[:3], is_dialling=False)
    dialled.greet(called)
    called.greet(dialled)
    for _ in range(100):
        half, opposite = random.choice([(dialled, called), (called, dialled)])
        if not half.inbox:
            continue
        message = half.inbox[0]
        read = as_greeting if isinstance(message, Greeting) else as_answer
        try:
            half.inbox[0] = read.decode(mutated(random, msgspec.json.encode(message)))
            half.step(opposite)
        except ValueError as error:
            assert str(error)
            break
    assert len(dialled.sizes) + len(called.sizes) < 40
