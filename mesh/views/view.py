"""View: what an application reads of a state that is folded from the log."""

from __future__ import annotations

import logging
import traceback
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from typing import Any, NamedTuple, Protocol

from mesh.errors import MeshError
from mesh.views.layers import Layers
from mesh.views.values import value_of
from peers.clock import Undo
from peers.emitter import Emitter, checked
from peers.events.entry import Entry
from peers.failures import failures
from peers.later import Later
from peers.log.draft import read_created
from peers.stores.store import Place, StoreError

LOG = logging.getLogger(__name__)
TRACEBACK_PARTS = 8
"""Of a traceback, the last ones, in the status."""
MAX_SAID = 1_000
"""Characters of an error's text in the status, and of each part of its traceback."""


class ViewStop(NamedTuple):
    """Why a view has stopped."""

    sentence: str
    shown: dict[str, Any]
    """What the status says of it."""

    @classmethod
    def at(cls, name: str, entry: Entry, key: object, error: BaseException) -> ViewStop:
        """`apply` has raised an error for this event, after it had come to this key."""
        kind, why = entry.event["type"], _said(f"{type(error).__name__}: {_text_of(error)}")
        created, said_key = list(entry.created), None if key is None else _said(_text_of(key))
        at_key = "" if said_key is None else f" at the key {said_key!r}"
        return cls(
            f"the view {name!r} has stopped at the event {created} of type {kind!r}, of which its `apply` raised "
            f"{why}{at_key}; correct it and start again, or call `retry()`",
            {
                "created": created,
                "type": kind,
                "key": said_key,
                "why": why,
                "traceback": "".join(map(_said, traceback.format_exception(error)[-TRACEBACK_PARTS:])),
            },
        )


class ShownState:
    """What readers of a view see now; its keeper changes it."""

    def __init__(self) -> None:
        self.layers: Layers | None = None
        """The state that answers; None: there is none yet, or no more."""
        self.why_not = ""
        """While there is none: a sentence."""
        self.stop: ViewStop | None = None
        """Why the view has stopped; None while it folds."""
        self.refusal = ""
        """In a forked process: why the view cannot be used there."""
        self.emitter = Emitter()
        self.status: Callable[[], dict[str, Any]] = dict
        """A row of `views` in the status."""

    def disown(self, why: str) -> None:
        """Called in a forked process."""
        self.layers, self.why_not, self.refusal = None, why, why

    def check(self) -> None:
        """Raise MeshError in a forked process."""
        if self.refusal:
            raise MeshError(self.refusal)

    def tell(self, keys: list[str]) -> None:
        """Tell the listeners of `change` that these keys have other values."""
        try:
            self.emitter.emit("change", keys)
        except failures():
            LOG.exception("a listener of a view failed")

    async def tell_changes(self, before: Layers, turn: Callable[[], Awaitable[None]]) -> None:
        """Tell them that other layers answer now than `before`; `turn` lets others have their turns."""
        now = self.layers
        if now is None or not self.emitter.has_listeners("change"):
            return
        with suppress(StoreError):
            for keys in before.changes_to(now):
                if keys:
                    self.tell(keys)
                await turn()


class Folding(Protocol):
    """What a view asks of the actor that folds it."""

    def after(self, added: int | None, place: Place | None) -> Later[None]: ...

    def retry(self) -> Later[None]: ...


