"""The arguments of verbs: a name of no room or an amount out of range is refused with a sentence."""

from __future__ import annotations

from collections.abc import Callable
from math import inf, nan
from typing import Any

import pytest

from mesh.lab import Cluster, Violation, clients_door

Do = Callable[[Cluster], Any]


def house_of_three() -> Cluster:
    """Kitchen and study, which run, attic, which is off, and the phone of the kitchen."""
    house = Cluster(1, traces=False)
    house.start("kitchen", "study", "attic", serve={5_000: clients_door})
    house.client("phone", to="kitchen:5000", protocol=7)
    house.settle("met")
    house.stop("attic")
    return house


MISTAKES: list[tuple[Do, str]] = [
    # Names
    (lambda house: house.crash("study hall"), "there is no room study hall: did you mean study?"),
    (lambda house: house.crash("cellar"), "there is no room cellar: start it first"),
    (lambda house: house.crash(["kitchen"]), "['kitchen'] is neither a room nor a client nor the name of one"),
    (lambda house: house.reset("kitchen", "cellar"), "there is no room cellar: start it first"),
    (lambda house: house.flaky("kitchen", "cellar", seconds=1), "there is no room cellar: start it first"),
    (lambda house: house.forge_sighting("cellar", "x", at="kitchen"), "there is no room cellar: start it first"),
    (lambda house: house.forge_sighting("kitchen", "x", at="cellar"), "there is no room cellar: start it first"),
    (lambda house: house.forge_sighting("kitchen", None, at="study"), "None is not a node id"),
    (lambda house: house.repeat_sighting("kitchen", about="cellar"), "there is no room cellar: start it first"),
    (lambda house: house.cut("kitchen", "kitchen"), "cut is about two places, and both are kitchen"),
    (lambda house: house.release("kitchen", "study"), "what kitchen sends to study is not held: hold it first"),
    (lambda house: house.partition("kitchen", "study"), "partition takes groups, as in partition(["),
    (lambda house: house.partition(house.rooms["kitchen"], house.rooms["study"]), "partition takes groups"),
    (lambda house: house.partition(), "partition takes two groups or more"),
    (lambda house: house.partition(["kitchen"]), "partition takes two groups or more"),
    (lambda house: house.freeze("attic"), "attic does not run: start it first"),
    (lambda house: house.thaw("study"), "study is not frozen"),
    (lambda house: house.failing_commits("attic"), "attic does not run: start it first"),
    (lambda house: house.stop("phone"), "phone is a client, and this is for rooms: crash, restart and move take"),
    (lambda house: house.freeze("phone"), "phone is a client, and this is for rooms"),
    (lambda house: house.stop("attic"), "attic does not run: start it first"),
    (lambda house: house.status("attic"), "attic does not run: start it first"),
    (lambda house: house.wipe("kitchen"), "kitchen runs: stop or crash it before its disk is lost"),
    # Starting
    (lambda house: house.start("kitchen"), "kitchen runs already"),
    (lambda house: house.start("phone"), "there is a client phone already: choose another name"),
    (lambda house: house.start(["hall", "barn"]), "start takes names"),
    (lambda house: house.start("hall", "hall"), "start: hall is named twice"),
    (lambda house: house.start("hall", "barn", links="ring"), "`links` are pairs of names or a shape"),
    (lambda house: house.start("hall", "barn", links=[("hall", "barn", "attic")]), "`links` are pairs of names"),
    (lambda house: house.start("hall", serve={"5000": clients_door}), "start: a port of `serve` is '5000'"),
    (lambda house: house.start("hall", store="paper"), "there is no store 'paper'"),
    (lambda house: house.start("attic", store="sqlite"), "attic has a disk already, of another kind than sqlite"),
    (lambda house: house.start("hall", serve={4_000: clients_door}), "port 4000 of each room is its node's own"),
    # Clients
    (lambda house: house.client("tablet", to="cellar:5000"), "there is no room cellar: start it first"),
    (lambda house: house.client("tablet", to="kitchen"), "'kitchen' is not an address: write room:port"),
    (lambda house: house.client("tablet", to="kitchen:5000", protocol=6), "6 is no protocol of Logux here"),
    (lambda house: house.client("tablet", to="kitchen:5000", protocol="5"), "'5' is no protocol of Logux here"),
    (lambda house: house.client("tablet", to="kitchen:5000", protocol=(9, 9)), "(9, 9) is no protocol of Logux"),
    (lambda house: house.move("tablet", to="study:5000"), "there is no client tablet; the clients are phone"),
    (lambda house: house.move("phone", to="cellar:5000"), "there is no room cellar: start it first"),
    # Amounts
    (lambda house: house.run(-5), "run: seconds is -5, and has to be a time in seconds, 0 or more"),
    (lambda house: house.run(nan), "run: seconds is nan, and has to be a time in seconds"),
    (lambda house: house.run(inf), "run: seconds is inf, and has to be a time in seconds"),
    (lambda house: house.run("5"), "run: seconds is '5', and has to be a time in seconds"),
    (lambda house: house.settle("never", limit_seconds=-3), "settle: limit_seconds is -3"),
    (lambda house: house.flaky("kitchen", "study", seconds=-5), "flaky: seconds is -5"),
    (lambda house: house.flaky("kitchen", "study", seconds=5, loss=2), "flaky: loss is 2, and has to be a share"),
    (lambda house: house.slow("kitchen", "study", loss=-1), "slow: loss is -1, and has to be a share, 0 to 1"),
    (lambda house: house.slow("kitchen", "study", latency_ms=500), "slow: latency_ms is 500, and has to be two times"),
    (lambda house: house.slow("kitchen", "study", latency_ms=(500, 100)), "slow: latency_ms is (500, 100)"),
    (lambda house: house.slow("kitchen", "study", latency_ms=(-5, 1)), "slow: latency_ms is (-5, 1)"),
    (lambda house: house.slow("kitchen", "study", bytes_per_second=0), "slow: bytes_per_second is 0"),
    (lambda house: house.bad_air(loss=5), "bad_air: loss is 5"),
    (lambda house: house.bad_air(late_seconds=-5), "bad_air: late_seconds is -5"),
    (lambda house: house.failing_commits("study", commits=-1), "failing_commits: commits is -1"),
    (lambda house: house.drift("study", -2), "drift: share is -2"),
    (lambda house: house.skew("study", "an hour"), "skew: ms is 'an hour', and has to be a whole number"),
    (lambda house: house.assert_converged(5), "assert_converged takes a list of types, as in [5]"),
    (lambda house: house.assert_converged("milk"), "assert_converged takes a list of types, as in ['milk']"),
]


