"""MeshError: what the house, not the protocol, has to complain about."""


class MeshError(Exception):
    """A sentence for people: who, what, and what would fix it."""


class NoNodeError(MeshError):
    """No node runs in the home, or it has just stopped: one that is started there can be asked."""
