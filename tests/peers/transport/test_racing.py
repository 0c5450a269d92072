"""RacingConnection: one end with several addresses."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from peers.clock import ManualClock
from peers.transport.local_pair import LocalConnection, LocalPair
from peers.transport.racing import MAX_CANDIDATES, STAGGER_MS, RacingConnection


class Attempt(LocalConnection):
    """The dialling end of a pair: it opens or fails when the test decides; one that is closed fails at once."""

    def __init__(self, address: str, fate: str) -> None:
        self.local = LocalPair()
        super().__init__(self.local, dialled=True)
        self.other = self.local.right
        self.local.right.other = self
        self.address = address
        self.fate = fate
        self.closed: list[str] = []

    def connect(self) -> None:
        if self.fate == "network closed":
            raise RuntimeError("this network is closed")
        if self.fate == "refuses":
            self.local.soon(lambda: self.emitter.emit("disconnect", "refused"))
        elif self.fate == "opens":
            super().connect()

    def disconnect(self, reason: str = "") -> None:
        self.closed.append(reason)
        super().disconnect(reason)

    def open(self) -> None:
        super().connect()

    def fail(self, reason: str) -> None:
        self.emitter.emit("disconnect", reason)


class Race:
    """A RacingConnection over addresses, each with the outcome of its attempt, and what it emitted."""

    def __init__(self, **fates: str) -> None:
        self.clock = ManualClock()
        self.fates = fates
        self.candidates = list(fates)
        self.attempts: list[Attempt] = []
        self.connection = RacingConnection(lambda: self.candidates, self._dial, clock=self.clock)
        self.seen: list[Any] = []
        for event in ("connecting", "connect", "message", "error", "disconnect"):
            self.connection.on(event, self._note(event))

    def _note(self, event: str) -> Callable[..., None]:
        return lambda *args: self.seen.append((event, *args))

    def _dial(self, address: str) -> Attempt:
        if self.fates[address] == "is no address":
            raise ValueError(f"{address} is no address")
        self.attempts.append(Attempt(address, self.fates[address]))
        return self.attempts[-1]

    @property
    def dialled(self) -> list[str]:
        return [attempt.address for attempt in self.attempts]

    def start(self) -> Race:
        self.connection.connect()
        self.clock.advance(0)
        return self


def test_dials_the_only_address() -> None:
    race = Race(a="opens").start()

    assert race.seen == [("connecting",), ("connect",)]
    assert race.connection.connected
    assert race.connection.address == "a"
    assert race.clock.waiting == 0


def test_does_nothing_inside_connect() -> None:
    race = Race(a="opens")

    race.connection.connect()

    assert race.seen == [] and race.attempts == []


def test_gives_each_address_a_little_time_before_the_next_attempt_begins() -> None:
    race = Race(a="hangs", b="hangs", c="opens").start()
    assert race.dialled == ["a"]
    race.clock.advance(STAGGER_MS)
    assert race.dialled == ["a", "b"]
    race.clock.advance(STAGGER_MS)

    assert race.connection.address == "c"
    assert [attempt.closed for attempt in race.attempts] == [["another address answered first"]] * 2 + [[]]
    assert race.clock.waiting == 0


def test_after_a_failure_the_next_attempt_begins_at_once() -> None:
    race = Race(a="refuses", b="is no address", c="network closed", d="opens").start()

    assert race.connection.address == "d"
    assert race.seen == [("connecting",), ("connect",)]


def test_a_slow_address_may_still_win() -> None:
    race = Race(a="hangs", b="hangs").start()
    race.clock.advance(STAGGER_MS)

    race.attempts[0].open()

    assert race.connection.address == "a"
    assert race.attempts[1].closed == ["another address answered first"]


def test_a_loser_that_opens_late_is_ignored() -> None:
    race = Race(a="hangs", b="opens").start()
    race.clock.advance(STAGGER_MS)

    race.attempts[0].open()
    race.attempts[0].other.send(b"loser")

    assert race.connection.address == "b"
    assert race.seen == [("connecting",), ("connect",)]


@pytest.mark.parametrize("fate", ["refuses", "is no address", "network closed"])
def test_says_why_when_every_attempt_failed(fate: str) -> None:
    race = Race(a=fate, b=fate).start()

    assert [event for event, *_ in race.seen] == ["connecting", "disconnect"]
    assert "b" in race.seen[1][1]
    assert race.clock.waiting == 0
    assert not race.connection.connected


def test_waits_for_the_last_attempt_before_it_gives_up() -> None:
    race = Race(a="hangs", b="refuses").start()
    race.clock.advance(10 * STAGGER_MS)
    assert race.seen == [("connecting",)]

    race.attempts[0].fail("timed out")

    assert race.seen[-1] == ("disconnect", "a: timed out")


def test_no_address_at_all_is_a_failure() -> None:
    race = Race().start()

    assert race.seen == [("connecting",), ("disconnect", "no address is known")]


def test_asks_for_the_addresses_at_each_connect() -> None:
    race = Race(a="refuses", b="opens")
    race.candidates = ["a"]
    race.start()

    race.candidates = ["b"]
    race.start()

    assert race.connection.address == "b"


def test_dials_a_limited_number_of_addresses() -> None:
    race = Race(**{f"a{number}": "refuses" for number in range(20)}).start()

    assert len(race.dialled) == MAX_CANDIDATES


def test_an_address_named_twice_is_dialled_once() -> None:
    race = Race(a="hangs", b="hangs")
    race.candidates = ["a", "a", "b"]
    race.start()
    race.clock.advance(10 * STAGGER_MS)
    assert race.dialled == ["a", "b"]

    for attempt in race.attempts:
        attempt.fail("refused")

    assert race.seen[-1] == ("disconnect", "b: refused")
    assert race.clock.waiting == 0


def test_passes_frames_both_ways() -> None:
    race = Race(a="opens").start()
    heard: list[bytes] = []
    race.attempts[0].other.on("message", heard.append)

    race.connection.send(b"1")
    race.connection.pause()
    race.attempts[0].other.send(b"2")
    assert race.seen[-1] == ("connect",)
    race.connection.resume()

    assert heard == [b"1"]
    assert race.seen[-1] == ("message", b"2")


def test_can_be_opened_again_after_a_loss() -> None:
    race = Race(a="opens").start()
    race.attempts[0].other.disconnect("lost")
    assert race.seen[-1] == ("disconnect", "lost")
    assert not race.connection.connected

    race.start()

    assert race.connection.connected
    assert race.dialled == ["a", "a"]


def test_can_be_closed() -> None:
    race = Race(a="opens").start()

    race.connection.disconnect("enough")

    assert race.seen[-1] == ("disconnect", "enough")
    race.connection.disconnect("again")
    assert len(race.seen) == 3


@pytest.mark.parametrize("is_begun", [True, False])
def test_can_be_given_up_while_it_opens(is_begun: bool) -> None:
    race = Race(a="hangs", b="hangs")
    race.connection.connect()
    if is_begun:
        race.clock.advance(0)

    race.connection.disconnect("enough")
    race.clock.advance(10 * STAGGER_MS)

    assert race.seen[-1] == ("disconnect", "enough")
    assert len(race.dialled) == is_begun
    assert all(attempt.closed for attempt in race.attempts)
    assert race.clock.waiting == 0
    race.start()


def test_misuse_raises_an_error() -> None:
    race = Race(a="opens")
    with pytest.raises(RuntimeError, match="must be open before sending"):
        race.connection.send(b"1")
    race.connection.connect()
    with pytest.raises(RuntimeError, match="already established"):
        race.connection.connect()
    race.clock.advance(0)
    with pytest.raises(RuntimeError, match="already established"):
        race.connection.connect()


def test_closing_what_was_never_opened_is_harmless() -> None:
    race = Race(a="opens")

    race.connection.disconnect()

    assert race.seen == []
