"""Listeners of Logux roles that fail, end the role or change the log."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.logux_pair import every_dialect, logux, meet_again, met_client, server, version
from tests.support.pair import sent_types

LONG = {"timeout": 300_000, "ping": None}
"""Timeouts that never end a link in these tests."""


@pytest.mark.parametrize("event", ["connect", "authenticated", "state", "synced", "headers"])
def test_a_listener_that_fails_ends_the_link_and_the_next_one_works(event: str) -> None:
    pair = logux(5, **LONG)
    undo = pair.left.on(event, lambda *_told: 1 // 0)
    with pytest.raises(ZeroDivisionError):
        pair.connect()
        pair.left.log.add({"type": "a"})
        pair.right.send_headers({})
    undo()

    meet_again(pair, **LONG)

    assert pair.left.state == "synchronized"
    assert pair.right.log.types in ([], ["a"])


def test_a_listener_of_errors_that_fails_does_not_keep_the_link_open() -> None:
    stranger = met_client()
    stranger.role.on("client_error", lambda _error: 1 // 0)

    with pytest.raises(ZeroDivisionError):
        stranger.say("test")

    assert not stranger.connected


def test_a_server_is_destroyed_although_a_listener_fails() -> None:
    stranger = server()
    stranger.role.on("state", lambda: 1 // 0)

    with pytest.raises(ZeroDivisionError):
        stranger.dialler.disconnect("bye")

    assert stranger.role.is_destroyed
    assert stranger.connection.listeners == 0
    assert stranger.clock.waiting == 0


def test_a_listener_may_destroy_the_role() -> None:
    for event in ("connect", "authenticated", "synced", "state"):
        pair = logux(5, **LONG)
        pair.left.on(event, lambda pair=pair: pair.left.destroy())

        pair.connect()
        pair.left.log.add({"type": "a"})

        assert pair.left.is_destroyed == (event != "never")
        pair.destroy()
        assert pair.clock.waiting == 0


@every_dialect
def test_a_callback_may_add_to_the_log(protocol: Any) -> None:
    def answer(event: Any, _meta: Any) -> bool:
        if event["type"] == "question":
            pair.right.log.add({"type": "answer"})
        return True

    pair = logux(protocol, right={"in_filter": answer}).meet()

    pair.left.log.add({"type": "question"})

    assert sorted(pair.left.log.types) == sorted(pair.right.log.types) == ["answer", "question"]
    assert sent_types(pair.right_sent) == [["answer"]]
    assert pair.left.other_protocol == version(protocol)
