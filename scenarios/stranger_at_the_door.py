"""Strangers come without a certificate, or with one of another mesh: they get nothing."""

from mesh.lab import Cluster, scenario


@scenario
def stranger_at_the_door(house: Cluster) -> None:
    kitchen, study = house.start("kitchen", "study")
    kitchen.log.add({"type": "milk"})
    house.settle("the house has milk")

    (burglar,) = house.start("burglar", mesh="")
    (neighbour,) = house.start("neighbour", mesh="next door")
    burglar.log.add({"type": "crowbar"})
    neighbour.log.add({"type": "gossip"})
    study.log.add({"type": "bread"})
    house.run(20)
    assert burglar.types == ["crowbar"]
    assert neighbour.types == ["gossip"]
    assert kitchen.types == study.types == ["milk", "bread"]
    assert list(kitchen.peers) == [study.node_id]

    (attic,) = house.start("attic")
    attic.log.add({"type": "lamp"})
    house.settle("who comes with a certificate is let in")
    house.assert_converged(["milk", "bread", "lamp"])
    assert burglar.types == ["crowbar"]


if __name__ == "__main__":
    stranger_at_the_door.main()  # --seed 7 --trace
