"""A headless Chromium, controlled by the DevTools protocol over two pipes. It ends when they close."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

COMMAND = "chromium"
ANSWER_SECONDS = 30.0
EXIT_SECONDS = 10.0
WAIT_SECONDS = 15.0
POLL_SECONDS = 0.02
AIM = """(() => {
  const wanted = document.querySelector(%s);
  wanted.scrollIntoView({block: "nearest"});
  const middle = () => (r => [r.x + r.width / 2, r.y + r.height / 2])(wanted.getBoundingClientRect());
  const [x, y] = middle();
  window.hasMissed = true;
  removeEventListener("click", window.judgeClick, true);
  window.judgeClick = click => {
    const [nowX, nowY] = middle();
    window.hasMissed = (x !== nowX || y !== nowY) && !wanted.contains(click.target);
    if (window.hasMissed) click.stopImmediatePropagation(), click.preventDefault();
  };
  addEventListener("click", window.judgeClick, {capture: true, once: true});
  return [x, y];
})()"""
"""Where to click. The page does not see a click that missed because it has moved the element since."""
READ_BYTES = 1 << 16

_FLAGS = (
    "--headless=new",
    "--remote-debugging-pipe",
    "--no-first-run",
    "--no-default-browser-check",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-default-apps",
    "--disable-extensions",
    "--disable-sync",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--metrics-recording-only",
    "--password-store=basic",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
)
# Chromium reads commands from file 3 and writes answers to file 4; open files with these numbers are moved first.
_LAUNCH = """
import fcntl, os, sys
command_read, answer_write = (fcntl.fcntl(int(number), fcntl.F_DUPFD, 10) for number in sys.argv[1:3])
os.dup2(command_read, 3)
os.dup2(answer_write, 4)
os.closerange(10, 1024)
os.execvp(sys.argv[3], sys.argv[3:])
"""


class BrowserError(AssertionError):
    """The browser refused a command, or the page did not reach an expected state in time."""


def find_chromium() -> str | None:
    """The reason why there is no browser on this machine; None if there is one."""
    return None if shutil.which(COMMAND) else f"the command {COMMAND} is missing (Debian: apt-get install chromium)"


class Browser:
    """One Chromium with a profile of its own; `close` leaves no process and no file."""

    def __init__(self) -> None:
        self._profile = tempfile.mkdtemp(prefix="chromium-")
        command_read, self._commands = os.pipe()
        self._answers, answer_write = os.pipe()
        flags = [*_FLAGS, f"--user-data-dir={self._profile}", *(["--no-sandbox"] if os.geteuid() == 0 else [])]
        self._process = subprocess.Popen(
            [sys.executable, "-c", _LAUNCH, str(command_read), str(answer_write), COMMAND, *flags],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            pass_fds=(command_read, answer_write),
            start_new_session=True,
        )
        os.close(command_read)
        os.close(answer_write)
        self._buffer = b""
        self._last_id = 0
        self._tabs: dict[str, Tab] = {}

    @property
    def pid(self) -> int:
        """The process id of the browser, which is the id of its process group too."""
        return self._process.pid

    def tab(self) -> Tab:
        """A new tab that shares neither storage nor cache with others."""
        context = self.call("Target.createBrowserContext")["browserContextId"]
        target = self.call("Target.createTarget", url="about:blank", browserContextId=context)["targetId"]
        session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        tab = self._tabs[session] = Tab(self, session, context)
        for domain in ("Page", "Runtime", "Log"):
            tab.call(f"{domain}.enable")
        return tab

    def close(self) -> None:
        """End the browser and wait until it is gone."""
        with contextlib.suppress(BrowserError, OSError):
            self.call("Browser.close")
        os.close(self._commands)
        try:
            self._process.wait(EXIT_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._end_helpers()
        os.close(self._answers)
        shutil.rmtree(self._profile, ignore_errors=True)

    def _end_helpers(self) -> None:
        """The helper processes of its group end by themselves; those that do not are killed."""
        deadline = time.monotonic() + EXIT_SECONDS
        with contextlib.suppress(ProcessLookupError):
            while time.monotonic() < deadline:
                os.killpg(self._process.pid, 0)
                time.sleep(POLL_SECONDS)
            os.killpg(self._process.pid, signal.SIGKILL)

    def call(self, method: str, session: str | None = None, **parameters: Any) -> dict[str, Any]:
        """Send a command and return its result; events before the answer go to their tabs. Raises BrowserError."""
        self._last_id += 1
        number = self._last_id
        message: dict[str, Any] = {"id": number, "method": method, "params": parameters}
        if session is not None:
            message["sessionId"] = session
        unsent = json.dumps(message).encode() + b"\0"
        while unsent:
            unsent = unsent[os.write(self._commands, unsent) :]
        deadline = time.monotonic() + ANSWER_SECONDS
        while (answer := self._read(deadline)).get("id") != number:
            tab = self._tabs.get(answer.get("sessionId", ""))
            if tab is not None and "method" in answer:
                tab.on_event(answer["method"], answer["params"])
        if "error" in answer:
            raise BrowserError(f"{method}: {answer['error']['message']}")
        result: dict[str, Any] = answer["result"]
        return result

    def _read(self, deadline: float) -> dict[str, Any]:
        while b"\0" not in self._buffer:
            readable, _, _ = select.select([self._answers], [], [], max(0.0, deadline - time.monotonic()))
            received = os.read(self._answers, READ_BYTES) if readable else b""
            if not received:
                raise BrowserError(f"{COMMAND} {'ended' if readable else 'did not answer in time'}")
            self._buffer += received
        frame, _, self._buffer = self._buffer.partition(b"\0")
        message: dict[str, Any] = json.loads(frame)
        return message


class Tab:
    """One page. `problems` collects its errors, exceptions and violations of its content security policy."""

    def __init__(self, browser: Browser, session: str, context: str) -> None:
        self._browser = browser
        self._session = session
        self._context = context
        self.problems: list[str] = []
        self.network_problems: list[str] = []

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """A command of the DevTools protocol, to this tab."""
        return self._browser.call(method, self._session, **parameters)

    def open(self, url: str) -> None:
        """Go to `url` and wait until it is loaded."""
        # With another fragment alone the browser would not reload the page.
        if url.partition("#")[0] == self.evaluate("location.href").partition("#")[0]:
            self.call("Page.navigate", url="about:blank")
            self.wait_until("location.href === 'about:blank'")
        self.call("Page.navigate", url=url)
        self.wait_until("location.href !== 'about:blank' && document.readyState === 'complete'")

    def evaluate(self, expression: str) -> Any:
        """The value of a JavaScript expression, as JSON has it."""
        answer = self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        if "exceptionDetails" in answer:
            raise BrowserError(f"{expression}: {answer['exceptionDetails']['exception']['description']}")
        return answer["result"].get("value")

    def wait_until(self, expression: str, deadline: float = WAIT_SECONDS) -> None:
        """Poll until the expression is true, at most `deadline` seconds."""
        self._poll(lambda: bool(self.evaluate(expression)), expression, deadline)

    def wait_for_text(self, selector: str, text: str, deadline: float = WAIT_SECONDS) -> None:
        """Poll until the visible text of `selector` holds `text`."""
        self._poll(lambda: text in self.text(selector), f"{text!r} in {selector}", deadline)

    def text(self, selector: str) -> str:
        """The visible text of the first match, empty if there is none."""
        return next(iter(self.texts(selector)), "")

    def texts(self, selector: str) -> list[str]:
        """The visible text of each match."""
        # The innerText of a hidden element is all of its text.
        found: list[str] = self.evaluate(
            f"[...document.querySelectorAll({json.dumps(selector)})].map(e => e.checkVisibility() ? e.innerText : '')"
        )
        return found

    def fill(self, selector: str, text: str) -> None:
        """Replace the text of an input by typing."""
        self.evaluate(f"{{ const e = document.querySelector({json.dumps(selector)}); e.focus(); e.select(); }}")
        if text:
            self.call("Input.insertText", text=text)
        else:
            self.press("Backspace", 8)

    def press(self, key: str, code: int, text: str = "") -> None:
        """A key down and up, wherever the focus is."""
        self.call("Input.dispatchKeyEvent", type="keyDown", key=key, windowsVirtualKeyCode=code, text=text)
        self.call("Input.dispatchKeyEvent", type="keyUp", key=key, windowsVirtualKeyCode=code)

    def click(self, selector: str) -> None:
        """Click in the middle of the first match, as a user would: an element that covers it gets the click.

        It clicks again if the page moved the element away just before, or nothing was there.
        """
        deadline = time.monotonic() + WAIT_SECONDS
        has_missed = True
        while has_missed:
            assert time.monotonic() < deadline, f"{selector} moves"
            x, y = self.evaluate(AIM % json.dumps(selector))
            for kind in ("mousePressed", "mouseReleased"):
                self.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1)
            has_missed = self.evaluate("window.hasMissed") is True  # undefined: the click led to another page

    def resize(self, width: int, height: int, *, dark: bool = False) -> None:
        """Set the size of the page in pixels, and whether the user prefers dark colours."""
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.call("Emulation.setEmulatedMedia", features=[scheme])
        self.wait_until(f"innerWidth === {width} && innerHeight === {height}")

    def screenshot(self, path: Path) -> None:
        """Write the visible part as a PNG file."""
        path.write_bytes(base64.b64decode(self.call("Page.captureScreenshot")["data"]))

    def leave(self) -> bool:
        """Go to an empty page, as in a new tab. False if the page would ask first, since events wait to be sent."""
        if self.evaluate("document.querySelector('#log .waiting') !== null"):
            return False
        for method in ("clearDeviceMetricsOverride", "setEmulatedMedia"):
            self.call(f"Emulation.{method}")
        self.call("Page.navigate", url="about:blank")
        self.wait_until("location.href === 'about:blank'")
        self.problems.clear()
        self.network_problems.clear()
        return True

    def close(self) -> None:
        """Close the tab and delete its storage."""
        self._browser.call("Target.disposeBrowserContext", browserContextId=self._context)

    def on_event(self, method: str, parameters: dict[str, Any]) -> None:
        """Record an event of the browser about this tab."""
        if method == "Runtime.exceptionThrown":
            details = parameters["exceptionDetails"]
            self.problems.append(details.get("exception", {}).get("description", details["text"]))
        elif method == "Runtime.consoleAPICalled" and parameters["type"] in {"error", "warning", "assert"}:
            self.problems.append(json.dumps(parameters["args"]))
        elif method == "Log.entryAdded" and parameters["entry"]["level"] in {"error", "warning"}:
            entry = parameters["entry"]
            is_network = entry["source"] == "network" or "WebSocket connection" in entry["text"]
            (self.network_problems if is_network else self.problems).append(entry["text"])

    def _holds(self, condition: Callable[[], bool]) -> bool:
        try:
            return condition()
        except BrowserError as error:
            # Expressions fail while a page unloads: try again, unless the browser itself has ended.
            if "ended" in str(error) or "in time" in str(error):
                raise
            return False

    def _poll(self, condition: Callable[[], bool], what: str, deadline: float) -> None:
        until = time.monotonic() + deadline
        while not self._holds(condition):
            if time.monotonic() > until:
                shown = self.text("body")[:2000]
                problems = [*self.problems, *self.network_problems]
                raise BrowserError(f"not within {deadline:g} s: {what}\nproblems: {problems}\nthe page:\n{shown}")
            time.sleep(POLL_SECONDS)
