"""The power fails in the middle of commits to real files: what was confirmed is there."""

from mesh.lab import Cluster, scenario


@scenario
def torn_write(house: Cluster) -> None:
    kitchen, study = house.start("kitchen", "study", store="sqlite")
    house.settle("two rooms with SQLite files have met")

    for evening in range(1, 6):
        for number in range(20):
            house.run(0.001)  # seconds, less than a commit takes
            kitchen.log.add({"type": f"evening {evening} note {number}"})
        house.crash(kitchen)
        house.run(2)
        house.restart(kitchen)
        house.settle(f"the light is on again, evening {evening}")
    assert 0 < len(kitchen.acknowledged) < 100
    assert {entry.created for entry in study.entries} >= set(kitchen.acknowledged)

    house.failing_commits(kitchen, commits=2)
    refused = kitchen.log.add({"type": "milk"})
    house.run(1)
    assert "disk I/O error; check the disk and the space on it" in str(refused.exception)

    kitchen.log.add({"type": "bread"})
    house.settle("the disk is well again")
    house.assert_converged()
    assert study.types[-1] == "bread"
    assert "milk" not in study.types


if __name__ == "__main__":
    torn_write.main()  # --seed 7 --trace
