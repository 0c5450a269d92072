"""The options of `mesh log`: which events, in which order, and what goes together."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import click

from mesh.cli.options import WholeNumber, as_json, read_duration, together

if TYPE_CHECKING:
    from mesh.control.messages import Read

MAX_COUNT = 2**53 - 1


def _since(context: click.Context, option: click.Parameter, given: str | None) -> dict[str, int]:
    """The fields of a Read: a bare number is an `added`, anything else a moment."""
    if given is None:
        return {}
    if _is_number(given):
        number: Any = given
        return {"since": WholeNumber(0, MAX_COUNT).convert(number, option, context)}
    return {"from_ms": _ms(given, "an `added`, a time")}


def _until(_context: click.Context, _option: click.Parameter, given: str | None) -> dict[str, int]:
    return {} if given is None else {"until_ms": _ms(given, "a time")}


def _count(_context: click.Context, _option: click.Parameter, given: int | None) -> int | None:
    return None if given is None else min(given, MAX_COUNT)


def _is_number(given: str) -> bool:
    return given.isascii() and given.removeprefix("-").isdigit()


def _ms(given: str, what: str) -> int:
    """Since 1970, of a time or of an age before now. Events have no parts of a ms, so neither have these."""
    from mesh.control.messages import MAX_TIME_MS  # what only a few commands need is loaded by these
    from peers.log.moments import UNIX_EPOCH

    seconds = read_duration(given)
    if seconds is not None:
        return max(0, time.time_ns() // 1_000_000 - seconds * 1_000)
    try:
        if _is_number(given):
            raise ValueError(given)
        ms = (datetime.fromisoformat(given).astimezone(UTC) - UNIX_EPOCH) // timedelta(milliseconds=1)
        return max(0, min(ms, MAX_TIME_MS))
    except (ValueError, OverflowError, OSError):
        raise click.BadParameter(
            f"{given!r} is neither {what} nor an age: write 2026-11-23, '2026-11-23 03:30' (this machine's time), "
            "2026-11-23T03:30:00Z, or 90s, 15m, 12h, 30d"
        ) from None


log_options = together(
    as_json,
    click.option("--follow", "-f", is_flag=True, help="Go on with each new event, in the order they come in."),
    click.option(
        "--wait",
        "is_waiting",
        is_flag=True,
        help="With --follow: wait for the node if it does not run, also when it stops, and go on where it was.",
    ),
    click.option(
        "--order",
        type=click.Choice(["created", "added"]),
        help="By time, which is the same on every node (the default), or as they came to this one.",
    ),
    click.option("--reverse", is_flag=True, help="The last one first."),
    click.option(
        "--since",
        "since",
        metavar="MOMENT",
        callback=_since,
        help="Only events from this time on ('2026-11-23 03:30', 2026-11-23T03:30Z), from the last 90s, 15m, 12h or 30d, or, "
        "given a bare number, with a higher `added`.",
    ),
    click.option(
        "--until",
        "until",
        metavar="MOMENT",
        callback=_until,
        help="Only events up to this time, or older than 90s, 15m, 12h or 30d.",
    ),
    click.option("--type", "event_type", metavar="TYPE", help="Only events of this type."),
    click.option(
        "--tail",
        type=WholeNumber(0),
        callback=_count,
        metavar="N",
        help="Of these, only the last N, the oldest of them first.",
    ),
    click.option("--limit", type=WholeNumber(0), callback=_count, metavar="N", help="Stop after N."),
)


def read_request(
    *,
    follow: bool,
    is_waiting: bool,
    order: str | None,
    reverse: bool,
    since: dict[str, int],
    until: dict[str, int],
    event_type: str | None,
    tail: int | None,
    limit: int | None,
) -> Read:
    """The Read for these options. Raises a usage error for those that do not go together."""
    if follow and order == "created":
        raise click.UsageError("--follow prints events as they come in: leave --order created out")
    if follow and reverse:
        raise click.UsageError("--follow goes on with what comes in, --reverse begins with it: leave one of them out")
    if follow and until:
        raise click.UsageError("--follow goes on with what comes in: leave --until out")
    if is_waiting and not follow:
        raise click.UsageError("--wait is for --follow: give both, or none")
    if tail is not None and limit is not None and not follow:
        raise click.UsageError("--tail N prints the last N, --limit N the first: give one of them")
    if until and since.get("from_ms", 0) > until["until_ms"]:
        raise click.UsageError("--since is later than --until: no event is between them")
    from mesh.control.messages import Read

    chosen: Any = "added" if follow else order or "created"
    return Read(order=chosen, type=event_type, follow=follow, tail=tail, limit=limit, reverse=reverse, **since, **until)
