# SPDX-License-Identifier: Apache-2.0
"""Accounts and devices for tests of sotto-signald, with keys and tokens by docs/protocol.md."""

import ctypes
import ctypes.util
import os
import select
import struct
import time

from .protobuf import decode, encode, one
from .websocket import WebSocket

sodium = ctypes.CDLL(ctypes.util.find_library("sodium") or "libsodium.so.23")
assert sodium.sodium_init() >= 0

# Field numbers of signaling.proto.
SEQ, ACK, REQUEST = 1, 2, 3
HELLO, PING, GOODBYE = 3, 4, 5
PUT_SETTINGS, PUT_ACCOUNT_KEYS, PUT_EPOCH_KEY, REVOKE_TOKENS, PUT_BLOCK = 10, 11, 12, 13, 14
ACK_NOTICES, GET_KEYS, REMOVE_DEVICE = 15, 16, 17
PLACE_CALL, ACCEPT_CALL, DECLINE_CALL, HANG_UP, SEND_TO_PEER = 20, 21, 22, 23, 24
WELCOME, PONG, DONE, REFUSED = 4, 5, 6, 7
KEYS, NOTICES = 16, 17
CALL_PLACED, INCOMING_CALL, CALL_STOPPED, CALL_CONNECTED, CALL_ENDED = 20, 21, 22, 23, 24
MALFORMED, TOO_MANY, NOT_FOUND, WRONG_STATE = 1, 2, 3, 4

EPOCH_S = 7 * 24 * 3600
NOTICE_SILENCED, NOTICE_MISSED, NOTICE_MORE = 1, 2, 3


def epoch_now():
    return int(time.time()) // EPOCH_S


class EpochKey:
    """The key of an account's tokens for one epoch."""

    def __init__(self, account, epoch=None, uses=1):
        self.account, self.epoch, self.uses = account, epoch_now() if epoch is None else epoch, uses
        self.public = ctypes.create_string_buffer(32)
        self.secret = ctypes.create_string_buffer(64)
        sodium.crypto_sign_keypair(self.public, self.secret)

    def put(self):
        return {1: self.epoch, 2: self.public.raw, 3: self.uses}

    def token(self, serial=None):
        serial = serial or os.urandom(16)
        name = self.account.encode()
        signed = (b"sotto privacy token v1\0" + bytes([len(name)]) + name
                  + struct.pack("!I", self.epoch) + serial)
        signature = ctypes.create_string_buffer(64)
        sodium.crypto_sign_detached(signature, None, signed, ctypes.c_ulonglong(len(signed)),
                                    self.secret)
        return b"\x01" + struct.pack("!I", self.epoch) + serial + signature.raw


class Notice:
    def __init__(self, plain):
        (self.version, self.kind, self.count, self.minute, size) = struct.unpack("!BBHIB",
                                                                                 plain[:9])
        self.caller = plain[9 : 9 + size].decode()
        self.padding = plain[9 + size :]


