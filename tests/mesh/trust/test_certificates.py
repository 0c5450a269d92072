"""Certificates of a mesh: what TLS makes of them, and the file of a home."""

from __future__ import annotations

import ssl
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mesh.errors import MeshError
from mesh.settings.home import KEY_FILE, Home
from mesh.settings.paths import CERTIFICATES_FILE
from mesh.trust.certificates import (
    CertificateChain,
    admin_certificate,
    mesh_certificate,
    node_certificate,
    public_key,
    read_certificates,
    write_certificates,
)
from peers.events.signature import KeySigner

MESH, OTHER_MESH, ADMIN, NODE = (KeySigner.from_seed(bytes([number]) * 32) for number in (1, 2, 3, 4))


def chain_of(node: KeySigner, node_id: str, *, admin: KeySigner = ADMIN, mesh: KeySigner = MESH) -> CertificateChain:
    return CertificateChain(
        node_certificate(admin, node.public, node_id),
        admin_certificate(mesh, admin.public, "kitchen~admin"),
        mesh_certificate(mesh),
    )


def context(folder: Path, signer: KeySigner, chain: CertificateChain, *, is_server: bool) -> ssl.SSLContext:
    folder.mkdir()
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER if is_server else ssl.PROTOCOL_TLS_CLIENT)
    made.check_hostname = False
    made.verify_mode = ssl.CERT_REQUIRED
    made.verify_flags |= ssl.VERIFY_X509_STRICT
    key = signer.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    (folder / "key").write_bytes(key)
    (folder / "chain").write_bytes(chain.pem)
    made.load_cert_chain(folder / "chain", folder / "key")
    made.load_verify_locations(cadata=chain.mesh)
    return made


def shake_hands(server: ssl.SSLContext, client: ssl.SSLContext) -> tuple[bytes | None, bytes | None]:
    """The certificates that server and client have seen. Raises ssl.SSLError."""
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    ends = (
        server.wrap_bio(to_server, to_client, server_side=True),
        client.wrap_bio(to_client, to_server, server_side=False),
    )
    is_done = [False, False]
    for _ in range(10):
        for number, end in reversed(list(enumerate(ends))):
            try:
                end.do_handshake()
                is_done[number] = True
            except ssl.SSLWantReadError:
                pass
    assert is_done == [True, True]
    return ends[0].getpeercert(True), ends[1].getpeercert(True)


def test_two_nodes_of_one_mesh_accept_each_other_in_tls(tmp_path: Path) -> None:
    kitchen, study = chain_of(ADMIN, "kitchen~admin"), chain_of(NODE, "study~node")

    seen = shake_hands(
        context(tmp_path / "kitchen", ADMIN, kitchen, is_server=True),
        context(tmp_path / "study", NODE, study, is_server=False),
    )

    assert seen == (study.node, kitchen.node)
    assert (public_key(study.node), public_key(kitchen.node)) == (NODE.public, ADMIN.public)


@pytest.mark.parametrize(
    ("node", "admin", "mesh"),
    [(NODE, ADMIN, OTHER_MESH), (NODE, NODE, MESH)],
    ids=["another mesh", "made by a node that is no admin"],
)
def test_a_node_of_no_admin_of_the_mesh_is_refused_in_tls(
    tmp_path: Path, node: KeySigner, admin: KeySigner, mesh: KeySigner
) -> None:
    chain = chain_of(node, "study~node", admin=admin, mesh=mesh)
    if mesh is MESH:  # its own certificate stands where that of an admin should
        chain = chain._replace(admin=chain_of(admin, "attic~node").node)
    server = context(tmp_path / "kitchen", ADMIN, chain_of(ADMIN, "kitchen~admin"), is_server=True)
    client = context(tmp_path / "study", node, chain, is_server=False)
    client.load_verify_locations(cadata=mesh_certificate(MESH))

    with pytest.raises(ssl.SSLError, match="certificate"):
        shake_hands(server, client)


def test_a_certificate_says_the_node_id_and_is_valid_from_1970_to_9999() -> None:
    found = x509.load_der_x509_certificate(node_certificate(ADMIN, NODE.public, "study~" + 64 * "a"))

    names = found.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.UniformResourceIdentifier) == ["peermesh:study~" + 64 * "a"]
    assert (found.not_valid_before_utc.year, found.not_valid_after_utc.year) == (1970, 9999)


