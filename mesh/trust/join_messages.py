"""What goes over TLS when a node joins: HELLO from the inviter, one line of JSON to it, and one line as the answer."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta, Struct

from mesh.trust.certificates import CERTIFICATES
from peers.events.epoch import KEY_BYTES
from peers.facts.fact import MAX_FACT_BYTES
from peers.facts.fact_set import MAX_FACTS_IN_SET

MAX_JOIN_BYTES = 4 * 1024
"""Of the line of a node that joins."""
MAX_ANSWER_BYTES = 64 * 1024 * 1024
"""Of the line of the inviter, with all facts of its mesh."""
HELLO = b"\n"
"""What an inviter sends first: a request is sent only to one whose door is open."""
PROOF_BYTES = 32
JOIN_VERSION = 1

Der = Annotated[bytes, Meta(max_length=4 * 1024)]


class Wish(Struct, frozen=True, forbid_unknown_fields=True):
    """Who wants to join."""

    version: Annotated[int, Meta(ge=JOIN_VERSION, le=JOIN_VERSION)]
    key: Annotated[bytes, Meta(min_length=KEY_BYTES, max_length=KEY_BYTES)]
    node_id: Annotated[str, Meta(max_length=200)]
    with_log: bool = False
    """Whether it brings events of a time without a mesh along."""


class JoinCall(Struct, frozen=True, forbid_unknown_fields=True):
    """The line of the node that joins."""

    wish: Annotated[bytes, Meta(max_length=1024)]
    """The JSON text of a Wish: what is proven are its bytes."""
    proof: Annotated[bytes, Meta(min_length=PROOF_BYTES, max_length=PROOF_BYTES)]
    """See join_proof."""


class Welcome(Struct, frozen=True, tag="welcome", forbid_unknown_fields=True, omit_defaults=True):
    """The answer: it is in the mesh."""

    certificates: Annotated[tuple[Der, ...], Meta(min_length=CERTIFICATES, max_length=CERTIFICATES)]
    """As DER, in the order of CertificateChain."""
    facts: Annotated[
        tuple[Annotated[bytes, Meta(max_length=MAX_FACT_BYTES)], ...], Meta(max_length=4 * MAX_FACTS_IN_SET)
    ]
    """All of the mesh, in the order in which they came to the inviter."""
    admin: Der = b""
    """The certificate by which it is an admin too, by the mesh's key; empty if it becomes none."""


class NotWelcome(Struct, frozen=True, tag="not welcome", forbid_unknown_fields=True):
    """The answer: it is not; `why` is a sentence."""

    why: Annotated[str, Meta(max_length=1_000)]


JoinAnswer = Welcome | NotWelcome

decode_call = msgspec.json.Decoder(JoinCall).decode
decode_wish = msgspec.json.Decoder(Wish).decode
decode_answer: msgspec.json.Decoder[JoinAnswer] = msgspec.json.Decoder(JoinAnswer)
