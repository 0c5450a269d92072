"""The power of a room fails while it writes: what was confirmed is there when it returns."""

from mesh.lab import Cluster, scenario


@scenario
def crash_and_return(house: Cluster) -> None:
    kitchen, study, attic = house.start("kitchen", "study", "attic")
    kitchen.log.add({"type": "milk"})
    house.settle("all have the milk")

    writes = [kitchen.log.add({"type": f"recipe {number}"}) for number in range(50)]
    house.run(0.004)  # seconds: some are on its disk, the rest is lost
    house.crash(kitchen)
    study.log.add({"type": "ink"})
    house.settle("the others go on")
    assert study.types[-1] == attic.types[-1] == "ink"

    house.restart(kitchen)
    house.settle("the kitchen is back")
    confirmed = {write.result()["created"] for write in writes if write.is_done}
    assert confirmed <= {entry.created for entry in attic.entries}
    house.assert_converged()


if __name__ == "__main__":
    crash_and_return.main()  # --seed 7 --trace
