"""What a node gets back after a loss, and events with several dots."""

from __future__ import annotations

from peers.clock import ManualClock
from peers.events.entry import Entry, encode_event
from peers.events.version_vector import VersionVector
from peers.roles.peer import RELAY_MS
from peers.stores.memory import MemoryStore
from tests.support.pair import NOW_MS, Pair, Stranger, fill, hello, open_log, syncs, wire_event

# Wiped, restored, rolled back


def test_a_wiped_neighbour_gets_everything_back_with_its_own_events() -> None:
    clock = ManualClock(NOW_MS)
    pair = Pair(clock=clock).meet()
    pair.left.log.add({"type": "theirs"})
    pair.right.log.add({"type": "own"})
    before = pair.right.log.entries
    pair.destroy()

    again = Pair(clock=clock, left={"log": pair.left.log}, right={"seed": 1}).connect()

    assert again.right.log.types == ["theirs", "own"]
    assert again.right.log.entries == before


def test_a_wiped_neighbour_gets_everything_back_over_the_same_session_too() -> None:
    pair = Pair().meet()
    names = fill(pair.left.log, 3)
    pair.cut()
    stranger = Stranger(log=pair.left.log)
    stranger.greet("right", {pair.left.log.published.epoch: [[1, 3]]})
    assert syncs(stranger.heard) == []
    stranger.theirs.disconnect()

    stranger.dialler.connect()
    stranger.say("connect", 5, "right", 0, {"peer": hello()})

    assert [event["type"] for event in syncs(stranger.heard)[0][2::2]] == names


def rolled_back_pair(kept: int, written: int) -> tuple[Pair, list[str]]:
    """Left's machine was set back to a snapshot with `kept` events while its process went on, and with it its epoch."""
    clock = ManualClock(NOW_MS)
    before = Pair(clock=clock).meet()
    names = fill(before.left.log, written)
    snapshot = MemoryStore()
    snapshot.open()
    epoch = before.left.log.published.epoch
    with snapshot.transaction():
        snapshot.append(before.left.log.entries[:kept], epoch=epoch, clock_ms=NOW_MS)
    before.destroy()
    clock.advance(1_000)
    pair = Pair(clock=clock, left={"store": snapshot}, right={"log": before.right.log})
    assert pair.left.log.published.epoch == epoch
    return pair, names


def test_a_rolled_back_node_starts_another_epoch_and_gets_back_what_it_lost() -> None:
    pair, names = rolled_back_pair(kept=2, written=5)
    said: list[str] = []
    pair.left.on("rolled-back", lambda: said.append("rolled back"))
    epoch = pair.left.log.published.epoch

    pair.connect()
    assert not pair.left.connected  # its greeting had claimed more than it has: it greets anew
    pair.connect()

    assert said == ["rolled back"]
    assert pair.left.log.published.epoch != epoch
    assert pair.left.log.types == pair.right.log.types == names
    pair.left.log.add({"type": "new"})
    assert pair.right.log.types == [*names, "new"]


def test_events_that_a_rolled_back_node_wrote_since_get_second_dots_and_reach_the_others() -> None:
    pair, names = rolled_back_pair(kept=2, written=5)
    pair.left.log.add({"type": "since"})  # under a dot that the other end has for another event

    pair.connect().connect()

    assert "since" in pair.right.log.types
    assert set(pair.right.log.types) == {*names, "since"}


def test_a_rolled_back_node_that_wrote_since_gets_back_what_it_lost_under_the_same_dots() -> None:
    pair, names = rolled_back_pair(kept=2, written=5)
    pair.left.log.add({"type": "since"})

    pair.connect().connect()

    assert pair.left.log.types == pair.right.log.types
    assert set(pair.left.log.types) == {*names, "since"}


def test_a_rollback_seen_by_two_neighbours_starts_one_epoch_only() -> None:
    pair, _ = rolled_back_pair(kept=1, written=3)
    old = pair.left.log.published.epoch
    other = Stranger(log=pair.left.log)
    pair.connect()
    renewed = pair.left.log.published.epoch

    other.greet("third", {old: [[1, 3]]})

    assert pair.left.log.published.epoch == renewed != old


# Second dots


