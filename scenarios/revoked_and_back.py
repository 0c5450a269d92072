"""A lost phone is revoked and returns: what it wrote counts, what it writes later does not."""

from mesh.lab import Cluster, scenario


@scenario
def revoked_and_back(house: Cluster) -> None:
    kitchen, study, attic, phone = house.start("kitchen", "study", "attic", "phone")
    phone.log.add({"type": "photo"})
    house.settle("the photo is everywhere")

    house.partition([kitchen, study], [attic, phone])
    house.revoke(phone, by=kitchen)
    phone.log.add({"type": "found by a stranger"})
    house.run(5)  # the attic has not heard of it: it takes the event
    assert attic.types == ["photo", "found by a stranger"]
    house.partition([kitchen, study, attic], [phone])
    house.settle("the attic has heard of it, and vouches for what it shows")
    house.assert_converged(["photo", "found by a stranger"])

    phone.log.add({"type": "virus"})
    house.heal()
    house.run(60)
    assert phone.types == ["photo", "found by a stranger", "virus"]
    assert phone.node_id not in {*kitchen.peers, *study.peers, *attic.peers}
    kitchen.log.add({"type": "milk"})
    house.settle("the others go on")
    house.assert_converged(["photo", "found by a stranger", "milk"])

    house.stop(phone)
    house.wipe(phone)
    house.start("phone")
    house.settle("the phone joins again under a new key")
    house.assert_converged(["photo", "found by a stranger", "milk"])
    assert phone.types == ["photo", "found by a stranger", "milk"]


if __name__ == "__main__":
    revoked_and_back.main()  # --seed 7 --trace
