"""Examination: measures what `mesh doctor` judges, with and without a running node."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from mesh.cli.watch.home_facts import free_bytes, home_files, key_facts, store_facts
from mesh.cli.watch.network_facts import is_port_taken, paths_to, port_holder, read_firewall
from mesh.discovery.mdns.interfaces import MDNS_PORT, ChosenInterfaces, Interface, choose, why_none
from mesh.discovery.mdns.probe import Echo, ask_around
from mesh.discovery.mdns.scan import scan, what_is_denied
from mesh.discovery.port import NOT_WANTED
from mesh.errors import MeshError, in_python
from mesh.membership.diagnosis.doctor.finding import Finding, needs_node
from mesh.membership.diagnosis.doctor.firewall import Packet
from mesh.membership.diagnosis.doctor.home import (
    clock_finding,
    disk_finding,
    home_finding,
    mistake_finding,
    node_finding,
    store_finding,
    views_finding,
)
from mesh.membership.diagnosis.doctor.neighbours import (
    meshes_finding,
    neighbour_findings,
    path_finding,
    releases_finding,
)
from mesh.membership.diagnosis.doctor.network import (
    Firewall,
    Heard,
    firewall_finding,
    interface_finding,
    multicast_finding,
    port_finding,
    reach_finding,
)
from mesh.membership.diagnosis.links import LinkRow
from mesh.settings.config import ONLY_HERE, parse_address
from mesh.settings.home import read_identity
from mesh.settings.paths import disk_share
from mesh.version import __version__
from peers.limits import Limits
from peers.transport.address import is_loopback

_NOT_WANTED = {NOT_WANTED.why, in_python(NOT_WANTED.why)}


@dataclass(frozen=True, slots=True)
class CheckedOptions:
    """What the options of `mesh up` say, as far as it is checked."""

    mdns: bool = True
    interfaces: Sequence[str] | None = None
    is_here: bool = False
    """Whether the node is open for programs of this machine alone."""
    listen: tuple[str, int] | None = None
    limits: Limits = field(default_factory=Limits)
    mistakes: tuple[str, ...] = ()
    """Why they cannot be used: then the others are defaults."""
    given: int = 0
    """How many the file and variables give."""
    flags: tuple[str, ...] = ()
    """Those that stood on the command line of the running node."""
    in_python: bool = False
    """Whether an application gave them to the running node."""

    @classmethod
    def of(cls, chosen: dict[str, Any], given: int) -> CheckedOptions:
        """`chosen` are keyword arguments of Node."""
        is_here = chosen.get("open") is True
        wanted = chosen.get("interfaces") or ((ONLY_HERE,) if is_here else None)
        listen = parse_address(chosen["listen"], "the address to listen on") if chosen.get("listen") else None
        return cls(chosen.get("mdns", True), wanted, is_here, listen, chosen.get("limits") or Limits(), given=given)

    def of_running(self, shown: Mapping[str, Any]) -> CheckedOptions:
        """Those with which a node runs, as Node.shown_options gives them. Mistakes in the file count only for `mesh up`."""
        known = {field.name for field in fields(Limits)}
        in_python = shown["in_python"]
        return replace(
            self,
            mdns=shown["mdns"],
            interfaces=shown["interfaces"],
            is_here=shown["open"] is True,
            listen=tuple(shown["listen"]) if shown["listen"] else None,
            limits=Limits(**{name: value for name, value in shown["limits"].items() if name in known}),
            mistakes=() if in_python else self.mistakes,
            flags=tuple(shown.get("flags", ())),
            in_python=in_python,
        )

    @property
    def found(self) -> str:
        """Where they come from, for people."""
        if self.in_python:
            return "given in Python by the application that runs the node"
        parts = [f"{', '.join(self.flags)} on the command line"] if self.flags else []
        parts += [f"{self.given} of mesh.toml and of variables"] if self.given else []
        return f"{' and '.join(parts)}, no mistakes" if parts else "all as by default"


@dataclass(frozen=True, slots=True)
class Examination:
    """One call of `mesh doctor`."""

    home: Path
    options: CheckedOptions
    status: dict[str, Any] | None = None
    """Of the running node; None without one."""
    links: Sequence[LinkRow] | None = None
    """Its links, after other nodes have dialled it; None without a node, or from one of an earlier release."""
    facts: Sequence[bytes] | None = None
    """Those of the mesh that the running node knows; None without one."""
    trouble: str = ""
    """Why a node that runs did not answer."""

    def findings(self) -> Iterator[Finding]:
        """A line for each check, in the order in which they are shown; each is measured when it is asked for."""
        yield node_finding(self.status, self.trouble)
        yield from self._home()
        yield from self._network()
        yield from self._others()

    def _home(self) -> Iterator[Finding]:
        try:
            files = home_files(self.home)
        except OSError as error:
            remedy = "run the command as the user of the node, or correct the rights"
            yield Finding("home", "wrong", f"{self.home} cannot be read: {error.strerror or error}", remedy)
            return
        yield home_finding(str(self.home), files)
        yield mistake_finding("options", self.options.mistakes, self.options.found, "`mesh config` shows all options")
        place = next((each for each in (self.home, *self.home.parents) if each.exists()), self.home)
        yield disk_finding(disk_share(place), free_bytes(place), self.options.limits, str(place))
        if not files:
            return
        who, mistakes = key_facts(self.home, self.facts)
        yield mistake_finding("key", mistakes, who)
        yield store_finding(store_facts(self.home), self.status["store_error"] if self.status else None)
        if self.status and self.status.get("views"):  # a node of an earlier release has none
            yield views_finding(self.status["views"])

    def _network(self) -> Iterator[Finding]:
        if self.options.mistakes and self.status is None:  # it is not known what may be sent, and where
            for check in ("interfaces", "port", "firewall"):
                yield Finding(
                    check, "look", "not checked: the options cannot be used", "correct them, then call it again"
                )
            return
        network, reason = self._interfaces()
        discovery = self.status["discovery"] if self.status else None
        is_on = self.options.mdns if discovery is None else discovery["on"] or discovery["why"] not in _NOT_WANTED
        is_chosen = bool(self.options.interfaces) if discovery is None else not discovery["why"]
        yield interface_finding(network, reason, is_on=is_on, is_chosen=is_chosen, discovery=discovery)
        asked = [each for each in network.interfaces if is_on and each.is_up and not each.is_loopback]
        heard = [_heard(echo) for echo in ask_around(asked, network.own_hosts)] if asked else []
        for one, interface in zip(heard, asked, strict=True):
            yield multicast_finding(one, interface.addresses, is_linked=bool(self.links))
        yield (port := self._port(network))
        if self._is_here(network):
            return
        packets = [Packet("udp", MDNS_PORT)] if is_on else []
        if number := self._port_number()[0]:
            packets.append(Packet("tcp", number))
        is_heard = not asked or any(one.others for one in heard)
        is_reached = self.status is not None and port.state == "ok"
        yield firewall_finding(read_firewall(packets) if packets else Firewall(True), is_proven=is_heard and is_reached)

    def _others(self) -> Iterator[Finding]:
        if self.status is None:
            yield from map(needs_node, ("clock", "neighbours", "MTU", "other meshes", "releases"))
            return
        if self.links is None:
            yield Finding("links", "look", "not checked: the running node is of an earlier release", "restart it")
            return
        yield clock_finding(self.status["clocks"], self.links)
        interfaces = _scan()[0]
        addresses = [one for each in interfaces if each.is_up and not each.is_loopback for one in each.addresses]
        yield from neighbour_findings(self.status, addresses)
        small = {link["node_id"] for link in self.links if link["sends_small"]}
        for path in paths_to(self.links, interfaces):
            yield path_finding(path, sends_small=path.node_id in small)
        yield meshes_finding(self.status["other_meshes"])
        yield releases_finding(__version__, self.links)

    def _interfaces(self) -> tuple[ChosenInterfaces, str]:
        """Those that discovery uses, or would use; and why there are none."""
        found, trouble = _scan()
        running = self.status["discovery"] if self.status else None
        wanted = running["interfaces"] if running is not None and running["on"] else self.options.interfaces
        return choose(found, wanted or None), trouble or why_none(found, wanted)

    def _is_here(self, network: ChosenInterfaces) -> bool:
        if self.options.listen is not None and is_loopback(self.options.listen[0]):
            return True
        is_loop = bool(network.interfaces) and all(each.is_loopback for each in network.interfaces)
        return self.options.is_here or (self.status is not None and is_loop)

    def _port(self, network: ChosenInterfaces) -> Finding:
        number, host, is_kept = self._port_number()
        if self.status is not None:
            return reach_finding(number, self.links or (), self._is_here(network))
        is_taken = bool(number) and is_port_taken(host, number)
        return port_finding(number, port_holder(number) if is_taken else "", is_taken, is_kept)

    def _port_number(self) -> tuple[int, str, bool]:
        """The port for nodes, at which host, and whether it is the one that the home keeps."""
        if self.status is not None:
            return self.status["port"], "", False
        if self.options.listen is not None:
            return self.options.listen[1], self.options.listen[0], False
        try:
            return read_identity(self.home)[1].port, "", True
        except MeshError:
            return 0, "", True


def _scan() -> tuple[tuple[Interface, ...], str]:
    """The interfaces of this machine, or why they cannot be listed."""
    try:
        return scan(), what_is_denied()
    except OSError as error:
        return (), f"the network interfaces cannot be listed: {error.strerror or error}"


def _heard(echo: Echo) -> Heard:
    own = tuple(f"IPv{version}" for version in sorted(echo.own))
    deaf = tuple(f"IPv{version}" for version in sorted(echo.asked - echo.own))
    return Heard(echo.interface, own, deaf, tuple(sorted(echo.others)), tuple(sorted(echo.nodes)), echo.error)
