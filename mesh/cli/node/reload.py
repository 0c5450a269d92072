"""Reloading: what a running `mesh up` takes over when its options are read again."""

from __future__ import annotations

from collections.abc import Callable

import click

from mesh.cli.node.chosen import UpOptions
from mesh.errors import MeshError
from mesh.node import Node
from mesh.settings.mesh_file import LIMITS_TABLE
from peers.limits import FIXED, Limits

PEER, CERTIFICATE = "peer", "clients-cert"


class Reloading:
    """Compares the options that a node has with those that flags, variables and the file give now."""

    def __init__(self, options: UpOptions, read: Callable[[], UpOptions]) -> None:
        """`options` are those that the node was made with; `read` reads them again, and raises as click and MeshError do."""
        self.flags = options.flags
        self._shown = dict(options.shown)
        self._read = read

    def reload(self, node: Node) -> list[str]:
        """Take over what can change in a running node; on its loop. The result says what was taken, and what was not.

        Raises MeshError for a mistake in the options: then nothing is taken over.
        """
        try:
            new = self._read()
        except click.ClickException as error:
            raise MeshError(error.format_message()) from None
        except MeshError as error:
            raise MeshError("; ".join(error.args)) from None
        changed = [key for key, value in new.shown.items() if value != self._shown[key]]
        lines = []
        if new.shown[CERTIFICATE] and CERTIFICATE not in changed:
            node.renew_clients_certificate()
            lines.append("the certificate of the clients' door was read again")
        if PEER in changed:
            changed.remove(PEER)
            node.change_peers(new.of_node.get("peers", ()))
            self._shown[PEER] = new.shown[PEER]
            lines.append(f"peer is {', '.join(new.shown[PEER]) or 'empty'} now")
        limits = [key for key in changed if _is_changed_at_once(key)]
        if limits:
            node.change_limits(new.of_node.get("limits") or Limits())
        for key in limits:
            changed.remove(key)
            self._shown[key] = new.shown[key]
            lines.append(f"{key} is {new.shown[key]} now")
        if changed:
            lines.append(f"these take effect when the node is started again: {', '.join(changed)}")
        return lines or ["nothing has changed"]


def _is_changed_at_once(key: str) -> bool:
    table, _, limit = key.partition(".")
    return table == LIMITS_TABLE and limit not in FIXED
