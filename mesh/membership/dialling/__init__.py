"""Whom a node dials, when, and which of two links stays."""
