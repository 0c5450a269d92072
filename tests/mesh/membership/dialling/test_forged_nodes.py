"""Announcements that a hostile host forges: few dials, few rows, few lines; the honest nodes stay connected and are found."""

from __future__ import annotations

from mesh.lab import Cluster
from mesh.membership.actions import Action, Dial, LookAgain, Redial
from mesh.membership.dialling.dialling import TRIALS_LOOK
from mesh.membership.dialling.trials import MAX_TRIALS
from mesh.membership.ended_sessions import GOODBYE
from peers.limits import Limits
from tests.support.one_node import AT, OneNode, closes, looks

LIMITS = Limits()
OTHER = "10.0.0.66:4000"
SOURCE = "10.0.0.66"


class Hostile:
    """A host that forges announcements, to which every dial fails at once, or hangs for `hangs` seconds."""

    def __init__(self, node: OneNode, hangs: float = 0.0) -> None:
        self.node = node
        self.hangs = hangs
        self.dials: list[tuple[float, str, tuple[str, ...]]] = []
        self._due: list[tuple[float, int, str, str]] = []
        self._number = 0

    def perform(self, actions: list[Action]) -> None:
        for action in actions:
            match action:
                case LookAgain(subject, delay):
                    self._later(delay, "look", subject)
                case Dial(key, addresses) | Redial(key, addresses):
                    self.dials.append((self.node.now, key, addresses))
                    if key.startswith("dial:forged"):
                        self._later(self.hangs, "fail", key)
        for key, reason in closes(actions):
            self.perform(self.node.close(key, reason))

    def run(self, seconds: float) -> None:
        end = self.node.now + seconds
        while self._due and min(self._due)[0] <= end:
            due = min(self._due)
            self._due.remove(due)
            self.node.now, _, what, subject = due
            if what == "look":
                self.perform(self.node.look(subject))
            elif subject in self.node.membership.sessions:
                self.perform(self.node.close(subject, f"{OTHER}: refused"))
        self.node.now = end

    def count(self, seconds: float) -> int:
        """Addresses that were dialled of forged nodes in the last seconds."""
        since = self.node.now - seconds
        return sum(len(at) for when, key, at in self.dials if key.startswith("dial:forged") and when >= since)

    def _later(self, delay: float, what: str, subject: str) -> None:
        self._number += 1
        self._due.append((self.node.now + delay, self._number, what, subject))


def places(number: int, count: int = 20) -> list[str]:
    return [f"10.{number // 250}.{number % 250}.{host}:1" for host in range(1, count + 1)]


def test_two_thousand_forged_names_are_dialled_a_few_a_second_at_six_addresses_each() -> None:
    node = OneNode()
    friend = node.meet("friend")
    host = Hostile(node)

    for number in range(2_000):
        host.perform(node.sight(f"forged{number:04}", *places(number), source=SOURCE))
    host.run(60)
    early = host.count(60)
    host.run(60)

    at_once = MAX_TRIALS * LIMITS.addresses_of_member
    assert all(len(addresses) <= LIMITS.addresses_of_member for _, _, addresses in host.dials)
    assert early <= LIMITS.dials_per_second * 60 + at_once
    assert host.count(60) <= LIMITS.dials_per_second * 60 + at_once
    assert len(node.membership.members) == LIMITS.members
    assert node.membership.sessions[friend].is_met
    assert {(row["limit"], row["by"]) for row in node.hits.rows()} == {
        ("members", SOURCE),
        ("addresses_of_member", SOURCE),
        ("dials_per_second", SOURCE),
    }


def test_what_is_announced_anew_again_and_again_is_dialled_no_more_often() -> None:
    node = OneNode()
    host = Hostile(node, hangs=1_000)

    for number in range(2_000):
        host.perform(node.sight(f"forged{number % 8}", *places(number, 1), instance=f"run{number}"))
        host.run(0.01)

    assert host.count(20) <= LIMITS.dials_per_second * (20 + 1)


