# SPDX-License-Identifier: Apache-2.0
"""A small TURN client over one UDP socket (RFC 8489, RFC 8656), for tests of protocol details.

It is slow and obvious on purpose. Responses to authenticated requests must carry a right
MESSAGE-INTEGRITY, or the client refuses them.
"""

import base64
import hashlib
import hmac
import os
import socket
import struct
import time
from collections import namedtuple

from .relays import PASSWORD, REALM, SECRET, USER

COOKIE = 0x2112A442
BINDING, ALLOCATE, REFRESH, SEND, DATA, CREATE_PERMISSION, CHANNEL_BIND = 1, 3, 4, 6, 7, 8, 9
REQUEST, INDICATION, SUCCESS, ERROR = 0x000, 0x010, 0x100, 0x110

USERNAME, MESSAGE_INTEGRITY, ERROR_CODE, UNKNOWN_ATTRIBUTES = 0x0006, 0x0008, 0x0009, 0x000A
CHANNEL_NUMBER, LIFETIME, XOR_PEER_ADDRESS, DATA_ATTRIBUTE = 0x000C, 0x000D, 0x0012, 0x0013
REALM_ATTRIBUTE, NONCE, XOR_RELAYED_ADDRESS = 0x0014, 0x0015, 0x0016
REQUESTED_ADDRESS_FAMILY = 0x0017
REQUESTED_TRANSPORT, DONT_FRAGMENT, XOR_MAPPED_ADDRESS = 0x0019, 0x001A, 0x0020
ADDITIONAL_ADDRESS_FAMILY, ICMP = 0x8000, 0x8004

FAMILY_CODE = {4: b"\x01\0\0\0", 6: b"\x02\0\0\0"}

ChannelData = namedtuple("ChannelData", "channel data")
DataIndication = namedtuple("DataIndication", "peer data")
IcmpIndication = namedtuple("IcmpIndication", "peer type code error_data")


class TurnError(Exception):
    """An error response; `code` is its ERROR-CODE."""

    def __init__(self, code, reason):
        super().__init__(f"{code} {reason}")
        self.code = code


class Message:
    """A STUN message. `attributes` is a list of (type, value bytes)."""

    def __init__(self, kind, transaction=None, attributes=()):
        self.kind, self.transaction = kind, transaction or os.urandom(12)
        self.attributes = list(attributes)

    def add(self, attribute, value=b""):
        self.attributes.append((attribute, value))
        return self

    def get(self, attribute):
        return next((v for t, v in self.attributes if t == attribute), None)

    def all(self, attribute):
        return [v for t, v in self.attributes if t == attribute]

    def address(self, attribute):
        value = self.get(attribute)
        return value and decode_address(value, self.transaction)

    def encode(self, key=None):
        body = b"".join(
            struct.pack("!HH", t, len(v)) + v + b"\0" * (-len(v) % 4) for t, v in self.attributes
        )
        size = len(body) + (24 if key else 0)
        head = struct.pack("!HHI", self.kind, size, COOKIE) + self.transaction
        if not key:
            return head + body
        mac = hmac.digest(key, head + body, "sha1")
        return head + body + struct.pack("!HH", MESSAGE_INTEGRITY, 20) + mac

    @staticmethod
    def decode(data):
        """None if it isn't a STUN message."""
        if len(data) < 20 or data[0] >= 0x40:
            return None
        kind, size, cookie = struct.unpack("!HHI", data[:8])
        if cookie != COOKIE or size + 20 != len(data):
            return None
        message = Message(kind, data[8:20])
        at = 20
        while at < len(data):
            attribute, length = struct.unpack("!HH", data[at:at + 4])
            message.add(attribute, data[at + 4:at + 4 + length])
            at += 4 + length + -length % 4
        return message


def encode_address(endpoint, transaction):
    ip, port = endpoint[:2]
    family = socket.AF_INET6 if ":" in ip else socket.AF_INET
    pad = struct.pack("!I", COOKIE) + transaction
    xored = bytes(a ^ b for a, b in zip(socket.inet_pton(family, ip), pad))
    return struct.pack("!BBH", 0, 2 if family == socket.AF_INET6 else 1, port ^ 0x2112) + xored


def decode_address(value, transaction):
    _, family, port = struct.unpack("!BBH", value[:4])
    pad = struct.pack("!I", COOKIE) + transaction
    raw = bytes(a ^ b for a, b in zip(value[4:], pad))
    return socket.inet_ntop(socket.AF_INET6 if family == 2 else socket.AF_INET, raw), port ^ 0x2112


def time_limited(name, lifetime=600):
    """A user name and password of the shared secret."""
    user = f"{int(time.time()) + lifetime}:{name}"
    return user, base64.b64encode(hmac.digest(SECRET.encode(), user.encode(), "sha1")).decode()


