"""Chromium without a window, driven through its debugging pipe: no driver, no port."""

from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
import time
from pathlib import Path
from typing import Any

PROGRAMS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
PATIENCE = 60  # seconds


def chromium() -> str | None:
    """The program, if this machine has it."""
    return next((found for name in PROGRAMS if (found := shutil.which(name))), None)


class Browser:
    """One page. Messages are JSON objects that end in a zero byte, on descriptors 3 and 4."""

    def __init__(self, profile: Path) -> None:
        program = chromium()
        assert program is not None, f"none of {', '.join(PROGRAMS)} is on the PATH"
        to_read, self._write = os.pipe()
        self._read, to_write = os.pipe()
        self._process = subprocess.Popen(
            [
                "bash", "-c", f'exec "$@" 3<&{to_read} 4>&{to_write}', "bash",
                program, "--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run",
                "--disable-dev-shm-usage", "--disable-background-networking", "--hide-scrollbars",
                "--remote-debugging-pipe", f"--user-data-dir={profile}", "about:blank",
            ],
            pass_fds=(to_read, to_write), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        os.close(to_read)
        os.close(to_write)
        os.set_blocking(self._read, False)
        self._rest, self._number, self._session = b"", 0, None
        self.problems: list[str] = []  # what the page's console and its network complain of
        target = self._page()
        self._session = self.do("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.do(f"{domain}.enable")

    def _page(self) -> str:
        return self.do("Target.createTarget", url="about:blank")["targetId"]

    def do(self, method: str, **parameters: Any) -> dict[str, Any]:
        """A command of the DevTools protocol, and its result."""
        self._number += 1
        message = {"id": self._number, "method": method, "params": parameters}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._write, json.dumps(message).encode() + b"\0")
        while True:
            said = self._next()
            self._note(said)
            if said.get("id") == self._number:
                assert "error" not in said, said
                return said["result"]

    def _next(self) -> dict[str, Any]:
        end = time.monotonic() + PATIENCE
        while b"\0" not in self._rest:
            assert time.monotonic() < end, "the browser says nothing"
            try:
                piece = os.read(self._read, 1 << 20)
                assert piece, "the browser ended"
                self._rest += piece
            except BlockingIOError:
                time.sleep(0.01)
        line, _, self._rest = self._rest.partition(b"\0")
        return json.loads(line)

    def _note(self, said: dict[str, Any]) -> None:
        kind, what = said.get("method"), said.get("params", {})
        if kind == "Runtime.exceptionThrown":
            self.problems.append(json.dumps(what["exceptionDetails"]))
        elif kind == "Log.entryAdded" and what["entry"]["level"] == "error":
            self.problems.append(what["entry"]["text"])

    def open(self, url: str, width: int = 1100, height: int = 900) -> None:
        self.resize(width, height)
        self.do("Page.navigate", url=url)
        self.until("document.readyState === 'complete' && location.href !== 'about:blank'")

    def resize(self, width: int, height: int = 900) -> None:
        self.do(
            "Emulation.setDeviceMetricsOverride",
            width=width, height=height, deviceScaleFactor=1, mobile=False,
        )  # fmt: skip

    def value(self, expression: str) -> Any:
        """Of a JavaScript expression."""
        found = self.do("Runtime.evaluate", expression=expression, returnByValue=True)
        assert "exceptionDetails" not in found, found
        return found["result"].get("value")

    def until(self, expression: str, seconds: float = PATIENCE) -> Any:
        """Wait for an expression to be true."""
        end = time.monotonic() + seconds
        while not (found := self.value(expression)):
            assert time.monotonic() < end, f"never: {expression}"
            time.sleep(0.05)
        return found

    def type(self, text: str) -> None:
        self.do("Input.insertText", text=text)

    def press(self, key: str, code: int = 0, text: str = "") -> None:
        """A key by its name, such as Enter; text: what it types."""
        event = {"key": key, "code": key, "windowsVirtualKeyCode": code}
        self.do(
            "Input.dispatchKeyEvent", type="keyDown", **event, **({"text": text} if text else {})
        )
        self.do("Input.dispatchKeyEvent", type="keyUp", **event)

    def picture(self, path: Path, whole: bool = False) -> None:
        found = self.do("Page.captureScreenshot", format="png", captureBeyondViewport=whole)
        path.write_bytes(base64.b64decode(found["data"]))

    def close(self) -> None:
        self._process.terminate()
        self._process.wait(timeout=PATIENCE)
        os.close(self._read)
        os.close(self._write)
