"""The options and attributes of Logux roles."""

from __future__ import annotations

from random import Random
from typing import Any

import pytest

from peers.clock import ManualClock
from peers.roles.base import BaseSync
from peers.roles.client import ClientSync
from peers.roles.server import ServerSync
from peers.transport.local_pair import LocalPair
from tests.support.logux_pair import PROTOCOLS, client, every_dialect, logux, met_client, met_server, server, version
from tests.support.pair import NOW_MS, Stranger, open_log


def make(role: type[BaseSync], **options: Any) -> BaseSync:
    clock = ManualClock(NOW_MS)
    return role("home", open_log("home", clock), LocalPair().left, clock=clock, random=Random(1), **options)


def test_a_role_has_its_arguments_as_attributes() -> None:
    clock, pair, random = ManualClock(), LocalPair(), Random(1)
    log = open_log("home", clock)

    role = ClientSync("home", log, pair.left, clock=clock, random=random, subprotocol=[3, 1], credentials="key")

    assert (role.node_id, role.log, role.connection) == ("home", log, pair.left)
    assert (role.subprotocol, role.credentials) == ([3, 1], "key")


def test_a_role_needs_no_options() -> None:
    role = make(BaseSync)

    assert role.auth is None
    assert role.credentials is None
    assert (role.synced, role.other_synced) == (0, 0)


@every_dialect
def test_a_role_has_the_protocol_that_it_speaks(protocol: Any) -> None:
    assert make(BaseSync, protocol=protocol).protocol == version(protocol)
    assert make(ClientSync, protocol=protocol).protocol == version(protocol)


@pytest.mark.parametrize("role", [BaseSync, ClientSync, ServerSync])
def test_a_ping_without_a_timeout_raises_an_error(role: type[BaseSync]) -> None:
    with pytest.raises(ValueError, match="set the timeout option"):
        make(role, ping=1_000, timeout=None)


def test_the_default_times_are_those_of_logux() -> None:
    times = [(role.timeout, role.ping) for role in map(make, (ClientSync, ServerSync, BaseSync))]

    assert times == [(20_000, 5_000), (20_000, 10_000), (None, None)]


def test_time_is_fixed_only_with_the_option() -> None:
    assert not make(ClientSync).fix_time
    assert make(ClientSync, fix_time=True).fix_time


@pytest.mark.parametrize("role", [BaseSync, ClientSync])
def test_a_role_resumes_at_the_given_marks(role: type[BaseSync]) -> None:
    made = make(role, synced=1, other_synced=2)

    assert (made.synced, made.other_synced) == (1, 2)


@pytest.mark.parametrize("name", ["synced", "other_synced"])
def test_a_server_resumes_at_the_mark_of_the_client(name: str) -> None:
    with pytest.raises(ValueError, match=f"{name} is what the client says"):
        make(ServerSync, **{name: 1})


def test_a_server_does_not_fix_time() -> None:
    with pytest.raises(ValueError, match="a server does not fix time"):
        make(ServerSync, fix_time=True)


def test_a_server_speaks_the_protocol_of_the_client() -> None:
    with pytest.raises(ValueError, match="protocol is what the client says"):
        make(ServerSync, protocol=5)


@pytest.mark.parametrize("event", ["synced", "state", "connect", "client_error", "authenticated"])
def test_listeners_are_called_until_their_undo(event: str) -> None:
    role, seen = make(ClientSync), []
    undo = role.on(event, lambda: seen.append("each"))
    role.once(event, lambda: seen.append("once"))
    undo_once = role.once(event, lambda: seen.append("never"))

    undo_once()
    role.emitter.emit(event)
    role.emitter.emit(event)
    undo()
    role.emitter.emit(event)

    assert seen == ["each", "once", "each"]


def test_listeners_are_called_at_each_event() -> None:
    pair, seen = logux(), []
    for event in ("connect", "authenticated", "synced", "state"):
        pair.left.on(event, lambda event=event: seen.append(event))

    pair.connect()
    pair.left.log.add({"type": "a"})

    assert seen == ["state", "connect", "authenticated", "state", "state", "synced", "state"]


@pytest.mark.parametrize("role", [BaseSync, ClientSync, ServerSync])
def test_a_role_on_an_open_connection_starts_at_once(role: type[BaseSync]) -> None:
    clock, pair = ManualClock(), LocalPair()
    pair.left.connect()

    made = role("home", open_log("home", clock), pair.left, clock=clock, random=Random(1))

    assert made.connected
    assert made.state == "connecting"
    made.destroy()


def test_a_client_greets_over_a_connection_that_is_open_already() -> None:
    clock, pair, heard = ManualClock(), LocalPair(), []
    pair.right.on("message", heard.append)
    pair.left.connect()

    role = ClientSync("home", open_log("home", clock), pair.left, clock=clock, random=Random(1))

    assert heard == [b'["connect",[0,1],"home",0]']
    role.destroy()


def test_only_a_client_speaks_first() -> None:
    assert client().heard == [["connect", [0, 1], "home", 0]]
    assert server().heard == []
    assert Stranger(BaseSync).heard == []


@every_dialect
def test_a_plain_base_role_answers_and_exchanges_as_a_server_does(protocol: Any) -> None:
    stranger = Stranger(BaseSync, protocol=protocol)

    stranger.say("connect", version(protocol), "client", 0)
    stranger.say("ping", 7)

    assert stranger.heard[0] == ["connected", version(protocol), "home", [NOW_MS, NOW_MS]]
    assert stranger.heard[-1] == ["pong", 0]
    assert stranger.role.other_synced == 7


@pytest.mark.parametrize("protocol", PROTOCOLS.values(), ids=PROTOCOLS)
def test_both_roles_handle_every_message(protocol: Any) -> None:
    for stranger in (met_client(protocol), met_server(protocol)):
        stranger.say("ping", 0).say("headers", {"a": 1}).say("debug", "error", "text").say("synced", 3)

        assert ["pong", 0] in stranger.heard
        assert stranger.role.other_headers == {"a": 1}
        assert stranger.connected
