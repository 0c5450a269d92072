"""What a node costs that this one serves: beyond its budget its link is read more slowly, and nothing is lost."""

from __future__ import annotations

from typing import Any

import pytest

from peers.budgets import Budgets
from peers.clock import ManualClock
from peers.codec.run_messages import Prove
from peers.limits import LimitHits, Limits
from peers.log.run_log import RunLog
from peers.roles.run_peer import RunPeerSync
from tests.support.neighbour import Author, Neighbour, forked, messages, names_of
from tests.support.pair import Pair
from tests.support.run_house import hollowed

SECOND = 1_000.0
MESSAGES = 20
"""That are allowed in a second here."""


class Costly(Neighbour):
    """A neighbour whose messages cost so much processor time each."""

    def __init__(self, *, cpu_ms: float = 0.0, **limits: Any) -> None:
        self.used_ms = 0.0
        self._cpu_ms = cpu_ms
        clock = ManualClock()
        self.hits = LimitHits(clock)
        limits = {"other_messages_per_second": MESSAGES, **limits}
        super().__init__(clock=clock, budgets=Budgets(Limits(**limits), self.hits, clock, self._use))

    def _use(self) -> float:
        self.used_ms += self._cpu_ms
        return self.used_ms

    @property
    def hit(self) -> dict[str, str]:
        """Who hit which limit."""
        return {row["limit"]: row["by"] for row in self.hits.rows()}


LOOPS: dict[str, list[Any]] = {
    "ping": ["ping", 0],
    "have": ["have", {}],
    "debug": ["debug", "error", "again"],
    "headers": ["headers", {"colour": "red"}],
    "pong": ["pong", 0],
    "heads": ["heads", "ab" * 16, 1, []],
}


@pytest.mark.parametrize("message", LOOPS.values(), ids=LOOPS)
def test_of_messages_in_a_loop_no_more_is_read_than_the_budget_allows(message: list[Any]) -> None:
    stranger = Costly().greet()
    stranger.clock.advance(SECOND)
    heard: list[bytes] = []
    stranger.connection.on("message", heard.append)

    for _ in range(10 * MESSAGES):
        stranger.say(*message)
    at_once = len(heard)
    stranger.clock.advance(4 * SECOND)

    assert at_once == MESSAGES + 1
    assert 4 * MESSAGES <= len(heard) <= 5 * MESSAGES + 2
    assert stranger.connected
    assert stranger.hit == {"other_messages_per_second": "stranger"}


def test_what_was_not_read_is_read_later_in_its_order() -> None:
    stranger = Costly().greet()
    for _ in range(10 * MESSAGES):
        stranger.say("debug", "error", "again")
    stranger.brings("a")
    assert stranger.log.types == []

    stranger.clock.advance(10 * SECOND)

    assert stranger.log.types == ["a"]


