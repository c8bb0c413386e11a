# SPDX-License-Identifier: Apache-2.0
"""Sotto's page in a Chromium, used as a person does: by the words on it."""

import base64
import json
import pathlib
import time
from urllib.parse import urlsplit

from lab.processes import LabError, wait_for
from webdriver import Browser

_ELEMENT = "element-6066-11e4-a52e-4f735466cecf"  # W3C WebDriver, section 12

# What a person (or a screen reader) finds under a name: the visible one, in the topmost dialog.
_FIND = """
const [selector, name] = arguments;
const scope = [...document.querySelectorAll('dialog[open]')].pop() ?? document;
const nameOf = (e) =>
  (e.getAttribute('aria-label') ?? e.labels?.[0]?.innerText ?? e.innerText).trim();
return [...scope.querySelectorAll(selector)].find(
  (e) => e.checkVisibility({visibilityProperty: true}) && nameOf(e).startsWith(name)) ?? null;
"""


class Page(Browser):
    """One device: its window, its camera and microphone (Chromium's fake ones)."""

    def __init__(self, host, url, camera):
        """`camera` is a file, what its camera sees."""
        super().__init__(
            host, "about:blank", flags=[
                "--ignore-certificate-errors", "--hide-scrollbars",
                f"--use-file-for-fake-video-capture={camera}",
                # The last one counts, and it is about addresses too.
                "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE localhost, "
                f"EXCLUDE {urlsplit(url).hostname}"],
            capabilities={"acceptInsecureCerts": True,
                          "goog:loggingPrefs": {"performance": "ALL", "browser": "ALL"}})
        self._frames, self.complaints = [], []
        self.resize(1280, 800)

    def open(self, url):
        # A link that differs in its fragment alone would not be loaded.
        self._command("POST", "/url", {"url": "about:blank"})
        self._command("POST", "/url", {"url": url})

    def click(self, name, selector="button, summary, input[type=checkbox]"):
        element = self._find(selector, name)
        self._command("POST", f"/element/{element}/click", {})

    def fill(self, name, text):
        element = self._find("input, textarea", name)
        self._command("POST", f"/element/{element}/clear", {})
        self._command("POST", f"/element/{element}/value", {"text": text})

    def value(self, name):
        return self.run("return arguments[0].value",
                        {_ELEMENT: self._find("input, textarea", name)})

    def press(self, key):
        """A key on whatever has the focus, by its code (W3C WebDriver, section 15.4.2)."""
        actions = [{"type": kind, "value": key} for kind in ("keyDown", "keyUp")]
        self._command("POST", "/actions", {
            "actions": [{"type": "key", "id": "keyboard", "actions": actions}]})

    def text(self):
        return self.run("return document.body.innerText")

    def wait_text(self, text, seconds=15):
        try:
            wait_for(f"“{text}”", seconds, lambda: text in self.text(), 0.1)
        except LabError:
            raise LabError(f"{self._host.name} doesn't read “{text}” but:\n{self.text()}") from None

    def resize(self, width, height):
        self.devtools("Emulation.setDeviceMetricsOverride", width=width, height=height,
                      deviceScaleFactor=1, mobile=False)

    def scheme(self, scheme):
        """light or dark"""
        self.devtools("Emulation.setEmulatedMedia",
                      features=[{"name": "prefers-color-scheme", "value": scheme}])

    def screenshot(self, path):
        time.sleep(0.3)  # transitions
        path = pathlib.Path(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(base64.b64decode(self._command("GET", "/screenshot")))

    def devtools(self, command, **params):
        return self._command("POST", "/goog/cdp/execute", {"cmd": command, "params": params})

    def frames(self):
        """Payloads of the WebSocket frames so far, as (direction, bytes): "sent" or "received"."""
        self._read_logs()
        return self._frames

    def errors(self):
        """What the browser complained of so far: violated policies, failed scripts and requests."""
        self._read_logs()
        return self.complaints

    def _read_logs(self):
        kinds = {"Network.webSocketFrameReceived": "received", "Network.webSocketFrameSent": "sent"}
        for entry in self._command("POST", "/se/log", {"type": "performance"}):
            message = json.loads(entry["message"])["message"]
            if direction := kinds.get(message["method"]):
                payload = message["params"]["response"]["payloadData"]
                self._frames.append((direction, base64.b64decode(payload)))
        for entry in self._command("POST", "/se/log", {"type": "browser"}):
            if entry["level"] == "SEVERE":
                self.complaints.append(entry["message"])

    def _find(self, selector, name):
        def look():
            return self.run(_FIND, selector, name)
        try:
            return wait_for(name, 10, look, 0.1)[_ELEMENT]
        except LabError:
            raise LabError(f"{self._host.name} has no “{name}” but:\n{self.text()}") from None

    def _command(self, method, path, body=None):
        return self._call(method, self._session + path, body)
