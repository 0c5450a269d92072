"""Tells lies about two nodes by mDNS, and counts who comes: mdns_liar.py ADDRESS MESH-MARK OWN-ID OTHER-ID OTHER-ADDRESS.

OWN-ID is the node that hears it; the other one is its neighbour. It prints a line of JSON with the seconds since its first lie
for each connection that came to it.
"""

from __future__ import annotations

import json
import selectors
import socket
import sys
import time

from zeroconf import DNSOutgoing
from zeroconf.asyncio import AsyncServiceInfo

from mesh.discovery.mdns import txt_record
from mesh.discovery.mdns.mdns import SERVICE_TYPE

GROUP = ("224.0.0.251", 5353)
ANSWER = 0x8400
ROUNDS = 10
ROUND_SECONDS = 0.15
NAMES_EACH = 200


def packet(node_id: str, address: str, port: int, mesh: str, instance: str, label: str, ttl: int = 120) -> bytes:
    info = AsyncServiceInfo(
        SERVICE_TYPE,
        f"{label}.{SERVICE_TYPE}",
        port=port,
        properties=txt_record.encode(txt_record.TextRecord(node_id, mesh, instance)),
        server=f"{label}.local.",
        parsed_addresses=[address],
        host_ttl=ttl,
        other_ttl=ttl,
    )
    out = DNSOutgoing(ANSWER)
    for record in (info.dns_pointer(), info.dns_service(), info.dns_text(), *info.dns_addresses()):
        out.add_answer_at_time(record, 0)
    return out.packets()[0]


def lies(number: int, address: str, port: int, mesh: str, own_id: str, other: tuple[str, str]) -> list[bytes]:
    """Those of one round: a goodbye of the other node, the other node and the hearer at this address, and many more nodes."""
    other_id, other_address = other
    true_label = txt_record.digest(other_id)
    return [
        packet(other_id, other_address, 4000, mesh, "run", true_label, ttl=0),
        packet(other_id, address, port, mesh, f"moved{number}", true_label),
        packet(other_id, address, port, mesh, f"again{number}", f"again{number}"),
        packet(own_id, address, port, mesh, f"own{number}", f"own{number}"),
        *(
            packet(f"forged{n}~aaaaaaaa", address, port, mesh, f"run{n}", f"forged{n}")
            for n in range(number * NAMES_EACH, (number + 1) * NAMES_EACH)
        ),
    ]


def main(address: str, mesh: str, own_id: str, *other: str) -> None:
    came: list[float] = []
    with (
        socket.create_server((address, 0), backlog=128) as listening,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock,
        selectors.DefaultSelector() as selector,
    ):
        listening.setblocking(False)
        selector.register(listening, selectors.EVENT_READ)
        sock.bind((address, 0))
        sock.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton(address))
        began = time.monotonic()
        for number in range(ROUNDS):
            for lie in lies(number, address, listening.getsockname()[1], mesh, own_id, (other[0], other[1])):
                sock.sendto(lie, GROUP)
            while time.monotonic() < began + (number + 1) * ROUND_SECONDS:
                if selector.select(0.01):
                    listening.accept()[0].close()
                    came.append(time.monotonic() - began)
    print(json.dumps(came))


if __name__ == "__main__":
    main(*sys.argv[1:])
