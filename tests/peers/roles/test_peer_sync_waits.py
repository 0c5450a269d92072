"""Events of other nodes wait before they are passed on, and own events overtake them; what each acknowledgement confirms."""

from __future__ import annotations

from typing import Any

from peers.codec.run_messages import RunHave
from peers.protocol.sync import WINDOW
from peers.roles.run_peer import RunPeerSync
from peers.roles.run_relaying import RELAY_MS
from tests.support.neighbour import Author, Neighbour, asked_neighbour, bring, numbers, sent_pieces, sent_types
from tests.support.pair import Mailbox, Pair, fill

# Two groups


def test_events_that_come_during_a_wait_have_a_wait_of_their_own() -> None:
    stranger = Neighbour().greet()
    stranger.elsewhere("first")
    stranger.clock.advance(RELAY_MS / 2)
    stranger.elsewhere("second")

    stranger.clock.advance(RELAY_MS / 2)
    assert sent_types(stranger.heard) == [["first"]]
    stranger.clock.advance(RELAY_MS - 1)
    assert sent_types(stranger.heard) == [["first"]]
    stranger.clock.advance(1)

    assert sent_types(stranger.heard) == [["first"], ["second"]]


def test_events_of_the_second_group_can_be_named_too() -> None:
    stranger = Neighbour().greet()
    stranger.elsewhere("first")
    stranger.clock.advance(RELAY_MS / 2)
    stranger.elsewhere("second")
    stranger.clock.advance(RELAY_MS / 2)

    stranger.names()
    stranger.clock.advance(RELAY_MS)

    assert sent_types(stranger.heard) == [["first"]]
    assert stranger.role.state == "sending"  # the first is not acknowledged yet


def test_a_stream_of_events_of_other_nodes_is_at_most_two_waits_late() -> None:
    stranger = Neighbour().greet()

    for seq in range(1, 101):
        stranger.elsewhere(str(seq))
        stranger.clock.advance(RELAY_MS / 8)
        sent = [name for names in sent_types(stranger.heard) for name in names]
        assert sent == [str(number) for number in range(1, len(sent) + 1)]
        assert len(sent) >= seq - 16
        if stranger.role.in_flight_count:
            stranger.confirms()


def test_events_of_other_nodes_wait_for_an_end_that_is_far_behind_too() -> None:
    stranger = Neighbour().greet()
    fill(stranger.log, 30)  # in a burst all nodes are behind, and must not all send the same events
    stranger.heard.clear()

    stranger.elsewhere()
    assert sent_pieces(stranger.heard) == []
    stranger.clock.advance(RELAY_MS)

    assert sent_types(stranger.heard) == [["r"]]


def test_all_events_of_a_group_are_sent_together_after_the_wait() -> None:
    pair, attic = Pair().meet(), Author()
    names = [f"r{seq:05}" for seq in range(1, 5_001)]
    for first in range(0, 5_000, 500):
        bring(pair.left.log, attic.write(*names[first : first + 500]))

    pair.clock.advance(2 * RELAY_MS)

    assert pair.right.log.types == names
    assert pair.left.state == "synchronized"


# Own events first


def test_an_own_event_overtakes_waiting_ones_and_is_sent_once() -> None:
    stranger = Neighbour().greet()
    stranger.elsewhere("theirs")

    stranger.log.add({"type": "own"})
    assert sent_types(stranger.heard) == [["own"]]
    stranger.clock.advance(2 * RELAY_MS)

    assert sent_types(stranger.heard) == [["own"], ["theirs"]]


def test_each_own_event_overtakes_at_once() -> None:
    stranger = Neighbour().greet()
    stranger.elsewhere("theirs")

    stranger.log.add({"type": "one"})
    stranger.log.add({"type": "two"})
    stranger.clock.advance(2 * RELAY_MS)

    assert sent_types(stranger.heard) == [["one"], ["two"], ["theirs"]]


def test_an_own_event_does_not_overtake_events_that_do_not_wait() -> None:
    stranger = Neighbour().greet()
    for number in range(WINDOW + 1):
        stranger.log.add({"type": f"own{number}"})  # the last one finds the window closed
    stranger.elsewhere("theirs")
    stranger.log.add({"type": "last"})
    stranger.heard.clear()

    stranger.confirms(WINDOW)

    assert sent_types(stranger.heard) == [[f"own{WINDOW}"], ["last"]]


def test_a_thousand_own_events_overtake_in_pages_and_each_is_sent_once() -> None:
    stranger = Neighbour().greet()
    stranger.elsewhere("theirs")

    names = fill(stranger.log, 1_200)
    own: list[str] = []
    while latest := stranger.heard[:]:
        own += [name for types in sent_types(latest) for name in types]
        stranger.heard.clear()
        stranger.confirms(numbers(latest)[-1])
    stranger.clock.advance(2 * RELAY_MS)

    assert own == names
    assert sent_types(stranger.heard) == [["theirs"]]


def test_nothing_is_read_while_only_events_of_others_wait() -> None:
    stranger, log = asked_neighbour()
    log.add({"type": "own"})
    log.answer()
    stranger.confirms(1)

    stranger.elsewhere()

    assert log.asked == 0


