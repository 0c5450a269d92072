"""Bad links between the hosts of a lab, carried in user space. Good ones stay in the bridge of the kernel."""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path

import mesh
from mesh.lab.live.link_queue import LinkQuality
from mesh.lab.live.namespaces import NetLab, NetLabError, Process

CARRIER_SECONDS = 10.0
"""Within this, the process that carries frames must start, and answer each command."""
COMMAND = (sys.executable, "-m", "mesh.lab.live.link_process")
ENVIRONMENT = {
    "PYTHONPATH": os.pathsep.join(filter(None, [str(Path(mesh.__file__).parents[1]), os.environ.get("PYTHONPATH")]))
}
"""The environment of processes that run our own code."""

HostPair = tuple[int, int]
"""Numbers of the host that sends and the host that receives."""
GOOD_LINK = LinkQuality()


class LabLink:
    """Decides for each pair of hosts whether frames pass at once, badly, or not at all.

    The bridge drops the frames of a bad link, and a process carries them instead. The process starts with the first bad link
    and ends with the lab.
    """

    def __init__(self, lab: NetLab, *, seed: int = 0) -> None:
        """`seed` decides which frames are lost, and how late each one is."""
        self._lab = lab
        self._seed = seed
        self._process: Process | None = None
        self._carried: dict[HostPair, LinkQuality] = {}
        self._macs: dict[int, str] = {}

    def set(self, *, closed: Iterable[HostPair] = (), bad: Mapping[HostPair, LinkQuality] | None = None) -> None:
        """From now on nothing passes the `closed` links, the `bad` ones have these qualities, and all others are good.

        What is in flight on a link that becomes good arrives at once; on one that closes it is lost. Raises NetLabError.
        """
        shut = dict.fromkeys(closed)
        carried = {way: quality for way, quality in (bad or {}).items() if way not in shut}
        ending = {way: GOOD_LINK for way in self._carried if way not in carried and way not in shut}
        # In this order a frame that is sent meanwhile arrives twice rather than never.
        self._carry({**carried, **ending})
        self._lab.rules(*(f'iifname "p{source}" oifname "p{target}" drop' for source, target in [*shut, *carried]))
        if ending:
            self._carry(carried)
        self._carried = carried

    def check(self) -> None:
        """Raises NetLabError if the process that carries frames has ended by itself."""
        if self._process is not None and (code := self._process.poll()) is not None:
            why = self._process.stderr_text().strip() or "it said nothing"
            raise NetLabError(f"the process that carries frames ended with {code}: {why}")

    def _carry(self, ways: Mapping[HostPair, LinkQuality]) -> None:
        if self._process is None:
            if not ways:
                return
            self._process = self._lab.switch.spawn(
                [*COMMAND, str(self._seed)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=ENVIRONMENT
            )
        process = self._process
        assert process.stdin is not None and process.stdout is not None
        rows = [self._row(*way, quality) for way, quality in ways.items()]
        try:
            process.stdin.write(json.dumps(rows) + "\n")
            process.stdin.flush()
        except BrokenPipeError:
            process.wait(CARRIER_SECONDS)
            self.check()
        is_answered, _, _ = select.select([process.stdout], [], [], CARRIER_SECONDS)
        if not is_answered:
            raise NetLabError(f"the process that carries frames did not answer within {CARRIER_SECONDS:.0f} s")
        if process.stdout.readline() != "ok\n":
            process.wait(CARRIER_SECONDS)
            self.check()

    def _row(self, source: int, target: int, quality: LinkQuality) -> list[object]:
        if target not in self._macs:
            self._macs[target] = self._lab.mac(target)
        mac = self._macs[target]
        return [source, target, mac, quality.latency_ms, quality.bytes_per_second, quality.loss, quality.is_held]
