"""FactExchange: how the facts of a mesh go over one link: all that an end lacks before any event, new ones at once."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from peers.codec.run_messages import MAX_FACTS, Facts, fact_groups
from peers.facts.fact import Fact, FactId, fact_id_of
from peers.facts.fact_set import MAX_FACTS_IN_SET, MeshEnd
from peers.protocol.runs.other_end import SendWindow
from peers.protocol.runs.role import BadPeer, RunRole
from peers.stores.run_store import RunStore, Taken

MAX_NAMED_FACTS = 8 * MAX_FACTS_IN_SET
"""That go over one link or are named on it: two ends with full sets may differ in some."""


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
        """Of what it says."""
        self._theirs: set[FactId] = set()
        """What the other end has that is not in our greeting, or that it lacked."""
        self._is_same_mesh = False
        self._is_met = False
        self._new: list[Fact] = []
        """What came here since our greeting, until it is known what the other end lacks."""
        self._has_heard_all = False

    @property
    def is_settled(self) -> bool:
        """Whether the other end has been sent all that it lacked."""
        return not self._window.is_held

    def greet(self, greeted: MeshEnd | None, ids: Sequence[FactId]) -> None:
        """Our greeting says this."""
        self._greeted, self._ids = greeted, ids

    def meet(self, theirs: MeshEnd | None) -> None:
        """The other end has greeted."""
        ours = self._greeted
        self._is_met = True
        self._is_same_mesh = ours is not None and theirs is not None and theirs.mesh == ours.mesh
        if not self._is_same_mesh or theirs == ours:
            self._has_heard_all = True
            self._send(self._new)
            return
        self._window.is_held = True
        for at in range(0, len(self._ids) or 1, MAX_FACTS):
            some = tuple(self._ids[at : at + MAX_FACTS])
            self._role.send(Facts((), some, is_last=at + MAX_FACTS >= len(self._ids)))

    def hear(self, message: Facts) -> None:
        """A message came; its facts are learned elsewhere. Raises BadPeer for more ids than a mesh may have."""
        if not self._is_same_mesh:
            return
        self._note(message.ids)
        self._note(map(fact_id_of, message.facts))
        if message.is_last and not self._has_heard_all:
            self._has_heard_all = True
            self._role.read(_all_facts, self._on_facts)

    def learned(self, facts: Iterable[Fact]) -> None:
        """The store has these new facts, whoever sent them."""
        if self._is_met and self._has_heard_all and self.is_settled:
            self._send(facts)
        else:
            self._new += facts

    def _note(self, ids: Iterable[FactId]) -> None:
        self._theirs.update(ids)
        if len(self._theirs) > MAX_NAMED_FACTS:
            raise BadPeer(f"it named more than {MAX_NAMED_FACTS} facts of the mesh")

    def _on_facts(self, facts: Sequence[Fact]) -> None:
        self._send([*facts, *self._new])
        self._window.is_held = False
        self._go_on()

    def _send(self, facts: Iterable[Fact]) -> None:
        """Send what the other end does not have."""
        self._new = []
        lacked = {fact.id: fact for fact in facts if fact.id not in self._theirs} if self._is_same_mesh else {}
        self._theirs.update(lacked)
        for group in fact_groups(lacked.values()):
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
