"""A ring loses one link and takes the other way round, then falls in halves."""

from mesh.lab import Cluster, ring, scenario

NAMES = ("hall", "kitchen", "study", "attic", "cellar", "garage", "garden")


@scenario
def ring_of_seven(house: Cluster) -> None:
    hall, kitchen, study, attic, cellar, garage, garden = house.start(*NAMES, links=ring)
    hall.log.add({"type": "coat"})
    house.settle("it has gone round")

    house.cut(hall, kitchen)
    house.cut(kitchen, hall)
    house.run(30)  # seconds, long enough for the link to break
    kitchen.log.add({"type": "milk"})
    house.settle("the other way round")
    assert hall.types == ["coat", "milk"]

    house.partition([kitchen, study, attic], [cellar, garage, garden, hall])
    house.run(30)
    study.log.add({"type": "ink"})
    garden.log.add({"type": "spade"})
    house.settle("each half agrees with itself")
    assert kitchen.types == attic.types == ["coat", "milk", "ink"]
    assert cellar.types == garage.types == ["coat", "milk", "spade"]

    house.heal()
    house.settle("the ring is whole")
    assert len(hall.types) == 4
    house.assert_converged()


if __name__ == "__main__":
    ring_of_seven.main()  # --seed 7 --trace
