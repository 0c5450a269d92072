"""Open nodes, which take others without certificates: where they listen, what they say of it, and which homes refuse it."""

from __future__ import annotations

import logging
import socket
from pathlib import Path
from typing import Any

import pytest

from mesh.errors import MeshError
from mesh.node import Node
from mesh.notices import OPEN_LINK
from tests.support.commands import run
from tests.support.mesh_of_homes import homes_of_one_mesh


def can_connect(port: int, host: str) -> bool:
    try:
        socket.create_connection((host, port), timeout=1).close()
    except OSError:
        return False
    return True


@pytest.mark.parametrize(("is_open", "hosts"), [(True, ["127.0.0.1"]), ("lan", ["127.0.0.1", "::1"])])
def test_an_open_node_stays_on_its_machine_unless_it_is_open_to_the_lan(
    tmp_path: Path, is_open: Any, hosts: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING), Node("kitchen", home=tmp_path, open=is_open, mdns=False) as node:
        assert [host for host in ("127.0.0.1", "::1") if can_connect(node.port, host)] == hosts
        assert not node.is_trusted

    assert OPEN_LINK in caplog.messages


@pytest.mark.parametrize(
    "options",
    [{"listen": ":0"}, {"listen": "192.168.1.7:4000"}, {"listen": "[::]:4000"}, {"interfaces": ["eth0"]}],
)
def test_an_open_node_of_this_machine_is_not_offered_to_others(tmp_path: Path, options: dict[str, Any]) -> None:
    with pytest.raises(MeshError) as refused:
        Node("kitchen", home=tmp_path, open=True, **options)

    assert str(refused.value).endswith(
        'leave listen= and interfaces= out (or listen at 127.0.0.1:PORT), or allow it on all networks with open="lan"'
    )
    assert refused.value.for_commands.endswith("with --open=lan")
    Node("kitchen", home=tmp_path, open="lan", **options)


@pytest.mark.parametrize("listen", ["127.0.0.1:0", "[::1]:0", "localhost:4000"])
def test_it_may_listen_at_another_address_of_this_machine(tmp_path: Path, listen: str) -> None:
    Node("kitchen", home=tmp_path, open=True, listen=listen)


def test_open_has_three_values(tmp_path: Path) -> None:
    with pytest.raises(MeshError, match="open='wan' cannot be used: take True, 'lan' or False"):
        Node("kitchen", home=tmp_path, open="wan")  # type: ignore[arg-type]


@pytest.mark.parametrize("is_open", [True, "lan"])
def test_a_home_of_a_mesh_refuses_to_be_open(tmp_path: Path, is_open: Any) -> None:
    (home,) = homes_of_one_mesh(tmp_path, "kitchen")

    with pytest.raises(MeshError) as refused:
        Node(home=home, open=is_open, mdns=False).start()

    assert str(refused.value) == (
        f"this home is in a mesh, by {home / 'certificates.pem'}, so its node cannot be open: "
        "leave open= out, or use another home="
    )


@pytest.mark.parametrize("given", [["--open"], ["--open=lan"], ["--open", "--no-mdns"]])
def test_the_command_takes_both_forms(tmp_path: Path, given: list[str]) -> None:
    (home,) = homes_of_one_mesh(tmp_path, "kitchen")

    done = run(home, "up", *given)

    assert (done.returncode, b"so its node cannot be open" in done.stderr) == (1, True)


def test_the_command_takes_no_other_value(tmp_path: Path) -> None:
    done = run(tmp_path / "home", "up", "--open=wan")

    assert done.returncode == 2
    assert b"'wan' is not one of" in done.stderr


def test_the_command_names_what_opens_a_node_to_the_lan(tmp_path: Path) -> None:
    done = run(tmp_path / "home", "up", "--open", "--listen", ":4000")

    assert done.returncode == 1
    assert b"--open=lan" in done.stderr
    assert not (tmp_path / "home").exists()
