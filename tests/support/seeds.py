"""Seeds of one story: some in every run, the rest in the long one."""

from __future__ import annotations

from typing import Any

import pytest


def seeds(count: int, *, always: int) -> list[Any]:
    """Values for `pytest.mark.parametrize`: 0 to count - 1, of which the first `always` are played in every run."""
    return [pytest.param(seed, marks=() if seed < always else pytest.mark.long) for seed in range(count)]
