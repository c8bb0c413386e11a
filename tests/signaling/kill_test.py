# SPDX-License-Identifier: Apache-2.0
"""kill -9 at random moments while settings, keys, tokens, blocks and notices flow: after the
restart all that was acknowledged is there, nothing that was never asked for is, notices that were
acknowledged stay forgotten, those that weren't come again, and no token has rung two calls.

SOTTO_KILL_ROUNDS sets how often.
"""

import os
import pathlib
import random
import signal
import sys
import threading
import time
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "tools"))

from lab import loopback
from lab.device import (ACK_NOTICES, GET_KEYS, HANG_UP, INCOMING_CALL, KEYS, NOTICE_MORE,
                        PUT_ACCOUNT_KEYS, PUT_EPOCH_KEY, PUT_SETTINGS, Device, EpochKey)
from lab.protobuf import decode, one
from lab.websocket import Closed

ROUNDS = int(os.environ.get("SOTTO_KILL_ROUNDS", "25"))
LIMITS = """
[calls]
notice_interval_s = 1
pair_calls = 1000000
standing_silenced = 1000000
max_placed_per_account = 10000
max_places_per_minute = 1000000
max_ringing_per_account = 10000
[limits]
frames_per_s = 100000
frame_burst = 100000
"""


class Recorded:
    """A value that is put again and again: what the store may hold now."""

    def __init__(self, value):
        self.possible = [value]

    def sent(self, value):
        self.possible.append(value)

    def acknowledged(self):
        self.possible = self.possible[-1:]


class Flow(threading.Thread):
    """Runs `step` over and over until the daemon is gone."""

    def __init__(self, step):
        super().__init__(daemon=True)
        self.step, self.steps, self.error = step, 0, None

    def run(self):
        try:
            while True:
                self.step()
                self.steps += 1
        except (Closed, OSError):
            pass
        except Exception as error:  # for the test to raise
            self.error = error


