"""Ways to break one rule each, as context managers: the checks of the stories have to notice every one of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from typing import Any
from unittest.mock import patch

from peers.codec.run_messages import Pieces, RunHave, WantedEvents
from peers.events import ends as ends_module
from peers.events.dot import Epoch
from peers.events.ends import EndsSnapshot
from peers.events.epoch import END_BYTES, EpochEnd, item_digest
from peers.protocol.runs import replication as replication_module
from peers.protocol.runs.fork_search import ForkSearch
from peers.protocol.runs.replication import Replication, Said
from peers.protocol.runs.sending import Sending
from peers.protocol.runs.taking import Taking
from peers.stores.run_store import RunStore
from peers.stores.runs import taking as store_taking
from peers.stores.runs.forks import RunRules
from peers.stores.runs.taking import TakingRules
from peers.stores.taken import Change, Taken
from tests.support.replication.home import Session

Tooth = Callable[[], AbstractContextManager[Any]]
_read_said = replication_module.read_said
_committed = Replication.committed
_prove = RunRules._prove
_weigh = TakingRules._weigh
_pass = Sending._pass
_add = Taking.add
_adopt = RunRules._is_orphan


def _nothing_hollow(other_key: bytes | None, store: RunStore) -> Said:
    return _read_said(other_key, store)._replace(hollow=WantedEvents.of(()))


def _hollow_untold(self: Replication, taken: Taken) -> None:
    _committed(self, replace(taken, hollow=()))


def hollow_is_final() -> AbstractContextManager[Any]:
    """An entry without its event is never asked for."""
    return Both(
        patch.object(replication_module, "read_said", _nothing_hollow),
        patch.object(Replication, "committed", _hollow_untold),
    )


def hollow_is_said_at_greetings_only() -> AbstractContextManager[Any]:
    return patch.object(Replication, "committed", _hollow_untold)


def nothing_is_adopted() -> AbstractContextManager[Any]:
    return patch.object(RunRules, "adopt", lambda self, pen, limit=0: Taken())


def adoption_by_created() -> AbstractContextManager[Any]:
    """An event counts as kept if any copy of its `created` has a dot that counts."""

    def is_orphan(self: RunRules, copy: Any, work: Any) -> bool:
        shown = self._shown(copy.created)
        copies = [shown, *self._aside_of(copy.created)]
        return all(_adopt(self, each, work) for each in copies if each is not None)

    return patch.object(RunRules, "_is_orphan", is_orphan)


def fingerprint_without_heads() -> AbstractContextManager[Any]:
    def digest(epoch: Epoch, end: EpochEnd) -> bytes:
        return item_digest(epoch, EpochEnd(end.seq, bytes(END_BYTES), end.mark))

    return patch.object(ends_module, "item_digest", digest)


def view_of_now() -> AbstractContextManager[Any]:
    """What is the same is taken for what we have now, not for what we had at our greeting."""
    return patch.object(EndsSnapshot, "get", lambda self, epoch: self.now.get(epoch))


def claims_before_commit() -> AbstractContextManager[Any]:
    def add(self: Taking, message: Any) -> None:
        session = self._role
        if isinstance(message, Pieces):
            for piece in message.pieces:
                ours = session.ends.get(piece.epoch)
                if piece.start <= (ours.seq if ours else 0) + 1:
                    claim = {piece.epoch: EpochEnd(piece.last, piece.head[:END_BYTES])}
                    for other in session.home.sessions:
                        if other is not session:
                            other.send(RunHave(claim))
        _add(self, message)

    return patch.object(Taking, "add", add)


def signatures_unverified() -> AbstractContextManager[Any]:
    return patch.object(store_taking, "is_signed", lambda *_: True)


def first_proof_kept() -> AbstractContextManager[Any]:
    def prove(self: RunRules, proof: Any, cut: Any, work: Any) -> None:
        row = self._epochs.get(proof.birth.epoch)
        if row is None or row.cut is None:
            _prove(self, proof, cut, work)

    return patch.object(RunRules, "_prove", prove)


def skipped_part_not_compared() -> AbstractContextManager[Any]:
    def weigh(self: TakingRules, piece: Any, before: Any) -> Any:
        found = _weigh(self, piece, before)
        row = self._epochs.get(piece.epoch)
        is_known = row is not None and piece.last <= row.seq
        return "known" if is_known and found in ("mismatch", "bad") else found

    return patch.object(TakingRules, "_weigh", weigh)


def fills_without_a_place_in_the_walk() -> AbstractContextManager[Any]:
    def pass_to(self: Sending, changes: Sequence[Change], until: int) -> None:
        _pass(self, [change for change in changes if not change.is_fill], until)

    return patch.object(Sending, "_pass", pass_to)


def wants_not_asked() -> AbstractContextManager[Any]:
    """What the other end wants, and had no room for in its greeting, is taken for what it was told before."""
    return patch.object(Session, "is_news", lambda self, hollow: False)


def proofs_kept_for_oneself() -> AbstractContextManager[Any]:
    return patch.object(ForkSearch, "prove", lambda self, epoch: None)


def forks_not_searched() -> AbstractContextManager[Any]:
    return patch.object(ForkSearch, "suspect", lambda self, epoch: None)


def heads_not_looked_at() -> AbstractContextManager[Any]:
    return patch.object(ForkSearch, "look", lambda self, said: None)


def sent_is_forgotten() -> AbstractContextManager[Any]:
    """What a walk sends is not remembered, so the same goes again at a later position."""
    from peers.protocol.runs.other_end import OtherEnd

    return patch.object(OtherEnd, "went", lambda self, epoch, seq: None)


class Both:
    """Several at once."""

    def __init__(self, *managers: AbstractContextManager[Any]) -> None:
        self.managers = managers

    def __enter__(self) -> None:
        for each in self.managers:
            each.__enter__()

    def __exit__(self, *error: Any) -> None:
        for each in reversed(self.managers):
            each.__exit__(*error)


TEETH: dict[str, Tooth] = {
    tooth.__name__: tooth
    for tooth in (
        hollow_is_final,
        hollow_is_said_at_greetings_only,
        nothing_is_adopted,
        adoption_by_created,
        fingerprint_without_heads,
        view_of_now,
        claims_before_commit,
        signatures_unverified,
        first_proof_kept,
        skipped_part_not_compared,
        fills_without_a_place_in_the_walk,
        wants_not_asked,
        proofs_kept_for_oneself,
        forks_not_searched,
        heads_not_looked_at,
        sent_is_forgotten,
    )
}
