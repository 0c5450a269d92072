"""Authentication of Logux clients and servers, and messages that arrive before it."""

from __future__ import annotations

from typing import Any

import pytest

from peers.errors import MAX_SHOWN, SyncError
from peers.later import Later
from peers.protocol.core import HANDSHAKE_MS
from tests.support.logux_pair import (
    Asked,
    client,
    every_dialect,
    logux,
    met_server,
    names,
    newer_dialects,
    server,
    spawn_at_once,
    version,
)
from tests.support.pair import NOW_MS, sentences


def refuse(_credentials: Any, _node_id: str) -> bool:
    return False


@every_dialect
@pytest.mark.parametrize("credentials", ["key", 7, {"a": [1]}, ["a"], [], {}], ids=repr)
def test_sends_credentials_of_any_json_type(protocol: Any, credentials: Any) -> None:
    asked: list[tuple[Any, str]] = []

    def auth(shown: Any, node_id: str) -> bool:
        asked.append((shown, node_id))
        return True

    logux(protocol, left={"credentials": credentials}, right={"auth": auth}).meet()

    assert asked == [(credentials, "left")]


@every_dialect
@pytest.mark.parametrize("credentials", [0, "", False, None], ids=repr)
def test_does_not_send_credentials_that_are_false_in_javascript(protocol: Any, credentials: Any) -> None:
    assert len(client(protocol, credentials=credentials).heard[0]) == 4


@every_dialect
def test_a_server_may_send_credentials_too(protocol: Any) -> None:
    asked: list[tuple[Any, str]] = []
    pair = logux(protocol, left={"auth": lambda *shown: asked.append(shown) or True}, right={"credentials": "key"})

    pair.meet()

    assert asked == [("key", "right")]


def test_a_function_may_make_new_credentials_for_each_greeting() -> None:
    keys = iter(["first", "second"])
    pair = logux(left={"credentials": lambda: next(keys)})

    pair.meet()
    meet_options = [message[4] for message in pair.left_sent]
    pair.cut()
    pair.left_connection.connect()

    assert meet_options == []
    assert pair.left_sent[-1][4] == {"credentials": "second"}


@every_dialect
def test_without_auth_every_client_is_accepted(protocol: Any) -> None:
    pair = logux(protocol, left={"credentials": "whatever"}).connect()

    assert pair.left.authenticated
    assert pair.right.authenticated


@every_dialect
def test_an_end_that_auth_refuses_is_told_and_disconnected(protocol: Any) -> None:
    pair = logux(protocol, right={"auth": refuse})
    pair.left.log.add({"type": "a"})

    pair.connect()

    assert pair.right_sent == [["error", "wrong-credentials"]]
    assert pair.right_errors == ["left: wrong-credentials (Wrong credentials)"]
    assert pair.left_errors == ["the other end sent wrong-credentials (Wrong credentials)"]
    assert pair.right.is_destroyed
    assert pair.right.log.types == []


@every_dialect
def test_a_client_may_refuse_a_server(protocol: Any) -> None:
    pair = logux(protocol, left={"auth": refuse})
    pair.right.log.add({"type": "a"})

    pair.connect()

    assert pair.left_sent[1:] == [["error", "wrong-credentials"]]
    assert not pair.left.connected
    assert pair.left.log.types == []


@pytest.mark.parametrize("verdict", [None, 1, "yes", [True], object()], ids=lambda verdict: type(verdict).__name__)
def test_only_the_value_true_of_auth_accepts(verdict: Any) -> None:
    stranger = server(auth=lambda _credentials, _node_id: verdict).say("connect", [0, 1], "client", 0)

    assert stranger.heard == [["error", "wrong-credentials"]]


@every_dialect
def test_auth_may_be_a_coroutine(protocol: Any) -> None:
    async def auth(credentials: Any, node_id: str) -> bool:
        return (credentials, node_id) == ("key", "left")

    pair = logux(protocol, left={"credentials": "key"}, right={"auth": auth, "spawn": spawn_at_once}).connect()

    assert pair.left.authenticated
    assert pair.right.authenticated


def test_messages_wait_for_auth_and_are_then_handled_in_order() -> None:
    auth = Asked()
    stranger = server(auth=auth).say("connect", [0, 1], "client", 0)
    for number, name in enumerate("abc", 1):
        stranger.say("sync", number, {"type": name}, [number, "client", 0])
    before = list(stranger.heard), stranger.log.types

    auth.answer(True)

    assert before == ([], [])
    assert stranger.heard == [
        ["connected", [0, 1], "home", [NOW_MS, NOW_MS]],
        ["synced", 1],
        ["synced", 2],
        ["synced", 3],
    ]
    assert stranger.log.types == ["a", "b", "c"]


