"""A laptop is closed in the middle of a talk and opened an hour later."""

from mesh.lab import Cluster, scenario


@scenario
def frozen_laptop(house: Cluster) -> None:
    kitchen, study, laptop = house.start("kitchen", "study", "laptop")
    laptop.log.add({"type": "draft"})
    house.settle("all have the draft")

    house.freeze(laptop)
    kitchen.log.add({"type": "milk"})
    house.settle("the others go on")
    house.run(3600)  # seconds
    assert study.types == ["draft", "milk"]
    assert laptop.types == ["draft"]
    assert laptop.node_id not in kitchen.peers

    house.thaw(laptop)
    laptop.log.add({"type": "final"})
    house.settle("the laptop is open again")
    house.assert_converged(["draft", "milk", "final"])


if __name__ == "__main__":
    frozen_laptop.main()  # --seed 7 --trace
