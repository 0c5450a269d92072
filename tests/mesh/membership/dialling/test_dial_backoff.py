"""Links that end soon after their greeting, again and again: both ends give each other time."""

from __future__ import annotations

from mesh.lab import Cluster
from mesh.membership.dialling.dial_backoff import BRIEF_SECONDS, FORGIVEN, MAX_REST_SECONDS, DialBackoff


def test_the_first_brief_links_mean_nothing() -> None:
    links = DialBackoff("attic~1")

    rests = [links.note("study~2", 0.1, now) for now in range(int(FORGIVEN))]

    assert rests == [None] * int(FORGIVEN)
    assert not links.is_resting("study~2", FORGIVEN)


def test_the_rest_grows_up_to_its_limit_and_ends() -> None:
    links, now = DialBackoff("attic~1"), 0.0
    rests: list[float] = []

    for _ in range(12):
        rest = links.note("study~2", 0.1, now)
        if rest is not None:
            assert links.is_resting("study~2", now + 0.9 * rest)
            rests.append(rest)
        now += rest or 1.0
        assert not links.is_resting("study~2", now)

    assert 0.9 < rests[0] < 2.1
    assert MAX_REST_SECONDS / 2 <= rests[-1] <= MAX_REST_SECONDS
    assert max(rests) <= MAX_REST_SECONDS


def test_a_link_that_lasted_is_forgiven_all() -> None:
    links = DialBackoff("attic~1")
    for now in range(9):
        links.note("study~2", 0.1, now)

    assert links.note("study~2", BRIEF_SECONDS, 20.0) is None
    assert not links.is_resting("study~2", 20.0)
    assert links.note("study~2", 0.1, 21.0) is None


def test_neighbours_of_a_full_disk_come_ever_more_seldom_and_at_once_when_it_is_another_run() -> None:
    with Cluster(0, traces=False) as house:
        kitchen, study, attic = house.start("kitchen", "study", "attic")
        house.settle("they have met")
        house.disk_full(attic)
        study.log.add({"type": "ink"})
        house.run(300)
        before = len(house.dials)

        house.run(300)
        assert len(house.dials) - before < 120  # of two neighbours and itself; about 200 before there were rests

        house.disk_full(attic, is_full=False)
        house.restart(attic)
        house.settle("there is room", limit_seconds=10)
        assert attic.types == kitchen.types == ["ink"]
