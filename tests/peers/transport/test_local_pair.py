"""Two ends of one connection in one process."""

from __future__ import annotations

from typing import Any

import pytest

from peers.transport.local_pair import LocalConnection, LocalPair


def listen(end: LocalConnection, seen: list[Any], name: str) -> None:
    for event in ("connecting", "connect", "message", "disconnect", "error"):
        end.on(event, lambda *args, event=event: seen.append((name, event, *args)))


@pytest.fixture
def pair() -> LocalPair:
    return LocalPair()


@pytest.fixture
def seen(pair: LocalPair) -> list[Any]:
    seen: list[Any] = []
    listen(pair.left, seen, "left")
    listen(pair.right, seen, "right")
    return seen


def test_left_dials_and_right_accepts(pair: LocalPair) -> None:
    assert pair.left.dialled and not pair.right.dialled
    assert pair.left.address != pair.right.address


def test_opens_at_both_ends(pair: LocalPair, seen: list[Any]) -> None:
    pair.left.connect()

    assert pair.left.connected and pair.right.connected
    assert seen == [("left", "connecting"), ("right", "connect"), ("left", "connect")]


@pytest.mark.parametrize(("own", "other"), [("left", "right"), ("right", "left")])
def test_closes_at_both_ends_and_says_why(pair: LocalPair, seen: list[Any], own: str, other: str) -> None:
    pair.left.connect()
    seen.clear()

    getattr(pair, own).disconnect("tired")
    getattr(pair, own).disconnect("again")

    assert not pair.left.connected and not pair.right.connected
    assert seen == [(own, "disconnect", "tired"), (other, "disconnect", "tired")]


def test_each_end_knows_the_other(pair: LocalPair) -> None:
    assert pair.left.other is pair.right and pair.right.other is pair.left


def test_closing_what_is_closed_is_harmless(pair: LocalPair, seen: list[Any]) -> None:
    pair.left.disconnect("never opened")
    pair.right.disconnect("never opened")

    assert seen == []


def test_a_frame_has_arrived_when_send_returns_and_is_not_copied(pair: LocalPair, seen: list[Any]) -> None:
    frame = bytes(bytearray(b"[1]"))
    pair.left.connect()

    pair.left.send(frame)

    assert seen[-1][2] is frame


def test_both_ends_are_open_when_the_first_connect_is_emitted(pair: LocalPair) -> None:
    states: list[tuple[bool, bool]] = []
    for end in (pair.left, pair.right):
        end.on("connect", lambda: states.append((pair.left.connected, pair.right.connected)))
        end.on("disconnect", lambda _: states.append((pair.left.connected, pair.right.connected)))

    pair.left.connect()
    pair.right.disconnect()

    assert states == [(True, True), (True, True), (False, False), (False, False)]


def test_frames_arrive_in_order(pair: LocalPair, seen: list[Any]) -> None:
    pair.left.connect()
    seen.clear()

    pair.left.send(b"1")
    pair.left.send(b"2")
    pair.right.send(b"3")

    assert seen == [("right", "message", b"1"), ("right", "message", b"2"), ("left", "message", b"3")]


def test_an_answer_comes_after_the_reaction_that_asked_for_it(pair: LocalPair, seen: list[Any]) -> None:
    def ask() -> None:
        pair.left.send(b"question")
        seen.append("asked")

    pair.right.on("message", lambda _: pair.right.send(b"answer"))
    pair.left.on("connect", ask)
    pair.left.connect()

    assert seen[-3:] == ["asked", ("right", "message", b"question"), ("left", "message", b"answer")]


def test_a_frame_is_activity_too(pair: LocalPair) -> None:
    signs: list[str] = []
    pair.right.on("activity", lambda: signs.append("activity"))
    pair.right.on("message", lambda _: signs.append("message"))
    pair.left.connect()

    pair.left.send(b"1")

    assert signs == ["activity", "message"]


def test_can_be_opened_again(pair: LocalPair, seen: list[Any]) -> None:
    pair.left.connect()
    pair.left.disconnect()
    seen.clear()

    pair.left.connect()
    pair.left.send(b"1")

    assert seen[-1] == ("right", "message", b"1")


def test_misuse_raises_an_error(pair: LocalPair) -> None:
    with pytest.raises(RuntimeError, match="started before sending"):
        pair.left.send(b"1")
    with pytest.raises(RuntimeError, match="only the end that dialled"):
        pair.right.connect()
    pair.left.connect()
    with pytest.raises(RuntimeError, match="already established"):
        pair.left.connect()
    pair.left.disconnect()
    with pytest.raises(RuntimeError, match="started before sending"):
        pair.right.send(b"1")


def test_a_paused_end_reads_when_it_is_resumed(pair: LocalPair, seen: list[Any]) -> None:
    pair.left.connect()
    pair.right.pause()
    seen.clear()
    pair.left.send(b"1")
    pair.left.send(b"2")
    assert seen == []

    pair.right.resume()

    assert seen == [("right", "message", b"1"), ("right", "message", b"2")]


def test_an_end_that_pauses_in_a_reaction_gets_no_further_frame(pair: LocalPair, seen: list[Any]) -> None:
    pair.left.connect()
    pair.right.pause()
    pair.left.send(b"1")
    pair.left.send(b"2")
    pair.right.on("message", lambda _: pair.right.pause())
    seen.clear()

    pair.right.resume()

    assert seen == [("right", "message", b"1")]


def test_a_new_connection_is_not_paused_and_has_no_frames_of_the_last(pair: LocalPair, seen: list[Any]) -> None:
    pair.left.connect()
    pair.right.pause()
    pair.left.send(b"old")
    pair.left.disconnect()
    pair.left.connect()
    seen.clear()

    pair.left.send(b"new")

    assert seen == [("right", "message", b"new")]


def test_nothing_is_delivered_after_the_end(pair: LocalPair, seen: list[Any]) -> None:
    def leave() -> None:
        pair.left.disconnect("bye")
        pair.left.send(b"too late")

    pair.left.on("connect", leave)
    pair.left.connect()

    assert seen[-2:] == [("left", "disconnect", "bye"), ("right", "disconnect", "bye")]


def test_an_attempt_that_is_given_up_does_not_open(pair: LocalPair, seen: list[Any]) -> None:
    def open_and_leave() -> None:
        pair.left.connect()
        pair.left.disconnect("changed my mind")

    pair.soon(open_and_leave)

    assert not pair.left.connected
    assert seen == [("left", "disconnect", "changed my mind")]


def test_a_listener_that_fails_does_not_stop_the_rest(pair: LocalPair, seen: list[Any]) -> None:
    def fail(_: bytes) -> None:
        pair.right.disconnect("broken")
        raise KeyError("mine")

    pair.right.on("message", fail)
    pair.left.connect()

    with pytest.raises(KeyError, match="mine"):
        pair.left.send(b"1")

    assert not pair.left.connected
    assert seen[-1] == ("left", "disconnect", "broken")
