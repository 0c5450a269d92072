"""Hearing other nodes by mDNS: reads announcements from the cache of zeroconf, and notes from which address they came."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import logging
from collections.abc import Callable
from typing import Any, cast

from zeroconf import (  # type: ignore[attr-defined]  # two are public without saying so
    BadTypeInNameException,
    DNSOutgoing,
    DNSQuestion,
    DNSQuestionType,
    Error,
    ServiceStateChange,
    current_time_millis,
)
from zeroconf.asyncio import AsyncServiceBrowser, AsyncServiceInfo, AsyncZeroconf

from mesh.discovery.mdns import txt_record
from mesh.discovery.mdns.candidates import candidates
from mesh.discovery.mdns.instances import InstanceReading, Instances
from mesh.discovery.mdns.interfaces import ChosenInterfaces
from mesh.discovery.mdns.owned_tasks import OwnedTasks
from mesh.discovery.port import Announcement, Sighting
from peers.clock import Clock, Undo
from peers.limits import LimitHits, Limits

ASK_TIMEOUT_MS = 3000
ASK_ATTEMPTS = 2
ASKING_LIMIT = 16
"""Announcements whose missing records are queried at the same time."""

LOG = logging.getLogger(__name__)

_TYPE_PTR, _CLASS_IN = 12, 1
_NOT_FOR_US = InstanceReading(None)


class MdnsHearing:
    """Reports every node that is announced, from `open` to `close`."""

    def __init__(
        self,
        clock: Clock,
        tasks: OwnedTasks,
        service_type: str,
        *,
        network: Callable[[], ChosenInterfaces],
        on_sighting: Callable[[Sighting], None],
        limits: Limits,
        hits: LimitHits,
    ) -> None:
        """`network` returns the interfaces that are used now."""
        self.own_names: tuple[str, ...] = ()
        """The names of our own announcement, in lower case: they are ignored."""
        self._tasks = tasks
        self._type = service_type
        self._network = network
        self._limits = limits
        self._instances = Instances(
            clock, read=self._read, ask=self._ask, on_sighting=on_sighting, limits=limits, hits=hits
        )
        self._asking = asyncio.Semaphore(ASKING_LIMIT)
        self._own: Announcement | None = None
        self._zeroconf: AsyncZeroconf | None = None
        self._browser: AsyncServiceBrowser | None = None
        self._source = ""
        """The source address of the packet that zeroconf reads now."""

    def open(self, zeroconf: AsyncZeroconf, own: Announcement) -> None:
        """Hear announcements with `zeroconf` from now on; `own` is our announcement."""
        self._zeroconf, self._own = zeroconf, own
        self.note_sources()
        self._browser = AsyncServiceBrowser(
            zeroconf.zeroconf,
            self._type,
            handlers=[self._on_service],
            question_type=DNSQuestionType.QM,  # a unicast answer would reach only one of the processes of a host
        )

    async def close(self) -> None:
        """Stop hearing, and forget all announcements without reporting that."""
        browser, self._browser = self._browser, None
        self._zeroconf = None
        self.mute()
        if browser is not None:
            await browser.async_cancel()

    def mute(self) -> None:
        """Forget all announcements, and report nothing until the next `open`."""
        self._own = None
        self._instances.clear()

    def note_sources(self) -> None:
        """Record the source of every packet, which zeroconf does not pass on. Call this again after sockets were opened."""
        if self._zeroconf is None:
            return
        for reader in self._zeroconf.zeroconf.engine.readers:
            protocol = reader.transport.get_protocol()
            if not isinstance(protocol, _SourceRecorder):
                reader.transport.set_protocol(
                    _SourceRecorder(cast(asyncio.DatagramProtocol, protocol), self._note_source)
                )

    def look_again(self) -> None:
        """Our own network changed, and with it the candidates: read all announcements again."""
        self._instances.look_again()

    def hear(self, name: str) -> None:
        """An announcement that was ignored as our own is that of another node."""
        self._instances.heard(name)

    def ask_for_all(self) -> None:
        """Query for all nodes, and list those that are known: only the others answer, and all hosts hear the answer."""
        self._instances.ask_again()
        if self._zeroconf is None:
            return
        zeroconf = self._zeroconf.zeroconf
        now = current_time_millis()
        query = DNSOutgoing(0)
        query.add_question(DNSQuestion(self._type, _TYPE_PTR, _CLASS_IN))
        known = zeroconf.cache.get_all_by_details(self._type, _TYPE_PTR, _CLASS_IN)
        fresh = (record for record in known if not record.is_stale(now))
        for record in itertools.islice(fresh, self._limits.members):
            query.add_answer_at_time(record, now)
        try:
            zeroconf.async_send(query)
        except (OSError, Error) as error:
            LOG.debug("mdns: query not sent: %s", error)

    def _note_source(self, source: str) -> None:
        self._source = source

    def _on_service(self, *, name: str, state_change: ServiceStateChange, **_: Any) -> None:
        """Called by zeroconf while it reads a packet. Nothing may be raised here: zeroconf would stop reading for good."""
        try:
            if self._own is None or name.lower() in self.own_names:
                return
            if state_change is ServiceStateChange.Removed:
                self._instances.gone(name.lower())
            else:
                self._instances.heard(name.lower(), self._source)
        except Exception:  # see above
            LOG.exception("mdns: a reaction to %r failed", name[:80])

    def _read(self, name: str) -> InstanceReading | None:
        """What the cache holds of an announcement; None while a record is missing."""
        if self._zeroconf is None:
            return _NOT_FOR_US
        with contextlib.suppress(BadTypeInNameException):
            info = AsyncServiceInfo(self._type, name)
            if not info.load_from_cache(self._zeroconf.zeroconf):
                return None
            return self._judge(info, self._instances.source(name))
        return _NOT_FOR_US

    def _judge(self, info: AsyncServiceInfo, source: str) -> InstanceReading:
        own = self._own
        text = txt_record.decode(info.text or b"")
        if own is None or text is None:
            return _NOT_FOR_US
        if text.node_id == own.node_id and text.instance == own.instance:
            return _NOT_FOR_US
        addresses = candidates(
            info.parsed_scoped_addresses(),
            info.port or 0,
            network=self._network(),
            own_port=own.port,
            limit=self._limits.addresses_of_member,
            source=source,
        )
        other_mesh = "" if text.mesh == own.mesh else text.mesh
        sighting = Sighting(text.node_id, text.instance, addresses, other_mesh=other_mesh, source=source)
        return InstanceReading(sighting, text.counter)

    def _ask(self, name: str) -> Undo:
        task = self._tasks.start(self._resolve(name), "mdns: asking for records")

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


class _SourceRecorder(asyncio.DatagramProtocol):
    """Passes packets on to a protocol of zeroconf, and their source addresses to `note`."""

    def __init__(self, inner: asyncio.DatagramProtocol, note: Callable[[str], None]) -> None:
        self._inner = inner
        self._note = note

    def datagram_received(self, data: bytes, addr: tuple[Any, ...]) -> None:
        self._note(_source(addr))
        try:
            self._inner.datagram_received(data, addr)
        finally:
            self._note("")

    def error_received(self, exc: Exception) -> None:
        self._inner.error_received(exc)

    def connection_lost(self, exc: Exception | None) -> None:
        self._inner.connection_lost(exc)


def _source(addr: tuple[Any, ...]) -> str:
    """The IP address of a socket address: an IPv4-mapped one as IPv4, a link-local one with its scope."""
    ip: str = addr[0]
    if ip.startswith("::ffff:") and "." in ip:
        return ip[7:]
    scope = addr[3] if len(addr) == 4 else 0
    return f"{ip.partition('%')[0]}%{scope}" if scope else ip
