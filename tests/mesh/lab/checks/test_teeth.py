"""The checker has teeth: the code is broken on purpose, one way at a time, and a short story notices."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from hashlib import sha256
from typing import Any

import pytest

from mesh.actors.children import Children
from mesh.actors.log_proxy import LogProxy
from mesh.gateway.clients.role import ClientGatewaySync
from mesh.lab.fuzz.script import Script, step
from mesh.lab.fuzz.storm import play, storm
from mesh.lab.simulation.storage import FileStore
from mesh.membership import membership as neighbourhood
from mesh.membership.dialling.link_selection import Link
from peers.events.created import Created, HybridTimer
from peers.events.entry import Entry
from peers.later import Later
from peers.log.append_batch import AppendBatch
from peers.log.log import Log
from peers.log.tail import Tail
from peers.protocol.sync import SyncMessages
from peers.roles.peer import PeerSync
from peers.stores.append import AppendRules
from peers.stores.memory import MemoryStore
from peers.stores.store import Appended, StoreError

MAX_SEEDS = 200
Break = Callable[[pytest.MonkeyPatch], None]
CALM = Script(("attic", "bath", "cellar"), "full", (step("wait", 5.0), step("write", "attic", 1), step("wait", 5.0)))
"""Nothing is broken, and all dial all at once."""
RADIO = (("radio", "attic", 5),)
MOVE = Script(
    ("attic", "bath"),
    "air",
    (
        step("wall", "bath"),
        step("write", "bath", 2),
        step("write", "attic", 5),
        step("say", "radio", 1),
        step("wait", 3.0),
        step("heal"),
        step("move", "radio", "bath"),
        step("wait", 5.0),
    ),
    RADIO,
)
"""A client leaves a room for another, whose log is in another order."""
BAD = Script(
    ("attic", "bath"), "air", (step("trip", "attic", 1), step("write", "attic", 1), step("wait", 5.0)), (), "sqlite"
)
"""A commit fails."""


def caught(find: Callable[[int], str | None]) -> tuple[int, str]:
    """The first seed with which the story fails, and what the checker said; (MAX_SEEDS, "") if none does."""
    for seed in range(MAX_SEEDS):
        failure = find(seed)
        if failure is not None:
            return seed, failure
    return MAX_SEEDS, ""


def in_a_storm(seed: int) -> str | None:
    return storm(seed, nodes=(3, 4), minutes=1).failure


def in_calm(seed: int) -> str | None:
    return play(CALM, seed).failure


def on_the_move(seed: int) -> str | None:
    return play(MOVE, seed).failure


def on_a_bad_disk(seed: int) -> str | None:
    return play(BAD, seed).failure


def acknowledge_before_the_commit(patch: pytest.MonkeyPatch) -> None:
    def take_drafts(self: Log, drafts: Sequence[Any]) -> Later[Any]:
        entries = [self.prepare(draft) for draft in drafts]
        self.add_entries(entries)
        return Later.done([entry.meta for entry in entries])

    patch.setattr(Log, "take_drafts", take_drafts)


def publish_before_the_commit(patch: pytest.MonkeyPatch) -> None:
    append = Log._append

    def publish_first(self: Log, entries: Sequence[Entry], **options: Any) -> Later[Any]:
        state = self.published.state
        vector = state.vector.adds(entry.dot for entry in entries if entry.dot is not None)
        self._publish(replace(state, vector=vector), Appended((), (), vector))
        return append(self, entries, **options)

    patch.setattr(Log, "_append", publish_first)


def acknowledge_a_run_in_part(patch: pytest.MonkeyPatch) -> None:
    join = AppendBatch.join

    def join_half(self: AppendBatch, entries: Sequence[Entry], clock_ms: int) -> Later[Any] | None:
        result = join(self, entries[: (len(entries) + 1) // 2], clock_ms)
        return result and result.transform(lambda outcomes: [*outcomes, *entries[len(outcomes) :]])

    patch.setattr(AppendBatch, "join", join_half)


def claim_before_the_commit(patch: pytest.MonkeyPatch) -> None:
    add_entries = LogProxy.add_entries

    def claim(self: LogProxy, entries: Sequence[Entry]) -> Later[Any]:
        state = self.published.state
        vector = state.vector.adds(entry.dot for entry in entries if entry.dot is not None)
        self.published = replace(self.published, state=replace(state, vector=vector))
        return add_entries(self, entries)

    patch.setattr(LogProxy, "add_entries", claim)


def keep_one_epoch(patch: pytest.MonkeyPatch) -> None:
    def new_epoch(self: Log) -> str:
        timer = self._timer
        assert isinstance(timer, HybridTimer)
        return sha256(timer._node_id.encode()).hexdigest()[:20]  # the log is broken from inside, on purpose

    patch.setattr(Log, "_new_epoch", new_epoch)


def skip_dedupe(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(AppendRules, "_is_new", lambda self, entry, batch: True)


def forget_a_second_dot(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(AppendRules, "_take_further_dot", lambda self, event, dot, batch: None)


def drop_the_window(patch: pytest.MonkeyPatch) -> None:
    def may_page(self: SyncMessages) -> bool:
        return self.authenticated and self._is_walking and not self._is_paging

    patch.setattr(SyncMessages, "may_page", may_page)


def step_back_with_the_clock(patch: pytest.MonkeyPatch) -> None:
    def next_created(self: HybridTimer) -> Created:
        self._next_n += 1
        return self._now_ms(), self._node_id, self._next_n

    patch.setattr(HybridTimer, "next", next_created)


def close_both_crossing_connections(patch: pytest.MonkeyPatch) -> None:
    def all_but_own(own: str, other: str, links: Sequence[Link], newest: Link, held: Sequence[str]) -> list[str]:
        return [link.key for link in links if not link.dialled] if len(links) > 1 else []

    patch.setattr(neighbourhood, "surplus_links", all_but_own)


def send_nothing_again_after_a_reconnect(patch: pytest.MonkeyPatch) -> None:
    def on_start(self: PeerSync, done: Later[int]) -> None:
        self.start_walk(self.log.published.state.last_position)

    patch.setattr(PeerSync, "_on_start", on_start)


def order_by_added(patch: pytest.MonkeyPatch) -> None:
    each = MemoryStore.each

    def by_added(self: MemoryStore, **options: Any) -> tuple[Entry, ...]:
        return each(self, **{**options, "order": "added"})

    patch.setattr(MemoryStore, "each", by_added)


def pass_nothing_on(patch: pytest.MonkeyPatch) -> None:
    def is_due(self: PeerSync, entry: Entry) -> bool:
        return entry.dot is not None and entry.dot[0] == self.log.published.epoch

    patch.setattr(PeerSync, "is_due", is_due)


def forget_what_was_cleaned(patch: pytest.MonkeyPatch) -> None:
    def bury(self: MemoryStore, event: Entry) -> None:
        self._hide(event.created)

    patch.setattr(MemoryStore, "_bury", bury)


def keep_the_tail_for_ever(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Tail, "_trim", lambda self: None)
    patch.setattr("peers.log.tail.TAIL_CHANGES", 50)
    patch.setattr("mesh.lab.checks.limits.TAIL_CHANGES", 50)


def leave_sessions_behind(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(neighbourhood.Membership, "close_all", lambda self, reason: [])
    patch.setattr(Children, "stop", lambda self: None)


def lose_what_a_full_disk_refused(patch: pytest.MonkeyPatch) -> None:
    append = Log._append

    def say_done(self: Log, entries: tuple[Entry, ...], **options: Any) -> Later[Any]:
        result: Later[Any] = Later()

        def answer(done: Later[Any]) -> None:
            if done.exception is None:
                result.follow(done)
            else:
                result.set(entries)

        append(self, entries, **options).then(answer)
        return result

    patch.setattr(Log, "_append", say_done)


def trust_the_marks_of_clients(patch: pytest.MonkeyPatch) -> None:
    def on_cursors(self: ClientGatewaySync, done: Later[tuple[int, int]]) -> None:
        _, self.other_synced = self._cursors.saved = done.result()
        self.start_walk(self.resume_from())

    patch.setattr(ClientGatewaySync, "_on_cursors", on_cursors)


def confirm_to_clients_what_is_dropped(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(ClientGatewaySync, "admitted", lambda self, entry: None)


def say_done_when_a_commit_failed(patch: pytest.MonkeyPatch) -> None:
    transaction = FileStore.transaction

    @contextmanager
    def careless(self: FileStore) -> Iterator[None]:
        with suppress(StoreError), transaction(self):
            yield

    patch.setattr(FileStore, "transaction", careless)


TEETH: list[tuple[Break, Callable[[int], str | None], str]] = [
    (acknowledge_before_the_commit, in_a_storm, "acknowledged .* before it was on its disk"),
    (publish_before_the_commit, in_a_storm, "claims .* which are not on its disk"),
    (acknowledge_a_run_in_part, in_a_storm, "no agreement"),
    (claim_before_the_commit, in_a_storm, "claims .* which are not on its disk"),
    (keep_one_epoch, in_a_storm, "goes on in the epoch"),
    (skip_dedupe, in_a_storm, ""),
    (forget_a_second_dot, in_a_storm, ""),
    (drop_the_window, in_a_storm, "WINDOW allows 4"),
    (step_back_with_the_clock, in_a_storm, "out of order"),
    (close_both_crossing_connections, in_calm, "a link broke by itself"),
    (send_nothing_again_after_a_reconnect, in_a_storm, "no agreement"),
    (order_by_added, in_a_storm, "shows"),
    (pass_nothing_on, in_a_storm, "no agreement"),
    (forget_what_was_cleaned, in_a_storm, ""),
    (keep_the_tail_for_ever, in_a_storm, "TAIL_CHANGES allows 50"),
    (leave_sessions_behind, in_a_storm, ""),
    (lose_what_a_full_disk_refused, in_a_storm, ""),
    (trust_the_marks_of_clients, on_the_move, "no agreement"),
    (confirm_to_clients_what_is_dropped, on_the_move, "of radio before it was on its disk"),
    (say_done_when_a_commit_failed, on_a_bad_disk, "before it was on its disk"),
]


@pytest.mark.parametrize(("break_it", "find", "verdict"), TEETH, ids=[tooth[0].__name__ for tooth in TEETH])
def test_a_broken_promise_is_noticed(
    break_it: Break, find: Callable[[int], str | None], verdict: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    break_it(monkeypatch)

    seed, failure = caught(find)

    assert seed < MAX_SEEDS

    assert re.search(verdict, failure)


def test_nothing_is_noticed_where_nothing_is_broken() -> None:
    failures = [failure for seed in range(20) if (failure := in_calm(seed)) is not None]

    assert failures == []
