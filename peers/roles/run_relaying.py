"""RunRelaying: when a link between nodes hears of commits, tells the other end of them, and passes on what others wrote."""

from __future__ import annotations

from functools import partial
from typing import Any

from peers.log.run_log import RunCommit
from peers.protocol.flow_control import SOON_ANSWER_MS
from peers.roles.relay_hold import RelayHold
from peers.roles.run_session import RunSession
from peers.stores.run_store import Taken

HAVE_MS = 5.0
"""Between two `have`: what came from others meanwhile is gathered for the second."""
RELAY_MS = 20.0
"""How long events of others wait at least before they are passed on: time enough to hear who has them already."""
MAX_RELAY_MS = 200.0
"""The same at most. In between it is a multiple of the time of an answer, which takes long where everybody is busy."""
SLOW_GATHER_MS = 1_000.0
"""Where answers take long, what was committed is told no more often."""


class RunRelaying(RunSession):
    """A RunSession that goes on as the log grows.

    In a mesh of many, everybody hears of an event from its origin and could pass it on to everybody. So each tells the
    others at once what it got (`have`), and passes on only after RELAY_MS what nobody has named by then. With many neighbours
    that would be many small messages for each event: there it gathers for `gather_ms` before it does either.
    """

    def __init__(self, *args: Any, **options: Any) -> None:
        self._served: tuple[str | None, bytes] | None = None
        """Whom we gave all that it called hollow, by which digest; None since this log got such an event itself."""
        super().__init__(*args, **options)
        self._undos.append(self.runs.on("commit", self._on_commit))

    def _begin_link(self) -> None:
        super()._begin_link()
        self._relays = RelayHold(self.runs.state.last_position)
        self._commits: list[Taken] = []
        """Those that are still to be heard of."""
        self._is_woken = False
        self._is_untold = False
        """Whether there is something for a `have`."""

    def on_authenticated(self) -> None:
        self._relays = RelayHold(self.runs.state.last_position)
        super().on_authenticated()

    # What Replication needs of its role, see RunRole

    def walk_limit(self) -> int:
        return self._relays.limit(self.runs.state.last_position)

    def on_untold(self) -> None:
        self._is_untold = True  # told when all commits of this turn are heard of

    def is_news(self, hollow: bytes) -> bool:
        return self._served != (self.other_node_id, hollow)

    def on_served(self, hollow: bytes) -> None:
        self._served = self.other_node_id, hollow

    # Commits

    def _on_commit(self, commit: RunCommit) -> None:
        if self._served is not None and any(change.is_fill for change in commit.taken.changes):
            self._served = None
        if self.connected:
            self._commits.append(commit.taken)
        is_urgent = self.epoch in commit.taken.ends or commit.taken.facts
        gather_ms = 0 if is_urgent or not self.authenticated else self._gathering_ms()
        if gather_ms <= 0:
            self.stop_timer("gather")
            if not self._is_woken:  # one wake-up for any number of commits
                self._is_woken = True
                self._turn(self._on_wake)()
        elif not self.is_timing("gather"):
            self.start_timer("gather", gather_ms, self._on_gathered)

    def _on_wake(self) -> None:
        self._is_woken = False
        if not self.is_destroyed:
            self._guard(self._on_gathered)

    def _on_gathered(self) -> None:
        self._hear_commits()
        self._name()
        self._show_state()

    def _hear_commits(self) -> None:
        commits = self._commits
        if not self.connected or self._is_closing:
            commits.clear()
        if not commits:
            return
        own, other = self.epoch, self._replication.other
        # Far behind too: in a burst everybody is, and a wait costs no throughput, since a group goes as a whole.
        is_news = any(
            epoch != own and other.has(epoch) < end.seq for taken in commits for epoch, end in taken.ends.items()
        )
        if self._relays.note(self.runs.state.last_position, is_relay=is_news):
            self._wait()
        while commits:
            self._with_peer(partial(self._replication.committed, commits.pop(0)))
        if not self.is_timing("gather"):
            self._name()

    # Telling, and passing on

    def _name(self) -> None:
        """Tell what was committed and came from others; and again after a little, if there is more."""
        if self._is_untold and self.connected and not self.is_timing("have"):
            self._is_untold = False
            self.start_timer("have", HAVE_MS, self._name)
            self._replication.tell()

    def _gathering_ms(self) -> float:
        """On a slow link too one message for many: what is told there comes late anyhow, and makes all else later."""
        usual_ms = self._progress.patience.usual_ms
        return max(self._gather_ms(), min(usual_ms / 4, SLOW_GATHER_MS) if usual_ms > SOON_ANSWER_MS else 0)

    def _wait(self) -> None:
        # Others tell after a commit, as this end answers; and they may gather still, though we told early.
        wait_ms = max(RELAY_MS, min(4 * self._progress.patience.usual_ms, MAX_RELAY_MS))
        self.start_timer("relay", wait_ms + self._gathering_ms(), self._on_waited)

    def _on_waited(self) -> None:
        if self._relays.ripen():
            self._wait()
        self._with_peer(self._replication.go_on)
