"""Authentication of nodes, and messages that arrive before it."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

import pytest

from peers.errors import SyncError
from peers.later import Later
from peers.protocol.core import HANDSHAKE_MS
from peers.protocol.session import MAX_QUEUED, QUEUED_BEFORE_PAUSE
from tests.support.neighbour import Neighbour, hello
from tests.support.pair import NOW_MS, Pair, sentences


class Kept:
    """An `auth` that answers when the test does."""

    def __init__(self) -> None:
        self.verdict: Later[bool] = Later()
        self.asked: list[tuple[Any, str]] = []

    def __call__(self, credentials: Any, node_id: str) -> Later[bool]:
        self.asked.append((credentials, node_id))
        return self.verdict


def spawn_at_once(work: Coroutine[Any, Any, Any]) -> Later[Any]:
    """Runs a coroutine that waits for nothing."""
    try:
        work.send(None)
    except StopIteration as stop:
        return Later.done(stop.value)
    except ValueError as error:
        return Later.failed(error)
    raise AssertionError("it waits for something")


# Auth


def test_credentials_are_sent_and_passed_to_auth() -> None:
    asked: list[tuple[Any, str]] = []

    def auth(credentials: Any, node_id: str) -> bool:
        asked.append((credentials, node_id))
        return True

    Pair(left={"credentials": "key", "auth": auth}, right={"credentials": {"a": 1}, "auth": auth}).meet()

    assert asked == [("key", "left"), ({"a": 1}, "right")]


def test_an_end_that_auth_refuses_is_told_and_disconnected() -> None:
    pair = Pair(right={"auth": lambda _credentials, _node_id: False}).catch().connect()

    assert pair.right_sent == [["error", "wrong-credentials"]]
    assert pair.right_errors == ["left: wrong-credentials (Wrong credentials)"]
    assert pair.left_errors == ["the other end sent wrong-credentials (Wrong credentials)"]
    assert not pair.left.connected and not pair.right.authenticated


def test_the_end_that_dialled_may_refuse_the_other() -> None:
    pair = Pair(left={"auth": lambda *_: False}).catch()
    pair.right.log.add({"type": "secret"})
    pair.connect()

    assert pair.left_sent[1:] == [["error", "wrong-credentials"]]
    assert pair.left.log.types == []
    assert not pair.right.connected


@pytest.mark.parametrize("verdict", [None, 1, "yes", 0], ids=repr)
def test_only_the_value_true_of_auth_accepts(verdict: Any) -> None:
    pair = Pair(right={"auth": lambda *_: verdict}).catch().connect()

    assert pair.right_errors == ["left: wrong-credentials (Wrong credentials)"]


def test_no_end_is_authenticated_before_auth_answers() -> None:
    auth = Kept()
    pair = Pair(right={"auth": auth}).connect()
    assert auth.asked == [(None, "left")]
    assert pair.right_sent == [] and not pair.right.authenticated

    auth.verdict.set(True)

    assert pair.right_sent[0][0] == "connected"
    assert pair.left.authenticated and pair.right.authenticated


def test_auth_may_be_a_coroutine() -> None:
    async def auth(_credentials: Any, node_id: str) -> bool:
        return node_id == "left"

    pair = Pair(right={"auth": auth, "spawn": spawn_at_once}).connect()

    assert pair.right.authenticated


def test_auth_may_be_a_coroutine_on_a_loop() -> None:
    async def auth(*_: Any) -> bool:
        await asyncio.sleep(0)
        return True

    def spawn(work: Coroutine[Any, Any, Any]) -> Later[Any]:
        later: Later[Any] = Later()
        task = asyncio.get_running_loop().create_task(work)
        task.add_done_callback(lambda done: later.set(done.result()))
        return later

    async def main() -> bool:
        pair = Pair(right={"auth": auth, "spawn": spawn}).connect()
        assert not pair.right.authenticated
        for _ in range(10):
            await asyncio.sleep(0)
        return bool(pair.right.authenticated and pair.left.authenticated)

    assert asyncio.run(main())


def test_a_coroutine_auth_without_spawn_is_a_type_error_and_authenticates_no_one() -> None:
    async def auth(*_: Any) -> bool:
        return True

    stranger = Neighbour(auth=auth)

    with pytest.raises(TypeError, match="spawn"):
        stranger.say("connect", 2, "left", 0, {"runs": hello()})

    assert not stranger.role.authenticated
    assert not stranger.connected


@pytest.mark.parametrize("kind", ["plain", "later", "coroutine"])
def test_an_auth_that_raises_authenticates_no_one(kind: str) -> None:
    def plain(*_: Any) -> bool:
        raise ValueError("no password file")

    def later(*_: Any) -> Later[bool]:
        return Later.failed(ValueError("no password file"))

    async def coroutine(*_: Any) -> bool:
        raise ValueError("no password file")

    stranger = Neighbour(auth={"plain": plain, "later": later, "coroutine": coroutine}[kind], spawn=spawn_at_once)

    with pytest.raises(ValueError, match="no password file"):
        stranger.say("connect", 2, "left", 0, {"runs": hello()})

    assert stranger.heard == [["error", "wrong-credentials"]]
    assert not stranger.connected


def test_auth_may_refuse_with_an_error_of_its_own() -> None:
    def auth(*_: Any) -> bool:
        raise SyncError("bruteforce")

    stranger = Neighbour(auth=auth).say("connect", 2, "left", 0, {"runs": hello()})

    assert stranger.heard == [["error", "bruteforce"]]
    assert not stranger.connected


def test_an_unauthenticated_link_ends_when_auth_never_answers() -> None:
    stranger = Neighbour(auth=Kept()).say("connect", 2, "left", 0, {"runs": hello()})

    stranger.clock.advance(HANDSHAKE_MS)

    assert stranger.heard == [["error", "timeout", HANDSHAKE_MS]]
    assert not stranger.connected


def test_messages_wait_while_auth_decides() -> None:
    auth = Kept()
    stranger = Neighbour(dials=False, auth=auth).say("connected", 2, "left", [NOW_MS, NOW_MS + 10], {"runs": hello()})
    stranger.heard.clear()
    stranger.brings("a").say("ping", 1)
    assert stranger.heard == []

    auth.verdict.set(True)

    assert [each for each in stranger.heard if each[0] != "same"] == [["synced", 1], ["pong", 1]]
    assert stranger.log.types == ["a"]


def test_messages_that_waited_for_auth_are_dropped_when_it_refuses() -> None:
    auth = Kept()
    stranger = Neighbour(dials=False, auth=auth).greet("left")
    stranger.heard.clear()
    stranger.brings()

    auth.verdict.set(False)

    assert stranger.heard == [["error", "wrong-credentials"]]
    assert stranger.log.types == []


def test_reading_pauses_when_many_messages_wait_for_auth() -> None:
    auth = Kept()
    stranger = Neighbour(auth=auth).say("connect", 2, "left", 0, {"runs": hello()})

    for _ in range(2 * QUEUED_BEFORE_PAUSE):
        stranger.say("ping", 1)
    waiting = len(stranger.role._queued)  # no port shows the queue
    auth.verdict.set(True)

    assert waiting == QUEUED_BEFORE_PAUSE
    assert stranger.heard.count(["pong", 0]) == 2 * QUEUED_BEFORE_PAUSE


def test_the_queue_for_auth_is_limited_on_a_connection_that_does_not_pause() -> None:
    stranger = Neighbour(auth=Kept()).say("connect", 2, "left", 0, {"runs": hello()})
    stranger.role.connection.pause = lambda: None  # type: ignore[method-assign]

    for _ in range(MAX_QUEUED):
        stranger.say("ping", 1)
    assert stranger.connected
    stranger.say("ping", 1)

    assert stranger.heard == [
        ["error", "wrong-format", f"more than {MAX_QUEUED} messages before the answer to the greeting"]
    ]
    assert not stranger.connected


def test_a_bad_message_that_waited_for_auth_gets_an_error() -> None:
    auth = Kept()
    stranger = Neighbour(auth=auth).greet().say("dance", 1).say("ping", 1)

    auth.verdict.set(True)

    assert [each for each in stranger.heard if each[0] != "same"][1:] == [["error", "unknown-message", "dance"]]
    assert sentences(stranger.errors) == ["stranger: unknown-message (Unknown message `dance` type)"]
    assert not stranger.connected


def test_an_answer_of_auth_for_a_lost_link_is_ignored() -> None:
    auth = Kept()
    pair = Pair(right={"auth": auth}).connect()
    pair.cut()

    auth.verdict.set(True)

    assert not pair.right.authenticated
    assert pair.right_sent == []


def test_an_answer_of_auth_does_not_count_for_the_next_link() -> None:
    verdicts = [Later[bool](), Later[bool]()]
    remaining = list(verdicts)
    pair = Pair(right={"auth": lambda *_: remaining.pop(0)}).connect()
    pair.cut()
    pair.connect()

    verdicts[0].set(True)

    assert not pair.right.authenticated
    verdicts[1].set(True)
    assert pair.right.authenticated


def test_a_listener_may_close_the_link_at_authentication() -> None:
    pair = Pair()
    pair.right.log.add({"type": "a"})
    pair.right.on("authenticated", lambda: pair.right.destroy("not today"))

    pair.connect()

    assert not pair.left.connected
    assert pair.left.log.types == []
    assert not pair.left.authenticated


@pytest.mark.parametrize("message", [["have", {}], ["synced", 1], ["ping", 1], ["pong", 1], ["dance"]], ids=str)
def test_nothing_is_sent_before_the_greeting(message: list[Any]) -> None:
    stranger = Neighbour().say(*message)

    assert stranger.heard == [["error", "missed-auth", message[0]]]
    assert sentences(stranger.errors) == [f"Start authentication before sending message {message[0]}"]
    assert stranger.reasons == ["error"]


def test_no_message_is_handled_after_the_other_end_was_refused() -> None:
    stranger = Neighbour(connects=False)
    said: list[list[Any]] = [["ping", 1], ["connect", 2, "left", 0, {"runs": hello()}], ["ping", 1]]

    stranger.theirs.on("connect", lambda: [stranger.say(*message) for message in said])
    stranger.dialler.connect()

    assert stranger.heard == [["error", "missed-auth", "ping"]]
    assert len(stranger.errors) == 1
    assert stranger.log.types == []


def test_headers_may_come_before_the_greeting() -> None:
    stranger = Neighbour()
    seen: list[Any] = []
    stranger.role.on("headers", seen.append)

    stranger.say("headers", {"env": "development"})

    assert seen == [{"env": "development"}]
    assert stranger.connected


def test_authentication_ends_with_the_link() -> None:
    pair = Pair().meet()

    pair.cut()

    assert not pair.left.authenticated and not pair.right.authenticated
