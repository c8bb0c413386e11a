# SPDX-License-Identifier: Apache-2.0
"""Reads the pcapng files that captures are (draft-ietf-opsawg-pcapng), strictly: a block that isn't
whole, or of another kind than a relay writes, is an error."""

import struct
from collections import namedtuple

# `interface` is its name; `outbound` or inbound; `comment` is None if there is none.
Packet = namedtuple("Packet", "interface unix_ns data size outbound comment")


def read(data):
    interfaces, packets, at = [], [], 0
    while at < len(data):
        kind, size = struct.unpack_from("<II", data, at)
        if size % 4 or at + size > len(data) or struct.unpack_from("<I", data,
                                                                   at + size - 4) != (size,):
            raise ValueError(f"a block of {size} bytes at byte {at}, of {len(data)}")
        body = data[at + 8:at + size - 4]
        if at == 0 and (kind != 0x0A0D0D0A or body[:4] != b"\x4d\x3c\x2b\x1a"):
            raise ValueError("the file doesn't begin with a section")
        if kind == 1:
            options = _options(body[8:])
            if struct.unpack_from("<H", body) != (1,) or options[9] != b"\x09":
                raise ValueError("an interface that isn't Ethernet in nanoseconds")
            interfaces.append(options[2].decode())
        elif kind == 6:
            interface, high, low, kept, whole = struct.unpack_from("<IIIII", body)
            options = _options(body[20 + kept + -kept % 4:])
            flags, = struct.unpack("<I", options[2])
            packets.append(Packet(interfaces[interface], high << 32 | low, body[20:20 + kept],
                                  whole,
                                  {1: False, 2: True}[flags & 3],
                                  options.get(1, b"").decode() or None))
        elif kind != 0x0A0D0D0A:
            raise ValueError(f"a block of kind {kind}")
        at += size
    return packets


def _options(data):
    options, at = {}, 0
    while at < len(data):
        code, size = struct.unpack_from("<HH", data, at)
        if code == 0:
            return options
        options[code] = data[at + 4:at + 4 + size]
        at += 4 + size + -size % 4
    return options