def test_messages_that_waited_for_auth_are_dropped_when_it_refuses() -> None:
    auth = Asked()
    stranger = server(auth=auth).say("connect", [0, 1], "client", 0)
    stranger.say("sync", 1, {"type": "a"}, [1, "client", 0])

    auth.answer(False)

    assert stranger.heard == [["error", "wrong-credentials"]]
    assert stranger.log.types == []


@newer_dialects
def test_a_ping_waits_while_auth_decides(protocol: Any) -> None:
    auth = Asked()
    stranger = server(auth=auth).say("connect", protocol, "client", 0).say("ping", 0)

    auth.answer(True)

    assert names(stranger.heard)[0] == "connected"
    assert stranger.heard[-1] == ["pong", 0]


@pytest.mark.parametrize(
    ("message", "text"),
    [
        (["ping", 0], '["ping", 0]'),
        (["pong", 0], '["pong", 0]'),
        (["synced", 1], '["synced", 1]'),
        (["sync", 1, {"type": "a"}, [1, "client", 0]], '["sync", 1, {"type": "a"}, [1, "client", 0]]'),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else "",
)
def test_a_message_before_the_greeting_gets_an_error_and_the_link_stays_open(message: list[Any], text: str) -> None:
    stranger = server().say(*message)

    assert stranger.heard == [["error", "missed-auth", text]]
    assert stranger.connected
    assert stranger.errors == []


def test_after_an_early_message_a_client_may_still_greet() -> None:
    stranger = server().say("ping", 0)

    stranger.say("connect", [0, 1], "client", 0)

    assert stranger.heard[1] == ["connected", [0, 1], "home", [NOW_MS, NOW_MS]]


def test_a_long_early_message_is_shown_in_part() -> None:
    stranger = server().say("sync", 1, {"type": "a" * 1_000}, [1, "client", 0])

    assert len(stranger.heard[0][2]) == MAX_SHOWN


def test_a_client_too_answers_early_messages_with_an_error() -> None:
    stranger = client().say("ping", 0)

    assert stranger.heard[1:] == [["error", "missed-auth", '["ping", 0]']]
    assert stranger.connected


def test_a_client_keeps_events_that_a_server_sends_before_its_answer() -> None:
    # A real server of logux-sync 0.1 sends new events to every open connection, authenticated or not.
    stranger = client()
    for n in range(100):
        stranger.say("sync", n + 1, {"type": f"{n}"}, [NOW_MS, "server", n])
    before = stranger.heard[1:]

    stranger.say("connected", [0, 1], "server", [NOW_MS, NOW_MS])
    for n in range(15, 100):
        stranger.say("sync", n + 1, {"type": f"{n}"}, [NOW_MS, "server", n])

    assert before == []
    assert stranger.errors == []
    assert stranger.role.log.types == [f"{n}" for n in range(100)]
    assert stranger.heard[-1] == ["synced", 100]


def test_a_client_that_fixes_time_takes_no_event_before_it_knows_the_offset() -> None:
    stranger = client(fix_time=True).say("sync", 1, {"type": "a"}, [NOW_MS, "server", 0])

    stranger.say("connected", [0, 1], "server", [NOW_MS - 5_000, NOW_MS - 5_000])
    stranger.say("sync", 1, {"type": "a"}, [NOW_MS, "server", 0])

    assert stranger.errors == []
    assert stranger.role.log.types == ["a"]


@newer_dialects
def test_a_client_of_a_newer_protocol_keeps_messages_that_arrive_before_the_answer(protocol: Any) -> None:
    stranger = client(protocol).say("ping", 3)
    before = stranger.heard[1:]

    stranger.say("connected", protocol, "server", [NOW_MS, NOW_MS])

    assert before == []
    assert ["pong", 0] in stranger.heard
    assert stranger.role.other_synced == 3


@pytest.mark.parametrize(
    "message", [["error", "odd"], ["headers", {}], ["debug", "error", "x"], ["duilian", "x"]], ids=lambda m: m[0]
)
def test_headers_errors_and_debug_need_no_greeting(message: list[Any]) -> None:
    stranger = server().say(*message)

    assert stranger.heard == []


@pytest.mark.parametrize(
    "message",
    [
        ["headers", {"a": {"b": 1}}],
        ["headers", {"a": []}],
        ["headers", {f"h{number}": number for number in range(33)}],
        ["headers", {"a": [[]] * 300}],
        ["error", "odd", {"a": [[]] * 300}],
        ["connect", 5, "client", 0, {"token": [[]] * 300}],
        ["sync", 300, *[1] * 300],
    ],
    ids=["nested", "a list", "many", "much of one", "an error", "credentials", "events"],
)
def test_what_would_take_much_memory_is_not_read_before_the_greeting(message: list[Any]) -> None:
    stranger = server().say(*message)

    assert [said[:2] for said in stranger.heard] == [["error", "wrong-format"]]
    assert stranger.role.other_headers == {}


def test_a_client_that_has_greeted_may_say_nested_headers() -> None:
    stranger = server().say("connect", 5, "client", 0).say("headers", {"a": [[]] * 300})

    assert stranger.role.other_headers == {"a": [[]] * 300}


@pytest.mark.parametrize("kind", ["raises", "fails"])
def test_when_auth_raises_the_other_end_gets_an_error(kind: str) -> None:
    def auth(_credentials: Any, _node_id: str) -> Any:
        if kind == "raises":
            raise KeyError("no such user")
        return Later.failed(KeyError("no such user"))

    stranger = server(auth=auth)

    with pytest.raises(KeyError, match="no such user"):
        stranger.say("connect", [0, 1], "client", 0)

    assert stranger.heard == [["error", "wrong-credentials"]]
    assert not stranger.connected


def test_auth_may_refuse_with_an_error_of_its_own() -> None:
    def auth(_credentials: Any, _node_id: str) -> bool:
        raise SyncError("bruteforce")

    stranger = server(auth=auth).say("connect", 5, "client", 0)

    assert stranger.heard == [["error", "bruteforce"]]
    assert sentences(stranger.errors) == ["bruteforce"]


@every_dialect
def test_when_auth_never_answers_the_link_ends_after_a_time(protocol: Any) -> None:
    stranger = server(auth=Asked()).say("connect", version(protocol), "client", 0)

    stranger.clock.advance(HANDSHAKE_MS)

    assert stranger.heard == [["error", "timeout", HANDSHAKE_MS]]
    assert stranger.role.is_destroyed


@every_dialect
def test_an_answer_of_auth_after_the_link_has_closed_is_ignored(protocol: Any) -> None:
    auth = Asked()
    stranger = server(auth=auth).say("connect", version(protocol), "client", 0)
    stranger.dialler.disconnect("tired")

    auth.answer(True)

    assert stranger.heard == []
    assert not stranger.role.authenticated


def test_an_answer_of_auth_for_the_last_link_does_not_count_for_the_next() -> None:
    auth = Asked()
    stranger = client(auth=auth).say("connected", [0, 1], "server", [1, 2])
    stranger.dialler.disconnect("lost")
    stranger.dialler.connect()

    auth.answer(True)

    assert not stranger.role.authenticated
    assert names(stranger.heard) == ["connect", "connect"]


@every_dialect
def test_authentication_ends_with_the_link(protocol: Any) -> None:
    pair = logux(protocol).meet()
    pair.mute("right")

    pair.cut()
    pair.left_connection.connect()

    assert not pair.left.authenticated
    assert pair.left.state == "connecting"


def test_a_client_takes_no_events_over_a_new_link_before_the_answer() -> None:
    stranger = client().say("connected", [0, 1], "server", [1, 2])
    stranger.dialler.disconnect("lost")
    stranger.dialler.connect()

    stranger.say("sync", 1, {"type": "a"}, [1, "server", 0])

    assert stranger.heard[-1][0] == "connect"
    assert stranger.log.types == []


def test_a_server_passes_the_node_id_of_the_client_to_auth() -> None:
    auth = Asked()

    server(auth=auth).say("connect", 5, "anna:1:2", 0, {"token": "t"})

    assert auth.calls == [("t", "anna:1:2")]
    assert met_server().role.authenticated


def test_messages_that_waited_on_a_lost_link_are_not_handled_on_the_next() -> None:
    auth = Asked()
    stranger = client(auth=auth).say("connected", [0, 1], "server", [1, 2])
    stranger.say("sync", 1, {"type": "old"}, [1, "server", 0])
    stranger.dialler.disconnect("lost")
    stranger.dialler.connect()
    stranger.say("connected", [0, 1], "server", [1, 2])

    for verdict in list(auth.answers):
        verdict.set(True)

    assert stranger.role.authenticated
    assert stranger.log.types == []
