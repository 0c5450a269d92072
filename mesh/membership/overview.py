"""What a node knows of the whole mesh: a row for each node, from its links and from the summaries that it has heard."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import islice
from typing import NamedTuple

from mesh.membership.status_rows import MeshLinkStatus, MeshNodeStatus
from peers.codec.summary import SHORT_KEY_BYTES, Measures, Summary
from peers.roles.summaries import FRESH_MS, Heard, LinkedNode

MAX_LINKS_SHOWN = 4_096
"""Of all rows together, each the same share: so that a status is no longer than a command reads."""
_Links = tuple[tuple[bytes, int], ...]


class Known(NamedTuple):
    """What there is to see, at one moment."""

    key: bytes
    """Our own public key."""
    node_id: str
    measures: Measures
    """Our own."""
    linked: list[LinkedNode]
    """The sessions that are connected."""
    heard: Mapping[bytes, Heard]
    """Of nodes of the mesh, by key."""
    members: Mapping[bytes, str]
    """The node ids of all members by key, if the node is in a mesh that has them."""
    now_ms: int
    elapsed_ms: float


class _Seen(NamedTuple):
    """One node, as it was heard of last."""

    links: _Links
    is_fresh: bool


def mesh_nodes(known: Known) -> list[MeshNodeStatus]:
    """The rows of `mesh_nodes` in the status: this node, then the others by their ids."""
    lags: dict[bytes, int] = {}
    ids = {**known.members, **{key: heard.summary.node_id for key, heard in known.heard.items()}}
    for link in known.linked:
        ids[link.key] = link.node_id
        lags[link.key] = max(link.lag, lags.get(link.key, 0))
    ids = {known.key: known.node_id} | {key: ids[key] for key in sorted(ids, key=lambda key: ids[key])}
    short = {key[:SHORT_KEY_BYTES]: key for key in ids}
    seen = {
        key: _Seen(heard.summary.links, known.elapsed_ms - heard.at_ms <= FRESH_MS)
        for key, heard in known.heard.items()
    }
    seen[known.key] = _Seen(tuple([(key[:SHORT_KEY_BYTES], lag) for key, lag in lags.items()]), is_fresh=True)
    islands = _islands(known.key, list(ids), seen, short)
    rows: list[MeshNodeStatus] = []
    for key, node_id in ids.items():
        heard = known.heard.get(key)
        if key == known.key:
            row = _row(node_id, known.measures, sorted(seen[key].links, key=_by_lag), len(lags), short, ids)
            row["state"], row["seen_ms"] = "this", known.now_ms
        else:
            row = _heard_row(node_id, heard.summary if heard is not None else None, short, ids)
            row["seen_ms"] = round(known.now_ms - known.elapsed_ms + heard.at_ms) if heard is not None else None
            if key in lags:
                row["state"], row["seen_ms"] = "linked", known.now_ms
            elif not islands[key]:
                row["state"] = "seen"
        row["island"] = islands[key]
        rows.append(row)
    return rows


def _heard_row(
    node_id: str, summary: Summary | None, short: Mapping[bytes, bytes], ids: Mapping[bytes, str]
) -> MeshNodeStatus:
    if summary is not None:
        return _row(node_id, summary.measures, summary.links, summary.link_count, short, ids)
    return {
        "node_id": node_id,
        "state": "gone",
        "island": 0,
        "seen_ms": None,
        "version": None,
        "last_event_ms": None,
        "last_added": None,
        "worst_lag": None,
        "worst_lag_to": None,
        "queue": None,
        "disk_share": None,
        "clock_offset_ms": None,
        "uptime_seconds": None,
        "links": [],
        "more_links": 0,
    }


def _row(
    node_id: str,
    measures: Measures,
    links: Iterable[tuple[bytes, int]],
    link_count: int,
    short: Mapping[bytes, bytes],
    ids: Mapping[bytes, str],
) -> MeshNodeStatus:
    shown: list[MeshLinkStatus] = [
        {"node_id": ids[short[to]] if to in short else f"?{to.hex()}", "lag": lag}
        for to, lag in islice(links, MAX_LINKS_SHOWN // len(ids))
    ]
    worst = max(shown, key=lambda link: link["lag"], default=None)
    return {
        "node_id": node_id,
        "state": "gone",
        "island": 0,
        "seen_ms": None,
        "version": measures.version,
        "last_event_ms": measures.last_event_ms or None,
        "last_added": measures.last_added,
        "worst_lag": worst["lag"] if worst is not None else 0,
        "worst_lag_to": worst["node_id"] if worst is not None and worst["lag"] else None,
        "queue": measures.queue,
        "disk_share": measures.disk_percent / 100,
        "clock_offset_ms": measures.clock_offset_ms,
        "uptime_seconds": measures.uptime_seconds,
        "links": shown,
        "more_links": link_count - len(shown),
    }


def _by_lag(link: tuple[bytes, int]) -> tuple[int, bytes]:
    return -link[1], link[0]


def _islands(
    own: bytes, keys: list[bytes], seen: Mapping[bytes, _Seen], short: Mapping[bytes, bytes]
) -> dict[bytes, int]:
    """The number of the island of each node. Ours is what is reached over links of which a node on it says so now."""
    ours = dict.fromkeys(_reached(own, seen, short, fresh_only=True), 0)
    islands = dict(ours)
    for number, key in enumerate(keys, 1):
        if key in islands:
            continue
        # The last summaries of nodes that are gone may name links of before: those to our island are over.
        found = _reached(key, seen, short, fresh_only=False, without=ours)
        met = {islands[other] for other in found if other in islands}
        islands |= dict.fromkeys([*found, *[other for other, island in islands.items() if island in met]], number)
    numbers = {old: new for new, old in enumerate(dict.fromkeys([0, *[islands[key] for key in keys]]))}
    return {key: numbers[island] for key, island in islands.items()}


def _reached(
    start: bytes,
    seen: Mapping[bytes, _Seen],
    short: Mapping[bytes, bytes],
    *,
    fresh_only: bool,
    without: Mapping[bytes, int] = {},
) -> list[bytes]:
    """The nodes that a walk over links reaches from `start`, by what each says of its own."""
    found, at = {start: None}, [start]
    while at:
        one = seen.get(at.pop())
        for to, _ in one.links if one is not None and (one.is_fresh or not fresh_only) else ():
            key = short.get(to)
            if key is not None and key not in found and key not in without:
                found[key] = None
                at.append(key)
    return list(found)
