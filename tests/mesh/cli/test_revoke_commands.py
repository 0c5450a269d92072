"""`mesh revoke` and `mesh leave` on homes in which no node runs, and every sentence of theirs."""

from __future__ import annotations

import os
import pty
from collections.abc import Sequence
from pathlib import Path

import pytest

from mesh import MeshError, Node
from mesh.settings.home import read_identity, read_signer
from mesh.trust.certificates import mesh_key_of
from mesh.trust.ending import made_void, revocations, signed_by
from mesh.trust.recovery_code import mesh_signer, write_recovery_code
from peers.facts.fact import Certificate, Fact, Leave, Revocation, Tip, decode_fact
from peers.facts.roster import Roster
from peers.stores.runs.sqlite.store import SqliteRunStore
from tests.support.commands import DEADLINE_SECONDS, arguments, environment, run, running, say
from tests.support.forked_process import ForkedProcess
from tests.support.members import states
from tests.support.mesh_of_homes import RECOVERY_CODE, homes_of_one_mesh, put_facts
from tests.support.street import SECONDS

CODE = f"{RECOVERY_CODE}\n".encode()
PROMPT = b"recovery code: "


def facts_of(home: Path) -> list[Fact]:
    store = SqliteRunStore(home / "log.sqlite")
    store.enter_mesh(mesh_key_of(home, read_signer(home).public))
    store.open()
    facts = list(store.facts())
    store.close()
    return facts


def id_of(home: Path) -> str:
    return read_identity(home)[0]


def make_admin(home: Path, *, knows_of: Path) -> None:
    """Make the node of a home an admin, and let another home know."""
    assert run(home, "recover", RECOVERY_CODE).returncode == 0
    put_facts(knows_of, mesh_signer(RECOVERY_CODE).public, facts_of(home))


def said_by(home: Path, *args: str, given: bytes | None = None) -> str:
    """The sentence of a command that fails, and changes no fact."""
    before = [fact.id for fact in facts_of(home)]
    done = run(home, *args, given=given)
    assert (done.returncode, done.stdout) == (1, b"")
    assert b"Traceback" not in done.stderr
    assert [fact.id for fact in facts_of(home)] == before
    return done.stderr.decode()


def on_terminal(home: Path, answers: Sequence[str], *args: str) -> tuple[int, str]:
    """The exit code of a command, and all that a terminal shows, on which a user gives these answers."""
    ours, theirs = pty.openpty()
    with ForkedProcess(
        arguments(home, *args), stdin=theirs, stdout=theirs, stderr=theirs, env=environment()
    ) as process:
        os.close(theirs)
        os.write(ours, "".join(f"{answer}\n" for answer in answers).encode())
        shown = b""
        while True:
            try:
                more = os.read(ours, 4096)
            except OSError:  # the process has ended
                break
            if not more:
                break
            shown += more
        code = process.wait(DEADLINE_SECONDS)
    os.close(ours)
    return code, shown.decode().replace("\r\n", "\n")


# A node


def test_an_admin_revokes_a_node_for_good(tmp_path: Path) -> None:
    kitchen, study = homes_of_one_mesh(tmp_path, "kitchen", "study")

    done = run(kitchen, "revoke", "study", "--yes")

    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout.decode() == (
        f"{id_of(study)} is revoked; the others hear of it when this node runs and is connected\n"
    )
    assert states(kitchen) == {"kitchen": "member", "study": "revoked"}
    assert f"{id_of(study)} is revoked already" in said_by(kitchen, "revoke", id_of(study), "--yes")


def test_a_revocation_says_how_far_what_the_node_has_written_is_held_here(tmp_path: Path) -> None:
    kitchen, study = homes_of_one_mesh(tmp_path, "kitchen", "study")
    with Node(home=study, listen="127.0.0.1:0", mdns=False) as node:
        node.log.add({"type": "milk"}).get(SECONDS)
        with Node(home=kitchen, listen="127.0.0.1:0", mdns=False, peers=[f"127.0.0.1:{node.port}"]) as other:
            other.synchronized().get(SECONDS)

    run(kitchen, "revoke", "study", "--yes")

    end = facts_of(kitchen)[-1]
    assert isinstance(end, Revocation)
    assert [tip.seq for tip in end.cut] == [1]


