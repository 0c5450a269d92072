"""Links that end soon after their greeting, again and again: both ends wait longer and longer before they dial."""

from __future__ import annotations

from mesh.lab import Cluster
from mesh.membership.dialling.dial_backoff import BRIEF_SECONDS, FREE_BRIEF_LINKS, MAX_BACKOFF_SECONDS, DialBackoff


def test_the_first_brief_links_cause_no_pause() -> None:
    backoff = DialBackoff("attic~1")

    pauses = [backoff.on_link_end("study~2", 0.1, now) for now in range(int(FREE_BRIEF_LINKS))]

    assert pauses == [None] * int(FREE_BRIEF_LINKS)
    assert not backoff.is_paused("study~2", FREE_BRIEF_LINKS)


def test_the_pause_grows_up_to_its_limit_and_ends() -> None:
    backoff, now = DialBackoff("attic~1"), 0.0
    pauses: list[float] = []

    for _ in range(12):
        pause = backoff.on_link_end("study~2", 0.1, now)
        if pause is not None:
            assert backoff.is_paused("study~2", now + 0.9 * pause)
            pauses.append(pause)
        now += pause or 1.0
        assert not backoff.is_paused("study~2", now)

    assert 0.9 < pauses[0] < 2.1
    assert MAX_BACKOFF_SECONDS / 2 <= pauses[-1] <= MAX_BACKOFF_SECONDS
    assert max(pauses) <= MAX_BACKOFF_SECONDS


def test_a_link_that_lasted_resets_the_count() -> None:
    backoff = DialBackoff("attic~1")
    for now in range(9):
        backoff.on_link_end("study~2", 0.1, now)

    assert backoff.on_link_end("study~2", BRIEF_SECONDS, 20.0) is None
    assert not backoff.is_paused("study~2", 20.0)
    assert backoff.on_link_end("study~2", 0.1, 21.0) is None


def test_neighbours_dial_a_node_with_a_full_disk_less_and_less_often_until_it_restarts() -> None:
    with Cluster(0, traces=False) as cluster:
        kitchen, study, attic = cluster.start("kitchen", "study", "attic")
        cluster.settle("they have met")
        cluster.disk_full(attic)
        study.log.add({"type": "ink"})
        cluster.run(300)
        before = len(cluster.dials)

        cluster.run(300)
        assert len(cluster.dials) - before < 120  # of two neighbours and itself; about 200 before there was a back-off

        cluster.disk_full(attic, is_full=False)
        cluster.restart(attic)
        cluster.settle("there is room", limit_seconds=10)
        assert attic.types == kitchen.types == ["ink"]
