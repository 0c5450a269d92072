"""Who is answered at /metrics, /healthz and /readyz, at the clients' port and at one of their own."""

from __future__ import annotations

import json
import ssl
import subprocess
import sys
import urllib.request
from pathlib import Path
from typing import Any

import pytest
import trustme
from websockets.exceptions import InvalidStatus

from mesh.errors import MeshError
from mesh.gateway.clients.http import ClientGateway, HttpRequests
from mesh.gateway.clients.tokens import Tokens
from mesh.gateway.metrics.measured import Counted
from mesh.gateway.metrics.monitoring import Monitoring
from mesh.gateway.turned_away import TurnedAway
from mesh.node import Node
from peers.clock import ManualClock
from peers.later import Later
from peers.limits import Limits
from peers.transport.http import HttpAnswer, HttpRequest
from peers.transport.large_frames import FrameMemory
from tests.support.commands import environment
from tests.support.door_house import SECONDS, Client, House, house  # noqa: F401
from tests.support.scrape import ask

PATHS = ("/metrics", "/healthz", "/readyz")
DOORS = ("clients", "metrics")
ADDRESS = {"clients": "127.0.0.1:0", "metrics": "127.0.0.1:0"}


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize("path", PATHS)
def test_a_program_of_this_machine_needs_no_token(house: House, door: str, path: str) -> None:  # noqa: F811
    node = house.start(**ADDRESS)

    status, headers, body = ask(node.door_ports[door], path)

    assert (status, headers["cache-control"], bool(body)) == (200, "no-store", True)


@pytest.mark.parametrize("door", DOORS)
def test_a_proxy_of_this_machine_needs_the_token_of_whom_it_asks_for(house: House, door: str) -> None:  # noqa: F811
    port = house.start(**ADDRESS).door_ports[door]
    right = f"Bearer ada:{house.token('ada')}"

    for path in PATHS:
        assert ask(port, path, x_forwarded_for="192.168.1.7")[0] == 401
        assert ask(port, path, x_forwarded_for="192.168.1.7", authorization="Bearer ada:wrong")[0] == 401
        assert ask(port, path, x_forwarded_for="192.168.1.7", authorization=right)[0] == 200


@pytest.mark.parametrize("door", DOORS)
def test_a_page_whose_name_was_made_to_lead_here_is_refused(house: House, door: str) -> None:  # noqa: F811
    port = house.start(**ADDRESS).door_ports[door]

    for path in PATHS:
        assert ask(port, path, host=f"evil.example:{port}")[0] == 403
        assert ask(port, path, origin="https://evil.example")[0] == 403


def test_the_port_for_metrics_has_nothing_else(house: House) -> None:  # noqa: F811
    node = house.start(clients=None, metrics="127.0.0.1:0")
    port = node.door_ports["metrics"]

    assert dict(node.door_ports) == {"metrics": port}
    assert (node.clients_port, node.clients_url) == (0, "")
    assert {path: ask(port, path)[0] for path in ("/", "/status", "/page.js")} == dict.fromkeys(
        ("/", "/status", "/page.js"), 404
    )
    with pytest.raises(InvalidStatus, match="404"):
        Client(f"ws://127.0.0.1:{port}", "ada")


def test_the_port_for_metrics_is_not_open_to_the_network_in_clear(tmp_path: Path) -> None:
    with pytest.raises(MeshError, match="the metrics' door at :9464 would be open to the network and not encrypted"):
        Node("kitchen", home=tmp_path, metrics=":9464")

    Node("kitchen", home=tmp_path, metrics=":9464", clients_insecure=True)


def test_the_port_for_metrics_speaks_tls_with_the_certificate_of_clients(house: House, tmp_path: Path) -> None:  # noqa: F811
    authority = trustme.CA()
    issued = authority.issue_cert("127.0.0.1")
    cert, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    issued.cert_chain_pems[0].write_to_path(str(cert))
    issued.private_key_pem.write_to_path(str(key))
    context = ssl.create_default_context()
    authority.configure_trust(context)

    node = house.start(clients=None, metrics="127.0.0.1:0", clients_cert=cert, clients_key=key)

    url = f"https://127.0.0.1:{node.door_ports['metrics']}/readyz"
    with urllib.request.urlopen(url, context=context, timeout=SECONDS) as answer:
        assert answer.read() == b"the log is open and the disk works\n"