def test_a_second_dot_travels_without_the_event_being_stored_twice() -> None:
    pair = Pair().meet()
    body = encode_event({"type": "a"})
    pair.left.log.add_entries([Entry((1, "client", 0), 1, body, b"", ("f", 1))])

    pair.left.log.add_entries([Entry((1, "client", 0), 1, body, b"", ("g", 1))])
    pair.clock.advance(2 * RELAY_MS)

    assert pair.right.log.types == ["a"]
    assert pair.right.log.published.state.vector == VersionVector({"f": [(1, 1)], "g": [(1, 1)]})
    assert pair.right.log.last_added == 1
    assert pair.left.state == "synchronized"


def test_an_event_accepted_at_two_nodes_gets_both_dots_on_both() -> None:
    pair = Pair()
    for log in (pair.left.log, pair.right.log):
        log.add({"type": "a"}, {"created": (5, "client", 0)})

    pair.connect()

    assert pair.left.log.types == pair.right.log.types == ["a"]
    assert pair.left.log.published.state.vector == pair.right.log.published.state.vector
    assert len(pair.left.log.published.state.vector) == 2


def test_of_two_different_copies_both_nodes_show_the_same_one() -> None:
    pair = Pair().meet()
    pair.cut()
    pair.left.log.add({"type": "one"}, {"created": (5, "client", 0)})
    pair.right.log.add({"type": "two"}, {"created": (5, "client", 0)})

    pair.connect()

    assert pair.left.log.types == pair.right.log.types
    assert len(pair.left.log.types) == 1


def test_two_events_under_one_dot_in_one_message_do_not_stop_the_log() -> None:
    stranger = Stranger().greet()
    first, meta = wire_event(1, "first")
    second, _ = wire_event(1, "second")

    stranger.say("sync", 1, first, {**meta, "id": [1, 1]}, second, {**meta, "id": [2, 2]})
    stranger.say("sync", 2, *wire_event(2, "after"))
    own = stranger.log.add({"type": "own"})

    assert [message for message in stranger.heard if message[0] == "synced"] == [["synced", 1], ["synced", 2]]
    assert own.is_done
    assert set(stranger.log.types) >= {"after", "own"}


# More than two


class House:
    """Logs, each with a link to its neighbours."""

    def __init__(self, names: str, links: list[str]) -> None:
        self.clock = ManualClock(NOW_MS)
        self.logs = {name: open_log(name, self.clock) for name in names}
        self.pairs = {
            link: Pair(
                clock=self.clock,
                left={"node_id": link[0], "log": self.logs[link[0]]},
                right={"node_id": link[1], "log": self.logs[link[1]]},
            )
            for link in links
        }
        for pair in self.pairs.values():
            pair.connect()

    @property
    def types(self) -> dict[str, list[str]]:
        return {name: log.types for name, log in self.logs.items()}

    def count_syncs(self) -> int:
        return sum(len(syncs(pair.left_sent)) + len(syncs(pair.right_sent)) for pair in self.pairs.values())


def test_an_event_is_relayed_along_a_line_of_three() -> None:
    house = House("abc", ["ab", "bc"])

    house.logs["a"].add({"type": "from a"})
    house.logs["c"].add({"type": "from c"})
    house.clock.advance(RELAY_MS)

    assert list(house.types.values()) == [["from a", "from c"]] * 3
    assert house.count_syncs() == 4


def test_in_a_ring_of_four_each_event_is_stored_once_and_traffic_ends() -> None:
    house = House("abcd", ["ab", "bc", "cd", "da"])

    for name, log in house.logs.items():
        log.add({"type": name})
    house.clock.advance(2 * RELAY_MS)

    assert list(house.types.values()) == [["a", "b", "c", "d"]] * 4
    assert {log.last_added for log in house.logs.values()} == {4}
    assert house.count_syncs() == 4 * 3  # to both neighbours, and from one of them to the one opposite


def test_a_node_that_joins_late_gets_relayed_events_of_a_node_that_is_gone() -> None:
    house = House("abc", ["ab"])
    house.logs["a"].add({"type": "old"})
    house.pairs["ab"].destroy()

    Pair(
        clock=house.clock, left={"node_id": "b", "log": house.logs["b"]}, right={"node_id": "c", "log": house.logs["c"]}
    ).connect()

    assert house.logs["c"].types == ["old"]
