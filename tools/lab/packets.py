# SPDX-License-Identifier: Apache-2.0
"""Packets made byte by byte, for what a kernel's socket doesn't send."""

import os
import socket
import struct
import time


def checksum(data):
    data += b"\0" * (len(data) % 2)
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def packed(ip):
    return socket.inet_pton(socket.AF_INET6 if ":" in ip else socket.AF_INET, ip)


def mac(text):
    return bytes.fromhex(text.replace(":", ""))


def ethernet(destination, source, kind, payload, vlan=None):
    tag = struct.pack("!HH", 0x8100, vlan) if vlan is not None else b""
    return mac(destination) + mac(source) + tag + struct.pack("!H", kind) + payload


def ipv4(source, destination, protocol, payload, ident=0, flags_and_offset=0x4000, options=b""):
    words = 5 + len(options) // 4
    head = struct.pack("!BBHHHBBH4s4s", 0x40 | words, 0, words * 4 + len(payload), ident,
                       flags_and_offset, 64, protocol, 0, packed(source), packed(destination))
    head += options
    return head[:10] + struct.pack("!H", checksum(head)) + head[12:] + payload


def ipv6(source, destination, protocol, payload):
    return struct.pack("!IHBB", 0x60000000, len(payload), protocol, 64) + \
        packed(source) + packed(destination) + payload


def udp(source, destination, payload):
    """An IP packet with a UDP datagram between two (address, port)."""
    size = 8 + len(payload)
    head = struct.pack("!HHHH", source[1], destination[1], size, 0)
    pseudo = packed(source[0]) + packed(destination[0]) + struct.pack("!II", size, 17)
    head = head[:6] + struct.pack("!H", checksum(pseudo + head + payload) or 0xFFFF)
    make = ipv6 if ":" in source[0] else ipv4
    return make(source[0], destination[0], 17, head + payload)


def ping(host, address, size=56, seconds=2):
    """Seconds until the echo reply with the same bytes; None if none came."""
    v6 = ":" in address
    sock = host.socket(socket.AF_INET6 if v6 else socket.AF_INET, socket.SOCK_DGRAM,
                       socket.IPPROTO_ICMPV6 if v6 else socket.IPPROTO_ICMP)
    data = os.urandom(size)
    began = time.monotonic()
    sock.settimeout(seconds)
    sock.sendto(struct.pack("!BBHHH", 128 if v6 else 8, 0, 0, 0, 1) + data, (address, 0))
    try:
        reply = sock.recv(65536)
    except TimeoutError:
        return None
    finally:
        sock.close()
    return time.monotonic() - began if reply[8:] == data else None
