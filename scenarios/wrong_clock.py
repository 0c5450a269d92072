"""One clock is ten hours fast, another loses time: all show one order."""

from mesh.lab import Cluster, scenario

HOUR_MS = 3_600_000


@scenario
def wrong_clock(house: Cluster) -> None:
    kitchen, study, attic = house.start("kitchen", "study", "attic")
    house.drift(attic, -0.01)
    kitchen.log.add({"type": "first"})
    house.settle("the clocks are right")

    house.skew(kitchen, 10 * HOUR_MS)
    kitchen.log.add({"type": "from tonight"})
    house.settle("one clock is fast")
    study.log.add({"type": "second"})
    house.settle("no node follows it")
    assert study.types == ["first", "second", "from tonight"]
    assert house.status(study)["ahead"] == 1
    assert house.status(kitchen)["clocks"][0]["kind"] == "step"

    house.skew(kitchen, -10 * HOUR_MS)
    kitchen.log.add({"type": "corrected"})
    house.settle("the fast one is right again")
    house.run(600)  # seconds, of which the attic loses 6
    study.log.add({"type": "third"})
    house.settle("the attic has the third")
    attic.log.add({"type": "after the third"})
    house.settle("what answers comes later, even by a slow clock")
    house.assert_converged(["first", "second", "corrected", "third", "after the third", "from tonight"])


if __name__ == "__main__":
    wrong_clock.main()  # --seed 7 --trace
