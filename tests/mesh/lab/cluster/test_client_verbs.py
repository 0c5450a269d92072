"""Clients of the lab at the clients' port of a node: they crash, move, and outlive the disks of their rooms."""

from __future__ import annotations

from typing import Any

import pytest

from mesh.lab import Cluster, Room, Violation, clients_door
from mesh.lab.cluster.client import Client

PORT = 5_000


def start(house: Cluster, protocol: Any = 5) -> tuple[Room, Room, Client]:
    """A kitchen and a study that have met, and a phone in the kitchen."""
    kitchen, study = house.start("kitchen", "study", serve={PORT: clients_door})
    phone = house.client("phone", to=f"kitchen:{PORT}", protocol=protocol)
    house.settle("met")
    return kitchen, study, phone


def add(holder: Room | Client, *names: str) -> None:
    for name in names:
        holder.log.add({"type": name})


@pytest.mark.parametrize("protocol", [(0, 1), 5, 7])
def test_a_client_that_crashes_goes_on_with_its_own_log(protocol: Any) -> None:
    with Cluster(1) as house:
        kitchen, _, phone = start(house, protocol)
        add(phone, "milk")
        house.settle("known")

        house.crash(phone)
        add(kitchen, "bread")
        house.run(5)
        assert phone.types == ["milk"]
        house.restart(phone)
        house.settle("back")

        assert phone.types == kitchen.types == ["milk", "bread"]


def test_a_client_that_is_off_cannot_write() -> None:
    with Cluster(2) as house:
        _, _, phone = start(house)
        house.crash(phone)

        with pytest.raises(RuntimeError, match="phone does not run: restart it before it can write"):
            add(phone, "milk")


@pytest.mark.parametrize("protocol", [(0, 1), 5, 7])
def test_a_client_that_moves_gets_everything_once_though_its_cursor_is_of_another_log(protocol: Any) -> None:
    with Cluster(3) as house:
        kitchen, study, phone = start(house, protocol)
        house.partition([kitchen, phone], [study])
        add(kitchen, "one", "two", "three")
        add(study, "four", "five")
        house.run(2)
        assert phone.types == ["one", "two", "three"]

        house.heal()
        house.move(phone, to=f"study:{PORT}")
        house.settle("moved")

        assert sorted(phone.types) == ["five", "four", "one", "three", "two"]


def test_a_story_may_end_when_a_client_has_left_a_room_behind_a_wall() -> None:
    with Cluster(10) as house:
        kitchen, study, phone = start(house)
        house.partition([kitchen, phone], [study])
        add(kitchen, "one")
        add(phone, "two")
        house.run(5)

        house.partition([kitchen], [study, phone])
        house.move(phone, to=f"study:{PORT}")
        add(study, "three")
        house.settle("the kitchen is alone")

        assert sorted(phone.types) == ["one", "three", "two"]
        assert study.types == ["three"]


def test_what_a_client_sends_to_two_rooms_is_stored_once() -> None:
    with Cluster(4) as house:
        kitchen, study, phone = start(house)
        house.partition([kitchen, phone], [study])
        add(phone, "milk")
        house.run(0.5)  # less than the phone waits until it writes down what was confirmed
        assert kitchen.types == ["milk"]

        house.crash(phone)
        house.heal()
        house.move(phone, to=f"study:{PORT}")
        house.restart(phone)
        house.settle("sent again")

        house.assert_converged(["milk"])


@pytest.mark.parametrize("protocol", [(0, 1), 5, 7])
@pytest.mark.parametrize("loses", ["restore", "wipe", "lose"])
def test_a_client_gets_new_events_from_a_room_with_another_disk(loses: str, protocol: Any) -> None:
    with Cluster(5) as house:
        kitchen, study, phone = start(house, protocol)
        add(kitchen, "one")
        house.settle("one")
        backup = house.snapshot(kitchen)
        add(phone, "two", "three")
        house.settle("three")

        house.crash(kitchen)
        if loses == "restore":
            house.restore(kitchen, backup)
        elif loses == "wipe":
            house.wipe(kitchen)
        else:
            kitchen.lose_log()
        house.partition([kitchen, phone], [study])
        house.restart(kitchen)
        add(kitchen, *[f"new {number}" for number in range(5)])
        house.run(30)
        house.heal()
        house.settle("all is known again")

        assert len(phone.types) == len(kitchen.types) == 8


def test_an_event_that_only_the_room_of_a_client_had_is_lost_with_its_disk() -> None:
    with Cluster(6) as house:
        kitchen, study, phone = start(house)
        house.partition([kitchen, phone], [study])
        add(phone, "milk")
        house.run(2)
        house.crash(kitchen)
        kitchen.lose_log()
        house.move(phone, to=f"study:{PORT}")
        house.heal()
        house.restart(kitchen)
        house.settle("only the phone has it")

        assert list(house.checker.ledger.lost.values()) == ["kitchen"]
        assert (kitchen.types, study.types, phone.types) == ([], [], ["milk"])


@pytest.mark.parametrize("protocol", [(0, 1), 5, 7])
def test_a_room_that_lost_its_log_gets_back_what_its_client_wrote(protocol: Any) -> None:
    with Cluster(9) as house:
        kitchen, study, phone = start(house, protocol)
        house.partition([kitchen, phone], [study])
        add(phone, "milk", "bread")
        house.run(20)  # by then a ping has told the phone how far the kitchen's numbers go
        house.crash(kitchen)
        kitchen.lose_log()
        assert len(house.checker.ledger.lost) == 2

        house.heal()
        house.restart(kitchen)
        house.run(60)
        house.settle("the phone has brought it")

        assert house.checker.ledger.lost == {}
        house.assert_converged(["milk", "bread"])


def test_a_client_with_a_wrong_token_is_refused() -> None:
    with Cluster(7) as house:
        kitchen, _, _ = start(house)

        house.partition(["thief"], ["study"])  # it never settles
        thief = house.client("thief", to=f"kitchen:{PORT}", protocol=5, credentials="guessed")
        add(thief, "bad news")
        house.run(30)

        assert kitchen.types == []
        assert any("wrong-credentials" in error for error in thief.errors)
        house.crash(thief)


def test_an_event_that_a_room_confirmed_and_dropped_is_a_violation(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mesh.gateway.clients.role.ClientGatewaySync.admitted", lambda self, entry: None)

    with (
        pytest.raises(Violation, match=r"kitchen confirmed .* of phone before it was on its disk"),
        Cluster(8) as house,
    ):
        _, _, phone = start(house)
        add(phone, "milk")
        house.run(5)
