"""Recovery codes and invite codes: what people type."""

from __future__ import annotations

import re
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh.errors import MeshError
from mesh.trust.code_text import CodeForm
from mesh.trust.invite_code import InviteCode
from mesh.trust.recovery_code import mesh_signer, write_recovery_code
from peers.events.signature import KeySigner

SECRET = bytes(range(16))
INVITER = KeySigner.from_seed(b"i" * 32)
CODE = InviteCode.of(INVITER.public, b"0123456789")


def mistyped(code: str, at: int, symbol: str) -> str:
    places = [place for place, one in enumerate(code) if one != "-"]
    return code[: places[at]] + symbol + code[places[at] + 1 :]


def test_a_recovery_code_has_six_groups_and_gives_the_key_of_the_mesh() -> None:
    code = write_recovery_code(SECRET)

    assert re.fullmatch("[0-9A-HJKMNP-TV-Z]{5}(-[0-9A-HJKMNP-TV-Z]{5}){5}", code)
    assert mesh_signer(code).public == mesh_signer(code).public != mesh_signer(write_recovery_code(b"x" * 16)).public


def test_the_key_of_a_recovery_code_stays_the_same_in_later_releases() -> None:
    assert write_recovery_code(SECRET) == "000G4-0R40M-30E20-9185G-R38E1-ZB56Y"
    assert (
        mesh_signer("000G4-0R40M-30E20-9185G-R38E1-ZB56Y").public.hex()
        == "1a66032d3be666b05f11c50dcdccda9245281f313870c883b4f34e2d8171b74e"
    )


def test_an_invite_code_has_forty_symbols_in_eight_groups_and_names_its_node() -> None:
    code = CODE.write()

    assert re.fullmatch("[0-9A-HJKMNP-TV-Z]{5}(-[0-9A-HJKMNP-TV-Z]{5}){7}", code)
    assert InviteCode.read(code) == CODE
    assert CODE.is_of(INVITER.public) and not CODE.is_of(KeySigner.from_seed(b"j" * 32).public)


@given(st.binary(min_size=16, max_size=16), st.binary(min_size=10, max_size=10), st.randoms(use_true_random=False))
def test_codes_are_read_however_people_type_them(secret: bytes, other: bytes, random: Random) -> None:
    like = {"0": "0Oo", "1": "1IiLl", "-": ["-", " ", "", " - ", "\n"]}

    def typed(code: str) -> str:
        return "".join(random.choice(like.get(one, (one, one.lower()))) for one in code)

    code = write_recovery_code(secret)
    assert mesh_signer(typed(code)).public == mesh_signer(code).public
    invite = InviteCode.of(INVITER.public, other)
    assert InviteCode.read(typed(invite.write())) == invite


@given(st.integers(0, 39), st.sampled_from("0123456789ABCDEFGHJKMNPQRSTVWXYZ"))
def test_one_mistyped_symbol_is_noticed_and_its_group_is_named(at: int, symbol: str) -> None:
    code = CODE.write()
    wrong = mistyped(code, at, symbol)
    if wrong == code:
        return

    with pytest.raises(
        MeshError, match=rf"an invite code was mistyped: compare (group {at // 5 + 1} |it, group by group,)"
    ):
        InviteCode.read(wrong)


def test_two_symbols_that_changed_places_are_noticed_and_their_group_is_named() -> None:
    code = write_recovery_code(SECRET)
    at = next(at for at in range(12, 16) if code[at] != code[at + 1])
    swapped = code[:at] + code[at + 1] + code[at] + code[at + 2 :]

    with pytest.raises(MeshError, match="a recovery code was mistyped: compare group 3 with the one that was shown"):
        mesh_signer(swapped)


@pytest.mark.parametrize(
    ("typed", "sentence"),
    [
        ("", "an invite code has 40 symbols, and this one 0"),
        (CODE.write()[:-1], "has 40 symbols, and this one 39: compare them"),
        (write_recovery_code(SECRET), "an invite code has 40 symbols, and this one 30"),
        (mistyped(CODE.write(), 7, "U"), "'U' in group 2 is not a symbol of codes: compare that group"),
        (mistyped(CODE.write(), 0, "\x1b"), r"'\\x1b' in group 1 is not a symbol"),
        (mistyped(CODE.write(), 12, "ß"), "an invite code has 40 symbols, and this one 41"),
        ("x" * 100_000, "has 40 symbols, and this one 201"),
    ],
)
def test_what_is_no_code_gets_a_sentence(typed: str, sentence: str) -> None:
    with pytest.raises(MeshError, match=sentence) as caught:
        InviteCode.read(typed)
    assert str(caught.value).isprintable()


def test_a_code_of_a_newer_release_says_so() -> None:
    newer = CodeForm("an invite code", 40, 19).write(2 << 176)

    with pytest.raises(MeshError, match="version 2, from a newer release: upgrade peermesh here"):
        InviteCode.read(newer)


def test_secrets_of_another_length_are_refused() -> None:
    with pytest.raises(ValueError, match="16 random bytes, not 15"):
        write_recovery_code(SECRET[1:])
    with pytest.raises(ValueError, match="10 bytes, not 9"):
        InviteCode.of(INVITER.public, b"012345678")
