"""The text of all metrics in the format of OpenMetrics 1.0."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mesh.gateway.metrics.histogram import Histogram
from mesh.gateway.metrics.measured import Measured
from mesh.gateway.metrics.metrics import METRICS, SUFFIXES, Metric

if TYPE_CHECKING:
    from prometheus_client import Metric as Family

CONTENT_TYPE = "application/openmetrics-text; version=1.0.0; charset=utf-8"


def metrics_text(measured: Measured) -> bytes:
    """The answer to `/metrics`, as CONTENT_TYPE. The first call loads a library, which takes 1 MB and some 20 ms."""
    from prometheus_client.openmetrics.exposition import generate_latest

    text: bytes = generate_latest(_Families(measured))  # type: ignore[no-untyped-call]
    return text


@dataclass(frozen=True)
class _Families:
    """What the library takes for a registry."""

    measured: Measured

    def collect(self) -> Iterator[Family]:
        for metric in METRICS:
            yield _family(metric, self.measured)


def _family(metric: Metric, measured: Measured) -> Family:
    from prometheus_client import Metric as Family

    family = Family(metric.name, metric.help, metric.kind, metric.unit)
    for values, value in metric.read(measured):
        labels = dict(zip(metric.labels, values, strict=True))
        if isinstance(value, Histogram):
            _add_histogram(family, labels, value)
        else:
            family.add_sample(metric.name + SUFFIXES.get(metric.kind, ""), labels, float(value))
    return family


def _add_histogram(family: Family, labels: dict[str, str], histogram: Histogram) -> None:
    buckets = histogram.buckets
    for bound, count in buckets:
        family.add_sample(f"{family.name}_bucket", {**labels, "le": bound}, count)
    family.add_sample(f"{family.name}_count", labels, buckets[-1][1])
    family.add_sample(f"{family.name}_sum", labels, histogram.sum_seconds)
