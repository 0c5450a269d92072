"""`room.log` in a story: it has what `node.log` has, and lets virtual time pass in place of waiting."""

from __future__ import annotations

import pytest

from mesh.lab import Cluster
from peers.stores.store import StoreError


def test_a_story_reads_the_log_of_a_room_as_an_application_does() -> None:
    with Cluster(3) as cluster:
        kitchen, study = cluster.start("kitchen", "study")
        milk = kitchen.log.add({"type": "milk"}).get()
        assert milk is not None
        cluster.settle("both have the milk")
        began = cluster.seconds

        assert [(event["type"], meta["added"]) for event, meta in study.log.each()] == [("milk", 1)]
        assert [entry.event for entry in study.log.page(limit=5).get()] == [{"type": "milk"}]
        found = study.log.find(milk["created"]).get()

        assert found is not None and found.event == {"type": "milk"}
        assert study.log.last_added == 1
        assert began < cluster.seconds < began + 1


def test_what_a_story_adds_in_a_batch_must_survive_like_any_other_event() -> None:
    with Cluster(3) as cluster:
        (kitchen,) = cluster.start("kitchen")

        kitchen.log.add_batch([({"type": "milk"}, None), ({"no": "type"}, None)]).get()

        assert len(kitchen.acknowledged) == 1
        assert [created for created, _ in cluster.checker.ledger.acknowledged] == [*kitchen.acknowledged]


def test_a_story_takes_an_event_back_as_an_application_does() -> None:
    with Cluster(3) as cluster:
        kitchen, study = cluster.start("kitchen", "study")
        milk = kitchen.log.add({"type": "milk"}).get()
        study.log.add({"type": "bread"})
        cluster.settle("both have both")
        study.log.undo(milk, "spilt").get()
        cluster.settle("both know")

        assert [event["type"] for event, _ in kitchen.log.each(undone=False)] == ["bread", "logux/undo"]
        assert len(study.acknowledged) == 2


def test_a_story_cannot_read_the_log_of_a_room_that_is_off() -> None:
    with Cluster(3) as cluster:
        (kitchen,) = cluster.start("kitchen")
        kitchen.log.add({"type": "milk"}).get()
        walk = kitchen.log.each()
        cluster.crash(kitchen)

        with pytest.raises(
            RuntimeError, match="kitchen does not run: start it before its log is used; `entries` shows"
        ):
            kitchen.log.page()
        with pytest.raises(RuntimeError, match="kitchen does not run"):
            list(walk)
        assert kitchen.types == ["milk"]


def test_a_read_in_a_frozen_room_ends_in_virtual_time() -> None:
    with Cluster(3) as cluster:
        (kitchen,) = cluster.start("kitchen")
        cluster.freeze(kitchen)
        began = cluster.seconds

        with pytest.raises(TimeoutError, match="no result within 60 s of virtual time"):
            list(kitchen.log.each())

        assert cluster.seconds == began + 60


def test_a_read_that_a_crash_overtakes_fails() -> None:
    with Cluster(3) as cluster:
        (kitchen,) = cluster.start("kitchen")
        page = kitchen.log.page()
        cluster.crash(kitchen)

        with pytest.raises((StoreError, TimeoutError)):
            page.get()


def test_a_listener_of_a_story_that_fails_fails_the_run() -> None:
    def listen(event: dict[str, object], _meta: object) -> None:
        assert event["type"] == "bread"

    with pytest.raises(AssertionError, match="milk"), Cluster(3) as cluster:
        (kitchen,) = cluster.start("kitchen")
        kitchen.log.on("event", listen)
        kitchen.log.add({"type": "milk"})
        cluster.run(1)


def test_the_same_seed_gives_a_story_the_same_choices() -> None:
    drawn = []
    for _ in range(2):
        with Cluster(7) as cluster:
            drawn.append([cluster.random.random() for _ in range(3)])

    assert drawn[0] == drawn[1]
    with Cluster(8) as cluster:
        assert cluster.random.random() != drawn[0][0]
