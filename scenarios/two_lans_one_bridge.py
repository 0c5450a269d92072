"""Two LANs share one machine; while it is off each agrees with itself."""

from mesh.lab import Cluster, scenario, two_lans


@scenario
def two_lans_one_bridge(house: Cluster) -> None:
    names = ("bridge", "kitchen", "study", "shop", "office")
    bridge, kitchen, study, shop, office = house.start(*names, links=two_lans)
    kitchen.log.add({"type": "milk"})
    house.settle("it is across the bridge")
    assert office.types == ["milk"]

    house.stop(bridge)
    study.log.add({"type": "ink"})
    house.run(1)  # second, so that the ink is first
    shop.log.add({"type": "sale"})
    house.settle("each LAN agrees with itself")
    assert kitchen.types == study.types == ["milk", "ink"]
    assert shop.types == office.types == ["milk", "sale"]

    house.start("bridge")
    house.settle("the bridge is up")
    house.assert_converged(["milk", "ink", "sale"])


if __name__ == "__main__":
    two_lans_one_bridge.main()  # --seed 7 --trace
