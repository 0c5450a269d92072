"""The clients' port over HTTP, with and without TLS, and the errors when it cannot be opened."""

from __future__ import annotations

import json
import socket
import ssl
import urllib.request
from pathlib import Path

import pytest
import trustme
from websockets.exceptions import InvalidStatus

from mesh.errors import MeshError
from mesh.gateway.clients.page import PAGE_FILES, SECURITY_HEADERS
from mesh.node import Node
from tests.support.door_house import Client, House, house

__all__ = ["house"]


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


def pem_files(authority: trustme.CA, path: Path, name: str = "127.0.0.1") -> tuple[Path, Path]:
    issued = authority.issue_cert(name)
    cert, key = path / f"{name}.pem", path / f"{name}.key"
    issued.cert_chain_pems[0].write_to_path(str(cert))
    issued.private_key_pem.write_to_path(str(key))
    return cert, key


def has_security_headers(headers: dict[str, str]) -> bool:
    return all(headers.get(name.lower()) == value for name, value in SECURITY_HEADERS.items())


# The page and the status


def test_every_file_of_the_page_is_served(house: House) -> None:
    house.start()

    for path, file in PAGE_FILES.items():
        status, headers, body = house.http("GET", f"{path}?v=1")
        assert (status, headers["content-type"], body) == (200, file.content_type, file.body)
        assert has_security_headers(headers)
        assert headers["cache-control"] == "no-store"


def test_head_is_answered_as_get_without_a_body(house: House) -> None:
    house.start()

    status, headers, body = house.http("HEAD", "/")

    assert (status, body, headers["content-length"]) == (200, b"", str(len(PAGE_FILES["/"].body)))


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "PATCH"])
def test_methods_other_than_get_and_head_are_refused(house: House, method: str) -> None:
    house.start()

    status, headers, body = house.http(method, "/")

    assert (status, headers["allow"]) == (405, "GET, HEAD")
    assert has_security_headers(headers)
    assert body.endswith(b"\n")


def test_a_request_with_a_body_ends_the_connection(house: House) -> None:
    house.start()

    with pytest.raises(ConnectionError):
        house.http("POST", "/", body=b"x" * 1_000)

    assert house.http("GET", "/")[0] == 200


@pytest.mark.parametrize("path", ["/nothing", "//", "/page.css/", "/../etc/passwd", "/%2e%2e/tokens.json", "/Status"])
def test_other_paths_are_not_found(house: House, path: str) -> None:
    house.start()

    status, headers, body = house.http("GET", path)

    assert (status, body) == (404, b"there is nothing here: the page of this node is at /\n")
    assert has_security_headers(headers)


def test_the_status_is_sent_to_users_with_a_token(house: House) -> None:
    node = house.start()

    status, headers, body = house.http("GET", "/status", {"Authorization": f"Bearer ada:{house.token('ada')}"})

    assert (status, headers["content-type"]) == (200, "application/json")
    assert json.loads(body)["node_id"] == node.node_id
    assert has_security_headers(headers)


@pytest.mark.parametrize("authorization", [None, "", "Bearer", "Bearer ada", "Bearer ada:", "Bearer :", "Basic YTpi"])
def test_the_status_is_sent_to_no_one_else(house: House, authorization: str | None) -> None:
    house.start()

    status, headers, body = house.http("GET", "/status", {"Authorization": authorization} if authorization else {})

    assert (status, b"Authorization: Bearer USER:TOKEN" in body) == (401, True)
    assert has_security_headers(headers)


# Pages and names


@pytest.mark.parametrize("host", ["evil.example", "evil.example:80", "127.0.0.1:1", "", "a b"])
def test_a_request_by_a_name_that_is_not_ours_is_refused(house: House, host: str) -> None:
    house.start()

    status, headers, body = house.http("GET", "/", {"Host": host})

    assert (status, body.count(b"\n")) == (403, 1)
    assert has_security_headers(headers)


@pytest.mark.parametrize("origin", ["https://evil.example", "null", "http://127.0.0.1:1", "x"])
def test_a_page_of_another_site_is_refused_over_http_and_over_websocket(house: House, origin: str) -> None:
    node = house.start()

    status, _, body = house.http("GET", "/status", {"Origin": origin})
    with pytest.raises(InvalidStatus) as refused:
        Client(node.clients_url.replace("http", "ws"), "ada", Origin=origin)

    assert status == refused.value.response.status_code == 403
    assert body == refused.value.response.body
    assert body.count(b"\n") == 1


def test_our_own_page_and_listed_pages_may_connect(house: House) -> None:
    node = house.start(clients_origins=["https://app.example"])

    for origin in (node.clients_url.rstrip("/"), "https://app.example"):
        client = Client(node.clients_url.replace("http", "ws"), "ada", Origin=origin)
        assert client.greet(house.token("ada"))[0] == "connected"
        client.close()


def test_a_node_is_reached_by_a_further_name(house: House) -> None:
    node = house.start(clients_hosts=["mesh.example"])

    assert house.http("GET", "/", {"Host": f"mesh.example:{node.clients_port}"})[0] == 200