def test_in_a_flood_of_one_host_a_new_node_and_one_that_was_connected_before_are_dialled_soon() -> None:
    node = OneNode()
    known = node.meet("known")
    node.close(known, GOODBYE)
    node.close(known, "left")
    host = Hostile(node)
    for number in range(100):
        host.perform(node.sight(f"forged{number:04}", *places(number, 1), source=SOURCE))
    host.run(2)

    host.perform(node.sight("known", AT, instance="run2"))
    host.perform(node.sight("new", "10.0.0.2:4000", source="10.0.0.2"))
    host.run(3)

    assert {"dial:known", "dial:new"} <= {key for _, key, _ in host.dials}


def test_nodes_that_never_answered_are_forgotten_before_those_that_were_connected() -> None:
    node = OneNode()
    for name in ("lost", "left"):
        key = node.accept()
        node.greet(key, name)
        node.close(key, GOODBYE if name == "left" else "lost")
    node.look("lost", after=100)
    host = Hostile(node)

    for number in range(2_000):
        host.perform(node.sight(f"forged{number:04}", *places(number, 1), source=SOURCE))

    assert (node.state("lost"), node.state("left")) == ("lost", "left")


def test_a_redirect_of_a_known_node_keeps_its_link_and_the_address_where_it_answered() -> None:
    node = OneNode()
    key = node.meet("z")

    for instance in ("run1", "forged"):
        assert closes(node.sight("z", *places(66), instance=instance)) == []
    assert node.membership.sessions[key].is_met
    actions = node.close(key, "lost")
    node.membership.sessions.pop(key)

    assert looks(actions)["z"] == 0.0
    (dial,) = node.look("z")
    assert isinstance(dial, Dial) and AT in dial.addresses[:2]
    assert len(dial.addresses) == LIMITS.addresses_of_member


def test_an_address_where_another_node_answers_is_no_longer_proven() -> None:
    node = OneNode()
    key = node.meet("z")
    node.close(key, "lost")

    node.greet(key, "x", address=AT)
    node.sight("z", "10.0.0.2:4000")

    assert node.membership.members["z"].addresses == ("10.0.0.2:4000",)


def test_nodes_that_wait_for_their_dial_have_one_look_together() -> None:
    node = OneNode()
    begun: list[Action] = []
    for number in range(LIMITS.dials_per_second + 5):
        node.sight(f"z{number}", f"10.0.0.{number}:1")
        begun += node.look(f"z{number}")
        node.membership.on_dialled(f"dial:z{number}", f"c{number}", node.now)

    later = node.look(TRIALS_LOOK, after=1)

    assert [type(action) for action in begun].count(Dial) == LIMITS.dials_per_second
    assert list(looks(begun)) == [TRIALS_LOOK]
    assert [type(action) for action in later] == [Dial] * 5


def test_a_house_in_a_flood_of_forged_announcements_stays_connected_and_finds_a_new_node() -> None:
    with Cluster(7) as cluster:
        kitchen, study, cellar = cluster.start("kitchen", "study", "cellar")
        cluster.settle("met")
        cluster.crash(cellar)
        cluster.run(10)
        for number in range(500):
            cluster.forge_sighting(kitchen, f"ghost{number}~aaaaaaaa", at=cellar if number % 2 else study)
        for number in range(20):
            cluster.forge_sighting(kitchen, study.node_id, at=cellar, instance=f"forged{number}")
            cluster.forge_sighting(kitchen, kitchen.node_id, at=study, instance=f"forged{number}")
        since = len(cluster.trace)

        (attic,) = cluster.start("attic")
        cluster.settle("the attic is found", limit_seconds=30)
        cluster.run(60)

        assert kitchen.peers.keys() == {study.node_id, attic.node_id}
        lines = [line for line in cluster.trace[since:] if " kitchen: " in line]
        assert not [line for line in lines if "disconnected" in line or "cloned" in line]
        assert len(lines) < 12
        assert len(kitchen.status()["peers"]) <= LIMITS.members
