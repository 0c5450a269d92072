"""FactExchange: how the facts of a mesh go over one link: all that an end lacks before any event, new ones at once."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from peers.codec.run_messages import MAX_FACTS, Facts, fact_groups
from peers.facts.fact import Fact, FactId, fact_id_of
from peers.facts.fact_set import MeshEnd
from peers.protocol.runs.other_end import SendWindow
from peers.protocol.runs.role import RunRole
from peers.stores.run_store import RunStore
from peers.stores.taken import Taken


class FactExchange:
    """Where the greetings name one mesh and different facts, each end says the ids of its facts.

    Then it sends what the other one lacks, and no event before that. An end without a mesh, or of another one, gets no facts.
    """

    def __init__(self, role: RunRole, window: SendWindow, go_on: Callable[[], None]) -> None:
        """`go_on` is called when events may go."""
        self._role = role
        self._window = window
        self._go_on = go_on
        self._greeted: MeshEnd | None = None
        """What our greeting says."""
        self._ids: Sequence[FactId] = ()
        """Of the facts that it says we have."""
        self._lacked: set[FactId] = set()
        """Those of them that the other end has not named, while it does."""
        self._is_same_mesh = False
        self._is_met = False
        self._is_named = False
        """Whether it is known which of them the other end has."""
        self._new: list[Fact] = []
        """What came here since our greeting, until that is known."""
        self._came: dict[FactId, None] = {}
        """Facts that the other end sent last, which do not go back to it."""

    @property
    def is_settled(self) -> bool:
        """Whether the other end has been sent all that it lacked."""
        return not self._window.is_held

    def greet(self, greeted: MeshEnd | None, ids: Sequence[FactId]) -> None:
        """Our greeting says this."""
        self._greeted, self._ids = greeted, ids

    def meet(self, theirs: MeshEnd | None) -> None:
        """The other end has greeted."""
        ours, ids = self._greeted, self._ids
        self._ids = ()
        self._is_met = True
        self._is_same_mesh = ours is not None and theirs is not None and theirs.mesh == ours.mesh
        if not self._is_same_mesh or theirs == ours:
            self._is_named = True
            self._send_new()
            return
        self._window.is_held = True
        self._lacked = set(ids)
        for at in range(0, len(ids) or 1, MAX_FACTS):
            some = tuple(ids[at : at + MAX_FACTS])
            self._role.send(Facts((), some, is_last=at + MAX_FACTS >= len(ids)))

    def hear(self, message: Facts) -> None:
        """A message came; its facts are learned elsewhere."""
        for data in message.facts:
            self._came[fact_id_of(data)] = None
            if len(self._came) > MAX_FACTS:
                del self._came[next(iter(self._came))]
        if self._is_named:
            return
        self._lacked.difference_update(message.ids)
        if message.is_last:
            self._is_named = True
            self._role.read(_all_facts, self._on_facts)

    def learned(self, facts: Iterable[Fact]) -> None:
        """The store has these new facts, from any link or our own."""
        self._new += facts
        if self._is_met and self._is_named and self.is_settled:
            self._send_new()

    def _on_facts(self, facts: Sequence[Fact]) -> None:
        self._send([fact for fact in facts if fact.id in self._lacked])
        self._lacked = set()
        self._send_new()
        self._window.is_held = False
        self._go_on()

    def _send_new(self) -> None:
        new, self._new = self._new, []
        self._send([fact for fact in new if fact.id not in self._came])

    def _send(self, facts: Sequence[Fact]) -> None:
        if self._is_same_mesh:
            for group in fact_groups(facts):
                self._role.send(Facts(group))


def learn_facts(message: Facts, why: list[str], store: RunStore) -> Taken:
    """Keep the facts of a message; if one that is new is none, or is not signed, nothing is kept and `why` gets a sentence."""
    try:
        facts = store.unknown_facts(message.facts)
        for fact in facts:
            fact.check()
    except ValueError as error:
        why.append(str(error))
        return Taken(outcomes=("bad",))
    return store.learn(facts)


def _all_facts(store: RunStore) -> tuple[Fact, ...]:
    return store.facts()
