"""A new machine comes when much has happened, and writes before it is heard."""

from mesh.lab import Cluster, scenario


@scenario
def late_joiner(house: Cluster) -> None:
    kitchen, study = house.start("kitchen", "study")
    for day in ("monday", "tuesday", "wednesday"):
        kitchen.log.add({"type": day})
        house.settle(f"{day} is written down")

    house.partition([kitchen, study], ["attic"])
    (attic,) = house.start("attic")
    attic.log.add({"type": "lamp"})
    house.settle("the attic is alone")
    assert attic.types == ["lamp"]
    assert study.types == ["monday", "tuesday", "wednesday"]

    house.heal()
    house.settle("the attic has caught up")
    house.assert_converged(["monday", "tuesday", "wednesday", "lamp"])


if __name__ == "__main__":
    late_joiner.main()  # --seed 7 --trace
