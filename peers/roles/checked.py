"""CheckedSync: a role that can find out whether both ends of its link hold the same events."""

from __future__ import annotations

from functools import partial
from typing import Any

from peers.codec.messages import Pong
from peers.later import Later
from peers.roles.base import BaseSync
from peers.roles.behind import Behind
from peers.roles.checks import Checks

ASK_AGAIN_MS = 100.0
"""Pause before the other end is asked again, after an answer that does not decide a check."""


class CheckedSync(BaseSync):
    """For roles whose marks are positions of the sender's log and whose acknowledgements are cumulative."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._checks = Checks()
        self.behind = Behind()
        """Since when the other end lacks events, on this link or on the last one."""
        self._undos.append(self.on("synced", self._settle))

    def check(self, position: int) -> Later[None]:
        """Resolves once the other end has confirmed our log up to `position`, and all that it holds now is committed here.

        Fails with ConnectionError without a link, or when the link ends before that.
        """
        if not self.authenticated or not self.connected:
            return Later.failed(ConnectionError("there is no connection"))
        check = self._checks.begin(position)
        self._ask(self._link)
        return check.done

    @property
    def awaited(self) -> int | None:
        """How many changes of the other end's log the open checks wait for, at most; None: it has not answered yet."""
        return self._checks.awaited(self._heard)

    def on_connect(self) -> None:
        super().on_connect()
        self.behind = Behind()

    def start_walk(self, after: int) -> None:
        super().start_walk(after)
        self._settle()

    def send_ping_again(self) -> None:
        self._checks.on_ping()
        super().send_ping_again()

    def send_pong(self) -> None:
        last = self.last_mark(self.log.published.state)
        self.send(Pong(self.walked, last if last > self.walked else 0))

    def pong_message(self, added: int, last_position: int = 0) -> None:
        super().pong_message(added)
        self._checks.on_pong(added, last_position, self._taking.count)
        self._settle()
        if self._checks.needs_ping:
            self.call_later(ASK_AGAIN_MS, partial(self._ask, self._link))

    def _on_change(self) -> None:
        self._note_behind()
        super()._on_change()

    def _on_taken(self, added: int) -> None:
        self._checks.on_taken()
        super()._on_taken(added)

    def _ask(self, link: int) -> None:
        if self._link == link and self._checks.needs_ping and not self._is_pinging:
            self._guard(self.send_ping)

    def _settle(self) -> None:
        if self._is_walking:  # until then `synced` is that of the last link
            self._checks.settle(self.synced)
        self._note_behind()

    def _note_behind(self) -> None:
        if self._is_walking and self.authenticated:
            last = self.last_mark(self.log.published.state)
            self.behind.note(self.synced, last, self.clock.elapsed_ms())

    def _forget_link(self) -> None:
        super()._forget_link()
        before, self._checks = self._checks, Checks()
        before.end()
