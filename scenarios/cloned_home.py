"""A home is copied and used twice: both are refused until one is gone, and the other is back."""

from mesh.lab import Cluster, scenario


@scenario
def cloned_home(house: Cluster) -> None:
    kitchen, study, attic = house.start("kitchen", "study", "attic")
    kitchen.log.add({"type": "monday"})
    house.settle("monday is everywhere")

    house.stop(kitchen)
    copy = house.copy_home(kitchen, "copy")
    house.start("copy")
    house.settle("the kitchen has moved to another machine")
    copy.log.add({"type": "tuesday"})
    house.settle("and writes on there")

    house.start("kitchen")
    house.run(10)
    assert list(study.peers) == [attic.node_id]
    assert list(attic.peers) == [study.node_id]
    kitchen.log.add({"type": "tea"})
    copy.log.add({"type": "soup"})
    study.log.add({"type": "bread"})
    house.run(60)
    assert study.types == attic.types == ["monday", "tuesday", "bread"]

    house.stop(copy)
    house.settle("the one that is left is let in", limit_seconds=10)
    house.assert_converged(["monday", "tuesday", "tea", "bread"])


if __name__ == "__main__":
    cloned_home.main()  # --seed 7 --trace
