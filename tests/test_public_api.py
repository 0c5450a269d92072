"""The public API: names, signatures, the command line and the keys of JSON output. What stands here changes with a release."""

from __future__ import annotations

import inspect
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import pytest

import mesh
import mesh.lab
import peers
from mesh import Node, NodeLog, View
from mesh.cli.commands import app
from mesh.cli.node.layers import UpOption
from mesh.lab import Cluster, Room
from peers import BaseSync, ClientSync, ServerSync
from peers.roles.run_peer import RunPeerSync
from tests.support.commands import run
from tests.support.street import SECONDS, at, wait_until

NAMES = {
    "mesh": "AppNode Denied EventMeta Limits MeshError Node NodeLog Notice Status View ViewState WebSocketNetwork",
    "peers": """FATAL BaseSync BusyError ClientSync Clock Connection Disk Entry InlineDisk Later Listening LocalPair Log
        LoopClock ManualClock MemoryStore Network PeerSync Reconnect ServerSync SqliteStore Store StoreError SyncError""",
    "mesh.lab": "Cluster Outcome Room Scenario Violation clients_door full line ring scenario star two_lans",
}

SIGNATURES: dict[type, tuple[str, ...]] = {
    Node: (
        "Node(name=None, *, home=None, mesh=None, existing=False, open=False, on_recovery_code=None, "
        "listen=None, peers=(), mdns=True, interfaces=None, requery_seconds=45.0, role=RunPeerSync, limits=None, **outside)",
        "on(event, listener)",
        "status()",
        "synchronized(*, peers=1, timeout=60.0)",
        "static_peers()",
        "add_peer(address)",
        "remove_peer(address)",
        "change_limits(limits)",
        "retry()",
        "view(name, apply, *, types=None, version=1)",
        "start()",
        "stop()",
        "begin()",
        "end()",
    ),
    NodeLog: (
        "add(event, meta=None, *, key=None)",
        "add_batch(items, *, keys=None)",
        "page(*, order='created', after=None, since=0, before=None, types=None, reverse=False, limit=500, index=None, "
        "undone=True)",
        "each(*, order='created', since=0, before=None, types=None, reverse=False, index=None, undone=True)",
        "follow(*, since=0, types=None)",
        "undo(which, reason=None)",
        "undone(createds)",
        "story(which)",
        "find(created)",
        "on(event, listener)",
        "remove_reason(reason, **bounds)",
        "add_reason(reason, **bounds)",
        "change_meta(created, diff)",
        "keep(keeper)",
        "clean(*, reasons=None, before=None)",
    ),
    View: (
        "get(key, default=None)",
        "items(*, prefix='', limit=None, after=None)",
        "digest()",
        "after(event=None)",
        "on(event, listener)",
        "retry()",
    ),
    Cluster: (
        "start(*names, links=None, store=None, mesh=None, app=None, serve=None, dial=None)",
        "client(name, *, to, protocol=None, **options)",
        "move(client, *, to)",
        "run(seconds)",
        "settle(sentence, *, limit_seconds=180.0)",
        "assert_converged(types=None)",
        "status(room)",
        "end()",
        "partition(*groups)",
        "heal()",
        "cut(one, other)",
        "hold(one, other)",
        "release(one, other)",
        "reset(one, other)",
        "slow(one, other, *, latency_ms=(0.2, 2.0), bytes_per_second=None, loss=0.0)",
        "flaky(one, other, *, seconds, loss=0.1)",
        "bad_air(*, loss=0.0, late_seconds=0.0)",
        "crash(*places)",
        "restart(*places)",
        "stop(*rooms)",
        "wipe(*rooms)",
        "snapshot(room)",
        "restore(room, snapshot)",
        "freeze(room)",
        "thaw(room)",
        "disk_full(room, *, is_full=True)",
        "failing_commits(room, *, commits=1)",
        "drift(room, share)",
        "skew(room, ms)",
        "forge_sighting(room, node_id, *, at, instance='forged')",
        "repeat_sighting(room, *, about)",
    ),
}

PROPERTIES = {
    Node: "node_id mesh home is_new clients_port clients_url door_ports",
    NodeLog: "last_added",
    View: "error",
    Room: "node_id types events entries",
}

NODE_OPTIONS = """clients metrics clients_cert clients_key clients_insecure clients_origins clients_hosts clients_role in_filter
    in_map out_filter out_map upstream upstream_user upstream_token upstream_channels upstream_subprotocol upstream_role serve
    dial"""
