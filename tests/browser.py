"""A headless Chromium, spoken to over a pipe: what a page says on its console, and what it looks like."""

import base64
import fcntl
import json
import os
import shutil
import signal
import tempfile
import time
from pathlib import Path
from types import TracebackType
from typing import Any, Self

__all__ = ["Chromium", "find"]

PATIENCE = 60.0
"""Seconds to wait for an answer."""

KEYS = {"ArrowLeft": 37, "ArrowRight": 39, "Tab": 9}

BROKEN = """Promise.all([...document.images].map(async i => {
  i.loading = "eager";
  return i.decode().then(() => "", () => i.src.slice(0, 200));
})).then(found => found.filter(Boolean))"""
"""Images that cannot be shown, those included that would come when somebody scrolls there."""

BARRIERS = (Path(__file__).parent / "accessible.js").read_text(encoding="utf-8").partition("*/")[2].strip()

WIDER = "document.documentElement.scrollWidth - document.documentElement.clientWidth"


def find() -> str | None:
    """Return the program: what CHROMIUM names, or one of the usual names on the PATH."""
    names = ("chromium", "chromium-browser", "google-chrome", "chromium-headless-shell")
    return os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, names)), None)


class Chromium:
    """A browser without a window; use it as a context.

    Parameters
    ----------
    program : str
        See `find`.
    """

    def __init__(self, program: str) -> None:
        self.profile = tempfile.mkdtemp(prefix="chromium-")
        reads, self.into = (fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, 10) for fd in os.pipe())
        self.out, writes = (fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, 10) for fd in os.pipe())
        words = [program, "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--remote-debugging-pipe"]
        words += ["--disable-dev-shm-usage", f"--user-data-dir={self.profile}", "about:blank"]
        nowhere = os.open(os.devnull, os.O_RDWR)
        pipes = [(os.POSIX_SPAWN_DUP2, fd, at) for fd, at in ((reads, 3), (writes, 4), (nowhere, 1), (nowhere, 2))]
        self.pid = os.posix_spawn(program, words, os.environ, file_actions=pipes, setpgroup=0)
        for fd in (reads, writes, nowhere):
            os.close(fd)
        self.number, self.unread, self.events = 0, b"", list[dict[str, Any]]()
        target = self.ask("Target.createTarget", url="about:blank")["targetId"]
        self.session = self.ask("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.ask(f"{domain}.enable")

    session = ""

    def ask(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Send a command and return its answer; events that come meanwhile are kept."""
        self.number += 1
        message = {"id": self.number, "method": method, "params": parameters}
        if self.session:
            message["sessionId"] = self.session
        os.write(self.into, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._next()
            if answer.get("id") == self.number:
                if "error" in answer:
                    raise RuntimeError(f"{method}: {answer['error']['message']}")
                result: dict[str, Any] = answer["result"]
                return result
            self.events.append(answer)

    def _next(self) -> dict[str, Any]:
        os.set_blocking(self.out, False)
        end = time.monotonic() + PATIENCE
        while b"\0" not in self.unread:
            try:
                piece = os.read(self.out, 1 << 20)
            except BlockingIOError:
                if time.monotonic() > end:
                    raise TimeoutError(f"Chromium said nothing for {PATIENCE:g} s") from None
                time.sleep(0.01)
                continue
            if not piece:
                raise RuntimeError("Chromium ended before it answered")
            self.unread += piece
        first, self.unread = self.unread.split(b"\0", 1)
        message: dict[str, Any] = json.loads(first)
        return message

    def show(self, page: Path, width: int = 1280, dark: bool = False, fragment: str = "") -> list[str]:
        """Open a page and return what is wrong with it: console errors, missing images, text wider than the screen."""
        phone = width < 600
        self.events.clear()
        self.ask("Emulation.setDeviceMetricsOverride", width=width, height=900, deviceScaleFactor=1, mobile=phone)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.ask("Emulation.setEmulatedMedia", features=[scheme])
        self.ask("Page.navigate", url=page.resolve().as_uri() + fragment)
        while not any(event["method"] == "Page.loadEventFired" for event in self.events):
            self.events.append(self._next())
        broken = self.value(BROKEN)
        wider = self.value(WIDER)
        return [
            *self.problems(),
            *(f"missing image {image}" for image in broken),
            *([f"{wider} pixels wider than the screen of {width}"] if wider > 0 else []),
        ]

    def problems(self) -> list[str]:
        """Return the errors on the console of the page so far."""
        return [problem for event in self.events if (problem := _problem(event))]

    def value(self, expression: str) -> Any:
        """Return the value of a JavaScript expression on the page, or what it promises."""
        answer = self.ask("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        return answer["result"].get("value")

    def barriers(self) -> list[str]:
        """Return what keeps some readers out, on the page as it is shown; see ``accessible.js``."""
        self.run("await new Promise(done => setTimeout(done, 100)); document.getAnimations().map(a => a.finish())")
        found: list[str] = self.run(f"return {BARRIERS}")
        return found

    def run(self, script: str) -> Any:
        """Return what the statements of a script return; its errors are errors here."""
        answer = self.ask(
            "Runtime.evaluate", expression=f"(async () => {{{script}}})()", returnByValue=True, awaitPromise=True
        )
        if "exceptionDetails" in answer:
            raise RuntimeError(answer["exceptionDetails"]["exception"]["description"])
        return answer["result"].get("value")

    def press(self, key: str) -> None:
        """Press a key."""
        for kind in ("keyDown", "keyUp"):
            self.ask("Input.dispatchKeyEvent", type=kind, key=key, code=key, windowsVirtualKeyCode=KEYS[key])

    def screenshot(self, target: Path, whole: bool = False) -> None:
        """Save what is on the screen, or the whole page, as PNG."""
        shot = self.ask("Page.captureScreenshot", captureBeyondViewport=whole)
        target.write_bytes(base64.b64decode(shot["data"]))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        os.close(self.into)
        os.close(self.out)
        os.killpg(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)
        shutil.rmtree(self.profile, ignore_errors=True)


def _problem(event: dict[str, Any]) -> str | None:
    """Return the error that an event tells of; what lies elsewhere (MathJax, on a network) is none of the page."""
    about = event.get("params", {})
    match event["method"]:
        case "Runtime.exceptionThrown":
            details = about["exceptionDetails"]
            return str(details.get("exception", {}).get("description", details["text"]))
        case "Runtime.consoleAPICalled" if about["type"] == "error":
            return " ".join(str(a.get("value", a.get("description"))) for a in about["args"])
        case "Log.entryAdded" if about["entry"]["level"] == "error" and not about["entry"].get("url", "").startswith(
            ("http:", "https:")
        ):
            return f"{about['entry']['text']} {about['entry'].get('url', '')[:200]}"
    return None
