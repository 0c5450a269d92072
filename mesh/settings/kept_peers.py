"""KeptPeers: the static addresses in `peers.json` of a home. Its node dials them besides those that it is started with."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import msgspec
from msgspec import Meta

from mesh.errors import MeshError
from mesh.settings.config import parse_address
from mesh.settings.home_files import FILE_VERSION, MAX_FILE_BYTES, FileVersion, decode_file, write_whole

PEERS_FILE = "peers.json"
MAX_PEERS = 256
"""Most addresses in the file."""
GIVEN = "--peer"
"""The source of an address that the node was started with."""
KEPT = PEERS_FILE
"""The source of one in the file."""


class PeersFile(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The content of `peers.json`."""

    version: FileVersion
    peers: Annotated[list[str], Meta(max_length=MAX_PEERS)]


class KeptPeers:
    """The addresses in the file; none if there is no file. Only the process that has the lock of the home may change them.

    All methods raise MeshError, a sentence, if the file is damaged, was written by a newer release or cannot be used. They
    do not change such a file.
    """

    def __init__(self, home: Path, given: Sequence[str] = ()) -> None:
        """`given` are the addresses that the node is started with. Raises MeshError for what is no address."""
        self.given: tuple[str, ...] = ()
        """The addresses that the node is started with, which are not in the file."""
        self.replace(given)
        self._path = home / PEERS_FILE
        self._changing = threading.Lock()

    def replace(self, given: Sequence[str]) -> tuple[str, ...]:
        """Have other `given` addresses from now on; the result are those before. Raises MeshError for what is no address."""
        for address in given:
            parse_address(address, "the peer", is_dialled=True)
        before, self.given = self.given, tuple(dict.fromkeys(given))
        return before

    def all(self) -> tuple[str, ...]:
        """All addresses, those that are given first."""
        return tuple(dict.fromkeys((*self.given, *self.list())))

    def rows(self, found: Mapping[str, str | None]) -> list[dict[str, str | None]]:
        """A row of `mesh peer list` for each address and source. `found` has the node id that answered at each address."""
        rows = [(address, GIVEN) for address in self.given] + [(address, KEPT) for address in self.list()]
        return [{"address": address, "source": source, "node_id": found.get(address)} for address, source in rows]

    def change(self, address: str, *, is_wanted: bool) -> None:
        """`add` or `remove` an address."""
        if is_wanted:
            self.add(address)
        else:
            self.remove(address)

    def list(self) -> tuple[str, ...]:
        """The addresses, `host:port`, in the order in which they were added."""
        with self._explained():
            try:
                with self._path.open("rb") as file:
                    content = file.read(MAX_FILE_BYTES + 1)
            except FileNotFoundError:
                return ()
        remedy = ": put it back from a backup, or delete it and add the peers anew"
        return tuple(dict.fromkeys(decode_file(content, self._path, PeersFile, _check_peers, remedy).peers))

    def add(self, address: str) -> None:
        """Add an address; it is on disk when this returns. Does nothing if it is in the file already.

        Raises MeshError for a string that is not an address, and if the file has MAX_PEERS addresses.
        """
        parse_address(address, "the peer", is_dialled=True)
        with self._changing:
            peers = self.list()
            if address in peers:
                return
            if len(peers) >= MAX_PEERS:
                raise MeshError(f"{self._path} has {MAX_PEERS} peers already: remove one first, see `mesh peer list`")
            self._write((*peers, address))

    def remove(self, address: str) -> None:
        """Remove an address; it is gone from the disk when this returns.

        Raises MeshError if it is not in the file; the sentence is another one for an address that is `given`.
        """
        with self._changing:
            peers = self.list()
            if address in peers:
                self._write(tuple(peer for peer in peers if peer != address))
            elif address in self.given:
                raise MeshError(
                    f"{address} was given to the node when it was started (--peer or peers=): start it again without that"
                )
            else:
                raise MeshError(f"{address} is not in {self._path}: `mesh peer list` shows which addresses are")

    def _write(self, peers: tuple[str, ...]) -> None:
        content = msgspec.json.encode(PeersFile(version=FILE_VERSION, peers=list(peers))) + b"\n"
        with self._explained():
            write_whole(self._path, content, mode=0o644)

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise MeshError(
                f"{self._path} cannot be used: {error.strerror or error}; the peers of a node are in its home"
            ) from None


def _check_peers(content: PeersFile) -> None:
    for peer in content.peers:
        parse_address(peer, "the peer", is_dialled=True)
