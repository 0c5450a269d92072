"""Two nodes that really talk mDNS, on loopback and under a service type of their own: other programs are heard too."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Awaitable, Callable, Coroutine
from random import Random
from typing import Any

import pytest
from zeroconf.asyncio import AsyncServiceInfo, AsyncZeroconf

from mesh.discovery.mdns import txt_record
from mesh.discovery.mdns.interfaces import Interface
from mesh.discovery.mdns.mdns import SERVICE_TYPE, MdnsDiscovery
from mesh.discovery.port import Announcement, DiscoveryState, Sighting, ignore_state
from peers.clock import LoopClock
from peers.later import Later
from peers.transport.sockets import EVERY_HOST
from tests.support.mdns_parts import ATTIC, KITCHEN, LO, card, entries


def test_the_service_type_is_one_that_every_mdns_browser_accepts() -> None:
    name = SERVICE_TYPE.removesuffix("._tcp.local.")

    assert name.startswith("_")
    assert len(name) - 1 <= 15


@pytest.mark.parametrize(
    "service_type",
    [
        "_a_b._tcp.local.",
        "_abcdefghijklmnop._tcp.local.",
        "_x._tcp.local",
        "_1._tcp.local.",
        "_a--b._tcp.local.",
        "_-a._tcp.local.",
    ],
)
def test_refuses_the_service_type(service_type: str) -> None:
    with pytest.raises(ValueError, match="service type"):
        run(lambda: asyncio.sleep(0, MdnsDiscovery(*parts(), service_type=service_type)))


ANY_LOOPBACK = {"interfaces": ["127.0.0.1", "127.0.0.2"], "watch_seconds": 0.05}


def run(test: Callable[[], Coroutine[Any, Any, Any]]) -> None:
    """Run a coroutine in asyncio's debug mode; no task of it may be left."""

    async def check() -> None:
        async with asyncio.timeout(20):
            await test()
        await asyncio.sleep(0)
        left = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        assert left == []

    asyncio.run(check(), debug=True)


def parts() -> tuple[asyncio.AbstractEventLoop, LoopClock, Random]:
    loop = asyncio.get_running_loop()
    return loop, LoopClock(loop), Random(1)


class Loopback:
    """Nodes of one service type on 127.0.0.1, and what each of them saw."""

    def __init__(self) -> None:
        self.service_type = f"_t{secrets.token_hex(6)}._tcp.local."
        self.seen: dict[str, list[Sighting]] = {}
        self.running: list[MdnsDiscovery] = []
        self.other_programs: list[AsyncZeroconf] = []
        self.broadcasts: list[Awaitable[Any]] = []

    async def start(
        self,
        node_id: str,
        *,
        mesh: str = "m",
        instance: str = "run-1",
        port: int = 4000,
        hosts: tuple[str, ...] = EVERY_HOST,
        hear: Callable[[Sighting], object] = lambda _: None,
        on_state: Callable[[DiscoveryState], None] = ignore_state,
        **options: Any,
    ) -> MdnsDiscovery:
        """Start a node; `hear` is called with each of its sightings, `options` are those of MdnsDiscovery."""
        options = {"interfaces": ["127.0.0.1"], "service_type": self.service_type, **options}
        node = MdnsDiscovery(*parts(), **options)
        seen = self.seen.setdefault(node_id, [])

        def on_sighting(each: Sighting) -> None:
            seen.append(each)
            hear(each)

        await node.start(Announcement(node_id, mesh, instance, port, hosts), on_sighting, on_state)
        self.running.append(node)
        return node

    async def register(self, label: str, raw: bytes, *, port: int = 4001) -> AsyncZeroconf:
        """Announce a node as any program on the LAN can: at once, without a check of the name."""
        other_program = AsyncZeroconf(interfaces=["127.0.0.1"])
        self.other_programs.append(other_program)
        info = self.info(label, raw, port)
        self.broadcasts.append(await other_program.async_register_service(info, cooperating_responders=True))
        return other_program

    def info(self, label: str, raw: bytes, port: int = 4001) -> AsyncServiceInfo:
        return AsyncServiceInfo(
            self.service_type,
            f"{label}.{self.service_type}",
            port=port,
            properties=raw,
            server=f"{label}.local.",
            parsed_addresses=["127.0.0.1"],
        )

    async def until(self, node_id: str, *wanted: Sighting) -> None:
        """Wait until the last sightings of a node are these."""
        deadline = time.monotonic() + 5
        while self.seen[node_id][-len(wanted) :] != list(wanted):
            assert time.monotonic() < deadline, self.seen[node_id]
            await asyncio.sleep(0.01)

    async def until_seen(self, node_id: str, *wanted: Sighting) -> None:
        """Wait until a node has seen these, in any order."""
        deadline = time.monotonic() + 5
        while not all(each in self.seen[node_id] for each in wanted):
            assert time.monotonic() < deadline, self.seen[node_id]
            await asyncio.sleep(0.01)

    async def until_dials(self, node_id: str, address: str) -> None:
        """Wait until the last sighting of a node has this address first."""
        deadline = time.monotonic() + 5
        while self.seen[node_id][-1].addresses[0] != address:
            assert time.monotonic() < deadline, self.seen[node_id]
            await asyncio.sleep(0.01)

    async def __aenter__(self) -> Loopback:
        return self

    async def __aexit__(self, *_: object) -> None:
        ends = [until_done(node.stop()) for node in self.running]
        await asyncio.gather(*self.broadcasts)
        await asyncio.gather(*ends, *(other_program.async_close() for other_program in self.other_programs))


