"""Nodes that hear of events from the future, or have clocks of another year."""

from __future__ import annotations

import pytest

from mesh.lab import Cluster
from mesh.lab.simulation.storage import StoreKind

HOUR_MS = 3_600_000
AHEAD_MS = 25 * HOUR_MS + 600_000
YEAR_MS = 8_766 * HOUR_MS
STORES: tuple[StoreKind, ...] = ("memory", "sqlite")


@pytest.mark.parametrize("store", STORES)
def test_an_event_from_25_hours_ahead_is_shown_when_its_time_comes_and_costs_nothing_until_then(
    store: StoreKind,
) -> None:
    with Cluster(1) as house:
        kitchen, study, attic = house.start("kitchen", "study", "attic", store=store)
        house.settle("met")
        house.skew(kitchen, AHEAD_MS)
        kitchen.log.add({"type": "tomorrow"})
        house.run(30)
        house.skew(kitchen, -AHEAD_MS)
        study.log.add({"type": "today"})
        house.run(30)

        assert kitchen.types == ["today", "tomorrow"]  # what was shown stays shown
        assert study.types == attic.types == ["today"]
        assert [house.status(room)["waiting"] for room in (kitchen, study, attic)] == [0, 1, 1]
        came = house.events_came
        house.reset(study, attic)
        house.reset(kitchen, study)
        house.run(60)
        assert house.events_came == came

        house.stop(attic)
        house.start("attic")
        house.run(30)
        assert attic.types == ["today"]
        house.run(700)
        house.assert_converged(["today", "tomorrow"])
        assert house.events_came == came


@pytest.mark.parametrize("years", [-51, 66])
@pytest.mark.parametrize("order", [("kitchen", "study"), ("study", "kitchen")])
def test_a_node_whose_clock_shows_another_year_shows_all_that_the_others_have(
    years: int, order: tuple[str, str]
) -> None:
    with Cluster(1) as house:
        first, second = house.start(*order)
        rooms = {room.name: room for room in (first, second)}
        house.partition([first], [second])
        rooms["study"].log.add({"type": "now"})
        for _ in range(3):
            house.skew(rooms["kitchen"], years // 3 * YEAR_MS)
        house.run(10)
        house.heal()
        house.settle("met again")

        assert "now" in rooms["kitchen"].types
        rooms["kitchen"].log.add({"type": "of another year"})
        house.settle("both")
        house.assert_converged()
