"""A member lies: it rewrites and ends events of others, writes from 2100, claims, withholds."""

from mesh.lab import Cluster, scenario


@scenario
def lying_member(house: Cluster) -> None:
    kitchen, study, attic, cellar = house.start("kitchen", "study", "attic", "cellar")
    house.settle("the four have met")
    house.stop(cellar)
    house.make_hostile(cellar, lies=True)
    house.start("cellar")
    for number in range(20):
        for room in (kitchen, study, attic, cellar):
            room.log.add({"type": f"{room} {number}"})
        house.run(3)
        house.reset(cellar, kitchen)
    house.stop(cellar)
    house.settle("the honest ones agree", limit_seconds=300)
    house.assert_converged()

    written = {f"{room} {number}" for room in (kitchen, study, attic) for number in range(20)}
    assert sorted(one for one in kitchen.types if one in written) == sorted(written)
    assert all(entry.created[1] != kitchen.node_id or entry.event["type"] != "lie" for entry in attic.entries)


if __name__ == "__main__":
    lying_member.main()  # --seed 7 --trace
