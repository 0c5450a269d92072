"""What two ends of one connection say about a log, and what each remembers of it."""

from peers.base_sync import BaseSync
from peers.client_sync import ClientSync
from peers.clock import Clock, LoopClock, ManualClock
from peers.connections.connection import Connection, Listening, Network
from peers.connections.local_pair import LocalPair
from peers.connections.reconnect import Reconnect
from peers.disk import Disk, InlineDisk
from peers.draft import BusyError
from peers.entry import Entry
from peers.later import Later
from peers.log import Log
from peers.peer_sync import PeerSync
from peers.server_sync import ServerSync
from peers.stores.memory_store import MemoryStore
from peers.stores.sqlite_store import SqliteStore
from peers.stores.store import Store, StoreError
from peers.sync_error import FATAL, SyncError
from peers.version_vector import VersionVector

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
    "VersionVector",
]
