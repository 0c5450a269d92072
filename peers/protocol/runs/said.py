"""What a greeting says of a store, beside its ends."""

from __future__ import annotations

from typing import NamedTuple

from peers.codec.run_messages import Span, WantedEvents, Yours, spans_of
from peers.events.dot import Epoch
from peers.events.epoch import END_BYTES, EpochEnd
from peers.events.reconcile import MAX_NEWEST
from peers.facts.fact import FactId
from peers.facts.fact_set import MeshEnd
from peers.stores.run_store import RunStore


class Said(NamedTuple):
    """What a greeting says of a store, beside its ends."""

    newest: list[Epoch]
    yours: dict[Epoch, Yours]
    hollow: WantedEvents
    hollow_spans: list[Span]
    last_position: int
    facts: MeshEnd | None
    fact_ids: tuple[FactId, ...]


def read_said(other_key: bytes | None, store: RunStore) -> Said:
    """What a greeting says to the node with that key, which may be unknown."""
    yours: dict[Epoch, Yours] = {}
    epoch = None if other_key is None else store.newest_of(other_key)
    if epoch is not None:
        seq, signature = store.signature(epoch)
        head = store.head(epoch, seq)
        if seq and head is not None:
            yours[epoch] = Yours(EpochEnd(seq, head[:END_BYTES]), head, signature)
    hollow = list(store.hollow())
    wanted = WantedEvents.of(hollow), spans_of(hollow)
    facts = store.mesh_end(), tuple([fact.id for fact in store.facts()])
    return Said(store.newest(MAX_NEWEST), yours, *wanted, store.state.last_position, *facts)


def hollow_spans(store: RunStore) -> list[Span]:
    """All hollow entries that count."""
    return spans_of(store.hollow())
