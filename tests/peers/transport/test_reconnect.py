"""A connection that opens itself again."""

from __future__ import annotations

from random import Random
from typing import Any

import pytest

from peers.clock import ManualClock
from peers.errors import FATAL
from peers.roles.run_peer import RunPeerSync
from peers.transport.local_pair import LocalPair
from peers.transport.reconnect import Reconnect, retry_delay
from tests.support.pair import RecordedConnection, Stranger


class DiallingEnd(RecordedConnection):
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
    end = DiallingEnd()
    reconnect = end.wrap()
    reconnect.connect()

    end.local.right.disconnect("lost")
    assert not reconnect.connected
    end.clock.advance(1_000)

    assert reconnect.connected
    assert end.connects == 2


def test_passes_everything_through() -> None:
    end = DiallingEnd()
    reconnect = end.wrap()
    seen: list[Any] = []
    undo = reconnect.on("message", seen.append)
    reconnect.on("disconnect", seen.append)
    assert not reconnect.connected
    reconnect.connect()
    assert reconnect.connected and end.connected
    reconnect.pause()
    end.local.right.send(b"1")
    assert seen == []

    reconnect.resume()
    reconnect.send(b"2")

    undo()
    end.local.right.send(b"3")
    reconnect.disconnect("enough")

    assert seen == [b"1", "enough"]
    assert end.sent == [2]
    assert not reconnect.connected and not end.connected
    assert reconnect.address == end.address
    assert reconnect.dialled


def test_goes_on_with_a_connection_that_is_open_already() -> None:
    end = DiallingEnd()
    end.connect()
    reconnect = end.wrap()
    assert reconnect.reconnecting

    end.local.right.disconnect()
    end.clock.advance(1_000)

    assert reconnect.connected


def test_waits_longer_after_each_failure_up_to_a_limit() -> None:
    end = DiallingEnd(is_open=False)
    end.wrap(min_delay=1_000, max_delay=5_000).connect()

    end.clock.advance(40_000)

    pauses = [later - earlier for earlier, later in zip(end.times, end.times[1:], strict=False)]
    assert 500 <= pauses[0] <= 1_000
    assert 1_000 <= pauses[1] <= 2_000
    assert 2_000 <= pauses[2] <= 4_000
    assert all(2_500 <= pause <= 5_000 for pause in pauses[3:])


def test_waits_by_default_from_1_to_5_seconds_and_never_gives_up() -> None:
    end = DiallingEnd(is_open=False)
    reconnect = end.wrap()
    reconnect.connect()

    end.clock.advance(600_000)

    pauses = [later - earlier for earlier, later in zip(end.times, end.times[1:], strict=False)]
    assert 500 <= pauses[0] <= 1_000
    assert all(2_500 <= pause <= 5_000 for pause in pauses[3:])
    assert max(pauses) > 4_500
    assert len(pauses) >= 120 and reconnect.reconnecting


def test_after_a_success_the_delay_is_short_again() -> None:
    end = DiallingEnd(is_open=False)
    reconnect = end.wrap()
    reconnect.connect()
    end.clock.advance(60_000)
    end.is_open = True
    end.clock.advance(5_000)
    assert reconnect.connected

    end.local.right.disconnect()
    end.clock.advance(1_000)

    assert reconnect.connected


def test_an_open_connection_may_not_count_as_a_success() -> None:
    end = DiallingEnd()
    reconnect = end.wrap(resets_on_connect=False)
    reconnect.on("connect", lambda: end.local.right.disconnect("not you"))
    reconnect.connect()

    end.clock.advance(20_000)

    assert reconnect.failures > 3
    assert end.connects < 12
    reconnect.reset()
    assert reconnect.failures == 0


