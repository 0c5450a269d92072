"""A house with one log and the views over it, in virtual time."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.view_house import ViewHouse


@pytest.fixture
def house() -> Iterator[ViewHouse]:
    made = ViewHouse()
    yield made
    made.close()
