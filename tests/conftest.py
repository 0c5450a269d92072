"""How many examples the property tests draw: enough for every run, or HYPOTHESIS_PROFILE=thorough for a night."""

from __future__ import annotations

import os

from hypothesis import settings

settings.register_profile("quick", max_examples=20)
settings.register_profile("thorough", max_examples=5_000, deadline=None)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "quick"))