@pytest.mark.parametrize("attempts", [1, 3])
def test_gives_up_after_so_many_attempts(attempts: int) -> None:
    end = DiallingEnd(is_open=False)
    reconnect = end.wrap(attempts=attempts)
    reconnect.connect()

    end.clock.advance(60_000)

    assert end.connects == attempts
    assert not reconnect.reconnecting and not reconnect.connecting
    assert reconnect.failures == 0
    assert end.clock.waiting == 0


@pytest.mark.parametrize("attempts", [1, 3])
def test_makes_as_many_attempts_after_a_loss(attempts: int) -> None:
    end = DiallingEnd()
    reconnect = end.wrap(attempts=attempts)
    reconnect.connect()
    end.is_open = False

    end.local.right.disconnect()
    end.clock.advance(60_000)

    assert end.connects == 1 + attempts


def test_after_a_success_all_attempts_are_available_again() -> None:
    end = DiallingEnd(is_open=False)
    reconnect = end.wrap(attempts=3)
    reconnect.connect()
    end.clock.advance(1_000)
    end.is_open = True
    end.clock.advance(5_000)
    assert reconnect.connected and end.connects == 3
    end.is_open = False

    end.local.right.disconnect()
    end.clock.advance(60_000)

    assert end.connects == 3 + 3


def test_may_be_started_again_after_giving_up() -> None:
    end = DiallingEnd(is_open=False)
    reconnect = end.wrap(attempts=2)
    reconnect.connect()
    end.clock.advance(60_000)

    reconnect.connect()
    end.clock.advance(60_000)

    assert end.connects == 4


def test_stays_closed_when_it_was_closed_here() -> None:
    end = DiallingEnd()
    reconnect = end.wrap()
    reconnect.connect()

    reconnect.disconnect("enough")
    end.clock.advance(60_000)

    assert end.connects == 1
    assert not reconnect.reconnecting


def test_stays_closed_when_it_was_closed_while_it_waited() -> None:
    end = DiallingEnd(is_open=False)
    reconnect = end.wrap()
    reconnect.connect()

    reconnect.disconnect()
    end.clock.advance(60_000)

    assert end.connects == 1
    assert end.clock.waiting == 0


def test_is_reconnecting_from_connect_to_disconnect() -> None:
    reconnect = DiallingEnd().wrap()

    seen = [reconnect.reconnecting]
    reconnect.connect()
    seen.append(reconnect.reconnecting)
    reconnect.disconnect()
    seen.append(reconnect.reconnecting)

    assert seen == [False, True, False]


def test_is_connecting_until_it_is_open() -> None:
    end = DiallingEnd()
    reconnect = end.wrap()
    seen = [reconnect.connecting]
    end.on("connecting", lambda: seen.append(reconnect.connecting))
    reconnect.on("connect", lambda: seen.append(reconnect.connecting))

    reconnect.connect()

    assert seen == [False, True, False]


def test_is_connecting_until_the_attempt_has_failed() -> None:
    end = DiallingEnd(is_open=False)
    reconnect = end.wrap()
    reconnect.connect()

    end.local.left.emitter.emit("connecting")
    began = reconnect.connecting
    end.local.left.emitter.emit("disconnect", "refused")

    assert began and not reconnect.connecting


@pytest.mark.parametrize("reason", ["timeout", "error", "freeze"])
def test_keeps_trying_after_a_temporary_failure(reason: str) -> None:
    end = DiallingEnd()
    reconnect = end.wrap()
    reconnect.connect()

    reconnect.disconnect(reason)
    end.clock.advance(1_000)

    assert reconnect.connected and end.connects == 2


def test_connect_ends_the_wait() -> None:
    end = DiallingEnd(is_open=False)
    reconnect = end.wrap()
    reconnect.connect()
    end.clock.advance(20_000)
    end.is_open = True

    reconnect.connect()

    assert reconnect.connected
    assert end.clock.waiting == 0


class SlowlyClosing(DiallingEnd):
    """Closes slowly: it is not connected at once, emits `disconnect` later, and cannot be opened before that."""

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
    end = SlowlyClosing()
    reconnect = end.wrap()
    reconnect.connect()
    reconnect.disconnect("error")

    reconnect.connect()
    end.close()
    end.clock.advance(1_000)

    assert reconnect.connected
    assert end.connects == 2


