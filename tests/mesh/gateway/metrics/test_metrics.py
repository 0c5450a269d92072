"""The figures of real nodes: each changes with what it counts."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pykka
import pytest

from mesh.actors.log_keeper import LogKeeper
from mesh.gateway.metrics.histogram import BOUNDS_SECONDS, Histogram
from mesh.gateway.metrics.loop_lag import LAG_IDLE_MS, LAG_TICK_MS, LoopLag
from mesh.gateway.metrics.metrics import METRICS, UNITS
from mesh.node import Node
from mesh.version import __version__
from peers.clock import ManualClock
from peers.events.event_error import Cause
from peers.limits import Limits
from peers.log.draft import Waiting
from tests.support.actor_loop import fail
from tests.support.door_house import SECONDS, House, house, wait_until  # noqa: F401
from tests.support.root import ROOT
from tests.support.scrape import ask, scrape

DOOR = "the clients' door"


def comes(node: Node, wanted: float | None, name: str, **labels: str) -> None:
    """Wait until a metric has that value."""
    wait_until(lambda: scrape(node).value(name, **labels) == wanted, f"{name}{labels} is {wanted}")


def pair(house: House) -> tuple[Node, Node]:  # noqa: F811
    kitchen = house.start()
    study = house.start("study", peers=[f"127.0.0.1:{kitchen.port}"])
    study.synchronized().get(SECONDS)
    return kitchen, study


def test_every_metric_is_there_with_its_type_its_unit_and_its_help(house: House) -> None:  # noqa: F811
    families = scrape(house.start()).families

    assert {(name, family.type, family.unit, family.documentation) for name, family in families.items()} == {
        (metric.name, metric.kind, metric.unit, metric.help) for metric in METRICS
    }


def test_the_process_and_its_version(house: House) -> None:  # noqa: F811
    found = scrape(house.start())

    assert found.value("peermesh_build_info", version=__version__) == 1
    assert (found.value("peermesh_uptime_seconds") or 0) > 0
    assert found.value("peermesh_ready") == 1
    assert found.value("peermesh_paused") == 0
    assert found.value("peermesh_mailbox_messages", actor="LogKeeper") == 0
    assert 0 < (found.value("peermesh_disk_used_ratio") or 0) < 1


def test_events_and_commits_are_counted(house: House) -> None:  # noqa: F811
    node = house.start()
    before = scrape(node)

    for n in range(3):
        node.log.add({"type": "milk", "n": n, "text": "x" * 9_000}).get(SECONDS)

    after = scrape(node)
    assert [before.value("peermesh_events"), after.value("peermesh_events")] == [0, 3]
    assert after.value("peermesh_added_events_total") == 3
    assert (after.value("peermesh_log_bytes") or 0) > (before.value("peermesh_log_bytes") or 0)
    commits = [found.value("peermesh_commit_seconds_count") or 0 for found in (before, after)]
    assert commits[1] >= commits[0] + 3
    assert (after.value("peermesh_commit_seconds_sum") or 0) > (before.value("peermesh_commit_seconds_sum") or 0)


def test_the_number_of_added_events_goes_on_over_a_restart(house: House) -> None:  # noqa: F811
    node = house.start()
    node.log.add({"type": "milk"}).get(SECONDS)
    node.stop()

    assert scrape(house.start()).value("peermesh_added_events_total") == 1


def test_a_neighbour_that_is_there_and_one_that_is_gone(house: House) -> None:  # noqa: F811
    kitchen, study = pair(house)
    neighbour = {"neighbour": study.node_id}
    comes(kitchen, 0, "peermesh_neighbour_missing_events", **neighbour)
    found = scrape(kitchen)
    assert found.value("peermesh_neighbour_connected", **neighbour) == 1
    assert found.value("peermesh_neighbours", state="alive") == 1
    assert found.value("peermesh_neighbour_behind_events", **neighbour) == 0
    assert found.value("peermesh_neighbour_behind_seconds", **neighbour) == 0
    assert found.value("peermesh_neighbour_restarts_total", **neighbour) == 0

    study.stop()
    comes(kitchen, 0, "peermesh_neighbour_connected", **neighbour)
    kitchen.log.add({"type": "milk"}).get(SECONDS)

    comes(kitchen, 1, "peermesh_neighbour_behind_events", **neighbour)
    found = scrape(kitchen)
    assert found.value("peermesh_neighbour_missing_events", **neighbour) is None
    assert found.value("peermesh_neighbours", state="alive") is None


def test_bytes_that_are_sent_and_received_are_counted(house: House) -> None:  # noqa: F811
    kitchen, study = pair(house)
    first = house.enter("ada")
    kitchen.log.add({"type": "milk", "text": "x" * 5_000}).get(SECONDS)
    study.synchronized().get(SECONDS)
    first.take(1)

    for node, name in ((kitchen, "peermesh_sent_bytes_total"), (study, "peermesh_received_bytes_total")):
        assert (scrape(node).value(name, **{"with": "nodes"}) or 0) > 5_000
    assert (scrape(kitchen).value("peermesh_sent_bytes_total", **{"with": "others"}) or 0) > 5_000
    assert 0 < (scrape(kitchen).value("peermesh_received_bytes_total", **{"with": "others"}) or 0) < 5_000


def test_the_clock_of_a_neighbour_is_compared(house: House) -> None:  # noqa: F811
    kitchen, study = pair(house)  # the one that dialled measures first

    comes(study, 0, "peermesh_neighbour_clock_ahead_seconds", neighbour=kitchen.node_id)


def test_clients_that_are_in_and_clients_that_are_refused(house: House) -> None:  # noqa: F811
    node = house.start()
    client = house.enter("ada")
    assert scrape(node).value("peermesh_client_sessions", door=DOOR) == 1
    assert scrape(node).value("peermesh_refused_connections_total", door=DOOR) is None

    house.dial("bob").greet("wrong")

    comes(node, 1, "peermesh_refused_connections_total", door=DOOR)
    client.close()
    comes(node, None, "peermesh_client_sessions", door=DOOR)


def test_what_strangers_write_is_in_no_label(house: House) -> None:  # noqa: F811
    node = house.start()
    port = node.clients_port

    ask(port, "/metrics", host="some-stranger.example")
    ask(port, "/status", authorization="Bearer some-stranger:token")

    comes(node, 2, "peermesh_refused_connections_total", door=DOOR)
    assert "stranger" not in ask(port, "/metrics")[2]


def test_events_that_are_not_taken_are_counted_by_cause(house: House) -> None:  # noqa: F811
    node = house.start()
    client = house.enter("ada", 5)
    cause: Cause = "bad-type"

    client.wire.send('["sync",1,{"type":5},{"id":[0,"ada",0],"time":0}]')

    comes(node, 1, "peermesh_refused_events_total", cause=cause)


def test_a_part_that_fails_is_counted(house: House) -> None:  # noqa: F811
    node = house.start()
    assert scrape(node).value("peermesh_restarts_total", part="log") is None

    (keeper,) = pykka.ActorRegistry.get_by_class(LogKeeper)
    keeper.tell_to(fail)  # type: ignore[attr-defined]

    comes(node, 1, "peermesh_restarts_total", part="log")
    comes(node, 1, "peermesh_ready")


def test_a_full_disk_is_seen_by_all_who_ask(house: House) -> None:  # noqa: F811
    node = house.start(limits=Limits(disk_share_for_own=1e-9))
    found = scrape(node)

    assert (found.value("peermesh_ready"), found.value("peermesh_disk_failing")) == (0, 1)
    assert found.value("peermesh_limit_hits_total", limit="disk_share_for_own") == 1
    status, _, body = ask(node.clients_port, "/readyz")
    assert (status, body[:25]) == (503, "the disk is full: 0% or m")
    assert ask(node.clients_port, "/healthz")[0] == 200


def test_a_view_that_stops_at_an_error(house: House) -> None:  # noqa: F811
    node = house.start()

    def apply(stock: Any, event: dict[str, Any], meta: dict[str, Any]) -> None:
        if event["type"] == "bad":
            raise ValueError("no such item")

    node.view("stock", apply).get(SECONDS)
    node.log.add({"type": "good"}).get(SECONDS)
    comes(node, 0, "peermesh_view_behind_events", view="stock")
    assert scrape(node).value("peermesh_view_failing", view="stock") == 0

    node.log.add({"type": "bad"}).get(SECONDS)

    comes(node, 1, "peermesh_view_failing", view="stock")
    assert scrape(node).value("peermesh_view_behind_events", view="stock") == 1


def test_adds_that_wait_are_shown() -> None:
    waiting = Waiting()

    waiting.take(3, 700)
    waiting.take(1, 50)
    waiting.give_back(3, 700)

    assert waiting.shown == (1, 50)


# Times


class LateClock(ManualClock):
    """Its timers come too late."""

    late_ms = 0.0

    def call_later(self, delay_ms: float, reaction: Callable[[], None]) -> Callable[[], None]:
        return super().call_later(delay_ms + self.late_ms, reaction)


def test_a_loop_that_is_late_is_seen() -> None:
    clock = LateClock()
    lag = LoopLag(clock)
    lag.read()
    clock.advance(LAG_TICK_MS)
    clock.late_ms = 30.0

    clock.advance(LAG_TICK_MS)
    clock.advance(LAG_TICK_MS + 30)

    counts = dict(lag.read().buckets)
    assert (counts["0.0005"], counts["0.025"], counts["0.05"], counts["+Inf"]) == (2, 2, 3, 3)


def test_a_loop_without_requests_about_it_has_no_timer() -> None:
    clock = ManualClock()
    lag = LoopLag(clock)
    assert clock.waiting == 0

    lag.read()
    assert clock.waiting == 1
    clock.advance(LAG_IDLE_MS + LAG_TICK_MS)
    assert clock.waiting == 0

    lag.read()
    lag.close()
    assert clock.waiting == 0


def test_a_histogram_counts_each_length_in_all_buckets_that_hold_it() -> None:
    histogram = Histogram()

    for seconds in (0.0005, 0.3, 99.0):
        histogram.note(seconds)

    counts = dict(histogram.buckets)
    assert (counts["0.0005"], counts["0.25"], counts["0.5"], counts["10.0"], counts["+Inf"]) == (1, 1, 2, 2, 3)
    assert len(counts) == len(BOUNDS_SECONDS) + 1
    assert histogram.sum_seconds == pytest.approx(99.3005)


# Names


def test_names_follow_the_rules_of_openmetrics() -> None:
    for metric in METRICS:
        assert re.fullmatch(r"peermesh(_[a-z]+)+", metric.name), metric.name
        assert not metric.name.endswith(("_total", "_info", "_count", "_sum", "_bucket", "_created")), metric.name
        assert metric.kind != "histogram" or metric.unit in UNITS, metric.name
        assert metric.help.endswith("."), metric.name


def test_a_node_that_is_only_announced_is_in_no_label() -> None:
    def row(node_id: str, behind: int | None) -> dict[str, Any]:
        return {"node_id": node_id, "behind": behind, "session": None, "missing": None, "clock_ahead_ms": None} | {
            "behind_since_ms": None,
            "restarts": 0,
        }

    status: Any = {"peers": [row("invented", None), row("study", 3)]}
    measured: Any = SimpleNamespace(node=SimpleNamespace(status=status, now_ms=0))

    for metric in METRICS:
        if metric.labels == ("neighbour",):
            assert {values for values, _ in metric.read(measured)} <= {("study",)}, metric.name


def test_the_document_has_all_metrics_and_no_others() -> None:
    rows = re.findall(r"^\| `(\w+)(?:\{(.*?)\})?` \| (\w+) \| (.*) \|$", document().read_text(), re.M)

    assert [(name, labels, kind, text) for name, labels, kind, text in rows] == [
        (metric.shown_name, ", ".join(metric.labels), metric.kind, metric.help) for metric in METRICS
    ]


def document() -> Path:
    return ROOT / "mesh" / "docs" / "metrics.md"
