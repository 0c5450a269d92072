"""A revoked room returns: what it wrote before stays, what it writes later goes nowhere."""

from mesh.lab import Cluster, scenario


@scenario
def revoked_and_back(house: Cluster) -> None:
    kitchen, study, attic = house.start("kitchen", "study", "attic")
    house.settle("the three have met")
    house.found(kitchen)
    study.log.add({"type": "monday"})
    house.settle("monday counts, since the study is in the mesh")

    house.partition([kitchen], [study, attic])
    house.revoke(study, by=kitchen)
    study.log.add({"type": "tuesday"})
    house.settle("the attic does not know yet, and takes tuesday")
    assert kitchen.types == ["monday"]

    house.partition([kitchen, attic], [study])
    study.log.add({"type": "wednesday"})
    house.settle("now it knows, and vouches for tuesday")
    assert [entry.vouched for entry in kitchen.entries] == ["", "revoke"]

    house.heal()
    house.run(60)  # the study comes back
    assert kitchen.types == attic.types == ["monday", "tuesday"]
    assert study.types == ["monday", "tuesday", "wednesday"]
    house.stop(study)
    attic.log.add({"type": "thursday"})
    house.settle("the others go on")
    house.assert_converged(["monday", "tuesday", "thursday"])


if __name__ == "__main__":
    revoked_and_back.main()  # --seed 7 --trace
