"""Joining a mesh by an invite code: finds the node that made it, proves the code to it, and gets certificates and facts."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import msgspec

from mesh.errors import MeshError, printable
from mesh.settings.config import parse_address
from mesh.settings.home import FACTS_FILE, KEY_FILE, Home, read_signer
from mesh.settings.home_lock import holder, is_locked
from mesh.settings.paths import CERTIFICATES_FILE, LOCK_FILE, RECOVERY_FILE, command_for
from mesh.trust.certificates import (
    CertificateChain,
    check_signatures,
    mesh_key_of,
    node_certificate,
    public_key,
    replace_certificates,
)
from mesh.trust.founding import log_of, old_events
from mesh.trust.invitations import invitation_key, join_proof
from mesh.trust.invite_code import InviteCode
from mesh.trust.join_messages import (
    HELLO,
    JOIN_VERSION,
    MAX_ANSWER_BYTES,
    JoinAnswer,
    JoinCall,
    Welcome,
    Wish,
    decode_answer,
)
from peers.facts.fact import Fact, checked_fact
from peers.facts.fact_set import FactSet
from peers.facts.roster import Roster
from peers.transport.sockets import explain_os_error
from peers.transport.tls.gate import proven_certificate

DIAL_SECONDS = 3.0
ANSWER_SECONDS = 10.0
FIND_SECONDS = 15.0
"""How long the node that made a code is looked for."""
AGAIN = "this machine's key is kept, and was let in: mend that, then run the same `mesh join` again"


class Joined(NamedTuple):
    """What `join` did."""

    node_id: str
    mesh: str
    """The label of the mesh."""
    mesh_key: bytes
    address: str
    """Of the node that made the code."""
    is_admin: bool


class _Inviter(NamedTuple):
    """An open connection to the node that made a code."""

    address: str
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    certificate: bytes
    """As DER, with the key that it proved."""


class _NotThereError(MeshError):
    """At an address is no node that can be asked."""


class _UnansweredError(MeshError):
    """A request was sent, and no answer came: the inviter may have let this key in."""


class _LostError(_UnansweredError):
    """The same: the connection ended."""


def check_home(home: Path, *, with_log: bool) -> None:
    """Raise MeshError, with a sentence, if a home cannot join a mesh.

    Its node runs, its mesh has other members, or, unless `with_log`, it has events and no mesh yet.
    """
    if is_locked(home):
        raise MeshError(
            f"the node in {home}{holder(home)} runs: stop it first, with `{command_for(home)} stop` or in its program"
        )
    if not (home / CERTIFICATES_FILE).exists():
        what = "" if with_log else old_events(home, "it did not join")
        if what:
            raise MeshError(
                f"the log of this home {what} of a time without a mesh: with `mesh join --with-log`, and a code "
                "of `mesh invite --with-log`, it brings them along, and vouches for them; else use another --home"
            )
        return
    own = read_signer(home).public
    mesh_key = mesh_key_of(home, own)
    opened = Home(home)
    try:
        with log_of(opened, mesh_key, "it did not join") as store:
            others = Roster(mesh_key, store.facts()).rows.keys() - {own}
    finally:
        opened.close()
    if others:
        raise MeshError("this home is in a mesh with others already: `mesh members` lists them; use another --home")


async def join(
    home: Path,
    name: str | None,
    typed: str,
    where: str | Callable[[], AsyncIterator[str]],
    *,
    with_log: bool = False,
) -> Joined:
    """Let this home join the mesh of the node that made a code. The home is changed only if that has worked.

    But if no answer comes, or it cannot be written down, it keeps its key, by which the same code works again. `where` is the
    address of that node, or finds those where it may be. `with_log`: it brings events of a time without a mesh along. Raises
    MeshError, with a sentence.
    """
    code = InviteCode.read(typed)
    check_home(home, with_log=with_log)
    inviter = await _open(where, code) if isinstance(where, str) else await _find(where(), code)
    try:
        opened = Home(home, name=name)
        try:
            return await _join(opened, code, inviter, with_log)
        finally:
            opened.close()
    finally:
        inviter.writer.transport.abort()


async def _join(home: Home, code: InviteCode, inviter: _Inviter, with_log: bool) -> Joined:
    wish = msgspec.json.encode(Wish(JOIN_VERSION, home.signer.public, home.node_id, with_log))
    call = JoinCall(wish, join_proof(invitation_key(code.secret), inviter.certificate, wish))
    try:
        answer = await _answer(inviter, code, call)
        if not isinstance(answer, Welcome):
            raise MeshError(f"it did not join, says the node at {inviter.address}: {printable(answer.why)}")
        chain, facts = _check(answer, home, inviter)
    except _UnansweredError as error:
        raise MeshError(f"{error}; this machine's key is kept in {home.path}: run the same `mesh join` again") from None
    except MeshError:
        _discard(home)
        raise
    label = Roster(chain.mesh_key, facts).name
    try:
        with log_of(home, chain.mesh_key, "it did not join") as store, store.transaction():
            store.learn(facts)
        home.keep_mesh(label, with_log=with_log)
        replace_certificates(home.path, chain)
    except MeshError as error:
        raise MeshError(f"{error}; {AGAIN}") from None
    except OSError as error:
        raise MeshError(f"it did not join: {error.filename} cannot be written ({error.strerror}); {AGAIN}") from None
    with suppress(OSError):  # of a mesh of this node alone, which has given way: it is of no use any more
        (home.path / RECOVERY_FILE).unlink(missing_ok=True)
    return Joined(home.node_id, label, chain.mesh_key, inviter.address, bool(answer.admin))


async def _answer(inviter: _Inviter, code: InviteCode, call: JoinCall) -> JoinAnswer:
    """Ask, once more if the connection ends: an answer may have been lost, and the same key gets it again. Raises MeshError."""
    try:
        return await _ask(inviter, call)
    except _LostError:
        pass
    try:
        again = await _open(inviter.address, code)
        try:
            return await _ask(again, call)
        finally:
            again.writer.transport.abort()
    except MeshError as error:
        raise _UnansweredError(str(error)) from None


async def _ask(inviter: _Inviter, call: JoinCall) -> JoinAnswer:
    """Raises MeshError if there is no answer."""
    address = inviter.address
    is_sent = False
    try:
        async with asyncio.timeout(ANSWER_SECONDS):
            await inviter.reader.readexactly(len(HELLO))
            inviter.writer.write(msgspec.json.encode(call) + b"\n")
            is_sent = True
            return decode_answer.decode(await inviter.reader.readuntil(b"\n"))
    except TimeoutError:
        late = _UnansweredError if is_sent else MeshError
        raise late(f"the node at {address} did not answer in {ANSWER_SECONDS:.0f} s") from None
    except (OSError, asyncio.IncompleteReadError):
        if is_sent:
            raise _LostError(f"the connection with {address} ended before the answer came") from None
        raise MeshError(
            f"the node at {address} admits no node now: the code has ended; run `mesh invite` there again"
        ) from None
    except (asyncio.LimitOverrunError, msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise MeshError(f"the answer of the node at {address} cannot be understood: {printable(str(error))}") from None


def _check(answer: Welcome, home: Home, inviter: _Inviter) -> tuple[CertificateChain, list[Fact]]:
    """What came. Raises MeshError unless it makes this home a member of the mesh of the inviter."""
    chain = CertificateChain(*answer.certificates)
    try:
        check_signatures(chain)
        if public_key(chain.node) != home.signer.public:
            raise ValueError("its certificate is of another key")
        known = FactSet(chain.mesh_key)
        for data in answer.facts:
            known.add(checked_fact(data))
        roster = Roster(known.mesh, known)
        rows = roster.rows
        for key in (home.signer.public, public_key(inviter.certificate)):
            if key not in rows or rows[key].state != "member":
                raise ValueError("its facts do not say that both machines are in the mesh")
        if answer.admin:
            own = node_certificate(home.signer, home.signer.public, home.node_id)
            chain = CertificateChain(own, answer.admin, chain.mesh)
            check_signatures(chain)
            if not rows[home.signer.public].is_admin:
                raise ValueError("its facts do not say that this machine is an admin")
        if not roster.name:
            raise ValueError("its facts do not say that there is a mesh")
    except ValueError as error:
        raise MeshError(f"the answer of the node at {inviter.address} cannot be used: {error}") from None
    return chain, list(known)


def _discard(home: Home) -> None:
    """Remove a home that was made for nothing."""
    if home.is_new and not (home.path / CERTIFICATES_FILE).exists():
        for name in (KEY_FILE, FACTS_FILE, LOCK_FILE):
            (home.path / name).unlink(missing_ok=True)
        with suppress(OSError):  # it has other files
            home.path.rmdir()


# Finding


async def _find(addresses: AsyncIterator[str], code: InviteCode) -> _Inviter:
    """A connection to the node that made a code, of which the key was compared. Nothing was sent. Raises MeshError."""
    results: asyncio.Queue[_Inviter | MeshError | None] = asyncio.Queue()
    has_others = False

    async def attempt(address: str) -> None:
        try:
            results.put_nowait(await _open(address, code))
        except MeshError as error:
            results.put_nowait(error)

    async def look() -> None:
        async with asyncio.TaskGroup() as attempts:
            async for address in addresses:
                attempts.create_task(attempt(address))

    looking = asyncio.ensure_future(look())
    looking.add_done_callback(lambda _: results.put_nowait(None))
    try:
        async with asyncio.timeout(FIND_SECONDS):
            while (result := await results.get()) is not None:
                if isinstance(result, _Inviter):
                    return result
                has_others |= not isinstance(result, _NotThereError)
        await looking
    except TimeoutError:
        pass
    finally:
        looking.cancel()
        await asyncio.wait([looking])
        while not results.empty():
            more = results.get_nowait()
            if isinstance(more, _Inviter):
                more.writer.transport.abort()
    heard = "others were" if has_others else "no other one was either"
    raise MeshError(
        f"the node that made this code was not found on this network ({heard}): "
        "let it run, or name its address with --peer HOST:PORT"
    )


async def _open(address: str, code: InviteCode) -> _Inviter:
    """Dial, and compare the key of the other end with the code before anything is sent. Raises MeshError."""
    host, port = parse_address(address, "the peer", is_dialled=True)
    try:
        async with asyncio.timeout(DIAL_SECONDS):
            reader, writer = await asyncio.open_connection(host, port, ssl=_any_key(), limit=MAX_ANSWER_BYTES)
    except ssl.SSLError:
        raise _NotThereError(
            f"what runs at {address} is no node with certificates: is it open, or does it run another release?"
        ) from None
    except (OSError, TimeoutError) as error:
        is_late = isinstance(error, TimeoutError) and error.errno is None
        why = f"timed out after {DIAL_SECONDS:.0f} s" if is_late else explain_os_error(error)
        raise _NotThereError(
            f"cannot reach {address}: {why}; let the node that made this code run, or correct the address"
        ) from None
    certificate = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
    try:
        is_it = code.is_of(proven_certificate(writer.transport).public)
    except ValueError:
        is_it = False
    if not is_it:
        writer.transport.abort()
        raise MeshError(
            f"the node at {address} is not the one that made this code: run `mesh invite` there, or correct the address"
        )
    return _Inviter(address, reader, writer, certificate)


def _any_key() -> ssl.SSLContext:
    """TLS to an end of which only the key counts, which the code names."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context
