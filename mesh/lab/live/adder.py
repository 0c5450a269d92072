"""A running `mesh add -` on a real host: gives it events, and takes its confirmations."""

from __future__ import annotations

import contextlib
import json
import subprocess
from collections import deque
from pathlib import Path
from typing import Any

from mesh.errors import MeshError
from mesh.lab.live.namespaces import EXIT_SECONDS, Process
from peers.events.created import Created
from peers.later import Later
from peers.log.draft import Meta


class LiveAdder:
    """A running `mesh add -`."""

    def __init__(self, process: Process, confirmations: Path) -> None:
        self.process = process
        self.given: deque[tuple[dict[str, Any], Later[Meta | None]]] = deque()
        """Events that are not confirmed yet."""
        self._confirmations = confirmations
        self._read_bytes = 0

    def add(self, event: dict[str, Any]) -> Later[Meta | None]:
        later = Later[Meta | None]()
        self.given.append((event, later))
        assert self.process.stdin is not None
        try:
            self.process.stdin.write(json.dumps(event) + "\n")
            self.process.stdin.flush()
        except BrokenPipeError:
            self.process.wait(EXIT_SECONDS)
            raise MeshError(f"`mesh add` ended: {self.process.stderr_text().strip()}") from None
        return later

    def take(self) -> dict[Created, dict[str, Any]]:
        """The events that were confirmed since the last call."""
        with self._confirmations.open("rb") as file:
            file.seek(self._read_bytes)
            text = file.read()
        whole = text[: text.rfind(b"\n") + 1]
        self._read_bytes += len(whole)
        taken: dict[Created, dict[str, Any]] = {}
        for row in map(json.loads, whole.splitlines()):
            event, later = self.given.popleft()
            ms, node_id, number = row["created"]
            created: Created = (ms, node_id, number)
            taken[created] = event
            later.set({"created": created, "added": row["added"]})
        return taken

    def end(self) -> None:
        """Wait until it ends, as it does after its node has ended."""
        assert self.process.stdin is not None
        with contextlib.suppress(BrokenPipeError):  # it has ended already
            self.process.stdin.close()
        try:
            self.process.wait(EXIT_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait(EXIT_SECONDS)

    def give_up(self, why: str) -> None:
        """Let all events that are left fail."""
        while self.given:
            _, later = self.given.popleft()
            later.fail(MeshError(why))
