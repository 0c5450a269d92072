"""The only link of a cellar comes and goes for minutes while both ends write."""

from mesh.lab import Cluster, line, scenario


@scenario
def flapping_link(house: Cluster) -> None:
    kitchen, stairs, cellar = house.start("kitchen", "stairs", "cellar", links=line)
    house.settle("the three have met")

    house.flaky(stairs, cellar, seconds=240, loss=0.2)
    for minute in range(4):
        kitchen.log.add({"type": f"order {minute}"})
        cellar.log.add({"type": f"bottle {minute}"})
        house.run(60)
    lost = [line for line in house.trace if " cellar: disconnected: " in line]
    assert lost != []

    house.run(1)
    house.settle("the link stands still")
    assert len(kitchen.types) == 8
    house.assert_converged()
    assert house.status(cellar)["paused"] == []


if __name__ == "__main__":
    flapping_link.main()  # --seed 7 --trace
