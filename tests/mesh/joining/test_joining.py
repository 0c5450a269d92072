"""Live nodes: joining a mesh by an invite code, and the sentence for each reason why not."""

from __future__ import annotations

import asyncio
import time
from base64 import b64encode
from contextlib import suppress
from pathlib import Path

import pytest

from mesh import MeshError
from mesh.control.client import ControlClient
from mesh.joining.inviting import NO_LOG, NO_MESH_KEY, UNWRITTEN, USED_UP, WRONG_CODE
from mesh.joining.join import AGAIN, Joined, check_home, join
from mesh.settings.home import Home, read_identity
from mesh.trust.certificates import public_key
from mesh.trust.founding import found_mesh, log_of
from mesh.trust.invitations import INVITATIONS_FILE
from mesh.trust.invite_code import INVITE_SECRET_BYTES, InviteCode
from mesh.trust.join_messages import NotWelcome, Welcome
from mesh.trust.recovery_code import mesh_signer, write_recovery_code
from peers.facts.fact import decode_fact
from peers.facts.roster import Roster
from tests.support.commands import run
from tests.support.joining_parts import ANNA, BERT, SECONDS, asked, call_of, exchange, files, invited, joined, why_not
from tests.support.mesh_of_homes import RECOVERY_CODE, SECRET
from tests.support.street import at, wait_until
from tests.support.trusted_street import TrustedStreet

# Joining


def test_a_new_machine_joins_by_a_code_and_both_synchronize(street: TrustedStreet) -> None:
    kitchen, study_home = street.start("kitchen"), street.path / "study"
    kitchen.log.add({"type": "milk"}).get()

    done = joined(study_home, invited(kitchen), kitchen)

    assert (done.node_id, done.mesh) == (read_identity(study_home)[0], "home")
    wait_until(lambda: f"{done.node_id} joined this mesh from 127.0.0.1" in street.said("kitchen"), "the notice")
    study = street.start("study", peers=[at(kitchen)])
    study.log.add({"type": "bread"}).get()
    street.converge(kitchen, study, events=2)
    assert (study_home / "certificates.pem").stat().st_mode & 0o777 == 0o600


def test_a_home_with_a_log_joins_and_brings_it_along(street: TrustedStreet) -> None:
    kitchen = street.start("kitchen")
    porch = street.start("porch", mesh="")
    porch.log.add({"type": "doorbell"}).get()
    porch.stop()

    joined(street.path / "porch", invited(kitchen, with_log=True), kitchen, with_log=True)

    assert read_identity(street.path / "porch")[1].with_log
    street.start("porch", peers=[at(kitchen)])
    wait_until(lambda: [event["type"] for event, _ in kitchen.log.each()] == ["doorbell"], "the event")


def test_a_home_with_a_log_joins_only_if_both_ends_say_so_and_else_is_as_before(street: TrustedStreet) -> None:
    kitchen = street.start("kitchen")
    porch = street.start("porch", mesh="")
    porch.log.add({"type": "doorbell"}).get()
    porch.stop()
    before = files(porch.home)

    unsaid = why_not(porch.home, invited(kitchen, with_log=True), kitchen)
    code = invited(kitchen)
    not_allowed = why_not(porch.home, code, kitchen, with_log=True)

    assert "has 1 event of a time without a mesh: with `mesh join --with-log`" in unsaid
    assert not_allowed.endswith(NO_LOG)
    assert files(porch.home) == before
    joined(street.path / "study", code, kitchen)  # what was refused has not used the code up
    assert not read_identity(street.path / "study")[1].with_log


def test_two_machines_that_joined_meet_while_the_one_that_invited_them_is_off(street: TrustedStreet) -> None:
    kitchen = street.start("kitchen")
    for name in ("study", "attic"):
        joined(street.path / name, invited(kitchen), kitchen)
    kitchen.stop()

    study = street.start("study")  # has not heard of the attic
    attic = street.start("attic", peers=[at(study)])
    study.log.add({"type": "milk"}).get()

    street.converge(study, attic, events=1)


def test_a_restart_honours_a_code_for_the_rest_of_its_time(street: TrustedStreet) -> None:
    kitchen = street.start("kitchen")
    code = invited(kitchen)
    kitchen.stop()
    secret = InviteCode.read(code).secret
    kept = kitchen.home / INVITATIONS_FILE
    assert kept.stat().st_mode & 0o777 == 0o600 and secret.hex().encode() not in kept.read_bytes()

    again = street.start("kitchen")

    joined(street.path / "study", code, again)