def sighting(node_id: str, port: int, *, instance: str = "run-1", **more: Any) -> Sighting:
    return Sighting(node_id, instance, (f"127.0.0.1:{port}",), **more)


def test_two_nodes_see_each_other_and_not_themselves() -> None:
    async def test() -> None:
        async with Loopback() as lan:
            await lan.start(KITCHEN, port=4000)
            await lan.start(ATTIC, port=4001)

            await lan.until(KITCHEN, sighting(ATTIC, 4001))
            await lan.until(ATTIC, sighting(KITCHEN, 4000))

        assert {each.node_id for each in lan.seen[KITCHEN]} == {ATTIC}
        assert {each.node_id for each in lan.seen[ATTIC]} == {KITCHEN}

    run(test)


def test_marks_nodes_of_other_meshes_and_reports_copies_of_itself() -> None:
    async def test() -> None:
        async with Loopback() as lan:
            await lan.start(KITCHEN)
            await lan.register("cellar", txt_record.encode(txt_record.TextRecord("cellar~1", "another", "run-1")))
            await lan.register("copy", txt_record.encode(txt_record.TextRecord(KITCHEN, "m", "run-2")))
            await lan.register("attic", txt_record.encode(txt_record.TextRecord(ATTIC, "m", "run-1")))

            other_program = sighting("cellar~1", 4001, other_mesh="another")
            await lan.until_seen(
                KITCHEN, sighting(ATTIC, 4001), sighting(KITCHEN, 4001, instance="run-2"), other_program
            )

        seen = {(each.node_id, each.instance) for each in lan.seen[KITCHEN]}
        assert seen == {(ATTIC, "run-1"), (KITCHEN, "run-2"), ("cellar~1", "run-1")}

    run(test)


def test_sees_a_restart_and_a_goodbye() -> None:
    async def test() -> None:
        async with Loopback() as lan:
            await lan.start(KITCHEN)
            attic = await lan.register("attic", txt_record.encode(txt_record.TextRecord(ATTIC, "m", "run-1", 1)))
            await lan.until(KITCHEN, sighting(ATTIC, 4001))

            restarted = lan.info("attic", txt_record.encode(txt_record.TextRecord(ATTIC, "m", "run-2", 1)))
            lan.broadcasts.append(await attic.async_update_service(restarted))
            await lan.until(KITCHEN, sighting(ATTIC, 4001, instance="run-2"))
            await attic.async_close()

            await lan.until(KITCHEN, sighting(ATTIC, 4001, instance="run-2", is_goodbye=True))

    run(test)


def test_sees_a_node_that_stopped_and_came_back_at_once() -> None:
    async def test() -> None:
        async with Loopback() as lan:
            await lan.start(KITCHEN)
            attic = await lan.start(ATTIC, port=4001)
            await lan.until(KITCHEN, sighting(ATTIC, 4001))

            await attic.stop()
            await lan.until(KITCHEN, sighting(ATTIC, 4001, is_goodbye=True))
            await attic.start(Announcement(ATTIC, "m", "run-2", 4001), lan.seen[ATTIC].append)

            await lan.until(KITCHEN, sighting(ATTIC, 4001, instance="run-2"))

    run(test)


def test_malformed_announcements_are_ignored() -> None:
    good = txt_record.encode(txt_record.TextRecord(ATTIC, "m", "run-1"))
    hostile = [
        b"",
        b"\xff",
        b"\x00" * 50,
        entries(b"v=1", b"c=m"),
        good[:-1],
        entries(b"v=1", b"id=" + b"x" * 200),
        good + b"\x05x=y",
    ]

    async def test() -> None:
        async with Loopback() as lan:
            await lan.start(KITCHEN)
            for number, raw in enumerate(hostile):
                await lan.register(f"hostile {number} \u2620 . {number}", raw)
            await lan.register("no port", good, port=0)
            await lan.register("attic", txt_record.encode(txt_record.TextRecord(ATTIC, "m", "run-1")))

            await lan.until(KITCHEN, sighting(ATTIC, 4001))

        assert set(lan.seen[KITCHEN]) == {sighting(ATTIC, 4001)}

    run(test)


