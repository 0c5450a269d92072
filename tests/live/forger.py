"""Announces many nodes that do not exist, as any host on a LAN can: forger.py ADDRESS COUNT MESH-MARK."""

from __future__ import annotations

import socket
import sys

from zeroconf import DNSOutgoing
from zeroconf.asyncio import AsyncServiceInfo

from mesh.discovery.mdns import txt_record
from mesh.discovery.mdns.mdns import SERVICE_TYPE

GROUP = ("224.0.0.251", 5353)
ANSWER = 0x8400


def packet(number: int, address: str, mesh: str) -> bytes:
    name = f"forged{number}"
    info = AsyncServiceInfo(
        SERVICE_TYPE,
        f"{name}.{SERVICE_TYPE}",
        port=9,
        properties=txt_record.encode(txt_record.TextRecord(f"{name}~aaaaaaaa", mesh, f"run{number}")),
        server=f"{name}.local.",
        parsed_addresses=[address],
    )
    out = DNSOutgoing(ANSWER)
    for record in (info.dns_pointer(), info.dns_service(), info.dns_text(), *info.dns_addresses()):
        out.add_answer_at_time(record, 0)
    return out.packets()[0]


if __name__ == "__main__":
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind((sys.argv[1], 0))
        sock.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton(sys.argv[1]))
        for number in range(int(sys.argv[2])):
            sock.sendto(packet(number, sys.argv[1], sys.argv[3]), GROUP)