class View:
    """A map of text keys to JSON values: the fold, in log order (time, created), of the shown, not undone events that this node
    has had. `await node.view(...)` makes it.

        stock = await node.view("stock", apply, types=["shop/sold", "shop/received"])
        print(stock["apple"], len(stock), stock.get("pear", 0))

    **Reads** answer at once, in any thread, with copies, and see whole folds only: never half of one, and never a state in
    which events are taken back that are folded again just then. They may lack what was added in the last 50 ms, or longer while
    the loop has more to do than it can: `after` waits for it. They raise MeshError while the node does not run or the first
    fold is not done, and StoreError if the disk fails. In a process that was forked each call raises MeshError.

    **`apply(state, event, meta)`** is a plain function, or a coroutine function that never waits. It must go by these alone,
    and must not keep them: no clock, no random numbers, no other view. `state` is a map of text keys (1 KiB at most) to JSON
    values (1 MiB at most), whose keys come in order; a change inside of a value counts. A tuple, as `meta["created"]`, is kept
    as a list: later events read a list. Each event costs time in the size of the values that it reads. `meta` has what is the
    same on every node: `created`, `time`, `origin`, `vouched` and the keys of the writer, and neither `added` nor `dot`. It
    runs on the node's loop, for 5 ms at most before others have their turn.

    **Late events.** An event that comes before others in log order takes these back, and they are folded again; so do one
    that is undone, or is undone no more, and another copy of an event. Readers see the state before it until all is folded
    again. The last 4 096 folds are taken back one by one; for what is older the file has the values before groups of folds,
    of 1 000 events or an eighth of what came later, up to 64 MiB. What is older still is folded anew, from what the log has.

    **Cleaned events** stay folded. For late events 8 MiB of them are kept in the file of views until they are out of reach:
    what `clean` erases for good is the log. `folded_without` in the status counts events, of any type, that were cleaned
    before this view could fold them: before its first opening, before a new `version`, while no view was open, or in a crash
    before they were on disk there: a few ms after the clean, or half a second while more is cleaned all the time. It counts
    those too that other nodes cleaned before they came here, as by `keep_last`: nodes that had them have another state.

    **A new `version`, or other `types`,** folds anew what the log has; the old state answers, without newer events, until
    that is complete. A killed rebuild goes on where it was.

    **An error in `apply`,** also a value that JSON has not, stops this view alone, before that event: `error` and the status
    say which. Reads go on to answer with the state up to there, `after` fails. Correct `apply` and start again, under the
    same version, or call `retry`. A disk that fails stops nothing: what is folded is written when it works again.

    **The file** is `views.sqlite` in the home. It may be deleted while the node is stopped: views are then folded anew.
    """

    def __init__(self, name: str, shown: ShownState, folding: Folding) -> None:
        self.name = name
        self._shown = shown
        self._folding = folding

    @property
    def error(self) -> str:
        """Why this view has stopped, with the event and the key; empty while it folds. See `retry`."""
        return "" if self._shown.stop is None else self._shown.stop.sentence

    def __getitem__(self, key: str) -> Any:
        compact = self._layers.read(key)
        if compact is None:
            raise KeyError(key)
        return value_of(compact)

    def get(self, key: str, default: Any = None) -> Any:
        """The value of a key, or `default`."""
        compact = self._layers.read(key)
        return default if compact is None else value_of(compact)

    def __contains__(self, key: object) -> bool:
        return isinstance(key, str) and self._layers.read(key) is not None

    def __len__(self) -> int:
        return self._layers.keys

    __iter__: None = None
    """Python would ask for the keys 0, 1, 2: `items` gives all."""

    def items(self, *, prefix: str = "", limit: int | None = None, after: str | None = None) -> list[tuple[str, Any]]:
        """Keys with their values, in the order of the keys: those that begin with `prefix`, at most `limit`; None: all.

        `after` is the last key of the page before. A page is of one moment; two pages may be of different ones. Folds wait
        while a page is read: read a large state in pages.
        """
        while True:
            layers = self._layers
            found = layers.page(prefix, after, limit)
            if layers is self._shown.layers:  # else it may have been cleared while it was read
                return found

    def digest(self) -> str:
        """64 hexadecimal digits, equal for equal states: the sum, modulo 2**256, of the SHA-256 of each key with its value.

        Nodes that folded the same events with the same `apply` have the same one.
        """
        return self._layers.digest()

    def after(self, event: Mapping[str, Any] | Entry | int | None = None) -> Later[View]:
        """This view, once it has folded an event: given by its meta or its `added`, as this node's log gave them. None: all
        events that the log of this node has at the call, as after `node.synchronized()`.

        An event of another type, or one that was undone or cleaned, counts as folded when the view has come past it. Fails with
        MeshError if the view has stopped, stops before, or the node ends, and with ValueError for what has no `added`, or one
        after the end of this log.
        """
        self._shown.check()
        added: int | None = None
        place: Place | None = None
        if event is None:
            pass
        elif isinstance(event, Entry):
            added, place = event.added, (event.time, event.created)
        elif isinstance(event, Mapping):
            found = event.get("added")
            if not isinstance(found, int) or not isinstance(event.get("time"), int):
                return Later.failed(
                    ValueError(f"take a meta that `add` returned, with `added` and `time`, not {event!r}")
                )
            added, place = found, (event["time"], read_created(event.get("created")))
        elif isinstance(event, int) and not isinstance(event, bool):
            added = event
        else:
            return Later.failed(ValueError(f"take a meta that `add` returned, or its `added`, not {event!r}"))
        return self._folding.after(added, place).transform(lambda _: self)

    def on(self, event: str, listener: Callable[[list[str]], Any]) -> Undo:
        """Call `listener(keys)` on the node's loop after each change, with the keys that have other values; returns the undo.
        It is called several times where another state takes the place of this one, as that of a new `version`.

        `event` is `change`. The listener must be a plain function that does not block; what it raises is logged. Raises
        ValueError for another event, and TypeError for a coroutine function.
        """
        self._shown.check()
        return self._shown.emitter.on(checked(event, {"change"}, listener), listener)

    def retry(self) -> Later[None]:
        """Go on after an error in `apply`, with the event that failed. Fails with MeshError if it fails again."""
        self._shown.check()
        return self._folding.retry()

    @property
    def _layers(self) -> Layers:
        layers = self._shown.layers
        if layers is None:
            raise MeshError(self._shown.why_not)
        return layers


def _text_of(value: object) -> str:
    try:
        return str(value)
    except Exception as error:  # noqa: BLE001 - of the application
        return f"<its text cannot be made: {type(error).__name__}>"


def _said(text: str) -> str:
    """A text of an application, as a status has it: short, and JSON has no half of a surrogate pair."""
    return text[:MAX_SAID].encode(errors="backslashreplace").decode()
