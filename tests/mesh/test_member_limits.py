"""What one member may cost a node, in whole clusters: it is slowed down, and no other node is."""

from __future__ import annotations

from mesh.lab import Cluster
from peers.limits import Limits


def limits_hit(cluster: Cluster, room: str) -> set[str]:
    return {row["limit"] for row in cluster.status(room)["limits"]}


def test_what_a_member_writes_without_end_comes_slowly_on_its_own_link_and_freely_through_others() -> None:
    with Cluster(1) as cluster:
        kitchen, study, attic = cluster.start("kitchen", "study", "attic")
        cluster.settle("met")
        cluster.stop(kitchen)
        kitchen.limits = Limits(events_per_second=1, events_at_once=10)
        cluster.start("kitchen")
        cluster.settle("met again")

        cluster.partition([attic], [kitchen, study])
        for number in range(60):
            study.log.add({"type": f"ink{number}"})
            cluster.run(0.1)
        cluster.run(5)
        alone = len(kitchen.types)
        attic.log.add({"type": "lamp"})
        cluster.heal()
        cluster.settle("the attic brought the rest", limit_seconds=30)

        assert 10 <= alone <= 40
        assert len(kitchen.types) == 61
        assert limits_hit(cluster, "kitchen") == {"events_per_second"}
        assert limits_hit(cluster, "study") == limits_hit(cluster, "attic") == set()


def test_a_storm_of_events_in_a_house_hits_no_limit() -> None:
    with Cluster(2, traces=False) as cluster:
        names = [f"till{number}" for number in range(6)]
        tills = cluster.start(*names)
        for number in range(90):
            tills[number % 6].log.add({"type": f"sale{number}"})
            cluster.run(0.01)
        cluster.settle("all sold", limit_seconds=60)

        assert [name for name in names if limits_hit(cluster, name)] == []
