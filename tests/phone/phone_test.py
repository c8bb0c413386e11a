# SPDX-License-Identifier: Apache-2.0
"""sotto-phone against sotto-signald and sotto-relayd: every command, and what must be refused."""

import json
import pathlib
import re
import sys
import tempfile
import time
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "tools"))

from lab.capture import Capture
from lab.certificates import make_authority
from lab.environment import BIN
from lab.phones import Phone
from lab.processes import run, wait_for
from lab.signalds import start_signald
from lab.test_case import LabTest, main

RING_S = 4
FAILED, BAD_COMMAND_LINE, NOT_ANSWERED = 1, 2, 3


class PhoneTest(LabTest):
    """Each test has accounts of its own, on the same servers."""

    relay_options = {"policy": "call"}

    @classmethod
    def add_hosts(cls):
        cls.mallory = cls.lab.remote_host("mallory")

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        # Within one test nobody calls anybody often; over all of them they may.
        cls.signald = start_signald(cls.lab, [cls.relay], ring_s=RING_S)

    @classmethod
    def tearDownClass(cls):
        cls.signald.restart()  # must end with status 0
        super().tearDownClass()

    def phone(self, name, host=None, **options):
        """Of an account that no other test has."""
        return Phone(host or self.alice, self.signald, f"{name}.{self._testMethodName[5:30]}",
                     **options)

    def friends(self, tokens=3, uses=1, settings=("--silence", "on")):
        """Two who know each other: the first has invited the second."""
        a, b = self.phone("a"), self.phone("b", self.bob)
        a.run("register")
        invitation = a.run("issue-tokens", "--count", tokens, "--uses", uses).one("invitation")
        b.run("add-contact", invitation["link"])
        a.run("settings", *settings)
        return a, b, invitation

    def ring(self, caller, recipient, *flags, answered):
        """A short call without media. Whether the recipient's phone rang."""
        answering = recipient.start("answer", "--calls", 1, "--no-media")
        code = 0 if answered else NOT_ANSWERED
        caller.run("call", recipient.account, "--no-media", "--seconds", 0.1, *flags, code=code)
        said = answering.finish() if answered else answering.interrupt()
        self.assertEqual(len(said.all("incoming")), 1 if answered else 0, said)
        return said

    def test_call_with_a_token_carries_media_and_no_address(self):
        a, b, invitation = self.friends(settings=("--silence", "on", "--protect", "on"))
        captures = [Capture(host) for host in (self.alice, self.bob)]
        answering = a.start("answer", "--calls", 1)
        caller = b.run("call", a.account, "--seconds", 2, "--pps", 100)
        recipient = answering.finish()
        self.assertTrue(caller.one("call_connected")["protected"])
        incoming = recipient.one("incoming")
        self.assertTrue(incoming["with_token"])
        self.assertEqual(incoming["token_serial"], invitation["serials"][0])
        self.assertEqual(incoming["offer"], "opened")
        sent, received = caller.one("media"), recipient.one("media")
        self.assertEqual(sent["sent"], 200)
        self.assertEqual(received["received"], 200)
        self.assertGreater(received["sent"], 0)
        self.assertEqual(sent["received"], received["sent"])
        for media in (sent, received):
            for what in ("lost", "corrupted", "duplicated", "foreign"):
                self.assertEqual(media[what], 0, media)
            self.assertGreater(media["latency_us"]["min"], 0)
        self.assertEqual(sent["local"].split(":")[0], self.bob.ip[4])
        recordings = [capture.stop() for capture in captures]
        for recording, host, other in ((recordings[0], self.alice, self.bob),
                                       (recordings[1], self.bob, self.alice)):
            servers = {self.relay.ip[4], self.signald.ip[4], *host.gateway.values()}
            self.assertEqual(recording.strangers(servers), set())
            self.assertEqual(recording.traces_of(other.ip[4]), [])
            self.assertGreater(recording.conversation(self.relay.ip[4])[1], 100)
        # Nor does what the phones say, which is all that their users know.
        self.assertNotIn(self.alice.ip[4], json.dumps(caller))
        self.assertNotIn(self.bob.ip[4], json.dumps(recipient))

    def test_stranger_sees_what_an_unanswered_caller_sees(self):
        a, b, _ = self.friends()
        quiet = self.phone("c", self.bob)  # as long a name as a's
        quiet.run("register")
        stranger = self.phone("m", self.mallory)
        # The first to call has to make its keys; nothing of that is in the transcripts.
        stranger.run("register")
        watching, ringing = a.start("watch", flags=["--trace"]), quiet.start("watch")
        seen = {}
        for whom in (a, quiet, "x" + a.account[1:]):
            name = whom if isinstance(whom, str) else whom.account
            said = stranger.run("call", name, "--no-media", code=NOT_ANSWERED, flags=["--trace"])
            frames = said.all("frame")
            placed = next(i for i, f in enumerate(frames) if f["kind"] == "place_call")
            seen[name] = [(f["direction"], f["kind"], f["bytes"]) for f in frames[placed:]]
            rang_ms = frames[-2]["t_ms"] - frames[placed]["t_ms"]
            self.assertEqual(frames[-2]["kind"], "call_ended")
            self.assertAlmostEqual(rang_ms, RING_S * 1000, delta=250)
            self.assertEqual(said.one("ended")["why"], "no_answer")
        silenced, unanswered, unknown = seen.values()
        self.assertEqual(silenced, unanswered)
        self.assertEqual(silenced, unknown)
        self.assertEqual(len(ringing.interrupt().all("incoming")), 1)
        notice = watching.wait_for("notice")
        heard = watching.interrupt()
        self.assertEqual((notice["kind"], notice["caller"], notice["count"], notice["bytes"]),
                         ("silenced", stranger.account, 1, 144))
        self.assertEqual([f["kind"] for f in heard.all("frame") if f["direction"] == "in"],
                         ["welcome", "notices", "done"])
        self.assertEqual(heard.all("incoming"), [])
        # What was acknowledged doesn't come again.
        self.assertEqual(a.run("watch", "--seconds", 2).all("notice"), [])

    def test_token_rings_once(self):
        a, b, invitation = self.friends()
        token = invitation["tokens"][0]
        self.ring(b, a, "--token", token, answered=True)
        self.ring(b, a, "--token", token, answered=False)

    def test_token_of_two_uses_rings_twice(self):
        a, b, invitation = self.friends(tokens=1, uses=2)
        token = invitation["tokens"][0]
        for answered in (True, True, False):
            self.ring(b, a, "--token", token, answered=answered)

    def test_tokens_are_taken_one_by_one_and_run_out(self):
        a, b, invitation = self.friends(tokens=2)
        for number in range(2):
            self.assertEqual(b.run("show").one("state")["contacts"][a.account]["tokens"],
                             2 - number)
            said = self.ring(b, a, answered=True)
            self.assertEqual(said.one("incoming")["token_serial"], invitation["serials"][number])
        self.assertFalse(self.ring(b, a, answered=False).all("incoming"))

    def test_revoked_serial_rings_no_more_and_others_do(self):
        a, b, invitation = self.friends(tokens=2)
        a.run("revoke", "--serial", invitation["serials"][0])
        self.ring(b, a, "--token", invitation["tokens"][0], answered=False)
        self.ring(b, a, "--token", invitation["tokens"][1], answered=True)

    def test_revoking_the_epoch_revokes_all_and_new_tokens_ring(self):
        a, b, invitation = self.friends(tokens=1)
        self.assertEqual(len(a.run("revoke", "--epoch").all("revoked")), 2)  # this one, the next
        self.ring(b, a, "--token", invitation["tokens"][0], answered=False)
        fresh = a.run("issue-tokens", "--count", 1).one("invitation")
        self.ring(b, a, "--token", fresh["tokens"][0], answered=True)

    def test_blocked_caller_is_as_silent_as_none_until_unblocked(self):
        a, b, _ = self.friends(settings=("--silence", "off"))
        a.run("block", b.account)
        self.ring(b, a, answered=False)
        self.assertEqual(a.run("watch", "--seconds", 2).all("notice"), [])
        a.run("unblock", b.account)
        self.ring(b, a, answered=True)

    def test_settings_are_kept(self):
        a = self.phone("a")
        for silence, protect in (("on", "off"), ("off", "on"), ("off", "off")):
            a.run("settings", "--silence", silence, "--protect", protect)
            said = a.run("settings").one("settings")
            self.assertEqual(said["silence_unknown_callers"], silence == "on")
            self.assertEqual(said["protect_ip_address"], protect == "on")
        a.run("settings", "--silence", "on")
        a.run("settings", "--protect", "on")
        self.signald.kill()
        connected = a.run("settings").one("connected")
        self.assertTrue(connected["silence_unknown_callers"])
        self.assertTrue(connected["protect_ip_address"])

    def test_other_device_hears_of_settings_and_stops_ringing(self):
        a, b, _ = self.friends()
        second = a.clone(f"{a.account}.second")
        second.run("register")
        watching = second.start("watch")
        a.run("settings", "--protect", "on")
        self.assertTrue(watching.wait_for("settings_changed")["protect_ip_address"])
        answering = a.start("answer", "--calls", 1, "--no-media", "--ring", 0.3)
        b.run("call", a.account, "--no-media", "--seconds", 0.1)
        answering.finish()
        watching.wait_for("stopped")
        said = watching.interrupt()
        self.assertEqual(len(said.all("incoming")), 1)
        self.assertEqual(said.one("stopped")["why"], "WHY_ANSWERED_ELSEWHERE")

    def test_removed_device_is_out(self):
        a = self.phone("a")
        a.run("register")
        second = a.clone(f"{a.account}.second")
        device = second.run("register").one("registered")["device"]
        watching = second.start("watch")
        a.run("remove-device", device)
        said = watching.finish(code=FAILED)
        self.assertIn("removed", said.one("error")["text"])

    def test_declined_call_tells_the_caller_nothing(self):
        a, b, _ = self.friends()
        declining = a.start("answer", "--calls", 1, "--decline")
        began = time.monotonic()
        said = b.run("call", a.account, "--no-media", code=NOT_ANSWERED, flags=["--trace"])
        self.assertGreater(time.monotonic() - began, RING_S - 0.1)
        declining.finish().one("declined")
        kinds = [f["kind"] for f in said.all("frame") if f["direction"] == "in"]
        self.assertEqual(kinds, ["welcome", "call_placed", "call_ended"])
        self.assertEqual(said.one("ended")["why"], "no_answer")

    def test_missed_call_leaves_a_notice_for_later(self):
        a, b, _ = self.friends()
        b.run("call", a.account, "--no-media", code=NOT_ANSWERED)
        notice = a.run("watch", "--seconds", 2).one("notice")
        self.assertEqual((notice["kind"], notice["caller"]), ("missed", b.account))

    def test_phone_that_comes_in_time_rings(self):
        a, b, _ = self.friends()
        calling = b.start("call", a.account, "--no-media", "--seconds", 0.1, until="placed")
        said = a.run("answer", "--calls", 1, "--no-media")
        self.assertLess(said.one("incoming")["rings_for_s"], RING_S + 1)
        calling.finish()

    def test_recipient_can_call_back_with_what_came_in_the_offer(self):
        a, b, _ = self.friends()
        b.run("settings", "--silence", "on")
        said = self.ring(b, a, "--invite", answered=True)
        self.assertEqual(said.one("contact")["tokens"], 5)
        self.ring(a, b, answered=True)

    def test_call_outlives_a_lost_connection(self):
        a, b, _ = self.friends()
        answering = a.start("answer", "--calls", 1, flags=["--drop-after", 2])
        caller = b.run("call", a.account, "--seconds", 4, flags=["--drop-after", 1.5])
        recipient = answering.finish()
        for said in (caller, recipient):
            said.one("disconnected")
            self.assertTrue(said.one("reconnected")["resumed"])
            self.assertEqual(said.one("media")["lost"], 0)
        self.assertEqual(caller.one("media")["sent"], recipient.one("media")["received"])

    def test_ringing_call_is_placed_again_after_the_server_was_killed(self):
        a, b, _ = self.friends(settings=("--silence", "off"))
        calling = b.start("call", a.account, "--no-media", "--seconds", 0.1, until="placed")
        self.signald.kill()
        answering = a.start("answer", "--calls", 1, "--no-media")
        said = calling.finish()
        self.assertFalse(said.one("reconnected")["resumed"])
        self.assertEqual([p["again"] for p in said.all("placed")], [False, True])
        self.assertEqual(len({p["call"] for p in said.all("placed")}), 1)
        answering.finish()

    def test_interrupt_ends_a_call_in_order(self):
        a, b, _ = self.friends()
        answering = a.start("answer", "--calls", 1)
        calling = b.start("call", a.account, "--seconds", 60, until="talking")
        time.sleep(0.5)
        said = calling.interrupt()
        self.assertEqual(said.one("ended")["why"], "hung_up")
        self.assertEqual(said.one("media")["lost"], 0)
        recipient = answering.finish()
        self.assertEqual(recipient.one("ended")["why"], "peer_hung_up")
        self.assertEqual(recipient.one("media")["received"], said.one("media")["sent"])

    def test_interrupted_ringing_ends_for_the_recipient(self):
        a, b, _ = self.friends()
        watching = a.start("watch")
        calling = b.start("call", a.account, "--no-media", until="placed")
        watching.wait_for("incoming")
        calling.interrupt(code=NOT_ANSWERED)
        watching.wait_for("stopped")
        watching.interrupt()

    def test_answers_one_call_after_the_other(self):
        a, b, _ = self.friends()
        answering = a.start("answer", "--calls", 2)
        for _ in range(2):
            self.assertEqual(b.run("call", a.account, "--seconds", 0.5).one("media")["lost"], 0)
        said = answering.finish()
        self.assertEqual([m["received"] for m in said.all("media")], [25, 25])

    def test_over_ipv6(self):
        a, b, _ = self.friends()
        url = f"wss://[{self.signald.ip[6]}]:{self.signald.port}/v1"
        answering = Phone(self.alice, self.signald, a.account, server=url).start(
            "answer", "--calls", 1)
        b.server = url
        self.assertEqual(b.run("call", a.account, "--seconds", 1).one("media")["lost"], 0)
        answering.finish()

    def test_state_file_survives_and_belongs_to_one_account(self):
        a = self.phone("a")
        a.run("register")
        before = a.state.read_text()
        self.assertEqual(a.state.stat().st_mode & 0o777, 0o600)
        a.run("issue-tokens")
        self.assertEqual(json.loads(before)["secret"], json.loads(a.state.read_text())["secret"])
        other = self.phone("z", state=a.state)
        error = other.run("register", code=FAILED).one("error")["text"]
        self.assertIn(a.account, error)
        a.state.chmod(0o644)
        self.assertIn("chmod 600", a.run("show", code=FAILED).one("error")["text"])
        a.state.chmod(0o600)
        a.state.write_text("{")
        self.assertIn("not a state file", a.run("show", code=FAILED).one("error")["text"])
        self.assertEqual(a.state.read_text(), "{")

    def test_contact_under_other_keys_is_refused(self):
        a, b, _ = self.friends()
        impostor = self.phone("a", self.mallory, state=self.lab.path / "impostor.json")
        link = impostor.run("issue-tokens").one("invitation")["link"]
        error = b.run("add-contact", link, code=FAILED).one("error")["text"]
        self.assertIn("other keys", error)

    def test_same_device_twice_ends_the_first(self):
        a = self.phone("a")
        watching = a.start("watch")
        a.run("settings")
        self.assertIn("same device", watching.finish(code=FAILED).one("error")["text"])

    def test_wrong_ca_is_refused(self):
        folder = self.lab.path / "other-ca"
        folder.mkdir(exist_ok=True)
        make_authority(folder)
        for wrong, words in ((folder / "ca.crt", "certificate that is not trusted"),
                             ("/nonexistent", "/nonexistent")):
            said = self.phone("a", ca=wrong).run("register", code=FAILED)
            self.assertIn(words, said.one("error")["text"])

    def test_right_ca_for_another_name_is_refused(self):
        # The same server, under an address that its certificate doesn't have.
        other = "192.0.2.21"
        self.signald.host.run("ip", "addr", "add", f"{other}/24", "dev", "eth0")
        forward = self.signald.host.start(
            sys.executable, "-c", FORWARD, other, self.signald.port, self.signald.ip[4])
        self.addCleanup(forward.stop)
        wait_for("the forwarder", 20, lambda: "listening" in forward.output())
        url = f"wss://{other}:{self.signald.port}/v1"
        error = self.phone("a", server=url).run("register", code=FAILED).one("error")["text"]
        self.assertIn("certificate that is not trusted", error)
        self.phone("a", server=url).run("register", flags=["--insecure"])

    def test_bad_identity_is_refused(self):
        args = [BIN / "sotto-phone", "--server", self.signald.url, "--ca", self.signald.ca,
                "--state", self.lab.path / "nobody.json", "--identity", "a.b.c", "register"]
        done = self.alice.run(*args, check=False)
        self.assertEqual(done.returncode, FAILED, done)
        self.assertIn("identity", json.loads(done.stdout.splitlines()[-1])["text"])

    def test_no_server_is_said(self):
        phone = self.phone("a", server=f"wss://{self.signald.ip[4]}:1/v1")
        self.assertIn("can't connect", phone.run("register", code=FAILED).one("error")["text"])