# Acknowledgements


def test_the_acknowledgement_of_an_event_that_overtook_does_not_confirm_those_that_it_passed() -> None:
    stranger = Neighbour().greet()
    stranger.elsewhere()
    stranger.log.add({"type": "own"})

    stranger.confirms(1)
    assert (stranger.role.synced, stranger.role.lag, stranger.role.state) == (0, 2, "sending")
    stranger.clock.advance(RELAY_MS)
    assert sent_types(stranger.heard) == [["own"], ["r"]]
    assert (stranger.role.synced, stranger.role.lag, stranger.role.state) == (0, 2, "sending")
    stranger.confirms(2)

    assert (stranger.role.synced, stranger.role.lag, stranger.role.state) == (2, 0, "synchronized")


def test_the_acknowledgement_of_overtaken_events_confirms_up_to_the_next_that_waits() -> None:
    stranger, loft = Neighbour().greet(), Author("loft", 201)
    stranger.elsewhere("first")
    stranger.clock.advance(RELAY_MS / 2)
    bring(stranger.log, loft.write("second"))
    stranger.log.add({"type": "own"})
    stranger.clock.advance(RELAY_MS / 2)
    assert sent_types(stranger.heard) == [["own"], ["first"]]

    stranger.confirms(1)
    assert stranger.role.synced == 0
    stranger.confirms(2)

    assert (stranger.role.synced, stranger.role.lag, stranger.role.state) == (1, 2, "sending")
    assert not stranger.role.is_owing


def test_events_that_need_no_sending_are_confirmed_while_a_page_of_own_events_is_read() -> None:
    stranger, log = asked_neighbour()
    log.add({"type": "sent"})
    log.answer()
    piece = stranger.attic.write()
    stranger.names()
    bring(log, piece)  # the other end has it already
    log.answer()
    stranger.elsewhere()
    log.add({"type": "own"})
    assert log.asked == 1 and stranger.role.synced == 0

    stranger.confirms(1)

    assert (stranger.role.synced, stranger.role.lag) == (2, 2)


def test_an_event_that_overtook_is_sent_again_if_it_was_lost_with_the_link() -> None:
    stranger = Neighbour().greet()
    stranger.elsewhere("theirs")
    stranger.log.add({"type": "own"})
    stranger.theirs.disconnect()
    assert stranger.role.lag == 2
    stranger.heard.clear()

    stranger.dialler.connect()
    stranger.greet(forgets=False)

    assert sent_types(stranger.heard) == [["theirs", "own"]]


# Timers


def test_the_wait_ends_with_the_link() -> None:
    pair = Pair().meet()
    pair.mute("left")
    bring(pair.left.log, Author().write())

    pair.cut()

    assert pair.clock.waiting == 0


def test_the_wait_ends_with_the_role() -> None:
    pair = Pair().meet()
    pair.mute("left")
    bring(pair.left.log, Author().write())

    pair.destroy()

    assert pair.clock.waiting == 0
    assert not pair.left.log.listeners["commit"]


def test_no_wait_begins_when_the_other_end_closes_the_link_at_a_have() -> None:
    class Touchy(RunPeerSync):
        def dispatch(self, message: Any) -> None:
            if isinstance(message, RunHave):
                self.hang_up("no gossip")
            else:
                super().dispatch(message)

    pair = Pair(right_role=Touchy).meet()

    bring(pair.left.log, Author().write())

    assert not pair.left.connected
    assert pair.clock.waiting == 0


def test_an_own_event_is_found_behind_many_pages_of_waiting_ones() -> None:
    mailbox = Mailbox()
    stranger = Neighbour(turn=mailbox.turn)
    mailbox.work()
    stranger.greet()
    mailbox.work()
    stranger.heard.clear()

    for _ in range(5):
        stranger.elsewhere(*["x" * 800] * 300)
    stranger.log.add({"type": "own"})
    mailbox.work()

    assert sent_types(stranger.heard) == [["own"]]
    assert stranger.errors == []


def test_no_timer_is_set_while_nothing_waits() -> None:
    stranger = Neighbour(timeout=None, ping=None).greet()
    stranger.elsewhere()
    assert stranger.clock.waiting == 2  # what is passed on, and the next `have`

    stranger.clock.advance(RELAY_MS)

    assert stranger.clock.waiting == 0


def test_a_wait_of_a_lost_link_does_not_count_on_the_next() -> None:
    mailbox = Mailbox()
    stranger = Neighbour(turn=mailbox.turn, timeout=None, ping=None)
    mailbox.work()
    stranger.greet()
    mailbox.work()
    stranger.elsewhere()
    mailbox.work()
    stranger.theirs.disconnect()
    stranger.clock.advance(RELAY_MS)  # the reaction to the end of the wait runs on the next link
    late = mailbox.waiting.pop()
    mailbox.work()
    stranger.dialler.connect()
    mailbox.work()
    stranger.greet(ends=stranger.attic.ends)
    mailbox.work()
    stranger.elsewhere()
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
