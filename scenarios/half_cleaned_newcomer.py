"""A newcomer meets half-cleaned logs: it gets what is left, and never again."""

from mesh.lab import Cluster, scenario

PAGES = 500


@scenario
def half_cleaned_newcomer(house: Cluster) -> None:
    kitchen, study = house.start("kitchen", "study")
    house.settle("the two have met")
    for number in range(PAGES):
        kitchen.log.add({"type": f"page {number}"})
        kitchen.log.add({"type": f"status {number}"}, {"keep_last": "status"})
    house.settle("of all states the last one is left")
    assert len(study.types) == PAGES + 1

    (attic,) = house.start("attic")
    house.settle("a newcomer has it all")
    house.assert_converged()
    assert len(attic.types) == PAGES + 1

    before = house.events_came
    for other in (kitchen, study):
        house.reset(attic, other)
    house.run(60)
    house.settle("it has met them again")
    house.restart(attic)
    house.settle("and after a restart")
    assert house.events_came == before


if __name__ == "__main__":
    half_cleaned_newcomer.main()  # --seed 7 --trace