def test_long_messages_and_slow_ones_have_a_budget_too() -> None:
    large = Costly(other_bytes_per_second=10_000).greet()
    slow = Costly(cpu_ms=10.0, other_cpu_ms_per_second=50.0).greet()

    for stranger in (large, slow):
        stranger.clock.advance(SECOND)
        for _ in range(MESSAGES // 2):
            stranger.say("debug", "error", "x" * 2_000)

    assert large.hit == {"other_bytes_per_second": "stranger"}
    assert slow.hit == {"other_cpu_ms_per_second": "stranger"}


def test_answers_and_events_cost_nothing() -> None:
    stranger = Costly().greet()

    for number in range(3 * MESSAGES):
        stranger.log.add({"type": f"n{number}"})
        stranger.confirms()
        stranger.brings(f"theirs{number}")

    assert len(stranger.log.types) == 6 * MESSAGES
    assert stranger.hits.rows() == []


def test_pieces_that_came_before_cost_as_any_message() -> None:
    stranger = Costly().greet()
    stranger.brings("a")

    for _ in range(2 * MESSAGES):
        stranger.sends(stranger.own.piece())

    assert stranger.hit == {"other_messages_per_second": "stranger"}
    assert len(messages(stranger.heard, "synced")) <= MESSAGES + 3


def test_pieces_that_another_link_brought_first_cost_nothing() -> None:
    stranger = Costly().greet()

    for _ in range(2 * MESSAGES):
        stranger.elsewhere("a")
        stranger.sends(stranger.attic.piece(stranger.attic.end.seq))

    assert stranger.hits.rows() == []


def test_an_end_that_is_read_slowly_gets_signs_of_life_and_is_not_taken_for_dead() -> None:
    stranger = Costly(events_per_second=1, events_at_once=1).greet()
    stranger.brings(*["a"] * 30)
    stranger.heard.clear()

    stranger.clock.advance(20 * SECOND)

    assert stranger.connected
    assert names_of(stranger.heard).count("ping") >= 9


def test_a_node_that_writes_without_end_is_read_more_slowly_on_its_own_link() -> None:
    stranger = Costly(events_per_second=5, events_at_once=10).greet()

    for number in range(6):
        stranger.brings(*[f"n{number}"] * 5)
    assert len(stranger.log.types) == 15  # the burst, and the message that was too much
    stranger.clock.advance(3 * SECOND)

    assert len(stranger.log.types) == 30
    assert stranger.hit == {"events_per_second": "stranger"}


def test_leaves_without_events_count_as_the_events_of_their_origin() -> None:
    stranger = Costly(events_per_second=5, events_at_once=10).greet()

    stranger.sends(hollowed(stranger.own.write(*["a"] * 30)))
    stranger.brings("b")

    assert stranger.log.state.hollow == 30
    assert stranger.log.types == []
    assert stranger.hit == {"events_per_second": "stranger"}
    stranger.clock.advance(5 * SECOND)
    assert stranger.log.types == ["b"]


def test_events_that_others_wrote_are_free() -> None:
    stranger = Costly(events_per_second=5, events_at_once=10).greet()

    for _ in range(20):
        stranger.sends(stranger.attic.write("a", "b", "c"))

    assert len(stranger.log.types) == 60
    assert stranger.hits.rows() == []


def test_bytes_of_a_day_are_limited_as_events_are() -> None:
    stranger = Costly(bytes_per_day=1_000).greet()

    stranger.brings(*["a" * 100] * 20)
    stranger.brings("b")

    assert "b" not in stranger.log.types
    assert stranger.hit == {"bytes_per_day": "stranger"}


def test_epochs_of_others_come_as_fast_as_they_can_up_to_a_limit_and_then_slowly() -> None:
    stranger = Costly(epochs_at_once=5, epochs_of_others_per_second=10).greet()
    pieces = [Author(f"n{number}", number).write("a") for number in range(20)]

    stranger.sends(*pieces[:5])
    assert stranger.hits.rows() == []
    stranger.sends(*pieces[5:])
    stranger.say("ping", 0)

    assert len(stranger.log.types) == 20
    assert messages(stranger.heard, "pong") == []
    stranger.clock.advance(1.4 * SECOND)
    assert messages(stranger.heard, "pong") == []
    stranger.clock.advance(0.2 * SECOND)
    assert len(messages(stranger.heard, "pong")) == 1
    assert stranger.hit == {"epochs_of_others_per_second": "stranger"}


def test_the_links_of_one_address_have_one_budget_together(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = ManualClock()
    hits = LimitHits(clock)
    budgets = Budgets(Limits(other_messages_per_second=MESSAGES, links_of_address=2), hits, clock, float)
    monkeypatch.setattr("tests.support.pair.RecordedConnection.address", "192.0.2.1:4000", raising=False)
    crowd = [Neighbour(clock=clock, budgets=budgets).greet(f"node{number}") for number in range(8)]
    monkeypatch.setattr("tests.support.pair.RecordedConnection.address", "192.0.2.2:4000", raising=False)
    other = Neighbour(clock=clock, budgets=budgets).greet("other")
    clock.advance(SECOND)

    for stranger in (*crowd, other):
        for _ in range(MESSAGES):
            stranger.say("ping", 0)

    assert len(messages(other.heard, "pong")) == MESSAGES
    assert sum(len(messages(stranger.heard, "pong")) for stranger in crowd) <= 2 * MESSAGES + len(crowd)
    assert {row["limit"] for row in hits.rows()} == {"links_of_address"}
    clock.advance(10 * SECOND)
    assert all(len(messages(stranger.heard, "pong")) == MESSAGES for stranger in crowd)


def test_epochs_beyond_the_limit_are_declined_and_asked_for_again_when_they_may_come() -> None:
    clock = ManualClock()
    hits = LimitHits(clock)
    budgets = Budgets(Limits(epochs_at_once=2, epochs_per_hour=60), hits, clock, float)
    pair = Pair(clock=clock, right={"budgets": budgets}).meet()

    def write(type_: str) -> None:
        log: RunLog = pair.left.log
        log.write(lambda store: [store.leave(store.state.epoch)] if store.state.epoch else [])
        log.add({"type": type_})

    for type_ in ("a", "b", "c"):
        write(type_)
    assert pair.right.log.types == ["a", "b"]
    assert [len(message[1]) for message in messages(pair.right_sent, "decline")] == [1]
    clock.advance(61 * SECOND)

    assert pair.right.log.types == ["a", "b", "c"]
    assert {row["limit"] for row in hits.rows()} == {"epochs_per_hour"}
    assert pair.left.connected


def test_a_new_link_does_not_begin_without_the_debt_of_the_one_before() -> None:
    clock = ManualClock()
    budgets = Budgets(Limits(events_per_second=1, events_at_once=1), LimitHits(clock), clock, float)
    pair = Pair(RunPeerSync, RunPeerSync, clock=clock, right={"budgets": budgets}).meet()
    pair.left.log.add_batch([({"type": "a"}, None)] * 5)
    pair.cut()
    pair.serve(RunPeerSync, budgets=budgets)
    pair.connect()
    for type_ in ("b", "c"):
        pair.left.log.add({"type": type_})
    clock.advance(1)

    assert "c" not in pair.right.log.types
    clock.advance(20 * SECOND)
    assert "c" in pair.right.log.types


def test_further_epochs_and_proofs_of_a_key_are_declined_after_too_many_proofs_that_it_forked() -> None:
    stranger = Costly(forks_of_key=2, other_messages_per_second=1_000).greet()
    author = Author("forked", 77)
    proofs = [forked(author)[1] for _ in range(3)]
    first_epoch = [piece for piece in author.pieces() if piece.start == 1]

    for proof in proofs:
        stranger.tell(Prove(proof.encode()))
    assert stranger.log.forks == {author.writer.signer.public: 2}
    stranger.sends(*first_epoch)
    stranger.brings("b")

    assert stranger.log.types == ["b"]
    assert [len(message[1]) for message in messages(stranger.heard, "decline")] == [1]
    assert stranger.hit == {"forks_of_key": "forked"}
    assert stranger.connected


def test_an_epoch_of_our_own_key_is_taken_however_often_it_forked() -> None:
    stranger = Costly(forks_of_key=1, other_messages_per_second=1_000).greet()
    ours = Author("home")
    ours.writer.signer = stranger.log.pen.signer
    stranger.tell(Prove(forked(ours)[1].encode()))
    with ours.store.transaction():
        ours.store.leave(ours.epoch)

    stranger.sends(ours.write("restored"))

    assert stranger.log.types == ["restored"]
