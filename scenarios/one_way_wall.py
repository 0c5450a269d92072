"""One way between two rooms is dead: a third one carries all between them."""

from mesh.lab import Cluster, scenario


@scenario
def one_way_wall(house: Cluster) -> None:
    kitchen, study, hall = house.start("kitchen", "study", "hall")
    house.settle("the three have met")

    house.cut(kitchen, study)  # the kitchen still hears the study
    house.run(30)  # seconds, long enough for their connection to break
    assert study.node_id not in kitchen.peers
    assert kitchen.node_id not in study.peers
    kitchen.log.add({"type": "milk"})
    study.log.add({"type": "ink"})
    house.settle("the hall passes on what they say")
    assert sorted(kitchen.types) == sorted(study.types) == ["ink", "milk"]

    house.heal()
    house.settle("they talk again")
    assert study.node_id in kitchen.peers
    hall.log.add({"type": "coat"})
    house.settle("and nothing comes twice")
    assert len(study.types) == 3
    house.assert_converged()


if __name__ == "__main__":
    one_way_wall.main()  # --seed 7 --trace