@pytest.mark.parametrize(("do", "sentence"), MISTAKES, ids=[sentence for _, sentence in MISTAKES])
def test_a_wrong_argument_is_refused_with_a_sentence_and_changes_nothing(do: Do, sentence: str) -> None:
    with house_of_three() as house:
        with pytest.raises(ValueError) as error:
            do(house)

        assert sentence in str(error.value)
        house.settle("all is as it was")
        assert [*house.rooms] == ["kitchen", "study", "attic"]


@pytest.mark.parametrize(
    ("do", "sentence"),
    [
        (
            lambda house: house.partition(["kitchn"], ["study"]),
            "partition was about kitchn, which was never started: there is no ",
        ),
        (lambda house: house.cut("kitchen", "cellar"), "cut was about cellar, which was never started"),
        (lambda house: house.slow("kitchen", "cellar"), "slow was about cellar, which was never started"),
        (
            lambda house: house.start("hall", links=[("hall", "cellar")]),
            "start was about cellar, which was never started",
        ),
    ],
)
def test_a_room_that_a_verb_names_must_be_started(do: Do, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence), Cluster(1, traces=False) as house:
        house.start("kitchen", "study")
        do(house)


def test_a_room_is_asked_for_its_status_as_by_mesh_status() -> None:
    with Cluster(1) as house:
        kitchen, study = house.start("kitchen", "study")
        kitchen.log.add({"type": "milk"})
        house.settle("met")

        status = study.status()

        assert status["events"] == 1
        assert [peer["node_id"] for peer in status["peers"]] == [kitchen.node_id]
        house.freeze(kitchen)
        with pytest.raises(ValueError, match="kitchen is frozen: thaw it first"):
            kitchen.status()
        with pytest.raises(ValueError, match="kitchen is frozen: thaw it first"):
            house.stop(kitchen)
        house.thaw(kitchen)
        house.stop(study)
        with pytest.raises(ValueError, match="study does not run: start it first"):
            house.status("study")


