"""`mesh reload` and SIGHUP: what a running node takes over from `mesh.toml`."""

from __future__ import annotations

import json
import re
import signal
import socket
import ssl
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import trustme

from mesh import Node
from tests.support.commands import next_line, run, running

ALONE = 'open = true\nmdns = false\nlisten = "127.0.0.1:0"\n'


def write(home: Path, text: str) -> None:
    home.mkdir(exist_ok=True)
    (home / "mesh.toml").write_text(ALONE + text)


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "home"


@pytest.fixture
def node(home: Path, request: pytest.FixtureRequest) -> Iterator[subprocess.Popen[bytes]]:
    """A node that was started with the text of the parameter in its file, and is up."""
    write(home, request.param)
    with running(home, "up", "--json") as process:
        wait_for(process, "up")
        yield process


def wait_for(process: subprocess.Popen[bytes], kind: str) -> dict[str, Any]:
    while True:
        event: dict[str, Any] = json.loads(next_line(process))
        if event["event"] == kind:
            return event


def peers(home: Path) -> list[str]:
    return [row["address"] for row in json.loads(run(home, "peer", "list", "--json").stdout)]


@pytest.mark.parametrize("node", ['peer = ["127.0.0.1:1", "127.0.0.1:2"]\n'], indirect=True)
def test_a_running_node_takes_over_its_peers_and_names_what_waits(home: Path, node: subprocess.Popen[bytes]) -> None:
    run(home, "peer", "add", "127.0.0.1:1")
    write(home, 'peer = ["127.0.0.1:3"]\nrequery = 9\n[limits]\nmembers = 9\nconnections = 100\n')

    done = run(home, "reload")

    assert done.stdout.decode().splitlines() == [
        "peer is 127.0.0.1:3 now",
        "limits.connections is 100 now",
        "these take effect when the node is started again: requery, limits.members",
    ]
    assert peers(home) == ["127.0.0.1:3", "127.0.0.1:1"]  # the second one is kept in the home
    assert run(home, "reload").stdout.startswith(b"these take effect")
    shown = {row["check"]: row["found"] for row in json.loads(run(home, "doctor", "--json").stdout)}
    assert re.fullmatch(
        r"--json on the command line and \d of mesh.toml and of variables, no mistakes", shown["options"]
    )


@pytest.mark.parametrize("node", [""], indirect=True)
def test_a_mistake_in_the_file_changes_nothing(home: Path, node: subprocess.Popen[bytes]) -> None:
    write(home, 'peer = "127.0.0.1:3"\nnam = "x"\n')

    done = run(home, "reload")

    assert done.returncode == 1
    assert b"mesh.toml:5: there is no option nam; did you mean name?" in done.stderr
    assert peers(home) == []


@pytest.mark.parametrize("node", [""], indirect=True)
def test_sighup_does_what_the_command_does(home: Path, node: subprocess.Popen[bytes]) -> None:
    write(home, 'peer = "127.0.0.1:3"\n')

    node.send_signal(signal.SIGHUP)

    assert wait_for(node, "reload")["text"] == "peer is 127.0.0.1:3 now"
    assert peers(home) == ["127.0.0.1:3"]


@pytest.mark.parametrize("node", [""], indirect=True)
def test_without_a_change_it_says_so(home: Path, node: subprocess.Popen[bytes]) -> None:
    assert run(home, "reload").stdout == b"nothing has changed\n"


def write_pair(folder: Path) -> bytes:
    """A new certificate with its key; the result is what a client sees of it."""
    pair = trustme.CA().issue_cert("127.0.0.1")
    pair.private_key_pem.write_to_path(folder / "key.pem")
    pair.cert_chain_pems[0].write_to_path(folder / "cert.pem")
    return ssl.PEM_cert_to_DER_cert(pair.cert_chain_pems[0].bytes().decode())


def shown_certificate(port: int) -> bytes | None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with socket.create_connection(("127.0.0.1", port), 10) as plain, context.wrap_socket(plain) as secure:
        return secure.getpeercert(binary_form=True)


def test_a_renewed_certificate_is_shown_to_clients_from_then_on(home: Path) -> None:
    write(home, 'clients = "127.0.0.1:0"\nclients-cert = "cert.pem"\nclients-key = "key.pem"\n')
    first = write_pair(home)
    with running(home, "up", "--json") as process:
        port = wait_for(process, "up")["doors"]["clients"]
        assert shown_certificate(port) == first

        second = write_pair(home)
        done = run(home, "reload")

        assert done.stdout == b"the certificate of the clients' door was read again\n"
        assert shown_certificate(port) == second

        (home / "cert.pem").write_bytes(b"half")
        refused = run(home, "reload")

        assert refused.returncode == 1
        assert b"they are not a certificate and a key in PEM" in refused.stderr
        assert shown_certificate(port) == second


def test_a_node_inside_another_program_has_nothing_to_reload(home: Path) -> None:
    with Node("till", home=home, listen="127.0.0.1:0", mdns=False, open=True):
        done = run(home, "reload")

    assert done.returncode == 1
    assert b"this node runs inside another program" in done.stderr
