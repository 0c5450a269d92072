"""The file of a backup: what is in it, and that one which is not whole is refused."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh.errors import MeshError
from mesh.settings.backup_file import COPY_BYTES, MAGIC, BackupFacts, BackupFile, seal

LOG = b"SQLite format 3\0" + b"log" * 50


def write(path: Path, log: bytes = LOG, **files: bytes) -> BackupFacts:
    facts = BackupFacts(node_id="kitchen~a", name="kitchen", mesh="home", made_ms=7, events=3, files=files)
    path.write_bytes(log)
    with path.open("r+b") as file:
        seal(file, facts)
    return facts


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("backup") / "kitchen.backup"


@given(log=st.binary(max_size=300), files=st.dictionaries(st.text(), st.binary(max_size=300), max_size=3))
def test_a_file_gives_back_what_was_put_in_it(path: Path, log: bytes, files: dict[str, bytes]) -> None:
    facts = write(path, log, **files)
    target = path.with_name("log")
    target.unlink(missing_ok=True)

    with BackupFile(path) as backup:
        backup.extract_log(target)

    assert backup.facts == facts
    assert target.read_bytes() == log


def test_a_log_of_many_pieces_is_given_back(tmp_path: Path) -> None:
    log = bytes(range(256)) * (COPY_BYTES // 256 * 2 + 5)
    write(tmp_path / "backup", log)

    with BackupFile(tmp_path / "backup") as backup:
        backup.extract_log(tmp_path / "log")

    assert (tmp_path / "log").read_bytes() == log


@given(st.data())
def test_a_file_with_any_byte_changed_is_refused(path: Path, data: st.DataObject) -> None:
    write(path, **{"node.json": b"{}"})
    content = bytearray(path.read_bytes())
    at = data.draw(st.integers(0, len(content) - 1))
    content[at] ^= data.draw(st.integers(1, 255))
    path.write_bytes(content)

    with pytest.raises(MeshError, match=r"is damaged \(|is no whole backup|is not a backup|by a newer release"):
        BackupFile(path)


@given(st.data())
def test_a_file_that_was_cut_short_or_continued_is_refused(path: Path, data: st.DataObject) -> None:
    write(path)
    whole = path.read_bytes()
    path.write_bytes(data.draw(st.sampled_from([whole[: data.draw(st.integers(0, len(whole) - 1))], whole + b"x"])))

    with pytest.raises(MeshError, match=r"is no whole backup|is not a backup"):
        BackupFile(path)


@given(st.binary(max_size=200))
def test_what_is_no_backup_is_refused(path: Path, content: bytes) -> None:
    for end in (b"", MAGIC):
        path.write_bytes(content + end)
        with pytest.raises(MeshError, match=r"is damaged \(|is no whole backup|is not a backup"):
            BackupFile(path)


@pytest.mark.parametrize("number", [b"2", b"10"])
def test_a_file_of_a_newer_release_is_refused_with_what_to_do(tmp_path: Path, number: bytes) -> None:
    write(tmp_path / "backup")
    content = (tmp_path / "backup").read_bytes().removesuffix(MAGIC)
    (tmp_path / "backup").write_bytes(content + MAGIC.replace(b"1", number))

    with pytest.raises(MeshError, match="was written by a newer release of peermesh: restore it with that one"):
        BackupFile(tmp_path / "backup")


@pytest.mark.parametrize("name", ["missing", "."])
def test_a_file_that_cannot_be_read_is_an_error_with_its_name(tmp_path: Path, name: str) -> None:
    with pytest.raises(MeshError, match=f"cannot read {tmp_path / name}: "):
        BackupFile(tmp_path / name)
