"""A disk dies, and its room gets back even what it wrote itself."""

from mesh.lab import Cluster, scenario


@scenario
def lost_disk(house: Cluster) -> None:
    kitchen, study, attic = house.start("kitchen", "study", "attic")
    attic.log.add({"type": "lamp"})
    house.settle("all have the lamp")

    house.crash(attic)
    house.wipe(attic)
    kitchen.log.add({"type": "milk"})
    house.settle("the others go on")
    assert attic.types == []
    assert kitchen.types == study.types == ["lamp", "milk"]

    house.restart(attic)
    house.settle("the attic has a new disk")
    attic.log.add({"type": "rope"})
    house.settle("and writes again")
    house.assert_converged(["lamp", "milk", "rope"])


if __name__ == "__main__":
    lost_disk.main()  # --seed 7 --trace
