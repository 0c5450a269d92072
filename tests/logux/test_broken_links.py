"""Links to original packages that break, fall silent, or are cut by a restart at one of their ends."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Any

import pytest
from js_peer import StartJs
from our_end import KINDS, PROTOCOLS, OurEnd, frozen, same, theirs

each = pytest.mark.parametrize("kind", KINDS)


@each
def test_loses_nothing_when_we_dial_and_restart(start_js: StartJs, kind: str, tmp_path: Path) -> None:
    server = start_js(kind, "server", node_id="server")
    url = server.listen()
    with OurEnd(path=tmp_path / "log.db") as first:
        first.dial(url, protocol=PROTOCOLS[kind], **kept_cursors(first))
        for _ in range(5):
            first.add_many(100, "ours")
            server.add_many(100, "theirs")
    server.add_many(100, "theirs")

    with OurEnd(path=tmp_path / "log.db") as second:
        second.dial(url, protocol=PROTOCOLS[kind], **kept_cursors(second))
        for round_number in range(5):
            second.add_many(100, "ours")
            if round_number:
                server.add_many(100, "theirs")
        second.wait_length(2_000)
        server.wait(length=2_000)
        second.wait_state("synchronized")

        assert same(second.rows(kind), theirs(server.log()))
        assert second.length == 2_000


def kept_cursors(ours: OurEnd) -> dict[str, Any]:
    """The options of a client that goes on where the last one stopped, and keeps where it is."""
    synced, other_synced = ours.call(lambda: ours.log.cursors("server"))

    def keep() -> None:
        role = ours.role
        ours.log.keep_cursors("server", role.synced, role.other_synced)

    ours.on_synced = keep
    return {"synced": synced, "other_synced": other_synced}


@each
def test_loses_nothing_when_the_server_restarts(start_js: StartJs, kind: str) -> None:
    first = start_js(kind, "server", node_id="server")
    url = first.listen()
    with OurEnd() as ours:
        ours.dial(url, protocol=PROTOCOLS[kind])
        for _ in range(5):
            ours.add_many(100, "ours")
            first.add_many(100, "theirs")
        if kind == "logux01":  # it would die of an acknowledgement that comes too late
            ours.until(lambda: ours.role.lag == 0)
        first.destroy()
        saved = first.save()
        first.quit()
        ours.add_many(100, "ours")
        # The ids of a 7 peer run ahead of its clock in a burst, and it forgets that when it restarts.
        second = start_js(kind, "server", node_id="server", saved=saved, clock_shift=2_000)
        second.listen(int(url.rpartition(":")[2]))
        for round_number in range(5):
            second.add_many(100, "theirs")
            if round_number:
                ours.add_many(100, "ours")
        ours.wait_length(2_000)
        second.wait(length=2_000)

        assert same(ours.rows(kind), theirs(second.log()))
        assert ours.length == 2_000


@each
def test_many_cuts_of_a_dialled_link_lose_and_double_nothing(start_js: StartJs, kind: str) -> None:
    server = start_js(kind, "server", node_id="server")
    url = server.listen()
    with OurEnd() as ours:
        client = ours.dial(url)
        for round_number in range(12):
            wait_for_the_backlog(ours, kind, 50 * round_number)
            ours.add_many(25, "ours")
            server.add_many(25, "theirs")
            ours.call(client.hang_up, "error")
        ours.wait_length(600)
        server.wait(length=600)
        ours.wait_state("synchronized")

        assert same(ours.rows(kind), theirs(server.log()))
        assert ours.length == 600
        assert not ours.errors


def wait_for_the_backlog(ours: OurEnd, kind: str, length: int) -> None:
    """Until a peer of 0.1 has sent all: as soon as a link is open, it sends what is new before its backlog. If that is
    confirmed and the link breaks, it never sends the backlog again."""
    if kind == "logux01":
        ours.wait_length(length)


@each
@pytest.mark.parametrize("who", ["ours", "theirs"])
def test_an_idle_link_to_a_server_holds(start_js: StartJs, kind: str, who: str) -> None:
    pings = {"ping": 25, "timeout": 1_000}
    server = start_js(kind, "server", node_id="server", **pings if who == "theirs" else {"timeout": 1_000})
    url = server.listen()
    with OurEnd() as ours:
        ours.dial(url, protocol=PROTOCOLS[kind], **pings if who == "ours" else {"timeout": 1_000, "ping": None})
        ours.wait_state("synchronized")
        heard = "pong" if who == "ours" else "ping"
        ours.until(lambda: len(ours.heard(heard)) >= 11)
        server.add({"type": "after"})
        ours.wait_length(1)

        assert not ours.errors
        assert len(ours.sent("connect")) == 1


@each
def test_notices_a_server_that_is_frozen(start_js: StartJs, kind: str) -> None:
    server = start_js(kind, "server", node_id="server")
    url = server.listen()
    with OurEnd() as ours:
        ours.dial(url, protocol=PROTOCOLS[kind], ping=50, timeout=200)
        ours.wait_state("synchronized")

        with frozen(server):
            ours.add({"type": "meanwhile"})
            ours.until(lambda: bool(ours.errors), timeout=2)
            ours.until(lambda: not ours.role.connected)
        server.wait(length=1)

        assert ours.errors[0].type == "timeout"
        assert not ours.errors[0].received


@each
def test_a_server_notices_that_we_are_frozen(start_js: StartJs, kind: str) -> None:
    server = start_js(kind, "server", node_id="server", ping=50, timeout=200)
    url = server.listen()
    with OurEnd() as ours:
        ours.dial(url, protocol=PROTOCOLS[kind])
        ours.wait_state("synchronized")

        ours.call(time.sleep, 0.4)
        server.wait_event("error", type="timeout")
        server.wait(connections=1)
        server.add({"type": "after"})
        ours.wait_length(1)


@each
def test_loses_nothing_when_our_door_restarts(start_js: StartJs, kind: str, tmp_path: Path) -> None:
    client = start_js(kind, "client", node_id="client", fix_time=False, min_delay=20, max_delay=100)
    with OurEnd(path=tmp_path / "log.db") as first:
        url = first.listen()
        client.connect(url)
        for _ in range(5):
            first.add_many(100, "ours")
            client.add_many(100, "theirs")
    client.add_many(100, "theirs")

    with OurEnd(path=tmp_path / "log.db") as second:
        second.listen(int(url.rpartition(":")[2]))
        for round_number in range(5):
            second.add_many(100, "ours")
            if round_number:
                client.add_many(100, "theirs")
        second.wait_length(2_000)
        client.wait(length=2_000)

        assert same(second.rows(kind), theirs(client.log()))
        assert second.length == 2_000


@each
def test_loses_nothing_when_the_client_restarts(start_js: StartJs, kind: str) -> None:
    first = start_js(kind, "client", node_id="client", fix_time=False)
    with OurEnd() as ours:
        url = ours.listen()
        first.connect(url)
        for _ in range(5):
            ours.add_many(100, "ours")
            first.add_many(100, "theirs")
        saved = first.save()
        first.kill()  # in the middle of what we send
        ours.add_many(100, "ours")
        # The ids of a 7 peer run ahead of its clock in a burst, and it forgets that when it restarts.
        second = start_js(kind, "client", node_id="client", fix_time=False, saved=saved, clock_shift=2_000)
        second.connect(url)
        for round_number in range(5):
            second.add_many(100, "theirs")
            if round_number:
                ours.add_many(100, "ours")
        ours.wait_length(2_000)
        second.wait(length=2_000)

        assert same(ours.rows(kind), theirs(second.log()))
        assert ours.length == 2_000


@each
def test_many_cuts_at_our_door_lose_and_double_nothing(start_js: StartJs, kind: str) -> None:
    # The count of messages under way in 0.1 survives a break, and holds back its last events until its timer cuts the link.
    timers = {"min_delay": 10, "max_delay": 20, "ping": 300, "timeout": 1_000}
    client = start_js(kind, "client", node_id="client", fix_time=False, **timers)
    with OurEnd() as ours:
        client.connect(ours.listen())
        ours.until(lambda: bool(ours.roles))
        for round_number in range(12):
            wait_for_the_backlog(ours, kind, 50 * round_number)
            ours.add_many(25, "ours")
            client.add_many(25, "theirs")
            ours.call(ours.role.hang_up, "error")
        ours.wait_length(600)
        client.wait(length=600)

        assert same(ours.rows(kind), theirs(client.log()))
        assert ours.length == 600
        assert not ours.errors


@each
@pytest.mark.parametrize("who", ["ours", "theirs"])
def test_an_idle_link_to_a_client_holds(start_js: StartJs, kind: str, who: str) -> None:
    pings = {"ping": 25, "timeout": 1_000}
    quiet = {"ping": 60_000, "timeout": 1_000}
    client = start_js(kind, "client", node_id="client", **pings if who == "theirs" else quiet)
    with OurEnd() as ours:
        client.connect(ours.listen(**pings if who == "ours" else quiet))
        client.wait(state="synchronized")
        heard = "pong" if who == "ours" else "ping"
        ours.until(lambda: len(ours.heard(heard)) >= 11)
        client.add({"type": "after"})
        ours.wait_length(1)

        assert not ours.errors
        assert len(ours.roles) == 1


@each
def test_notices_a_client_that_is_frozen(start_js: StartJs, kind: str) -> None:
    client = start_js(kind, "client", node_id="client", fix_time=False, min_delay=20)
    with OurEnd() as ours:
        client.connect(ours.listen(ping=50, timeout=200))
        client.wait(state="synchronized")

        with frozen(client):
            ours.add({"type": "meanwhile"})
            ours.until(lambda: bool(ours.errors) and ours.role.is_destroyed, timeout=2)
        client.wait(length=1)

        assert ours.errors[0].type == "timeout"
        assert not ours.errors[0].received


@each
def test_a_client_notices_that_we_are_frozen(start_js: StartJs, kind: str) -> None:
    client = start_js(kind, "client", node_id="client", ping=50, timeout=200, min_delay=20)
    with OurEnd() as ours:
        client.connect(ours.listen())
        client.wait(state="synchronized")

        ours.call(time.sleep, 0.4)
        client.wait_event("error", type="timeout")
        client.add({"type": "after"})
        ours.wait_length(1)


@each
def test_a_client_may_leave_while_we_think(start_js: StartJs, kind: str) -> None:
    client = start_js(kind, "client", node_id="client", fix_time=False)

    thoughts: list[str] = []

    async def think(*_: Any) -> bool:
        thoughts.append("begun")
        try:
            await asyncio.sleep(0.1)
        finally:
            thoughts.append("ended")
        return True

    with OurEnd() as ours:
        ours.add_many(3)
        client.connect(ours.listen(auth=think))
        ours.until(lambda: bool(ours.heard("connect")))
        client.disconnect()
        ours.until(lambda: ours.role.is_destroyed)
        client.add({"type": "after"})
        client.connect(ours.listen(in_filter=think, out_filter=think))
        ours.until(lambda: bool(ours.heard("sync")))
        client.disconnect()
        ours.until(lambda: ours.role.is_destroyed)
        ours.until(lambda: thoughts.count("ended") == thoughts.count("begun"))

        assert ours.length == 3
        assert not ours.errors
