# SPDX-License-Identifier: Apache-2.0
"""A lab in which people use Sotto's page: sotto-relayd, sotto-signald that serves the page, and a
browser for each person."""

import json

from lab.environment import BIN
from lab.processes import LabError
from lab.signalds import start_signald
from lab.test_case import LabTest
from page_browser import Page
from page_camera import write_y4m

WEB_ROOT = BIN.parent / "web"
SCREENSHOTS = BIN.parent / "screenshots"
VIRTUAL_PREFIX = "100.64.0.0/10"

# Before any script of the page: remembers what WebRTC and the random source were used for.
_HOOKS = """
window.hooks = {connections: [], told: [], random: []};
const Real = RTCPeerConnection;
window.RTCPeerConnection = class extends Real {
  constructor(...args) {
    super(...args);
    hooks.connections.push(this);
  }
  setRemoteDescription(description) {
    hooks.told.push(description.sdp);
    return super.setRemoteDescription(description);
  }
  addIceCandidate(candidate) {
    hooks.told.push(candidate.candidate);
    return super.addIceCandidate(candidate);
  }
};
const random = crypto.getRandomValues.bind(crypto);
crypto.getRandomValues = (array) => {
  const filled = random(array);
  if (array instanceof Uint32Array) hooks.random.push(...[...filled].map((word) => word & 255));
  else hooks.random.push(...new Uint8Array(filled.buffer, filled.byteOffset, filled.byteLength));
  return filled;
};
window.statistics = async () => {
  const all = await hooks.connections.at(-1).getStats();
  const entries = [...all.values()];
  const transport = entries.find((e) => e.type === 'transport');
  const pair = all.get(transport.selectedCandidatePairId);
  const flows = {};
  for (const e of entries) {
    if (e.type === 'inbound-rtp') flows[`${e.kind} received`] = e.bytesReceived;
    if (e.type === 'outbound-rtp') flows[`${e.kind} sent`] = e.bytesSent;
  }
  const gathered = entries.filter((e) => e.type === 'local-candidate').map((e) => e.candidateType);
  const local = all.get(pair.localCandidateId), remote = all.get(pair.remoteCandidateId);
  return {gathered, local, remote, flows};
};
"""


class PageTest(LabTest):
    """self.server, a Signald, serves the page; self.pages has a browser by name."""

    # Relayed addresses that no host has: browsers must take them as they come.
    relay_options = {"policy": "call", "virtual_prefix": VIRTUAL_PREFIX}
    people = ("alice", "bob")
    ring_s = 40

    @classmethod
    def setUpClass(cls):
        if not (WEB_ROOT / "index.html").exists():
            raise LabError(f"{WEB_ROOT} has no page: build the target sotto_web")
        super().setUpClass()
        # Over IPv4 alone, so that it is known over which of its addresses a page talks.
        cls.server = start_signald(cls.lab, [cls.relay], port=443, ring_s=cls.ring_s,
                                   web_root=WEB_ROOT, families=(4,))
        cls.pages = {name: PersonPage(cls.lab.hosts[name], cls.server.page, number)
                     for number, name in enumerate(cls.people)}

    @classmethod
    def add_hosts(cls):
        for name in cls.people:
            if name not in cls.lab.hosts:
                cls.lab.remote_host(name)

    def tearDown(self):
        failed = any(test is self for test, _ in
                     self._outcome.result.failures + self._outcome.result.errors)
        if failed:
            for name, page in self.pages.items():
                page.screenshot(SCREENSHOTS / f"failed-{self._testMethodName}-{name}.png")
                print(f"{name} complains: {page.errors()}")
        super().tearDown()


class PersonPage(Page):
    def __init__(self, host, url, number):
        camera = host.lab.path / f"{host.name}.y4m"
        write_y4m(camera, number)
        super().__init__(host, url, camera)
        self.url = url
        self.devtools("Page.addScriptToEvaluateOnNewDocument", source=_HOOKS)
        self.open(url)

    def sign_in(self, name):
        self.fill("Your name", name)
        self.click("Continue")
        self.wait_text("Nobody here yet.")

    def switch(self, setting):
        self.click("Settings")
        self.click(setting)
        self.click("Close")

    def invite(self, whom):
        """Returns the link."""
        self.click("Invite")
        self.fill("Who is it for?", whom)
        self.click("Make the invitation")
        link = self.value("Invitation link")
        self.click("Close")
        return link

    def accept(self, link, by):
        self.open(link)
        self.wait_text(f"{by}")
        self.click("Add")
        self.wait_text("is in your contacts")

    def statistics(self):
        return self.call("statistics")

    def hooks(self):
        """{told: [descriptions and candidates that WebRTC was given], random: bytes}"""
        hooks = json.loads(self.run(
            "return JSON.stringify({told: hooks.told, random: hooks.random})"))
        return {"told": hooks["told"], "random": bytes(hooks["random"])}

    def account_secret(self):
        """From the link for another device, as its owner could see it."""
        self.click("Settings")
        self.click("Show the code")
        link = self.value("Secret link")
        self.click("Close")
        return link
