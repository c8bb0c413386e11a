# SPDX-License-Identifier: Apache-2.0
"""Headless Chromium in a host of a lab, driven through chromedriver (W3C WebDriver).

The driver, the browser and the page's web server all live in the host's own loopback.
"""

import http.client
import http.server
import json
import pathlib
import socket
import tempfile
import threading

from lab.processes import LabError, wait_for

_DRIVER_PORT, _PAGE_PORT = 9515, 8000
_FLAGS = [
    "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
    "--disable-default-apps", "--disable-extensions", "--disable-dev-shm-usage",
    "--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream",
    "--autoplay-policy=no-user-gesture-required",
    # Media routers look for televisions on the network; nothing may be resolved.
    "--disable-features=MediaRouter,DialMediaRouteProvider,OptimizationHints,Translate",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE localhost",
]


class Browser:
    """One page: a file, served from the host's own loopback, or an address. Ends with the lab.

    `flags` are more of Chromium's, `capabilities` more of WebDriver's.
    """

    def __init__(self, host, page, flags=(), capabilities=None):
        self._host = host
        address = str(page)
        if not address.startswith(("https://", "about:")):
            self._serve(page)
            address = f"http://localhost:{_PAGE_PORT}/"
        profile = tempfile.mkdtemp(prefix="chromium-", dir=host.lab.path)
        self._driver = host.start("chromedriver", f"--port={_DRIVER_PORT}",
                                  env={"HOME": profile, "TMPDIR": profile})
        wait_for("chromedriver listening", 20, self._is_ready)
        capabilities = {"alwaysMatch": {"goog:chromeOptions": {
            "binary": "/usr/bin/chromium",
            "args": [*_FLAGS, *flags, f"--user-data-dir={profile}"]}, **(capabilities or {})}}
        session = self._call("POST", "/session", {"capabilities": capabilities})
        self._session = f"/session/{session['sessionId']}"
        host.lab.on_exit(self.close)
        self._call("POST", f"{self._session}/timeouts", {"script": 60_000})
        self._call("POST", f"{self._session}/url", {"url": address})

    def call(self, function, *args):
        """Awaits an async function of the page."""
        script = """
            const done = arguments[arguments.length - 1];
            window[arguments[0]](...arguments[1]).then(
                (value) => done({value: value === undefined ? null : value}),
                (error) => done({error: String(error)}));
            """
        answer = self._call("POST", f"{self._session}/execute/async",
                            {"script": script, "args": [function, args]})
        if "error" in answer:
            raise LabError(f"{self._host.name}: {function}(): {answer['error']}")
        return answer["value"]

    def run(self, script, *args):
        return self._call("POST", f"{self._session}/execute/sync",
                          {"script": script, "args": list(args)})

    def close(self):
        if self._session:
            session, self._session = self._session, None
            self._call("DELETE", session)

    def _serve(self, page):
        content = pathlib.Path(page).read_bytes()

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):  # the name is http.server's
                self.send_response(200)
                self.send_header("Content-Type", "text/html; charset=utf-8")
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, *_):
                pass

        with self._host.entered():
            server = http.server.ThreadingHTTPServer(("127.0.0.1", _PAGE_PORT), Handler)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        self._host.lab.on_exit(server.server_close)
        self._host.lab.on_exit(server.shutdown)

    def _is_ready(self):
        if self._driver.returncode is not None:
            raise LabError(f"chromedriver ended: {self._driver.output()}")
        try:
            return self._call("GET", "/status")["ready"]
        except ConnectionRefusedError:
            return False

    def _call(self, method, path, body=None):
        connection = _HostConnection(self._host)
        try:
            connection.request(method, path, json.dumps(body) if body is not None else None,
                               {"Content-Type": "application/json"})
            response = connection.getresponse()
            value = json.loads(response.read())["value"]
        finally:
            connection.close()
        if response.status != 200:
            raise LabError(f"{method} {path}: {value['error']}: {value['message']}")
        return value


class _HostConnection(http.client.HTTPConnection):
    def __init__(self, host):
        super().__init__("127.0.0.1", _DRIVER_PORT, timeout=90)
        self._lab_host = host

    def connect(self):
        with self._lab_host.entered():
            self.sock = socket.create_connection((self.host, self.port), self.timeout)
