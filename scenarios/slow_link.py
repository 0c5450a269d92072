"""A shed hangs on a link so slow that a page takes minutes: it is not given up."""

from mesh.lab import Cluster, scenario

PAGES = 400


@scenario
def slow_link(house: Cluster) -> None:
    for other in ("kitchen", "study"):
        house.slow("shed", other, latency_ms=(300, 900), bytes_per_second=2_000, loss=0.02)
    kitchen, study, shed = house.start("kitchen", "study", "shed")
    house.settle("the three have met")

    for number in range(PAGES):
        kitchen.log.add({"type": f"page {number}", "text": "x" * 500})
    house.run(10)
    assert len(study.types) == PAGES  # the others do not wait for it
    assert len(shed.types) < PAGES
    shed.log.add({"type": "spade"})
    house.settle("the shed has it all", limit_seconds=900)
    lost = [line for line in house.trace if ": no answer for " in line]
    assert lost == []  # a slow link is not taken for a dead one

    for other in (kitchen, study):
        house.slow(shed, other)
    kitchen.log.add({"type": "end"})
    house.settle("the link is good again", limit_seconds=5)
    assert len(shed.types) == PAGES + 2
    house.assert_converged()


if __name__ == "__main__":
    slow_link.main()  # --seed 7 --trace
