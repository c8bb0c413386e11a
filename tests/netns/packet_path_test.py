# SPDX-License-Identifier: Apache-2.0
"""What happens to single packets on their way: fragments, packets too large, errors from peers."""

import pathlib
import socket
import struct
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "tools"))

from lab import packets
from lab.capture import Capture
from lab.processes import wait_for
from lab.test_case import LabTest, main
from lab.turn import DONT_FRAGMENT, ChannelData, Client, DataIndication, IcmpIndication

IP_MTU_DISCOVER, IP_PMTUDISC_DO, IP_MTU = 10, 2, 14
IPV6_MTU_DISCOVER, IPV6_PMTUDISC_DO, IPV6_MTU = 23, 2, 24
CHANNEL = 0x4A00


class PacketPath(LabTest):
    @classmethod
    def add_hosts(cls):
        cls.peer = cls.lab.remote_host("peer")
        cls.dave = cls.lab.lan_host("dave", 30)

    def client(self, family, *allocate, host=None):
        client = Client((host or self.alice).udp(family), self.relay.endpoint[family])
        client.allocate(*(allocate or (family,)))
        return client

    def test_every_family_on_either_side_with_channels_and_indications(self):
        for client_family in (4, 6):
            client = self.client(client_family, 4, 6)
            for family in (4, 6):
                with self.subTest(client=client_family, peer=family):
                    peer = self.peer.udp(family)
                    endpoint = peer.getsockname()[:2]
                    client.permit(self.peer.ip[family])
                    for data in (b"", b"x", b"seven b", bytes(range(256)) * 4):
                        client.send(endpoint, data)
                        self.assertEqual(peer.recvfrom(2000)[0], data)
                        peer.sendto(data, client.relayed[family])
                        self.assertEqual(client.receive(), DataIndication(endpoint, data))
                    client.bind(CHANNEL + family, endpoint)
                    for data in (b"", b"x", b"seven b", bytes(range(256)) * 4):
                        client.send_channel(CHANNEL + family, data)
                        received, source = peer.recvfrom(2000)
                        self.assertEqual((received, source[:2]), (data, client.relayed[family]))
                        peer.sendto(data, client.relayed[family])
                        self.assertEqual(client.receive(), ChannelData(CHANNEL + family, data))

    def test_a_closed_port_of_the_peer_is_reported_to_the_client(self):
        # Port unreachable: type 3 code 3 (RFC 792); type 1 code 4 (RFC 4443).
        for family, kind, code in ((4, 3, 3), (6, 1, 4)):
            for channel in (False, True):
                with self.subTest(family=family, channel=channel):
                    client = self.client(family)
                    closed = (self.peer.ip[family], 9)
                    if channel:
                        client.bind(CHANNEL, closed)
                        client.send_channel(CHANNEL, b"knock")
                    else:
                        client.permit(closed[0])
                        client.send(closed, b"knock")
                    self.assertEqual(client.receive(), IcmpIndication(closed, kind, code, 0))

    def test_an_icmp_error_about_a_stranger_is_not_reported(self):
        client = self.client(4)
        client.permit(self.peer.ip[4])
        # The peer complains of a packet to an address that the client has no permission for.
        about = packets.udp(client.relayed[4], (self.bob.ip[4], 9), b"never sent")[:28]
        error = struct.pack("!BBHI", 3, 3, 0, 0) + about
        error = error[:2] + struct.pack("!H", packets.checksum(error)) + error[4:]
        raw = self.peer.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP)
        raw.sendto(error, (self.relay.ip[4], 0))
        self.assertIsNone(client.receive(0.5))

    def test_dont_fragment_sets_the_bit_towards_the_peer(self):
        client = self.client(4)
        peer = self.peer.udp(4)
        client.permit(self.peer.ip[4])
        capture = Capture(self.peer, f"udp and dst port {peer.getsockname()[1]}")
        client.send(peer.getsockname(), b"whole", attributes=[(DONT_FRAGMENT, b"")])
        peer.recv(2000)
        frames = [f for f in capture.stop().frames if f.udp and f.udp[2] == b"whole"]
        self.assertEqual(len(frames), 1)
        self.assertEqual(frames[0].raw[20] & 0x40, 0x40)

    def test_path_mtu_discovery_works_towards_the_relay(self):
        """A peer's packet that fits the wire but not with its ChannelData header is answered with
        the MTU that would fit, and that MTU is right to the byte."""
        for family, overhead in ((4, 28), (6, 48)):
            with self.subTest(family=family):
                self.peer.run("ip", f"-{family}", "route", "flush", "cache")
                client = self.client(family)
                peer = self.peer.udp(family)
                client.bind(CHANNEL, peer.getsockname()[:2])
                level, discover, do, mtu = (
                    (socket.IPPROTO_IP, IP_MTU_DISCOVER, IP_PMTUDISC_DO, IP_MTU) if family == 4
                    else (socket.IPPROTO_IPV6, IPV6_MTU_DISCOVER, IPV6_PMTUDISC_DO, IPV6_MTU))
                peer.setsockopt(level, discover, do)
                peer.connect(client.relayed[family])
                self.assertEqual(peer.getsockopt(level, mtu), 1500)
                peer.send(b"x" * (1500 - overhead))
                wait_for("path MTU discovery", 3, lambda: peer.getsockopt(level, mtu) < 1500)
                self.assertIsNone(client.receive(0.2))
                fits = b"y" * (peer.getsockopt(level, mtu) - overhead)
                self.assertEqual(len(fits), 1500 - overhead - 4)
                self._send_after_errors(peer, fits)
                self.assertEqual(client.receive(), ChannelData(CHANNEL, fits))

    def test_a_large_packet_without_dont_fragment_is_not_lost_silently(self):
        client = self.client(4)
        peer = self.peer.udp(4)
        client.bind(CHANNEL, peer.getsockname())
        capture = Capture(self.peer, "icmp")
        raw = self.peer.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)
        packet = packets.udp(peer.getsockname(), client.relayed[4], b"z" * 1472)
        raw.sendto(packet[:6] + b"\0\0" + packet[8:], (self.relay.ip[4], 0))  # DF clear
        received = client.receive(1)
        errors = [f.raw[34:36] for f in capture.stop().frames if f.ip[0] == self.relay.ip[4]]
        self.assertTrue(received == ChannelData(CHANNEL, b"z" * 1472) or errors == [b"\x03\x04"],
                        f"{received} and {errors}")

    def test_fragments_from_a_client_arrive_whole(self):
        """The path to the relay has a smaller MTU: datagrams come in pieces."""
        for family in (4, 6):
            with self.subTest(family=family):
                client = self.client(family)
                peer = self.peer.udp(family)
                client.bind(CHANNEL, peer.getsockname()[:2])
                self.alice.run("ip", "link", "set", "eth0", "mtu", "1280")
                try:
                    client.socket.setsockopt(*((socket.IPPROTO_IP, IP_MTU_DISCOVER, 0)
                                               if family == 4 else
                                               (socket.IPPROTO_IPV6, IPV6_MTU_DISCOVER, 0)))
                    data = bytes(range(256)) * 5 + b"tail"  # 1284 bytes
                    capture = Capture(self.lab.router, "ip[6:2] & 0x3fff != 0 or ip6[6] == 44",
                                      interface="alice")
                    client.send_channel(CHANNEL, data)
                    self.assertEqual(peer.recv(2000), data)
                    self.assertEqual(len(capture.stop().frames), 2)
                finally:
                    self.alice.run("ip", "link", "set", "eth0", "mtu", "1500")

    def test_half_a_datagram_is_never_delivered(self):
        client = self.client(4, host=self.dave)
        peer = self.peer.udp(4)
        client.bind(CHANNEL, peer.getsockname())
        whole = packets.udp(client.socket.getsockname(), self.relay.endpoint[4],
                            struct.pack("!HH", CHANNEL, 1000) + b"f" * 1000)[20:]
        raw = self.dave.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)
        peer.settimeout(0.5)
        for ident, pieces in ((1, [0]), (2, [64]), (3, [0, 64])):
            for at in pieces:
                more = 0x2000 if at == 0 else 0
                body = whole[:512] if at == 0 else whole[512:]
                raw.sendto(packets.ipv4(self.dave.ip[4], self.relay.ip[4], 17, body, ident,
                                        more | at), (self.relay.ip[4], 0))
            if len(pieces) == 2:  # to show that the pieces are right
                self.assertEqual(peer.recv(2000), b"f" * 1000)
            else:
                with self.assertRaises(TimeoutError):
                    peer.recv(2000)

    def _send_after_errors(self, sock, data):
        """A connected socket reports the earlier ICMP error once, instead of sending."""
        for _ in range(3):
            try:
                sock.send(data)
                return
            except OSError:
                continue
        self.fail("the socket keeps reporting errors")


if __name__ == "__main__":
    main()