def test_a_node_does_not_start_with_a_damaged_file_of_codes(street: TrustedStreet) -> None:
    (street.path / "kitchen" / INVITATIONS_FILE).write_bytes(b'{"version": 1, "invit')

    with pytest.raises(
        MeshError, match=r"invitations.json is damaged .*: delete it, and the invite codes that are open end"
    ):
        street.start("kitchen")


def test_the_same_machine_gets_the_same_certificate_again_and_another_one_hears_that_the_code_was_used(
    street: TrustedStreet,
) -> None:
    kitchen = street.start("kitchen")
    code = invited(kitchen)

    first, again = (asked(kitchen, call_of(kitchen, ANNA, code)) for _ in range(2))

    assert isinstance(first, Welcome) and first == again
    assert asked(kitchen, call_of(kitchen, BERT, code)) == NotWelcome(USED_UP)
    assert why_not(street.path / "study", code, kitchen).endswith(USED_UP)
    assert not (street.path / "study").exists()


async def join_with_a_lost_answer(home: Path, code: str, port: int, lost: int = 1) -> Joined:
    """Join through a relay that swallows the answer on its first connections."""
    relays: list[asyncio.Task[None]] = []

    async def relay(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection("127.0.0.1", port)
        is_lost, sent = len(relays) <= lost, 0

        async def answer() -> None:
            while data := await there.read(65536):
                if is_lost and sent > 2:  # the handshake and the request are over: this is the answer
                    break
                writer.write(data)
            writer.close()

        answering = asyncio.ensure_future(answer())
        with suppress(OSError):
            while data := await reader.read(65536):
                sent += 1
                back.write(data)
        back.close()
        await answering
        for end in (writer, back):
            with suppress(OSError):
                await end.wait_closed()

    def begin(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        relays.append(asyncio.ensure_future(relay(reader, writer)))

    server = await asyncio.start_server(begin, "127.0.0.1", 0)
    try:
        return await join(home, home.name, code, f"127.0.0.1:{server.sockets[0].getsockname()[1]}")
    finally:
        async with asyncio.timeout(SECONDS):
            await asyncio.gather(*relays)
        server.close()
        await server.wait_closed()
        assert len(relays) == 2  # one connection, and one more


def test_an_answer_that_was_lost_is_asked_for_again(street: TrustedStreet) -> None:
    kitchen = street.start("kitchen")

    asyncio.run(join_with_a_lost_answer(street.path / "study", invited(kitchen), kitchen.port))

    study = street.start("study", peers=[at(kitchen)])
    study.log.add({"type": "milk"}).get()
    street.converge(kitchen, study, events=1)


def test_after_an_answer_was_lost_twice_the_same_code_works_again_and_gives_the_same_certificate(
    street: TrustedStreet,
) -> None:
    kitchen, study = street.start("kitchen"), street.path / "study"
    code = invited(kitchen)

    with pytest.raises(MeshError, match=rf"this machine's key is kept in {study}: run the same `mesh join` again"):
        asyncio.run(join_with_a_lost_answer(study, code, kitchen.port, lost=2))
    key = (study / "node.key").read_bytes()
    assert not (study / "certificates.pem").exists()
    joined(study, code, kitchen)

    assert (study / "node.key").read_bytes() == key
    with ControlClient(kitchen.home) as client:
        assert len(client.texts().facts) == 4  # of the mesh, of its admin, and one for the study


def test_who_cannot_write_the_answer_down_joins_by_the_same_code_when_it_can(street: TrustedStreet) -> None:
    kitchen, home = street.start("kitchen"), street.path / "study"
    code, in_the_way = invited(kitchen), home / "certificates.pem.new"
    in_the_way.mkdir(parents=True)

    assert why_not(home, code, kitchen) == f"it did not join: {in_the_way} cannot be written (Is a directory); {AGAIN}"
    in_the_way.rmdir()

    assert joined(home, code, kitchen).mesh == "home"


def test_an_inviter_that_cannot_write_says_so_and_the_code_stays_open(street: TrustedStreet) -> None:
    kitchen, home = street.start("kitchen"), street.path / "study"
    code, in_the_way = invited(kitchen), kitchen.home / f"{INVITATIONS_FILE}.new"
    in_the_way.mkdir()

    assert f"{UNWRITTEN}: {kitchen.home / INVITATIONS_FILE} cannot be written (Is a " in why_not(home, code, kitchen)
    with pytest.raises(MeshError, match=r"^[^(]*invitations\.json cannot be written \(Is a directory\): mend that"):
        invited(kitchen)
    in_the_way.rmdir()

    assert joined(home, code, kitchen).mesh == "home"


# Admins


def test_a_code_with_the_recovery_code_makes_an_admin_that_invites_others(street: TrustedStreet) -> None:
    kitchen = street.start("kitchen")

    done = joined(street.path / "study", invited(kitchen, recovery_code=RECOVERY_CODE), kitchen)

    assert done.is_admin
    wait_until(
        lambda: f"{done.node_id} joined this mesh from 127.0.0.1 as an admin" in street.said("kitchen"), "the notice"
    )
    study = street.start("study", peers=[at(kitchen)])
    joined(street.path / "attic", invited(study), study)
    attic = street.start("attic", peers=[at(kitchen)])
    attic.log.add({"type": "milk"}).get()
    street.converge(kitchen, study, attic, events=1)


def test_the_key_of_the_mesh_is_on_no_disk_and_gone_after_a_restart(street: TrustedStreet) -> None:
    kitchen = street.start("kitchen")
    code = invited(kitchen, recovery_code=RECOVERY_CODE)
    seed = mesh_signer(RECOVERY_CODE).key.private_bytes_raw()
    kept = b"".join(path.read_bytes() for path in kitchen.home.iterdir() if path.is_file())
    assert not any(secret in kept for secret in (seed, b64encode(seed), SECRET, b64encode(SECRET)))
    assert RECOVERY_CODE.encode() not in kept
    kitchen.stop()

    kitchen = street.start("kitchen")

    assert why_not(street.path / "study", code, kitchen).endswith(NO_MESH_KEY)
    assert joined(street.path / "study", invited(kitchen, recovery_code=RECOVERY_CODE), kitchen).is_admin


def test_an_admin_whose_certificates_are_from_before_it_was_one_invites_once_they_are_written_anew(
    street: TrustedStreet,
) -> None:
    kitchen = street.start("kitchen")
    joined(street.path / "study", invited(kitchen), kitchen)
    in_the_way = street.path / "study" / "certificates.pem.new"
    in_the_way.mkdir()
    assert b"was made an admin, but " in run(street.path / "study", "recover", RECOVERY_CODE).stderr
    in_the_way.rmdir()

    study = street.start("study")
    with pytest.raises(MeshError, match=r"is an admin, but its certificates are from before that: .* `mesh recover`"):
        invited(study)
    study.stop()

    assert run(street.path / "study", "recover", RECOVERY_CODE).returncode == 0
    study = street.start("study")
    joined(street.path / "attic", invited(study), study)


def test_a_new_home_that_was_recovered_takes_the_name_of_its_mesh_over(street: TrustedStreet) -> None:
    home = Home(street.path / "shed", name="shed", mesh="garden")
    found_mesh(home, SECRET, 1_000, lambda _: None)
    home.close()
    shed = street.start("shed")
    run(street.path / "study", "recover", "--name", "study", RECOVERY_CODE)

    study = street.start("study", peers=[at(shed)])

    wait_until(lambda: read_identity(study.home)[1].mesh == "garden", "the name")
    assert joined(street.path / "attic", invited(study), study).mesh == "garden"


def test_a_machine_that_joined_as_a_node_and_lost_the_answer_becomes_an_admin_by_a_further_code(
    street: TrustedStreet,
) -> None:
    kitchen = street.start("kitchen")
    asked(kitchen, call_of(kitchen, ANNA, invited(kitchen)))

    said = asked(kitchen, call_of(kitchen, ANNA, invited(kitchen, recovery_code=RECOVERY_CODE)))

    assert isinstance(said, Welcome) and public_key(said.admin) == ANNA.public
    roster = Roster(mesh_signer(RECOVERY_CODE).public, map(decode_fact, said.facts))
    assert roster.rows[ANNA.public].is_admin


@pytest.mark.parametrize(
    ("code", "ttl_seconds", "sentence"),
    [
        (write_recovery_code(b"x" * 16), 60, "this recovery code is of another mesh"),
        ("ABC", 60, "a recovery code has 30 symbols, and this one 3"),
        (RECOVERY_CODE, 3_601, "a code that makes an admin is open for 60 minutes at most"),
    ],
)
def test_no_code_that_makes_an_admin_is_opened_by_a_wrong_recovery_code_or_for_long(
    street: TrustedStreet, code: str, ttl_seconds: int, sentence: str
) -> None:
    kitchen = street.start("kitchen")

    with pytest.raises(MeshError, match=sentence):
        invited(kitchen, ttl_seconds, recovery_code=code)

    assert not (kitchen.home / INVITATIONS_FILE).exists()


def test_a_code_with_two_uses_lets_two_machines_in(street: TrustedStreet) -> None:
    kitchen = street.start("kitchen")
    code = invited(kitchen, uses=2)

    joined(street.path / "study", code, kitchen)
    joined(street.path / "attic", code, kitchen)

    assert why_not(street.path / "porch", code, kitchen).endswith(USED_UP)


# What does not work is said in a sentence, and the home is as before


def test_a_code_that_has_ended_is_refused_with_a_sentence(street: TrustedStreet) -> None:
    kitchen = street.start("kitchen")
    with ControlClient(kitchen.home) as client:
        code, expires_ms = client.invite(1, 1).code, client.invite(1, 1).expires_ms
    wait_until(lambda: time.time_ns() > (expires_ms + 1) * 1_000_000, "the end of the code")
    assert exchange(kitchen, b"{}\n") == b""

    assert "admits no node now: the code has ended" in why_not(street.path / "study", code, kitchen)
    invited(kitchen)
    assert why_not(street.path / "study", code, kitchen).endswith(WRONG_CODE)
    assert not (street.path / "study").exists()


def test_a_code_that_was_mistyped_is_refused_without_a_network(tmp_path: Path) -> None:
    code = InviteCode.of(ANNA.public, bytes(INVITE_SECRET_BYTES)).write()
    wrong = ("A" if code[7] != "A" else "B").join((code[:7], code[8:]))

    assert "mistyped: compare group 2" in why_not(tmp_path / "study", wrong, "127.0.0.1:1")


def test_a_home_whose_node_runs_or_whose_mesh_has_others_does_not_join(street: TrustedStreet) -> None:
    kitchen = street.start("kitchen")
    code = invited(kitchen)

    porch = street.start("porch", mesh="")
    assert "runs: stop it first" in why_not(porch.home, code, kitchen)
    joined(street.path / "study", code, kitchen)
    before = files(street.path / "study")
    assert "is in a mesh with others already" in why_not(street.path / "study", invited(kitchen), kitchen)
    assert files(street.path / "study") == before


def test_a_mesh_of_one_gives_way_and_keeps_what_it_wrote(street: TrustedStreet) -> None:
    kitchen = street.start("kitchen")
    alone = Home(street.path / "shed", name="shed", mesh="garden")
    found_mesh(alone, bytes(16), 1_000, lambda _: None)
    alone.close()
    shed = street.start("shed")
    shed.log.add({"type": "rake"}).get()
    shed.stop()

    joined(shed.home, invited(kitchen), kitchen)

    assert street.start("shed", peers=[at(kitchen)]).mesh == "home"
    wait_until(lambda: [event["type"] for event, _ in kitchen.log.each()] == ["rake"], "the event")


@pytest.mark.parametrize("left", ["log.sqlite", "log.sqlite-journal"])
def test_a_home_whose_log_was_in_the_making_when_its_machine_stopped_can_join(tmp_path: Path, left: str) -> None:
    home = Home(tmp_path, name="study")
    with log_of(home, b"", ""):
        pass
    home.close()
    (tmp_path / left).write_bytes(b"")

    check_home(tmp_path, with_log=False)


def test_only_an_admin_invites_and_another_one_names_one(street: TrustedStreet) -> None:
    kitchen = street.start("kitchen")
    joined(street.path / "study", invited(kitchen), kitchen)
    study, porch = street.start("study"), street.start("porch", mesh="")

    with pytest.raises(MeshError, match=f"only an admin invites, and {study.node_id} is none: .* on {kitchen.node_id}"):
        invited(study)
    with pytest.raises(MeshError, match="in no mesh that it could invite to: `mesh found` makes one"):
        invited(porch)
