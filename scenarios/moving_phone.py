"""A phone moves to another room, then its old room gets an old disk: all is everywhere, once."""

from mesh.lab import Cluster, clients_door, scenario


@scenario
def moving_phone(house: Cluster) -> None:
    kitchen, study = house.start("kitchen", "study", serve={5_000: clients_door})
    phone = house.client("phone", to="kitchen:5000", protocol=5)
    phone.log.add({"type": "milk"})
    house.settle("the milk is known")
    backup = house.snapshot(kitchen)

    house.partition([kitchen, phone], [study])
    phone.log.add({"type": "bread"})
    house.run(1)
    house.heal()
    house.move(phone, to="study:5000")
    phone.log.add({"type": "salt"})
    house.settle("the phone is in the study")
    assert phone.types == kitchen.types == study.types == ["milk", "bread", "salt"]

    house.crash(kitchen)
    house.restore(kitchen, backup)
    house.restart(kitchen)
    house.move(phone, to="kitchen:5000")
    house.restart(phone)
    house.settle("the phone is in the kitchen again, which has learned anew")
    house.assert_converged(["milk", "bread", "salt"])
    assert phone.types == kitchen.types


if __name__ == "__main__":
    moving_phone.main()  # --seed 7 --trace
