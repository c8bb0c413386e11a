# SPDX-License-Identifier: Apache-2.0
"""Tokens through the whole daemon: one token rings once, whoever presents it and however often,
also when the server starts anew in between; and what isn't exactly a valid token rings nowhere."""

import os
import pathlib
import signal
import sys
import threading
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "tools"))

from lab import loopback
from lab.device import (CALL_PLACED, CALL_STOPPED, HANG_UP, INCOMING_CALL, PUT_EPOCH_KEY,
                        PUT_SETTINGS, REFUSED, REVOKE_TOKENS, Device, EpochKey, epoch_now)
from lab.protobuf import one

LIMITS = """
[calls]
pair_calls = 1000000
standing_silenced = 1000000
max_placed_per_account = 10000
max_places_per_minute = 1000000
[limits]
frames_per_s = 100000
frame_burst = 100000
"""


class TokenTest(unittest.TestCase):
    def setUp(self):
        self.folder = loopback.Folder()
        self.addCleanup(self.folder.cleanup)
        self.config = self.folder.write(self.folder.config() + LIMITS)
        self.start()
        self.bob = Device(self.daemon, "bob")
        self.bob.put_settings(silence=True)
        self.key = EpochKey("bob")
        self.bob.done(PUT_EPOCH_KEY, self.key.put())
        self.alice = Device(self.daemon, "alice")

    def start(self):
        self.daemon = loopback.Server(self.config, self.folder)
        self.addCleanup(self.daemon.cleanup)

    def restart(self, how=signal.SIGKILL):
        self.daemon.end(how)
        self.daemon.cleanup()
        self.start()
        self.bob.connect(self.daemon)
        self.alice.connect(self.daemon)

    def rings(self, call):
        """Whether this call, and no other, rings on bob's device. Decisions are made in order: when
        the answer to a later request is here, they have been."""
        self.alice.done(PUT_SETTINGS, {1: {}})
        self.bob.ping()
        offered = [one(content, 1) for content in self.bob.take_events(INCOMING_CALL)]
        self.assertIn(offered, ([], [call]))
        return offered == [call]

    def test_a_thousand_presentations_ring_once(self):
        token = self.key.token()
        callers = [Device(self.daemon, f"caller-{i}") for i in range(20)]
        barrier = threading.Barrier(len(callers))

        def present(caller):
            barrier.wait()
            requests = [caller.place("bob", token) for _ in range(50)]
            for request in requests:
                assert CALL_PLACED in caller.answer(request)
            caller.done(PUT_SETTINGS, {1: {}})

        threads = [threading.Thread(target=present, args=(caller,)) for caller in callers]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
            self.assertFalse(thread.is_alive())
        self.bob.ping()
        self.assertEqual(len(self.bob.take_events(INCOMING_CALL)), 1)

    def test_each_bit_counts(self):
        token = self.key.token()
        for bit in range(85 * 8):
            changed = bytearray(token)
            changed[bit // 8] ^= 1 << bit % 8
            self.alice.done(HANG_UP, {1: self.alice.call("bob", bytes(changed))})
        self.assertFalse(self.rings(b""))
        self.assertTrue(self.rings(self.alice.call("bob", token)))

    def test_others_tokens_and_other_epochs_do_not_ring(self):
        carol = Device(self.daemon, "carol")
        carol.put_settings(silence=True)
        carol_key = EpochKey("carol")
        carol.done(PUT_EPOCH_KEY, carol_key.put())
        self.assertFalse(self.rings(self.alice.call("bob", carol_key.token())))
        for epoch in (epoch_now() - 2, epoch_now() + 2):
            key = EpochKey("bob", epoch=epoch)
            self.assertIn(REFUSED, self.bob.request(PUT_EPOCH_KEY, key.put()), epoch)
            self.assertFalse(self.rings(self.alice.call("bob", key.token())))
        # A key for the next epoch may be there already; its tokens don't ring before.
        coming = EpochKey("bob", epoch=epoch_now() + 1)
        self.bob.done(PUT_EPOCH_KEY, coming.put())
        self.assertFalse(self.rings(self.alice.call("bob", coming.token())))

    def test_revoked_tokens_do_not_ring(self):
        serial = os.urandom(16)
        self.bob.done(REVOKE_TOKENS, {1: self.key.epoch, 2: serial})
        self.assertFalse(self.rings(self.alice.call("bob", self.key.token(serial))))
        token = self.key.token()
        self.key = EpochKey("bob")
        self.bob.done(PUT_EPOCH_KEY, self.key.put())
        self.assertFalse(self.rings(self.alice.call("bob", token)))
        self.assertTrue(self.rings(self.alice.call("bob", self.key.token())))

    def test_a_restart_between_any_two_steps_changes_nothing(self):
        for how in (signal.SIGKILL, signal.SIGTERM):
            token, place_id = self.key.token(), os.urandom(16)
            self.restart(how)
            call = self.alice.call("bob", token, place_id)
            self.assertTrue(self.rings(call))
            self.restart(how)
            # Another call doesn't ring with it; the same one does, under the same name.
            self.assertFalse(self.rings(self.alice.call("bob", token)))
            self.restart(how)
            self.assertEqual(self.alice.call("bob", token, place_id), call)
            self.assertTrue(self.rings(call))
            self.alice.done(HANG_UP, {1: call})
            # Behind the hang-up's own work in the store, so that this was done.
            self.alice.done(PUT_SETTINGS, {1: {}})
            self.restart(how)
            self.alice.call("bob", token, place_id)
            self.assertFalse(self.rings(call))
            self.bob.take_events(CALL_STOPPED)


if __name__ == "__main__":
    unittest.main(verbosity=2)
