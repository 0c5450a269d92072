"""MdnsDiscovery: discovery by multicast DNS service discovery (RFC 6762, RFC 6763)."""

from __future__ import annotations

import asyncio
import errno
import logging
import re
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import replace
from random import Random
from typing import Any

from zeroconf import Error, NonUniqueNameException
from zeroconf.asyncio import AsyncServiceInfo, AsyncZeroconf

from mesh.discovery.mdns import txt_record
from mesh.discovery.mdns.hearing import MdnsHearing
from mesh.discovery.mdns.interfaces import ChosenInterfaces, Interface, what_is_missing, why_none
from mesh.discovery.mdns.multicast_sockets import MulticastSockets
from mesh.discovery.mdns.network_watch import WATCH_SECONDS, NetworkWatch
from mesh.discovery.mdns.owned_tasks import OwnedTasks
from mesh.discovery.mdns.query_schedule import MIN_REQUERY_SECONDS, REQUERY_SECONDS, QuerySchedule
from mesh.discovery.mdns.scan import scan, what_is_denied
from mesh.discovery.port import Announcement, DiscoveryState, Sighting, ignore_state
from peers.clock import Clock
from peers.later import Later
from peers.limits import LimitHits, Limits

SERVICE_TYPE = "_peermesh._tcp.local."
OTHER_TTL_SECONDS = 1200
"""How long other hosts cache our name; zeroconf caches names for at least 1125 s."""
ANNOUNCE_TIMEOUT_SECONDS = 15.0
ANNOUNCE_PAUSE_SECONDS = 30.0
"""Pause before the next attempt after all names were claimed by other hosts."""
OPEN_RETRY_SECONDS = 30.0
"""Pause before the sockets are opened again after that failed, while the network does not change."""
LOG_LEVEL = logging.CRITICAL
"""Level of the `zeroconf` logger, unless it was set: it logs errors of sockets, which our DiscoveryState has too."""

LOG = logging.getLogger(__name__)

_SERVICE_TYPE = re.compile(r"_(?!-)(?!.*--)(?=[a-z0-9-]*[a-z])[a-z0-9-]{1,15}(?<!-)\._tcp\.local\.")


