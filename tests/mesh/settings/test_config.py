"""The settings of a node."""

from __future__ import annotations

import pytest

from mesh.errors import MeshError
from mesh.settings.config import check_name, mesh_mark, parse_address


@pytest.mark.parametrize(
    ("address", "host", "port"),
    [
        ("192.168.1.7:4000", "192.168.1.7", 4000),
        ("kitchen.lan:1", "kitchen.lan", 1),
        ("[fd00::7]:65535", "fd00::7", 65535),
        ("127.0.0.1:0", "127.0.0.1", 0),
        (":4000", "", 4000),
    ],
)
def test_an_address_is_host_and_port(address: str, host: str, port: int) -> None:
    assert parse_address(address, "the peer") == (host, port)


@pytest.mark.parametrize(
    "address",
    [
        "",
        ":",
        "kitchen",
        "kitchen:",
        "kitchen:http",
        "kitchen:-1",
        "kitchen:65536",
        "kitchen:" + "9" * 5000,
        "kitchen:٤٠٠٠",
        "fd00::7:4000",
        "[]:4000",
        "[kitchen]:4000",
        "two words:4000",
        "10.0.0.300:4000",
    ],
)
def test_a_malformed_address_is_an_error_with_a_sentence(address: str) -> None:
    with pytest.raises(MeshError, match=r"^the peer .+: .+"):
        parse_address(address, "the peer")


@pytest.mark.parametrize("address", ["kitchen:0", ":4000"])
def test_port_0_and_no_host_are_for_listening_only(address: str) -> None:
    with pytest.raises(MeshError, match="the peer"):
        parse_address(address, "the peer", is_dialled=True)


@pytest.mark.parametrize("name", ["a", "kitchen-2.lan_x", "x" * 64, "7"])
def test_a_name_that_fits_is_not_changed(name: str) -> None:
    assert check_name(name, "the name") == name


@pytest.mark.parametrize("name", ["", "a b", "a~b", "a:b", "a\n", "x" * 65, "é"])
def test_a_name_that_does_not_fit_is_an_error_with_a_sentence(name: str) -> None:
    with pytest.raises(MeshError, match=r"the name .* cannot be used: take 1 to 64 letters, digits"):
        check_name(name, "the name")


def test_the_mark_of_a_mesh_does_not_show_its_name() -> None:
    assert mesh_mark("home") == mesh_mark("home") != mesh_mark("house")
    assert "home" not in mesh_mark("home")
    assert len(mesh_mark("home")) == 16
