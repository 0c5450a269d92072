"""`mesh config`, and the three places from which `mesh up` takes an option: a flag, a variable, `mesh.toml`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from hypothesis import given
from hypothesis import strategies as st

from mesh.cli.commands import app, up
from mesh.cli.node.chosen import read_options
from mesh.cli.node.layers import UpOption
from mesh.settings.mesh_file import MAX_MESH_FILE_BYTES, read_mesh_file


def mesh(home: Path, *args: str, **variables: str | None) -> Result:
    return CliRunner().invoke(app, ["--home", str(home), *args], env=variables, prog_name="mesh")


def write(home: Path, text: str) -> Path:
    home.mkdir(exist_ok=True)
    (home / "mesh.toml").write_text(text)
    return home


def rows(home: Path, **variables: str | None) -> dict[str, tuple[Any, str]]:
    done = mesh(home, "config", "--json", **variables)
    assert done.exit_code == 0, done.output
    return {row["option"]: (row["value"], row["from"]) for row in json.loads(done.stdout)}


def parsed(home: Path, *args: str, **variables: str | None) -> dict[str, Any]:
    """The options with which `mesh up` would start."""
    with CliRunner(env=variables).isolation(), app.make_context("mesh", ["up"]) as root:
        root.obj = home
        return up.make_context("up", list(args), parent=root).params


def flags(home: Path, *args: str) -> tuple[str, ...]:
    with CliRunner().isolation(), app.make_context("mesh", ["up"]) as root:
        root.obj = home
        return read_options(up.make_context("up", list(args), parent=root)).flags


# Which one counts


def test_without_anything_all_options_have_their_defaults(tmp_path: Path) -> None:
    assert {source for _, source in rows(tmp_path).values()} == {"default"}


def test_a_key_of_the_file_counts_and_its_line_is_shown(tmp_path: Path) -> None:
    home = write(tmp_path, '# a till\nname = "kitchen"\n\npeer = [\n  "a:1",\n  "b:2",\n]\nmdns = false\n')

    shown = rows(home)

    assert shown["name"] == ("kitchen", "mesh.toml:2")
    assert shown["peer"] == (["a:1", "b:2"], "mesh.toml:4")
    assert shown["mdns"] == (False, "mesh.toml:8")


def test_a_variable_wins_over_the_file_and_a_flag_over_the_variable(tmp_path: Path) -> None:
    home = write(tmp_path, 'listen = ":1"\nname = "file"\nmesh = "file"\n')

    given = parsed(home, "--listen", ":3", MESH_LISTEN=":2", MESH_NAME="variable")

    assert (given["listen"], given["name"], given["mesh"]) == (":3", "variable", "file")


def test_a_list_in_a_variable_has_commas(tmp_path: Path) -> None:
    assert parsed(tmp_path, MESH_PEER="a:1, [::1]:2,")["peers"] == ("a:1", "[::1]:2")


def test_a_list_of_a_flag_replaces_that_of_the_file(tmp_path: Path) -> None:
    home = write(tmp_path, 'peer = ["a:1", "b:2"]\n')

    assert parsed(home)["peers"] == ("a:1", "b:2")
    assert parsed(home, "--peer", "c:3")["peers"] == ("c:3",)


def test_a_flag_can_switch_back_on_what_the_file_switches_off(tmp_path: Path) -> None:
    home = write(tmp_path, "mdns = false\n")

    assert parsed(home)["mdns"] is False
    assert parsed(home, "--mdns")["mdns"] is True
    assert parsed(home, MESH_MDNS="yes")["mdns"] is True


def test_the_flags_of_the_command_line_are_known_as_they_were_given(tmp_path: Path) -> None:
    home = write(tmp_path, 'name = "file"\n')

    assert flags(home) == ()
    assert flags(home, "--no-mdns", "--limit", "connections=3", "--limit", "members=4") == ("--no-mdns", "--limit")
    assert flags(home, "--mdns", "--upstream", "ws://a:1") == ("--mdns", "--upstream")


@pytest.mark.parametrize(("text", "value"), [("true", True), ('"lan"', "lan"), ("false", None)])
def test_open_takes_true_false_or_lan(tmp_path: Path, text: str, value: object) -> None:
    assert parsed(write(tmp_path, f"open = {text}\n"))["open"] == value
    assert parsed(tmp_path / "other", MESH_OPEN=text.strip('"'))["open"] == value


def test_each_limit_counts_alone(tmp_path: Path) -> None:
    home = write(tmp_path, "[limits]\nconnections = 100\nmembers = 30\nnotice_seconds = 1.5\n")

    limits = parsed(home, "--limit", "members=50", MESH_LIMIT="members=40,changes_shown=9")["limits"]

    assert (limits.connections, limits.members, limits.notice_seconds, limits.changes_shown) == (100, 50, 1.5, 9)
    assert rows(home, MESH_LIMIT="members=40")["limits.members"] == (40, "MESH_LIMIT")
    assert rows(home)["limits.connections"] == (100, "mesh.toml:2")


def test_paths_in_the_file_are_seen_from_the_home(tmp_path: Path) -> None:
    home = write(tmp_path, 'clients = ":8080"\nclients-cert = "cert.pem"\nclients-key = "cert.pem"\n')
    (home / "cert.pem").touch()

    assert parsed(home)["clients_cert"] == home / "cert.pem"


def test_each_option_of_up_can_stand_in_the_file_and_in_a_variable() -> None:
    options = [option for option in up.params if isinstance(option, UpOption)]

    assert len(options) == len(up.params)
    assert {option.envvar for option in options} == {
        "MESH_" + option.key.upper().replace("-", "_") for option in options
    }


# Mistakes


@pytest.mark.parametrize(
    ("text", "mistake"),
    [
        ("listne = 3\n", ":1: there is no option listne; did you mean listen?"),
        ("\nlisten = 4000\n", ":2: listen takes a text in quotes"),
        ('mdns = "no"\n', ":1: mdns takes true or false"),
        ("requery = true\n", ":1: requery takes a number"),
        ("peer = [1]\n", ":1: peer takes a text in quotes, or a list of such"),
        ('open = "everywhere"\n', ':1: open takes true, false or "lan"'),
        ('peer = "x"\n', ":1: peer: the peer 'x' is not an address"),
        ("[limits]\n\nconections = 3\n", ":3: there is no limit 'conections'; did you mean connections"),
        ("[limits]\nmembers = 0\n", ":2: the limit members cannot be 0"),
        ("limits = 3\n", ":1: there is no option limits"),
        ("[nodes]\nx = 1\n", ":1: there is no option nodes"),
        ("a = [1,\n", ": this is no TOML: "),
        ("name = 'a'\nname = 'b'\n", "(at line 2, column 11)"),
    ],
)
def test_a_mistake_is_shown_with_its_line(tmp_path: Path, text: str, mistake: str) -> None:
    home = write(tmp_path, text)

    for command in ("config", "--check"), ("config",), ("up",):
        done = mesh(home, *command)

        assert (done.exit_code, done.stdout) == (1, "")
        assert mistake in done.stderr and str(home / "mesh.toml") in done.stderr
    assert [path.name for path in home.iterdir()] == ["mesh.toml"]


def test_all_mistakes_of_a_file_are_shown_at_once(tmp_path: Path) -> None:
    done = mesh(write(tmp_path, 'mdns = "no"\nlisten = 1\nname = "ok"\nrequerry = 3\n'), "config", "--check")

    assert [line.split(":")[1] for line in done.stderr.splitlines()] == ["1", "2", "4"]


def test_a_mistake_in_a_variable_names_the_variable(tmp_path: Path) -> None:
    done = mesh(tmp_path, "config", MESH_LISTEN="here")

    assert done.exit_code == 2
    assert "the variable MESH_LISTEN" in done.stderr


def test_a_variable_that_no_option_reads_is_named(tmp_path: Path) -> None:
    done = mesh(tmp_path, "config", MESH_LISEN=":1")

    assert done.exit_code == 0
    assert "no option reads the variable MESH_LISEN; did you mean MESH_LISTEN?" in done.stderr


def test_what_is_no_text_or_too_large_is_refused(tmp_path: Path) -> None:
    (tmp_path / "mesh.toml").write_bytes(b'name = "a"\nmesh = "\xff"\n')
    assert "mesh.toml:2: this is not UTF-8 text" in mesh(tmp_path, "config").stderr

    (tmp_path / "mesh.toml").write_bytes(b"#" * (MAX_MESH_FILE_BYTES + 1))
    assert f"has more than {MAX_MESH_FILE_BYTES} bytes" in mesh(tmp_path, "config").stderr


def test_a_secret_is_not_shown_and_others_may_not_read_it(tmp_path: Path) -> None:
    home = write(tmp_path, 'upstream = "wss://logux.example"\nupstream-token = "hidden"\n')
    (home / "mesh.toml").chmod(0o644)
    refused = mesh(home, "config")

    (home / "mesh.toml").chmod(0o600)

    assert "chmod 600" in refused.stderr
    assert "hidden" not in mesh(home, "config").stdout


def test_an_option_that_has_no_effect_alone_is_a_mistake(tmp_path: Path) -> None:
    done = mesh(write(tmp_path, 'clients-origin = "*"\n'), "config", "--check")

    assert done.exit_code == 2
    assert "--clients-origin is of no use alone" in done.stderr


def test_check_says_that_a_file_has_no_mistakes(tmp_path: Path) -> None:
    assert mesh(tmp_path, "config", "--check").stdout == f"there is no {tmp_path / 'mesh.toml'}\n"
    assert mesh(write(tmp_path, "mdns = true\n"), "config", "--check").stdout.endswith("1 options, no mistakes\n")


# The lines of keys

keys = st.text("abcde-", min_size=1, max_size=6)
values = st.one_of(
    st.integers(-9, 9).map(str),
    st.just('"# [x]"'),
    st.just("[\n  1, # one\n\n  2,\n]"),
    st.just('"""\na = 1\n[b]\n"""'),
    st.text(st.characters(codec="ascii", categories=["L", "N", "P"], exclude_characters='\\"'), max_size=5).map(
        '"{}"'.format
    ),
)
gaps = st.sampled_from(["", "\n", "# a = 1\n", "\n\n"])


@given(
    st.lists(st.tuples(keys, values, gaps), max_size=6, unique_by=lambda row: row[0]),
    st.lists(st.tuples(keys, values, gaps), max_size=4, unique_by=lambda row: row[0]),
)
def test_the_line_of_each_key_is_known(
    tmp_path_factory: pytest.TempPathFactory, top: list[tuple[str, str, str]], limits: list[tuple[str, str, str]]
) -> None:
    home = tmp_path_factory.mktemp("home")
    text, lines = "", {}
    for prefix, table in ("", top), ("limits.", limits):
        text += "[limits]\n" if prefix else ""
        for key, value, gap in table:
            lines[prefix + key] = text.count("\n") + 1
            text += f"{key} = {value}\n{gap}"
    (home / "mesh.toml").write_text(text)

    file = read_mesh_file(home)

    assert file.values.keys() == lines.keys()
    assert {key: file.lines[key] for key in lines} == lines
