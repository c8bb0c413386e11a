# SPDX-License-Identifier: Apache-2.0
"""Captures of what a host sent and received, made by tcpdump, and what they prove.

recording = Capture(host).stop()
recording.strangers(allowed)    # who else was there
recording.traces_of(ip)         # where an address can be read
"""

import ipaddress
import struct
import time
from collections import Counter, namedtuple

from .processes import wait_for
from .turn import COOKIE

# `ip`: (source, destination) or None; `udp`: (source port, destination port, payload) or None.
Frame = namedtuple("Frame", "raw ip protocol udp")


class Capture:
    """tcpdump on a host's interface, from now on."""

    def __init__(self, host, what="", interface="eth0"):
        self.host = host
        self._file = host.lab.path / f"{host.name}.{next(host.lab.numbers)}.pcap"
        self._process = host.start(
            "tcpdump", "-n", "-i", interface, "-s", "0", "-B", "32768",
            "--immediate-mode", "-U", "-Z", "root", "-w", self._file, *what.split())
        wait_for("tcpdump listening", 10, lambda: "listening on" in self._process.output())

    def stop(self):
        """The Recording. Whatever the kernel dropped would make a proof worthless."""
        time.sleep(0.2)  # what is on its way
        self._process.stop()
        if "\n0 packets dropped by kernel" not in self._process.output():
            raise AssertionError(f"tcpdump lost packets: {self._process.output()}")
        return Recording(self.host, self._file.read_bytes())


class Recording:
    """The frames of a capture."""

    def __init__(self, host, pcap):
        self.host = host
        magic, = struct.unpack_from("<I", pcap)
        assert magic == 0xA1B2C3D4, f"not a pcap file of microseconds: {magic:#x}"
        self.frames = []
        at = 24
        while at + 16 <= len(pcap):
            captured, = struct.unpack_from("<I", pcap, at + 8)
            self.frames.append(_dissect(pcap[at + 16:at + 16 + captured]))
            at += 16 + captured

    def addresses(self):
        """How often each IP address sent or received a packet, as text; ARP and ND included."""
        counts = Counter()
        for frame in self.frames:
            if frame.ip:
                counts.update(frame.ip)
            elif frame.raw[12:14] == b"\x08\x06":
                counts.update(str(ipaddress.IPv4Address(frame.raw[i:i + 4])) for i in (28, 38))
        return counts

    def conversation(self, peer):
        """(packets sent to, packets received from) an address, UDP alone."""
        mine = set(self.host.ip.values())
        udp = [f.ip for f in self.frames if f.udp]
        return (sum(s in mine and d == peer for s, d in udp),
                sum(d in mine and s == peer for s, d in udp))

    def strangers(self, allowed):
        """Addresses that took part, without the host's own, the allowed ones, and the groups and
        link-local addresses by which hosts find their neighbours."""
        known = {*allowed, *self.host.ip.values(), "0.0.0.0", "::"}
        return {
            a for a in self.addresses()
            if a not in known
            and not ipaddress.ip_address(a).is_multicast
            and not ipaddress.ip_address(a).is_link_local
        }

    def traces_of(self, address):
        """Sentences that say where the address can be read: as text, in its binary and mapped
        forms, and XORed as STUN does.

        Media inside ChannelData and Data are noise to the relay and to an observer. Four bytes of
        noise equal an IPv4 address sooner or later, so there the search is for its text alone.
        """
        ip = ipaddress.ip_address(address)
        texts = {str(ip).encode(), ip.exploded.encode(), str(ip).upper().encode()}
        found = []
        for number, frame in enumerate(self.frames, 1):
            if any(text in frame.raw for text in texts):
                found.append(f"frame {number}: as text")
            if _xored(ip, frame):
                found.append(f"frame {number}: XORed in a STUN message")
            noise = _media(frame) if ip.version == 4 else 0
            # v4-mapped, v4-compatible and NAT64 forms end with these bytes.
            if ip.packed in frame.raw[:len(frame.raw) - noise]:
                found.append(f"frame {number}: in binary")
        return found


def _dissect(raw):
    kind, at = raw[12:14], 14
    if kind == b"\x08\x00":
        protocol, size = raw[23], (raw[14] & 15) * 4
        ip = str(ipaddress.IPv4Address(raw[26:30])), str(ipaddress.IPv4Address(raw[30:34]))
        fragment = (raw[20] << 8 | raw[21]) & 0x1FFF
        at += size
    elif kind == b"\x86\xdd":
        protocol, fragment = raw[20], 0
        ip = str(ipaddress.IPv6Address(raw[22:38])), str(ipaddress.IPv6Address(raw[38:54]))
        at += 40
    else:
        return Frame(raw, None, None, None)
    udp = None
    if protocol == 17 and not fragment and len(raw) >= at + 8:
        source, destination, length = struct.unpack_from("!HHH", raw, at)
        udp = source, destination, raw[at + 8:at + length]
    return Frame(raw, ip, protocol, udp)


def _is_stun(data):
    return len(data) >= 20 and data[0] < 0x40 and data[4:8] == struct.pack("!I", COOKIE)


def _media(frame):
    """How many bytes at the frame's end are media: the payload of ChannelData, or DATA's value."""
    if not frame.udp or len(frame.udp[2]) < 4:
        return 0
    payload = frame.udp[2]
    if 0x40 <= payload[0] <= 0x4F and not _is_stun(payload[4:]):
        return len(payload) - 4
    if not _is_stun(payload):
        return len(payload) if payload[0] >= 0x40 else 0
    at = 20
    while at + 4 <= len(payload):
        kind, length = struct.unpack_from("!HH", payload, at)
        if kind == 0x13 and not _is_stun(payload[at + 4:at + 4 + length]):
            return len(payload) - at - 4
        at += 4 + length + -length % 4
    return 0


def _xored(ip, frame):
    """Whether any STUN message in the frame, inner ones included, holds the address XORed."""
    cookie = struct.pack("!I", COOKIE)
    data = frame.udp[2] if frame.udp else b""
    at = data.find(cookie)
    while at >= 0:
        start = at - 4
        if start >= 0 and _is_stun(data[start:]):
            pad = data[start + 4:start + 20]
            if bytes(a ^ b for a, b in zip(ip.packed, pad)) in data[start + 20:]:
                return True
        at = data.find(cookie, at + 1)
    return False
