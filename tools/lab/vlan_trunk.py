# SPDX-License-Identifier: Apache-2.0
"""A switch port that speaks 802.1Q: what the LAN sends reaches the port with a tag, and only frames
with that tag come back. In user space, since not every kernel has VLAN devices."""

import fcntl
import os
import select
import socket
import struct
import sys

_TUNSETIFF, _IFF_TAP_NO_PI = 0x400454CA, 0x1002
_PACKET_AUXDATA, _SOL_PACKET, _VLAN_VALID = 8, 263, 1 << 4


def main(port, tap_name, vlan):
    tap = os.open("/dev/net/tun", os.O_RDWR)
    fcntl.ioctl(tap, _TUNSETIFF, struct.pack("16sH22x", tap_name.encode(), _IFF_TAP_NO_PI))
    wire = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
    wire.bind((port, 3))
    wire.setsockopt(_SOL_PACKET, _PACKET_AUXDATA, 1)
    tag = struct.pack("!HH", 0x8100, vlan)
    print("forwarding", flush=True)
    while True:
        for ready in select.select([tap, wire], [], [])[0]:
            if ready == tap:
                frame = os.read(tap, 65536)
                wire.send(frame[:12] + tag + frame[12:])
                continue
            frame, control, _, source = wire.recvmsg(65536, 256)
            if source[2] == socket.PACKET_OUTGOING:
                continue
            # The kernel takes the tag out of the frame and hands it over beside it.
            for level, kind, data in control:
                if (level, kind) == (_SOL_PACKET, _PACKET_AUXDATA):
                    status, tci = struct.unpack_from("I", data)[0], struct.unpack_from("H", data,
                                                                                       16)[0]
                    if status & _VLAN_VALID and tci & 0xFFF == vlan:
                        os.write(tap, frame)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
