"""Filters and maps of Logux roles, for sent and for received events."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.logux_pair import Asked, every_dialect, logux, meet_again, met_client, newer_dialects, spawn_at_once
from tests.support.pair import NOW_MS, sent_types, syncs

Event = dict[str, Any]
Meta = dict[str, Any]


def is_public(event: Event, _meta: Meta) -> bool:
    return bool(event["type"] == "public")


def renamed(event: Event, meta: Meta) -> tuple[Event, Meta]:
    return {**event, "type": f"{event['type']}!"}, meta


@every_dialect
def test_only_events_that_the_out_filter_keeps_are_sent(protocol: Any) -> None:
    pair = logux(protocol, left={"out_filter": is_public}).meet()

    pair.left.log.add({"type": "secret"})
    pair.left.log.add({"type": "public"})

    assert sent_types(pair.left_sent) == [["public"]]
    assert pair.left.synced == 2
    assert pair.left.state == "synchronized"


@every_dialect
def test_the_out_filter_applies_to_the_backlog_after_a_connect_too(protocol: Any) -> None:
    pair = logux(protocol, left={"out_filter": is_public, "out_map": renamed})
    pair.left.log.add({"type": "secret"})
    pair.left.log.add({"type": "public"})

    pair.connect()

    assert sent_types(pair.left_sent) == [["public!"]]
    assert pair.right.log.types == ["public!"]


@every_dialect
def test_the_out_filter_is_not_asked_again_about_a_dropped_event_after_a_loss(protocol: Any) -> None:
    asked: list[str] = []

    def out_filter(event: Event, _meta: Meta) -> bool:
        asked.append(event["type"])
        return False

    pair = logux(protocol, left={"out_filter": out_filter}).meet()
    pair.left.log.add({"type": "secret"})

    meet_again(pair)

    assert asked == ["secret"]
    assert syncs(pair.left_sent) == []


@every_dialect
def test_the_out_filter_gets_the_event_and_its_meta(protocol: Any) -> None:
    seen: list[Any] = []
    pair = logux(protocol, left={"out_filter": lambda *shown: seen.append(shown) or True}).meet()

    pair.left.log.add({"type": "a", "text": "b"})

    ((event, meta),) = seen
    assert event == {"type": "a", "text": "b"}
    assert (meta["created"], meta["added"], meta["time"]) == ((NOW_MS, "left", 0), 1, NOW_MS)


@every_dialect
def test_the_out_map_changes_the_event_that_is_sent_and_not_the_stored_one(protocol: Any) -> None:
    pair = logux(protocol, left={"out_map": renamed}).meet()

    pair.left.log.add({"type": "a"})

    assert sent_types(pair.left_sent) == [["a!"]]
    assert pair.left.log.types == ["a"]
    assert pair.right.log.types == ["a!"]


def test_the_out_map_may_change_created() -> None:
    pair = logux(left={"out_map": lambda event, meta: (event, {**meta, "created": (1, "alias", 2)})}).meet()

    pair.left.log.add({"type": "a"})

    assert pair.left_sent == [["sync", 1, {"type": "a"}, [1, "alias", 2]]]


@newer_dialects
def test_the_out_map_may_change_the_meta(protocol: Any) -> None:
    pair = logux(protocol, left={"out_map": lambda event, meta: (event, {**meta, "colour": "red"})}).meet()

    pair.left.log.add({"type": "a"})

    assert pair.left_sent[0][3]["colour"] == "red"
    assert pair.right.log.entries[0].meta["colour"] == "red"


@every_dialect
def test_events_that_the_in_filter_drops_are_confirmed_and_not_stored(protocol: Any) -> None:
    pair = logux(protocol, right={"in_filter": is_public}).meet()

    pair.left.log.add({"type": "secret"})
    pair.left.log.add({"type": "public"})

    assert [message for message in pair.right_sent if message[0] == "synced"] == [["synced", 1], ["synced", 2]]
    assert pair.right.log.types == ["public"]


@every_dialect
def test_the_in_map_changes_the_event_that_is_stored(protocol: Any) -> None:
    pair = logux(protocol, right={"in_map": renamed}).meet()

    pair.left.log.add({"type": "a"})

    assert pair.right.log.types == ["a!"]
    assert pair.left.log.types == ["a"]
    assert syncs(pair.right_sent) == []


@every_dialect
def test_an_event_with_another_created_from_the_in_map_is_not_sent_back(protocol: Any) -> None:
    pair = logux(protocol, right={"in_map": lambda event, meta: (event, {**meta, "created": (1, "alias", 2)})}).meet()

    pair.left.log.add({"type": "a"})

    assert [entry.created for entry in pair.right.log.entries] == [(1, "alias", 2)]
    assert syncs(pair.right_sent) == []


def test_the_in_filter_gets_the_time_as_sent_and_the_in_map_the_time_as_stored() -> None:
    seen: list[Any] = []

    def in_filter(_event: Event, meta: Meta) -> bool:
        seen.append(meta["created"])
        return True

    def in_map(event: Event, meta: Meta) -> tuple[Event, Meta]:
        seen.append(meta["created"])
        return event, meta

    stranger = met_client(fix_time=True, in_filter=in_filter, in_map=in_map)
    stranger.role.dialect.time_fix = 1_000

    stranger.say("sync", 1, {"type": "a"}, [5, "server", 0])

    assert seen == [(5, "server", 0), (1_005, "server", 0)]


@every_dialect
@pytest.mark.parametrize("way", ["in", "out"])
def test_filters_are_called_before_maps(protocol: Any, way: str) -> None:
    seen: list[str] = []

    def keep(event: Event, _meta: Meta) -> bool:
        seen.append(f"filter {event['type']}")
        return bool(event["type"] == "kept")

    def change(event: Event, meta: Meta) -> tuple[Event, Meta]:
        seen.append(f"map {event['type']}")
        return event, meta

    options = {f"{way}_filter": keep, f"{way}_map": change}
    pair = logux(protocol, **{"right" if way == "in" else "left": options}).meet()

    pair.left.log.add({"type": "dropped"})
    pair.left.log.add({"type": "kept"})

    assert seen == ["filter dropped", "filter kept", "map kept"]


@every_dialect
@pytest.mark.parametrize("name", ["out_filter", "in_filter"])
def test_a_filter_may_be_a_coroutine(protocol: Any, name: str) -> None:
    async def keep(event: Event, _meta: Meta) -> bool:
        return bool(event["type"] == "public")

    side = "left" if name == "out_filter" else "right"
    pair = logux(protocol, **{side: {name: keep, "spawn": spawn_at_once}}).meet()

    pair.left.log.add({"type": "secret"})
    pair.left.log.add({"type": "public"})

    assert pair.right.log.types == ["public"]
    assert pair.left.synced == 2


@every_dialect
@pytest.mark.parametrize("name", ["out_map", "in_map"])
def test_a_map_may_be_a_coroutine(protocol: Any, name: str) -> None:
    async def change(event: Event, meta: Meta) -> tuple[Event, Meta]:
        return renamed(event, meta)

    side = "left" if name == "out_map" else "right"
    pair = logux(protocol, **{side: {name: change, "spawn": spawn_at_once}}).meet()

    pair.left.log.add({"type": "a"})

    assert pair.right.log.types == ["a!"]


@every_dialect
def test_a_slow_filter_does_not_change_the_order(protocol: Any) -> None:
    asked = Asked()
    pair = logux(protocol, left={"out_filter": asked}).meet()
    for name in "abc":
        pair.left.log.add({"type": name})
    at_once = len(asked.calls)

    asked.answer(True)
    asked.answer(False)
    asked.answer(True)

    assert at_once == 1
    assert sum(sent_types(pair.left_sent), []) == ["a", "c"]  # noqa: RUF017 - a few lists
    assert pair.left.synced == 3


@every_dialect
def test_a_ping_does_not_overtake_an_event_that_a_filter_holds(protocol: Any) -> None:
    asked = Asked()
    pair = logux(protocol, left={"out_filter": asked, "ping": 1_000, "timeout": 60_000}).meet()
    pair.left.log.add({"type": "a"})

    pair.clock.advance(1_000)
    pings = [message for message in pair.left_sent if message[0] == "ping"]
    meet_again(pair)
    asked.answers[-1].set(True)

    assert pings == [["ping", 0]]
    assert pair.right.log.types == ["a"]
