"""A mesh of one node on loopback, which others join."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.mesh_of_homes import homes_of_one_mesh
from tests.support.trusted_street import TrustedStreet


@pytest.fixture
def street(tmp_path: Path) -> Iterator[TrustedStreet]:
    """With the home of an admin, "kitchen"; all nodes are stopped after the test."""
    homes_of_one_mesh(tmp_path, "kitchen")
    street = TrustedStreet(tmp_path)
    yield street
    street.close()
