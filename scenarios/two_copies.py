"""Two machines run copies of one home: both are refused until one stops, and all is kept."""

from mesh.lab import Cluster, scenario


@scenario
def two_copies(house: Cluster) -> None:
    kitchen, study, attic = house.start("kitchen", "study", "attic")
    kitchen.log.add({"type": "monday"})
    house.settle("monday is everywhere")

    snapshot = house.snapshot(kitchen)
    copy = house.copy_home(kitchen, "copy")
    house.partition([kitchen, study], [copy, attic])
    house.resume(copy, snapshot)  # the kitchen runs on
    kitchen.log.add({"type": "tea"})
    house.run(1)
    copy.log.add({"type": "soup"})
    house.settle("one key writes two histories")
    assert study.types == ["monday", "tea"]
    assert attic.types == ["monday", "soup"]

    house.heal()
    house.run(120)  # the study and the attic talk, and turn both away
    assert study.types == attic.types == ["monday", "tea", "soup"]
    house.stop(copy)
    house.settle("one kitchen is left")
    house.assert_converged(["monday", "tea", "soup"])

    kitchen.log.add({"type": "bread"})
    house.settle("and it goes on")
    house.assert_converged(["monday", "tea", "soup", "bread"])


if __name__ == "__main__":
    two_copies.main()  # --seed 7 --trace
