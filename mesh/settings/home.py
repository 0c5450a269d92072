"""Home: the folder of a node, with its key, name, mesh and port, and with a lock against a second run."""

from __future__ import annotations

import re
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import msgspec
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from msgspec import Meta

from mesh.errors import MeshError
from mesh.settings.config import DEFAULT_MESH, check_name
from mesh.settings.home_files import FILE_VERSION, FileVersion, decode_file, write_whole
from mesh.settings.home_lock import release, take
from mesh.settings.paths import CERTIFICATES_FILE, LOG_FILE, command_for
from peers.events.epoch import MARK_CHARACTERS, MIN_MARK_CHARACTERS, key_mark
from peers.events.signature import KeySigner

KEY_FILE = "node.key"
FACTS_FILE = "node.json"


class NodeFacts(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The content of `node.json`. The port changes after the home was made, and what is about the mesh when it joins one."""

    version: FileVersion = FILE_VERSION
    name: str
    mesh: str
    port: Annotated[int, Meta(ge=0, le=65535)] = 0
    """Chosen at the first start; 0 until then."""
    hash_characters: Annotated[int, Meta(ge=MIN_MARK_CHARACTERS, le=MARK_CHARACTERS)] = MIN_MARK_CHARACTERS
    """Of the hash in the node's id."""
    with_log: bool = False
    """Whether it vouches in its mesh for events of a time without one: it founded the mesh with them, or `mesh join --with-log`
    said so.
    """


def default_name() -> str:
    """The name of the host, changed to fit into a node id."""
    host = socket.gethostname().split(".")[0]
    return re.sub(r"[^A-Za-z0-9_.-]+", "-", host).strip("-")[:64] or "node"


def make_node_id(name: str, key: Ed25519PrivateKey, hash_characters: int = MARK_CHARACTERS) -> str:
    """`NAME~HASH`: the hash is the first characters of the SHA-256 of the public key, in lower-case base32."""
    return f"{name}~{key_mark(KeySigner(key).public, hash_characters)}"


def read_identity(home: Path) -> tuple[str, NodeFacts]:
    """The node id and the facts of a home, whether its node runs or not. Raises MeshError for none or a damaged one."""
    try:
        if is_fresh(home):
            raise MeshError(
                f"there is no home of a node in {home}: correct --home, or make one with `{command_for(home)} up`"
            )
        facts = _read_facts(home / FACTS_FILE)
        return make_node_id(facts.name, _read_key(home / KEY_FILE), facts.hash_characters), facts
    except OSError as error:
        raise _unusable(home, error) from None


def read_signer(home: Path) -> KeySigner:
    """The key of a home, whether its node runs or not. Raises MeshError for none or a damaged one."""
    read_identity(home)
    return KeySigner(_read_key(home / KEY_FILE))


def is_fresh(home: Path) -> bool:
    """Whether there is no home yet at this path."""
    return not (home / KEY_FILE).exists()


class Home:
    """The home of one node, locked by this process until `close`."""

    def __init__(self, path: Path, *, name: str | None = None, mesh: str | None = None, existing: bool = False) -> None:
        """Open the home at `path`; make a new one if there is none, unless it must be `existing`.

        `name` and `mesh` are those of a new home; by default the name of the host and "home". Raises MeshError, a sentence, if
        the home is in use, damaged, missing, or has another name or mesh.
        """
        self.path = path
        try:
            self.is_new = is_fresh(path)
            if existing and self.is_new:
                join = f"{command_for(path)} join {f'--name {name} ' if name else ''}CODE"
                raise MeshError(
                    f"there is no home of a node in {path}: join a mesh with `{join}` first (`mesh invite`, in the mesh, "
                    "prints the code), mount its disk, or correct --home; without --existing a start there makes a new node, "
                    "which founds another mesh unless it is open"
                )
            if self.is_new and (path / CERTIFICATES_FILE).exists():
                raise MeshError(
                    f"{path / KEY_FILE} is missing: put it back from a backup with keys, or start a new node in another --home"
                )
            if name is None and (path / CERTIFICATES_FILE).exists() and not (path / FACTS_FILE).exists():
                raise MeshError(
                    f"{path / FACTS_FILE} is missing: put it back from a backup, or give --name NAME with the name of this "
                    "node, by which its mesh knows it"
                )
            path.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._lock = take(path)
        except OSError as error:
            raise _unusable(path, error) from None
        try:
            self._key = _load_key(path / KEY_FILE)
            self.facts = _load_facts(path / FACTS_FILE, name, mesh)
        except OSError as error:
            self.close()
            raise _unusable(path, error) from None
        except BaseException:
            self.close()
            raise

    @property
    def node_id(self) -> str:
        """`NAME~HASH`, see make_node_id."""
        return make_node_id(self.facts.name, self._key, self.facts.hash_characters)

    @property
    def signer(self) -> KeySigner:
        """Signs with the key of this home."""
        return KeySigner(self._key)

    @property
    def log_path(self) -> Path:
        """The file of the log."""
        return self.path / LOG_FILE

    def descriptors(self) -> Iterator[int]:
        """The file descriptor of the lock file. The home is in use as long as any process has it open."""
        if not self._lock.closed:
            yield self._lock.fileno()

    def keep_port(self, port: int) -> None:
        """Listen at `port` at later starts too. Raises MeshError if the home cannot be written."""
        self._keep(msgspec.structs.replace(self.facts, port=port))

    def keep_mesh(self, mesh: str, *, with_log: bool) -> None:
        """Belong to the mesh with this name from now on. Raises MeshError if that is no name, or the home cannot be written."""
        self._keep(msgspec.structs.replace(self.facts, mesh=check_name(mesh, "the mesh's name"), with_log=with_log))

    def _keep(self, facts: NodeFacts) -> None:
        self.facts = facts
        try:
            write_whole(self.path / FACTS_FILE, msgspec.json.encode(self.facts) + b"\n", mode=0o644)
        except OSError as error:
            raise MeshError(
                f"{error.filename} cannot be written: {error.strerror}; "
                "the home of a node has to be writable, with room on its disk"
            ) from None

    def close(self) -> None:
        """Unlock the home."""
        release(self._lock)


def _unusable(home: Path, error: OSError) -> MeshError:
    where = f" ({error.filename})" if error.filename else ""
    rights = "run this as the user whose home it is, or " if isinstance(error, PermissionError) else ""
    return MeshError(
        f"the home {home} cannot be used: {error.strerror or error}{where}; {rights}choose another with --home"
    )


def _load_key(path: Path) -> Ed25519PrivateKey:
    if path.exists():
        return _read_key(path)
    key = Ed25519PrivateKey.generate()
    write_whole(path, key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()), mode=0o600)
    return key