class MdnsDiscovery:
    """Announces one node on the LAN and reports the others. All of it runs on one asyncio loop.

    Nothing that it hears is trusted: a record that is not of a node is ignored, and a sighting is only a hint where to dial.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        clock: Clock,
        random: Random,
        *,
        interfaces: Sequence[str] | None = None,
        requery_seconds: float = REQUERY_SECONDS,
        service_type: str = SERVICE_TYPE,
        watch_seconds: float = WATCH_SECONDS,
        look: Callable[[], Sequence[Interface]] = scan,
        limits: Limits | None = None,
        hits: LimitHits | None = None,
    ) -> None:
        """`interfaces` are the addresses or names of those to use; None: all LANs of the machine. No other one is used.

        `requery_seconds` is the steady pause between two queries, `watch_seconds` that between two calls of `look`, which lists
        the interfaces of the machine. Raises ValueError for a service type that RFC 6763 does not allow, and for a
        `requery_seconds` under MIN_REQUERY_SECONDS.
        """
        if not _SERVICE_TYPE.fullmatch(service_type):
            raise ValueError(f"service type {service_type!r}: must be like {SERVICE_TYPE!r}, the name up to 15 letters")
        if not requery_seconds >= MIN_REQUERY_SECONDS:
            raise ValueError(f"requery_seconds {requery_seconds}: must be at least {MIN_REQUERY_SECONDS}")
        self._loop = loop
        self._wanted = None if interfaces is None else tuple(interfaces)
        self._type = service_type
        self._tasks = OwnedTasks(loop, LOG)
        self._clock = clock
        self._sockets = MulticastSockets(self._use, self._count_senders)
        self._hearing = MdnsHearing(
            clock,
            self._tasks,
            service_type,
            network=lambda: self._network,
            on_sighting=self._report,
            limits=limits or Limits(),
            hits=hits or LimitHits(clock),
        )
        self._requery = QuerySchedule(clock, random, self._hearing.ask_for_all, requery_seconds=requery_seconds)
        self._watch = NetworkWatch(
            clock,
            self._wanted,
            on_change=self._on_change,
            on_wake=self._on_wake,
            on_quiet=self._on_quiet,
            look=look,
            watch_seconds=watch_seconds,
        )
        self._on_sighting: Callable[[Sighting], None] | None = None
        self._announcement: Announcement | None = None
        self._network = ChosenInterfaces()
        self._has_address = asyncio.Event()
        """Set while this node listens at an address that can be announced."""
        self._on_state: Callable[[DiscoveryState], None] = ignore_state
        self._state: DiscoveryState | None = None
        self._changing = asyncio.Lock()
        self._tried_ms = 0.0
        self._zeroconf: AsyncZeroconf | None = None
        self._info: AsyncServiceInfo | None = None
        self._counter = 0
        self._started: Later[None] = Later.done(None)
        self._stopped: Later[None] | None = None

    def start(
        self,
        announcement: Announcement,
        on_sighting: Callable[[Sighting], None],
        on_state: Callable[[DiscoveryState], None] = ignore_state,
    ) -> Later[None]:
        """Open the sockets and hear other nodes. The announcement follows 1.2 s later, if no other host has claimed the name.

        Raises ValueError for an announcement that cannot be encoded, RuntimeError if it was started already.
        """
        if self._announcement is not None:
            raise RuntimeError("mDNS discovery is running already: stop it first")
        txt_record.encode(txt_record.text_of(announcement, 0))
        self._announcement = announcement
        self._on_sighting, self._on_state, self._state = on_sighting, on_state, None
        self._started = Later()
        logger = logging.getLogger("zeroconf")
        if logger.level in (logging.NOTSET, logging.WARNING):
            logger.setLevel(LOG_LEVEL)
        self._run(self._start(self._started), "starting")
        return self._started

    def requery(self) -> None:
        """Query at 0, 1, 3, 9 and 27 s from now, then steadily. Does nothing while it does not run."""
        if self._zeroconf is not None:
            self._requery.restart()

    def stop(self) -> Later[None]:
        """Withdraw the announcement (takes 0.3 s), close the sockets, cancel all tasks.

        No sighting is reported after the call. It can be started again when the result is set.
        """
        if self._announcement is None:
            return Later.done(None)
        if self._stopped is None:
            self._stopped = Later()
            self._on_sighting, self._on_state = None, ignore_state
            self.abandon()
            self._run(self._stop(self._stopped), "stopping")
        return self._stopped

    def descriptors(self) -> list[int]:
        """The file descriptors of all multicast sockets."""
        opened = self._zeroconf
        return [] if opened is None else [wrapped.sock.fileno() for wrapped in opened.zeroconf.engine.readers]

    async def _start(self, started: Later[None]) -> None:
        await self._follow(self._watch.start(), is_news=True)
        started.set()

    async def _follow(self, network: ChosenInterfaces, *, is_news: bool) -> None:
        """Move the sockets to a new network, or try again what failed on this one; then report the state."""
        async with self._changing:
            before = self._network
            self._take(network)
            if self._state is not None and not self._state.addresses <= network.own_hosts:
                # At once: the rest takes a second, and links at a removed address are dead.
                self._set_state(replace(self._state, addresses=network.own_hosts))
            trouble = ""
            try:
                if self._zeroconf is None:
                    await self._open()
                elif is_news:
                    await self._move(before)
                elif await self._sockets.repair(network):
                    self.requery()
                elif not self._count_senders():
                    return
            except Exception as error:  # noqa: BLE001 - any error of a library: discovery is off, and its state says why
                trouble = str(error) if isinstance(error, OSError | RuntimeError) else f"mDNS did not start: {error!r}"
            self._report_state(trouble)

    async def _open(self) -> None:
        self._tried_ms = self._clock.elapsed_ms()
        sockets = list(self._network.sockets)
        if not sockets:
            raise OSError(self._why_none())
        reason = ""
        try:
            self._zeroconf = AsyncZeroconf(interfaces=sockets)
        except (OSError, RuntimeError) as error:
            reason = _why_not(sockets, error)
        if self._zeroconf is None:  # not raised above: the frames of that error keep half-open sockets alive
            raise OSError(reason)
        assert self._announcement is not None
        try:
            await self._zeroconf.zeroconf.async_wait_for_start()
            await self._sockets.wait(self._network)
            self._hearing.own_names = (f"{self._label()}.{self._type}".lower(),)
            self._hearing.open(self._zeroconf, self._announcement)
        except Exception:  # not CancelledError: `stop` closes it, and a close that is cancelled half-way leaks sockets
            await self._close()
            raise
        self._requery.restart()
        self._run(self._announce(), "announcing")

    async def _move(self, before: ChosenInterfaces) -> None:
        LOG.info("mdns: network changed: now on %s", ", ".join(self._network.sockets) or "nothing")
        await self._announce_again()  # before the sockets change, or zeroconf announces the old addresses again
        await self._sockets.move(before, self._network)
        self._hearing.look_again()
        self.requery()
        if not self._network.sockets:
            raise OSError(self._why_none())
        await self._sockets.wait(self._network)

    def _report_state(self, trouble: str) -> None:
        """Report the state, if it changed."""
        missing = trouble or what_is_missing(self._network, self._wanted)
        why = "; ".join(part for part in (missing, what_is_denied()) if part)
        names = () if trouble else self._network.names
        self._set_state(DiscoveryState(not trouble, names, why, self._network.own_hosts))

    def _set_state(self, state: DiscoveryState) -> None:
        if state != self._state:
            self._state = state
            self._on_state(state)

    def _why_none(self) -> str:
        return self._watch.trouble or why_none(self._watch.network.machine, self._wanted)

    async def _stop(self, stopped: Later[None]) -> None:
        try:
            await self._tasks.cancel()
            if not self._started.is_done:
                self._started.fail(RuntimeError("mDNS discovery was stopped before it had started"))
            await self._close()
        finally:
            self._announcement = self._stopped = None
            stopped.set()

    async def _close(self) -> None:
        self._requery.stop()
        opened, self._zeroconf = self._zeroconf, None
        self._info = None
        await self._hearing.close()
        if opened is None:
            return
        try:
            await opened.async_close()
        except (OSError, Error) as error:
            LOG.info("mdns: no clean end: %s", error)
            opened.zeroconf.close()

    def abandon(self) -> None:
        """Start nothing more, and leave the sockets alone: for a forked process, which does not own them."""
        self._requery.stop()
        self._watch.stop()
        self._hearing.mute()

    async def _announce(self) -> None:
        while True:
            await self._has_address.wait()
            try:
                return await self._announce_once()
            except TimeoutError:
                LOG.warning("mdns: other hosts claim every name that we announce: trying again later")
                await asyncio.sleep(ANNOUNCE_PAUSE_SECONDS)

    async def _announce_once(self) -> None:
        assert self._zeroconf is not None and self._announcement is not None
        info = self._make_info(self._label())
        try:
            broadcast = await self._zeroconf.async_register_service(info)
        except NonUniqueNameException:
            # By another machine with our id, or by a cache that repeats our announcement: only a greeting can show which.
            LOG.info("mdns: the name of node id %s is taken here: announcing a second one", self._announcement.node_id)
            # With another host name too, or each of the two would withdraw the addresses of the other.
            info = self._make_info(f"{self._label()}-{txt_record.digest(self._announcement.instance)[:8]}")
            taken, self._hearing.own_names = self._hearing.own_names, (info.name.lower(),)
            for name in taken:  # it belongs to another node, and was ignored while it might have been ours
                self._hearing.hear(name)
            async with asyncio.timeout(ANNOUNCE_TIMEOUT_SECONDS):
                broadcast = await self._zeroconf.async_register_service(info, allow_name_change=True)
        self._tasks.adopt(asyncio.ensure_future(broadcast), "mdns: announcing")
        self._hearing.own_names += (info.name.lower(),)
        self._info = info
        if info.parsed_addresses() != list(self._network.announced):
            await self._announce_again()

    async def _announce_again(self) -> None:
        """Announce our present addresses, with a new counter that makes the announcement news to all."""
        if self._zeroconf is None or self._info is None:
            return
        self._info = self._make_info(self._info.get_name(), self._info.server)
        broadcast = await self._zeroconf.async_update_service(self._info)
        self._tasks.adopt(asyncio.ensure_future(broadcast), "mdns: announcing again")

    def _on_wake(self) -> None:
        self._run(self._announce_again(), "announcing after sleep")
        self.requery()

    def _take(self, network: ChosenInterfaces) -> None:
        assert self._announcement is not None
        self._network = replace(network, hosts=self._announcement.hosts)
        (self._has_address.set if self._network.announced else self._has_address.clear)()

    def _on_change(self, network: ChosenInterfaces) -> None:
        self._run(self._follow(network, is_news=True), "following the network")

    def _on_quiet(self) -> None:
        """The network did not change: repair what failed before."""
        if self._changing.locked():
            return
        network = self._network = replace(self._network, machine=self._watch.network.machine)
        if self._zeroconf is None:
            is_due = self._clock.elapsed_ms() - self._tried_ms >= OPEN_RETRY_SECONDS * 1000
        else:
            is_off = self._state is not None and not self._state.is_on
            is_due = not self._sockets.is_whole(network) or (is_off and bool(network.sockets))
        if is_due:
            self._run(self._follow(network, is_news=False), "repairing sockets")

    async def _use(self, addresses: list[str]) -> None:
        if self._zeroconf is not None:
            await self._zeroconf.async_update_interfaces(addresses)
            self._hearing.note_sources()

    def _count_senders(self) -> int:
        return 0 if self._zeroconf is None else len(self._zeroconf.zeroconf.engine.senders)

    def _make_info(self, label: str, server: str | None = None) -> AsyncServiceInfo:
        assert self._announcement is not None
        self._counter += 1
        return AsyncServiceInfo(
            self._type,
            f"{label}.{self._type}",
            port=self._announcement.port,
            properties=txt_record.encode(txt_record.text_of(self._announcement, self._counter)),
            server=server or f"{label}.local.",
            other_ttl=OTHER_TTL_SECONDS,
            parsed_addresses=list(self._network.announced),
        )

    def _label(self) -> str:
        """The name of our announcement: the same at each start, and not showing our node id."""
        assert self._announcement is not None
        return txt_record.digest(self._announcement.node_id)

    def _report(self, sighting: Sighting) -> None:
        if self._on_sighting is not None:
            self._on_sighting(sighting)

    def _run(self, work: Coroutine[Any, Any, None], what: str) -> asyncio.Task[None]:
        return self._tasks.start(work, f"mdns: {what}")


def _why_not(sockets: list[str], error: OSError | RuntimeError) -> str:
    if isinstance(error, OSError) and error.errno == errno.EADDRINUSE:
        return (
            "mDNS: UDP port 5353 is held by a program that does not share it; "
            "if it is avahi, disallow-other-stacks=no in avahi-daemon.conf lets it"
        )
    return f"mDNS cannot listen on {', '.join(sockets)}: {error}"
