# SPDX-License-Identifier: Apache-2.0
"""No byte of a caller's choice reaches a silenced recipient, the store or the log: a marker in
every field that a caller controls is looked for, in many disguises, in all that the recipient's
devices are sent (as they decrypt it), in the store's files and in the log. And a notice is the same
size, and the same in all it says, whatever was offered."""

import base64
import os
import pathlib
import random
import struct
import sys
import time
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "tools"))

from lab import loopback
from lab.device import (ACCEPT_CALL, ACK_NOTICES, CALL_PLACED, DECLINE_CALL, GET_KEYS, HANG_UP,
                        HELLO, INCOMING_CALL, NOTICES, PLACE_CALL, PUT_ACCOUNT_KEYS, PUT_BLOCK,
                        PUT_EPOCH_KEY, PUT_SETTINGS, REMOVE_DEVICE, REVOKE_TOKENS, SEND_TO_PEER,
                        Device, epoch_now)
from lab.protobuf import decode, encode, one
from lab.websocket import Closed, WebSocket

LIMITS = """
[calls]
notice_interval_s = 1
pair_calls = 1000000
standing_silenced = 1000000
max_placed_per_account = 1000
max_places_per_minute = 1000000
[limits]
frames_per_s = 10000
frame_burst = 10000
[log]
level = "debug"
"""
BODY_SIZES = (512, 1024, 2048, 4096, 8192, 16384)
COOKIE = bytes.fromhex("2112a442")


