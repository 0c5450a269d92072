"""The end of a Logux role."""

from __future__ import annotations

from random import Random
from typing import Any

import pytest

from peers.clock import ManualClock
from peers.roles.client import ClientSync
from peers.transport.local_pair import LocalPair
from tests.support.logux_pair import client, every_dialect, logux, met_client, met_server, server
from tests.support.pair import NOW_MS, RecordedConnection, open_log


@every_dialect
@pytest.mark.parametrize("side", ["left", "right"])
def test_destroy_leaves_no_listener_no_timer_and_no_link(protocol: Any, side: str) -> None:
    pair = logux(protocol).meet()
    role = getattr(pair, side)
    before = role.log.listeners["change"]

    role.destroy()

    assert not role.connected
    assert getattr(pair, f"{side}_connection").listeners == 0
    assert role.log.listeners["change"] == before - 1 == 0
    pair.destroy()
    assert pair.clock.waiting == 0


@every_dialect
def test_a_destroyed_role_sends_and_takes_nothing(protocol: Any) -> None:
    stranger = met_client(protocol)
    stranger.role.destroy()
    stranger.heard.clear()

    stranger.log.add({"type": "a"})
    stranger.dialler.connect()

    assert stranger.heard == []
    assert stranger.role.state == "disconnected"


def test_a_second_destroy_does_nothing() -> None:
    stranger = met_client()
    states: list[str] = []
    stranger.role.on("state", lambda: states.append(stranger.role.state))

    stranger.role.destroy()
    stranger.role.destroy()

    assert states == ["disconnected"]


def test_destroy_works_before_the_connection_was_open() -> None:
    stranger = client(connects=False)

    stranger.role.destroy()

    assert stranger.connection.listeners == 0


def test_destroy_destroys_a_connection_that_has_a_destroy_method() -> None:
    class Destroyable(RecordedConnection):
        destroyed: list[str] = []  # noqa: RUF012 - of the one that this test makes

        def destroy(self, reason: str) -> None:
            self.destroyed.append(reason)

        def disconnect(self, reason: str = "") -> None:
            raise AssertionError("closed")

    clock = ManualClock(NOW_MS)
    connection = Destroyable(LocalPair().left)
    role = ClientSync("home", open_log("home", clock), connection, clock=clock, random=Random(1))

    role.destroy("enough")

    assert connection.destroyed == ["enough"]


@every_dialect
def test_a_server_is_destroyed_when_its_connection_closes(protocol: Any) -> None:
    stranger = met_server(protocol)

    stranger.dialler.disconnect("bye")

    assert stranger.role.is_destroyed
    assert stranger.connection.listeners == 0
    assert stranger.clock.waiting == 0


def test_a_server_without_any_message_is_destroyed_too() -> None:
    stranger = server()

    stranger.clock.advance(20_000)

    assert stranger.role.is_destroyed
    assert stranger.reasons == ["timeout"]


@every_dialect
def test_a_client_is_not_destroyed_when_its_link_closes(protocol: Any) -> None:
    pair = logux(protocol).meet()

    pair.cut()

    assert not pair.left.is_destroyed
    assert pair.right.is_destroyed
    pair.destroy()
    assert pair.clock.waiting == 0
