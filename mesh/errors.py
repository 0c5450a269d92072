"""The errors of `mesh`."""


class MeshError(Exception):
    """An error of a node, a home or a command, as a sentence for users: what is wrong, and what would fix it.

    Errors of the protocol between two nodes are `peers.errors.SyncError`.
    """


class NoNodeError(MeshError):
    """No node runs in the home, or it has just stopped. Start one there and try again."""
