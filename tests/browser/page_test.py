# SPDX-License-Identifier: Apache-2.0
"""People use the page: they invite, call, talk, silence strangers, miss calls, and protect their
addresses. Everything is real: two daemons, browsers, the network between them."""

import ipaddress
import pathlib
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "tools"))

import sealed_bodies
from lab.capture import Capture
from lab.processes import wait_for
from lab.protobuf import fields
from lab.test_case import main
from page_lab import SCREENSHOTS, VIRTUAL_PREFIX, PageTest

COOKIE = 0x2112A442
TALK_SECONDS = 8


def forms_of(address):
    """How an address can be written into bytes: as text, in binary (of which v4-mapped and others
    are endings) and XORed with STUN's cookie."""
    ip = ipaddress.ip_address(address)
    xored = (int.from_bytes(ip.packed[:4], "big") ^ COOKIE).to_bytes(4, "big")
    return {str(ip).encode(), ip.exploded.encode(), str(ip).upper().encode(), ip.packed, xored}


class People(PageTest):
    people = ("alice", "bob", "mallory")

    def test_a_walk_through_the_page(self):
        alice, bob, mallory = (self.pages[name] for name in self.people)
        alice.screenshot(SCREENSHOTS / "sign-in.png")
        for name, page in self.pages.items():
            page.sign_in(name)
        alice.switch("Silence unknown callers")
        alice.wait_text("Unknown callers are silenced.")

        with self.subTest("invite, accept, call, talk"):
            bob.accept(alice.invite("Bob from work"), "alice")
            self._shoot(bob, "people")
            bob.click("Video call alice")
            alice.wait_text("bob is calling")
            self.assertIn("Has the invitation that you made for “Bob from work”.", alice.text())
            self._shoot(alice, "incoming")
            self.assertEqual(alice.run("return hooks.connections.length"), 0)
            alice.click("With video")
            self._talk(alice, bob)
            self._shoot(alice, "call-direct")
            self.assertIn("Not protected", alice.text())
            alice.click("Hang up")
            for page in (alice, bob):
                page.wait_text("Call ended.")
            self.assertIn("Verified by invitation", alice.text())

        with self.subTest("mute and camera"):
            alice.click("Call bob")
            bob.wait_text("In your contacts, verified by invitation.")
            bob.click("Answer")
            self._wait_connected(alice, bob)
            self.assertIsNone(self._frames_shown(bob))
            alice.click("Camera")
            wait_for("video from alice", 15, lambda: self._frames_shown(bob))
            alice.click("Camera")
            wait_for("no video from alice", 15, lambda: not self._frames_shown(bob))
            bob.click("Microphone")
            self.assertFalse(bob.run(
                "return hooks.connections.at(-1).getSenders()"
                ".find((s) => s.track?.kind === 'audio').track.enabled"))
            bob.click("Hang up")
            alice.wait_text("Call ended.")

        with self.subTest("a stranger is silenced, and can't tell"):
            before = len(alice.frames())
            for count in ("once", "2 times"):
                mallory.fill("Call somebody else", "alice")
                mallory.press("\ue007")  # Enter
                mallory.wait_text("Calling…")
                alice.wait_text(f"Silenced, {count}")
                self.assertIn("Unknown caller mallory", alice.text())
                mallory.click("Hang up")
                mallory.wait_text("Call ended.")
            self.assertEqual(alice.run("return hooks.connections.length"), 2)  # the calls before
            received = [frame for way, frame in alice.frames()[before:] if way == "received"]
            self.assertLess(max(map(len, received)), 512)  # no offer
            self.assertFalse([frame for frame in received if b"mallory" in frame])
            self._shoot(alice, "silenced", tab="Calls")

        with self.subTest("miss"):
            bob.click("Call alice")
            alice.wait_text("bob is calling")
            bob.click("Hang up")
            alice.wait_text("Missed call")
            self.assertNotIn("is calling", alice.text())

        with self.subTest("unsilence, and block"):
            alice.switch("Silence unknown callers")
            alice.wait_text("Everybody can ring again.")
            mallory.click("Call alice")
            alice.wait_text("mallory is calling")
            self.assertIn("You don't know this caller.", alice.text())
            alice.click("Decline")
            self.assertIn("Calling…", mallory.text())
            mallory.click("Hang up")
            alice.click("Block mallory")
            alice.wait_text("mallory is blocked.")
            mallory.click("Call alice")
            mallory.wait_text("Calling…")
            time.sleep(3)
            self.assertNotIn("is calling", alice.text())
            mallory.click("Hang up")

        with self.subTest("revoke"):
            alice.switch("Silence unknown callers")
            alice.click("Settings")
            self._shoot(alice, "settings")
            alice.click("Revoke all invitations")
            alice.click("Yes, revoke all invitations")
            alice.click("Close")
            alice.wait_text("All invitations are revoked.")
            bob.click("Call alice")
            alice.wait_text("Unknown caller bob")
            bob.click("Hang up")
            alice.click("Allow bob")
            alice.click("Make the invitation")
            self._shoot(alice, "invitation")
            link = alice.value("Invitation link")
            alice.click("Close")
            bob.open(link)
            bob.click("Take them")
            bob.click("Call alice")
            alice.wait_text("bob is calling")
            alice.click("Decline")
            bob.click("Hang up")

        with self.subTest("another device rings too, and stops when one answers"):
            link = alice.account_secret()
            mallory.click("Settings")
            mallory.click("Sign out")
            mallory.click("Yes, sign out")
            mallory.wait_text("Your name")
            mallory.open(link)
            mallory.wait_text("This adds the device to alice.")
            mallory.click("Continue")
            mallory.wait_text("Nobody here yet.")
            self.assertNotIn("isn't one of", mallory.text())
            self.assertNotIn("#", mallory.run("return location.href"))
            bob.click("Call alice")
            for page in (alice, mallory):
                page.wait_text("bob is calling")
            mallory.click("Answer")
            alice.wait_text("Answered on another device.")
            self._wait_connected(mallory, bob)
            bob.click("Hang up")
            mallory.wait_text("Call ended.")

        with self.subTest("the keyboard is enough"):
            bob.click("Call alice")
            mallory.wait_text("bob is calling")
            self.assertEqual(mallory.run("return document.activeElement.innerText"), "Answer")
            mallory.press("\ue00c")  # Escape: it goes on ringing
            self.assertIn("bob is calling", mallory.text())
            mallory.press("\ue007")
            self._wait_connected(mallory, bob)
            self.assertEqual(mallory.run("return document.activeElement.innerText"), "bob")
            for _ in range(3):
                mallory.press("\ue004")  # Tab: microphone, camera, hang up
            mallory.press("\ue007")
            bob.wait_text("Call ended.")

        with self.subTest("all of it is there after the page has gone"):
            alice.open(alice.url)
            alice.wait_text("Unknown caller mallory")
            alice.click("Settings")
            self.assertIn("mallory", alice.text())
            alice.click("Close")
        for name, page in self.pages.items():
            self.assertEqual(page.errors(), [], name)

    def _talk(self, *pages):
        self._wait_connected(*pages)
        before = [page.statistics()["flows"] for page in pages]
        time.sleep(TALK_SECONDS)
        for page, earlier in zip(pages, before):
            flows = page.statistics()["flows"]
            self.assertEqual(len(flows), 4, flows)
            for flow, count in flows.items():
                self.assertGreater(count - earlier.get(flow, 0), 1000 * TALK_SECONDS, flow)

    def _wait_connected(self, *pages):
        for page in pages:
            page.wait_text("Their end", 30)

    def _frames_shown(self, page):
        return page.run("return document.querySelector('.tile-video')")

    def _shoot(self, page, name, tab=None):
        """In both schemes, wide and narrow; there the views are tabs."""
        for width, height in ((1280, 800), (360, 740)):
            page.resize(width, height)
            if tab and width < 800:
                page.click(tab)
            for scheme in ("light", "dark"):
                page.scheme(scheme)
                page.screenshot(SCREENSHOTS / f"{name}-{width}-{scheme}.png")
        # Small ones, for the documentation.
        page.scheme("light")
        page.resize(1000, 600)
        page.screenshot(SCREENSHOTS / f"{name}-small.png")
        page.resize(1280, 800)


