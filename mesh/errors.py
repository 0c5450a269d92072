"""MeshError: what the house, not the protocol, has to complain about."""


class MeshError(Exception):
    """A sentence for people: who, what, and what would fix it."""
