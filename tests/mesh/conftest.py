"""Nodes on loopback for tests of whole nodes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.street import Street


@pytest.fixture
def street(tmp_path: Path) -> Iterator[Street]:
    """Open nodes, all stopped after the test."""
    street = Street(tmp_path)
    yield street
    street.close()