def test_on_a_terminal_it_shows_who_that_is_and_asks(tmp_path: Path) -> None:
    kitchen, study = homes_of_one_mesh(tmp_path, "kitchen", "study")

    no, shown = on_terminal(kitchen, ["n"], "revoke", "study")

    assert no == 1
    assert f"{id_of(study)} is a member since 1970-01-01 00:00:02" in shown
    assert f"invited by {id_of(kitchen)} from 192.168.1.7. Once it is revoked, its key never comes back." in shown
    assert "Revoke it? [y/N]" in shown and shown.endswith("nothing was changed\n")
    assert states(kitchen)["study"] == "member"
    assert on_terminal(kitchen, ["y"], "revoke", "study")[0] == 0
    assert states(kitchen)["study"] == "revoked"


def test_without_a_terminal_nothing_is_revoked_unless_yes_is_given(tmp_path: Path) -> None:
    kitchen, _ = homes_of_one_mesh(tmp_path, "kitchen", "study")

    said = said_by(kitchen, "revoke", "study")

    assert said.startswith("nothing was changed: study~")
    assert said.endswith("Give --yes, since there is no terminal to ask at\n")
    assert "Give --yes" in said_by(kitchen, "leave")


def test_who_is_no_admin_hears_which_node_is_one(tmp_path: Path) -> None:
    kitchen, study, _ = homes_of_one_mesh(tmp_path, "kitchen", "study", "attic")
    put_facts(study, mesh_signer(RECOVERY_CODE).public, facts_of(kitchen))

    said = said_by(study, "revoke", "attic", "--yes")

    assert said == (f"only an admin revokes, and {id_of(study)} is none: run `mesh revoke` on {id_of(kitchen)}\n")


def test_a_name_that_none_or_several_have_is_not_guessed(tmp_path: Path) -> None:
    kitchen, study, _ = homes_of_one_mesh(tmp_path, "kitchen", "study", "attic")
    (other,) = homes_of_one_mesh(tmp_path / "other", "study")
    signer, mesh = read_signer(kitchen), mesh_signer(RECOVERY_CODE).public
    twin = Certificate(mesh, signer.public, 3_000, b"", read_signer(other).public, id_of(other), False, "")
    put_facts(kitchen, mesh, [twin.signed(signer)])

    assert "no node porch was ever in this mesh, as far as is known here" in said_by(kitchen, "revoke", "porch")
    said = said_by(kitchen, "revoke", "study", "--yes")
    assert f"study is the name of 2 nodes: give the id of one of them: {id_of(study)}, {id_of(other)}" in said
    assert run(kitchen, "revoke", id_of(study), "--yes").returncode == 0
    assert run(kitchen, "revoke", "study", "--yes").returncode == 0  # only one member has the name now


def test_a_node_does_not_revoke_itself(tmp_path: Path) -> None:
    (kitchen,) = homes_of_one_mesh(tmp_path, "kitchen")

    assert "is this node itself: it leaves with `mesh leave`" in said_by(kitchen, "revoke", "kitchen", "--yes")


@pytest.mark.parametrize("command", [("revoke", "study", "--yes"), ("leave", "--yes")])
def test_a_home_in_no_mesh_says_so(tmp_path: Path, command: tuple[str, ...]) -> None:
    home = tmp_path / "home"
    with Node("kitchen", home=home, open=True, listen="127.0.0.1:0", mdns=False):
        running = run(home, *command)
    stopped, missing = run(home, *command), run(tmp_path / "none", *command)

    assert b"is in no mesh yet: `mesh found` makes one" in running.stderr
    assert b"is in no mesh yet: `mesh found` makes one" in stopped.stderr
    assert b"there is no home of a node in" in missing.stderr
    assert {done.returncode for done in (running, stopped, missing)} == {1}
    assert not (tmp_path / "none").exists()


# An admin


