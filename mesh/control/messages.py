"""The messages between commands and a running node: one JSON object per line, a request or an answer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, Raw, Struct

from mesh.settings.config import MAX_INVITE_SECONDS, MAX_INVITE_USES, MAX_WAIT_PEERS, MAX_WAIT_SECONDS, WAIT_SECONDS

MAX_LINE_BYTES = 1024 * 1024
"""Of a request or an answer, without its line end."""
MAX_ITEM_BYTES = 288 * 1024
"""Of an event with its meta, as `mesh log --json` prints it; peers.events.entry limits the parts."""
BATCH_EVENTS = 500
BATCH_BYTES = 256 * 1024
"""JSON text of the events of one Add; a single event may be larger."""
MAX_TIME_MS = 253_402_300_799_998
"""The last ms but one of the year 9999, where Python's calendar ends."""
MAX_FRAMES = 500
FRAMES_BYTES = 512 * 1024
"""Of the records of one TakeFrames, at most: they are written in base64."""
MAX_STATED = 64
"""Facts of one State."""
ITEMS_BYTES = 512 * 1024
"""An answer is sent once its events have this many bytes, so that the last one fits into the line too."""

MAX_KEY_BYTES = 64
"""Of a public key; those of today have 32."""
CutTip = tuple[str, int, bytes]
"""The fields of a Tip: this module does without `peers`, which takes longer to load than most commands take to run."""
EventCount = Annotated[int, Meta(ge=0, le=2**53 - 1)]
Time = Annotated[int, Meta(ge=0, le=MAX_TIME_MS)]

NOT_UNDERSTOOD = "cannot be understood"
"""Part of every answer to a request that a node does not know. Older releases send it too, so it stays."""


class Add(Struct, tag_field="do", tag="add", forbid_unknown_fields=True, omit_defaults=True):
    """Add events, given as JSON text without line breaks. Answer: Added. A client may send several before the first answer."""

    events: Annotated[list[Raw], Meta(min_length=1, max_length=BATCH_EVENTS)]
    keys: Annotated[list[str], Meta(max_length=BATCH_EVENTS)] = []
    """One for each event, which makes it safe to repeat; none: no event has one."""
    metas: Annotated[list[dict[str, Any] | None], Meta(max_length=BATCH_EVENTS)] = []
    """One for each event, as NodeLog.add takes it; none: no event has one."""


class TakeFrames(Struct, tag_field="do", tag="take frames", forbid_unknown_fields=True):
    """Take records of an archive, as over a link, see peers.codec.archive. Answer: FramesTaken."""

    mesh: Annotated[bytes, Meta(max_length=MAX_KEY_BYTES)]
    """The public key of the mesh of the archive; empty without one."""
    frames: Annotated[list[bytes], Meta(min_length=1, max_length=MAX_FRAMES)]


class Read(Struct, tag_field="do", tag="read", forbid_unknown_fields=True, omit_defaults=True):
    """Read the log. Answers: any number of Events, then Done; with `follow`, Events until one end closes.

    It ends when the client closes its sending side. Defaults are not sent, so that a node of an older release refuses only
    requests that it cannot fulfil.
    """

    order: Literal["created", "added"] = "created"
    since: EventCount = 0
    """Leave out events with an `added` up to this."""
    type: str | None = None
    follow: bool = False
    """Go on with new events; the order is that of `added`, whatever `order` says."""
    from_ms: Time | None = None
    """Leave out events with an earlier `time`, in ms since 1970."""
    until_ms: Time | None = None
    """Leave out events with a later `time`, in ms since 1970."""
    tail: EventCount | None = None
    """Of these, only the last so many. Not with `follow`."""
    limit: EventCount | None = None
    """End after so many events."""
    reverse: bool = False
    """The last event first. Not with `follow`."""


class Show(Struct, tag_field="do", tag="show", forbid_unknown_fields=True):
    """Show the status of the node. Answer: Shown."""