class KillTest(unittest.TestCase):
    def setUp(self):
        self.folder = loopback.Folder()
        self.addCleanup(self.folder.cleanup)
        self.config = self.folder.write(self.folder.config() + LIMITS)
        self.start()
        self.settler, self.keeper, self.bob, self.alice, self.noticed = self.devices = [
            Device(self.daemon, name) for name in ("settler", "keeper", "bob", "alice", "noticed")]
        # Made before the flows, as a stranger's identity takes an HTTP request.
        self.strangers = {name: Device(self.daemon, name) for name in
                          (f"stranger-{i}" for i in range(10))}
        self.bob.put_settings(silence=True)
        self.key = EpochKey("bob")
        self.bob.done(PUT_EPOCH_KEY, self.key.put())
        self.noticed.put_settings(silence=True)

        self.settings = Recorded((0, 0))
        self.keys = Recorded(None)
        self.tokens = []  # presented, whatever came of it
        self.rang = {}    # a token's serial: the call that it rang
        self.waiting, self.acknowledging, self.forgotten = set(), set(), set()  # ids of notices

    def start(self):
        self.daemon = loopback.Server(self.config, self.folder)
        self.addCleanup(self.daemon.cleanup)

    # --- What flows

    def put_settings(self):
        value = (random.randint(0, 1), random.randint(0, 1))
        self.settings.sent(value)
        self.settler.done(PUT_SETTINGS, {1: {1: value[0], 2: value[1]}})
        self.settings.acknowledged()

    def put_keys(self):
        value = os.urandom(32), os.urandom(32)
        self.keys.sent(value)
        self.keeper.done(PUT_ACCOUNT_KEYS, {1: {1: value[0], 2: value[1]}})
        self.keys.acknowledged()

    def present_token(self):
        if self.tokens and random.random() < 0.5:
            token = random.choice(self.tokens)  # for another call
        else:
            token = self.key.token()
            self.tokens.append(token)
        call = self.alice.call("bob", token)
        if random.random() < 0.3:
            self.alice.done(HANG_UP, {1: call})
        time.sleep(0.003)  # or decisions queue, and the kill finds nothing else

    def hear_ringing(self):
        self.bob.read_frame()

    def be_noticed(self):
        random.choice(list(self.strangers.values())).call("noticed")
        time.sleep(0.005)

    def acknowledge(self):
        self.noticed.pump(0.05)
        self.take_notices()
        if self.waiting:
            number = self.waiting.pop()
            self.acknowledging.add(number)
            self.noticed.done(ACK_NOTICES, {1: number})
            self.take_notices()  # one that was sent before the server answered may hold it
            self.acknowledging.discard(number)
            self.forgotten.add(number)

    # --- What is learned

    def take_notices(self):
        came = set()
        for number, sealed in self.noticed.notices():
            notice = self.noticed.open_notice(sealed)
            # Strangers are remembered by one life of the server alone, so a box may be full.
            self.assertTrue(notice.caller in self.strangers or notice.kind == NOTICE_MORE)
            came.add(number)
        self.assertFalse(came & self.forgotten, "a notice that was acknowledged came again")
        self.waiting |= came - self.acknowledging
        return came

    def take_ringing(self):
        for content in self.bob.take_events(INCOMING_CALL):
            serial, call = one(content, 6), one(content, 1)
            self.assertEqual(len(serial), 16)
            self.assertEqual(self.rang.setdefault(serial, call), call, "a token rang two calls")

    def kill(self, flows):
        self.daemon.end(signal.SIGKILL)
        for flow in flows:
            flow.join(30)
            self.assertFalse(flow.is_alive())
            if flow.error:
                raise flow.error
        # What reached a device before the end has happened, too.
        for device in (self.bob, self.noticed):
            try:
                device.pump(0.01)
            except (Closed, OSError):
                pass
        self.take_ringing()
        self.take_notices()
        self.daemon.cleanup()

    def check(self):
        told = decode(one(self.settler.welcome, 8))
        found = (one(told, 1, 0), one(told, 2, 0))
        self.assertIn(found, self.settings.possible)
        self.settings.possible = [found]

        account_keys = decode(decode(self.alice.request(GET_KEYS, {1: "keeper"})[KEYS][0])[2][0])
        found = one(account_keys, 1), one(account_keys, 2)
        if self.keys.possible[0] is not None:  # before, the server's stand-ins
            self.assertIn(found, self.keys.possible)
            self.keys.possible = [found]
        self.assertIn(9, self.bob.welcome, "bob's epoch key")

        # Tokens that have rung, for new calls.
        rung = [token for token in self.tokens if token[5:21] in self.rang]
        for token in random.sample(rung, min(5, len(rung))):
            call = self.alice.call("bob", token)
            self.alice.done(PUT_SETTINGS, {1: {}})
            self.bob.ping()
            self.assertNotIn(call, [one(content, 1)
                                    for content in self.bob.take_events(INCOMING_CALL)])

        # What an acknowledgement that wasn't answered has done can't be known.
        missing = set(self.waiting)
        self.acknowledging.clear()
        end = time.monotonic() + 10
        while missing and time.monotonic() < end:
            self.noticed.pump(0.05)
            missing -= self.take_notices()
        self.assertFalse(missing, "notices that weren't acknowledged are lost")

    def test_nothing_acknowledged_is_lost_and_no_token_rings_twice(self):
        steps = {flow: 0 for flow in (self.put_settings, self.put_keys, self.present_token,
                                      self.hear_ringing, self.be_noticed, self.acknowledge)}
        for _ in range(ROUNDS):
            flows = [Flow(step) for step in steps]
            for flow in flows:
                flow.start()
            time.sleep(random.uniform(0.02, 0.5))
            self.kill(flows)
            for flow in flows:
                steps[flow.step] += flow.steps
            self.start()
            for device in [*self.devices, *self.strangers.values()]:
                device.connect(self.daemon)
            self.check()
        self.assertEqual(self.daemon.end(), 0)
        # The kills came amid work.
        for count in steps.values():
            self.assertGreater(count, ROUNDS)
        self.assertGreater(len(self.rang), ROUNDS)
        print(f"{ROUNDS} kills;", ", ".join(f"{flow.__name__}: {count}"
                                            for flow, count in steps.items()),
              f"steps; {len(self.rang)} of {len(self.tokens)} tokens rang, "
              f"{len(self.forgotten)} notices acknowledged")


if __name__ == "__main__":
    unittest.main(verbosity=2)