def test_an_admin_is_revoked_by_the_recovery_code_and_what_it_signed_is_void_but_for_what_is_kept(
    tmp_path: Path,
) -> None:
    kitchen, study, attic, porch = homes_of_one_mesh(tmp_path, "kitchen", "study", "attic", "porch")
    assert run(kitchen, "revoke", "porch", "--yes").returncode == 0
    put_facts(study, mesh_signer(RECOVERY_CODE).public, facts_of(kitchen))
    kept = next(fact for fact in facts_of(kitchen) if isinstance(fact, Revocation))

    done = run(study, "revoke", "kitchen", "--yes", "--last-admin", "--keep", kept.id.hex(), given=CODE)

    assert (done.returncode, done.stderr) == (0, b"recovery code: ")
    first, *void = done.stdout.decode().splitlines()
    assert first.startswith(f"{id_of(kitchen)} is revoked")
    assert [line.partition(", ")[0] for line in void] == [
        f"void now: certificate of {id_of(home)}" for home in (study, attic, porch)
    ]
    assert states(study) == {"kitchen": "revoked", "study": "void", "attic": "void", "porch": "revoked"}


def test_on_a_terminal_it_asks_of_each_fact_whether_it_holds(tmp_path: Path) -> None:
    kitchen, study, attic, _ = homes_of_one_mesh(tmp_path, "kitchen", "study", "attic", "porch")
    make_admin(study, knows_of=kitchen)
    put_facts(study, mesh_signer(RECOVERY_CODE).public, facts_of(kitchen))

    code, shown = on_terminal(study, ["y", RECOVERY_CODE, "yes", "no", "all"], "revoke", "kitchen")

    assert code == 0, shown
    assert "It has signed 3 facts. Which of them still hold?" in shown
    assert f"certificate of {id_of(attic)}" in shown
    assert states(study) == {"study": "member", "kitchen": "revoked", "attic": "void", "porch": "member"}


def test_a_script_says_what_holds_of_what_an_admin_has_signed(tmp_path: Path) -> None:
    kitchen, study, _ = homes_of_one_mesh(tmp_path, "kitchen", "study", "attic")
    make_admin(study, knows_of=kitchen)
    put_facts(study, mesh_signer(RECOVERY_CODE).public, facts_of(kitchen))
    revoke = ("revoke", "kitchen", "--yes")

    assert "has signed 2 facts: give --keep all, none, or the ids" in said_by(study, *revoke, given=CODE)
    assert "--keep none, stands alone" in said_by(study, *revoke, "--keep", "all", "--keep", "ab", given=CODE)
    assert "ab is no fact that this admin has signed" in said_by(study, *revoke, "--keep", "ab", given=CODE)
    assert "no recovery code was given" in said_by(study, *revoke, "--keep", "all")
    another = write_recovery_code(b"x" * 16).encode()
    assert "this recovery code is of another mesh" in said_by(study, *revoke, "--keep", "all", given=another)
    assert "is no admin: leave --keep and --last-admin out" in said_by(kitchen, "revoke", "attic", "--keep", "all")
    assert run(study, *revoke, "--keep", "all", given=CODE).returncode == 0
    assert states(study) == {"study": "member", "kitchen": "revoked", "attic": "member"}


def test_the_last_admin_is_revoked_only_by_those_who_say_so(tmp_path: Path) -> None:
    kitchen, study = homes_of_one_mesh(tmp_path, "kitchen", "study")
    put_facts(study, mesh_signer(RECOVERY_CODE).public, facts_of(kitchen))

    said = said_by(study, "revoke", "kitchen", "--yes", "--keep", "all", given=CODE)
    no, shown = on_terminal(study, ["n"], "revoke", "kitchen", "--yes", "--keep", "all")

    assert "is the last admin: afterwards only `mesh recover`, with the recovery code, makes another one" in said
    assert "Give --last-admin if it shall be revoked" in said
    assert no == 1 and "Revoke the last admin? [y/N]" in shown
    code, shown = on_terminal(study, ["y", RECOVERY_CODE], "revoke", "kitchen", "--yes", "--keep", "all")
    assert code == 0, shown
    assert states(study) == {"kitchen": "revoked", "study": "member"}


def test_an_admin_that_signed_very_many_facts_is_revoked_and_all_are_kept(tmp_path: Path) -> None:
    (kitchen,) = homes_of_one_mesh(tmp_path, "kitchen")
    mesh, admin = mesh_signer(RECOVERY_CODE), read_signer(kitchen)
    keys = [read_signer(path).public for path in homes_of_one_mesh(tmp_path / "others", "one", "two")]
    facts = facts_of(kitchen) + [
        Revocation(mesh.public, admin.public, time_ms, b"", keys[time_ms % 2], (), ()).signed(admin)
        for time_ms in range(100)
    ]
    signed = signed_by(Roster(mesh.public, facts), facts, admin.public)
    cut = [Tip(f"{number:032x}", 2**50, bytes([255] * 32)) for number in range(8)]

    ends = revocations(mesh, mesh.public, admin.public, cut, [fact.id for fact in signed], 9)

    assert len(signed) == 100
    assert made_void(facts, ends) == [facts[2]]  # its own certificate of a node
    assert [len(end.cut) for end in ends if isinstance(end, Revocation)] == [8, 0, 0, 0]
    assert [decode_fact(end.data) for end in ends] == ends


