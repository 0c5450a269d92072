"""NodeMeasuring: counts what the metrics of a node show, when they are asked for."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from mesh.actors.environment import Environment
from mesh.actors.log_proxy import NOT_OPEN, LogProxy
from mesh.actors.runtime.inspection import living_actors, waiting_messages
from mesh.gateway.metrics.histogram import Histogram
from mesh.gateway.metrics.measured import Counted
from mesh.membership.status import Status
from peers.later import Later
from peers.stores.sqlite.file import wal_of
from peers.transport.web_socket import WebSocketNetwork

_PAGES = Path("/proc/self/statm")
"""Where Linux shows how many pages of memory this process has."""


class NodeMeasuring:
    """A Measuring of one run of a node; to be used on its loop."""

    def __init__(
        self,
        environment: Environment,
        log: LogProxy,
        log_path: Path,
        commits: Histogram,
        status: Callable[[], Later[Status]],
        networks: Callable[[], Mapping[str, Sequence[WebSocketNetwork]]],
    ) -> None:
        """`commits` is what the disk of the log notes; `networks` are those whose bytes are shown, by a name."""
        self._environment = environment
        self._log = log
        self._log_path = log_path
        self._commits = commits
        self._status = status
        self._networks = networks
        self._begun_ms = environment.clock.uptime_ms()

    def why_not_ready(self) -> str:
        if not self._log.is_running:
            return NOT_OPEN
        trouble = self._log.store_trouble
        return "" if trouble is None else trouble.shown()["error"]

    def count(self) -> Later[Counted]:
        return self._status().transform(self._counted)

    def _counted(self, status: Status) -> Counted:
        environment, mailboxes = self._environment, Counter[str]()
        for ref in living_actors(environment.runtime):
            mailboxes[ref.actor_class.__name__] += waiting_messages(ref)
        return Counted(
            status=status,
            why_not_ready=self.why_not_ready(),
            now_ms=environment.clock.now_ms(),
            uptime_seconds=(environment.clock.uptime_ms() - self._begun_ms) / 1000,
            memory_bytes=_memory_bytes(),
            log_bytes=_size(self._log_path) + _size(wal_of(self._log_path)),
            disk_share=environment.disk_use.read(),
            mailboxes=mailboxes,
            waiting_adds=self._log.waiting_adds,
            commits=self._commits,
            failures=environment.failures,
            sent_bytes={name: sum(each.sent_bytes for each in networks) for name, networks in self._networks().items()},
            received_bytes={
                name: sum(each.received_bytes for each in networks) for name, networks in self._networks().items()
            },
            limit_hits=environment.hits.counts,
        )


def _memory_bytes() -> int | None:
    try:
        return int(_PAGES.read_text().split()[1]) * os.sysconf("SC_PAGESIZE")
    except OSError:
        return None


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0
