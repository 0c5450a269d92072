"""The bench of attacks: that it ends and shows what it measured; figures are no matter of tests."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner

import mesh.cli.commands
from mesh.bench import MIB
from mesh.bench.attacks import measure
from mesh.bench.attacks.catalogue import ATTACKS
from mesh.bench.attacks.host import HostileHost, HostileTarget
from mesh.bench.attacks.measure import AttackFigure, Latency, show


def test_one_attack_is_measured_for_programs(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, seconds in (
        ("BEFORE_SECONDS", 0.3),
        ("REST_SECONDS", 0.1),
        ("MEMORY_SECONDS", 0.2),
        ("LATENCY_SECONDS", 0.2),
    ):
        monkeypatch.setattr(measure, name, seconds)

    done = CliRunner().invoke(
        mesh.cli.commands.app, ["bench", "attacks", "--attack", "pages", "--seconds", "0.5", "--json"]
    )

    assert done.exit_code == 0
    (figure,) = json.loads(done.stdout)
    assert figure["name"] == "pages"
    assert figure["opened"] > 0
    assert figure["cpu_share"] > 0
    assert figure["waited_ms_per_second"] >= 0
    assert all(figure[phase]["p50_ms"] > 0 for phase in ("before", "during", "after"))
    assert min(figure["rss_before"], figure["rss_after"]) > MIB
    assert figure["rss_peak"] >= figure["rss_before"]


def test_the_table_says_which_events_never_came_and_which_limits_were_hit() -> None:
    latency = Latency.of([0.01, None, 0.02])
    figure = AttackFigure(
        "ping",
        Latency.of([0.004]),
        latency,
        Latency.of([]),
        40 * MIB,
        50 * MIB,
        41 * MIB,
        0.5,
        7.2,
        3,
        {"members": 2},
        1,
        0,
        5 * 1024,
    )

    _, row, below = (line.split() for line in show([figure], "2 cores").splitlines())

    assert row == ["ping", "4/4", "20/never", "never/never", "40", "50", "41", "50", "7", "3", "1", "5", "members", "2"]
    assert "before all attacks 4/4 in the median" in " ".join(below)


def test_one_event_of_a_hundred_may_be_later_than_the_p99() -> None:
    latency = Latency.of([*[0.002] * 49, *[0.003] * 50, 9.0])

    assert latency == Latency(3.0, 3.0)
    assert Latency.of([0.002] * 50 + [0.003] * 50) == Latency(2.0, 3.0)


def test_an_unknown_attack_is_an_error_that_names_all() -> None:
    done = CliRunner().invoke(mesh.cli.commands.app, ["bench", "attacks", "--attack", "pong"])

    assert done.exit_code != 0
    assert all(name in done.output for name in ATTACKS)


def test_every_attack_says_what_it_does() -> None:
    assert all(attack.__doc__ for attack in ATTACKS.values())


@pytest.mark.parametrize("address", ["192.168.1.7:4000", "[2001:db8::7]:4000", "kitchen.local:4000"])
def test_no_other_machine_is_attacked(address: str) -> None:
    with pytest.raises(ValueError):
        HostileHost(HostileTarget(("127.0.0.1:4000", address), ("a", "b"), ""), 1)
