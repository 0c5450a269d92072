"""The options of Node as an application gives them: lists, names that are not quite right, and sentences about them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from mesh import MeshError, Node


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"peer": "192.168.1.7:4000"}, "unexpected keyword argument 'peer'; did you mean peers?"),
        ({"clients_origin": "*"}, "unexpected keyword argument 'clients_origin'; did you mean clients_origins?"),
        ({"wifi": True}, "unexpected keyword argument 'wifi'"),
    ],
)
def test_an_unknown_option_names_the_nearest_one(tmp_path: Path, given: dict[str, Any], sentence: str) -> None:
    with pytest.raises(TypeError) as refused:
        Node("kitchen", home=tmp_path, **given)

    assert str(refused.value) == f"Node() got an {sentence}"


@pytest.mark.parametrize("interfaces", ["eth0", ["eth0"]])
def test_one_interface_may_stand_without_a_list(tmp_path: Path, interfaces: Any) -> None:
    with pytest.raises(MeshError, match="leave listen= and interfaces= out"):
        Node("kitchen", home=tmp_path, open=True, interfaces=interfaces)


@pytest.mark.parametrize(
    ("options", "what"),
    [({"clients_origins": "wss://app.example"}, "wss://app.example"), ({"clients_hosts": "till 1"}, "till 1")],
)
def test_one_origin_and_one_host_may_stand_without_a_list(tmp_path: Path, options: Any, what: str) -> None:
    with pytest.raises(MeshError, match=what):
        Node("kitchen", home=tmp_path, clients="127.0.0.1:0", **options)


@pytest.mark.parametrize(
    "options", [{"auth": "secret"}, {"may_undo": True}, {"channels": ["stock"]}, {"channels": {"stock/:item": []}}]
)
def test_what_is_no_function_is_refused_by_the_name_of_its_option(tmp_path: Path, options: dict[str, Any]) -> None:
    (name,) = options
    with pytest.raises(MeshError, match=f"`{name}` (is a function|has a function for each pattern)"):
        Node("kitchen", home=tmp_path, clients="127.0.0.1:0", **options)


def test_functions_for_clients_need_the_port_for_clients(tmp_path: Path) -> None:
    def agree(*_: Any) -> Any:
        return True

    for options in {"in_filter": agree}, {"auth": agree, "channels": {"stock": agree}, "metrics": "127.0.0.1:0"}:
        names = " and ".join(f"`{name}`" for name in options if name != "metrics")
        with pytest.raises(
            MeshError, match=f"^{names}: only the port for clients uses that, and `clients` is not given"
        ):
            Node("kitchen", home=tmp_path, **options)
        Node("kitchen", home=tmp_path, clients=None, **options)


@pytest.mark.parametrize(
    ("sentence", "in_python"),
    [
        ("leave --listen out, or give --listen :PORT", 'leave listen= out, or give listen=":PORT"'),
        ("name one of them with --peer HOST:PORT", 'name one of them with peers="HOST:PORT"'),
        ("allow it with --open=lan", 'allow it with open="lan"'),
        ("correct --home; start it once without --existing", "correct home=; start it once without existing=True"),
        ("give --clients-cert, or --clients-insecure", "give clients_cert=, or clients_insecure=True"),
        ("it was started with --no-mdns", "it was started with mdns=False"),
        ("`mesh --home x up --open` and --with-log", "`mesh --home x up --open` and --with-log"),
        ("start it with --clients-origin https://a.example", 'start it with clients_origins="https://a.example"'),
        ("correct --clients-origin, --interface or --limit", "correct clients_origins=, interfaces= or limits="),
    ],
)
def test_an_error_for_an_application_names_keyword_arguments(sentence: str, in_python: str) -> None:
    error = MeshError(sentence).for_python()

    assert (str(error), error.for_commands) == (in_python, sentence)


def test_starting_raises_such_an_error(tmp_path: Path) -> None:
    with pytest.raises(MeshError, match="correct home=") as refused:
        Node("kitchen", home=tmp_path / "none", existing=True, open=True, mdns=False, listen="127.0.0.1:0").start()

    assert "correct --home" in refused.value.for_commands
    assert refused.value.__context__ is None or refused.value.__suppress_context__