def test_where_the_node_stops_meanwhile_the_same_command_is_called_again(tmp_path: Path) -> None:
    kitchen, _ = homes_of_one_mesh(tmp_path, "kitchen", "study")
    make_admin(tmp_path / "study", knows_of=kitchen)
    command = ("revoke", "study", "--yes", "--keep", "all")
    node = Node(home=kitchen, listen="127.0.0.1:0", mdns=False)
    node.start()
    with running(kitchen, *command) as process:
        assert process.stdin is not None and process.stderr is not None
        assert process.stderr.read(len(PROMPT)) == PROMPT
        node.stop()
        say(process, CODE)
        said = process.stderr.read()

    assert said.endswith(b"stopped before it answered: call the same command again, now without it\n")
    assert states(kitchen)["study"] == "member"
    assert run(kitchen, *command, given=CODE).returncode == 0


# leave


def test_a_node_that_has_left_does_not_start_again_and_its_log_can_be_read(tmp_path: Path) -> None:
    _, study = homes_of_one_mesh(tmp_path, "kitchen", "study")
    put_facts(study, mesh_signer(RECOVERY_CODE).public, facts_of(tmp_path / "kitchen"))
    with Node(home=study, listen="127.0.0.1:0", mdns=False) as node:
        node.log.add({"type": "milk"}).get(SECONDS)

    done = run(study, "leave", "--yes")

    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout.decode() == (
        f"{id_of(study)} has left its mesh; no other member has heard it, since none was connected: "
        f"`mesh revoke {id_of(study)}` on an admin tells them. `mesh log` still shows what is in this home\n"
    )
    end = facts_of(study)[-1]
    assert isinstance(end, Leave) and [tip.seq for tip in end.cut] == [1]
    up = run(study, "up", "--no-mdns", "--listen", "127.0.0.1:0")
    assert (up.returncode, up.stdout) == (1, b"")
    assert "has left its mesh for good: start a new node in another --home; `mesh log` shows" in up.stderr.decode()
    with pytest.raises(MeshError, match="has left its mesh for good"):
        Node(home=study, listen="127.0.0.1:0", mdns=False).start()
    assert b"milk" in run(study, "log").stdout
    assert "has left this mesh already" in said_by(study, "leave", "--yes")
    assert states(study)["study"] == "left"


@pytest.mark.parametrize(
    ("names", "how"),
    [
        (("kitchen",), "no other member is left"),
        (("kitchen", "study"), "on any of them, with the recovery code, tells them"),
    ],
    ids=["alone", "with another member"],
)
def test_the_last_admin_that_leaves_is_warned_and_hears_how_others_hear_of_it(
    tmp_path: Path, names: tuple[str, ...], how: str
) -> None:
    kitchen, *_ = homes_of_one_mesh(tmp_path, *names)

    no, shown = on_terminal(kitchen, ["n"], "leave")
    done = run(kitchen, "leave", "--yes")

    warning = f"warning: {id_of(kitchen)} is the last admin: afterwards only `mesh recover`, with the recovery code"
    assert no == 1 and warning in shown and "Leave it? [y/N]" in shown
    assert done.returncode == 0 and warning in done.stderr.decode() and how in done.stdout.decode()


def test_a_node_that_was_revoked_does_not_leave(tmp_path: Path) -> None:
    kitchen, study = homes_of_one_mesh(tmp_path, "kitchen", "study")
    run(kitchen, "revoke", "study", "--yes")
    put_facts(study, mesh_signer(RECOVERY_CODE).public, facts_of(kitchen))

    assert "is not in its mesh any more (revoked by kitchen~" in said_by(study, "leave", "--yes")
    assert "is not in its mesh any more (revoked by kitchen~" in said_by(study, "revoke", "kitchen", "--yes")
