"""The home of a node on disk."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import stat
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, Encoding, NoEncryption, PrivateFormat

from mesh.errors import MeshError
from mesh.settings.config import NAME
from mesh.settings.home import Home, default_name, make_node_id


def open_home(path: Path, *, name: str | None = None, mesh: str | None = None) -> Home:
    """Open the home and close it again."""
    home = Home(path, name=name, mesh=mesh)
    home.close()
    return home


def pem(key: Ed25519PrivateKey | X25519PrivateKey, *, password: bytes | None = None) -> bytes:
    encryption = BestAvailableEncryption(password) if password else NoEncryption()
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_the_first_start_makes_a_home(tmp_path: Path) -> None:
    home = open_home(tmp_path / "deep" / "home", name="kitchen", mesh="garden")

    name, _, mark = home.node_id.partition("~")
    assert (name, home.facts.name, home.facts.mesh, home.facts.port) == ("kitchen", "kitchen", "garden", 0)
    assert len(mark) == 16
    assert set(mark) <= set("abcdefghijklmnopqrstuvwxyz234567")


def test_only_the_user_may_read_the_key(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        open_home(tmp_path / "home")
    finally:
        os.umask(before)

    assert mode(tmp_path / "home") == 0o700
    assert mode(tmp_path / "home" / "node.key") == 0o600
    assert not list((tmp_path / "home").glob("*.new"))


def test_a_file_that_could_not_be_written_leaves_nothing_and_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_handle: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    home = open_home(tmp_path)
    monkeypatch.setattr(os, "fsync", full)

    with pytest.raises(
        MeshError, match=r"node\.json\.new cannot be written: No space left on device; the home of a node has"
    ):
        home.keep_port(4321)
    assert not list(tmp_path.glob("*.new"))


def test_a_home_of_another_user_is_refused_with_what_helps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def deny(*_: object) -> None:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    monkeypatch.setattr(fcntl, "flock", deny)

    with pytest.raises(MeshError, match="Permission denied; run this as the user whose home it is, or choose another"):
        Home(tmp_path)


def test_a_home_in_a_mesh_that_has_lost_its_name_asks_for_it(tmp_path: Path) -> None:
    node_id = open_home(tmp_path, name="kitchen").node_id
    (tmp_path / "certificates.pem").touch()
    (tmp_path / "node.json").unlink()

    with pytest.raises(MeshError, match=r"node\.json is missing: put it back from a backup, or give --name NAME with"):
        Home(tmp_path)
    assert not (tmp_path / "node.json").exists()
    assert open_home(tmp_path, name="kitchen").node_id == node_id


def test_a_home_keeps_its_name_mesh_key_and_port(tmp_path: Path) -> None:
    first = Home(tmp_path, name="kitchen", mesh="garden")
    first.keep_port(4321)
    first.close()

    again = open_home(tmp_path)

    assert again.node_id == first.node_id
    assert (again.facts.name, again.facts.mesh, again.facts.port) == ("kitchen", "garden", 4321)
    assert open_home(tmp_path, name="kitchen", mesh="garden").node_id == first.node_id


def test_two_homes_of_one_name_are_two_nodes(tmp_path: Path) -> None:
    assert open_home(tmp_path / "1", name="kitchen").node_id != open_home(tmp_path / "2", name="kitchen").node_id


def test_without_a_name_the_name_of_the_host_is_used(tmp_path: Path) -> None:
    assert open_home(tmp_path).facts.name == default_name()
    assert NAME.fullmatch(default_name())


@pytest.mark.parametrize(
    ("host", "name"),
    [
        ("kitchen", "kitchen"),
        ("kitchen.lan", "kitchen"),
        ("küche 7", "k-che-7"),
        ("", "node"),
        ("漢字", "node"),
        ("x" * 99, "x" * 64),
    ],
)
def test_a_hosts_name_is_made_to_fit(monkeypatch: pytest.MonkeyPatch, host: str, name: str) -> None:
    monkeypatch.setattr("socket.gethostname", lambda: host)

    assert default_name() == name


@pytest.mark.parametrize(
    ("what", "sentence"), [("name", "this home's name is a for good"), ("mesh", "this home's mesh is a for good")]
)
def test_another_name_or_mesh_for_the_same_home_is_an_error(tmp_path: Path, what: str, sentence: str) -> None:
    open_home(tmp_path, name="a", mesh="a")

    with pytest.raises(MeshError, match=sentence):
        Home(tmp_path, **{what: "b"})
    open_home(tmp_path)  # the home is not locked


@pytest.mark.parametrize("name", ["", "two words", "a~b", "a/b", "a\n", "x" * 65, "küche"])
def test_a_name_that_does_not_fit_is_an_error(tmp_path: Path, name: str) -> None:
    with pytest.raises(MeshError, match="cannot be used: take 1 to 64 letters"):
        Home(tmp_path, name=name)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"not a key",
        pem(X25519PrivateKey.generate()),
        pem(Ed25519PrivateKey.generate(), password=b"secret"),
        pem(Ed25519PrivateKey.generate())[:60],
    ],
    ids=["empty", "no key", "another kind", "encrypted", "cut off"],
)
def test_a_damaged_key_is_never_replaced(tmp_path: Path, content: bytes) -> None:
    open_home(tmp_path)
    (tmp_path / "node.key").write_bytes(content)

    with pytest.raises(
        MeshError, match=r"node\.key is not an Ed25519 key: put it back from a backup with keys, or start a new"
    ):
        Home(tmp_path)
    assert (tmp_path / "node.key").read_bytes() == content


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"[]",
        b'{"name":"\xff","mesh":"home"}',
        b'{"name":"a b","mesh":"home"}',
        b'{"name":"a","mesh":""}',
        b'{"name":"a"}',
        b'{"name":7,"mesh":"home"}',
        b'{"version":0,"name":"a","mesh":"home"}',
        b'{"name":"a","mesh":"home","port":70000}',
    ],
)
def test_damaged_facts_are_never_replaced(tmp_path: Path, content: bytes) -> None:
    open_home(tmp_path)
    (tmp_path / "node.json").write_bytes(content)

    with pytest.raises(MeshError, match=r"node\.json is damaged \(.+\): put it back from a backup"):
        Home(tmp_path)
    assert (tmp_path / "node.json").read_bytes() == content


@pytest.mark.parametrize(
    "content",
    [
        b'{"version":2,"name":"a","mesh":"home"}',
        b'{"version":2,"names":["a"]}',
        b'{"name":"a","mesh":"home","colour":"red"}',
    ],
)
def test_facts_of_a_newer_release_are_not_reported_as_damaged(tmp_path: Path, content: bytes) -> None:
    open_home(tmp_path)
    (tmp_path / "node.json").write_bytes(content)

    with pytest.raises(MeshError, match=r"node\.json was written by a newer release of peermesh: use that one"):
        Home(tmp_path)
    assert (tmp_path / "node.json").read_bytes() == content


def test_two_nodes_cannot_run_in_one_home(tmp_path: Path) -> None:
    home = Home(tmp_path)

    with pytest.raises(MeshError, match=rf"a node runs in .* already \(process {os.getpid()}\): stop it with"):
        Home(tmp_path)
    home.close()
    home.close()
    open_home(tmp_path)


@pytest.mark.parametrize("content", [b"", b"not a number\n", b"4194305\n", b"99999999999999999999\n", b"-1\n"])
def test_a_lock_file_without_a_process_number_still_locks_the_home(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "lock").write_bytes(content)  # a killed node may have left its number

    with (tmp_path / "lock").open("ab") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(MeshError, match=r"a node runs in .* already: stop it with"):
            Home(tmp_path)

    open_home(tmp_path)


@pytest.mark.parametrize("which", ["node.key", "node.json", "lock"])
def test_a_home_that_cannot_be_read_is_an_error_with_a_sentence(tmp_path: Path, which: str) -> None:
    (tmp_path / which).mkdir()

    with pytest.raises(MeshError, match=r"the home .* cannot be used: Is a directory"):
        Home(tmp_path)


def test_a_file_is_no_home(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")

    with pytest.raises(MeshError, match=r"the home .* cannot be used"):
        Home(tmp_path / "file")


def test_a_crash_while_facts_are_written_leaves_the_old_ones(tmp_path: Path) -> None:
    open_home(tmp_path, name="kitchen")
    (tmp_path / "node.json.new").write_text('{"name":"kit')

    home = Home(tmp_path)
    home.keep_port(1234)
    home.close()

    assert json.loads((tmp_path / "node.json").read_text())["port"] == 1234


def test_the_id_comes_from_the_public_key() -> None:
    key = Ed25519PrivateKey.from_private_bytes(bytes(32))

    assert make_node_id("kitchen", key) == "kitchen~copdsqhgjnkjc4ra"
    assert make_node_id("kitchen", key, 8) == "kitchen~copdsqhg"


def test_a_home_of_a_release_before_keeps_its_id_of_eight_characters(tmp_path: Path) -> None:
    home = Home(tmp_path, name="kitchen")
    new_id = home.node_id
    home.close()
    facts = json.loads((tmp_path / "node.json").read_text())
    assert facts.pop("hash_characters") == 16
    (tmp_path / "node.json").write_text(json.dumps(facts))

    home = Home(tmp_path)
    home.keep_port(1234)
    old_id = home.node_id
    home.close()
    again = Home(tmp_path)

    assert old_id == again.node_id == new_id[:-8]
    again.close()
