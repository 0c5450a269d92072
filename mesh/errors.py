"""MeshError: what is wrong with a node or with how it is used; errors of the protocol are SyncError."""


class MeshError(Exception):
    """Its text is a sentence for users: what is wrong, and how to correct it."""


class NoNodeError(MeshError):
    """No node runs in the home, or it has just stopped. Start one there and try again."""
