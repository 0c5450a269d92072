"""Thirty tills and a back office: at noon the router is off for a while."""

from collections import Counter

from mesh.lab import Cluster, scenario, star

TILLS = tuple(f"till{number}" for number in range(1, 31))
HOUR = 60  # seconds: an hour takes a minute
SALES = 12  # an hour
DIALS_A_SECOND = 12  # in step they would all dial in the same one


def sell(house: Cluster, hours: int) -> None:
    for number in range(hours * SALES):
        till = house.rooms[TILLS[number * 7 % len(TILLS)]]
        till.log.add({"type": "sale", "till": till.name})
        house.run(HOUR / SALES)


@scenario
def shop_day(house: Cluster) -> None:
    office = house.start("office", *TILLS, links=star)[0]
    sell(house, 4)
    house.settle("the morning is in the books")
    assert len(office.types) == 4 * SALES

    house.partition(["office"], *([till] for till in TILLS))
    sell(house, 1)  # the tills do not wait for the router
    assert len(office.types) == 4 * SALES

    house.heal()
    back = house.seconds
    house.settle("the router is back", limit_seconds=45)
    redials = Counter(int(dial.seconds - back) for dial in house.dials if dial.seconds > back)
    assert max(redials.values()) <= DIALS_A_SECOND
    sell(house, 3)
    house.settle("the shop is closed")
    assert len(office.types) == 8 * SALES
    house.assert_converged()


if __name__ == "__main__":
    shop_day.main()  # --seed 7 --trace
