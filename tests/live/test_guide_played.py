"""The consoles of the README and of the guide print what the pages say."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from page_player import PagePlayer

from mesh.lab.live.namespaces import NetLab
from tests.support.guide import PAGES, README, blocks

PLAYED = [path for path in (README, *PAGES) if blocks(path, "console")]


OTHER_TESTS = {
    "README": "live/test_readme.py",
    "browser": "page/test_own_page.py",
    "fastapi": "live/test_readme.py",
    "testing": "mesh/lab/test_pytest_plugin.py",
}
"""The tests that run Python blocks which no console runs."""


def test_every_python_block_runs_somewhere() -> None:
    for path in (README, *PAGES):
        consoles = "".join(blocks(path, "console"))
        named = [re.match(r"# (\w+\.py)\n", block) for block in blocks(path, "python")]
        is_played = all(name is not None and f"python {name[1]}" in consoles for name in named)
        assert is_played or path.stem in OTHER_TESTS, path


@pytest.mark.netlab
@pytest.mark.parametrize("page", PLAYED, ids=lambda path: path.stem)
def test_the_consoles_of_a_page_print_what_it_says(page: Path, netlab: NetLab, tmp_path: Path) -> None:
    assert PagePlayer(netlab, tmp_path).play(page) > 0
