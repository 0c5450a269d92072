"""Taking: what comes over a link and changes the log, in its order: one write at a time, then what it means for the link."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from itertools import accumulate
from typing import NamedTuple

from peers.codec.messages import Synced
from peers.codec.pieces import RawPiece
from peers.codec.run_messages import MAX_DECLINED, Decline, Facts, Fill, Pieces, Prove, ShowBlocks, ShowWay
from peers.events.dot import NO_EPOCHS, Epoch
from peers.events.epoch import NO_KEYS, NOTHING, Birth
from peers.events.leaf import hash_ahead
from peers.events.proof import Proof
from peers.protocol.runs.fact_exchange import learn_facts
from peers.protocol.runs.fork_search import ForkSearch
from peers.protocol.runs.other_end import OtherEnd
from peers.protocol.runs.role import BadPeer, RunRole
from peers.protocol.sync import WINDOW
from peers.stores.run_store import RunStore
from peers.stores.taken import Limited, Taken
from peers.stores.taken import Taking as Outcome

MAX_UNCOMMITTED = 16
"""Messages that may wait for their commit before reading should pause; of `pieces` and `fill` at most WINDOW."""

STEP_PIECES = 4
"""Pieces that are taken before it is asked whether others wait for the store: each may have a signature of its own."""
STEP_ENTRIES = 100
"""Entries after which a step takes no more pieces. Who brings more of them, or more than one step, shares the store."""
BIRTH_ENTRIES = 90
"""As how many entries the first one of an epoch counts: its epoch is written too."""
COMMITTED_STEPS = 4
"""Of one commit, at most: all neighbours hear of it at once."""
AHEAD_ENTRIES = 500
"""Of one message, at most, are hashed on the thread that hears it, which does nothing else meanwhile."""
SHARED_ENTRIES = 500
"""Of one commit of several steps, at most, where others use the store too."""

Received = Pieces | Fill | Prove | ShowBlocks | ShowWay | Facts
Work = Callable[[RunStore], Taken]
Reaction = Callable[[Taken], None]


class CommitStep(NamedTuple):
    """A part of a commit."""

    work: Work
    reaction: Reaction
    """What follows from it."""
    entries: int = 0
    pieces: Sequence[RawPiece] = ()
    """That it takes."""


class Taking:
    """Messages that come while others are being committed are committed together, one transaction later.

    What is acknowledged is committed. After something bad nothing that waits is looked at. While others wait for the store, or
    did so lately, an end that brings much gets it half of the time.
    """

    def __init__(self, role: RunRole, other: OtherEnd, forks: ForkSearch) -> None:
        self._role = role
        self._other = other
        self._forks = forks
        self._waiting: list[Received] = []
        self._counted = 0
        """Of these and of those being committed, how many want an acknowledgement."""
        self._steps: list[CommitStep] = []
        """What is being committed, and then the rest of the same messages."""
        self._is_resting = False
        self._ahead: dict[Epoch, int] = {}
        """Up to which seq epochs go on in what waits."""
        self._numbers: list[int] = []
        """Of these messages."""
        self._declined = NO_KEYS
        self._refused: dict[Epoch, bytes] = {}
        """Epochs of which something was not taken, with the keys of those that were new here."""
        self._known = NO_EPOCHS
        """Epochs of which nothing counts here yet, and the store knows the births."""

    @property
    def is_full(self) -> bool:
        """Whether reading should pause."""
        return len(self._waiting) >= MAX_UNCOMMITTED

    @property
    def is_done(self) -> bool:
        """Whether all that came is committed."""
        return not self._steps and not self._waiting

    def add(self, message: Received) -> None:
        """A message came. Raises BadPeer if it is a proof of nothing, or the window of the other end was not open."""
        if isinstance(message, (Pieces, Fill)):
            self._counted += 1
            if self._counted > WINDOW:
                raise BadPeer(f"it sent more than {WINDOW} messages before the first of them was confirmed")
        self._waiting.append(message)
        self.go_on()
        if self._waiting and isinstance(message, Pieces) and not self._role.is_shared():
            self._hash_ahead(message.pieces)

    def _hash_ahead(self, pieces: Sequence[RawPiece]) -> None:
        """While the store is busy, this thread does a part of its work: of what it will hash since it continues an epoch."""
        left = AHEAD_ENTRIES
        for piece in pieces:
            epoch, end = piece.epoch, self._role.ends.get(piece.epoch) or NOTHING
            before = max(end.seq, self._other.coming.get(epoch, 0), self._ahead.get(epoch, 0))
            if before and piece.start == before + 1 and not end.mark and epoch not in self._refused:
                self._ahead[epoch] = piece.last
                if (left := left - len(piece.items)) >= 0:
                    hash_ahead(piece.items)

    def accept(self) -> None:
        """What was declined may come now, as far as `may_begin` says so."""
        if self._declined:
            self._declined = NO_KEYS
            self._role.send(Decline(()))

    def ask_again(self, limited: Mapping[Epoch, Limited]) -> None:
        """Up to where these count is another now: what was not taken before may come once more."""
        self._known = self._known.union([epoch for epoch, now in limited.items() if now.waits])
        refused = {limited[epoch].key for epoch in self._refused.keys() & limited.keys()}
        keys = refused | ({now.key for now in limited.values()} & set(self._refused.values()))
        if keys:
            self._refused = {
                epoch: key for epoch, key in self._refused.items() if key not in keys and epoch not in limited
            }
            self._role.send(Decline(tuple(sorted(self._declined | keys)[:MAX_DECLINED])))
            self._role.send(Decline(tuple(sorted(self._declined)[:MAX_DECLINED])))

    def go_on(self) -> None:
        """Commit what waits, unless something is being committed or there is no room for it; for facts there always is."""
        if self._steps or self._is_resting or not self._waiting:
            return
        messages, self._waiting = self._waiting, []
        self._ahead.clear()
        if not self._role.has_room():
            self._waiting = [message for message in messages if not isinstance(message, Facts)]
            messages = [message for message in messages if isinstance(message, Facts)]
            if not messages:
                return
        self._numbers = [message.number for message in messages if isinstance(message, (Pieces, Fill))]
        row: list[Pieces] = []
        births: dict[Epoch, Birth] = {}
        for message in messages:
            if isinstance(message, Pieces):
                row.append(message)
                continue
            self._add_pieces(row, births)
            row = []
            self._steps.append(self._step(message))
        self._add_pieces(row, births)
        self._commit()

    def _commit(self) -> None:
        steps = self._next_steps()
        if self._role.is_shared() and sum([step.entries for step in steps]) > STEP_ENTRIES:
            # A quarter of the time of a commit, before it: what others ask for meanwhile does not wait for all of it.
            pieces = [piece for step in steps for piece in step.pieces]
            self._role.write(partial(_hash_ahead, pieces), lambda _: self._write(steps, is_next_part=True))
        else:
            self._write(steps)

    def _write(self, steps: Sequence[CommitStep], *, is_next_part: bool = False) -> None:
        commit = _Commit(steps, self._role.is_awaited)
        self._role.write(commit, partial(self._on_done, commit), is_next_part=is_next_part)

    def _next_steps(self) -> list[CommitStep]:
        steps = self._steps[:COMMITTED_STEPS]
        if self._role.is_shared():
            sums = accumulate([step.entries for step in steps])
            steps = [step for step, entries in zip(steps, sums, strict=True) if entries <= SHARED_ENTRIES] or steps[:1]
        return steps

    def _step(self, message: Fill | Prove | ShowBlocks | ShowWay | Facts) -> CommitStep:
        if isinstance(message, Fill):
            return CommitStep(partial(_fill, message), partial(self._on_filled, message), len(message.events))
        if isinstance(message, Facts):
            why: list[str] = []
            return CommitStep(partial(learn_facts, message, why), partial(self._on_learned, message, why))
        if isinstance(message, ShowBlocks):
            return CommitStep(partial(_compare, message), partial(self._on_compared, message))
        if isinstance(message, ShowWay):
            births = [each for each in _births_of(message) if not self._has(each.epoch) and self._role.may_begin(each)]
            if births:  # what follows from these comes first
                self._steps.append(CommitStep(partial(_meet, births), _nothing_follows))
            return CommitStep(partial(_follow, message), _nothing_follows)
        proof = _decoded(message)
        self._other.proved(proof.birth.epoch, proof.mark)
        if proof.birth.epoch not in self._role.ends and not self._role.trusts(proof.birth):
            return CommitStep(_nothing, _nothing_follows)
        return CommitStep(partial(_prove, proof), partial(self._on_proof, proof))

    def _add_pieces(self, messages: Sequence[Pieces], births: dict[Epoch, Birth]) -> None:
        """The store takes the pieces of messages in a row together; `births` has those of the rows before, which wait too."""
        pieces: list[RawPiece] = []
        for message in messages:
            births |= self._admitted({birth.epoch: birth for birth in message.births if birth.epoch not in births})
            pieces += [piece for piece in message.pieces if piece.epoch in births or self._has(piece.epoch)]
        for piece in pieces:
            self._other.coming[piece.epoch] = max(piece.last, self._other.coming.get(piece.epoch, 0))
        if not messages:
            return
        clock_ms = self._role.clock_ms()
        size = sum([len(piece.raw) for message in messages for piece in message.pieces])
        count, declined = len(messages), size - sum([len(piece.raw) for piece in pieces])
        for some in _steps(pieces):
            own = sum([len(piece.raw) for piece in some])
            work = partial(_take, some, births, clock_ms)
            reaction = partial(self._on_taken, count, own + declined, some, births)
            entries = sum([len(piece.items) + BIRTH_ENTRIES * (piece.start == 1) for piece in some])
            self._steps.append(CommitStep(work, reaction, entries, some))
            count, declined = 1, 0

    def _has(self, epoch: Epoch) -> bool:
        return epoch in self._role.ends or epoch in self._known

    def _admitted(self, births: Mapping[Epoch, Birth]) -> dict[Epoch, Birth]:
        """Those that may begin here, or did; the others are declined."""
        may = {epoch: epoch in self._role.ends or self._role.may_begin(birth) for epoch, birth in births.items()}
        declined = {birth.key for epoch, birth in births.items() if not may[epoch]}
        if declined - self._declined:
            self._declined |= declined
            self._role.send(Decline(tuple(sorted(self._declined)[:MAX_DECLINED])))
        return {epoch: birth for epoch, birth in births.items() if may[epoch]}

    def _on_done(self, commit: _Commit, takens: Sequence[Taken]) -> None:
        # Before anything is said: the answer to it may come inside the call.
        is_much = self._is_resting = len(self._steps) > 1 or self._steps[0].entries > STEP_ENTRIES
        done = self._steps[: len(takens)]
        is_last = len(done) == len(self._steps)
        if is_last:
            self._other.coming.clear()
            self._counted -= len(self._numbers)
        for step, taken in zip(done, takens, strict=True):
            step.reaction(taken)
        del self._steps[: len(done)]
        if is_last and self._numbers:
            self._role.send(Synced(self._numbers[-1]))
        if is_much:
            self._role.rest(commit.was_awaited, self._on_rested)
        else:
            self.go_on()

    def _on_rested(self) -> None:
        self._is_resting = False
        if self._steps:
            self._commit()
        else:
            self.go_on()

    def _on_taken(
        self, messages: int, size: int, pieces: Sequence[RawPiece], births: Mapping[Epoch, Birth], taken: Taken
    ) -> None:
        news = [piece for piece, outcome in zip(pieces, taken.outcomes, strict=True) if self._is_news(piece, outcome)]
        size -= sum([len(piece.raw) for piece in news])
        self._role.on_pieces(taken, 0 if news else messages, size)
        for piece, outcome in zip(pieces, taken.outcomes, strict=True):
            if outcome == "bad":
                self._waiting.clear()
                raise BadPeer(
                    f"a piece of epoch {piece.epoch} that begins at {piece.start} is not what its owner signed"
                )
            if outcome in ("gap", "forked") and len(self._refused) < MAX_DECLINED:
                self._refused[piece.epoch] = births[piece.epoch].key if piece.epoch in births else b""
            if outcome == "gap":
                continue
            self._other.went(piece.epoch, piece.last)
            if outcome == "mismatch":
                self._forks.mismatched(piece.epoch)
            elif outcome == "forked":
                self._forks.prove(piece.epoch)
        self.ask_again(taken.limited)

    def _is_news(self, piece: RawPiece, outcome: Outcome) -> bool:
        """Also where another link was faster: what it has, and we have, each end sends once at most."""
        return outcome == "taken" or (outcome == "known" and piece.last > self._other.sent.get(piece.epoch, 0))

    def _on_filled(self, message: Fill, taken: Taken) -> None:
        size = sum([event.size for _, event in message.events])
        self._role.on_pieces(taken, *((0, 0) if taken.changes else (1, size)))

    def _on_learned(self, message: Facts, why: Sequence[str], taken: Taken) -> None:
        if taken.outcomes:
            raise BadPeer(f"it sent a fact of the mesh that does not hold: {why[0]}")
        # Those that are new here are few in the life of a mesh; the others cost as much as messages.
        self._role.on_pieces(taken, max(0, len(message.facts) - len(taken.facts)), 0)

    def _on_proof(self, proof: Proof, taken: Taken) -> None:
        epoch = proof.birth.epoch
        if taken.outcomes:
            raise BadPeer(f"the proof that epoch {epoch} forked does not hold")
        ours = self._role.ends.get(epoch)
        if ours is not None and ours.mark != proof.mark:
            self._forks.prove(epoch)  # it is better

    def _on_compared(self, message: ShowBlocks, taken: Taken) -> None:
        if taken.outcomes:
            raise BadPeer(f"it showed a block of epoch {message.birth.epoch} that its owner did not sign")
        is_explained = message.birth.epoch in taken.proven
        self._forks.compared(message.birth.epoch, len(message.blocks), is_explained=is_explained)
        self._forks.prove(message.birth.epoch)


def _steps(pieces: Sequence[RawPiece]) -> list[list[RawPiece]]:
    """At least one step, of any number of pieces."""
    steps: list[list[RawPiece]] = [[]]
    entries = 0
    for piece in pieces:
        if len(steps[-1]) == STEP_PIECES or entries >= STEP_ENTRIES:
            steps.append([])
            entries = 0
        steps[-1].append(piece)
        entries += len(piece.items)
    return steps


class _Commit:
    """Does all steps, or the first ones if others wait for the store, or what came is bad: then nothing after it counts."""

    def __init__(self, steps: Sequence[CommitStep], is_awaited: Callable[[], bool]) -> None:
        self.was_awaited = False
        """By others."""
        self._steps = steps
        self._is_awaited = is_awaited

    def __call__(self, store: RunStore) -> list[Taken]:
        takens: list[Taken] = []
        for step in self._steps:
            takens.append(step.work(store))
            self.was_awaited = self._is_awaited()
            if self.was_awaited or "bad" in takens[-1].outcomes:
                break
        return takens


def _take(pieces: Sequence[RawPiece], births: Mapping[Epoch, Birth], clock_ms: int, store: RunStore) -> Taken:
    known = dict(births)
    for piece in pieces:
        if piece.epoch not in known:
            birth = store.birth(piece.epoch)
            assert birth is not None  # the store has told of its end
            known[piece.epoch] = birth
    return store.take([piece.piece(known[piece.epoch]) for piece in pieces], clock_ms=clock_ms)


def _hash_ahead(pieces: Sequence[RawPiece], store: RunStore) -> Sequence[Taken]:
    for piece in pieces:
        hash_ahead(piece.items)
    return ()


def _nothing(store: RunStore) -> Taken:
    return Taken()


def _nothing_follows(taken: Taken) -> None:
    pass


def _fill(message: Fill, store: RunStore) -> Taken:
    return store.fill(message.events)


def _prove(proof: Proof, store: RunStore) -> Taken:
    return store.prove(proof)


def _compare(message: ShowBlocks, store: RunStore) -> Taken:
    if not all(block.is_genuine(message.birth) for block in message.blocks):
        return Taken(outcomes=("bad",))
    return store.compare(message.birth, message.blocks)


def _meet(births: Sequence[Birth], store: RunStore) -> Taken:
    return store.meet(births)


def _follow(message: ShowWay, store: RunStore) -> Taken:
    return store.follow(message.way)


def _births_of(message: ShowWay) -> list[Birth]:
    try:
        return [Birth.decode(data) for data in message.births]
    except ValueError as error:
        raise BadPeer(f"it sent a birth that is none: {error}") from None


def _decoded(message: Prove) -> Proof:
    try:
        return Proof.decode(message.proof)
    except ValueError as error:
        raise BadPeer(f"it sent a proof that is none: {error}") from None
