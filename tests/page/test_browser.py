"""The browser of the page's tests: it reports problems, and ends completely."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from browser import Browser, BrowserError, Tab
from stand_in import StandIn

EXIT_SECONDS = 15.0
_BROWSER_AND_WAIT = "from browser import Browser; b = Browser(); b.tab(); print(b.pid, flush=True); input()"


def is_running(pid: int) -> bool:
    """Whether there is such a process that is not a zombie."""
    stat = Path(f"/proc/{pid}/stat")
    try:
        return stat.read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def test_records_the_problems_of_a_page(new_tab: Callable[[], Tab], node: StandIn) -> None:
    tab = new_tab()
    tab.open(node.url)

    for harm, noticed in [
        ("document.body.setAttribute('style', 'color: red')", "Content Security Policy"),
        ("document.head.appendChild(document.createElement('script')).textContent = '1'", "Content Security Policy"),
        ("setTimeout(() => { throw new Error('broken'); })", "broken"),
        ("Promise.reject(new Error('forgotten')) && 1", "forgotten"),
        ("console.error('complaint')", "complaint"),
    ]:
        tab.problems.clear()
        tab.evaluate(f"{{ {harm}; undefined; }}")
        tab.wait_until("new Promise(done => setTimeout(() => done(true), 20))")
        assert any(noticed in problem for problem in tab.problems), (harm, tab.problems)


def test_an_expected_text_that_does_not_appear_is_an_error(new_tab: Callable[[], Tab], node: StandIn) -> None:
    tab = new_tab()
    tab.open(node.url)

    with pytest.raises(BrowserError, match="'nothing' in #state"):
        tab.wait_for_text("#state", "nothing", 0.1)


def test_a_click_that_misses_an_element_because_it_moves_has_no_effect_and_is_made_again(
    new_tab: Callable[[], Tab], node: StandIn
) -> None:
    tab = new_tab()
    tab.open(node.url)
    tab.evaluate(
        """{ document.body.innerHTML = "<div id=row><button id=wanted>wanted</button></div>";
        const row = document.getElementById("row");
        window.clicked = [];
        row.onmousedown = () => { row.style.paddingTop = "300px"; };
        row.onclick = click => { clicked.push(click.target.id); }; }"""
    )

    tab.click("#wanted")

    assert tab.evaluate("clicked") == ["wanted"]


def test_an_element_that_covers_another_one_gets_its_click(new_tab: Callable[[], Tab], node: StandIn) -> None:
    tab = new_tab()
    tab.open(node.url)
    tab.evaluate(
        """{ document.body.innerHTML = "<button id=wanted>wanted</button><dialog id=cover></dialog>";
        window.clicked = [];
        document.getElementById("cover").showModal();
        document.onclick = click => { clicked.push(click.target.id); }; }"""
    )

    tab.click("#wanted")

    assert tab.evaluate("clicked") == ["cover"]


@pytest.fixture
def short_folder() -> Iterator[Path]:
    """A folder whose path is short enough for the sockets of a browser."""
    with TemporaryDirectory(prefix="b-", dir="/tmp", ignore_cleanup_errors=True) as path:
        yield Path(path)


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_ends_with_the_process_that_started_it(chromium: Browser, short_folder: Path) -> None:
    owner = subprocess.Popen(
        [sys.executable, "-c", _BROWSER_AND_WAIT],
        cwd=Path(__file__).parent,
        env={**os.environ, "TMPDIR": str(short_folder)},  # a killed owner cannot remove the profile
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert owner.stdin is not None and owner.stdout is not None
    pid = int(owner.stdout.readline())
    assert is_running(pid)

    owner.kill()
    owner.wait()
    owner.stdin.close()
    owner.stdout.close()

    deadline = time.monotonic() + EXIT_SECONDS
    while is_running(pid):
        assert time.monotonic() < deadline
        time.sleep(0.05)
