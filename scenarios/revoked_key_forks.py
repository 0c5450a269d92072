"""A revoked key signs another history from below its cut: all end with the first one."""

from mesh.lab import Cluster, scenario


@scenario
def revoked_key_forks(house: Cluster) -> None:
    kitchen, study, attic, phone = house.start("kitchen", "study", "attic", "phone")
    phone.log.add({"type": "monday"})
    house.settle("monday is everywhere")
    snapshot = house.snapshot(phone)
    house.partition([kitchen, study, phone], [attic])
    for day in ("tuesday", "wednesday"):
        phone.log.add({"type": day})
    house.settle("the attic lacks two days")

    house.crash(phone)
    house.partition([kitchen, study], [attic, phone])
    house.resume(phone, snapshot)
    phone.log.add({"type": "forged"})  # in the place of tuesday
    house.settle("the attic takes another history of the phone")
    assert attic.types == ["monday", "forged"]
    house.revoke(phone, by=kitchen)  # the kitchen knows of wednesday, and states it as the cut

    house.partition([kitchen, study, attic], [phone])
    house.settle("the attic takes the days that it lacked, and vouches for what it showed")
    house.assert_converged(["monday", "tuesday", "wednesday", "forged"])
    assert [entry.vouched for entry in study.entries] == ["", "", "", "revoke"]

    kitchen.log.add({"type": "thursday"})
    house.settle("and it goes on")
    house.assert_converged(["monday", "tuesday", "wednesday", "forged", "thursday"])


if __name__ == "__main__":
    revoked_key_forks.main()  # --seed 7 --trace
