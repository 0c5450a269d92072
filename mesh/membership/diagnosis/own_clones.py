"""OwnClones: announcements under our own id that are not ours are dialled, and count only if they answer under our id."""

from __future__ import annotations

from mesh.membership.actions import Action, Dial, LookAgain
from mesh.membership.session_record import Session, Sessions

OWN_DIAL = "own"
"""The key of the session that finds out whether another machine answers under our id."""
PAUSE_SECONDS = 10.0
"""Between two checks."""
MAX_RUNS = 8
"""Foreign runs under our id that wait for their check, or are remembered after it; a further one replaces the oldest."""


class OwnClones:
    """A cache of a gateway, a reflector or a forged packet can repeat or invent an announcement, but cannot greet under our id.

    So nothing is said of an announcement alone: the session of a check ends quietly unless it meets another run of our node.
    """

    def __init__(self, node_id: str, instance: str, sessions: Sessions) -> None:
        self._node_id = node_id
        self._instance = instance
        self._sessions = sessions
        self._waiting: dict[str, tuple[str, ...]] = {}
        """Addresses by run."""
        self._checked: dict[str, None] = {}
        self._next_seconds = 0.0

    def on_sighting(self, instance: str, addresses: tuple[str, ...], now_seconds: float) -> list[Action]:
        """Our id was announced."""
        if instance == self._instance or instance in self._checked or not addresses:
            return []
        self._waiting[instance] = addresses
        _bound(self._waiting)
        return self._look(now_seconds)

    def on_look(self, now_seconds: float) -> list[Action]:
        """Dial where the newest of them was announced, unless one is dialled already or it is too early."""
        if OWN_DIAL in self._sessions or not self._waiting or now_seconds < self._next_seconds:
            return []
        instance, addresses = self._waiting.popitem()
        self._checked[instance] = None
        _bound(self._checked)
        self._next_seconds = now_seconds + PAUSE_SECONDS
        self._sessions[OWN_DIAL] = Session(OWN_DIAL, dialled=True, subject=self._node_id, address=addresses[0])
        return [Dial(OWN_DIAL, addresses)]

    def on_closed(self, session: Session, now_seconds: float) -> list[Action]:
        """Nobody answered, or somebody else did, or a clone was found and the session closed for that."""
        return self._look(now_seconds) if session.is_closing else self._sessions.close([OWN_DIAL], "no clone")

    def clear(self) -> None:
        """Check all anew."""
        self._checked.clear()

    def _look(self, now_seconds: float) -> list[Action]:
        pause = max(0.0, self._next_seconds - now_seconds)
        return [LookAgain(self._node_id, pause)] if self._waiting else []


def _bound(runs: dict[str, tuple[str, ...]] | dict[str, None]) -> None:
    if len(runs) > MAX_RUNS:
        del runs[next(iter(runs))]
