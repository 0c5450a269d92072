"""What a node gets back after a loss, and events with several dots."""

from __future__ import annotations

from peers.clock import ManualClock
from peers.codec.run_messages import Fill
from peers.events.entry import Entry
from peers.events.piece import Piece
from peers.roles.run_relaying import RELAY_MS
from tests.support.neighbour import Author, Neighbour, messages, names_of, sent_pieces, sent_types
from tests.support.pair import NOW_MS, Pair, fill, open_log
from tests.support.run_house import hollowed

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
    stranger = Neighbour(log=pair.left.log)
    stranger.greet("right", {pair.left.epoch: pair.left.ends.get(pair.left.epoch)})
    assert sent_pieces(stranger.heard) == []
    stranger.theirs.disconnect()

    stranger.dialler.connect()
    stranger.greet("right", forgets=False)

    assert sent_types(stranger.heard) == [names]


def test_a_reconnect_of_two_equal_logs_costs_a_greeting_each() -> None:
    pair = Pair().meet()
    fill(pair.left.log, 3)
    pair.right.log.add({"type": "r"})
    pair.cut()
    pair.forget()

    pair.connect()

    assert names_of(pair.left_sent) == ["connect", "same"]
    assert names_of(pair.right_sent) == ["connected", "same"]


# An event that two nodes accepted


def test_an_event_accepted_at_two_nodes_has_an_entry_of_each_on_both() -> None:
    pair = Pair()
    for log in (pair.left.log, pair.right.log):
        log.add({"type": "a"}, {"created": (5, "client", 0)})

    pair.connect()

    assert pair.left.log.types == pair.right.log.types == ["a"]
    assert pair.left.log.store.ends() == pair.right.log.store.ends()
    assert len(pair.left.log.ends) == 2
    assert (pair.right.log.last_added, pair.right.log.state.last_position) == (1, 2)
    assert pair.left.state == "synchronized"


def test_of_two_different_copies_both_nodes_show_the_same_one() -> None:
    pair = Pair().meet()
    pair.cut()
    pair.left.log.add({"type": "one"}, {"created": (5, "client", 0)})
    pair.right.log.add({"type": "two"}, {"created": (5, "client", 0)})

    pair.connect()

    assert pair.left.log.types == pair.right.log.types
    assert len(pair.left.log.types) == 1


def test_an_event_that_is_known_from_its_owner_is_given_to_who_has_it_as_a_leaf() -> None:
    stranger = Neighbour().greet()
    piece = stranger.own.write("a")

    stranger.sends(hollowed(piece))
    hollow = messages(stranger.heard, "have")
    stranger.tell(Fill(2, (((piece.epoch, 1), entry_of(piece)),)))

    assert hollow == [["have", {}, [[piece.epoch, 1, 1]], [], None, []]]
    assert stranger.log.types == ["a"]
    assert stranger.heard[-1] == ["synced", 2]


def test_a_fill_that_is_not_what_the_leaf_says_is_acknowledged_and_changes_nothing() -> None:
    stranger = Neighbour().greet()
    piece = stranger.own.write("a")
    stranger.sends(hollowed(piece))

    stranger.tell(Fill(2, (((piece.epoch, 1), entry_of(Author("stranger", 100).write("forged"))),)))

    assert (stranger.log.types, stranger.log.state.hollow) == ([], 1)
    assert stranger.heard[-1] == ["synced", 2]


def entry_of(piece: Piece) -> Entry:
    (item,) = piece.items
    assert isinstance(item, Entry)
    return item


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

    def count_sent_pieces(self) -> int:
        return sum(len(sent_pieces(pair.left_sent)) + len(sent_pieces(pair.right_sent)) for pair in self.pairs.values())


def test_an_event_is_relayed_along_a_line_of_three() -> None:
    house = House("abc", ["ab", "bc"])

    house.logs["a"].add({"type": "from a"})
    house.logs["c"].add({"type": "from c"})
    house.clock.advance(RELAY_MS)

    assert list(house.types.values()) == [["from a", "from c"]] * 3
    assert house.count_sent_pieces() == 4


def test_in_a_ring_of_four_each_event_is_stored_once_and_traffic_ends() -> None:
    house = House("abcd", ["ab", "bc", "cd", "da"])

    for name, log in house.logs.items():
        log.add({"type": name})
    house.clock.advance(2 * RELAY_MS)

    assert list(house.types.values()) == [["a", "b", "c", "d"]] * 4
    assert {log.last_added for log in house.logs.values()} == {4}
    assert house.count_sent_pieces() == 4 * 3  # to both neighbours, and from one of them to the one opposite


def test_a_node_that_joins_late_gets_relayed_events_of_a_node_that_is_gone() -> None:
    house = House("abc", ["ab"])
    house.logs["a"].add({"type": "old"})
    house.pairs["ab"].destroy()

    Pair(
        clock=house.clock, left={"node_id": "b", "log": house.logs["b"]}, right={"node_id": "c", "log": house.logs["c"]}
    ).connect()

    assert house.logs["c"].types == ["old"]