"""Of Node, besides those in its signature."""

EVERY_SYNC = """auth=None budgets=None clock credentials=None fix_time=False in_filter=None in_map=None other_synced=0
    out_filter=None out_map=None random spawn=None subprotocol=0 synced=0 turn=..."""
ROLE_OPTIONS: dict[type, str] = {
    BaseSync: f"{EVERY_SYNC} ping=None protocol=5 timeout=None",
    RunPeerSync: """auth=None budgets=None boot='' clock credentials=None encoded=None fix_time=False gather_ms=... held=...
        neighbours=None ping=4000 random release='' spawn=None subprotocol=0 summaries=None timeout=5000 turn=...""",
    ClientSync: f"{EVERY_SYNC} ping=5000 protocol=None resends=True timeout=20000",
    ServerSync: f"{EVERY_SYNC} ping=10000 protocol=5 timeout=20000",
}

STORY = "--seed N=0 | --seeds N=1 | --trace | --plot PATH | --live"
COMMAND_LINE = {
    "mesh": "--home DIR $MESH_HOME | --version",
    "mesh up": "--name NAME | --mesh NAME | --existing | --open [=lan] | --listen HOST:PORT | --peer HOST:PORT ... | "
    "--mdns | --interface ADDRESS_OR_NAME ... | --requery SECONDS=45.0 | --limit NAME=VALUE ... | --clients HOST:PORT | "
    "--metrics HOST:PORT | "
    "--clients-cert FILE | --clients-key FILE | --clients-insecure | --clients-origin ORIGIN ... | --clients-host NAME ... | "
    "--upstream URL | --upstream-user USER | --upstream-token TOKEN | --upstream-channel NAME ... | "
    "--upstream-subprotocol VERSION | --log-level debug,info,warning,error=warning | --log-format text,json=text | --json",
    "mesh config": "--check | --json",
    "mesh add": "JSON... | --key KEY | --key-field FIELD",
    "mesh log": "--json | --follow -f | --wait | --order created,added | --reverse | --since MOMENT | --until MOMENT | "
    "--type TYPE | --tail N | --limit N",
    "mesh peers": "--json",
    "mesh show": "ID | --json",
    "mesh status": "--json | --mesh",
    "mesh top": "",
    "mesh doctor": "--json",
    "mesh stop": "",
    "mesh reload": "",
    "mesh help": "[TOPIC]",
    "mesh service": "",
    "mesh service install": "--system | --yes",
    "mesh service uninstall": "--system | --yes",
    "mesh service status": "--system",
    "mesh bench view": "--events N=1000000 | --json",
    "mesh retry": "",
    "mesh wait": "--peers N=1 | --timeout SECONDS=60.0",
    "mesh peer": "",
    "mesh peer add": "HOST:PORT",
    "mesh peer list": "--json",
    "mesh peer remove": "HOST:PORT",
    "mesh token": "",
    "mesh token add": "USER | --ttl DURATION",
    "mesh token list": "--json",
    "mesh token revoke": "USER",
    "mesh found": "--name NAME | --mesh NAME | --json",
    "mesh invite": "--ttl TIME=10m | --uses N=1 | --admin | --with-log | --json",
    "mesh join": "[CODE] | --name NAME | --peer HOST:PORT | --with-log | --json",
    "mesh recover": "[CODE] | --name NAME | --with-log | --json",
    "mesh members": "--json",
    "mesh facts": "--json",
    "mesh revoke": "NODE | --yes | --keep all|none|ID ... | --last-admin",
    "mesh leave": "--yes",
    "mesh backup": "FILE | --force | --with-keys | --json",
    "mesh restore": "FILE | --json",
    "mesh export": "FILE|- | --archive | --since MOMENT | --until MOMENT | --type TYPE | --force | --json",
    "mesh import": "FILE|- | --json",
    "mesh verify": "--deep | --json",
    "mesh upgrade": "--drop-old | --json",
    "mesh bench": "",
    "mesh bench catch-up": "--events N=100000 | --runs N=1 | --json | --against",
    "mesh bench catch-up-singles": "--events N=20000 | --runs N=1 | --json",
    "mesh bench catch-up-turns": "--events N=20000 | --runs N=1 | --json",
    "mesh bench line": "--events N=20000 | --runs N=1 | --json",
    "mesh bench live": "--events N=20000 | --runs N=1 | --json",
    "mesh bench batch": "--events N=50000 | --runs N=1 | --json | --against",
    "mesh bench latency": "--events N=500 | --runs N=1 | --json | --against",
    "mesh bench mesh": "--events N=10000 | --runs N=1 | --json",
    "mesh bench merge": "--events N=40000 | --runs N=1 | --json",
    "mesh bench appends": "--events N=20000 | --runs N=1 | --json",
    "mesh bench start": "--events N=1 | --runs N=1 | --json",
    "mesh bench open": "--events N=100000 | --runs N=1 | --json",
    "mesh bench sessions": "--events N=50 | --runs N=1 | --json",
    "mesh bench actors": "--events N=100000 | --runs N=1 | --json",
    "mesh bench growth": "--events N=1000000 | --runs N=1 | --json",
    "mesh bench attacks": "--attack NAME ... | --seconds N=4.0 | --json",
    "mesh bench lab": "--size few,hundred,hundreds ... | --seed N=0 | --json",
    "mesh bench logux": "--events N=10000 | --json",
    "mesh scenario": "--list",
    "mesh scenario STORY": STORY,
    "mesh scenario all": "--seed N=0 | --seeds N=1 | --processes N",
    "mesh scenario storm": "--seed N=0 | --seeds N=1 | --nodes N..M=3..9 | --minutes N=10.0 | --processes N",
}

