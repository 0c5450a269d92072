"""A file of a command is whole or not there."""

from __future__ import annotations

from pathlib import Path

import pytest

from mesh.errors import MeshError
from mesh.settings.whole_file import whole_file


def write(target: Path, data: bytes, *, error: BaseException | None = None, is_forced: bool = False) -> None:
    with whole_file(
        target.parent / "home", target, is_forced=is_forced, otherwise="nothing was written", example="x"
    ) as (_, file):
        file.write(data)
        if error is not None:
            raise error


def test_it_has_its_name_when_it_is_complete_and_only_this_user_may_read_it(tmp_path: Path) -> None:
    write(tmp_path / "file", b"whole")

    assert [path.name for path in tmp_path.iterdir()] == ["file"]
    assert (tmp_path / "file").read_bytes() == b"whole"
    assert (tmp_path / "file").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("error", [KeyboardInterrupt(), OSError(28, "No space left on device"), MeshError("no")])
def test_what_ends_it_early_leaves_what_was_there(tmp_path: Path, error: BaseException) -> None:
    (tmp_path / "file").write_bytes(b"before")

    with pytest.raises((KeyboardInterrupt, MeshError)):
        write(tmp_path / "file", b"half", error=error, is_forced=True)

    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {"file": b"before"}


def test_a_file_is_replaced_only_by_force(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"before")

    with pytest.raises(MeshError, match="exists already: name another file, or give --force"):
        write(tmp_path / "file", b"whole")
    write(tmp_path / "file", b"whole", is_forced=True)

    assert (tmp_path / "file").read_bytes() == b"whole"
