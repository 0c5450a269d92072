"""A disk is replaced by an old backup and written on: nothing is lost."""

from mesh.lab import Cluster, scenario


@scenario
def restored_backup(house: Cluster) -> None:
    kitchen, study, attic = house.start("kitchen", "study", "attic")
    kitchen.log.add({"type": "monday"})
    house.settle("monday is everywhere")
    backup = house.snapshot(kitchen)
    kitchen.log.add({"type": "tuesday"})
    house.settle("tuesday is everywhere")

    house.crash(kitchen)
    house.restore(kitchen, backup)
    house.partition([kitchen], [study, attic])
    house.restart(kitchen)
    kitchen.log.add({"type": "wednesday"})
    house.settle("the kitchen has forgotten tuesday")
    assert kitchen.types == ["monday", "wednesday"]
    assert study.types == attic.types == ["monday", "tuesday"]

    house.heal()
    house.settle("the others have told it")
    house.assert_converged(["monday", "tuesday", "wednesday"])


if __name__ == "__main__":
    restored_backup.main()  # --seed 7 --trace
