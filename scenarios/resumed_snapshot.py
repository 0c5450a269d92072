"""A machine goes on from a snapshot of disk and memory: what it wrote since is not lost."""

from mesh.lab import Cluster, scenario


@scenario
def resumed_snapshot(house: Cluster) -> None:
    kitchen, study, attic = house.start("kitchen", "study", "attic")
    kitchen.log.add({"type": "monday"})
    house.settle("monday is everywhere")
    snapshot = house.snapshot(kitchen)
    kitchen.log.add({"type": "tuesday"})
    house.settle("tuesday is everywhere")

    house.crash(kitchen)
    house.partition([kitchen], [study, attic])
    house.resume(kitchen, snapshot)
    kitchen.log.add({"type": "wednesday"})  # in the epoch in which it wrote tuesday
    house.settle("the kitchen has forgotten tuesday")
    assert kitchen.types == ["monday", "wednesday"]
    assert study.types == attic.types == ["monday", "tuesday"]

    house.heal()
    house.settle("both histories are everywhere")
    house.assert_converged(["monday", "tuesday", "wednesday"])

    kitchen.log.add({"type": "thursday"})
    house.settle("and it goes on")
    house.assert_converged(["monday", "tuesday", "wednesday", "thursday"])


if __name__ == "__main__":
    resumed_snapshot.main()  # --seed 7 --trace
