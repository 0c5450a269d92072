"""Unreachable: the notices about nodes and static addresses that cannot be reached."""

from __future__ import annotations

from mesh.membership.actions import Action, Notice
from mesh.membership.dialling.refusals import unreachable_sentence, why_unreachable
from mesh.membership.dialling.trials import MAX_PLACES, Place


class Unreachable:
    """Remembers what was said: each place once, also if several nodes were announced there, until `forget` of its subject."""

    def __init__(self) -> None:
        self._said: dict[Place, str] = {}
        """The addresses that were reported, each with the node id or static address of the report."""

    def note(self, subject: str, place: Place | None, node_id: str | None, reason: str) -> list[Action]:
        """Say that `subject`, a node id or a static address, cannot be reached at `place`, why, and what would help.

        Nothing is said without a place.
        """
        if place is None or place in self._said:
            return []
        self._said[place] = subject
        if len(self._said) > MAX_PLACES:
            del self._said[next(iter(self._said))]
        sentence = unreachable_sentence(subject, place, reason)
        return [Notice("unreachable", node_id, sentence, why_unreachable(reason), subject)]

    def forget(self, subject: str) -> None:
        """`subject` answered, or something about it changed: say it again if it cannot be reached later."""
        self._said = {place: whose for place, whose in self._said.items() if whose != subject}

    def forget_all(self) -> None:
        """The operator retries: say again of everything that it cannot be reached."""
        self._said.clear()
