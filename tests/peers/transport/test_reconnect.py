"""A connection that opens itself again."""

from __future__ import annotations

from random import Random
from typing import Any

import pytest

from peers.clock import ManualClock
from peers.errors import FATAL
from peers.roles.peer import PeerSync
from peers.transport.local_pair import LocalPair
from peers.transport.reconnect import Reconnect, retry_delay
from tests.support.pair import RecordedConnection, Stranger


class Door(RecordedConnection):
    """The dialling end of a pair, whose other end may refuse."""

    def __init__(self, *, is_open: bool = True) -> None:
        self.local = LocalPair()
        super().__init__(self.local.left)
        self.is_open = is_open
        self.connects = 0
        self.clock = ManualClock()
        self.times: list[float] = []

    def connect(self) -> None:
        self.connects += 1
        self.times.append(self.clock.elapsed_ms())
        if self.is_open:
            super().connect()
        else:
            self.local.soon(lambda: self.local.left.emitter.emit("disconnect", "refused"))

    def wrap(self, **options: Any) -> Reconnect:
        return Reconnect(self, clock=self.clock, random=Random(1), **options)


def test_opens_again_after_a_loss() -> None:
    door = Door()
    reconnect = door.wrap()
    reconnect.connect()

    door.local.right.disconnect("lost")
    assert not reconnect.connected
    door.clock.advance(1_000)

    assert reconnect.connected
    assert door.connects == 2


def test_passes_everything_through() -> None:
    door = Door()
    reconnect = door.wrap()
    seen: list[Any] = []
    undo = reconnect.on("message", seen.append)
    reconnect.on("disconnect", seen.append)
    assert not reconnect.connected
    reconnect.connect()
    assert reconnect.connected and door.connected
    reconnect.pause()
    door.local.right.send(b"1")
    assert seen == []

    reconnect.resume()
    reconnect.send(b"2")

    undo()
    door.local.right.send(b"3")
    reconnect.disconnect("enough")

    assert seen == [b"1", "enough"]
    assert door.sent == [2]
    assert not reconnect.connected and not door.connected
    assert reconnect.address == door.address
    assert reconnect.dialled


def test_goes_on_with_a_connection_that_is_open_already() -> None:
    door = Door()
    door.connect()
    reconnect = door.wrap()
    assert reconnect.reconnecting

    door.local.right.disconnect()
    door.clock.advance(1_000)

    assert reconnect.connected


def test_waits_longer_after_each_failure_up_to_a_limit() -> None:
    door = Door(is_open=False)
    door.wrap(min_delay=1_000, max_delay=5_000).connect()

    door.clock.advance(40_000)

    pauses = [later - earlier for earlier, later in zip(door.times, door.times[1:], strict=False)]
    assert 500 <= pauses[0] <= 1_000
    assert 1_000 <= pauses[1] <= 2_000
    assert 2_000 <= pauses[2] <= 4_000
    assert all(2_500 <= pause <= 5_000 for pause in pauses[3:])


def test_waits_from_1_to_5_seconds_and_never_gives_up_unless_told_otherwise() -> None:
    door = Door(is_open=False)
    reconnect = door.wrap()
    reconnect.connect()

    door.clock.advance(600_000)

    pauses = [later - earlier for earlier, later in zip(door.times, door.times[1:], strict=False)]
    assert 500 <= pauses[0] <= 1_000
    assert all(2_500 <= pause <= 5_000 for pause in pauses[3:])
    assert max(pauses) > 4_500
    assert len(pauses) >= 120 and reconnect.reconnecting


def test_waits_shortly_again_after_a_success() -> None:
    door = Door(is_open=False)
    reconnect = door.wrap()
    reconnect.connect()
    door.clock.advance(60_000)
    door.is_open = True
    door.clock.advance(5_000)
    assert reconnect.connected

    door.local.right.disconnect()
    door.clock.advance(1_000)

    assert reconnect.connected


def test_a_link_that_opens_may_not_count_as_a_success() -> None:
    door = Door()
    reconnect = door.wrap(resets_on_connect=False)
    reconnect.on("connect", lambda: door.local.right.disconnect("not you"))
    reconnect.connect()

    door.clock.advance(20_000)

    assert reconnect.failures > 3
    assert door.connects < 12
    reconnect.reset()
    assert reconnect.failures == 0