STATUS_KEYS = """node_id mesh port discovery last_added events conflicts differing hollow waiting old_log_bytes log_bytes
    oldest_ms newest_ms events_a_day events_a_day_over_ms out_of_mesh has_recovery_file ahead refused_events sessions paused
    doors clients turned_away limits views refused other_meshes peers clocks mesh_nodes store_error"""
SESSION_KEYS = "other_node_id state address lag missing restarts dialled reason"
PEER_KEYS = "node_id state session addresses restarts since_ms behind behind_since_ms missing clock_ahead_ms reason"
META_KEYS = "created time dot added origin"
BACKUP_KEYS = "file node_id events bytes with_keys"
RESTORE_KEYS = "home node_id events made_ms is_same_node newest"
FOUND_KEYS = "mesh mesh_key node_id recovery_file"
MEMBER_KEYS = "node_id is_admin state since_ms invited_by from last_seen_ms"
FACT_KEYS = "id kind time_ms signer about error void"
UPGRADE_KEYS = "events seconds old_file old_bytes"


def signature(function: Any, name: str) -> str:
    """`name(...)` without `self` and types."""
    signed = inspect.signature(function)
    plain = [one.replace(annotation=one.empty) for one in list(signed.parameters.values())[1:]]
    text = str(signed.replace(parameters=plain, return_annotation=signed.empty))
    return name + re.sub(r"<class '(?:\w+\.)*(\w+)'>", r"\1", text)


def role_options(role: type) -> set[str]:
    """The keyword options of a role's constructor, with their defaults; those of its ancestors are passed on to them."""
    found: dict[str, inspect.Parameter] = {}
    for kind in (kind for kind in role.__mro__ if "__init__" in vars(kind)):
        found = {**inspect.signature(vars(kind)["__init__"]).parameters, **found}
    return {shown(option) for option in found.values() if option.kind is option.KEYWORD_ONLY}


def shown(option: inspect.Parameter) -> str:
    """`name=default`; a function is `...`."""
    if option.default is option.empty:
        return option.name
    return f"{option.name}={'...' if inspect.isfunction(option.default) else repr(option.default)}"


def commands(command: click.Command, path: str, parent: click.Context | None = None) -> Iterator[tuple[str, str]]:
    """Each command with its options; the stories of `mesh scenario` are one."""
    yield path, " | ".join(described(option) for option in command.params)
    if isinstance(command, click.Group):
        context = click.Context(command, info_name=path, parent=parent)
        for name in command.list_commands(context):
            inner = command.get_command(context, name)
            assert inner is not None
            is_story = path == "mesh scenario" and name not in command.commands
            yield from commands(inner, f"{path} {'STORY' if is_story else name}", context)


