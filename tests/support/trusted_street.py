"""TrustedStreet: a Street whose nodes belong to one mesh, and networks with certificates, without nodes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mesh.lab.live.homes import FoundedMesh
from mesh.node import Node
from mesh.settings.home import Home
from mesh.trust.certificates import read_certificates
from mesh.trust.tls import may_speak, tls_contexts
from tests.support.street import Street


def tls_options(home: Path) -> dict[str, Any]:
    """The options of a WebSocketNetwork for a home with certificates."""
    opened = Home(home)
    opened.close()
    accepting, dialling = tls_contexts(home, read_certificates(home, opened.signer.public))
    return {
        "tls": accepting,
        "dial_tls": dialling,
        "may_speak": lambda certificate, node_id: may_speak(certificate.public, node_id),
    }


def trusted_homes(path: Path, *names: str, seed: str = "mesh") -> dict[str, str]:
    """Make a home of one mesh for each name, in a folder with this name; the result has the node ids."""
    mesh = FoundedMesh(seed)
    return {name: mesh.make_home(path / name, name) for name in names}


class TrustedStreet(Street):
    """Nodes whose homes got their certificates from one mesh; `mesh=""` makes an open node, another seed another mesh."""

    def make(self, name: str, *, mesh: str = "mesh", **options: Any) -> Node:
        home = self.path / name
        if mesh and not home.exists():
            trusted_homes(self.path, name, seed=mesh)
        return super().make(name, **options)

    def start(self, name: str, *, mesh: str = "mesh", **options: Any) -> Node:
        return super().start(name, mesh=mesh, **options)

    def said(self, name: str) -> list[str]:
        """The sentences of the notices of a node."""
        return [notice.sentence for notice in self.notices[name]]