def disguises(marker):
    """What a marker could look like after having gone through somebody's hands. Of base64, the part
    that doesn't depend on what stands around it."""
    forms = {
        marker,
        marker[::-1],
        marker.hex().encode(),
        marker.hex().upper().encode(),
        bytes(byte ^ 0xFF for byte in marker),
    }
    for shift in range(4):
        forms.add(bytes(byte ^ COOKIE[(i + shift) % 4] for i, byte in enumerate(marker)))
    for before in range(3):
        for alphabet in (base64.b64encode, base64.urlsafe_b64encode):
            text = alphabet(b"\0" * before + marker + b"\0\0")
            forms.add(text[4 if before else 0 : (before + len(marker)) // 3 * 4])
    # In pieces, too: 12 bytes in a row are beyond chance.
    for form in list(forms):
        forms.add(form[: max(12, len(form) // 2)])
        forms.add(form[-max(12, len(form) // 2) :])
    return forms


def found(marker, where):
    return [form for form in disguises(marker) if form in where]


class DisguisesTest(unittest.TestCase):
    def test_they_are_recognized(self):
        marker = os.urandom(16)
        for hidden in (marker, base64.b64encode(b"ab" + marker), marker.hex().encode(),
                       base64.urlsafe_b64encode(b"x" + marker + b"y"), marker[::-1],
                       bytes(byte ^ COOKIE[(i + 1) % 4] for i, byte in enumerate(marker))):
            self.assertTrue(found(marker, b"...." + hidden + b"...."))
        self.assertFalse(found(marker, os.urandom(1 << 20)))


class MarkerTest(unittest.TestCase):
    def setUp(self):
        self.folder = loopback.Folder()
        self.addCleanup(self.folder.cleanup)
        self.daemon = loopback.Server(self.folder.write(self.folder.config() + LIMITS), self.folder)
        self.addCleanup(self.daemon.cleanup)

    def store_and_log(self):
        kept = {path.name: path.read_bytes() for path in self.folder.path.glob("signald.db*")}
        self.assertGreater(len(kept.get("signald.db-wal", b"") + kept["signald.db"]), 4096)
        kept["log"] = self.daemon.output().encode()
        return kept

    def test_nothing_of_the_callers_making_arrives_or_stays(self):
        of_calls = os.urandom(16)  # in fields of calls, and of requests that fail
        of_device = os.urandom(16)  # in what a device may keep in its own account
        recipients = [Device(self.daemon, "recipient") for _ in range(2)]
        recipients[0].put_settings(silence=True)
        for device in recipients:
            device.ping()
            device.received.clear()

        filled = lambda size: (of_calls * (size // 16 + 1))[:size]
        caller = Device(self.daemon, "caller", device_id=of_device)
        caller.done(PUT_ACCOUNT_KEYS, {1: {1: of_device * 2, 2: of_device * 2}})
        calls = [caller.call("recipient", offer=filled(size)) for size in BODY_SIZES]
        calls.append(caller.call("recipient", place_id=of_calls, offer=filled(512)))
        for token in (b"\x01" + filled(84), filled(85),
                      b"\x01" + struct.pack("!I", epoch_now()) + filled(80)):
            calls.append(caller.call("recipient", token=token))
        # A field that the protocol doesn't have.
        request = caller.send(PLACE_CALL, {1: os.urandom(16), 2: "recipient", 4: filled(512),
                                           99: of_calls})
        calls.append(one(decode(caller.answer(request)[CALL_PLACED][0]), 2))
        text = of_calls.hex()
        for body, content in (
            (ACCEPT_CALL, {1: calls[0], 2: filled(512)}),
            (ACCEPT_CALL, {1: of_calls, 2: filled(512)}),
            (DECLINE_CALL, {1: of_calls}), (HANG_UP, {1: of_calls}), (DECLINE_CALL, {1: calls[0]}),
            (SEND_TO_PEER, {1: calls[0], 2: filled(512)}),
            (SEND_TO_PEER, {1: of_calls, 2: filled(512)}),
            (PLACE_CALL, {1: filled(17), 2: text, 3: filled(3), 4: filled(77)}),
            (PLACE_CALL, {1: of_calls, 2: "recipient" + text[:32], 4: filled(512)}),
            (GET_KEYS, {1: text}), (PUT_BLOCK, {1: text, 2: 1}), (REMOVE_DEVICE, {1: of_calls}),
            (REVOKE_TOKENS, {1: epoch_now(), 2: of_calls}),
            (ACK_NOTICES, {1: int.from_bytes(of_calls[:7], "big")}),
            (PUT_EPOCH_KEY, {1: epoch_now() + 9, 2: filled(32), 3: 1}),
        ):
            caller.request(body, content)
        # Before there is a session: the request, its header, a JWT that is none, a resumption.
        for attempt in (
            lambda: WebSocket(self.daemon.connect(), origin=f"https://{text}.example"),
            lambda: WebSocket(self.daemon.connect(), protocol=text),
            lambda: WebSocket(self.daemon.connect(), path="/v1?" + text),
            lambda: self.daemon.http("/" + text, User_Agent=text, Cookie=text),
            lambda: Device(self.daemon, "caller", resume=filled(32)),
        ):
            attempt()
        for hello in ({1: text, 2: of_calls, 3: filled(32)},
                      {1: caller.identity[:-86] + text, 2: of_calls, 3: filled(32)}):
            websocket = WebSocket(self.daemon.connect())
            websocket.send(encode({HELLO: hello}))
            self.assertEqual(websocket.receive_close(), 4401)
        for malformed in (filled(64), encode({HELLO: {1: caller.identity, 2: filled(17)}})):
            websocket = WebSocket(self.daemon.connect())
            websocket.send(malformed)
            with self.assertRaises(Closed):
                while True:
                    websocket.receive()

        for call in calls[:3]:
            caller.done(HANG_UP, {1: call})
        caller.done(PUT_SETTINGS, {1: {}})  # behind all that was to be decided
        for device in recipients:
            device.wait_for(NOTICES)
            device.pump(2.5)
            delivered = b"".join(device.received)
            self.assertFalse(found(of_calls, delivered))
            self.assertFalse(found(of_device, delivered))
            self.assertFalse(device.take_events(INCOMING_CALL))
            for call in calls:
                self.assertNotIn(call, delivered)
        for name, content in self.store_and_log().items():
            self.assertFalse(found(of_calls, content), name)
        self.assertFalse(found(of_device, self.store_and_log()["log"]))
        # That the store would have shown it: what a device keeps in its own account stands there.
        self.assertTrue(found(of_device, b"".join(self.store_and_log().values())))

    def test_notices_are_alike_whatever_was_offered(self):
        recipient = Device(self.daemon, "recipient")
        recipient.put_settings(silence=True)
        seen = []
        for round_number in range(6):
            expected = set()
            for i in range(20):
                name = f"caller-{round_number}-{i:02}"
                expected.add(name)
                caller = Device(self.daemon, name)
                token = random.choice((b"", os.urandom(85), b"\x01" + os.urandom(84)))
                caller.call("recipient", token=token,
                            offer=os.urandom(random.choice(BODY_SIZES)))
                caller.close()
            notices, end = {}, time.monotonic() + 20
            while set(notices) != expected and time.monotonic() < end:
                recipient.pump(0.2)
                for number, sealed in recipient.notices():
                    notice = recipient.open_notice(sealed)
                    self.assertEqual((notice.version, notice.kind, notice.count), (1, 1, 1))
                    self.assertEqual(notice.padding, bytes(len(notice.padding)))
                    self.assertLess(abs(notice.minute - time.time() // 60), 2)
                    notices[notice.caller] = number
                    seen.append(len(sealed))
            self.assertEqual(set(notices), expected)
            for number in notices.values():
                recipient.done(ACK_NOTICES, {1: number})
        self.assertEqual(set(seen), {144})


if __name__ == "__main__":
    unittest.main(verbosity=2)