def described(option: click.Parameter) -> str:
    """The flags, the value, its default, the variable, and `...` for what may be repeated.

    Each option of `mesh up` has the variable MESH_NAME.
    """
    if isinstance(option, click.Argument):
        return option.make_metavar() if option.metavar is None else option.metavar
    assert isinstance(option, click.Option)
    value = option.metavar or ("" if option.is_flag else ",".join(getattr(option.type, "choices", ())) or "N")
    has_default = not option.is_flag and isinstance(option.default, (int, float, str))
    text = " ".join([*option.opts, *([value] if value else [])]) + (f"={option.default}" if has_default else "")
    has_variable = option.envvar and not isinstance(option, UpOption)
    return text + (f" ${option.envvar}" if has_variable else "") + (" ..." if option.multiple else "")


@pytest.mark.parametrize("package", NAMES)
def test_a_package_exports_these_names(package: str) -> None:
    module = {"mesh": mesh, "peers": peers, "mesh.lab": mesh.lab}[package]

    assert sorted(module.__all__) == sorted(NAMES[package].split())
    assert all(getattr(module, name) is not None for name in module.__all__)


def test_the_package_has_a_version() -> None:
    assert mesh.__version__.count(".") >= 1


@pytest.mark.parametrize("kind", SIGNATURES)
def test_methods_have_these_parameters_and_defaults(kind: type) -> None:
    names = [text.partition("(")[0] for text in SIGNATURES[kind]]

    functions = [kind.__init__ if name == kind.__name__ else getattr(kind, name) for name in names]  # type: ignore[misc]
    assert tuple(map(signature, functions, names)) == SIGNATURES[kind]


@pytest.mark.parametrize("kind", PROPERTIES)
def test_objects_have_these_properties(kind: type) -> None:
    names = PROPERTIES[kind].split()

    assert [name for name in names if isinstance(getattr(kind, name, None), property)] == names


@pytest.mark.parametrize("name", NODE_OPTIONS.split())
def test_a_node_takes_this_option_by_name(name: str, tmp_path: Path) -> None:
    empty: Any = (
        {} if name in {"serve", "dial"} else () if name.endswith("s") and name not in {"clients", "metrics"} else None
    )

    Node("kitchen", home=tmp_path, **{name: empty})
    with pytest.raises(TypeError, match=f"{name}_too"):
        Node("kitchen", home=tmp_path, **{f"{name}_too": empty})


@pytest.mark.parametrize("role", ROLE_OPTIONS)
def test_a_role_takes_these_options(role: type) -> None:
    assert role_options(role) == set(ROLE_OPTIONS[role].split())
    assert list(inspect.signature(role.__init__).parameters)[:4] == ["self", "node_id", "log", "connection"]  # type: ignore[misc]


def test_the_command_line_has_these_commands_and_options() -> None:
    found = list(commands(app, "mesh"))

    assert dict(found) == COMMAND_LINE
    assert {options for name, options in found if name == "mesh scenario STORY"} == {STORY}


def test_json_output_has_these_keys(tmp_path: Path) -> None:
    options: Any = {"listen": "127.0.0.1:0", "open": True, "mdns": False}
    with (
        Node("kitchen", home=tmp_path / "kitchen", **options) as kitchen,
        Node("study", home=tmp_path / "study", peers=[at(kitchen)], **options) as study,
    ):
        study.log.add({"type": "milk"}).get(SECONDS)
        wait_until(lambda: kitchen.log.last_added == 1, "the event on both nodes")
        status, rows, item = (
            json.loads(run(kitchen.home, name, "--json").stdout) for name in ("status", "peers", "log")
        )
        made = json.loads(run(kitchen.home, "backup", "--json", str(tmp_path / "backup")).stdout)
    restored = json.loads(run(tmp_path / "new", "restore", "--json", str(tmp_path / "backup")).stdout)

    assert list(status) == STATUS_KEYS.split()
    assert [list(row) for row in status["sessions"]] == [SESSION_KEYS.split()]
    assert [list(row) for row in rows] == [PEER_KEYS.split()]
    assert list(item) == ["event", "meta"]
    assert set(item["meta"]) == set(META_KEYS.split())
    assert list(made) == BACKUP_KEYS.split()
    assert list(restored) == RESTORE_KEYS.split()
    assert list(json.loads(run(tmp_path / "new", "upgrade", "--json").stdout)) == UPGRADE_KEYS.split()
    assert list(json.loads(run(tmp_path / "new", "found", "--json").stdout)) == FOUND_KEYS.split()
    for name, keys in (("members", MEMBER_KEYS), ("facts", FACT_KEYS)):
        assert list(json.loads(run(tmp_path / "new", name, "--json").stdout)[0]) == keys.split()
