"""A courier of one's own between two meshes: a wall does not stop it for good."""

from functools import partial

from mesh.lab import Cluster, scenario
from peers import BaseSync

thanked = []


class CourierSync(BaseSync):
    """Both ends speak first, and each thanks for what it has stored."""

    def on_connect(self):
        super().on_connect()
        self.send_connect()  # neither side is the server

    def connected_message(self, protocol, node_id, times, options):
        self.end_timeout()  # their own `connect` said the rest

    def send_synced(self, added):
        super().send_synced(added)
        self.send_own("thanks", self.node_id, added)

    def thanks_message(self, who, added):  # a message `thanks` calls this
        thanked.append((who.partition("~")[0], added))


@scenario
def own_role(house: Cluster) -> None:
    courier = partial(CourierSync, ping=4_000, timeout=5_000)
    thanked.clear()
    (kitchen,) = house.start("kitchen", links=[], serve={5_000: courier})
    (attic,) = house.start("attic", links=[], dial={"kitchen:5000": courier})
    attic.log.add({"type": "letter"})
    house.run(5)
    assert kitchen.types == ["letter"]
    assert thanked == [("kitchen", 1)]

    house.partition([kitchen], [attic])
    attic.log.add({"type": "parcel"})
    house.run(30)  # seconds, long enough for the line to break
    assert kitchen.types == ["letter"]

    house.heal()
    house.run(60)
    assert kitchen.types == attic.types == ["letter", "parcel"]
    assert ("kitchen", 2) in thanked


if __name__ == "__main__":
    own_role.main()  # --seed 7 --trace
