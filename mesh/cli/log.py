"""`mesh log`: prints the log, or a part of it, and follows it."""

from __future__ import annotations

import time
from calendar import timegm
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import click

from mesh.cli import options
from mesh.cli.options import WholeNumber

if TYPE_CHECKING:
    from mesh.control.messages import Read

MAX_COUNT = 2**53 - 1
"""The largest whole number of a JSON request; larger ones on the command line mean the same."""


def _since(context: click.Context, option: click.Parameter, given: str | None) -> dict[str, int]:
    """The fields of a Read: a bare number is an `added`, anything else a time or an age."""
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
    """Whole ms since 1970, of a time or of an age before now. The times of events have no smaller parts."""
    from mesh.control.messages import MAX_TIME_MS  # imported here: other commands start without it

    seconds = options.read_duration(given)
    if seconds is not None:
        return max(0, time.time_ns() // 1_000_000 - seconds * 1_000)
    try:
        if _is_number(given):
            raise ValueError(given)
        moment = datetime.fromisoformat(given).astimezone(UTC)
        return max(0, min(timegm(moment.timetuple()) * 1_000 + moment.microsecond // 1_000, MAX_TIME_MS))
    except (ValueError, OverflowError, OSError):
        raise click.BadParameter(
            f"{given!r} is neither {what} nor an age: write 2026-11-23, '2026-11-23 03:30' (this machine's time), "
            "2026-11-23T03:30:00Z, or 90s, 15m, 12h, 30d"
        ) from None


since_option = click.option(
    "--since",
    "since",
    metavar="MOMENT",
    callback=_since,
    help="Only events from this time on ('2026-11-23 03:30', 2026-11-23T03:30Z), from the last 90s, 15m, 12h or 30d, or, "
    "given a bare number, with a higher `added`.",
)
until_option = click.option(
    "--until",
    "until",
    metavar="MOMENT",
    callback=_until,
    help="Only events up to this time, or older than 90s, 15m, 12h or 30d.",
)
type_option = click.option("--type", "event_type", metavar="TYPE", help="Only events of this type.")


def check_moments(since: dict[str, int], until: dict[str, int]) -> None:
    """Raise a usage error if no event is between what `since_option` and `until_option` gave."""
    if until and since.get("from_ms", 0) > until["until_ms"]:
        raise click.UsageError("--since is later than --until: no event is between them")


@click.command()
@options.as_json
@click.option("--follow", "-f", is_flag=True, help="Print each new event too, in the order in which they arrive.")
@click.option(
    "--wait",
    "is_waiting",
    is_flag=True,
    help="With --follow: wait while no node runs, also when it stops, and continue where it was.",
)
@click.option(
    "--order",
    type=click.Choice(["created", "added"]),
    help="By time, which is the same on every node (the default), or as this node got them.",
)
@click.option("--reverse", is_flag=True, help="Print the last event first.")
@since_option
@until_option
@type_option
@click.option(
    "--tail",
    type=WholeNumber(0),
    callback=_count,
    metavar="N",
    help="Of these, only the last N, the oldest of them first.",
)
@click.option("--limit", type=WholeNumber(0), callback=_count, metavar="N", help="Stop after N events.")
@click.pass_context
def log(context: click.Context, /, *, as_json: bool, is_waiting: bool, **chosen: Any) -> None:
    """Print the log. It can be read while no node runs, too.

    \b
    mesh log
    mesh log --since 12h --until '2026-11-23 03:30' --reverse
    mesh log --tail 5 --follow --wait --type milk
    mesh log --json --order added --since 100
    """
    request = _read_request(is_waiting=is_waiting, **chosen)
    from mesh.cli.log_printer import LogPrinter

    LogPrinter(options.home_of(context), request, as_json=as_json, is_waiting=is_waiting).run()


def _read_request(
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
    """The Read for these options. Raises a usage error for options that exclude each other."""
    if follow and order == "created":
        raise click.UsageError("--follow prints events in the order in which they arrive: leave --order created out")
    if follow and reverse:
        raise click.UsageError(
            "--follow ends with the newest events, --reverse begins with them: leave one of them out"
        )
    if follow and until:
        raise click.UsageError("--follow prints new events: leave --until out")
    if is_waiting and not follow:
        raise click.UsageError("--wait is for --follow: give both, or none")
    if tail is not None and limit is not None and not follow:
        raise click.UsageError("--tail N prints the last N, --limit N the first: give one of them")
    check_moments(since, until)
    from mesh.control.messages import Read

    chosen: Any = "added" if follow else order or "created"
    return Read(order=chosen, type=event_type, follow=follow, tail=tail, limit=limit, reverse=reverse, **since, **until)