def test_connect_while_it_is_open_is_harmless() -> None:
    end = DiallingEnd()
    reconnect = end.wrap()
    reconnect.connect()
    reconnect.connect()

    assert end.connects == 1


def test_a_loss_that_is_emitted_twice_is_answered_once() -> None:
    end = DiallingEnd()
    reconnect = end.wrap()
    reconnect.connect()
    end.is_open = False

    end.local.right.disconnect()
    end.local.left.emitter.emit("disconnect", "again")

    assert end.clock.waiting == 1
    reconnect.destroy()
    assert end.clock.waiting == 0


def test_destroy_leaves_no_timer_and_no_listener() -> None:
    end = DiallingEnd()
    reconnect = end.wrap()
    reconnect.connect()
    end.local.right.disconnect()

    reconnect.destroy()
    end.clock.advance(60_000)

    assert end.connects == 1
    assert end.listeners == 0
    assert end.clock.waiting == 0


def test_destroy_sends_its_reason_and_stops_with_any_reason() -> None:
    end = DiallingEnd()
    reasons: list[str] = []
    end.local.right.on("disconnect", reasons.append)
    reconnect = end.wrap()
    reconnect.connect()

    reconnect.destroy("timeout")
    reconnect.destroy("again")
    end.clock.advance(60_000)

    assert reasons == ["timeout"]
    assert end.connects == 1 and not reconnect.reconnecting
    assert end.clock.waiting == end.listeners == 0


def test_destroy_of_what_was_never_open_is_harmless() -> None:
    end = DiallingEnd()

    end.wrap().destroy()

    assert end.listeners == 0


def test_destroy_during_an_attempt_ends_it() -> None:
    end = DiallingEnd(is_open=False)
    reconnect = end.wrap()
    reconnect.connect()
    end.local.left.emitter.emit("connecting")

    reconnect.destroy()
    end.clock.advance(60_000)

    assert end.connects == 1 and not reconnect.connecting


@pytest.mark.parametrize("error", sorted(FATAL))
def test_a_role_that_receives_a_fatal_error_stops_it(error: str) -> None:
    stranger, reconnect = dialled_role()

    stranger.say_raw(b'["error","%s"]' % error.encode())
    stranger.clock.advance(60_000)

    assert not reconnect.reconnecting and not reconnect.connected


@pytest.mark.parametrize("error", ["timeout", "wrong-format", "bruteforce"])
def test_a_role_that_receives_another_error_does_not_stop_it(error: str) -> None:
    stranger, reconnect = dialled_role()

    stranger.say_raw(b'["error","%s"]' % error.encode())
    assert not reconnect.connected
    stranger.clock.advance(1_000)

    assert reconnect.reconnecting and reconnect.connected


def dialled_role() -> tuple[Stranger, Reconnect]:
    """A role over a Reconnect that has dialled an end that the test plays."""
    stranger = Stranger(dials=False, connects=False)
    stranger.role.destroy()
    reconnect = Reconnect(stranger.connection, clock=stranger.clock, random=Random(1))
    stranger.role = RunPeerSync("home", stranger.log, reconnect, clock=stranger.clock, random=Random(2))
    stranger.role.catch(stranger.errors.append)
    reconnect.connect()
    return stranger, reconnect


def test_delays_are_spread_over_half_their_length() -> None:
    delays = [retry_delay(10, min_delay=1, max_delay=8, random=Random(seed)) for seed in range(200)]

    assert min(delays) < 4.3 and max(delays) > 7.7
    assert all(4 <= delay <= 8 for delay in delays)


def test_delays_have_a_limit_after_any_number_of_failures() -> None:
    assert retry_delay(10**6, min_delay=1, max_delay=8, random=Random(1)) <= 8
