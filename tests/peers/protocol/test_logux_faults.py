"""Sessions with Logux clients and servers with late turns, broken links and slow disks."""

from __future__ import annotations

import contextlib
import json

from peers.roles.client import ClientSync
from peers.roles.server import ServerSync
from tests.support.logux_pair import logux, names
from tests.support.pair import Mailbox, Pair, fill


def test_confirms_nothing_that_was_not_sent_when_the_link_breaks_between_two_messages() -> None:
    pair = logux((0, 1))
    pair.connect()
    broke: list[bool] = []

    def on_message(frame: bytes) -> None:
        if json.loads(frame)[0] == "synced" and not broke:
            broke.append(True)
            pair.local.left.disconnect("cut")

    pair.local.left.on("message", on_message)
    with contextlib.suppress(RuntimeError):
        pair.left.log.add_batch([({"type": "a"}, None), ({"type": "b"}, None)])

    assert [event["type"] for event in pair.right.log.store and [e.event for e in pair.right.log.store.each()]] == ["a"]
    assert pair.left.synced == 1


def test_nothing_of_an_old_link_is_sent_over_a_new_one_before_the_greeting() -> None:
    turns = Mailbox()
    pair = logux(5, left={"turn": turns.turn})
    pair.connect()
    turns.work()
    pair.right.send_ping()
    pair.cut()
    pair.forget()
    pair.left_connection.connect()

    turns.work()

    assert names(pair.left_sent)[:1] == ["connect"]


def test_a_client_does_not_start_anew_when_a_server_begins_below_the_mark_that_it_stated() -> None:
    class Careful(ServerSync):
        """As ClientGatewaySync: starts at the smaller of the stated and the confirmed mark."""

        def on_authenticated(self) -> None:
            self.start_walk(min(self.stated or 0, 3))

    pair = Pair(ClientSync, Careful, left={"protocol": 5}).catch()
    fill(pair.right.log, 1_200)
    pair.connect()
    pair.cut()
    pair.forget()

    pair.serve(Careful)
    pair.connect()

    assert [message[3] for message in pair.left_sent if message[0] == "connect"] == [1_200]
