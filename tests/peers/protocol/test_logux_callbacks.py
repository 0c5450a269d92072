"""Filters, maps and credentials that are slow, fail or never answer: no event is lost, and no timer or link is left."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

import pytest

from peers.later import Later
from peers.protocol.core import HANDSHAKE_MS
from peers.protocol.sync import CALLBACK_MS
from tests.support.logux_pair import Asked, client, every_dialect, logux, meet_again, names, spawn_for_ever
from tests.support.pair import Pair, syncs

OUT = ("out_filter", "out_map")
IN = ("in_filter", "in_map")
LONG = {"timeout": 10 * CALLBACK_MS, "ping": None}
"""A timeout that is longer than the limit of callbacks."""


def left_with(protocol: Any, name: str, callback: Any, **options: Any) -> Pair:
    """A connected pair whose client has that callback, and an event that is held by it."""
    pair = logux(protocol, left={name: callback, **options}, **LONG).meet()
    start(pair, name)
    return pair


def start(pair: Pair, name: str) -> None:
    """Add an event that has to go through the callback."""
    (pair.left if name in OUT else pair.right).log.add({"type": "a"})


def arrived(pair: Pair, name: str) -> bool:
    """Whether the event is at the other end."""
    return (pair.right if name in OUT else pair.left).log.types == ["a"]


def passing(event: Any, meta: Any) -> Any:
    """The answer of a filter and of a map that passes the event."""
    return event, meta


# Never answering


@every_dialect
@pytest.mark.parametrize("name", [*OUT, *IN])
def test_a_callback_that_never_answers_ends_the_link_after_a_time(protocol: Any, name: str) -> None:
    pair = left_with(protocol, name, Asked())

    pair.clock.advance(CALLBACK_MS)

    assert pair.left_sent[-1] == ["error", "timeout", CALLBACK_MS]
    assert pair.left_errors == ["right: timeout (A timeout was reached (30000ms))"]
    assert not pair.left.connected
    assert not arrived(pair, name)
    assert pair.clock.waiting == 0


@every_dialect
@pytest.mark.parametrize("name", [*OUT, *IN])
def test_events_that_a_callback_held_are_exchanged_over_the_next_link(protocol: Any, name: str) -> None:
    asked = Asked()
    pair = left_with(protocol, name, asked)
    pair.clock.advance(CALLBACK_MS)

    meet_again(pair, **LONG)
    asked.answers[-1].set(({"type": "a"}, {}) if name.endswith("map") else True)

    assert len(asked.calls) == 2
    assert arrived(pair, name)
    assert pair.left.state == "synchronized"


@pytest.mark.parametrize("name", [*OUT, *IN])
def test_a_coroutine_that_never_ends_ends_the_link_too(name: str) -> None:
    async def callback(_event: Any, _meta: Any) -> Any: ...

    pair = left_with(5, name, callback, spawn=spawn_for_ever)

    pair.clock.advance(CALLBACK_MS)

    assert pair.left_sent[-1] == ["error", "timeout", CALLBACK_MS]
    assert not arrived(pair, name)


@pytest.mark.parametrize("side", ["left", "right"])
def test_when_credentials_never_answer_the_link_ends_after_a_time(side: str) -> None:
    pair = logux(5, **{side: {"credentials": Asked()}}, **LONG).connect()

    pair.clock.advance(HANDSHAKE_MS)

    assert not pair.left.connected
    assert not pair.left.authenticated
    assert "A timeout was reached (30000ms)" in (pair.left_errors + pair.right_errors)[0]


def test_a_role_without_a_timeout_waits_for_its_callbacks_without_limit() -> None:
    asked = Asked()
    pair = logux(5, left={"out_filter": asked, "timeout": None, "ping": None}, right=LONG).meet()
    pair.left.log.add({"type": "a"})

    pair.clock.advance(10 * CALLBACK_MS)
    asked.answer(True)

    assert arrived(pair, "out_filter")


# Slow


@every_dialect
@pytest.mark.parametrize("name", ["out_filter", "in_filter"])
def test_a_slow_callback_that_answers_in_time_does_not_end_the_link(protocol: Any, name: str) -> None:
    asked = Asked()
    pair = left_with(protocol, name, asked)
    for _ in range(9):
        start(pair, name)

    for _ in range(10):
        pair.clock.advance(CALLBACK_MS - 1)
        asked.answer(True)

    assert pair.left.connected
    assert pair.left_errors == []
    assert len((pair.right if name in OUT else pair.left).log.types) == 10


def test_the_callbacks_of_each_direction_have_a_time_limit_of_their_own() -> None:
    going, coming = Asked(), Asked()
    pair = logux(left={"out_filter": going, "in_filter": coming}, **LONG).meet()
    pair.right.log.add({"type": "r"})
    pair.clock.advance(CALLBACK_MS - 1_000)
    pair.left.log.add({"type": "l"})
    coming.answer(True)
    pair.right.log.add({"type": "r2"})

    pair.clock.advance(2_000)
    early = pair.left.connected
    pair.clock.advance(2 * CALLBACK_MS)

    assert early
    assert not pair.left.connected


@every_dialect
@pytest.mark.parametrize("name", ["in_filter", "in_map"])
def test_events_that_a_slow_callback_holds_are_not_confirmed(protocol: Any, name: str) -> None:
    asked = Asked()
    pair = left_with(protocol, name, asked)
    before = names(pair.left_sent)

    asked.answer(True if name == "in_filter" else ({"type": "a"}, {}))

    assert "synced" not in before
    assert pair.left_sent[-1] == ["synced", 1]


@every_dialect
@pytest.mark.parametrize("name", [*OUT, *IN])
def test_an_answer_of_a_callback_for_a_lost_link_sends_nothing_over_the_next(protocol: Any, name: str) -> None:
    asked = Asked()
    pair = left_with(protocol, name, asked)
    meet_again(pair, **LONG)

    asked.answer(({"type": "wrong"}, {}) if name.endswith("map") else True)

    assert syncs(pair.left_sent) == []
    assert "synced" not in names(pair.left_sent)
    assert not arrived(pair, name)
    assert len(asked.calls) == 2


@pytest.mark.parametrize("name", [*OUT, *IN])
def test_an_answer_of_a_callback_after_destroy_is_ignored(name: str) -> None:
    asked = Asked()
    pair = left_with(5, name, asked)
    pair.destroy()

    asked.answer(True)

    assert not arrived(pair, name)
    assert pair.clock.waiting == 0


# Failing


@every_dialect
@pytest.mark.parametrize("name", [*OUT, *IN])
@pytest.mark.parametrize("kind", ["raises", "fails", "fails later"])
def test_a_callback_that_fails_ends_the_link_and_confirms_nothing(protocol: Any, name: str, kind: str) -> None:
    later: Later[Any] = Later()

    def callback(_event: Any, _meta: Any) -> Any:
        if kind == "raises":
            raise KeyError("shelf")
        return Later.failed(KeyError("shelf")) if kind == "fails" else later

    def run() -> Pair:
        pair = logux(protocol, left={name: callback}, **LONG).meet()
        pairs.append(pair)
        start(pair, name)
        later.fail(KeyError("shelf"))
        return pair

    pairs: list[Pair] = []
    with pytest.raises(KeyError, match="shelf"):
        run()

    (pair,) = pairs
    assert not pair.left.connected
    assert "synced" not in names(pair.left_sent)
    assert not arrived(pair, name)
    assert pair.left.state == ("wait" if name in OUT else "disconnected")


@every_dialect
@pytest.mark.parametrize("name", [*OUT, *IN])
def test_the_event_that_a_callback_failed_on_is_exchanged_once_the_callback_works(protocol: Any, name: str) -> None:
    is_broken = [True]

    def callback(event: Any, meta: Any) -> Any:
        if is_broken.pop():
            raise KeyError("shelf")
        return passing(event, meta)

    pair = logux(protocol, left={name: callback}, **LONG).meet()
    with pytest.raises(KeyError, match="shelf"):
        start(pair, name)
    is_broken.append(False)

    meet_again(pair, **LONG)

    assert arrived(pair, name)
    assert pair.left.state == "synchronized"


@pytest.mark.parametrize("name", ["out_map", "in_map"])
@pytest.mark.parametrize(
    "given",
    [
        None,
        True,
        {"type": "b"},
        ({"type": "b"},),
        ({}, {}),
        ("b", {}),
        ({"type": "b"}, None),
        ({"type": "b"}, {"created": (-1, "x", 0)}),
        ({"type": "b"}, {"created": [1]}),
        ({"type": "b"}, {"time": -5}),
        ({"type": "b"}, {"other": print}),
    ],
    ids=repr,
)
def test_a_map_that_returns_no_event_raises_an_error_and_passes_nothing(name: str, given: Any) -> None:
    pair = logux(5, left={name: lambda _event, _meta: given}, **LONG).meet()

    with pytest.raises((TypeError, ValueError, AttributeError)):
        start(pair, name)

    assert not pair.left.connected
    assert pair.left.log.types + pair.right.log.types == ["a"]


@pytest.mark.parametrize("name", ["out_filter", "in_filter"])
def test_an_awaitable_is_never_taken_for_true(name: str) -> None:
    loop = asyncio.new_event_loop()
    refused = loop.create_future()
    refused.set_result(False)
    pair = logux(5, left={name: lambda _event, _meta: refused}, **LONG).meet()

    with pytest.raises(TypeError, match="spawn"):
        start(pair, name)

    loop.close()
    assert not arrived(pair, name)
    assert not pair.left.connected


@pytest.mark.parametrize("name", ["out_filter", "in_filter"])
def test_any_awaitable_is_awaited(name: str) -> None:
    loop = asyncio.new_event_loop()
    answers = [loop.create_future(), loop.create_future()]
    answers[0].set_result(False)
    answers[1].set_result(True)

    def spawn(work: Coroutine[Any, Any, Any]) -> Later[Any]:
        return Later.done(loop.run_until_complete(work))

    waiting = list(answers)
    pair = left_with(5, name, lambda _event, _meta: waiting.pop(0), spawn=spawn)
    before = arrived(pair, name)
    start(pair, name)

    loop.close()
    assert not before
    assert arrived(pair, name)


def test_credentials_that_raise_end_the_link_without_a_greeting() -> None:
    def credentials() -> str:
        raise KeyError("key")

    stranger = client(5, credentials=credentials, connects=False)

    with pytest.raises(KeyError, match="key"):
        stranger.dialler.connect()

    assert stranger.heard == []
    assert not stranger.connected


@every_dialect
def test_the_second_event_in_a_callback_has_the_same_time_limit_as_the_first(protocol: Any) -> None:
    asked = Asked()
    pair = left_with(protocol, "out_filter", asked)
    start(pair, "out_filter")
    asked.answer(True)

    pair.clock.advance(CALLBACK_MS)

    assert len(asked.calls) == 2
    assert not pair.left.connected


def test_a_callback_that_never_answers_is_abandoned_with_its_link() -> None:
    abandoned: list[str] = []

    def spawn(work: Any) -> Later[Any]:
        work.close()
        later: Later[Any] = Later()
        later.on_abandoned = lambda: abandoned.append("filter")
        return later

    async def never(_event: Any, _meta: Any) -> bool:
        raise AssertionError("it is not run here")

    pair = logux(5, left={"out_filter": never, "spawn": spawn}).connect()
    pair.left.log.add({"type": "a"})
    assert abandoned == []

    pair.cut()

    assert abandoned == ["filter"]
