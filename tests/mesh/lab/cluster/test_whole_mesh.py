"""What one node knows of its whole mesh, in virtual time."""

from __future__ import annotations

from base64 import b64encode
from collections import Counter
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

from mesh.lab import Cluster, Room, line
from mesh.lab.cluster.topology import Links
from mesh.lab.roles.watched import WatchedPeerSync
from peers.codec.messages import Message
from peers.codec.run_messages import Summaries
from peers.roles.summaries import SummaryBoard

Rows = list[dict[str, Any]]
NAMES = ("kitchen", "study", "attic", "hall", "cellar")
SHOWN_SECONDS = 15


def rows_of(room: Room) -> Rows:
    rows: Rows = room.status()["mesh_nodes"]
    return rows


def names(rows: Rows, *states: str) -> set[str]:
    return {row["node_id"].partition("~")[0] for row in rows if row["state"] in states}


def seconds_until(cluster: Cluster, room: Room, is_so: Callable[[Rows], bool]) -> int:
    for second in range(1, SHOWN_SECONDS + 1):
        cluster.run(1)
        if is_so(rows_of(room)):
            return second
    pytest.fail(f"not within {SHOWN_SECONDS} s: {rows_of(room)}")


def are_all_known(rows: Rows) -> bool:
    return len(rows) == len(NAMES) and all(row["version"] is not None and not row["island"] for row in rows)


@pytest.mark.parametrize("links", [None, line], ids=["all linked", "line"])
def test_one_node_of_five_shows_all_five_and_a_partition_within_15_s(links: Links | None) -> None:
    with Cluster(3, traces=False, summary_seconds=10.0) as cluster:
        kitchen, *_ = cluster.start(*NAMES, links=links)
        seconds_until(cluster, kitchen, are_all_known)
        assert names(rows_of(kitchen), "this") == {"kitchen"}
        if links is not None:
            assert names(rows_of(kitchen), "linked") == {"study"}
            assert names(rows_of(kitchen), "seen") == {"attic", "hall", "cellar"}

        cluster.partition(["kitchen", "study"], ["attic", "hall", "cellar"])
        seconds_until(cluster, kitchen, lambda rows: names(rows, "gone") == {"attic", "hall", "cellar"})
        assert sorted(row["island"] for row in rows_of(kitchen)) == [0, 0, 1, 1, 1]

        cluster.heal()
        cluster.settle("they agree again")
        seconds_until(cluster, kitchen, lambda rows: not names(rows, "gone"))


def test_a_node_that_stopped_shows_with_its_age() -> None:
    with Cluster(4, traces=False, summary_seconds=10.0) as cluster:
        kitchen, study = cluster.start("kitchen", "study")
        study.log.add({"type": "milk"})
        seconds_until(cluster, kitchen, lambda rows: rows[-1]["last_added"] == 1)
        cluster.stop("study")
        cluster.run(100)

        this, gone = rows_of(kitchen)

        assert (gone["state"], gone["island"], gone["last_added"]) == ("gone", 1, 1)
        assert 100_000 <= this["seen_ms"] - gone["seen_ms"] <= 112_000


def test_the_worst_lag_of_a_node_that_is_not_linked_is_known() -> None:
    with Cluster(5, traces=False, summary_seconds=10.0) as cluster:
        kitchen, study, attic = cluster.start("kitchen", "study", "attic", links=line)
        cluster.settle("met")
        cluster.freeze("attic")
        for number in range(7):
            study.log.add({"type": f"n{number}"})

        seconds_until(
            cluster,
            kitchen,
            lambda rows: any(row["worst_lag"] == 7 and row["worst_lag_to"] == attic.node_id for row in rows),
        )
        cluster.thaw("attic")


class Earlier(WatchedPeerSync):
    """As a node of a release without summaries: it neither asks for any nor knows the message."""

    def __init__(self, *args: Any, **options: Any) -> None:
        options["summaries"] = SummaryBoard()
        super().__init__(*args, **options)

    def dispatch(self, message: Message) -> None:
        if isinstance(message, Summaries):
            raise self.error("unknown-message", "summaries")
        super().dispatch(message)


def test_a_node_of_an_earlier_release_gets_none_and_is_shown_as_linked() -> None:
    with Cluster(6, traces=False, summary_seconds=10.0) as cluster:
        kitchen, study = cluster.start("kitchen", "study")
        cluster.stop("study")
        study.role = partial(Earlier, on_events=lambda *_: None)
        cluster.start("study")
        cluster.settle("met again")
        cluster.run(30)

        this, other = rows_of(kitchen)

        assert (other["state"], other["node_id"]) == ("linked", study.node_id)
        assert this["links"] == [{"node_id": study.node_id, "lag": 0}]


def test_the_same_seed_gives_the_same_run() -> None:
    def run() -> str:
        with Cluster(7, summary_seconds=10.0) as cluster:
            cluster.start(*NAMES)
            cluster.run(40)
            return cluster.trace_hash

    assert run() == run()


def test_where_all_are_linked_each_says_its_own_to_each_once_in_10_s_and_passes_on_nothing() -> None:
    frames: Counter[str] = Counter()
    strange: list[str] = []
    keys: dict[str, str] = {}

    def on_trace(text: str) -> None:
        _, room, _, _, frame, *_ = [*text.split(" ", 4), ""]
        if frame.startswith('["summaries",["') and keys:
            frames[room] += 1
            if not frame.startswith(f'["summaries",["{keys[room]}'):
                strange.append(text)

    with Cluster(8, on_trace=on_trace, summary_seconds=10.0) as cluster:
        rooms = cluster.start(*[f"room{number}" for number in range(12)])
        cluster.run(25)
        keys.update({room.name: b64encode(room.key[:30]).decode() for room in rooms})

        cluster.run(30)
        keys.clear()

        assert strange == []
        assert len(frames) == 12
        assert all(3 * 11 <= count <= 4 * 11 for count in frames.values())  # of at most 420 bytes
        assert all(row["version"] is not None for row in rows_of(rooms[0]))
