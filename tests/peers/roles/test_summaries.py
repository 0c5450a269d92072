"""A board of summaries: the newest of each node, whatever comes in whatever order; and what is passed on to whom."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from peers.clock import ManualClock
from peers.codec.run_messages import LINK_BYTES, Summaries
from peers.codec.runs import RunProtocol
from peers.events.epoch import key_mark
from peers.events.signature import KeySigner
from peers.facts.summary import MAX_SUMMARY_BYTES, Measures, Summary, make_summary
from peers.limits import LimitHits, Limits
from peers.roles.summaries import (
    APART_MS,
    CHANGED_MS,
    FRESH_MS,
    MEET_MS,
    PASS_ON_MS,
    SHOWN_A_TURN,
    BoardHost,
    SummaryBoard,
)

CODEC = RunProtocol()
CODEC.other_node_id = "any"
NOW_MS = 1_700_000_000_000
SIGNERS = [KeySigner.from_seed(bytes([number]) * 32) for number in range(1, 12)]
OURS, ATTIC, STUDY, HALL = SIGNERS[:4]
STRANGER = SIGNERS[-1]
"""Not of the mesh."""


def id_of(signer: KeySigner) -> str:
    return f"n{SIGNERS.index(signer)}~{key_mark(signer.public)}"


def texts_of(frame: bytes) -> Sequence[bytes]:
    message = CODEC.decode(frame)
    assert isinstance(message, Summaries)
    return message.summaries


def said(signer: KeySigner, ago_ms: int = 0, added: int = 0) -> Summary:
    return make_summary(signer, id_of(signer), NOW_MS - ago_ms, Measures("1", last_added=added), [])


class Board:
    """A board with scripted links."""

    def __init__(self, limits: Limits | None = None) -> None:
        self.clock = ManualClock(NOW_MS)
        self.hits = LimitHits(self.clock)
        self.board = SummaryBoard()
        self.sent: dict[str, list[bytes]] = {}
        self.turns: list[int] = []
        """How many were sent when each turn began."""
        self.board.start(
            BoardHost(
                id_of(OURS),
                OURS,
                self.clock,
                limits or Limits(),
                self.hits,
                lambda key, _: "it is a stranger" if key == STRANGER.public else "",
                lambda: Measures("1"),
                lambda work: partial(self._turn, work),
                10.0,
            )
        )

    def _turn(self, work: Callable[[], None]) -> None:
        self.turns.append(sum(map(len, self.sent.values())))
        work()

    def link(
        self, name: str, signer: KeySigner, *others: KeySigner, reads: bool = True, is_proven: bool = False
    ) -> str:
        """The other end says that it is connected with these others."""
        known = frozenset(other.public[:LINK_BYTES] for other in others)
        self.sent[name] = []

        def wake(delay_ms: float) -> None:
            self.clock.call_later(delay_ms, lambda: self.sent[name].extend(self.board.due(name)))

        self.board.begin(
            name,
            signer.public,
            id_of(signer),
            reads=reads,
            links=known,
            lag=lambda: 3,
            show=lambda frame: self.sent[name].extend(texts_of(frame)),
            wake=wake,
            is_proven=is_proven,
        )
        return name

    def hear(self, link: str, *summaries: Summary | bytes) -> None:
        self.board.hear(link, link, [each if isinstance(each, bytes) else each.data for each in summaries])

    @property
    def newest(self) -> dict[bytes, int]:
        return {key: heard.summary.made_ms for key, heard in self.board.heard.items()}

    def sent_of(self, name: str, signer: KeySigner) -> int:
        return sum(data.startswith(signer.public) for data in self.sent[name])


# What is taken

MADE = {(signer, ago): said(signer, ago) for signer in (ATTIC, STUDY, HALL) for ago in (0, 10_000, 20_000, 30_000)}


@settings(max_examples=60)
@given(st.data())
def test_in_any_order_and_with_any_losses_the_newest_of_each_node_is_kept(data: st.DataObject) -> None:
    board = Board()
    links = [board.link("attic", ATTIC), board.link("study", STUDY)]
    came = data.draw(st.lists(st.tuples(st.sampled_from(links), st.sampled_from(sorted(MADE, key=str))), max_size=20))

    for link, which in came:
        board.hear(link, MADE[which])

    newest: dict[bytes, int] = {}
    for _, (signer, ago) in came:
        newest[signer.public] = max(NOW_MS - ago, newest.get(signer.public, 0))
    assert board.newest == newest


def bad(kind: str) -> bytes:
    good = said(ATTIC, added=99).data
    if kind == "forged":
        return STRANGER.public + good[32:]
    if kind == "changed":
        return good[:40] + bytes([good[40] ^ 1]) + good[41:]
    if kind == "signed by another":
        return ATTIC.public + said(STUDY, added=99).data[32:]
    if kind == "too large":
        return good + bytes(MAX_SUMMARY_BYTES)
    if kind == "too new":
        return said(ATTIC, -round(Limits().max_future_seconds * 1000) - 1_000).data
    if kind == "too old":
        return said(HALL, round(Limits().max_future_seconds * 1000) + 1_000).data
    if kind == "replayed":
        return said(ATTIC, 20_000, added=99).data
    if kind == "of a stranger":
        return said(STRANGER).data
    if kind == "our own":
        return said(OURS, -1_000).data
    return b"nothing"


KINDS = (
    *("forged", "changed", "signed by another", "too large", "too new", "too old", "replayed", "of a stranger"),
    *("our own", "garbage"),
)


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_bad_changes_nothing_and_is_not_passed_on(kind: str) -> None:
    board = Board()
    board.link("attic", ATTIC)
    board.link("study", STUDY)
    board.hear("attic", said(ATTIC, 10_000))
    board.clock.advance(PASS_ON_MS)
    before, sent = dict(board.newest), len(board.sent["study"])

    board.hear("attic", bad(kind))
    board.clock.advance(PASS_ON_MS)

    assert board.newest == before
    assert len(board.sent["study"]) == sent


def test_over_a_link_that_proved_its_key_no_other_node_can_be_forged_and_nothing_forged_is_passed_on() -> None:
    board = Board()
    board.link("attic", ATTIC, is_proven=True)
    board.link("study", STUDY)

    board.hear("attic", STUDY.public + said(HALL).data[32:], bad("changed"))
    board.clock.advance(10 * PASS_ON_MS)

    assert set(board.newest) == {ATTIC.public}
    assert board.sent_of("study", ATTIC) == 0


def test_bad_ones_do_not_use_up_what_a_node_may_say() -> None:
    board = Board()
    board.link("attic", ATTIC)
    for _ in range(100):
        board.hear("attic", bad("changed"))

    board.hear("attic", said(ATTIC))

    assert ATTIC.public in board.newest


def test_a_node_that_says_too_much_is_heard_less() -> None:
    board = Board(Limits(summaries_per_minute=5))
    board.link("attic", ATTIC)

    for ago in range(1_000, 0, -1):
        board.hear("attic", said(ATTIC, ago))

    assert board.newest[ATTIC.public] == NOW_MS - 996
    assert [(row["limit"], row["by"]) for row in board.hits.rows()] == [("summaries_per_minute", "attic")]


def test_there_are_no_more_rows_than_members() -> None:
    board = Board(Limits(members=2))
    board.link("attic", ATTIC)
    board.hear("attic", said(STUDY), said(HALL))

    board.hear("attic", said(SIGNERS[5]))
    assert set(board.newest) == {STUDY.public, HALL.public}
    board.hear("attic", said(ATTIC))  # a neighbour has its row in any case
    assert set(board.newest) == {HALL.public, ATTIC.public}
    board.clock.advance(FRESH_MS)
    board.hear("attic", said(SIGNERS[5]))

    assert set(board.newest) == {ATTIC.public, SIGNERS[5].public}


# What is passed on


def test_what_came_is_passed_on_once_to_those_who_have_not_shown_it() -> None:
    board = Board()
    board.link("attic", ATTIC)
    board.link("study", STUDY)
    board.link("hall", HALL)
    board.hear("attic", said(ATTIC))
    board.hear("hall", said(ATTIC))

    board.clock.advance(10 * PASS_ON_MS)
    board.hear("attic", said(ATTIC))
    board.clock.advance(10 * PASS_ON_MS)

    assert [board.sent_of(name, ATTIC) for name in ("attic", "study", "hall")] == [0, 1, 0]


def test_who_is_connected_with_a_node_hears_it_from_that_node() -> None:
    board = Board()
    board.link("attic", ATTIC)
    board.link("study", STUDY, ATTIC)

    board.hear("attic", said(ATTIC))
    board.clock.advance(10 * PASS_ON_MS)

    assert board.sent_of("study", ATTIC) == 0


def test_an_end_that_says_that_it_is_connected_with_a_node_now_hears_it_from_that_node() -> None:
    board = Board()
    board.link("attic", ATTIC)
    board.link("study", STUDY)

    board.board.note_links("study", frozenset({ATTIC.public[:LINK_BYTES]}))
    board.hear("attic", said(ATTIC))
    board.clock.advance(10 * PASS_ON_MS)

    assert board.sent_of("study", ATTIC) == 0


def test_an_own_summary_goes_over_many_links_in_several_turns() -> None:
    board = Board()
    for number in range(2 * SHOWN_A_TURN + 1):
        board.link(f"link{number}", ATTIC)

    board.clock.advance(CHANGED_MS)

    assert all(board.sent_of(f"link{number}", OURS) == 1 for number in range(2 * SHOWN_A_TURN + 1))
    assert board.turns == [0, SHOWN_A_TURN, 2 * SHOWN_A_TURN]


def test_an_end_of_an_earlier_release_gets_none() -> None:
    board = Board()
    board.link("attic", ATTIC)
    board.link("study", STUDY, reads=False)

    board.hear("attic", said(ATTIC))
    board.clock.advance(30_000)

    assert board.sent["study"] == []
    assert board.board.own is not None and board.board.own.link_count == 2


def test_a_new_link_is_shown_what_came_before_if_that_is_not_old() -> None:
    board = Board()
    board.link("attic", ATTIC)
    board.hear("attic", said(HALL))
    board.clock.advance(FRESH_MS)
    board.hear("attic", said(SIGNERS[5]))

    board.link("study", STUDY)
    board.clock.advance(MEET_MS)

    assert (board.sent_of("study", HALL), board.sent_of("study", SIGNERS[5])) == (0, 1)


def test_our_own_is_made_every_period_and_soon_after_links_changed() -> None:
    board = Board()
    board.link("attic", ATTIC)
    board.clock.advance(60_000)
    periodic = board.sent_of("attic", OURS)

    board.clock.advance(APART_MS)
    board.link("study", STUDY)
    board.clock.advance(CHANGED_MS)

    assert periodic == 6
    assert board.sent_of("study", OURS) == 1
    assert board.board.own is not None and len(board.board.own.links) == 2


def test_a_clock_that_is_set_back_does_not_silence_a_node() -> None:
    board = Board()
    board.clock.advance(20_000)
    first = board.board.own

    board.clock.wall_ms -= 3_600_000
    board.clock.advance(10_000)

    assert first is not None and board.board.own is not None
    assert board.board.own.made_ms == first.made_ms + 1


def test_a_board_that_is_stopped_leaves_no_timer_and_takes_nothing() -> None:
    board = Board()
    board.link("attic", ATTIC)

    board.board.stop()
    board.clock.advance(MEET_MS)
    board.hear("attic", said(ATTIC))

    assert (board.clock.waiting, board.newest) == (0, {})


# Many boards


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32), st.sampled_from([0.0, 0.3]))
def test_in_a_mesh_that_hangs_together_all_hear_of_all(seed: int, loss: float) -> None:
    random = Random(seed)
    mesh = Mesh(SIGNERS[:8], random, loss)
    mesh.run(60_000)
    mesh.loss = 0.0
    mesh.run(15_000)

    for node in mesh.nodes:
        assert len(node.board.heard) == 7
        assert all(node.elapsed - heard.at_ms < 11_000 for heard in node.board.heard.values())
    assert max(mesh.carried.values()) <= 1, "a summary went twice over one link in one direction"


class Mesh:
    """Boards in a ring with some chords; what is sent arrives at once, or never."""

    def __init__(self, signers: Sequence[KeySigner], random: Random, loss: float) -> None:
        self.clock, self.random, self.loss = ManualClock(NOW_MS), random, loss
        self.carried: Counter[tuple[int, int, bytes]] = Counter()
        self.nodes = [_Node(self, signer) for signer in signers]
        count = len(self.nodes)
        pairs = {(at, (at + 1) % count) for at in range(count)} | {
            tuple(sorted(random.sample(range(count), 2))) for _ in range(4)
        }
        for one, other in sorted({tuple(sorted(pair)) for pair in pairs}):
            self._link(one, other)
            self._link(other, one)

    def run(self, ms: float) -> None:
        self.clock.advance(ms)

    def _link(self, one: int, other: int) -> None:
        node, to = self.nodes[one], self.nodes[other]

        def wake(delay_ms: float) -> None:
            self.clock.call_later(delay_ms, send)

        def send() -> None:
            carry(node.board.due(other))

        def carry(texts: Sequence[bytes]) -> None:
            for data in texts:
                self.carried[one, other, data] += 1
                if self.random.random() >= self.loss:
                    to.board.hear(one, str(one), [data])

        node.board.begin(
            other,
            to.signer.public,
            str(other),
            reads=True,
            links=frozenset(),
            lag=lambda: 0,
            show=lambda frame: carry(texts_of(frame)),
            wake=wake,
        )


class _Node:
    def __init__(self, mesh: Mesh, signer: KeySigner) -> None:
        self.signer, self.clock, self.board = signer, mesh.clock, SummaryBoard()
        self.board.start(
            BoardHost(
                id_of(signer),
                signer,
                mesh.clock,
                Limits(),
                LimitHits(mesh.clock),
                lambda *_: "",
                lambda: Measures("1"),
                lambda work: work,
                10.0,
            )
        )

    @property
    def elapsed(self) -> float:
        return self.clock.elapsed_ms()