FORWARD = """
import socket, sys, threading
here, port, there = sys.argv[1], int(sys.argv[2]), sys.argv[3]
def copy(a, b):
    while data := a.recv(65536):
        b.sendall(data)
    b.shutdown(socket.SHUT_WR)
server = socket.create_server((here, port))
print("listening", flush=True)
while True:
    a, _ = server.accept()
    b = socket.create_connection((there, port))
    for pair in ((a, b), (b, a)):
        threading.Thread(target=copy, args=pair, daemon=True).start()
"""


class CommandLine(unittest.TestCase):
    """Without servers."""

    def test_bad_arguments_are_said_and_nothing_is_written(self):
        folder = pathlib.Path(self.enterContext(tempfile.TemporaryDirectory()))
        state = ["--state", folder / "state.json"]
        server = ["--server", "wss://192.0.2.20:8443/v1"]
        me = ["--development", "alice"]
        for words, args in (
            ("subcommand", []),
            ("--server", [*me, "register"]),
            ("wss://", ["--server", "https://192.0.2.20", *me, "register"]),
            ("give an identity", [*server, "register"]),
            ("excludes", [*server, *me, "--identity", "x", "register"]),
            ("account", [*server, *me, "call"]),
            ("account", [*server, *me, "call", "no account"]),
            ("account", [*server, *me, "block", "a/b"]),
            ("--silence", [*server, *me, "settings", "--silence", "maybe"]),
            ("--serial or --epoch", [*server, *me, "revoke"]),
            ("--uses", [*server, *me, "issue-tokens", "--uses", "0"]),
            ("--uses", [*server, *me, "issue-tokens", "--uses", "1001"]),
            ("--pps", [*server, *me, "call", "bob", "--pps", "0"]),
            ("--payload", [*server, *me, "call", "bob", "--payload", "47"]),
            ("not expected", [*server, *me, "register", "now"]),
        ):
            done = run([BIN / "sotto-phone", *state, *args], check=False)
            self.assertEqual(done.returncode, BAD_COMMAND_LINE, (args, done))
            self.assertRegex(done.stdout + done.stderr, re.compile(re.escape(words), re.I), args)
        self.assertEqual(list(folder.iterdir()), [])

    def test_link_without_an_invitation_is_refused(self):
        folder = pathlib.Path(self.enterContext(tempfile.TemporaryDirectory()))
        for link in ("https://example.org/", "https://example.org/#i=AAAA", "nonsense"):
            done = run([BIN / "sotto-phone", "--state", folder / "s.json", "add-contact", link],
                       check=False)
            self.assertEqual(done.returncode, FAILED, done)
            self.assertIn("invitation", json.loads(done.stdout)["text"])


if __name__ == "__main__":
    main()
