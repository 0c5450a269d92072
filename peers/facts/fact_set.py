"""FactSet: the facts of one mesh that a node has. It only grows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from hashlib import sha256
from typing import Annotated

import msgspec
from msgspec import Meta

from peers.events.leaf import HASH_BYTES
from peers.facts.fact import Certificate, Fact, FactId, Leave, PublicKey

MAX_FACTS_IN_SET = 10_000
"""Of one kind; those of the mesh's own key are not counted. So nothing leaves no room for a revocation."""
MAX_FACTS_OF_SIGNER = 1_000
"""Of one kind, by one signer."""
MAX_LEAVES = 8
"""Of one key. One is enough; a copy of a home may sign another one."""
MAX_WAITING_FACTS = 1_000
"""Facts of signers that nothing is known of yet; the oldest ones go."""

_LABEL = b"peermesh facts\0"


class MeshEnd(msgspec.Struct, frozen=True, array_like=True):
    """Which facts a node has, as it says it to another one."""

    mesh: PublicKey
    """The public key of its mesh."""
    digest: Annotated[bytes, Meta(min_length=HASH_BYTES, max_length=HASH_BYTES)]
    """SHA-256 of its facts."""


class FactSet:
    """Facts of one mesh that are signed, each by a key that may be in it by other facts of the set.

    So a node that sends all of a set in its order sends every fact after those that its signer needs. One that comes before
    them waits: the order in which facts come makes no difference. What follows from a set is in `Roster`.
    """

    def __init__(self, mesh: bytes) -> None:
        """`mesh` is the public key of the mesh; facts about others are refused."""
        self.mesh = mesh
        self._facts: dict[FactId, Fact] = {}
        self._admins = {mesh}
        """Keys with a certificate of an admin, revoked or not."""
        self._certified: set[bytes] = set()
        self._counts: Counter[tuple[bytes, str]] = Counter()
        """By signer and kind."""
        self._totals: Counter[str] = Counter()
        """By kind."""
        self._waiting: dict[FactId, Fact] = {}
        self._digest = b""

    def __len__(self) -> int:
        return len(self._facts)

    def __iter__(self) -> Iterator[Fact]:
        """In the order in which they entered."""
        return iter(self._facts.values())

    def __contains__(self, fact_id: FactId) -> bool:
        return fact_id in self._facts

    @property
    def end(self) -> MeshEnd:
        """With a digest over a label and all ids, sorted: two nodes with the same facts have the same one."""
        if not self._digest:
            self._digest = sha256(b"".join((_LABEL, *sorted(self._facts)))).digest()
        return MeshEnd(self.mesh, self._digest)

    def copy(self) -> FactSet:
        """The same set, which grows by itself."""
        other = FactSet(self.mesh)
        other._facts, other._waiting = self._facts.copy(), self._waiting.copy()
        other._admins, other._certified = self._admins.copy(), self._certified.copy()
        other._counts, other._totals = self._counts.copy(), self._totals.copy()
        return other

    def add(self, fact: Fact) -> list[Fact]:
        """Put in a fact that was checked. Returns what is new in the set: also facts that waited for this one.

        Raises ValueError, with a sentence, for a fact of another mesh, or one beyond the limits of its signer or of the set.
        """
        if fact.mesh != self.mesh:
            raise ValueError("a fact of another mesh")
        if fact.id in self._facts:
            return []
        if not self._may_say(fact):
            self._wait(fact)
            return []
        why = self._why_too_many(fact)
        if why:
            raise ValueError(why)
        self._enter(fact)
        entered = [fact]
        if isinstance(fact, Certificate):
            entered += self._recall()
        return entered

    def _enter(self, fact: Fact) -> None:
        self._waiting.pop(fact.id, None)
        self._facts[fact.id] = fact
        self._digest = b""
        self._counts[fact.signer, fact.kind] += 1
        self._totals[fact.kind] += fact.signer != self.mesh
        if isinstance(fact, Certificate):
            self._certified.add(fact.key)
            if fact.is_admin:
                self._admins.add(fact.key)

    def _may_say(self, fact: Fact) -> bool:
        """Whether the signer of a fact may say such a thing, or could once, by other facts of the set."""
        return fact.signer in (self._certified if isinstance(fact, Leave) else self._admins)

    def _why_too_many(self, fact: Fact) -> str:
        kind = fact.kind
        limit = MAX_LEAVES if isinstance(fact, Leave) else MAX_FACTS_OF_SIGNER
        if self._counts[fact.signer, kind] >= limit:
            return f"a fact of a signer that has {limit} of the kind {kind} in this mesh already"
        if self._totals[kind] >= MAX_FACTS_IN_SET and fact.signer != self.mesh:
            return f"a fact beyond the {MAX_FACTS_IN_SET} of the kind {kind} that a mesh may have"
        return ""

    def _wait(self, fact: Fact) -> None:
        self._waiting[fact.id] = fact
        if len(self._waiting) > MAX_WAITING_FACTS:
            del self._waiting[next(iter(self._waiting))]

    def _recall(self) -> list[Fact]:
        """Put in what has waited for a certificate; what is beyond the limits is dropped."""
        entered: list[Fact] = []
        while ready := [fact for fact in self._waiting.values() if self._may_say(fact)]:
            for fact in ready:
                del self._waiting[fact.id]
                if not self._why_too_many(fact):
                    self._enter(fact)
                    entered.append(fact)
        return entered
