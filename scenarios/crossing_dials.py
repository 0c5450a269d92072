"""Two rooms dial each other at one instant: one connection is left, each time."""

from mesh.lab import Cluster, Room, full, scenario


def links(house: Cluster, room: Room) -> int:
    return [session["state"] for session in house.status(room)["sessions"]].count("synchronized")


@scenario
def crossing_dials(house: Cluster) -> None:
    house.hold("kitchen", "study")
    house.hold("study", "kitchen")
    kitchen, study = house.start("kitchen", "study", links=full)
    house.run(2.5)  # seconds, after which both have dialled and neither was heard
    house.release("study", "kitchen")
    house.release("kitchen", "study")
    house.settle("they have met")
    house.run(10)
    assert {(dial.source, dial.target) for dial in house.dials} == {("kitchen", "study"), ("study", "kitchen")}
    assert links(house, kitchen) == links(house, study) == 1

    house.reset(kitchen, study)
    kitchen.log.add({"type": "milk"})
    study.log.add({"type": "bread"})
    house.settle("they have met again")

    house.run(10)
    assert links(house, kitchen) == links(house, study) == 1
    assert sorted(kitchen.types) == ["bread", "milk"]
    house.assert_converged()


if __name__ == "__main__":
    crossing_dials.main()  # --seed 7 --trace