class Device:
    """One device's session. `received` are all decrypted bytes that ever came to it; `events` the
    frames that answer no request, {field number: values}, oldest first."""

    def __init__(self, daemon, account, device_id=None, notice_keys=None, identity=None,
                 connect=True, resume=b""):
        """`identity`: what the account signs in with; the server's own for development unless
        told."""
        self.daemon, self.account = daemon, account
        self.id = device_id or os.urandom(16)
        if notice_keys is None:
            notice_keys = ctypes.create_string_buffer(32), ctypes.create_string_buffer(32)
            sodium.crypto_box_keypair(*notice_keys)
        self.notice_keys = notice_keys
        self.received, self.events, self.answers = [], [], {}
        self.seq = self.seen = 0
        self.identity = identity
        if connect:
            self.connect(daemon, resume)

    def connect(self, daemon, resume=b"", **how):
        self.daemon = daemon
        self.seq = self.seen = 0
        self.answers.clear()
        self.identity = self.identity or daemon.development_identity(self.account)
        self.socket = daemon.connect(**how)
        self.websocket = WebSocket(self.socket)
        self.websocket.send(encode({HELLO: {1: self.identity, 2: self.id,
                                            3: self.notice_keys[0].raw, 4: resume}}))
        while WELCOME not in (frame := self.read_frame()):
            pass
        self.welcome = decode(frame[WELCOME][0])

    def read_frame(self):
        """Reads one frame and files it."""
        payload = self.websocket.receive()
        self.received.append(payload)
        frame = decode(payload)
        self.seen = max(self.seen, one(frame, SEQ, 0))
        if REQUEST in frame:
            self.answers[one(frame, REQUEST)] = frame
        elif PONG not in frame and WELCOME not in frame:
            self.events.append(frame)
        return frame

    def send(self, body, content):
        self.seq += 1
        self.websocket.send(encode({SEQ: self.seq, ACK: self.seen, body: content}))
        return self.seq

    def answer(self, request):
        while request not in self.answers:
            self.read_frame()
        return self.answers.pop(request)

    def request(self, body, content):
        return self.answer(self.send(body, content))

    def done(self, body, content):
        frame = self.request(body, content)
        assert DONE in frame, frame

    def ping(self):
        """Everything that the server has sent before is here afterwards."""
        self.websocket.send(encode({ACK: self.seen, PING: b""}))
        while PONG not in self.read_frame():
            pass

    def pump(self, seconds=0.0):
        """Reads what comes within this time."""
        end = time.monotonic() + seconds
        while True:
            left = max(0.0, end - time.monotonic())
            waiting = self.websocket.buffer or getattr(self.socket, "pending", lambda: 0)()
            if not waiting and not select.select([self.socket], [], [], left)[0]:
                return
            self.read_frame()

    def wait_for(self, body, seconds=10.0, matches=lambda fields: True):
        """The content of the first event of this kind; it is taken out."""
        end = time.monotonic() + seconds
        while True:
            for i, frame in enumerate(self.events):
                if body in frame and matches(content := decode(frame[body][0])):
                    del self.events[i]
                    return content
            if time.monotonic() > end:
                raise AssertionError(f"no event {body} within {seconds} s")
            self.pump(0.05)

    def take_events(self, body):
        taken = [decode(frame[body][0]) for frame in self.events if body in frame]
        self.events = [frame for frame in self.events if body not in frame]
        return taken

    # --- What a device does

    def put_settings(self, silence=False, protect=False):
        self.done(PUT_SETTINGS, {1: {1: int(silence), 2: int(protect)}})

    def place(self, recipient, token=b"", place_id=None, offer=b"o" * 512):
        """Sends PlaceCall; returns the request."""
        return self.send(PLACE_CALL, {1: place_id or os.urandom(16), 2: recipient, 3: token,
                                      4: offer})

    def call(self, recipient, token=b"", place_id=None, offer=b"o" * 512):
        """Places a call and returns its id."""
        frame = self.answer(self.place(recipient, token, place_id, offer))
        assert CALL_PLACED in frame, frame
        return one(decode(frame[CALL_PLACED][0]), 2)

    def notices(self):
        """Takes the notices that have come: [(id, sealed)]."""
        taken = []
        for content in self.take_events(NOTICES):
            for notice in content.get(1, []):
                fields = decode(notice)
                taken.append((one(fields, 1, 0), one(fields, 2)))
        return taken

    def open_notice(self, sealed):
        plain = ctypes.create_string_buffer(len(sealed) - 48)
        opened = sodium.crypto_box_seal_open(plain, sealed, ctypes.c_ulonglong(len(sealed)),
                                             self.notice_keys[0], self.notice_keys[1])
        assert opened == 0, "a notice that isn't sealed to this device"
        return Notice(plain.raw)

    def close(self):
        self.socket.close()
