"""A neighbour withholds, lies, repeats itself and signs twice: honest logs end equal."""

from mesh.lab import Cluster, scenario


@scenario
def hostile_neighbour(house: Cluster) -> None:
    kitchen, study, attic, cellar = house.start("kitchen", "study", "attic", "cellar")
    house.settle("the four have met")
    house.stop(cellar)
    house.make_hostile(cellar)
    house.start("cellar")
    for number in range(10):
        for room in (kitchen, study, cellar):
            room.log.add({"type": f"{room} {number}"})
        house.run(3)
        house.reset(cellar, kitchen)

    snapshot = house.snapshot(cellar)
    cellar.log.add({"type": "one history"})
    house.run(5)
    house.crash(cellar)
    house.resume(cellar, snapshot)
    cellar.log.add({"type": "another history"})
    house.run(30)
    for number in range(10):
        attic.log.add({"type": f"attic {number}"})
        house.restart(cellar)
        house.run(3)
    house.settle("the honest ones agree", limit_seconds=300)
    house.assert_converged()
    assert {f"{room} {number}" for room in (kitchen, study, attic) for number in range(10)} <= set(attic.types)


if __name__ == "__main__":
    hostile_neighbour.main()  # --seed 7 --trace