# TLS


def test_with_a_certificate_the_page_and_clients_use_tls_only(
    house: House, authority: trustme.CA, tmp_path: Path
) -> None:
    cert, key = pem_files(authority, tmp_path)
    node = house.start(clients_cert=cert, clients_key=str(key))
    trusting = ssl.create_default_context()
    authority.configure_trust(trusting)

    with urllib.request.urlopen(node.clients_url, context=trusting) as answer:
        page = answer.read()
    client = Client(node.clients_url.replace("https", "wss"), "ada", ssl=trusting)

    assert node.clients_url.startswith("https://127.0.0.1:")
    assert page == PAGE_FILES["/"].body
    assert client.greet(house.token("ada"))[0] == "connected"
    assert client.add(1, "milk") == ["synced", 1]
    client.close()
    assert house.http("GET", "/")[0] == 426
    assert not node.is_clients_door_in_clear


@pytest.mark.parametrize("harm", ["no file", "no pem", "another key", "swapped", "folder"])
def test_a_certificate_that_cannot_be_used_is_an_error_with_a_sentence(
    house: House, authority: trustme.CA, tmp_path: Path, harm: str
) -> None:
    cert, key = pem_files(authority, tmp_path)
    _, other_key = pem_files(authority, tmp_path, "other.example")
    (tmp_path / "text").write_text("no pem")
    given = {
        "no file": (tmp_path / "missing.pem", key),
        "no pem": (tmp_path / "text", key),
        "another key": (cert, other_key),
        "swapped": (key, cert),
        "folder": (tmp_path, key),
    }[harm]

    with pytest.raises(MeshError, match="give two PEM files that belong together") as refused:
        house.make(clients_cert=given[0], clients_key=given[1]).start()

    assert "_ssl.c" not in str(refused.value)
    assert "\n" not in str(refused.value)


def test_an_encrypted_key_is_an_error_and_asks_for_no_password(
    house: House, authority: trustme.CA, tmp_path: Path
) -> None:
    from cryptography.hazmat.primitives import serialization

    cert, key = pem_files(authority, tmp_path)
    secret = serialization.load_pem_private_key(key.read_bytes(), None)
    key.write_bytes(
        secret.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.BestAvailableEncryption(b"secret"),
        )
    )

    with pytest.raises(MeshError, match="is encrypted"):
        house.make(clients_cert=cert, clients_key=key).start()


def test_a_certificate_needs_its_key(house: House, tmp_path: Path) -> None:
    with pytest.raises(MeshError, match="give both, or none"):
        house.make(clients_cert=tmp_path / "cert.pem")


# Opening


def test_a_port_in_use_is_an_error_that_names_the_option(house: House) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]

        with pytest.raises(MeshError, match=rf"127.0.0.1:{port} is in use on .* with clients=.127.0.0.1:PORT"):
            house.make(clients=f"127.0.0.1:{port}").start()

    assert house.start(clients=f"127.0.0.1:{port}").clients_port == port


@pytest.mark.parametrize("address", ["192.0.2.1:0", "nowhere.invalid:0"])
def test_an_address_of_another_machine_is_an_error_with_a_sentence(house: House, address: str) -> None:
    with pytest.raises(MeshError, match=r"cannot listen on .* choose another address with clients="):
        house.make(clients=address, clients_insecure=True).start()


def test_the_clients_port_closes_with_the_node_and_opens_with_the_next_start(house: House) -> None:
    node = house.start()
    port = node.clients_port
    node.stop()

    assert (node.clients_port, node.clients_url) == (0, "")
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port))

    node.start()
    assert house.http("GET", "/")[0] == 200


@pytest.mark.parametrize("address", [":8080", "0.0.0.0:8080", "[::]:8080", "192.168.1.7:8080"])
def test_a_door_on_the_lan_needs_a_certificate_or_leave_to_do_without(tmp_path: Path, address: str) -> None:
    with pytest.raises(MeshError) as refused:
        Node("kitchen", home=tmp_path, clients=address)

    assert f"the clients' door at {address} would be open to the network and not encrypted" in str(refused.value)
    assert "clients_insecure=True" in str(refused.value)
    assert "clients_cert= and clients_key= of a certificate that browsers trust" in str(refused.value)
    assert "they do not trust those of the mesh" in str(refused.value)
    Node("kitchen", home=tmp_path, clients=address, clients_insecure=True)


@pytest.mark.parametrize(
    ("host", "is_in_clear"), [("127.0.0.1", False), ("[::1]", False), ("0.0.0.0", True), ("[::]", True), ("", True)]
)
def test_a_node_knows_whether_tokens_are_sent_unencrypted(house: House, host: str, is_in_clear: bool) -> None:
    node = house.start(clients=f"{host}:0", clients_insecure=is_in_clear)

    assert node.is_clients_door_in_clear is is_in_clear
    with urllib.request.urlopen(node.clients_url) as answer:
        assert answer.status == 200