@pytest.mark.parametrize("attempts", [1, 3])
def test_gives_up_after_so_many_attempts(attempts: int) -> None:
    door = Door(is_open=False)
    reconnect = door.wrap(attempts=attempts)
    reconnect.connect()

    door.clock.advance(60_000)

    assert door.connects == attempts
    assert not reconnect.reconnecting and not reconnect.connecting
    assert reconnect.failures == 0
    assert door.clock.waiting == 0


@pytest.mark.parametrize("attempts", [1, 3])
def test_makes_as_many_attempts_after_a_loss(attempts: int) -> None:
    door = Door()
    reconnect = door.wrap(attempts=attempts)
    reconnect.connect()
    door.is_open = False

    door.local.right.disconnect()
    door.clock.advance(60_000)

    assert door.connects == 1 + attempts


def test_a_success_gives_all_attempts_back() -> None:
    door = Door(is_open=False)
    reconnect = door.wrap(attempts=3)
    reconnect.connect()
    door.clock.advance(1_000)
    door.is_open = True
    door.clock.advance(5_000)
    assert reconnect.connected and door.connects == 3
    door.is_open = False

    door.local.right.disconnect()
    door.clock.advance(60_000)

    assert door.connects == 3 + 3


def test_may_be_started_again_after_giving_up() -> None:
    door = Door(is_open=False)
    reconnect = door.wrap(attempts=2)
    reconnect.connect()
    door.clock.advance(60_000)

    reconnect.connect()
    door.clock.advance(60_000)

    assert door.connects == 4


def test_stays_closed_when_it_was_closed_here() -> None:
    door = Door()
    reconnect = door.wrap()
    reconnect.connect()

    reconnect.disconnect("enough")
    door.clock.advance(60_000)

    assert door.connects == 1
    assert not reconnect.reconnecting


def test_stays_closed_when_it_was_closed_while_it_waited() -> None:
    door = Door(is_open=False)
    reconnect = door.wrap()
    reconnect.connect()

    reconnect.disconnect()
    door.clock.advance(60_000)

    assert door.connects == 1
    assert door.clock.waiting == 0


def test_is_reconnecting_from_connect_to_disconnect() -> None:
    reconnect = Door().wrap()

    seen = [reconnect.reconnecting]
    reconnect.connect()
    seen.append(reconnect.reconnecting)
    reconnect.disconnect()
    seen.append(reconnect.reconnecting)

    assert seen == [False, True, False]


def test_is_connecting_until_it_is_open() -> None:
    door = Door()
    reconnect = door.wrap()
    seen = [reconnect.connecting]
    door.on("connecting", lambda: seen.append(reconnect.connecting))
    reconnect.on("connect", lambda: seen.append(reconnect.connecting))

    reconnect.connect()

    assert seen == [False, True, False]


def test_is_connecting_until_the_attempt_has_failed() -> None:
    door = Door(is_open=False)
    reconnect = door.wrap()
    reconnect.connect()

    door.local.left.emitter.emit("connecting")
    began = reconnect.connecting
    door.local.left.emitter.emit("disconnect", "refused")

    assert began and not reconnect.connecting


@pytest.mark.parametrize("reason", ["timeout", "error", "freeze"])
def test_keeps_trying_after_a_passing_trouble(reason: str) -> None:
    door = Door()
    reconnect = door.wrap()
    reconnect.connect()

    reconnect.disconnect(reason)
    door.clock.advance(1_000)

    assert reconnect.connected and door.connects == 2


def test_connect_ends_the_wait() -> None:
    door = Door(is_open=False)
    reconnect = door.wrap()
    reconnect.connect()
    door.clock.advance(20_000)
    door.is_open = True

    reconnect.connect()

    assert reconnect.connected
    assert door.clock.waiting == 0


class SlowlyClosing(Door):
    """Not connected any more as soon as it is being closed, but it says so later, and cannot be opened before."""

    is_closing = False

    @property
    def connected(self) -> bool:
        return not self.is_closing and super().connected

    def disconnect(self, reason: str = "") -> None:
        self.is_closing = True

    def connect(self) -> None:
        if self.is_closing:
            raise RuntimeError("it is still open")
        super().connect()

    def close(self) -> None:
        self.is_closing = False
        super().disconnect("closed")


