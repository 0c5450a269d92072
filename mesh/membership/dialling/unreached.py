"""Unreached: what cannot be reached, when it is dialled again, and what people are told of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from mesh.membership.actions import Action, Notice
from mesh.membership.diagnosis.rare_notices import RareNotices
from mesh.membership.dialling.refusals import unreachable_sentence
from mesh.membership.dialling.trials import MAX_PLACES, Place, Trials
from mesh.membership.member import Members
from mesh.membership.session_record import Session


class Unreached:
    """Node ids and static addresses that did not answer since they last worked."""

    def __init__(self) -> None:
        self.trials = Trials()
        self.rare = RareNotices()
        self._told: dict[Place, str] = {}
        """Where nothing answered, and of whom that was told."""

    def note(
        self, subject: str, addresses: Sequence[str], node_id: str | None, reason: str, now_seconds: float
    ) -> list[Action]:
        """Tell once that `subject`, known to be at `addresses`, cannot be reached, why, and what would help.

        Of several that are announced at the same addresses the first is enough.
        """
        place = tuple(addresses)
        if place in self._told:
            return []
        self._told[place] = subject
        if len(self._told) > MAX_PLACES:
            del self._told[next(iter(self._told))]
        sentence = unreachable_sentence(subject, addresses, reason)
        return self.rare.note(Notice("unreachable", node_id, sentence), now_seconds)

    def on_failed(
        self,
        session: Session,
        static: Mapping[str, str | None],
        members: Members,
        reason: str,
        now_seconds: float,
    ) -> list[Action]:
        """Tell once of a static address that cannot be dialled, or a found node with which no session begins."""
        subject, node_id = session.subject, static.get(session.subject, session.subject)
        if subject in static and not session.connection_id:  # an error on the open link says more
            return self.note(subject, (subject,), node_id, reason, now_seconds)
        if subject not in static and members.is_found(subject):
            return self.note(subject, members[subject].addresses, node_id, reason, now_seconds)
        return []

    def forget(self, subject: str) -> None:
        """It answered, or something about it changed."""
        self.trials.forget(subject)
        self._told = {place: whose for place, whose in self._told.items() if whose != subject}

    def clear(self) -> None:
        """The operator wants all of it tried, and told, again."""
        self.trials.clear()
        self._told.clear()
