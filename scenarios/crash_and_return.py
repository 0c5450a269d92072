"""The power fails while a room writes: what was confirmed is there when it returns."""

from mesh.lab import Cluster, scenario


@scenario
def crash_and_return(house: Cluster) -> None:
    kitchen, study, attic = house.start("kitchen", "study", "attic")
    kitchen.log.add({"type": "milk"})
    house.settle("all have the milk")

    for number in range(50):
        kitchen.log.add({"type": f"recipe {number}"})
        house.run(0.001)  # second: the last ones do not reach its disk
    house.crash(kitchen)
    confirmed = set(kitchen.acknowledged)
    study.log.add({"type": "ink"})
    house.settle("the others go on")
    assert study.types[-1] == attic.types[-1] == "ink"

    house.restart(kitchen)
    house.settle("the kitchen is back")
    assert confirmed <= {entry.created for entry in attic.entries}
    house.assert_converged()


if __name__ == "__main__":
    crash_and_return.main()  # --seed 7 --trace
