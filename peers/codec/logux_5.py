"""The dialect of @logux/core 0.10, which @logux/server and @logux/client use: protocol 5."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from peers.codec.borders import APART_MARKS, members_of
from peers.codec.codec import RelativeDialect
from peers.codec.logux import LoguxDialect, extra_from_logux, meta_for_logux, meta_keys
from peers.events.created import Created, check_created, created_from_text, created_text
from peers.events.entry import Entry, check_time
from peers.events.event_error import EventError

_read_time = msgspec.json.Decoder(float).decode


class TimedDialect(RelativeDialect, LoguxDialect):
    """What protocols 5 and 7 share: meta is sent, with a relative `time` that `time_fix` changes; ids are not changed."""

    keeps_early = True
    breaks_early = False

    def fixed(self, entry: Entry) -> Entry:
        if not self.time_fix:
            return entry
        time = check_time(entry.time + self.time_fix)
        return Entry(entry.created, time, entry.body, entry.extra)

    def why_not_sent(self, entry: Entry) -> str | None:
        """An object with a number under `length` is a list to a Logux server, and no event."""
        for text in (entry.body, entry.extra):
            if b'"length"' in text or b"\\u" in text:  # it may be spelled with escapes
                length = msgspec.json.decode(text).get("length")
                if isinstance(length, (int, float)) and not isinstance(length, bool):
                    return f"event {list(entry.created)} has a number under `length`, which Logux servers do not take"
        return None

    def pairs(self, entries: Sequence[Entry]) -> list[Any]:
        items: list[Any] = []
        shift = self.sending_base + self.time_fix
        for entry in entries:
            items.append(msgspec.Raw(self.body_for_them(entry.body)))
            wire_id, time = self.write_id(entry.created), entry.time - shift
            items.append({"id": wire_id, "time": time} if self.bare_meta else meta_for_logux(entry, wire_id, time))
        return items

    def read_pair(self, body: bytes, second: bytes) -> Entry:
        keys = meta_keys(second)
        created = self._created(keys)
        return Entry(created, self._time(keys), body, extra_from_logux(keys))

    def read_created(self, second: bytes) -> Created:
        return self._created(members_of(second, APART_MARKS))

    @abstractmethod
    def log_id(self, created: Created) -> str:
        """The id of this event in the log of the other end."""

    @abstractmethod
    def decode_id(self, text: bytes | msgspec.Raw) -> Any:
        """The JSON value of an id on the wire. Raises msgspec.DecodeError."""

    def _created(self, keys: Mapping[str, bytes | msgspec.Raw]) -> Created:
        try:
            created = self.read_id(self.decode_id(keys["id"]))
            check_created(created)
        except KeyError:
            raise EventError("bad-id", "its meta has no id") from None
        except (ValueError, RecursionError) as error:
            raise EventError("bad-id", f"its id cannot be taken: {error}") from None
        return created

    def _time(self, keys: Mapping[str, msgspec.Raw]) -> int:
        try:
            return check_time(int(_read_time(keys["time"]) // 1) + self.taking_base)
        except KeyError:
            raise EventError("bad-time", "its meta has no time") from None
        except (msgspec.DecodeError, OverflowError, RecursionError) as error:
            raise EventError("bad-time", f"its time is not a number that can be taken: {error}") from None


_read_number_or_list = msgspec.json.Decoder(int | list[int | str]).decode


class Protocol5(TimedDialect):
    """An id on the wire is relative: a number, or [ms, n], if the sender made the event, else [ms, node id, n]."""

    protocol = 5

    def log_id(self, created: Created) -> str:
        return created_text(created)

    def read_log_id(self, log_id: Any) -> Created:
        if not isinstance(log_id, str):
            raise ValueError("an id in a log is a text")
        return created_from_text(log_id)

    def decode_id(self, text: bytes | msgspec.Raw) -> Any:
        return _read_number_or_list(text)

    def why_not_sent(self, entry: Entry) -> str | None:
        """Also a node id with a space: a JavaScript log stores the event, and cannot send it."""
        if " " in entry.created[1]:
            return f"event {list(entry.created)} has a space in its node id, which protocol 5 cannot carry"
        return super().why_not_sent(entry)
