"""What a store of runs does with the facts of its mesh."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace

from peers.facts.fact import Fact, decode_fact, fact_id_of
from peers.facts.fact_set import FactSet, MeshEnd
from peers.facts.roster import Roster
from peers.stores.runs.copying import Work
from peers.stores.runs.writing import WritingRules
from peers.stores.taken import Taken


class FactRules(WritingRules):
    """Keeps facts in the order in which they became part of the set."""

    def __init__(self) -> None:
        super().__init__()
        self._fact_sets: dict[str, FactSet] = {}
        """That of the mesh. A set that is here is never changed."""

    def _begin(self) -> None:
        super()._begin()
        if not self._mesh:
            return
        facts = self._fact_sets[self._mesh] = FactSet(bytes.fromhex(self._mesh))
        for data in self._read_facts():
            with suppress(ValueError):  # of another mesh, or of a kind that a later release has written
                facts.add(decode_fact(data))  # its signature was looked at when it came
        self._rosters = {self._mesh: Roster(facts.mesh, facts)} if facts else {}
        self._begin_limits()

    def enter_mesh(self, mesh: bytes) -> None:
        """As in the port."""
        self._mesh = mesh.hex()
        self._fact_sets = {self._mesh: FactSet(mesh)}
        self._rosters = {}

    def facts(self) -> tuple[Fact, ...]:
        """As in the port."""
        return tuple(self._fact_sets.get(self._mesh, ()))

    def unknown_facts(self, texts: Sequence[bytes]) -> list[Fact]:
        """As in the port."""
        if not self._mesh:
            return []
        known = self._fact_sets[self._mesh]
        facts = [decode_fact(text) for text in texts if fact_id_of(text) not in known]
        return [fact for fact in facts if fact.mesh == known.mesh]

    def mesh_end(self) -> MeshEnd | None:
        """As in the port."""
        return self._fact_sets[self._mesh].end if self._mesh else None

    def learn(self, facts: Sequence[Fact]) -> Taken:
        """As in the port."""
        if not self._mesh:
            return Taken()
        with self._piece():
            known = self._fact_sets[self._mesh].copy()
            new: list[Fact] = []
            for fact in facts:
                try:
                    new += known.add(fact)
                except ValueError:
                    continue
            self._remember(self._fact_sets, self._mesh, known)
            if not new:
                return Taken()
            self._put_facts(new)
            self._remember(self._rosters, self._mesh, Roster(known.mesh, known))
            work = Work()
            self._judge(work)
            return replace(self._finish(work), facts=tuple(new), roster=self.roster())
