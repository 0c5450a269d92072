"""A wall splits the house: both sides keep writing, then meet again."""

from mesh.lab import Cluster, scenario


@scenario
def partition(house: Cluster) -> None:
    kitchen, study, attic = house.start("kitchen", "study", "attic")
    house.settle("the three have met")

    house.partition([kitchen], [study, attic])
    kitchen.log.add({"type": "milk"})
    study.log.add({"type": "bread"})
    house.settle("each side agrees with itself")
    assert kitchen.types == ["milk"]
    assert study.types == attic.types == ["bread"]
    house.run(30)  # seconds, long enough for every connection through the wall to break

    house.heal()
    house.settle("the wall is down")
    house.assert_converged(["milk", "bread"])  # one order, on every node


if __name__ == "__main__":
    partition.main()  # --seed 7 --trace
