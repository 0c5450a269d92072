"""How long a store's events live: their reasons, local changes of their meta, and what is cleaned."""

from __future__ import annotations

from collections.abc import Sequence, Set
from dataclasses import dataclass, field
from typing import Any

import msgspec

from peers.events.created import Created
from peers.events.entry import Entry, changed, check_extra
from peers.events.reasons import DEFAULT_REASON, Kept, check_labels, kept_by, may_have_labels
from peers.stores.event_rows import EventRows
from peers.stores.store import CLEAN_EVENTS, NOTHING_CLEANED, ONLY_DEFAULT, Cleaning, Criteria, Place


@dataclass(slots=True)
class Effects:
    """What follows for the lives of events from what a transaction took or removed."""

    created: dict[Created, None] = field(default_factory=dict)
    """Events whose reasons have to be compared with what was kept last."""
    kept: dict[Kept, Place] = field(default_factory=dict)
    """The newest place for each `keep_last` that came."""
    cleaned: list[Entry] = field(default_factory=list)
    altered: dict[Created, None] = field(default_factory=dict)
    dropped: list[int] = field(default_factory=list)

    @property
    def are_any(self) -> bool:
        return bool(self.cleaned or self.altered)

    def note(self, entry: Entry, *, is_vouched: bool) -> None:
        """Note what a copy that came says of reasons, whether it is shown or not.

        One that another node vouches for ends nothing.
        """
        if may_have_labels(entry.extra):
            self.created[entry.created] = None
            reason = None if is_vouched else entry.keep_last
            if reason is not None:
                place, kept = (entry.time, entry.created), kept_by(entry.created[1], reason)
                self.kept[kept] = max(place, self.kept.get(kept, place))


class RetentionRules(EventRows):
    """Removes reasons and cleans what has none left.

    **keep_last.** An event that came with `keep_last` takes that reason from all of its author (`author_of`) that are older by
    (time, created), and from older ones that come later: the newest place of each author and reason is kept. So it makes no
    difference in which order they come. Reasons that begin with `shared/` are those of all authors together. The first one of
    an event's copies does not supersede another of them. An event that is here only since another node vouches for it takes
    nothing.
    """

    def remove_reason(self, reason: str, criteria: Criteria, *, after: int = 0, limit: int = CLEAN_EVENTS) -> Cleaning:
        with self._piece():
            effects = Effects()
            events = self._candidates(reason, criteria, after, limit)
            for event in events:
                if reason in _reasons(event) and criteria.fit(event):
                    self._remove(event, {reason}, effects)
            return self._cleaning(effects, until=_next(events, criteria, limit))

    def add_reason(self, reason: str, criteria: Criteria, *, after: int = 0, limit: int = CLEAN_EVENTS) -> Cleaning:
        with self._piece():
            effects = Effects()
            events = self._candidates(DEFAULT_REASON, criteria, after, limit)
            for event in events:
                reasons = _reasons(event)
                if reason not in reasons and criteria.fit(event):
                    check_labels({"reasons": [*reasons, reason]})
                    self._change_local(event, {"reasons": [*reasons, reason]}, effects)
            return self._cleaning(effects, until=_next(events, criteria, limit))

    def change_meta(self, created: Created, diff: bytes) -> Cleaning | None:
        with self._piece():
            effects = Effects()
            event = self._shown(created)
            if event is None or event.tombstone:
                return None
            changes = msgspec.json.decode(diff)
            if changes.get("reasons") == []:
                self._clean(event, effects)
            elif changes:
                check_extra(changed(event.local, changes))
                self._change_local(event, changes, effects)
            return self._cleaning(effects)

    def clean(self, createds: Sequence[Created], reasons: frozenset[str] = ONLY_DEFAULT) -> Cleaning:
        with self._piece():
            effects = Effects()
            for created in dict.fromkeys(createds):
                event = self._shown(created)
                if event is not None and not event.tombstone and reasons.issuperset(_reasons(event)):
                    self._clean(event, effects)
            return self._cleaning(effects)

    def _candidates(self, reason: str, criteria: Criteria, after: int, limit: int) -> list[Entry]:
        """Events that may have the reason and fit; none of those is missing up to the last of these."""
        if criteria.created is not None:
            event = self._shown(criteria.created)
            return [event] if event is not None and not event.tombstone else []
        if criteria.min_added is not None:
            after = max(after, criteria.min_added - 1)  # a position is never smaller than `added`
        if reason != DEFAULT_REASON:
            return self._labelled(("reason", reason), after, limit)
        if criteria.index is not None:
            return self._labelled(("index", criteria.index), after, limit)
        return self._living(after, limit)

    def _apply(self, effects: Effects) -> None:
        """Let what came with `keep_last` have its effect, on all that is among the rows."""
        for kept, place in effects.kept.items():
            before = self._last_kept(kept)
            if before is None or before < place:
                self._set_last_kept(kept, place)
                for event in self._with_older_reason(kept, place):
                    if event.created != place[1]:
                        self._remove(event, {kept[1]}, effects)
        for created in effects.created:
            shown = self._shown(created)
            if shown is not None and not shown.tombstone:
                gone = {reason for reason in shown.reasons if self._is_superseded(shown, reason)}
                if gone:
                    self._remove(shown, gone, effects)

    def _is_superseded(self, event: Entry, reason: str) -> bool:
        place = self._last_kept(kept_by(event.created[1], reason))
        return place is not None and (event.time, event.created) < place and event.created != place[1]

    def _remove(self, event: Entry, gone: Set[str], effects: Effects) -> None:
        left = [reason for reason in _reasons(event) if reason not in gone]
        if left:
            self._change_local(event, {"reasons": left}, effects)
        else:
            self._clean(event, effects)

    def _change_local(self, event: Entry, changes: dict[str, Any], effects: Effects) -> None:
        self._set_local(event, changed(event.local, changes))
        effects.altered[event.created] = None

    def _clean(self, event: Entry, effects: Effects) -> None:
        effects.cleaned.append(event)
        effects.dropped += self._places_of(event.created)
        effects.altered.pop(event.created, None)
        self._bury(event)
        self._numbers.events -= 1

    def _cleaning(self, effects: Effects, *, until: int | None = None) -> Cleaning:
        if until is None and not effects.are_any:
            return NOTHING_CLEANED
        altered = tuple(self._changes_of(effects.altered))
        return Cleaning(tuple(effects.cleaned), altered, tuple(effects.dropped), until)


def _reasons(event: Entry) -> list[str]:
    return event.reasons or [DEFAULT_REASON]


def _next(events: Sequence[Entry], criteria: Criteria, limit: int) -> int | None:
    """Where the next step goes on, None if there is none."""
    return events[-1].position if criteria.created is None and len(events) >= limit else None
