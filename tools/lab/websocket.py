"""A WebSocket (RFC 6455) and just enough of protobuf to speak signaling.proto, with nothing but
Python's own library."""

import base64
import os
import struct


class Closed(Exception):
    """The server has closed: `code` is its close code, None without one."""

    def __init__(self, code, reason=""):
        super().__init__(f"{code} {reason}")
        self.code = code
        self.reason = reason


class WebSocket:
    def __init__(self, connection, protocol="sotto.v1", origin=None, path="/v1"):
        self.connection = connection
        self.buffer = b""
        lines = [
            f"GET {path} HTTP/1.1",
            "Host: localhost",
            "Upgrade: websocket",
            "Connection: Upgrade",
            f"Sec-WebSocket-Key: {base64.b64encode(os.urandom(16)).decode()}",
            "Sec-WebSocket-Version: 13",
        ]
        if protocol:
            lines.append(f"Sec-WebSocket-Protocol: {protocol}")
        if origin:
            lines.append(f"Origin: {origin}")
        connection.sendall("\r\n".join([*lines, "", ""]).encode())
        while b"\r\n\r\n" not in self.buffer:
            self._receive()
        head, self.buffer = self.buffer.split(b"\r\n\r\n", 1)
        self.response = head.decode()
        self.status = int(self.response.split()[1])

    def _receive(self):
        try:
            more = self.connection.recv(65536)
        except ConnectionError:
            more = b""
        if not more:
            raise Closed(None)
        self.buffer += more

    def _take(self, count):
        while len(self.buffer) < count:
            self._receive()
        taken, self.buffer = self.buffer[:count], self.buffer[count:]
        return taken

    def send(self, payload, opcode=2):
        head = bytes([0x80 | opcode])
        if len(payload) < 126:
            head += bytes([0x80 | len(payload)])
        elif len(payload) < 65536:
            head += struct.pack("!BH", 0x80 | 126, len(payload))
        else:
            head += struct.pack("!BQ", 0x80 | 127, len(payload))
        # A mask of zeros masks too.
        self.connection.sendall(head + bytes(4) + payload)

    def receive(self):
        while True:
            first, second = self._take(2)
            size = second & 0x7F
            if size == 126:
                (size,) = struct.unpack("!H", self._take(2))
            elif size == 127:
                (size,) = struct.unpack("!Q", self._take(8))
            payload = self._take(size)
            if first & 0x0F == 8:
                code = struct.unpack("!H", payload[:2])[0] if payload else None
                raise Closed(code, payload[2:].decode())
            if first & 0x0F in (1, 2):
                return payload

    def receive_close(self):
        """The close code, whatever comes before it."""
        while True:
            try:
                self.receive()
            except Closed as closed:
                return closed.code


def varint(value):
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def encode(fields):
    """A message of {field number: int, bytes, str or a dict that is a message}."""
    out = b""
    for number, value in fields.items():
        if isinstance(value, int):
            out += varint(number << 3) + varint(value)
        else:
            if isinstance(value, dict):
                value = encode(value)
            elif isinstance(value, str):
                value = value.encode()
            out += varint(number << 3 | 2) + varint(len(value)) + value
    return out


def decode(message):
    """{field number: its last value}: an int, or bytes."""
    fields, at = {}, 0

    def take_varint():
        nonlocal at
        value = shift = 0
        while True:
            byte = message[at]
            at += 1
            value |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return value

    while at < len(message):
        key = take_varint()
        if key & 7 == 0:
            fields[key >> 3] = take_varint()
        else:
            assert key & 7 == 2, key
            size = take_varint()
            fields[key >> 3] = message[at : at + size]
            at += size
    return fields


# Field numbers of signaling.proto.
SEQ, ACK, REQUEST = 1, 2, 3
HELLO, PING, GOODBYE, PUT_SETTINGS, GET_KEYS = 3, 4, 5, 10, 16
WELCOME, PONG, DONE, REFUSED, KEYS = 4, 5, 6, 7, 16


class Client:
    """A device with a session."""

    def __init__(self, connection, identity, device=None, resume=b"", **how):
        self.device = device or os.urandom(16)
        self.seq = 0
        self.seen = 0
        self.websocket = WebSocket(connection, **how)
        hello = {1: identity, 2: self.device, 3: os.urandom(32), 4: resume}
        self.websocket.send(encode({HELLO: hello}))
        self.welcome = decode(self.receive()[WELCOME])

    def receive(self):
        frame = decode(self.websocket.receive())
        self.seen = max(self.seen, frame.get(SEQ, 0))
        return frame

    def request(self, body, content):
        """Sends a request and returns its answer."""
        self.seq += 1
        self.websocket.send(encode({SEQ: self.seq, ACK: self.seen, body: content}))
        while True:
            frame = self.receive()
            if frame.get(REQUEST) == self.seq:
                return frame

    def ping(self):
        self.websocket.send(encode({ACK: self.seen, PING: b""}))
        while PONG not in self.receive():
            pass