def _read_key(path: Path) -> Ed25519PrivateKey:
    try:
        loaded = load_pem_private_key(path.read_bytes(), None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        loaded = None
    if not isinstance(loaded, Ed25519PrivateKey):
        raise MeshError(
            f"{path} is not an Ed25519 key: put it back from a backup with keys, or start a new node in another --home"
        )
    return loaded


def _load_facts(path: Path, name: str | None, mesh: str | None) -> NodeFacts:
    if not path.exists():
        facts = NodeFacts(
            name=check_name(default_name() if name is None else name, "the name"),
            mesh=check_name(DEFAULT_MESH if mesh is None else mesh, "the mesh's name"),
            hash_characters=MARK_CHARACTERS,
        )
        write_whole(path, msgspec.json.encode(facts) + b"\n", mode=0o644)
        return facts
    facts = _read_facts(path)
    for what, given, kept in (("name", name, facts.name), ("mesh", mesh, facts.mesh)):
        if given is not None and given != kept:
            raise MeshError(
                f"this home's {what} is {kept} for good, not {given}: leave the {what} out, or start a new node in another home"
            )
    return facts


def _read_facts(path: Path) -> NodeFacts:
    remedy = ": put it back from a backup, or delete it and give --name anew"
    return decode_file(path.read_bytes(), path, NodeFacts, _check_facts, remedy)


def _check_facts(facts: NodeFacts) -> None:
    check_name(facts.name, "the name")
    check_name(facts.mesh, "the mesh's name")
