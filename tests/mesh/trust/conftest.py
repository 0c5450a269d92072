"""Nodes of one mesh on loopback."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.trusted_street import TrustedStreet


@pytest.fixture
def street(tmp_path: Path) -> Iterator[TrustedStreet]:
    """Members of one mesh, all stopped after the test."""
    street = TrustedStreet(tmp_path)
    yield street
    street.close()
