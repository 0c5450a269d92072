"""Logux clients of three protocols at two rooms, walled off and met again."""

from mesh.lab import Cluster, scenario
from peers import ServerSync


@scenario
def mixed_clients(house: Cluster) -> None:
    kitchen, study = house.start("kitchen", "study", serve={5_000: ServerSync})
    radio = house.client("radio", to="kitchen:5000", protocol=(0, 1))
    phone = house.client("phone", to="kitchen:5000", protocol=5)
    tablet = house.client("tablet", to="study:5000", protocol=7)
    phone.log.add({"type": "milk"})
    house.settle("all have the milk")
    assert radio.types == tablet.types == ["milk"]

    house.partition([kitchen, radio], [study, tablet], [phone])
    house.run(30)  # seconds, long enough for every connection through a wall to break
    for writer in (radio, phone, tablet):
        writer.log.add({"type": writer.name})
        house.run(1)
    house.settle("each side agrees with itself")
    assert kitchen.types == ["milk", "radio"]
    assert phone.types == ["milk", "phone"]
    assert study.types == ["milk", "tablet"]

    house.heal()
    house.settle("all walls are down")
    house.assert_converged(["milk", "radio", "phone", "tablet"])
    assert radio.types == phone.types == tablet.types == kitchen.types


if __name__ == "__main__":
    mixed_clients.main()  # --seed 7 --trace
