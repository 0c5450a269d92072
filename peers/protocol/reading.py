"""Reading: whether one link is read; what the other end sends too much of is read more slowly."""

from __future__ import annotations

from collections.abc import Callable

from peers.budgets import Budgets, OriginBudget
from peers.transport.address import UNKNOWN_KEY, address_key
from peers.transport.port import Connection

LEAST_PAUSE_MS = 1.0
LIFE_MS = 2_000.0
"""While nothing is read for longer, the other end gets a sign of life this often."""
DEBT = "debt"


class Reading:
    """Pauses the connection of a role while one of its parts asks for that, or while the other end has a debt."""

    def __init__(
        self,
        connection: Connection,
        budgets: Budgets | None,
        start_timer: Callable[[str, float, Callable[[], None]], None],
    ) -> None:
        """`start_timer` is SyncCore.start_timer. Without `budgets` nothing is limited."""
        self.who = ""
        """The other end, for people; the host of its address until it is known."""
        self.on_life: Callable[[], None] | None = None
        """Called every LIFE_MS while there is a debt."""
        self._connection = connection
        self._budgets = budgets
        self._budget = budgets.of_link() if budgets is not None else None
        self._origin: OriginBudget | None = None
        self._start_timer = start_timer
        self._paused: dict[str, None] = {}
        """By whom."""

    @property
    def is_paused(self) -> bool:
        """Whether nothing is read."""
        return bool(self._paused)

    def begin(self) -> None:
        """A link has opened: what it was paused for on the one before is over. A debt is not."""
        self._paused.clear()
        self._origin = None
        self.who = self._connection.address.rpartition(":")[0]
        key = address_key(self._connection.address)
        if self._budgets is not None and self._budget is not None and key != UNKNOWN_KEY:
            self._budget.of_address = self._budgets.of_address(key)
        self._slow_down()

    def pause(self, by: str) -> None:
        """Read nothing until `by` resumes too. Harmless if it is paused by it."""
        if not self._paused:
            self._connection.pause()
        self._paused[by] = None

    def resume(self, by: str) -> None:
        """Read on, as far as it goes by `by`. Harmless if it is not paused by it."""
        if by in self._paused:
            del self._paused[by]
            if not self._paused:
                self._connection.resume()

    # What the other end costs

    def cpu_ms(self) -> float:
        """The processor time used so far, in ms; see `spend`."""
        return self._budget.cpu_ms() if self._budget is not None else 0.0

    def spend(self, messages: float, size: int, cpu_ms: float = 0.0) -> None:
        """The other end sent so many messages that brought no events, of `size` bytes in all."""
        if self._budget is not None:
            self._budget.spend(self.who, messages, size, cpu_ms)
            self._look_at_debts()

    def spend_events(self, name: str, events: int, size: int) -> None:
        """It sent so many events of its own, of `size` bytes in all. For `name` see Budgets.of_origin."""
        if self._budgets is not None:
            self._of_origin(self._budgets, name).spend(self.who, events, size)
            self._look_at_debts()

    def trusts(self, origin: str, forks: int) -> bool:
        """See Budgets.trusts."""
        return self._budgets is None or self._budgets.trusts(origin, forks)

    def bring_epoch(self, name: str) -> None:
        """It brings an epoch of another node."""
        if self._budgets is not None and self._of_origin(self._budgets, name).bring_epoch(self.who):
            self._slow_down()  # its end counts what follows, up to 500 epochs of one message

    def begin_epoch(self, name: str) -> float:
        """An epoch of its own begins: 0 if it may, else how many ms later it may."""
        return 0.0 if self._budgets is None else self._of_origin(self._budgets, name).begin_epoch(self.who)

    def _of_origin(self, budgets: Budgets, name: str) -> OriginBudget:
        if self._origin is None:
            self._origin = budgets.of_origin(name)
        return self._origin

    def _look_at_debts(self) -> None:
        """What each message costs: that there is no debt is seen without a look at the clock."""
        owing = [budget for budget in (self._budget, self._origin) if budget is not None and budget.is_owing]
        if owing or DEBT in self._paused:
            self._slow_down()

    def _slow_down(self) -> None:
        """Pause until there is no debt."""
        wait_ms = self._budget.wait_ms() if self._budget is not None else 0.0
        if self._origin is not None:
            wait_ms = max(wait_ms, self._origin.wait_ms())
        if not wait_ms:
            self.resume(DEBT)
            return
        if DEBT not in self._paused:
            self._start_timer("life", LIFE_MS, self._on_life_timer)
        self.pause(DEBT)
        self._start_timer(DEBT, max(wait_ms, LEAST_PAUSE_MS), self._slow_down)

    def _on_life_timer(self) -> None:
        if DEBT in self._paused:
            self._start_timer("life", LIFE_MS, self._on_life_timer)
            if self.on_life is not None:
                self.on_life()
