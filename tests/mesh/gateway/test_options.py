"""The options of a node for others than nodes: one list for Node and for the command line."""

from __future__ import annotations

from mesh.cli.commands import up
from mesh.gateway.options import GatewayOptions


def test_the_command_line_has_the_options_of_a_node_for_clients_and_upstream_but_roles() -> None:
    prefixes = ("clients", "upstream")
    of_node = {name for name in GatewayOptions.__annotations__ if name.startswith(prefixes)}

    of_command_line = {option.name for option in up.params if str(option.name).startswith(prefixes)}

    assert of_command_line == of_node - {"clients_role", "upstream_role"}
