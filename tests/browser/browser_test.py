# SPDX-License-Identifier: Apache-2.0
"""Two pages of Chromium, on two hosts, hold a call through the relay: audio, video and a data
channel for ten seconds. Neither host exchanges a packet with anybody but the relay."""

import pathlib
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "tools"))

from lab.capture import Capture
from lab.processes import wait_for
from lab.relays import PASSWORD, USER
from lab.test_case import LabTest, main
from webdriver import Browser

HERE = pathlib.Path(__file__).resolve().parent
SECONDS = 10
MESSAGES = 20


class BrowserCall(LabTest):
    def test_over_ipv4(self):
        self._hold_a_call(4)

    def test_over_ipv6(self):
        self._hold_a_call(6)

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.pages = {h: Browser(h, HERE / "call.html") for h in (cls.alice, cls.bob)}

    def _hold_a_call(self, family):
        address = self.relay.ip[family]
        url = f"turn:[{address}]:3478" if family == 6 else f"turn:{address}:3478"
        captures = {host: Capture(host) for host in self.pages}
        alice, bob = self.pages.values()
        for page in (alice, bob):
            page.call("prepare", {"urls": f"{url}?transport=udp", "username": USER,
                                  "credential": PASSWORD})
        offer = alice.call("describe")
        bob.call("accept", offer)
        answer = bob.call("describe")
        alice.call("accept", answer)
        wait_for("the connection", 30, lambda: all(
            p.run("return call.channel.readyState") == "open" for p in (alice, bob)), 0.2)
        for n in range(MESSAGES):
            for page, name in ((alice, "alice"), (bob, "bob")):
                page.run("call.channel.send(arguments[0])", f"{name} {n}")
            time.sleep(SECONDS / MESSAGES)
        reports = {self.alice: alice.call("report"), self.bob: bob.call("report")}
        for page in (alice, bob):
            page.run("call.pc.close(); call.received = []; call.states = [];")
        for host, other in ((self.alice, self.bob), (self.bob, self.alice)):
            with self.subTest(host=host.name, family=family):
                self._check_media(reports[host], other.name)
                self._check_wire(captures[host].stop(), other, family)

    def _check_media(self, report, other):
        self.assertIn(report["state"], ("connected", "completed"), report["states"])
        self.assertEqual(len(report["transports"]), 1)
        for transport in report["transports"]:
            for end in ("local", "remote"):
                self.assertEqual(transport[end]["candidateType"], "relay")
                self.assertIn(transport[end]["address"], self.relay.ip.values())
            self.assertGreater(transport["bytesSent"], 50_000)
            self.assertGreater(transport["bytesReceived"], 50_000)
        video, audio = report["inbound"]["video"], report["inbound"]["audio"]
        self.assertGreater(video["framesDecoded"], 5 * SECONDS)
        self.assertEqual((video["frameWidth"], video["frameHeight"]), (320, 240))
        self.assertGreater(audio["packetsReceived"], 40 * SECONDS)
        self.assertGreater(audio["totalSamplesReceived"], 40_000 * SECONDS)
        self.assertEqual((video["packetsLost"], audio["packetsLost"]), (0, 0))
        self.assertEqual(report["messages"], [f"{other} {n}" for n in range(MESSAGES)])

    def _check_wire(self, recording, other, family):
        relay = self.relay.ip[family]
        spoken = {tuple(sorted(f.ip)) for f in recording.frames if f.protocol in (6, 17)}
        own = recording.host.ip[family]
        self.assertEqual(spoken, {tuple(sorted((own, relay)))})
        sent, received = recording.conversation(relay)
        self.assertGreater(sent, 50 * SECONDS)
        self.assertGreater(received, 50 * SECONDS)
        for ip in other.ip.values():
            self.assertEqual(recording.traces_of(ip), [])


if __name__ == "__main__":
    main()
