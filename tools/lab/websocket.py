# SPDX-License-Identifier: Apache-2.0
"""The client's side of a WebSocket (RFC 6455), with nothing but Python's own library."""

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
