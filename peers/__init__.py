"""A log of events, its stores, and the roles that synchronise two logs over one connection."""

from peers.clock import Clock, LoopClock, ManualClock
from peers.errors import FATAL, SyncError
from peers.events.entry import Entry
from peers.later import Later
from peers.log.draft import BusyError
from peers.log.run_log import RunLog as Log
from peers.roles.base import BaseSync
from peers.roles.client import ClientSync
from peers.roles.run_peer import RunPeerSync as PeerSync
from peers.roles.server import ServerSync
from peers.stores.disk import Disk, InlineDisk
from peers.stores.run_store import RunStore as Store
from peers.stores.runs.memory import MemoryRunStore as MemoryStore
from peers.stores.runs.sqlite.store import SqliteRunStore as SqliteStore
from peers.stores.store import StoreError
from peers.transport.local_pair import LocalPair
from peers.transport.port import Connection, Listening, Network
from peers.transport.reconnect import Reconnect

__all__ = [
    "FATAL",
    "BaseSync",
    "BusyError",
    "ClientSync",
    "Clock",
    "Connection",
    "Disk",
    "Entry",
    "InlineDisk",
    "Later",
    "Listening",
    "LocalPair",
    "Log",
    "LoopClock",
    "ManualClock",
    "MemoryStore",
    "Network",
    "PeerSync",
    "Reconnect",
    "ServerSync",
    "SqliteStore",
    "Store",
    "StoreError",
    "SyncError",
]