def test_a_node_id_that_is_in_use_is_announced_under_another_name(caplog: pytest.LogCaptureFixture) -> None:
    async def test() -> None:
        async with Loopback() as lan:
            await lan.start(KITCHEN, instance="run-1", port=4000)
            await lan.start(ATTIC, port=4002)
            await lan.until(ATTIC, sighting(KITCHEN, 4000))
            await lan.start(KITCHEN, instance="copy", port=4001)

            await lan.until(ATTIC, sighting(KITCHEN, 4001, instance="copy"))
            await lan.until_seen(KITCHEN, sighting(KITCHEN, 4001, instance="copy"), sighting(KITCHEN, 4000))

    run(test)

    assert caplog.text == ""  # a cache that repeats an announcement looks the same: only a greeting shows which it is


def test_a_callback_that_fails_does_not_stop_discovery() -> None:
    async def test() -> None:
        errors: list[dict[str, Any]] = []
        asyncio.get_running_loop().set_exception_handler(lambda _, context: errors.append(context))
        async with Loopback() as lan:
            await lan.start(KITCHEN, hear=lambda _: 1 / 0)
            await lan.register("one", txt_record.encode(txt_record.TextRecord("one", "m", "run-1")))
            await lan.until(KITCHEN, sighting("one", 4001))
            await lan.register("two", txt_record.encode(txt_record.TextRecord("two", "m", "run-1")))

            await lan.until(KITCHEN, sighting("two", 4001))

        assert [type(context["exception"]) for context in errors[:2]] == [ZeroDivisionError, ZeroDivisionError]

    run(test)


def test_reports_why_it_cannot_work_and_can_be_started_again() -> None:
    async def test() -> None:
        node = MdnsDiscovery(*parts(), interfaces=["203.0.113.9"])

        for _ in range(2):
            states: list[DiscoveryState] = []
            await node.start(Announcement(KITCHEN, "m", "run-1", 4000), pytest.fail, states.append)
            await node.stop()
            (state,) = states
            assert not state.is_on
            assert "nothing like 203.0.113.9 is up on this machine (found: lo" in state.why

    run(test)


def test_starts_when_its_interface_comes_up_and_reports_each_change_once() -> None:
    async def test() -> None:
        states: list[DiscoveryState] = []
        async with Loopback() as lan:
            there: list[Interface] = []
            await lan.start(ATTIC, port=4001, on_state=states.append, look=lambda: tuple(there), watch_seconds=0.05)
            await lan.start(KITCHEN)
            await asyncio.sleep(0.2)  # some looks that find nothing new

            there.append(LO)

            await lan.until(KITCHEN, sighting(ATTIC, 4001))

        assert [(state.is_on, state.interfaces) for state in states] == [(False, ()), (True, ("lo",))]

    run(test)


@pytest.mark.parametrize("turns", [0, 1, 2, 5, 20])
def test_a_stop_during_the_start_leaves_no_task(turns: int) -> None:
    async def test() -> None:
        lan = Loopback()
        node = MdnsDiscovery(*parts(), interfaces=["127.0.0.1"], service_type=lan.service_type)
        started = node.start(Announcement(KITCHEN, "m", "run-1", 4000), pytest.fail)
        for _ in range(turns):
            await asyncio.sleep(0)

        await asyncio.gather(until_done(node.stop()), until_done(node.stop()))

        assert started.is_done
        await node.stop()

    run(test)


async def until_done(later: Later[None]) -> None:
    await later


def test_follows_the_network_onto_other_addresses() -> None:
    """127.0.0.2 stands for the address after a move."""

    async def test() -> None:
        async with Loopback() as lan:
            await lan.start(KITCHEN)
            there = [card("lo", 1, "127.0.0.1/8")]
            await lan.start(ATTIC, port=4001, look=lambda: tuple(there), **ANY_LOOPBACK)
            await lan.until(KITCHEN, sighting(ATTIC, 4001))

            there.clear()
            await asyncio.sleep(0.2)
            there.append(card("lo", 1, "127.0.0.2/8"))

            await lan.until_dials(KITCHEN, "127.0.0.2:4001")
            cellar = await lan.register("cellar", txt_record.encode(txt_record.TextRecord("cellar", "m", "run-1")))
            await lan.until(ATTIC, Sighting("cellar", "run-1", ("127.0.0.1:4001",)))
            await cellar.async_close()

    run(test)


def test_a_node_without_an_address_to_announce_hears_others_and_is_announced_when_it_has_one() -> None:
    """It listens at 127.0.0.2."""

    async def test() -> None:
        async with Loopback() as lan:
            await lan.start(KITCHEN)
            there = [card("lo", 1, "127.0.0.1/8")]
            await lan.start(ATTIC, port=4001, hosts=("127.0.0.2",), look=lambda: tuple(there), **ANY_LOOPBACK)
            await lan.until(ATTIC, sighting(KITCHEN, 4000))
            await asyncio.sleep(0.1)
            assert lan.seen[KITCHEN] == []

            there[0] = card("lo", 1, "127.0.0.1/8", "127.0.0.2/8")

            await lan.until(KITCHEN, Sighting(ATTIC, "run-1", ("127.0.0.2:4001",)))

    run(test)
