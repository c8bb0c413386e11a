# SPDX-License-Identifier: Apache-2.0
"""Just enough of protobuf's wire format to speak it field by field, with nothing but Python's own
library: so tests also send what no generated code would, and look into fields that it would
skip."""


def encode(content):
    """Returns a message of {field number: int, bytes, str or a dict that is a message}."""
    out = b""
    for number, value in content.items():
        if isinstance(value, int):
            out += _varint(number << 3) + _varint(value)
        else:
            if isinstance(value, dict):
                value = encode(value)
            elif isinstance(value, str):
                value = value.encode()
            out += _varint(number << 3 | 2) + _varint(len(value)) + value
    return out


def fields(message):
    """Returns [(number, value)] in the message's order; values are ints or bytes. ValueError if the
    bytes are no message."""
    found, at = [], 0

    def take(size):
        nonlocal at
        if at + size > len(message):
            raise ValueError("a protobuf message that is cut short")
        at += size
        return message[at - size:at]

    def take_varint():
        value = 0
        for shift in range(0, 64, 7):
            byte = take(1)[0]
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                return value
        raise ValueError("a protobuf varint that is too long")

    while at < len(message):
        key = take_varint()
        number, kind = key >> 3, key & 7
        if number == 0 or kind not in (0, 1, 2, 5):
            raise ValueError(f"no protobuf field has the key {key}")
        if kind == 0:
            value = take_varint()
        else:
            value = take({1: 8, 5: 4}.get(kind) or take_varint())
        found.append((number, value))
    return found


def decode(message):
    """Returns {field number: all its values}, in their order."""
    decoded = {}
    for number, value in fields(message):
        decoded.setdefault(number, []).append(value)
    return decoded


def one(decoded, number, default=b""):
    """Returns the first value of a field of what decode() returned."""
    return decoded[number][0] if number in decoded else default


def _varint(value):
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)
