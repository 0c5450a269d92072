"""What a Logux client and server hear of entries that come from nodes to the log of the other end."""

from __future__ import annotations

from random import Random
from typing import Any

import pytest

from peers.log.run_tail import TAIL_CHANGES
from peers.log.shown_tail import STEP_EVENTS
from peers.stores.runs.memory import MemoryRunStore
from tests.support.elsewhere import Elsewhere
from tests.support.logux_pair import every_dialect, logux, meet_again, met_client, met_server
from tests.support.pair import HeldDisk, Stranger, fill, sent_types, syncs
from tests.support.run_house import event as written
from tests.support.run_house import leaf, two_that_differ


def met(end: str, protocol: Any) -> Stranger:
    return met_client(protocol) if end == "client" else met_server(protocol)


every_end = pytest.mark.parametrize("end", ["client", "server"])


@every_end
@every_dialect
def test_an_event_of_a_node_is_sent_when_it_is_shown(end: str, protocol: Any) -> None:
    stranger = met(end, protocol)

    Elsewhere().bring(stranger.log, written(1, "first"), written(2, "second"))

    assert sum(sent_types(stranger.heard), []) == ["first", "second"]  # noqa: RUF017 - a few lists


@every_end
@every_dialect
def test_a_further_dot_of_an_event_is_no_news(end: str, protocol: Any) -> None:
    stranger = met(end, protocol)
    Elsewhere(1).bring(stranger.log, written(1, "a"))
    stranger.heard.clear()

    Elsewhere(2).bring(stranger.log, written(1, "a"))

    assert syncs(stranger.heard) == []
    assert stranger.role.lag == 1  # of the event itself


@every_end
@every_dialect
def test_an_event_that_comes_by_a_fill_is_sent_then(end: str, protocol: Any) -> None:
    stranger, attic = met(end, protocol), Elsewhere()
    attic.name(stranger.log, written(1, "late"))
    stranger.log.add({"type": "own"})
    assert sent_types(stranger.heard) == [["own"]]

    attic.fill(stranger.log)

    assert sent_types(stranger.heard) == [["own"], ["late"]]
    assert [message[1] for message in syncs(stranger.heard)] == [1, 2]


@every_end
@every_dialect
def test_a_fill_of_an_event_that_was_sent_is_no_news(end: str, protocol: Any) -> None:
    stranger, attic = met(end, protocol), Elsewhere(1)
    attic.name(stranger.log, written(1, "a"))
    Elsewhere(2).bring(stranger.log, written(1, "a"))
    assert sent_types(stranger.heard) == [["a"]]

    attic.fill(stranger.log)

    assert sent_types(stranger.heard) == [["a"]]


@every_dialect
def test_what_an_end_sent_itself_is_not_sent_back_though_a_node_brings_it_too(protocol: Any) -> None:
    pair = logux(protocol).meet()
    pair.left.log.add({"type": "a"})
    (entry,) = pair.right.log.entries
    pair.forget()

    Elsewhere().bring(pair.right.log, entry)

    assert pair.right_sent == []
    assert [entry.added for entry in pair.right.log.entries] == [1]


@every_end
@every_dialect
def test_an_event_that_replaces_a_losing_copy_is_not_sent_again(end: str, protocol: Any) -> None:
    winner, loser = two_that_differ()
    stranger = met(end, protocol)
    Elsewhere(1).bring(stranger.log, loser)
    stranger.heard.clear()

    Elsewhere(2).bring(stranger.log, winner)
    stranger.log.add({"type": "next"})

    assert stranger.log.types == [winner.event["type"], "next"]
    assert sent_types(stranger.heard) == [["next"]]


@every_dialect
def test_an_end_that_was_away_is_sent_the_copy_that_won(protocol: Any) -> None:
    winner, loser = two_that_differ()
    pair = logux(protocol).meet()
    pair.cut()
    Elsewhere(1).bring(pair.right.log, loser)
    Elsewhere(2).bring(pair.right.log, winner)

    meet_again(pair)

    assert sent_types(pair.right_sent) == [[winner.event["type"]]]
    assert [leaf(entry) for entry in pair.left.log.entries] == [leaf(entry) for entry in pair.right.log.entries]


@every_dialect
def test_an_end_that_was_away_is_sent_each_event_once_however_many_entries_it_has(protocol: Any) -> None:
    pair = logux(protocol).meet()
    events = [written(n, f"e{n:03}") for n in range(1, 2 * STEP_EVENTS)]
    pair.cut()
    for number in (1, 2, 3):
        Elsewhere(number).bring(pair.right.log, *events)

    meet_again(pair)

    assert sum(sent_types(pair.right_sent), []) == [entry.event["type"] for entry in events]  # noqa: RUF017 - a few lists
    assert pair.right.synced == pair.left.other_synced == len(events)


def test_events_that_were_cleaned_meanwhile_are_passed_over() -> None:
    pair = logux(5).meet()
    pair.cut()
    fill(pair.right.log, 10)
    pair.right.log.add({"type": "gone"}, {"reasons": ["r"]})
    pair.right.log.remove_reason("r")

    meet_again(pair)

    assert pair.left.log.types == pair.right.log.types
    assert pair.left.other_synced == 11


@pytest.mark.parametrize("count", [2 * TAIL_CHANGES + 7, 3 * STEP_EVENTS])
def test_a_walk_over_more_than_memory_holds_sends_all_in_their_order(count: int) -> None:
    pair = logux(5)
    names = fill(pair.right.log, count)

    pair.connect()

    assert pair.left.log.types == names
    assert sum(sent_types(pair.right_sent), []) == names  # noqa: RUF017 - a few lists


@pytest.mark.parametrize("is_slow", [False, True], ids=["quick disk", "slow disk"])
@pytest.mark.parametrize("seed", range(20))
def test_a_client_gets_each_event_once_whatever_nodes_bring_meanwhile(seed: int, is_slow: bool) -> None:
    random = Random(seed)
    disk = HeldDisk(store := MemoryRunStore())
    disk.is_holding = is_slow
    pair = logux(random.choice([5, 7]), right={"store": store, "disk": disk})
    log, nodes = pair.right.log, [Elsewhere(number) for number in (1, 2, 3)]
    for _ in range(80):
        node, step = random.choice(nodes), random.randrange(6)
        events = [written(n, f"e{n}") for n in sorted(random.sample(range(1, 60), random.randint(1, 4)))]
        if step == 0 and pair.left.connected:
            pair.cut()
        elif step < 2 and not pair.left.connected:
            meet_again(pair, log)
        elif step == 2:
            log.add({"type": "own"})
        elif step == 3:
            node.name(log, *events)
        elif step == 4:
            node.fill(log)
        else:
            node.bring(log, *events)
        disk.release(random.randrange(4))
    disk.is_holding = False
    disk.release()
    for node in nodes:
        node.fill(log)
    if not pair.left.connected:
        meet_again(pair, log)

    assert log.state.hollow == 0
    assert pair.left.log.types == log.types
    assert pair.left.state == "synchronized"
    sent = [(event["type"], meta["id"]) for message in syncs(pair.right_sent) for event, meta in pairs(message)]
    assert len(sent) == len({str(each) for each in sent}), "each once on this link"


def pairs(message: list[Any]) -> list[tuple[Any, Any]]:
    """The events of a `sync`, each with its meta."""
    return list(zip(message[2::2], message[3::2], strict=True))