class Fixed:
    """A Measuring that says what a test sets."""

    def __init__(self) -> None:
        self.why = ""

    def why_not_ready(self) -> str:
        return self.why

    def count(self) -> Later[Counted]:
        return Later.failed(MeshError("this node is not running"))


def requests(home: Path, door: str, measuring: Fixed) -> HttpRequests:
    """What answers at a port, without the port."""
    clock = ManualClock()
    turned_away = TurnedAway(clock)
    given: Any = {"clock": clock, "spawn": None, "limits": Limits(), "note": None, "status": None}
    gateway = ClientGateway("127.0.0.1:9464", {}, has_clients=door == "clients")
    _, _, made = gateway.make(
        lambda **_: None,  # type: ignore[arg-type,return-value]
        home,
        monitoring=Monitoring(measuring, clock, turned_away),
        frame_memory=FrameMemory(),
        turned_away=turned_away,
        **given,
    )
    return made


def answered(made: HttpRequests, path: str, address: str, **headers: str) -> HttpAnswer:
    answer = made.answer(HttpRequest("GET", path, {"host": "127.0.0.1:9464", **headers}, address, False))
    assert isinstance(answer, HttpAnswer)
    return answer


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize("address", ["192.168.1.7:4000", "[fe80::1%eth0]:4000", "[2001:db8::1]:4000", "no address"])
def test_another_machine_needs_a_token(tmp_path: Path, door: str, address: str) -> None:
    made = requests(tmp_path, door, Fixed())
    token = Tokens(tmp_path).add("ada", None, 1_000_000)

    assert answered(made, "/healthz", address).status == 401
    assert answered(made, "/healthz", address, authorization=f"Basic ada:{token}").status == 401
    assert answered(made, "/healthz", address, authorization=f"Bearer bob:{token}").status == 401
    assert answered(made, "/healthz", address, authorization=f"Bearer ada:{token}").status == 200


@pytest.mark.parametrize("address", ["127.0.0.1:4000", "[::1]:4000", "[::ffff:127.0.0.1]:4000"])
def test_all_loopback_addresses_are_of_this_machine(tmp_path: Path, address: str) -> None:
    assert answered(requests(tmp_path, "metrics", Fixed()), "/healthz", address).status == 200


def test_wrong_tokens_are_not_tried_without_end(tmp_path: Path) -> None:
    made = requests(tmp_path, "metrics", Fixed())
    token = Tokens(tmp_path).add("ada", None, 1_000_000)
    for _ in range(10):
        answered(made, "/metrics", "192.168.1.7:4000", authorization="Bearer ada:wrong")

    assert answered(made, "/healthz", "192.168.1.7:4000", authorization=f"Bearer ada:{token}").status == 429


def test_a_node_that_is_not_ready_says_why(tmp_path: Path) -> None:
    measuring = Fixed()
    made = requests(tmp_path, "metrics", measuring)
    measuring.why = "the log is not open"

    answer = answered(made, "/readyz", "127.0.0.1:4000")

    assert (answer.status, answer.body) == (503, b"the log is not open\n")
    assert answered(made, "/healthz", "127.0.0.1:4000").status == 200


UNASKED = """
import json, sys, urllib.request
from mesh import Node
with Node("a", home=sys.argv[1], listen="127.0.0.1:0", open=True, mdns=False, metrics="127.0.0.1:0") as node:
    url = f"http://127.0.0.1:{node.door_ports['metrics']}"
    loaded = []
    for path in ("/healthz", "/readyz", "/metrics"):
        urllib.request.urlopen(url + path).read()
        loaded.append("prometheus_client" in sys.modules)
print(json.dumps(loaded))
"""


def test_the_library_is_loaded_by_the_first_request_for_metrics(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", UNASKED, str(tmp_path)], capture_output=True, timeout=60, env=environment(), check=True
    )

    assert json.loads(done.stdout) == [False, False, True]
