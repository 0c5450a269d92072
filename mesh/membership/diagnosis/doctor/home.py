"""The checks of this machine alone: the home and its rights, the options, the disk, the store, the views and the clock."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mesh.membership.diagnosis.clocks import REMEDY, length
from mesh.membership.diagnosis.doctor.finding import Finding
from mesh.membership.diagnosis.links import LinkRow
from peers.limits import Limits

NEAR_SHARE = 0.05
"""So much below the first limit a disk is worth a look."""
MB = 1_000_000


@dataclass(frozen=True, slots=True)
class HomeFile:
    """A file of a home, or the folder itself."""

    path: str
    mode: int
    """Its rights, such as 0o600."""
    owner: str = ""
    """The user that it belongs to, if that is another one than the one who asks."""
    is_writable: bool = True
    is_private: bool = False
    """Whether it has a key, a token or a code: only its user may read it."""


def node_finding(status: Mapping[str, Any] | None, trouble: str) -> Finding:
    """Whether a node runs; `trouble` is why it did not answer."""
    if trouble:
        remedy = "call this as the user that runs the node; if it does not answer even then, restart it"
        return Finding("node", "wrong", trouble, remedy)
    if status is None:
        remedy = "start it: `mesh up`, or the program that runs this node"
        return Finding("node", "look", "none runs here: what needs one is not checked", remedy)
    return Finding("node", "ok", f"{status['node_id']} runs, and answers")


def home_finding(home: str, files: Sequence[HomeFile]) -> Finding:
    """About the folder and its files; the folder is the first. Without one there is no home."""
    if not files:
        return Finding("home", "look", f"there is no home in {home} yet", "`mesh up` makes one; or correct --home")
    for file in files:
        if file.owner:
            found = f"{file.path} belongs to the user {file.owner}"
            return Finding("home", "wrong", found, f"run `chown -R USER {home}` with the user that runs the node")
    for file in files:
        if not file.is_writable:
            remedy = "the node cannot write there: mount its disk for writing, or correct its rights with chmod"
            return Finding("home", "wrong", f"{file.path} cannot be written", remedy)
    for file in files:
        if file.is_private and file.mode & 0o077:
            found = f"others may read or write {file.path} (its mode is {file.mode:o}), and it is secret"
            return Finding("home", "wrong", found, f"run `chmod 600 {file.path}`; who has read it can be this node")
    folder = files[0]
    if folder.mode & 0o022:
        found = f"others may change what is in {folder.path} (its mode is {folder.mode:o})"
        return Finding("home", "wrong", found, f"run `chmod 700 {folder.path}`")
    if folder.mode & 0o055:
        found = f"others may look into {folder.path} (its mode is {folder.mode:o}): the log is plain text"
        return Finding("home", "look", found, f"run `chmod 700 {folder.path}`, unless they should read it")
    return Finding("home", "ok", f"{home}: only its user can read and write it")


def mistake_finding(check: str, mistakes: Sequence[str], found: str, remedy: str = "") -> Finding:
    """What reading something has shown: sentences of what is wrong with it, or `found`."""
    if mistakes:
        return Finding(check, "wrong", "; ".join(mistakes), remedy)
    return Finding(check, "ok", found)


def disk_finding(share: float, free_bytes: int, limits: Limits, place: str) -> Finding:
    """By the share of the disk in use, from 0 to 1, and the limits from which on the node takes no events."""
    used = f"{share:.0%} of the disk with {place} is in use, {free_bytes / MB:.0f} MB are free"
    own, others = limits.disk_share_for_own, limits.disk_share_for_others
    remedy = "free space on it; the node goes on by itself then"
    if share >= own:
        return Finding("disk", "wrong", f"{used}: from {own:.0%} on no events are taken", remedy)
    if share >= others:
        return Finding("disk", "wrong", f"{used}: from {others:.0%} on events of other nodes are not taken", remedy)
    if share >= others - NEAR_SHARE:
        return Finding("disk", "look", f"{used}: from {others:.0%} on events of other nodes are not taken", remedy)
    return Finding("disk", "ok", used)


@dataclass(frozen=True, slots=True)
class StoreFacts:
    """What reading the file of the log has shown."""

    mistake: str = ""
    """Why it cannot be opened, or what is damaged in it."""
    is_there: bool = True
    is_old: bool = False
    """Whether an older release wrote it."""
    size: int = 0
    is_unclean: bool = False
    """Whether a node that was killed left it so that reading would have to write."""
    tables: tuple[int, int] | None = None
    """How many were read, of how many, where the time was up; None: all."""


def store_finding(store: StoreFacts, trouble: Mapping[str, Any] | None) -> Finding:
    """`trouble` is the row `store_error` of the status of a running node."""
    if trouble is not None:
        remedy = "the node tries again every few seconds: correct what it says, and look at the disk itself"
        return Finding("store", "wrong", f"the disk fails: {trouble['error']}", remedy)
    if not store.is_there:
        return Finding("store", "ok", "there is no log yet: the first start makes one")
    if store.mistake:
        remedy = "stop the node, keep a copy of the whole home, and `mesh restore` a backup; other nodes have the events, too"
        return Finding("store", "wrong", store.mistake, remedy)
    if store.is_old:
        return Finding(
            "store", "look", "an older release wrote the log", "the next start brings it up to date, or `mesh upgrade`"
        )
    if store.is_unclean:
        return Finding("store", "look", "not read: the node was killed, and its next start tidies up", "start the node")
    if store.tables is not None:
        read, of = store.tables
        part = (
            f"it opens, and {read} of {of} tables ({store.size / MB:.0f} MB in all) were read in time, and are intact"
        )
        return Finding("store", "ok", part)
    return Finding("store", "ok", f"it opens, and all {store.size / MB:.1f} MB are intact")


def views_finding(views: Sequence[Mapping[str, Any]]) -> Finding:
    """`views` are the rows of the status: the views of the application that runs the node."""
    stopped = [row for row in views if row["error"] is not None]
    failing = [row for row in views if row["store_error"] is not None]
    if stopped:
        remedy = "correct `apply` in the program that runs the node, and start it again, or let it call `retry()` of the view"
        return Finding("views", "wrong", "; ".join(map(_stopped, stopped)), remedy)
    if failing:
        found = "; ".join(f"the disk fails for the view {row['name']!r}: {row['store_error']}" for row in failing)
        return Finding("views", "wrong", found, "it is tried again every few seconds: correct what it says")
    return Finding("views", "ok", f"{', '.join(str(row['name']) for row in views)}: none has stopped")


def _stopped(row: Mapping[str, Any]) -> str:
    error = row["error"]
    at = f" at the event {error['created']} of type {error['type']!r}" if "created" in error else ""
    return f"the view {row['name']!r} has stopped{at}: {error['why']}"


def clock_finding(clocks: Sequence[Mapping[str, Any]], links: Sequence[LinkRow]) -> Finding:
    """`clocks` are the rows of the status: they are there for what is wrong."""
    sentences = [str(row["sentence"]) for row in clocks]
    if any(row["kind"] in {"own", "neighbour", "lead"} for row in clocks):
        return Finding("clock", "wrong", "; ".join(sentences), f"see which of the clocks is wrong: {REMEDY}")
    if sentences:
        return Finding("clock", "look", "; ".join(sentences), f"if it is wrong now, {REMEDY}")
    ahead = [abs(link["clock_ahead_ms"]) for link in links if link["clock_ahead_ms"] is not None]
    if not ahead:
        return Finding(
            "clock", "look", "not compared: no other node is connected", "connect another node to check this"
        )
    nodes = f"{len(ahead)} neighbour{'s' if len(ahead) > 1 else ''}"
    return Finding(
        "clock",
        "ok",
        f"at most {length(max(ahead))} from that of {nodes}" if max(ahead) >= 1000 else f"as that of {nodes}",
    )
