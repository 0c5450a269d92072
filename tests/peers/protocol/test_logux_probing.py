"""How the protocol is chosen: a server takes it from the first greeting, a client without the option tries."""

from __future__ import annotations

import json
from random import Random
from typing import Any

import pytest

from peers.clock import ManualClock
from peers.roles.client import ClientSync
from peers.transport.local_pair import LocalPair
from peers.transport.reconnect import Reconnect
from tests.support.logux_pair import client, logux, names, newer_dialects, server
from tests.support.pair import NOW_MS, Stranger, open_log

WRONG_FORMAT = ["error", "wrong-format", '["connect",[0,1],"home",0]']


def refuse_first(stranger: Stranger) -> Stranger:
    """As servers of protocols 5 and 7 do."""
    stranger.say(*WRONG_FORMAT)
    return stranger


@pytest.mark.parametrize(
    ("greeted", "spoken"), [([0, 1], [0, 1]), ([0, 7], [0, 1]), (5, 5), (6, 5), (7, 7), (8, 7), (99, 7)], ids=str
)
def test_a_server_speaks_the_protocol_of_the_clients_greeting(greeted: Any, spoken: Any) -> None:
    stranger = server().say("connect", greeted, "client", 0)

    assert stranger.heard[0][:3] == ["connected", spoken, "home"]
    assert stranger.role.protocol == spoken


@pytest.mark.parametrize("greeted", [1, 2, 3, 4])
def test_a_server_refuses_versions_between_0_and_5(greeted: int) -> None:
    stranger = server().say("connect", greeted, "client", 0)

    assert stranger.heard == [["error", "wrong-protocol", {"supported": 5, "used": greeted}]]


@pytest.mark.parametrize("protocol", [(0, 1), 5, 7], ids=str)
def test_a_client_with_a_given_protocol_does_not_try_another(protocol: Any) -> None:
    stranger = client(protocol)

    stranger.say("error", "wrong-format", "[]")

    assert names(stranger.heard) == ["connect"]
    assert not stranger.connected
    assert [error.type for error in stranger.errors] == ["wrong-format"]


def test_a_client_tries_the_oldest_protocol_first() -> None:
    assert client(None).heard == [["connect", [0, 1], "home", 0]]


def test_a_client_keeps_the_oldest_protocol_if_the_server_answers() -> None:
    stranger = client(None).say("connected", [0, 1], "server", [NOW_MS, NOW_MS])
    stranger.dialler.disconnect("lost")

    stranger.dialler.connect()

    assert stranger.heard == [["connect", [0, 1], "home", 0]] * 2


def test_a_client_tries_the_newest_protocol_over_a_second_connection_if_the_first_fails() -> None:
    stranger = refuse_first(client(None))

    assert stranger.heard == [["connect", [0, 1], "home", 0], ["connect", 7, "home", 0]]
    assert stranger.connected
    assert stranger.errors == []


@newer_dialects
def test_a_client_speaks_the_protocol_that_the_answer_names(protocol: Any) -> None:
    stranger = refuse_first(client(None))
    stranger.say("connected", protocol, "server", [NOW_MS, NOW_MS])
    stranger.heard.clear()

    stranger.log.add({"type": "a"})

    sync = next(message for message in stranger.heard if message[0] == "sync")
    assert sync[3]["id"] == (0 if protocol == 5 else "2o8-")
    assert stranger.role.protocol == protocol
    assert stranger.role.authenticated


def test_a_client_speaks_5_when_the_answer_names_6() -> None:
    stranger = refuse_first(client(None)).say("connected", 6, "server", [NOW_MS, NOW_MS])

    assert stranger.role.protocol == 5
    assert stranger.connected


def test_a_client_does_not_accept_a_version_below_5_after_7() -> None:
    stranger = refuse_first(client(None)).say("connected", 4, "server", [NOW_MS, NOW_MS])

    assert stranger.heard[-1] == ["error", "wrong-protocol", {"supported": 5, "used": 4}]
    assert not stranger.connected