class Tell(Struct, tag_field="do", tag="tell", forbid_unknown_fields=True):
    """Tell the story of an event, by its `created`, or without one by its `added`. Answer: Told."""

    created: tuple[int, str, int] | None = None
    added: EventCount = 0


class Retry(Struct, tag_field="do", tag="retry", forbid_unknown_fields=True):
    """Start again what is paused or refused. Answer: Done."""


class Examine(Struct, tag_field="do", tag="examine", forbid_unknown_fields=True):
    """Look at the links of the node, and let others dial it. Answer: Examined."""


class ShowOptions(Struct, tag_field="do", tag="show options", forbid_unknown_fields=True):
    """Show with what the node was made. Answer: OptionsShown. Earlier releases do not know it."""


class Reload(Struct, tag_field="do", tag="reload", forbid_unknown_fields=True):
    """Read the options of the node again. Answer: Reloaded."""


class Wait(Struct, tag_field="do", tag="wait", forbid_unknown_fields=True):
    """Wait until `peers` others or more have the same events, see Node.synchronized. Answer: Done, or Failure."""

    peers: Annotated[int, Meta(ge=1, le=MAX_WAIT_PEERS)] = 1
    timeout_seconds: Annotated[float, Meta(gt=0, le=MAX_WAIT_SECONDS)] = WAIT_SECONDS


class ShowPeers(Struct, tag_field="do", tag="show peers", forbid_unknown_fields=True):
    """List the addresses that are dialled whether discovery finds them or not. Answer: Peers."""


class ChangePeer(Struct, tag_field="do", tag="change peer", forbid_unknown_fields=True):
    """Dial an address from now on, or no longer, and keep that in the home. Answer: Done."""

    address: Annotated[str, Meta(max_length=1_000)]
    is_wanted: bool


class ShowFacts(Struct, tag_field="do", tag="show facts", forbid_unknown_fields=True):
    """Show the facts of the mesh and the proofs of forks. Answers: any number of Texts, then Done."""


class Invite(Struct, tag_field="do", tag="invite", forbid_unknown_fields=True, omit_defaults=True):
    """Open an invite code. Answer: Invited."""

    ttl_seconds: Annotated[int, Meta(ge=1, le=MAX_INVITE_SECONDS)]
    uses: Annotated[int, Meta(ge=1, le=MAX_INVITE_USES)]
    with_log: bool = False
    """Whether homes may join by it that bring events of a time without a mesh along."""
    recovery_code: Annotated[str, Meta(max_length=1_000)] | None = None
    """That of the mesh, if who joins becomes an admin."""


class ShowCut(Struct, tag_field="do", tag="show cut", forbid_unknown_fields=True):
    """Show how far the node holds what a key has written, once it has what connected nodes have of it. Answer: CutShown."""

    key: Annotated[bytes, Meta(max_length=MAX_KEY_BYTES)]


class State(Struct, tag_field="do", tag="state", forbid_unknown_fields=True):
    """Take facts of the mesh into the log, all or none, and tell them the others. Answer: Done."""

    facts: Annotated[list[bytes], Meta(min_length=1, max_length=MAX_STATED)]


class LeaveMesh(Struct, tag_field="do", tag="leave", forbid_unknown_fields=True):
    """Leave the mesh for good, then stop the node. Answer: Left, sent before the node has stopped."""


class Stop(Struct, tag_field="do", tag="stop", forbid_unknown_fields=True):
    """Stop the node. Answer: Done, sent before the node has stopped."""


class Confirmed(Struct, tag_field="is", tag="confirmed"):
    """An event that is on disk."""

    created: tuple[int, str, int]
    added: int


class Rejected(Struct, tag_field="is", tag="rejected"):
    """An event that was not added; `why` is a sentence."""

    why: str


class Added(Struct, tag_field="is", tag="added"):
    """The outcome of each event of an Add, in order."""

    outcomes: list[Confirmed | Rejected]


