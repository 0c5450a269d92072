"""Benchmarks: what `mesh bench` measures."""

MEASURE_SECONDS = 300.0
"""Within which one measurement of real nodes must end."""
