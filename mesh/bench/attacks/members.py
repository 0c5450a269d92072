"""Attacks of a host that greets as nodes do: floods on its own link, ids of others, epochs and events without end."""

from __future__ import annotations

from functools import partial
from itertools import count, cycle

from mesh.bench.attacks.host import HostileHost
from mesh.bench.attacks.member import HostileIdentity, HostileLog, HostileMember, text_of
from mesh.bench.attacks.raw_socket import Opcode, frame
from peers.codec.messages import Debug, Headers, Ping, Synced
from peers.codec.run_messages import MAX_HAVE, MAX_PIECES, RunHave
from peers.events.epoch import END_BYTES, NAME_BYTES, EpochEnd
from peers.events.reconcile import PIECES, Differ, Division, Part

CLAIMED = 6
"""Messages `have` of MAX_HAVE epochs each, which no node has."""
CLONE_GREETINGS = 42
EPOCHS = 12_000
KNOWN_EVENTS = 100
WRITTEN_AT_ONCE = 500
JUNK = "x" * 200


async def haves(host: HostileHost) -> None:
    """`have` in a loop: claims of epochs that do not exist, as many in each message as nodes send."""
    names = (number.to_bytes(NAME_BYTES, "big").hex() for number in count(1))
    end = EpochEnd(1, b"x" * END_BYTES)
    frames = [text_of(RunHave({next(names): end for _ in range(MAX_HAVE)})) for _ in range(CLAIMED)]
    await host.flood(cycle(frames))


async def pings(host: HostileHost) -> None:
    """`ping` in a loop."""
    await host.flood(text_of(Ping(0)))


async def web_socket_pings(host: HostileHost) -> None:
    """Pings of WebSocket in a loop."""
    await host.flood(frame(b"x" * 100, Opcode.PING))


async def known_events(host: HostileHost) -> None:
    """The same events in a loop."""
    identity = HostileIdentity(0)
    written = HostileLog(identity).write(KNOWN_EVENTS, JUNK)
    await host.repeat(lambda member: member.bring(written), partial(host.member, identity=identity))


async def synceds(host: HostileHost) -> None:
    """`synced` in a loop."""
    await host.flood(text_of(Synced(1)))


async def debugs(host: HostileHost) -> None:
    """`debug` in a loop."""
    await host.flood(text_of(Debug("error", "x" * 100)))


async def member_headers(host: HostileHost) -> None:
    """`headers` in a loop."""
    await host.flood(text_of(Headers({f"name{number}": "x" * 100 for number in range(100)})))


async def differs(host: HostileHost) -> None:
    """`differ` in a loop."""
    division = Division(("4", "8", "c")[: PIECES - 1], b"x" * (PIECES * END_BYTES))
    await host.flood(text_of(Differ({}, (Part("", "~", division),))))


async def clones(host: HostileHost) -> None:
    """42 greetings as other nodes of the mesh, in which two runs of each alternate."""
    pairs = [
        (address, node_id)
        for at, address in enumerate(host.target.nodes)
        for of, node_id in enumerate(host.target.node_ids)
        if at != of
    ]

    async def one(number: int) -> None:
        address, node_id = pairs[number % len(pairs)]
        await host.member(address, node_id=node_id, boot=f"b{number // len(pairs) % 2}")

    for number in range(CLONE_GREETINGS):
        try:
            await one(number)
        except OSError:
            host.deeds.refused += 1
    await host.hold()


async def epochs(host: HostileHost) -> None:
    """12 000 epochs with an event each, as many in a message as nodes send, and then the same ones again."""
    identity = HostileIdentity(0)
    log = HostileLog(identity)
    messages = cycle(log.write_epochs(MAX_PIECES) for _ in range(EPOCHS // MAX_PIECES))
    await host.repeat(lambda member: member.bring(next(messages)), partial(host.member, identity=identity))


async def writer(host: HostileHost) -> None:
    """Events without end."""
    identity = HostileIdentity(0)
    logs: dict[HostileMember, HostileLog] = {}

    async def send(member: HostileMember) -> None:
        log = logs.get(member) or logs.setdefault(member, HostileLog(identity))  # another link begins with a new epoch
        await member.bring(log.write(WRITTEN_AT_ONCE, JUNK))

    await host.repeat(send, partial(host.member, identity=identity))
