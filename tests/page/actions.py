"""What a user does with the page and reads on it."""

from __future__ import annotations

from browser import Tab


def add(tab: Tab, type: str, fields: str = "") -> None:
    """Fill in the form for new events and send it."""
    tab.fill("#type", type)
    tab.fill("#fields", fields)
    tab.click("#add")


def rows(tab: Tab) -> list[list[str]]:
    """Origin, type and the fields of every event shown, from the top."""
    found: list[list[str]] = tab.evaluate(
        "[...document.querySelectorAll('#log > li')].map(row => ["
        "row.querySelector('.origin').textContent, row.querySelector('.type').textContent,"
        " [...row.querySelectorAll('.rest > div')].map(field => field.textContent).join('; ')])"
    )
    return found


def types(tab: Tab) -> list[str]:
    return [row[1] for row in rows(tab)]


def wait_for_rows(tab: Tab, number: int) -> None:
    tab.wait_until(f"document.querySelectorAll('#log > li:not(.waiting)').length === {number}")


def pass_time(tab: Tab, seconds: int) -> None:
    """Advance the monotonic clock of the page; its timers still run in real time."""
    tab.evaluate(
        f"{{ const now = performance.now.bind(performance); performance.now = () => now() + {seconds * 1000}; }}"
    )


def wait_until_confirmed(tab: Tab) -> None:
    tab.wait_for_text("#state", "connected")
    tab.wait_until("document.querySelectorAll('#log > .waiting').length === 0")
