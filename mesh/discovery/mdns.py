"""Discovery by multicast DNS service discovery (RFC 6762, RFC 6763)."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import hashlib
import itertools
import logging
import re
from collections.abc import Callable, Coroutine, Sequence
from random import Random
from typing import Any

from zeroconf import (  # type: ignore[attr-defined]  # two are public without saying so
    BadTypeInNameException,
    DNSOutgoing,
    DNSQuestion,
    DNSQuestionType,
    Error,
    NonUniqueNameException,
    ServiceStateChange,
    current_time_millis,
)
from zeroconf.asyncio import AsyncServiceBrowser, AsyncServiceInfo, AsyncZeroconf

from mesh.discovery import txt
from mesh.discovery.candidates import candidates
from mesh.discovery.discovery import Announcement, Sighting
from mesh.discovery.instances import INSTANCE_LIMIT, Instances, Reading
from mesh.discovery.interfaces import Network, scan, why_none
from mesh.discovery.network_watch import WATCH_SECONDS, NetworkWatch
from mesh.discovery.owned_tasks import OwnedTasks
from mesh.discovery.requery import Requery
from mesh.discovery.sockets import Sockets
from peers.clock import Clock, Undo
from peers.later import Later

SERVICE_TYPE = "_peermesh._tcp.local."
REQUERY_SECONDS = 45.0
MIN_REQUERY_SECONDS = 0.5
OTHER_TTL_SECONDS = 1200
"""How long others keep our name without hearing from us; zeroconf keeps names for 1125 s at the least."""
ASK_TIMEOUT_MS = 3000
ASK_ATTEMPTS = 2
ASKING_LIMIT = 16
"""How many announcements are asked for missing records at once."""
ANNOUNCE_TIMEOUT_SECONDS = 15.0
ANNOUNCE_PAUSE_SECONDS = 30.0
"""Pause before a name that somebody denies us is tried again."""
LOG_LEVEL = logging.ERROR
"""Of the `zeroconf` logger, unless it was set: below are tracebacks of sockets whose network went away."""

LOG = logging.getLogger(__name__)

_SERVICE_TYPE = re.compile(r"_(?!-)(?!.*--)(?=[a-z0-9-]*[a-z])[a-z0-9-]{1,15}(?<!-)\._tcp\.local\.")
_TYPE_PTR, _CLASS_IN = 12, 1
_NOT_FOR_US = Reading(None)


class MdnsDiscovery:
    """Announces one node on the LAN and reports the others; all of it runs on one asyncio loop.

    Nothing heard is trusted: a record that is not a node's is ignored, a sighting is a hint where to dial.
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
    ) -> None:
        """`interfaces` are addresses or names; nothing is ever sent on another one. None: all LANs of the machine.

        Raises ValueError for a service type that RFC 6763 does not allow and for a `requery_seconds` under 0.5.
        """
        if not _SERVICE_TYPE.fullmatch(service_type):
            raise ValueError(f"service type {service_type!r}: must be like {SERVICE_TYPE!r}, the name up to 15 letters")
        if not requery_seconds >= MIN_REQUERY_SECONDS:
            raise ValueError(f"requery_seconds {requery_seconds}: must be at least {MIN_REQUERY_SECONDS}")
        self._loop = loop
        self._wanted = None if interfaces is None else tuple(interfaces)
        self._type = service_type
        self._tasks = OwnedTasks(loop, LOG)
        self._asking = asyncio.Semaphore(ASKING_LIMIT)
        self._sockets = Sockets(self._use, self._count_senders)
        self._requery = Requery(clock, random, self._send_query, requery_seconds=requery_seconds)
        self._watch = NetworkWatch(
            clock,
            self._wanted,
            on_change=self._on_change,
            on_wake=self._on_wake,
            on_quiet=self._on_quiet,
            watch_seconds=watch_seconds,
        )
        self._instances = Instances(clock, read=self._read, ask=self._ask, on_sighting=self._report)
        self._on_sighting: Callable[[Sighting], None] | None = None
        self._announcement: Announcement | None = None
        self._network = Network()
        self._zeroconf: AsyncZeroconf | None = None
        self._browser: AsyncServiceBrowser | None = None
        self._info: AsyncServiceInfo | None = None
        self._own_names: tuple[str, ...] = ()
        self._counter = 0
        self._started: Later[None] = Later.done(None)
        self._stopped: Later[None] | None = None

    def start(self, announcement: Announcement, on_sighting: Callable[[Sighting], None]) -> Later[None]:
        """Open the sockets, then listen; the announcement is out 1.2 s later, once nobody has claimed the name.

        Raises ValueError for an announcement that cannot be written, RuntimeError when started twice.
        """
        if self._announcement is not None:
            raise RuntimeError("mDNS discovery is running already: stop it first")
        txt.encode(_text(announcement, 0))
        self._announcement = announcement
        self._on_sighting = on_sighting
        self._started = Later()
        self._run(self._start(self._started), "starting")
        return self._started

    def requery(self) -> None:
        """Ask at 0, 1, 3, 9 and 27 s from now, then steadily; nothing while it is not running."""
        if self._browser is not None:
            self._requery.restart()

    def stop(self) -> Later[None]:
        """Say goodbye (0.3 s), close the sockets, cancel all tasks. No sighting comes after the call; a start may."""
        if self._announcement is None:
            return Later.done(None)
        if self._stopped is None:
            self._stopped = Later()
            self._on_sighting = None
            self._stop_timers()
            self._run(self._stop(self._stopped), "stopping")
        return self._stopped

    # Opening and closing.

    async def _start(self, started: Later[None]) -> None:
        try:
            await self._open()
        except (OSError, RuntimeError, Error) as error:
            await self._close()
            self._announcement = None
            started.fail(
                error if isinstance(error, OSError | RuntimeError) else OSError(f"mDNS did not start: {error!r}")
            )
        else:
            started.set()

    async def _open(self) -> None:
        self._network = self._watch.start()
        sockets = list(self._network.sockets)
        if not sockets:
            raise OSError(why_none(scan(), self._wanted))
        logger = logging.getLogger("zeroconf")
        if logger.level in (logging.NOTSET, logging.WARNING):
            logger.setLevel(LOG_LEVEL)
        reason = ""
        try:
            self._zeroconf = AsyncZeroconf(interfaces=sockets)
        except (OSError, RuntimeError) as error:
            reason = _why_not(sockets, error)
        if self._zeroconf is None:  # raised out here: the frames of the other error keep half-open sockets
            raise OSError(reason)
        await self._zeroconf.zeroconf.async_wait_for_start()
        await self._sockets.wait(self._network)
        self._own_names = (f"{self._label()}.{self._type}".lower(),)
        self._browser = AsyncServiceBrowser(
            self._zeroconf.zeroconf,
            self._type,
            handlers=[self._on_service],
            question_type=DNSQuestionType.QM,  # an answer to one would reach just any of the processes of a host
        )
        self._requery.restart()
        self._run(self._announce(), "announcing")

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
        self._stop_timers()
        browser, self._browser = self._browser, None
        opened, self._zeroconf = self._zeroconf, None
        self._info = None
        if browser is not None:
            await browser.async_cancel()
        if opened is None:
            return
        try:
            await opened.async_close()
        except (OSError, Error) as error:
            LOG.info("mdns: no clean end: %s", error)
            opened.zeroconf.close()

    def _stop_timers(self) -> None:
        self._requery.stop()
        self._watch.stop()
        self._instances.clear()

    # Announcing ourselves.

    async def _announce(self) -> None:
        while True:
            try:
                return await self._announce_once()
            except TimeoutError:
                LOG.warning("mdns: every name that we announce is claimed by somebody at once: trying again later")
                await asyncio.sleep(ANNOUNCE_PAUSE_SECONDS)

    async def _announce_once(self) -> None:
        assert self._zeroconf is not None and self._announcement is not None
        info = self._make_info(self._label())
        try:
            broadcast = await self._zeroconf.async_register_service(info)
        except NonUniqueNameException:
            # By another machine with our id, or by a cache that repeats an announcement of ours: a greeting will tell.
            LOG.info("mdns: the name of node id %s is taken here: announcing a second one", self._announcement.node_id)
            # A host name of its own too, or each of the two would withdraw the other's addresses.
            info = self._make_info(f"{self._label()}-{_digest(self._announcement.instance)[:8]}")
            taken, self._own_names = self._own_names, (info.name.lower(),)
            for name in taken:  # it is another one's, and was passed over while it might have been ours
                self._instances.heard(name)
            async with asyncio.timeout(ANNOUNCE_TIMEOUT_SECONDS):
                broadcast = await self._zeroconf.async_register_service(info, allow_name_change=True)
        self._tasks.adopt(asyncio.ensure_future(broadcast), "mdns: announcing")
        self._own_names += (info.name.lower(),)
        self._info = info
        if info.parsed_addresses() != list(self._network.announced):
            await self._announce_again()

    async def _announce_again(self) -> None:
        """With our present addresses, and a counter that makes it news to everybody."""
        if self._zeroconf is None or self._info is None:
            return
        self._info = self._make_info(self._info.get_name(), self._info.server)
        broadcast = await self._zeroconf.async_update_service(self._info)
        self._tasks.adopt(asyncio.ensure_future(broadcast), "mdns: announcing again")

    def _on_wake(self) -> None:
        self._run(self._announce_again(), "announcing after sleep")
        self.requery()

    def _on_change(self, network: Network) -> None:
        self._run(self._adapt(network), "following the network")

    async def _adapt(self, network: Network) -> None:
        LOG.info("mdns: network changed: now on %s", ", ".join(network.sockets) or "nothing")
        before, self._network = self._network, network
        await self._announce_again()  # before the sockets change: or zeroconf announces the old addresses again
        await self._sockets.move(before, network)
        self.requery()

    def _on_quiet(self) -> None:
        if self._zeroconf is not None and not self._sockets.is_whole(self._network):
            self._run(self._repair(), "repairing sockets")

    async def _repair(self) -> None:
        if await self._sockets.repair(self._network):
            self.requery()

    async def _use(self, addresses: list[str]) -> None:
        if self._zeroconf is not None:
            await self._zeroconf.async_update_interfaces(addresses)

    def _count_senders(self) -> int:
        return 0 if self._zeroconf is None else len(self._zeroconf.zeroconf.engine.senders)

    def _make_info(self, label: str, server: str | None = None) -> AsyncServiceInfo:
        assert self._announcement is not None
        self._counter += 1
        return AsyncServiceInfo(
            self._type,
            f"{label}.{self._type}",
            port=self._announcement.port,
            properties=txt.encode(_text(self._announcement, self._counter)),
            server=server or f"{label}.local.",
            other_ttl=OTHER_TTL_SECONDS,
            parsed_addresses=list(self._network.announced),
        )

    def _label(self) -> str:
        """The name others see before they read our node id: stable, and telling strangers nothing."""
        assert self._announcement is not None
        return _digest(self._announcement.node_id)

    # Hearing of others.

    def _send_query(self) -> None:
        """Ask who is there, naming those we know: only the others answer, and everybody hears the answer."""
        self._instances.ask_again()
        if self._zeroconf is None:
            return
        zeroconf = self._zeroconf.zeroconf
        now = current_time_millis()
        query = DNSOutgoing(0)
        query.add_question(DNSQuestion(self._type, _TYPE_PTR, _CLASS_IN))
        known = zeroconf.cache.get_all_by_details(self._type, _TYPE_PTR, _CLASS_IN)
        fresh = (record for record in known if not record.is_stale(now))
        for record in itertools.islice(fresh, INSTANCE_LIMIT):
            query.add_answer_at_time(record, now)
        try:
            zeroconf.async_send(query)
        except (OSError, Error) as error:
            LOG.debug("mdns: query not sent: %s", error)

    def _on_service(self, *, name: str, state_change: ServiceStateChange, **_: Any) -> None:
        """Called by zeroconf, which would jam for ever if anything was raised here."""
        try:
            if self._on_sighting is None or name.lower() in self._own_names:
                return
            if state_change is ServiceStateChange.Removed:
                self._instances.gone(name.lower())
            else:
                self._instances.heard(name.lower())
        except Exception:  # whatever it is: it ends here
            LOG.exception("mdns: a reaction to %r failed", name[:80])

    def _read(self, name: str) -> Reading | None:
        """What the cache holds of an announcement; None while something of it is missing."""
        if self._zeroconf is None or self._announcement is None:
            return _NOT_FOR_US
        with contextlib.suppress(BadTypeInNameException):
            info = AsyncServiceInfo(self._type, name)
            return self._judge(info) if info.load_from_cache(self._zeroconf.zeroconf) else None
        return _NOT_FOR_US

    def _judge(self, info: AsyncServiceInfo) -> Reading:
        own = self._announcement
        text = txt.decode(info.text or b"")
        if own is None or text is None:
            return _NOT_FOR_US
        if text.node_id == own.node_id and text.instance == own.instance:
            return _NOT_FOR_US
        addresses = candidates(
            info.parsed_scoped_addresses(), info.port or 0, own=self._network.addresses, own_port=own.port
        )
        other_mesh = "" if text.mesh == own.mesh else text.mesh
        return Reading(Sighting(text.node_id, text.instance, addresses, other_mesh=other_mesh), text.counter)

    def _report(self, sighting: Sighting) -> None:
        if self._on_sighting is not None:
            self._on_sighting(sighting)

    def _ask(self, name: str) -> Undo:
        task = self._run(self._resolve(name), "asking for records")

        def undo() -> None:
            task.cancel()

        return undo

    async def _resolve(self, name: str) -> None:
        async with self._asking:
            for _ in range(ASK_ATTEMPTS):
                if self._zeroconf is None:
                    return
                info = AsyncServiceInfo(self._type, name)
                if await info.async_request(self._zeroconf.zeroconf, ASK_TIMEOUT_MS, DNSQuestionType.QM):
                    self._instances.answered(name)
                    return
        self._instances.unanswered(name)

    def _run(self, work: Coroutine[Any, Any, None], what: str) -> asyncio.Task[None]:
        return self._tasks.start(work, f"mdns: {what}")


def _text(announcement: Announcement, counter: int) -> txt.TextRecord:
    return txt.TextRecord(announcement.node_id, announcement.mesh, announcement.instance, counter)


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:20]


def _why_not(sockets: list[str], error: OSError | RuntimeError) -> str:
    if isinstance(error, OSError) and error.errno == errno.EADDRINUSE:
        return (
            "mDNS: UDP port 5353 is held by a program that does not share it; "
            "if it is avahi, disallow-other-stacks=no in avahi-daemon.conf lets it"
        )
    return f"mDNS cannot listen on {', '.join(sockets)}: {error}"
