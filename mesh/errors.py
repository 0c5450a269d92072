"""The errors of `mesh`, and how text of others is shown."""


class MeshError(Exception):
    """An error of a node, a home or a command, as a sentence for users: what is wrong, and what would fix it.

    Errors of the protocol between two nodes are `peers.errors.SyncError`.
    """


class NoNodeError(MeshError):
    """No node runs in the home, or it has just stopped. Start one there and try again."""


def printable(text: str) -> str:
    """`text` for people, with all that is no letter, mark or sign escaped: text of others must not control a terminal.

    These are control characters, line ends, marks of direction, characters without width, and spaces but the plain one.
    """
    if text.isprintable():
        return text
    return "".join(one if one.isprintable() else ascii(one)[1:-1] for one in text)