def test_connect_while_it_is_closing_opens_it_once_it_has_closed() -> None:
    door = SlowlyClosing()
    reconnect = door.wrap()
    reconnect.connect()
    reconnect.disconnect("error")

    reconnect.connect()
    door.close()
    door.clock.advance(1_000)

    assert reconnect.connected
    assert door.connects == 2


def test_connect_while_it_is_open_is_harmless() -> None:
    door = Door()
    reconnect = door.wrap()
    reconnect.connect()
    reconnect.connect()

    assert door.connects == 1


def test_a_loss_that_is_told_twice_is_answered_once() -> None:
    door = Door()
    reconnect = door.wrap()
    reconnect.connect()
    door.is_open = False

    door.local.right.disconnect()
    door.local.left.emitter.emit("disconnect", "again")

    assert door.clock.waiting == 1
    reconnect.destroy()
    assert door.clock.waiting == 0


def test_destroy_leaves_nothing() -> None:
    door = Door()
    reconnect = door.wrap()
    reconnect.connect()
    door.local.right.disconnect()

    reconnect.destroy()
    door.clock.advance(60_000)

    assert door.connects == 1
    assert door.listeners == 0
    assert door.clock.waiting == 0


def test_destroy_tells_the_other_end_why_and_stops_whatever_the_reason() -> None:
    door = Door()
    reasons: list[str] = []
    door.local.right.on("disconnect", reasons.append)
    reconnect = door.wrap()
    reconnect.connect()

    reconnect.destroy("timeout")
    reconnect.destroy("again")
    door.clock.advance(60_000)

    assert reasons == ["timeout"]
    assert door.connects == 1 and not reconnect.reconnecting
    assert door.clock.waiting == door.listeners == 0


def test_destroy_of_what_was_never_open_is_harmless() -> None:
    door = Door()

    door.wrap().destroy()

    assert door.listeners == 0


def test_destroy_during_an_attempt_ends_it() -> None:
    door = Door(is_open=False)
    reconnect = door.wrap()
    reconnect.connect()
    door.local.left.emitter.emit("connecting")

    reconnect.destroy()
    door.clock.advance(60_000)

    assert door.connects == 1 and not reconnect.connecting


@pytest.mark.parametrize("error", sorted(FATAL))
def test_a_role_that_receives_a_fatal_error_stops_it(error: str) -> None:
    stranger, reconnect = dialled_role()

    stranger.say_raw(b'["error","%s"]' % error.encode())
    stranger.clock.advance(60_000)

    assert not reconnect.reconnecting and not reconnect.connected


@pytest.mark.parametrize("error", ["timeout", "wrong-format", "bruteforce"])
def test_a_role_that_receives_another_error_leaves_it_at_work(error: str) -> None:
    stranger, reconnect = dialled_role()

    stranger.say_raw(b'["error","%s"]' % error.encode())
    assert not reconnect.connected
    stranger.clock.advance(1_000)

    assert reconnect.reconnecting and reconnect.connected


def dialled_role() -> tuple[Stranger, Reconnect]:
    """A role over a Reconnect that has dialled a stranger."""
    stranger = Stranger(dials=False, connects=False)
    stranger.role.destroy()
    reconnect = Reconnect(stranger.connection, clock=stranger.clock, random=Random(1))
    stranger.role = PeerSync("home", stranger.log, reconnect, clock=stranger.clock, random=Random(2))
    stranger.role.catch(stranger.errors.append)
    reconnect.connect()
    return stranger, reconnect


def test_delays_are_spread_over_half_their_length() -> None:
    delays = [retry_delay(10, min_delay=1, max_delay=8, random=Random(seed)) for seed in range(200)]

    assert min(delays) < 4.3 and max(delays) > 7.7
    assert all(4 <= delay <= 8 for delay in delays)


def test_delays_have_a_limit_after_any_number_of_failures() -> None:
    assert retry_delay(10**6, min_delay=1, max_delay=8, random=Random(1)) <= 8
