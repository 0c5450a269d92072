"""Metrics and health: what programs that watch a node ask it over HTTP."""
