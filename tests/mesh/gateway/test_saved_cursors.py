"""SavedCursors beside a role: when it saves how far both logs are known."""

from __future__ import annotations

from typing import Any

from mesh.gateway.saved_cursors import SAVE_MS, SavedCursors
from peers.stores.runs.memory import MemoryRunStore
from tests.support.logux_pair import met_client
from tests.support.pair import HeldDisk, Stranger


def saved(client: Stranger, key: str = "server") -> tuple[int, int]:
    found: tuple[int, int] = client.log.cursors(key).get()
    return found


def client_at(mark: int, **options: Any) -> tuple[Stranger, SavedCursors]:
    """A client whose server has sent everything up to `mark` since its SavedCursors were made."""
    client = met_client(5, ping=60_000, timeout=60_000, **options)
    cursors = SavedCursors(client.role, "server")
    client.say("ping", mark)
    return client, cursors


def test_cursors_are_saved_a_while_after_they_change() -> None:
    client, _ = client_at(7)

    client.clock.advance(SAVE_MS - 1)
    before = saved(client)
    client.clock.advance(1)

    assert before == (0, 0)
    assert saved(client) == (0, 7)


def test_save_does_not_wait() -> None:
    client, cursors = client_at(7)

    cursors.save()

    assert saved(client) == (0, 7)


def test_without_a_key_nothing_is_saved_until_there_is_one() -> None:
    client, _ = client_at(7)
    cursors = SavedCursors(client.role)
    client.say("ping", 8)
    cursors.save()
    client.clock.advance(2 * SAVE_MS)

    cursors.key = "later"
    cursors.save()

    assert saved(client, "later") == (0, 8)


def test_cursors_that_the_log_has_are_not_saved_again() -> None:
    client, cursors = client_at(7)
    client.clock.advance(SAVE_MS)
    client.log.keep_cursors("server", 1, 1).get()

    cursors.save()

    assert saved(client) == (1, 1)


def test_a_slow_disk_does_not_delay_the_role() -> None:
    store = MemoryRunStore()
    disk = HeldDisk(store)
    client, _ = client_at(7, store=store, disk=disk)

    client.clock.advance(SAVE_MS)
    client.say("ping", 8)

    assert client.connected
    assert client.role.other_synced == 8
    disk.is_holding = False
    disk.release()
    assert saved(client) == (0, 7)
