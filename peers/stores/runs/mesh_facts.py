"""What a store of runs does with the facts of its mesh."""

from __future__ import annotations

from collections.abc import Sequence

from peers.facts.fact import Fact, decode_fact
from peers.facts.fact_set import FactSet
from peers.stores.run_store import Taken
from peers.stores.runs.writing import WritingRules


class FactRules(WritingRules):
    """Keeps facts in the order in which they became part of the set."""

    def __init__(self) -> None:
        super().__init__()
        self._mesh = ""
        """The public key of the mesh in hexadecimal digits; empty without one."""
        self._fact_sets: dict[str, FactSet] = {}
        """That of the mesh. A set that is here is never changed."""

    def _begin(self) -> None:
        super()._begin()
        self._mesh = ""
        self._fact_sets.clear()

    def enter_mesh(self, mesh: bytes) -> None:
        """As in the port."""
        facts = FactSet(mesh)
        for data in self._read_facts():
            fact = decode_fact(data)  # its signature was looked at when it came
            if fact.mesh == mesh:
                facts.add(fact)
        self._mesh = mesh.hex()
        self._fact_sets[self._mesh] = facts

    def facts(self) -> tuple[Fact, ...]:
        """As in the port."""
        return tuple(self._fact_sets.get(self._mesh, ()))

    def facts_digest(self) -> bytes:
        """As in the port."""
        return self._fact_sets[self._mesh].digest if self._mesh else b""

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
            if new:
                self._put_facts(new)
            return Taken(facts=tuple(new))
