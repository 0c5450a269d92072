"""Events of other nodes wait before they are passed on, and own events overtake them; what each acknowledgement confirms."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from peers.protocol.sync import WINDOW
from peers.roles.peer import RELAY_MS, PeerSync
from tests.support.pair import Mailbox, Pair, Stranger, asked_stranger, fill, hello, received, sent_types, syncs

# Two groups


def test_events_that_come_during_a_wait_have_a_wait_of_their_own() -> None:
    stranger = Stranger().greet()
    stranger.log.add_entries([received(1, "first")])
    stranger.clock.advance(RELAY_MS / 2)
    stranger.log.add_entries([received(2, "second")])

    stranger.clock.advance(RELAY_MS / 2)
    assert sent_types(stranger.heard) == [["first"]]
    stranger.clock.advance(RELAY_MS - 1)
    assert sent_types(stranger.heard) == [["first"]]
    stranger.clock.advance(1)

    assert sent_types(stranger.heard) == [["first"], ["second"]]


def test_events_of_the_second_group_can_be_named_too() -> None:
    stranger = Stranger().greet()
    stranger.log.add_entries([received(1, "first")])
    stranger.clock.advance(RELAY_MS / 2)
    stranger.log.add_entries([received(2, "second")])
    stranger.clock.advance(RELAY_MS / 2)

    stranger.say("have", {"e": [[2, 2]]})
    stranger.clock.advance(RELAY_MS)

    assert sent_types(stranger.heard) == [["first"]]
    assert stranger.role.state == "sending"  # the first is not acknowledged yet


def test_a_stream_of_events_of_other_nodes_is_at_most_two_waits_late() -> None:
    stranger = Stranger().greet()

    for seq in range(1, 101):
        stranger.log.add_entries([received(seq, str(seq))])
        stranger.clock.advance(RELAY_MS / 8)
        sent = [name for names in sent_types(stranger.heard) for name in names]
        assert sent == [str(number) for number in range(1, len(sent) + 1)]
        assert len(sent) >= seq - 16
        for message in syncs(stranger.heard)[-1:]:
            stranger.say("synced", message[1])


def test_events_of_other_nodes_wait_for_an_end_that_is_far_behind_too() -> None:
    stranger = Stranger().greet()
    fill(stranger.log, 30)  # in a burst all nodes are behind, and must not all send the same events
    stranger.heard.clear()

    stranger.log.add_entries([received(1)])
    assert syncs(stranger.heard) == []
    stranger.clock.advance(RELAY_MS)

    assert sent_types(stranger.heard) == [["r"]]


def test_all_events_of_a_group_are_sent_together_after_the_wait() -> None:
    pair = Pair().meet()
    names = [f"r{seq:05}" for seq in range(1, 5_001)]
    for first in range(0, 5_000, 500):
        pair.left.log.add_entries([received(first + n + 1, names[first + n]) for n in range(500)])

    pair.clock.advance(2 * RELAY_MS)

    assert pair.right.log.types == names
    assert pair.left.state == "synchronized"


# Own events first


def test_an_own_event_overtakes_waiting_ones_and_is_sent_once() -> None:
    stranger = Stranger().greet()
    stranger.log.add_entries([received(1, "theirs")])

    stranger.log.add({"type": "own"})
    assert sent_types(stranger.heard) == [["own"]]
    stranger.clock.advance(2 * RELAY_MS)

    assert sent_types(stranger.heard) == [["own"], ["theirs"]]


def test_each_own_event_overtakes_at_once() -> None:
    stranger = Stranger().greet()
    stranger.log.add_entries([received(1, "theirs")])

    stranger.log.add({"type": "one"})
    stranger.log.add({"type": "two"})
    stranger.clock.advance(2 * RELAY_MS)

    assert sent_types(stranger.heard) == [["one"], ["two"], ["theirs"]]


def test_an_own_event_does_not_overtake_events_that_do_not_wait() -> None:
    stranger = Stranger().greet()
    for number in range(WINDOW + 1):
        stranger.log.add({"type": f"own{number}"})  # the last one finds the window closed
    stranger.log.add_entries([received(1, "theirs")])
    stranger.log.add({"type": "last"})
    stranger.heard.clear()

    for number in range(1, WINDOW + 1):
        stranger.say("synced", number)

    assert sent_types(stranger.heard) == [[f"own{WINDOW}"], ["last"]]


def test_a_thousand_own_events_overtake_in_pages_and_each_is_sent_once() -> None:
    stranger = Stranger().greet()
    stranger.log.add_entries([received(1, "theirs")])

    names = fill(stranger.log, 1_200)
    own: list[str] = []
    while latest := stranger.heard[:]:
        own += [name for types in sent_types(latest) for name in types]
        stranger.heard.clear()
        stranger.say("synced", syncs(latest)[-1][1])
    stranger.clock.advance(2 * RELAY_MS)

    assert own == names
    assert sent_types(stranger.heard) == [["theirs"]]


def test_own_events_are_looked_for_only_when_there_are_some() -> None:
    stranger, log = asked_stranger()
    log.add({"type": "own"})
    log.answer()
    stranger.say("synced", 1)

    log.add_entries([received(1)])

    assert log.asked == 0


def test_a_page_without_new_own_events_is_not_read_again() -> None:
    stranger, log = asked_stranger()
    log.add_entries([received(1)])
    log.add({"type": "own"})
    stranger.say("have", {log.published.epoch: [[1, 1]]})

    log.answer(1)

    assert log.asked == 0
    assert stranger.role.state == "sending"  # the waiting event is not sent yet
    stranger.clock.advance(RELAY_MS)
    log.answer()
    stranger.say("synced", 2)
    assert (stranger.role.state, stranger.role.lag) == ("synchronized", 0)


# Acknowledgements


def test_the_acknowledgement_of_an_event_that_overtook_does_not_confirm_those_that_it_passed() -> None:
    stranger = Stranger().greet()
    stranger.log.add_entries([received(1)])
    stranger.log.add({"type": "own"})
    assert [message[1] for message in syncs(stranger.heard)] == [2]

    stranger.say("synced", 2)

    assert (stranger.role.synced, stranger.role.lag, stranger.role.state) == (0, 2, "sending")
    stranger.clock.advance(RELAY_MS)
    assert [message[1] for message in syncs(stranger.heard)] == [2, 2]
    assert (stranger.role.synced, stranger.role.lag, stranger.role.state) == (0, 2, "sending")
    stranger.say("synced", 2)
    assert (stranger.role.synced, stranger.role.lag, stranger.role.state) == (2, 0, "synchronized")


def test_two_messages_of_one_number_are_acknowledged_one_by_one() -> None:
    stranger = Stranger().greet()
    stranger.log.add_entries([received(1)])
    stranger.log.add({"type": "own"})
    stranger.clock.advance(RELAY_MS)
    assert [message[1] for message in syncs(stranger.heard)] == [2, 2]

    stranger.say("synced", 2)
    assert (stranger.role.synced, stranger.role.state) == (0, "sending")
    stranger.say("synced", 2)

    assert (stranger.role.synced, stranger.role.state) == (2, "synchronized")


def test_the_acknowledgement_of_overtaken_events_confirms_up_to_their_mark() -> None:
    stranger = Stranger().greet()
    stranger.log.add_entries([received(1)])
    stranger.clock.advance(RELAY_MS / 2)
    stranger.log.add_entries([received(2)])
    stranger.log.add({"type": "own"})
    stranger.clock.advance(RELAY_MS / 2)
    assert [message[1] for message in syncs(stranger.heard)] == [3, 1]

    stranger.say("synced", 3)
    assert stranger.role.synced == 0
    stranger.say("synced", 1)

    assert (stranger.role.synced, stranger.role.lag, stranger.role.state) == (1, 2, "sending")


def test_an_acknowledgement_covers_messages_that_were_sent_before_even_with_a_higher_number() -> None:
    stranger = Stranger().greet()
    stranger.log.add_entries([received(1)])
    stranger.clock.advance(RELAY_MS / 2)
    stranger.log.add_entries([received(2)])
    stranger.log.add({"type": "own"})
    stranger.clock.advance(RELAY_MS / 2)
    assert [message[1] for message in syncs(stranger.heard)] == [3, 1]

    stranger.say("synced", 1)

    assert not stranger.role.is_owing
    assert (stranger.role.synced, stranger.role.lag) == (1, 2)


def test_events_that_need_no_sending_are_confirmed_while_a_page_of_own_events_is_read() -> None:
    stranger, log = asked_stranger()
    log.add({"type": "sent"})
    log.answer()
    stranger.say("have", {"e": [[1, 1]]})
    log.add_entries([received(1)])  # the other end has it already
    log.answer()
    log.add_entries([received(2)])
    log.add({"type": "own"})
    assert log.asked == 1 and stranger.role.synced == 0

    stranger.say("synced", 1)

    assert (stranger.role.synced, stranger.role.lag) == (2, 2)


def test_an_event_that_overtook_is_sent_again_if_it_was_lost_with_the_link() -> None:
    stranger = Stranger().greet()
    stranger.log.add_entries([received(1, "theirs")])
    stranger.log.add({"type": "own"})
    stranger.theirs.disconnect()
    assert stranger.role.lag == 2
    stranger.heard.clear()

    stranger.dialler.connect()
    stranger.say("connect", 5, "stranger", 0, {"peer": hello()})

    assert sent_types(stranger.heard) == [["theirs", "own"]]


# Timers


def test_the_wait_ends_with_the_link() -> None:
    pair = Pair().meet()
    pair.mute("left")
    pair.left.log.add_entries([received(1)])

    pair.cut()

    assert pair.clock.waiting == 0


def test_the_wait_ends_with_the_role() -> None:
    pair = Pair().meet()
    pair.mute("left")
    pair.left.log.add_entries([received(1)])

    pair.destroy()

    assert pair.clock.waiting == 0
    assert not pair.left.log.listeners["commit"]


def test_no_wait_begins_when_the_other_end_closes_the_link_at_a_have() -> None:
    class Touchy(PeerSync):
        def have_message(self, vector: Mapping[str, Any]) -> None:
            self.hang_up("no gossip")

    pair = Pair(right_role=Touchy).meet()

    pair.left.log.add_entries([received(1)])

    assert not pair.left.connected
    assert pair.clock.waiting == 0


def test_an_own_event_is_found_behind_many_pages_of_waiting_ones() -> None:
    mailbox = Mailbox()
    stranger = Stranger(turn=mailbox.turn).greet()
    mailbox.work()
    stranger.heard.clear()

    for first in range(1, 1_500, 300):
        stranger.log.add_entries([received(seq, "x" * 1_000) for seq in range(first, first + 300)])
    stranger.log.add({"type": "own"})
    mailbox.work()

    assert [message[2]["type"] for message in stranger.heard if message[0] == "sync"] == ["own"]
    assert stranger.errors == []


def test_no_timer_is_set_while_nothing_waits() -> None:
    stranger = Stranger(timeout=None, ping=None).greet()
    stranger.log.add_entries([received(1)])
    assert stranger.clock.waiting == 2  # what is passed on, and the next `have`

    stranger.clock.advance(RELAY_MS)

    assert stranger.clock.waiting == 0


def test_a_wait_of_a_lost_link_does_not_count_on_the_next() -> None:
    mailbox = Mailbox()
    stranger = Stranger(turn=mailbox.turn, timeout=None, ping=None)
    stranger.greet()
    mailbox.work()
    stranger.log.add_entries([received(1)])
    mailbox.work()
    stranger.theirs.disconnect()
    stranger.clock.advance(RELAY_MS)  # the reaction to the end of the wait runs on the next link
    late = mailbox.waiting.pop()
    mailbox.work()
    stranger.dialler.connect()
    stranger.greet(vector={"e": [[1, 1]]})
    mailbox.work()
    stranger.log.add_entries([received(2)])
    mailbox.work()
    stranger.heard.clear()

    late()
    mailbox.work()
    assert stranger.clock.waiting == 2
    stranger.clock.advance(RELAY_MS - 1)
    mailbox.work()
    assert stranger.heard == []
    stranger.clock.advance(1)
    mailbox.work()

    assert sent_types(stranger.heard) == [["r"]]
    assert stranger.clock.waiting == 0
