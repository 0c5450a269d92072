"""A disk is full: who writes is told so, and once there is room it catches up."""

from mesh.lab import Cluster, scenario


@scenario
def full_disk(house: Cluster) -> None:
    kitchen, study, attic = house.start("kitchen", "study", "attic")
    kitchen.log.add({"type": "milk"})
    house.settle("all have the milk")

    house.disk_full(attic)
    refused = attic.log.add({"type": "lamp"})
    study.log.add({"type": "ink", "text": "x" * 200_000})  # more than a log file has spare
    house.run(120)  # seconds
    assert "disk is full" in str(refused.exception)
    assert kitchen.types == study.types == ["milk", "ink"]
    assert attic.types == ["milk"]
    assert "disk is full" in house.status(attic)["store_error"]["error"]

    house.disk_full(attic, is_full=False)
    house.settle("there is room again")
    attic.log.add({"type": "lamp"})
    house.settle("the attic writes again")
    house.assert_converged(["milk", "ink", "lamp"])
    assert house.status(attic)["store_error"] is None


if __name__ == "__main__":
    full_disk.main()  # --seed 7 --trace
