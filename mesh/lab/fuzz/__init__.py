"""Storms: random scenarios, their replay, and their reduction to few steps."""
