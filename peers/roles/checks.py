"""Checks: whether both ends of a link hold what either of them held at the moment of a question."""

from __future__ import annotations

from dataclasses import dataclass, field

from peers.later import Later


@dataclass(eq=False, slots=True)
class Check:
    """One question about a link."""

    position: int
    """The end of our log at that moment: the other end has to confirm up to here."""
    ping: int
    """The number of the first ping after that moment: its answer says where their log ended."""
    last: int | None = None
    """The last position of their log, by that answer; None before it."""
    due: int | None = None
    """How many of their messages have to be committed here; None before they have sent all up to `last`."""
    done: Later[None] = field(default_factory=Later)


class Checks:
    """The checks of one link. The role reports what happens on the link, and reads whether another ping is needed."""

    __slots__ = ("_open", "_pings", "_pongs", "_signs", "_taken")

    def __init__(self) -> None:
        self._open: list[Check] = []
        self._pings = 0
        self._pongs = 0
        self._taken = 0
        self._signs: list[tuple[int, Later[None]]] = []
        """Each with the number of the ping whose answer resolves it."""

    @property
    def needs_ping(self) -> bool:
        """Whether a check or a sign of life needs another answer of the other end."""
        return bool(self._signs) or any(check.due is None for check in self._open)

    def begin(self, position: int) -> Check:
        """Begin a check: does the other end hold our log up to `position`, and do we hold all that it holds now?"""
        check = Check(position, self._pings + 1)
        self._open.append(check)
        return check

    def sign_of_life(self) -> Later[None]:
        """Resolves at the answer to the first ping that is sent after this call. Fails with ConnectionError at the end."""
        sign = Later[None]()
        self._signs.append((self._pings + 1, sign))
        return sign

    def on_ping(self) -> None:
        """A ping was sent."""
        self._pings += 1

    def on_pong(self, walked: int, last_position: int, taking: int) -> None:
        """The oldest ping is answered: they have sent all up to `walked` of a log that ends at `last_position`.

        `taking` is the number of their messages that have arrived and are not committed yet.
        """
        self._pongs += 1
        answered = [sign for ping, sign in self._signs if ping <= self._pongs]
        self._signs = [(ping, sign) for ping, sign in self._signs if ping > self._pongs]
        for sign in answered:
            sign.set()
        for check in self._open:
            if self._pongs < check.ping:
                continue
            if check.last is None:
                check.last = max(walked, last_position)
            if check.due is None and walked >= check.last:
                check.due = self._taken + taking

    def on_taken(self) -> None:
        """One more of their messages is committed."""
        self._taken += 1

    def settle(self, confirmed: int) -> None:
        """Resolve the checks that are fulfilled, now that the other end has confirmed our log up to `confirmed`."""
        if not self._open:  # the usual case
            return
        passed = [
            check
            for check in self._open
            if confirmed >= check.position and check.due is not None and self._taken >= check.due
        ]
        self._open = [check for check in self._open if check not in passed]
        for check in passed:
            check.done.set()

    def awaited(self, heard: int) -> int | None:
        """How many changes of their log the open checks wait for, at most; None: a check has no answer yet.

        `heard` is the position up to which they have sent everything.
        """
        if any(check.last is None for check in self._open):
            return None
        return max([0, *(check.last - heard for check in self._open if check.last is not None)])

    def end(self) -> None:
        """The link has ended: fail all open checks and signs of life."""
        ended = [*(check.done for check in self._open), *(sign for _, sign in self._signs)]
        self._open, self._signs = [], []
        for done in ended:
            done.fail(ConnectionError("the connection ended"))
