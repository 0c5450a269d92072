"""Three tills, apart, sell the last apple twice: all end with one stock, which says so."""

from mesh import AppNode
from mesh.lab import Cluster, Room, scenario

ITEMS = ("apple", "pear", "plum")
HOUR_MS = 3_600_000
SHELF = 100  # pears that come at once


def count(stock, event, _meta):
    """The rules of the shop, in the order of the log: what is left, and which sales had nothing left to sell."""
    item = stock.setdefault(event["item"], {"left": 0, "oversold": []})
    item["left"] += event["change"]
    if event["type"] == "shop/sold" and item["left"] < 0:
        item["oversold"].append(event["sale"])
    elif event["type"] == "shop/received":  # who bought first gets it
        del item["oversold"][: len(item["oversold"]) - max(0, -item["left"])]


class Till:
    """Sells what it believes to have."""

    def __init__(self, node, stock):
        self.node, self.stock = node, stock

    def receive(self, item, number):
        return self.node.log.add({"type": "shop/received", "item": item, "change": number})

    async def sell(self, item, sale):
        if self.stock.get(item, {"left": 0})["left"] <= 0:
            return False
        meta = await self.node.log.add({"type": "shop/sold", "item": item, "change": -1, "sale": sale})
        await self.stock.after(meta)  # the next customer sees it
        return True


async def open_till(node: AppNode) -> Till:
    return Till(node, await node.view("stock", count, types=["shop/received", "shop/sold"]))


def check_books(tills: tuple[Room, ...]) -> None:
    """All tills have one stock: that of a fold from scratch."""
    fresh = {}
    for event in tills[0].events:
        count(fresh, event, {})
    assert [dict(till.app.stock.items()) for till in tills] == [fresh] * len(tills)
    assert len({till.app.stock.digest() for till in tills}) == 1


@scenario
def shop_app(house: Cluster) -> None:
    tills = door, yard, cellar = house.start("door", "yard", "cellar", app=open_till)
    door.app.receive("apple", 1).get()
    house.settle("there is one apple")

    house.partition([door], [yard, cellar])
    assert door.spawn(door.app.sell("apple", "to Ada")).get()
    house.run(1)
    assert cellar.spawn(cellar.app.sell("apple", "to Bob")).get()
    assert not door.spawn(door.app.sell("apple", "to Cid")).get()
    house.heal()
    house.settle("it was sold twice")
    assert yard.app.stock["apple"] == {"left": -1, "oversold": ["to Bob"]}
    check_books(tills)

    for number in range(30):  # a bad week
        at = house.random.choice(tills)
        match house.random.choice(("wall", "heal", "crash", "clock", "wait", "receive", *["sell"] * 6)):
            case "wall":
                house.partition([at], [till for till in tills if till is not at])
            case "heal":
                house.heal()
            case "crash":
                house.restart(at)
            case "clock":
                house.skew(at, house.random.randint(-10 * HOUR_MS, 10 * HOUR_MS))
            case "wait":
                house.run(house.random.uniform(0, 60))
            case "receive":
                at.app.receive(house.random.choice(ITEMS), house.random.randint(1, 3))
            case "sell":
                at.spawn(at.app.sell(house.random.choice(ITEMS), f"sale {number}")).get()
    house.heal()
    house.settle("the week is over")
    check_books(tills)

    shelf = [yard.app.receive("pear", 1) for _ in range(SHELF)]
    shelf[house.random.randrange(SHELF)].get()
    house.crash(yard)
    house.restart(yard)
    house.settle("the yard lost power while it counted")
    check_books(tills)


if __name__ == "__main__":
    shop_app.main()  # --seed 7 --trace