@newer_dialects
def test_a_client_remembers_the_protocol_for_the_next_link(protocol: Any) -> None:
    stranger = refuse_first(client(None)).say("connected", protocol, "server", [NOW_MS, NOW_MS])
    stranger.dialler.disconnect("lost")
    stranger.heard.clear()

    stranger.dialler.connect()

    assert stranger.heard == [["connect", protocol, "home", 0]]


def test_a_client_reports_a_server_that_speaks_no_known_protocol() -> None:
    stranger = refuse_first(client(None))

    stranger.say(*WRONG_FORMAT)

    assert names(stranger.heard) == ["connect", "connect"]
    assert [error.type for error in stranger.errors] == ["wrong-format"]
    assert not stranger.connected


def test_a_lost_link_does_not_make_a_client_try_the_newest_protocol() -> None:
    stranger = client(None)
    stranger.dialler.disconnect("lost")

    stranger.dialler.connect()

    assert stranger.heard == [["connect", [0, 1], "home", 0]] * 2


def test_another_error_does_not_make_a_client_try_the_newest_protocol() -> None:
    stranger = client(None).say("error", "wrong-protocol", {"supported": [1], "used": [0, 1]})

    assert names(stranger.heard) == ["connect"]
    assert not stranger.connected


def test_a_wrong_format_after_the_greeting_is_an_error_like_any_other() -> None:
    stranger = client(None).say("connected", [0, 1], "server", [NOW_MS, NOW_MS])

    stranger.say(*WRONG_FORMAT)

    assert names(stranger.heard) == ["connect"]
    assert [error.type for error in stranger.errors] == ["wrong-format"]


def test_unsent_events_are_sent_once_the_protocol_is_known() -> None:
    stranger = client(None, connects=False)
    stranger.log.add({"type": "a"})
    stranger.dialler.connect()

    refuse_first(stranger).say("connected", 7, "server", [NOW_MS, NOW_MS])

    assert names(stranger.heard) == ["connect", "connect", "sync", "ready"]


def test_two_ends_of_ours_find_a_common_protocol() -> None:
    pair = logux(None)
    pair.left.log.add({"type": "a"})

    pair.connect()

    assert pair.left.protocol == pair.right.protocol == [0, 1]
    assert pair.right.log.types == ["a"]


def test_a_wrong_frame_before_the_greeting_does_not_decide_the_protocol() -> None:
    stranger = server().say("headers", {"a": 1}).say("ping", 0).say("connect", 7, "client", 0)

    assert stranger.role.protocol == 7
    assert names(stranger.heard) == ["error", "connected", "ready"]


def test_a_client_finds_the_protocol_again_when_the_server_speaks_another_one() -> None:
    stranger = client(None).say("connected", [0, 1], "server", [NOW_MS, NOW_MS])
    stranger.dialler.disconnect("lost")
    stranger.dialler.connect()

    for _ in range(3):
        stranger.say(*WRONG_FORMAT)

    assert [message[1] for message in stranger.heard] == [[0, 1], [0, 1], [0, 1], 7]
    assert not stranger.connected  # it speaks no version that we know
    assert [error.type for error in stranger.errors] == ["wrong-format"]


def test_a_client_on_a_reconnect_tries_the_next_protocol_at_once() -> None:
    clock, pair, heard = ManualClock(NOW_MS), LocalPair(), []
    reconnect = Reconnect(pair.left, clock=clock, random=Random(1))
    role = ClientSync("home", open_log("home", clock), reconnect, clock=clock, random=Random(1))
    pair.right.on("message", lambda frame: heard.append(json.loads(frame)))
    reconnect.connect()

    pair.right.send(json.dumps(WRONG_FORMAT).encode())
    pair.right.send(json.dumps(["connected", 5, "server", [NOW_MS, NOW_MS]]).encode())
    tried, protocol = list(heard), role.protocol
    pair.right.disconnect("lost")
    clock.advance(1_500)

    assert tried == [["connect", [0, 1], "home", 0], ["connect", 7, "home", 0]]
    assert protocol == 5
    assert heard[2:] == [["connect", 5, "home", 0]]
    role.destroy()
    assert clock.waiting == 0
