"""Checks: whether both ends of a link hold what either of them held at a moment."""

from __future__ import annotations

from dataclasses import dataclass, field

from peers.later import Later


@dataclass(eq=False, slots=True)
class Check:
    """One question about a link."""

    position: int
    """Of our log at that moment: up to here the other end has to confirm."""
    ping: int
    """The number of the first ping after that moment: its answer says how long their log was."""
    last: int | None = None
    """The last position of their log by that answer; None until it came."""
    due: int | None = None
    """How many of their messages have to be committed here; None until they have sent all up to `last`."""
    done: Later[None] = field(default_factory=Later)


class Checks:
    """The checks of one link. The role tells what happens on it, and asks what is still to be done."""

    def __init__(self) -> None:
        self._open: list[Check] = []
        self._pings = 0
        self._pongs = 0
        self._taken = 0

    @property
    def needs_ping(self) -> bool:
        """Whether another answer of the other end is needed."""
        return any(check.due is None for check in self._open)

    def begin(self, position: int) -> Check:
        """Ask whether the other end holds our log up to `position`, and we all that it holds now."""
        check = Check(position, self._pings + 1)
        self._open.append(check)
        return check

    def on_ping(self) -> None:
        """We sent a ping."""
        self._pings += 1

    def on_pong(self, walked: int, last_position: int, taking: int) -> None:
        """The next ping is answered: they have sent all up to `walked` of a log that ends at `last_position`.

        `taking` is the number of messages that came before and are not committed yet.
        """
        self._pongs += 1
        for check in self._open:
            if self._pongs < check.ping:
                continue
            if check.last is None:
                check.last = max(walked, last_position)
            if check.due is None and walked >= check.last:
                check.due = self._taken + taking

    def on_taken(self) -> None:
        """The next message is committed."""
        self._taken += 1

    def settle(self, confirmed: int) -> None:
        """End the checks that are passed, now that the other end has confirmed our log up to `confirmed`."""
        passed = [
            check
            for check in self._open
            if confirmed >= check.position and check.due is not None and self._taken >= check.due
        ]
        self._open = [check for check in self._open if check not in passed]
        for check in passed:
            check.done.set()

    def awaited(self, heard: int) -> int | None:
        """How many changes of theirs the open checks wait for, at most; None: the other end has not answered one yet.

        `heard` is the position up to which they have sent everything.
        """
        if any(check.last is None for check in self._open):
            return None
        return max([0, *(check.last - heard for check in self._open if check.last is not None)])

    def end(self) -> None:
        """The link is over."""
        ended, self._open = self._open, []
        for check in ended:
            check.done.fail(ConnectionError("the connection ended"))
