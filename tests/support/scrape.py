"""Asks a node for its metrics, and reads them with the strict parser of the Prometheus project."""

from __future__ import annotations

import http.client
from collections.abc import Mapping

from prometheus_client.openmetrics.parser import text_string_to_metric_families

from mesh.node import Node

SECONDS = 15.0


class Scrape:
    """The metrics of one answer."""

    def __init__(self, text: str) -> None:
        """Raises ValueError for a text that is not OpenMetrics."""
        self.families = {family.name: family for family in text_string_to_metric_families(text)}  # type: ignore[no-untyped-call]

    def value(self, name: str, **labels: str) -> float | None:
        """The value of the sample with that name and just these labels; None without one."""
        for family in self.families.values():
            for sample in family.samples:
                if (sample.name, sample.labels) == (name, labels):
                    return float(sample.value)
        return None


def ask(port: int, path: str, **headers: str) -> tuple[int, Mapping[str, str], str]:
    """One GET at this port of 127.0.0.1: status, headers by lower-case name, body. `x_y` is the header x-y."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=SECONDS)
    try:
        connection.request("GET", path, headers={name.replace("_", "-"): value for name, value in headers.items()})
        answer = connection.getresponse()
        return answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read().decode()
    finally:
        connection.close()


def scrape(node: Node) -> Scrape:
    """The metrics of a node whose port for metrics, or for clients, is open."""
    ports = node.door_ports
    status, headers, body = ask(ports.get("metrics") or ports["clients"], "/metrics")
    assert (status, headers["content-type"]) == (200, "application/openmetrics-text; version=1.0.0; charset=utf-8")
    return Scrape(body)
