"""Roster: which keys are in a mesh, as it follows from a set of facts alone, in whatever order they came."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable
from typing import Literal, NamedTuple

from peers.events.dot import Epoch
from peers.events.epoch import key_mark
from peers.facts.fact import Certificate, Fact, FactId, Found, Leave, Revocation, Tip
from peers.facts.fact_set import MAX_LEAVES

KeyState = Literal["member", "revoked", "left", "void"]
"""`void`: by certificates of a revoked admin alone."""


class RosterRow(NamedTuple):
    """One key that has a certificate."""

    key: bytes
    node_id: str
    is_admin: bool
    state: KeyState
    since_ms: int
    """When it was certified, by the clock of who did it."""
    invited_by: str
    """The id of that node; empty if the mesh's key did it."""
    source: str
    """The address that it joined from; empty without one."""
    cut: tuple[Tip, ...] = ()
    """What counts of its epochs if it is revoked or has left: of each the highest that a fact says. See also `leaves`."""


class Roster:
    """What holds by these facts of one mesh.

    - Only the mesh's key makes and revokes admins; admins make and revoke nodes, no admins.
    - Of an admin that is revoked all facts are void, but those that its revocations let stand.
    - A key that is revoked, or has left, is not in the mesh, whatever certificates it has.
    - A key that says several times how much of it counts when it left has only what all of these name alike: else it could
      go on writing, and leave again. One that says so as often as a set takes it has nothing: others may know other ones.
    """

    def __init__(self, mesh: bytes, facts: Iterable[Fact]) -> None:
        self.mesh = mesh
        self.void: dict[FactId, str] = {}
        """Facts that do not hold, and why."""
        known = sorted(facts, key=_rank)
        # What the mesh's key says of an admin comes first: no other one can give it another name.
        by_mesh_first = sorted(known, key=_is_of_node)
        certificates = [fact for fact in by_mesh_first if isinstance(fact, Certificate)]
        self._ids = {mesh: ""}
        self._ids |= {fact.key: fact.node_id for fact in reversed(certificates)}
        self._admins = {fact.key for fact in certificates if fact.is_admin}
        self.founder = next((fact.key for fact in certificates if fact.is_admin), b"")
        """The key that was an admin first, by the clock of who says it; empty without one."""
        self.name = next((fact.name for fact in known if isinstance(fact, Found)), "")
        """The label of the mesh, as it was said first: `mesh recover` on a new machine does not know it, and says another."""
        self._revoked_admins: dict[bytes, set[FactId]] = {}
        """With the facts that stand all the same."""
        for fact in known:
            if isinstance(fact, Revocation) and fact.signer == mesh and fact.key in self._admins:
                self._revoked_admins.setdefault(fact.key, set()).update(fact.standing)
        for fact in known:
            why = self._why_void(fact)
            if why:
                self.void[fact.id] = why
        self.gone: dict[bytes, KeyState] = {}
        """Keys that are revoked or have left, also those without a certificate."""
        self.gone_by: dict[bytes, bytes] = {}
        """Of each of them, the key that said so first."""
        self.leaves: dict[bytes, set[tuple[Tip, ...]]] = {}
        """Of keys that have left: what counts of their epochs, by each fact of theirs that says so."""
        self.rows = self._rows(certificates, [fact for fact in known if isinstance(fact, (Revocation, Leave))])
        """All keys with a certificate, by key: admins first, then in the order of their times; last those without one that
        holds.
        """

    def has_left(self, key: bytes) -> bool:
        """Whether a key has left, and is not revoked."""
        return self.gone.get(key) == "left"

    @property
    def members(self) -> dict[bytes, str]:
        """The keys that are in the mesh, with their node ids."""
        return {row.key: row.node_id for row in self.rows.values() if row.state == "member"}

    def cut_of(self, key: bytes) -> tuple[Tip, ...] | None:
        """What counts of the epochs of a key: None stands for everything, () for nothing."""
        row = self.rows.get(key)
        if row is None or row.state == "void":
            return ()
        return None if row.state == "member" else row.cut

    def knows(self, key: bytes) -> bool:
        """Whether a fact, which may be void, is about a key: a certificate, or that it is not in the mesh any more."""
        return key in self.rows or key in self.gone

    def id_of(self, key: bytes) -> str:
        """The node id of a key; without a certificate, `~` and the hash of the key; empty for the mesh's own."""
        return self._ids.get(key, f"~{key_mark(key)}")

    def _why_void(self, fact: Fact) -> str:
        signer = fact.signer
        if isinstance(fact, Revocation) and fact.key in self._admins and signer != self.mesh:
            return "only the mesh's key revokes an admin"
        if isinstance(fact, Revocation) and fact.key not in self._admins and signer == self.mesh:
            return "the mesh's key revokes admins only"
        if isinstance(fact, Leave):
            return ""
        standing = self._revoked_admins.get(signer)
        if standing is not None and fact.id not in standing:
            return f"{self.id_of(signer)}, which signed it, is revoked"
        return ""

    def _rows(self, certificates: list[Certificate], ends: list[Revocation | Leave]) -> dict[bytes, RosterRow]:
        states = self.gone
        cuts: dict[bytes, dict[Epoch, Tip]] = defaultdict(dict)
        # Revocations first: a thief of a key may say that it leaves, but not how much of it counts.
        for end in sorted(ends, key=_is_leave):
            key = end.signer if isinstance(end, Leave) else end.key
            if end.id in self.void or (isinstance(end, Leave) and states.get(key) == "revoked"):
                continue
            self.gone_by.setdefault(key, end.signer)
            states[key] = "left" if isinstance(end, Leave) else "revoked"
            if isinstance(end, Leave):
                self.leaves.setdefault(key, set()).add(end.cut)
            for tip in end.cut:
                cuts[key][tip.epoch] = max(tip, cuts[key].get(tip.epoch, tip))
        for key, count in Counter([end.signer for end in ends if isinstance(end, Leave)]).items():
            if count >= MAX_LEAVES and key in self.leaves:
                self.leaves[key].add(())
        rows: dict[bytes, RosterRow] = {}
        holding = [fact for fact in certificates if fact.id not in self.void]
        for fact in [*holding, *certificates]:
            if fact.key in rows:
                continue
            rows[fact.key] = RosterRow(
                fact.key,
                fact.node_id,
                fact.key in self._admins,
                states.get(fact.key, "void" if fact.id in self.void else "member"),
                fact.time_ms,
                self.id_of(fact.signer),
                fact.source,
                tuple(sorted(cuts[fact.key].values())) if fact.key in cuts else (),
            )
        return rows


def _is_leave(fact: Fact) -> bool:
    return isinstance(fact, Leave)


def _is_of_node(fact: Fact) -> bool:
    return fact.signer != fact.mesh


def _rank(fact: Fact) -> tuple[int, FactId]:
    return fact.time_ms, fact.id
