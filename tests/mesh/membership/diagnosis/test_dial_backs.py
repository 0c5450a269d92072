"""Which requests of other nodes to be dialled are fulfilled."""

from __future__ import annotations

import pytest

from mesh.membership.diagnosis.dial_backs import MAX_AT_ONCE, PAUSE_SECONDS, DialBacks


@pytest.mark.parametrize(
    ("address", "port", "was_dialled", "dialled"),
    [
        ("10.0.0.7:51234", 4000, False, "10.0.0.7:4000"),
        ("[fe80::1%eth0]:51234", 4000, False, "[fe80::1%eth0]:4000"),
        ("10.0.0.7:51234", 22, False, ""),
        ("10.0.0.7:443", 443, True, "10.0.0.7:443"),
        ("till.local:4000", 4000, True, "till.local:4000"),
        ("router.local:4000", 8080, True, ""),
    ],
)
def test_only_the_address_of_the_link_and_a_port_of_a_node_is_dialled(
    address: str, port: int, was_dialled: bool, dialled: str
) -> None:
    found, why = DialBacks().begin(address, port, 0.0, was_dialled=was_dialled)

    assert found == dialled
    assert bool(why) is not bool(found)


def test_one_address_is_dialled_once_in_a_while_whatever_its_links() -> None:
    dials = DialBacks()
    for at, is_dialled in ((0.0, True), (1.0, False), (PAUSE_SECONDS - 0.1, False), (PAUSE_SECONDS, True)):
        found, _ = dials.begin(f"10.0.0.7:{50_000 + round(at)}", 4000 + round(at), at, was_dialled=False)
        if found:
            dials.end()

        assert bool(found) is is_dialled


def test_few_are_dialled_at_once() -> None:
    dials = DialBacks()
    found = [dials.begin(f"10.0.0.{n}:50000", 4000, 0.0, was_dialled=False)[0] for n in range(MAX_AT_ONCE + 1)]
    dials.end()

    assert [bool(address) for address in found] == [True] * MAX_AT_ONCE + [False]
    assert dials.begin("10.0.1.1:50000", 4000, 0.0, was_dialled=False)[0]
