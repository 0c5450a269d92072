"""Who ends whose membership: members as users name them, and the facts that revoke a node or an admin."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from mesh.errors import MeshError
from mesh.trust.expulsion import why_out
from peers.events.signature import Signer
from peers.facts.fact import MAX_STANDING, Certificate, Fact, FactId, Leave, Revocation, Tip
from peers.facts.roster import Roster, RosterRow
from peers.stores.run_store import RunStore
from peers.stores.store import StoreError
from peers.stores.taken import Taken

STANDING_WITH_CUT = 10
"""Facts that a revocation with the tips of a cut lets stand: more might not fit into one."""


def member_named(roster: Roster, typed: str) -> RosterRow:
    """The member with this node id, or with this name if only one has it; else who was one.

    Raises MeshError, a sentence, if there is none, or more than one.
    """
    found = [row for row in roster.rows.values() if typed in {row.node_id, row.node_id.partition("~")[0]}]
    named = [row for row in found if row.node_id == typed or row.state == "member"] or found
    if not named:
        raise MeshError(f"no node {typed} was ever in this mesh, as far as is known here: `mesh members` lists them")
    if len(named) > 1:
        ids = ", ".join(row.node_id for row in named)
        raise MeshError(f"{typed} is the name of {len(named)} nodes: give the id of one of them: {ids}")
    return named[0]


def admins_of(roster: Roster) -> list[RosterRow]:
    """The admins that are members."""
    return [row for row in roster.rows.values() if row.is_admin and row.state == "member"]


def is_admin(roster: Roster, key: bytes) -> bool:
    """Whether the node with this public key is an admin of the mesh now."""
    return any(row.key == key for row in admins_of(roster))


def check_own(roster: Roster, own: bytes, node_id: str) -> None:
    """Raise MeshError, a sentence, unless the node with this key is a member."""
    why = why_out(roster, own)
    if roster.gone.get(own) == "left":
        raise MeshError(f"{node_id} has left this mesh already")
    if why:
        raise MeshError(why)
    if own not in roster.rows:
        raise MeshError(f"{node_id} knows no fact that it is in its mesh: they come when it is connected to a member")


def check_revocable(roster: Roster, row: RosterRow, own: bytes) -> None:
    """Raise MeshError, a sentence, if the node with the key `own` cannot revoke the one of `row`."""
    own_id = roster.id_of(own)
    if row.key == own:
        raise MeshError(f"{own_id} is this node itself: it leaves with `mesh leave`")
    check_own(roster, own, own_id)
    if row.state == "revoked":
        raise MeshError(f"{row.node_id} is revoked already")
    if not row.is_admin and not is_admin(roster, own):
        raise MeshError(f"only an admin revokes, and {own_id} is none: {how_an_admin(roster, 'revoke')}")


def how_an_admin(roster: Roster, command: str) -> str:
    """Where a command can be run that only an admin may: the end of a sentence."""
    admins = admins_of(roster)
    return f"run `mesh {command}` on {admins[0].node_id}" if admins else "`mesh recover` makes it one"


def signed_by(roster: Roster, facts: Iterable[Fact], key: bytes) -> list[Fact]:
    """What an admin has said of other nodes that holds now: its revocation makes it void, but for what that lets stand."""
    return [
        fact
        for fact in facts
        if isinstance(fact, (Certificate, Revocation)) and fact.signer == key != fact.key and fact.id not in roster.void
    ]


def revocations(
    signer: Signer,
    mesh: bytes,
    key: bytes,
    cut: Sequence[tuple[str, int, bytes]],
    standing: Iterable[FactId],
    now_ms: int,
) -> list[Fact]:
    """The facts that revoke a key, by `signer`; all but the first are there since one has room for a part of `standing`."""
    left, made = sorted(standing), list[Fact]()
    while left or not made:
        tips = () if made else tuple(Tip(*tip) for tip in cut)
        room = MAX_STANDING if not tips else STANDING_WITH_CUT
        part, left = left[:room], left[room:]
        made.append(Revocation(mesh, signer.public, now_ms, b"", key, tips, tuple(part)).signed(signer))
    return made


def leave_by(signer: Signer, store: RunStore, mesh: bytes, now_ms: int) -> Taken:
    """Put the fact into the store of a node that it leaves, with what it has written up to now. Raises StoreError."""
    fact = Leave(mesh, signer.public, now_ms, b"", store.tips(signer.public)).signed(signer)
    taken = store.learn([fact])
    if fact not in taken.facts:
        raise StoreError("the facts of the mesh have no room for one more of this node: let an admin revoke it")
    return taken


def made_void(facts: Sequence[Fact], more: Sequence[Fact]) -> list[Fact]:
    """Which of these facts of one mesh hold no more once `more` are known."""
    mesh = facts[0].mesh
    before, after = Roster(mesh, facts).void, Roster(mesh, [*facts, *more]).void
    return [fact for fact in facts if fact.id in after and fact.id not in before]
