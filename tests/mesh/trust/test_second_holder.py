"""What comes from others under a node's own key: lost events of its own, or those of a second machine."""

from __future__ import annotations

import pytest

from mesh.trust.second_holder import SecondHolder
from peers.events.entry import Entry
from peers.log.run_log import RunCommit
from peers.stores.runs.memory import MemoryRunStore
from peers.stores.taken import Taken
from tests.support.run_house import Writer, put

START_MS = 1_000
NODE, USER = "kitchen~a", "ada"


def written(ms: int, who: str, writer: Writer) -> Taken:
    """What a machine with this key writes, in an epoch of its own."""
    store = MemoryRunStore()
    store.open()
    return put(store, writer, Entry((ms, who, 0), ms, b'{"type":"a"}', b""))


@pytest.mark.parametrize(
    ("ms", "who", "writer", "is_said"),
    [
        (START_MS + 1, NODE, Writer(1), True),
        (START_MS, NODE, Writer(1), False),
        (START_MS + 1, USER, Writer(1), False),
        (START_MS + 1, NODE, Writer(2), False),
    ],
    ids=["a second machine", "lost before this start", "of a client, with its clock", "another key"],
)
def test_events_under_our_key_that_were_written_since_our_start_are_those_of_a_second_machine(
    ms: int, who: str, writer: Writer, *, is_said: bool
) -> None:
    said: list[bool] = []
    holder = SecondHolder(Writer(1).signer.public, NODE, START_MS, lambda: "0" * 32, lambda: said.append(True))

    for _ in range(2):
        holder.on_commit(RunCommit(taken=written(ms, who, writer)))

    assert said == [True] * is_said


def test_what_a_node_writes_itself_is_no_second_machine() -> None:
    said: list[bool] = []
    own = written(START_MS + 1, NODE, Writer(1))
    (epoch,) = own.ends
    epochs = [epoch, "0" * 32]
    holder = SecondHolder(Writer(1).signer.public, NODE, START_MS, lambda: epochs.pop(0), lambda: said.append(True))

    for _ in range(2):  # a new epoch was begun meanwhile
        holder.on_commit(RunCommit(taken=own))

    assert said == []
