"""Monitoring: the answers to `/metrics`, `/healthz` and `/readyz` at the ports of a node."""

from __future__ import annotations

from collections.abc import Callable

from mesh.gateway.clients.answers import answer, text_answer
from mesh.gateway.metrics.exposition import CONTENT_TYPE, metrics_text
from mesh.gateway.metrics.histogram import Histogram
from mesh.gateway.metrics.loop_lag import LoopLag
from mesh.gateway.metrics.measured import Counted, Measured, Measuring
from mesh.gateway.turned_away import TurnedAway
from peers.clock import Clock
from peers.transport.http import HttpAnswer
from peers.transport.web_socket import OnRequest


class Monitoring:
    """Made for each run of a node; `close` it at the end. It checks no token or password: see HttpRequests."""

    def __init__(self, measuring: Measuring, clock: Clock, turned_away: TurnedAway) -> None:
        self.pages: dict[str, Callable[[], OnRequest]] = {
            "/metrics": self._metrics,
            "/healthz": self._health,
            "/readyz": self._readiness,
        }
        """What makes the answer, by path."""
        self._measuring = measuring
        self._turned_away = turned_away
        self._lag = LoopLag(clock)

    def close(self) -> None:
        """Measure no more."""
        self._lag.close()

    def _health(self) -> HttpAnswer:
        """That it is made shows that the process lives and its loop runs."""
        return text_answer(200, "the node runs")

    def _readiness(self) -> HttpAnswer:
        why_not = self._measuring.why_not_ready()
        return text_answer(503, why_not) if why_not else text_answer(200, "the log is open and the disk works")

    def _metrics(self) -> OnRequest:
        lag = self._lag.read()
        return self._measuring.count().transform(lambda counted: self._answer(counted, lag))

    def _answer(self, counted: Counted, lag: Histogram) -> HttpAnswer:
        measured = Measured(counted, lag, self._turned_away.counts)
        return answer(200, CONTENT_TYPE, metrics_text(measured))