class FramesTaken(Struct, tag_field="is", tag="frames taken"):
    """What became of records of an archive: see peers.protocol.runs.archiving.TakenArchive."""

    shown: int
    entries: int
    new: int
    left: dict[str, int]
    bad: str


class Events(Struct, tag_field="is", tag="events"):
    """Some events, in order, each `{"event": ..., "meta": ...}`."""

    items: list[Raw]


class Shown(Struct, tag_field="is", tag="shown"):
    """The object of `mesh status --json`, see mesh.membership.status."""

    status: dict[str, Any]


class Told(Struct, tag_field="is", tag="told"):
    """See peers.log.event_story.EventStory; None if the event is not known."""

    story: dict[str, Any] | None


class Peers(Struct, tag_field="is", tag="peers"):
    """See Node.static_peers."""

    rows: list[dict[str, str | None]]


class Texts(Struct, tag_field="is", tag="texts"):
    """Some of the texts of MeshTexts, in their order."""

    facts: list[bytes] = []
    proofs: list[bytes] = []


class Invited(Struct, tag_field="is", tag="invited"):
    """A code that is open, until `expires_ms` of the wall clock."""

    code: str
    expires_ms: int


class CutShown(Struct, tag_field="is", tag="cut"):
    """How far the epochs of a key are held: see RunStore.tips."""

    tips: list[CutTip]


class Left(Struct, tag_field="is", tag="left"):
    """The node has left its mesh."""

    told: int
    """How many nodes have taken the fact that it has."""


class Examined(Struct, tag_field="is", tag="examined"):
    """The rows of Node.examine."""

    links: list[dict[str, Any]]


class OptionsShown(Struct, tag_field="is", tag="options"):
    """See Node.shown_options."""

    options: dict[str, Any]


class Reloaded(Struct, tag_field="is", tag="reloaded"):
    """What was taken over, and what was not."""

    lines: list[str]


class Done(Struct, tag_field="is", tag="done"):
    """The request is done."""


class Failure(Struct, tag_field="is", tag="failure"):
    """The request is not done; `why` is a sentence."""

    why: str


Request = (
    Add
    | TakeFrames
    | Read
    | Show
    | Examine
    | Tell
    | ShowOptions
    | Reload
    | Retry
    | Wait
    | ShowPeers
    | ChangePeer
    | ShowFacts
    | Invite
    | ShowCut
    | State
    | LeaveMesh
    | Stop
)
Answer = (
    Added
    | FramesTaken
    | Events
    | Shown
    | Told
    | Examined
    | OptionsShown
    | Reloaded
    | Peers
    | Texts
    | Invited
    | CutShown
    | Left
    | Done
    | Failure
)

_REQUEST: msgspec.json.Decoder[Request] = msgspec.json.Decoder(Request)
_ANSWER: msgspec.json.Decoder[Answer] = msgspec.json.Decoder(Answer)


def outcome_of(outcome: Mapping[str, Any] | ValueError | None) -> Confirmed | Rejected:
    """Of one event, from what NodeLog.add_batch says of it."""
    if outcome is None or isinstance(outcome, ValueError):
        return Rejected(str(outcome or "it is in the log already"))
    return Confirmed(outcome["created"], outcome["added"])


def encode(message: Request | Answer) -> bytes:
    """The message as one line, with its line end."""
    return msgspec.json.encode(message) + b"\n"


def decode_request(line: bytes) -> Request:
    """Raises ValueError, with a sentence."""
    request: Request = _decode(_REQUEST, line, "request")
    return request


def decode_answer(line: bytes) -> Answer:
    """Raises ValueError, with a sentence."""
    answer: Answer = _decode(_ANSWER, line, "answer")
    return answer


def _decode(decoder: msgspec.json.Decoder[Any], line: bytes, what: str) -> Any:
    try:
        return decoder.decode(line)
    except RecursionError:
        raise ValueError(f"the {what} is nested too deep") from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"the {what} {NOT_UNDERSTOOD}: {error}") from None