class ProtectedCall(PageTest):
    def test_gives_no_address_away(self):
        alice, bob = self.pages["alice"], self.pages["bob"]
        for name, page in self.pages.items():
            page.sign_in(name)
        alice.switch("Protect IP address in calls")
        alice.wait_text("Your address is protected.")
        bob.accept(alice.invite("Bob"), "alice")
        captures = {host: Capture(host) for host in (self.alice, self.bob)}
        bob.click("Video call alice")
        alice.wait_text("bob is calling")
        alice.click("With video")
        self._talk(alice, bob)
        relayed = {}
        for page, name in ((alice, "protected-alice"), (bob, "protected-bob")):
            self._shoot(page, name)
            self.assertIn("Protected: only the relay sees your address", page.text())
            statistics = page.statistics()
            self.assertEqual(set(statistics["gathered"]), {"relay"})
            for end in ("local", "remote"):
                self.assertEqual(statistics[end]["candidateType"], "relay")
                address = statistics[end]["address"]
                self.assertIn(ipaddress.ip_address(address), ipaddress.ip_network(VIRTUAL_PREFIX))
            relayed[page] = address  # the other's
        bob.click("Hang up")
        alice.wait_text("Call ended.")
        for host, other in ((self.alice, self.bob), (self.bob, self.alice)):
            with self.subTest(host=host.name):
                recording = captures[host].stop()
                allowed = {*self.relay.ip.values(), *self.server.ip.values(),
                           *host.gateway.values()}
                self.assertEqual(recording.strangers(allowed), set())
                sent, received = recording.conversation(self.relay.ip[4])
                self.assertGreater(min(sent, received), 50 * TALK_SECONDS)
                for ip in other.ip.values():
                    self.assertEqual(recording.traces_of(ip), [])
        self._check_signaling(alice, bob, relayed)

    _talk, _wait_connected, _shoot = People._talk, People._wait_connected, People._shoot

    def _check_signaling(self, alice, bob, relayed):
        """What came to each page through the server, the sealed bodies opened, and what it gave to
        WebRTC: the other's address is in none of it."""
        account_secret = sealed_bodies.account_box_secret(alice.account_secret())
        offers = self._bodies(alice, [account_secret])
        # The answer is sealed to a key that bob's page drew for this call and put into its offer.
        box = dict(fields(sealed_bodies.content_of(offers[0])))[3]
        call_secrets = sealed_bodies.secrets_among(bob.hooks()["random"], [box])
        answers = self._bodies(bob, call_secrets)
        self.assertEqual((len(offers), len(answers)), (1, 1))
        for page, bodies, other in ((alice, offers, self.bob), (bob, answers, self.alice)):
            told = "\n".join(page.hooks()["told"]).encode()
            seen = b"\0".join([*self._received(page), *bodies, told])
            for ip in other.ip.values():
                for form in forms_of(ip):
                    self.assertFalse(form in seen, f"{ip} as {form}")
            # The search finds what is there: the other's relayed address, from the server, told to
            # WebRTC.
            self.assertTrue(ipaddress.ip_address(relayed[page]).packed in seen)
            self.assertTrue(f" {relayed[page]} ".encode() in told)

    def _received(self, page):
        return [frame for way, frame in page.frames() if way == "received"]

    def _bodies(self, page, secrets):
        """The plaintexts of all sealed bodies that came to the page; each must open."""
        sealed = [value for frame in self._received(page) for value in sealed_bodies.values(frame)
                  if len(value) in sealed_bodies.SIZES]
        opened = [sealed_bodies.open_body(value, secrets) for value in sealed]
        self.assertNotIn(None, opened)
        return opened


if __name__ == "__main__":
    main()
