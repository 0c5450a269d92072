"""Benchmarks: what `mesh bench` measures."""