class Client:
    """A TURN client on a UDP socket. Server and peers are (address, port)."""

    def __init__(self, sock, server, user=USER, password=PASSWORD):
        self.socket, self.server = sock, server
        self._user, self._password = user.encode(), password.encode()
        self._key = self._nonce = None
        self.relayed = {}  # by family
        self.mapped = None
        self._inbox = []

    def allocate(self, *families, attributes=()):
        """Both families: a dual allocation. Returns the first relayed address."""
        request = [(REQUESTED_TRANSPORT, b"\x11\0\0\0"), *attributes]
        if families == (4, 6):
            request.append((ADDITIONAL_ADDRESS_FAMILY, FAMILY_CODE[6]))
        elif families:
            request.append((REQUESTED_ADDRESS_FAMILY, FAMILY_CODE[families[0]]))
        answer = self.request(ALLOCATE, request)
        addresses = [decode_address(v, answer.transaction) for v in answer.all(XOR_RELAYED_ADDRESS)]
        self.relayed = {6 if ":" in ip else 4: (ip, port) for ip, port in addresses}
        self.mapped = answer.address(XOR_MAPPED_ADDRESS)
        return addresses[0]

    def permit(self, *addresses):
        peers = [lambda t, a=a: encode_address((a, 0), t) for a in addresses]
        self.request(CREATE_PERMISSION, [(XOR_PEER_ADDRESS, p) for p in peers])

    def bind(self, channel, peer):
        self.request(CHANNEL_BIND, [
            (CHANNEL_NUMBER, struct.pack("!HH", channel, 0)),
            (XOR_PEER_ADDRESS, lambda t: encode_address(peer, t)),
        ])

    def refresh(self, lifetime):
        return self.request(REFRESH, [(LIFETIME, struct.pack("!I", lifetime))])

    def binding(self):
        """The address that the server sees."""
        return self.request(BINDING, [], authenticate=False).address(XOR_MAPPED_ADDRESS)

    def send(self, peer, data, attributes=()):
        """A Send indication."""
        message = Message(SEND | INDICATION)
        message.add(XOR_PEER_ADDRESS, encode_address(peer, message.transaction))
        for attribute, value in attributes:
            message.add(attribute, value)
        message.add(DATA_ATTRIBUTE, data)
        self.socket.sendto(message.encode(), self.server)

    def send_channel(self, channel, data):
        self.socket.sendto(struct.pack("!HH", channel, len(data)) + data, self.server)

    def receive(self, seconds=2):
        """The next ChannelData, DataIndication or IcmpIndication; None if none came in time."""
        if self._inbox:
            return self._inbox.pop(0)
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            received = _understand(self._datagram(left))
            if received is not None and not isinstance(received, Message):
                return received
        return None

    def request(self, method, attributes, authenticate=True):
        """Sends and retransmits until the answer. A value may be a function of the transaction."""
        for _ in range(3):  # 401, then perhaps 438
            message = Message(method | REQUEST)
            for attribute, value in attributes:
                message.add(attribute, value(message.transaction) if callable(value) else value)
            if authenticate and self._key:
                message.add(USERNAME, self._user).add(REALM_ATTRIBUTE, REALM.encode())
                message.add(NONCE, self._nonce)
            raw = message.encode(self._key if authenticate else None)
            answer, data = self._exchange(message.transaction, raw)
            error = answer.get(ERROR_CODE)
            code = error and error[2] * 100 + error[3]
            if code in (401, 438) and not (code == 401 and self._key):
                self._nonce = answer.get(NONCE)
                text = b":".join((self._user, answer.get(REALM_ATTRIBUTE), self._password))
                self._key = hashlib.md5(text).digest()
                continue
            if self._key and authenticate and code != 401:
                self._check_integrity(answer, data)
            if code:
                raise TurnError(code, error[4:].decode())
            return answer
        raise TurnError(code, "again and again")

    def _exchange(self, transaction, raw):
        for wait in (0.5, 1, 2, 2):
            self.socket.sendto(raw, self.server)
            end = time.monotonic() + wait
            while (left := end - time.monotonic()) > 0:
                data = self._datagram(left)
                received = _understand(data)
                if isinstance(received, Message):
                    if received.transaction == transaction:
                        return received, data
                elif received is not None:
                    self._inbox.append(received)
        raise TimeoutError(f"no answer from {self.server}")

    def _datagram(self, seconds):
        """What the server sent; a datagram from anybody else is an error of the relay."""
        self.socket.settimeout(max(seconds, 0.001))
        try:
            data, source = self.socket.recvfrom(65536)
        except (TimeoutError, ConnectionRefusedError):
            return b""
        if source[:2] != self.server:
            raise AssertionError(f"{source} sent to the client; the relay is {self.server}")
        return data

    def _check_integrity(self, answer, data):
        at = data.find(struct.pack("!HH", MESSAGE_INTEGRITY, 20), 20)
        signed = data[:2] + struct.pack("!H", at + 4) + data[4:at]
        expected = hmac.digest(self._key, signed, "sha1")
        if at < 0 or answer.get(MESSAGE_INTEGRITY) != expected:
            raise AssertionError(f"a response of kind {answer.kind:#x} without a right integrity")


def _understand(data):
    if len(data) >= 4 and 0x40 <= data[0] <= 0x4F:
        channel, length = struct.unpack("!HH", data[:4])
        return ChannelData(channel, data[4:4 + length])
    message = Message.decode(data)
    if message is None or message.kind & 0x110 != INDICATION:
        return message
    peer = message.address(XOR_PEER_ADDRESS)
    if (icmp := message.get(ICMP)) is not None:
        # RFC 8656, section 18.13: 16 bits reserved, 7 of type, 9 of code, 32 of error data.
        _, type_code, error_data = struct.unpack("!HHI", icmp)
        return IcmpIndication(peer, type_code >> 9, type_code & 0x1FF, error_data)
    return DataIndication(peer, message.get(DATA_ATTRIBUTE))
