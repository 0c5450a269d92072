"""The application's version: how Logux roles send it, and how listeners refuse it."""

from __future__ import annotations

from typing import Any

import pytest

from peers.errors import SyncError
from tests.support.logux_pair import client, every_dialect, logux, met_client, names, server, version
from tests.support.pair import NOW_MS, sentences


@every_dialect
@pytest.mark.parametrize("subprotocol", ["1.2.3", [3, 1], 4, {"any": "thing"}], ids=repr)
def test_a_subprotocol_of_any_json_type_is_sent(protocol: Any, subprotocol: Any) -> None:
    pair = logux(protocol, subprotocol=subprotocol).connect()

    assert pair.left_sent[0][-1] == pair.right_sent[0][-1] == {"subprotocol": subprotocol}
    assert pair.left.other_subprotocol == pair.right.other_subprotocol == subprotocol


@pytest.mark.parametrize(("protocol", "default"), [((0, 1), "0.0.0"), (5, 0), (7, 0)], ids=str)
def test_without_a_subprotocol_the_default_of_the_protocol_counts(protocol: Any, default: Any) -> None:
    pair = logux(protocol).connect()

    assert pair.left.other_subprotocol == pair.right.other_subprotocol == default


def test_the_other_subprotocol_is_not_known_before_the_greeting() -> None:
    assert client().role.other_subprotocol is None


@every_dialect
def test_a_listener_may_refuse_a_subprotocol(protocol: Any) -> None:
    stranger = server()

    def check() -> None:
        raise SyncError("wrong-subprotocol", {"supported": "2.x", "used": stranger.role.other_subprotocol})

    stranger.role.on("connect", check)
    stranger.say("connect", version(protocol), "client", 0, {"subprotocol": "1.0.0"})

    assert stranger.heard == [["error", "wrong-subprotocol", {"supported": "2.x", "used": "1.0.0"}]]
    assert stranger.role.is_destroyed
    assert sentences(stranger.errors) == ["Only 2.x application subprotocols are supported, but you use 1.0.0"]


def test_a_listener_of_a_client_may_refuse_a_subprotocol_too() -> None:
    stranger = client()

    def check() -> None:
        raise SyncError("wrong-subprotocol", {"supported": "2.x", "used": stranger.role.other_subprotocol})

    stranger.role.on("connect", check)
    stranger.say("connected", [0, 1], "server", [1, 2])

    assert stranger.heard[1:] == [["error", "wrong-subprotocol", {"supported": "2.x", "used": "0.0.0"}]]
    assert not stranger.connected


@every_dialect
def test_the_connect_listener_sees_the_other_end_and_is_called_before_auth(protocol: Any) -> None:
    seen: list[Any] = []
    stranger = server(auth=lambda *shown: seen.append(shown) or True)
    role = stranger.role
    role.on("connect", lambda: seen.append((role.other_node_id, role.other_protocol, role.authenticated)))

    stranger.say("connect", version(protocol), "client", 0)

    assert seen == [("client", version(protocol), False), (None, "client")]


def test_auth_is_not_asked_after_a_listener_refused() -> None:
    asked: list[Any] = []
    stranger = server(auth=lambda *shown: asked.append(shown) or True)

    def check() -> None:
        raise SyncError("wrong-subprotocol", {"supported": "2.x", "used": "1"})

    stranger.role.on("connect", check)
    stranger.say("connect", [0, 1], "client", 0)

    assert asked == []
    assert names(stranger.heard) == ["error"]


@every_dialect
def test_a_listener_that_fails_with_another_error_ends_the_link_and_the_error_is_raised(protocol: Any) -> None:
    stranger = server()
    stranger.role.on("connect", lambda: 1 // 0)

    with pytest.raises(ZeroDivisionError):
        stranger.say("connect", version(protocol), "client", 0)

    assert stranger.heard == []
    assert not stranger.connected


def test_connected_has_the_subprotocol_of_the_server() -> None:
    stranger = server(subprotocol="2.0.0", credentials="key").say("connect", [0, 1], "client", 0)

    assert stranger.heard == [
        ["connected", [0, 1], "home", [NOW_MS, NOW_MS], {"credentials": "key", "subprotocol": "2.0.0"}]
    ]


def test_a_client_learns_the_subprotocol_from_the_answer() -> None:
    assert met_client(connected={"subprotocol": "2.0.0"}).role.other_subprotocol == "2.0.0"