def test_the_same_key_gets_the_same_certificate_again() -> None:
    assert chain_of(NODE, "study~node") == chain_of(NODE, "study~node")
    assert len({chain_of(NODE, "study~node").node, chain_of(NODE, "study~other").node, chain_of(ADMIN, "a").node}) == 3


def test_a_key_that_is_not_ed25519_is_refused() -> None:
    with pytest.raises(ValueError):
        public_key(b"")


@pytest.fixture
def home(tmp_path: Path) -> Home:
    """A home in a mesh, that is not in use."""
    made = Home(tmp_path / "home", name="study")
    made.close()
    write_certificates(made.path, chain_of(made.signer, made.node_id))
    return made


def test_a_home_reads_back_its_certificates(home: Home) -> None:
    read = read_certificates(home.path, home.signer.public)

    assert read == chain_of(home.signer, home.node_id)
    assert read.mesh_key == MESH.public
    assert (home.path / CERTIFICATES_FILE).stat().st_mode & 0o777 == 0o600


def test_the_files_of_a_home_are_what_tls_takes(home: Home, tmp_path: Path) -> None:
    kitchen = context(tmp_path / "kitchen", ADMIN, chain_of(ADMIN, "kitchen~admin"), is_server=True)
    study = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    study.check_hostname = False
    study.load_cert_chain(home.path / CERTIFICATES_FILE, home.path / KEY_FILE)
    study.load_verify_locations(cadata=read_certificates(home.path, home.signer.public).mesh)

    seen, _ = shake_hands(kitchen, study)

    assert seen is not None and public_key(seen) == home.signer.public


def test_certificates_are_never_overwritten(home: Home) -> None:
    with pytest.raises(MeshError, match="exists already"):
        write_certificates(home.path, chain_of(home.signer, home.node_id, mesh=OTHER_MESH))

    assert read_certificates(home.path, home.signer.public).mesh_key == MESH.public


def other_key(home: Home) -> bytes:
    return chain_of(NODE, home.node_id).pem


def half(home: Home) -> bytes:
    return (home.path / CERTIFICATES_FILE).read_bytes()[:700]


def of_two_meshes(home: Home) -> bytes:
    chain = chain_of(home.signer, home.node_id)
    return chain._replace(mesh=mesh_certificate(OTHER_MESH)).pem


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (other_key, "certificates.pem is of another key than .*node.key: put it back from a backup"),
        (half, "certificates.pem is damaged .*: put it back"),
        (lambda _: b"", "is damaged .it is not the whole of three certificates.: put"),
        (lambda _: b"x" * 70_000, "is damaged .it has more than 65536 bytes.: put"),
        (of_two_meshes, "is damaged .its certificates do not belong together.: put"),
        (lambda home: chain_of(home.signer, "a").pem * 2, "is damaged .it has 6 certificates, not 3.: put"),
    ],
)
def test_certificates_that_are_foreign_or_damaged_are_refused_with_a_sentence_and_kept(
    home: Home, content: Callable[[Home], bytes], sentence: str
) -> None:
    path = home.path / CERTIFICATES_FILE
    text = content(home)
    path.write_bytes(text)

    with pytest.raises(MeshError, match=sentence) as caught:
        read_certificates(home.path, home.signer.public)

    assert "\n" not in str(caught.value)
    assert path.read_bytes() == text


@given(st.integers(0, 2_000), st.integers(0, 40), st.binary(max_size=40))
@settings(deadline=None, max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_certificates_with_any_damage_are_read_as_they_were_or_refused_with_a_sentence(
    home: Home, at: int, length: int, other: bytes
) -> None:
    path = home.path / CERTIFICATES_FILE
    whole = chain_of(home.signer, home.node_id)
    text = whole.pem
    path.write_bytes(text[:at] + other + text[at + length :])

    try:
        read = read_certificates(home.path, home.signer.public)
    except MeshError as error:
        assert str(path) in str(error)
        assert "\n" not in str(error)
    else:
        assert read == whole


@pytest.mark.parametrize("name", [KEY_FILE, CERTIFICATES_FILE])
def test_a_key_or_certificate_file_that_is_missing_or_too_open_is_refused_with_a_sentence(
    home: Home, name: str
) -> None:
    (home.path / name).chmod(0o640)
    with pytest.raises(MeshError, match=f"others may read or write .*{name} .its mode is 640.: run `chmod 600 "):
        read_certificates(home.path, home.signer.public)

    (home.path / name).unlink()
    with pytest.raises(MeshError, match=f"{name} is missing: put it back from a backup with keys"):
        read_certificates(home.path, home.signer.public)