def test_a_room_that_starts_later_is_behind_the_wall_already() -> None:
    with Cluster(1, traces=False) as house:
        (kitchen,) = house.start("kitchen")
        house.partition([kitchen], ["study"])
        (study,) = house.start("study")

        house.run(30)

        assert kitchen.peers == study.peers == {}


@pytest.mark.parametrize("protocol", ["0.1", (0, 1), [0, 1]])
def test_protocol_0_1_can_be_given_in_three_ways(protocol: Any) -> None:
    with Cluster(1) as house:
        house.start("kitchen", serve={5_000: clients_door})
        phone = house.client("phone", to="kitchen:5000", protocol=protocol)
        house.settle("met")

        assert phone.state == "synchronized"
        assert any('["connect",[0,1],' in line for line in house.trace)


def test_a_write_can_be_waited_for_as_on_a_real_node() -> None:
    with Cluster(1) as house:
        kitchen, study = house.start("kitchen", "study", serve={5_000: clients_door})
        phone = house.client("phone", to="kitchen:5000", protocol=7)
        added = kitchen.log.add({"type": "milk"})
        with pytest.raises(RuntimeError, match="kitchen has not written this yet: let time pass with get"):
            added.result()

        meta, other = added.get(), phone.log.add({"type": "bread"}).get()

        assert meta is not None and meta["created"][1] == kitchen.node_id
        assert other is not None and other["created"][1] == "phone"
        house.freeze(study)
        with pytest.raises(TimeoutError, match="study has not written this within 60 s"):
            study.log.add({"type": "never"}).get()


def test_a_write_that_is_refused_is_in_the_trace() -> None:
    with Cluster(1) as house:
        (kitchen,) = house.start("kitchen")

        kitchen.log.add({"x": 1})

        assert "kitchen: note: not written: " in house.trace[-1]


def test_after_a_flaky_time_a_link_is_as_slow_as_before() -> None:
    with Cluster(1) as house:
        kitchen, study = house.start("kitchen", "study")
        house.settle("met")
        house.slow(kitchen, study, latency_ms=(400, 400))
        house.flaky(kitchen, study, seconds=40, loss=0.5)
        house.run(300)

        kitchen.log.add({"type": "milk"})
        house.run(0.39)
        assert study.types == []
        house.settle("it was late")

        assert study.types == ["milk"]


def test_settle_says_which_rooms_have_not_met() -> None:
    with (
        pytest.raises(Violation, match="within 5 s: kitchen has not met study; study has not met kitchen; kitchen saw"),
        Cluster(1) as house,
    ):
        house.bad_air(loss=1)
        house.start("kitchen", "study")
        house.settle("met", limit_seconds=5)


def test_a_room_with_links_need_not_meet_rooms_without() -> None:
    with Cluster(1) as house:
        kitchen, study = house.start("kitchen", "study", links=[("kitchen", "study")])
        (attic,) = house.start("attic")
        kitchen.log.add({"type": "milk"})

        house.settle("met")

        assert (study.types, attic.types) == (["milk"], [])


def test_a_room_that_is_dialled_needs_no_links_of_its_own() -> None:
    with Cluster(1) as house:
        (attic,) = house.start("attic")
        kitchen, study = house.start("kitchen", "study", links=[("kitchen", "study"), ("study", "attic")])
        kitchen.log.add({"type": "milk"})

        house.settle("met")

        assert attic.types == study.types == ["milk"]


def test_a_room_may_return_with_other_links() -> None:
    with Cluster(1) as house:
        kitchen, study, attic = house.start("kitchen", "study", "attic", links=[("kitchen", "study")])
        house.settle("met")
        house.stop(attic)

        house.start("attic", links=[("attic", "study")])
        kitchen.log.add({"type": "milk"})
        house.settle("all have met")

        assert attic.types == study.types == ["milk"]
