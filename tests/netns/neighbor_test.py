# SPDX-License-Identifier: Apache-2.0
"""Next hops come and go: calls go on when a neighbour or the gateway changes its MAC address."""

import pathlib
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "tools"))

from lab.processes import LabError, wait_for
from lab.test_case import LabTest, main
from lab.turn import ChannelData, Client

# A neighbour that only listens can't tell anybody of its new address: the relay finds out when it
# probes (RFC 4861: reachable for at most 45 s, then 5 s of delay and three probes).
SILENT_SECONDS = 60


class Neighbor(LabTest):
    @classmethod
    def add_hosts(cls):
        cls.dave = cls.lab.lan_host("dave", 30)
        cls.erin = cls.lab.lan_host("erin", 31)

    def test_calls_among_neighbours_and_through_the_gateway(self):
        for one, other in ((self.dave, self.erin), (self.dave, self.alice), (self.alice, self.bob)):
            for family in (4, 6):
                with self.subTest(one=one.name, other=other.name, family=family):
                    a, _ = self._call(one, other, family)
                    self.assertTrue(self._heard(a))

    def test_a_neighbour_that_announces_its_new_mac_loses_next_to_nothing(self):
        for family, mac in ((4, "02:00:00:00:aa:04"), (6, "02:00:00:00:aa:06")):
            with self.subTest(family=family):
                to_dave, to_erin = self._call(self.dave, self.erin, family)
                self.assertTrue(self._heard(to_dave))
                self.dave.set_mac(mac)
                # It looks for the relay again, which tells the relay where it is now.
                self.dave.forget_neighbors()
                to_erin.speak()
                wait_for("hearing again", 3, lambda: self._heard(to_dave))
                self.assertEqual(self.dave.mac(), mac)

    def test_a_silent_neighbour_with_a_new_mac_is_found_by_probing(self):
        calls = [self._call(self.dave, self.erin, family)[0] for family in (4, 6)]
        for call in calls:
            self.assertTrue(self._heard(call))
        self.dave.set_mac("02:00:00:00:bb:01")
        waiting, end = list(calls), time.monotonic() + SILENT_SECONDS
        while waiting and time.monotonic() < end:
            waiting = [call for call in waiting if not self._heard(call)]
        if waiting:
            raise LabError(f"{len(waiting)} of 2 calls did not recover within {SILENT_SECONDS} s")

    def test_a_gateway_that_announces_its_new_mac_loses_next_to_nothing(self):
        self.lab.router.run("sysctl", "-qw", "net.ipv4.conf.lan.arp_notify=1",
                            "net.ipv6.conf.lan.ndisc_notify=1")
        calls = [self._call(self.alice, self.bob, family)[0] for family in (4, 6)]
        self.lab.router.run("ip", "link", "set", "lan", "address", "02:00:c0:00:02:02")
        for call in calls:
            wait_for("hearing again", 3, lambda c=call: self._heard(c))

    def _call(self, one, other, family):
        """Returns (other to one, one to other), each an object with speak() and hear()."""
        clients = []
        for host in (one, other):
            client = Client(host.udp(family), self.relay.endpoint[family])
            client.allocate(family)
            clients.append(client)
        a, b = clients
        a.bind(0x4001, b.relayed[family])
        b.bind(0x4002, a.relayed[family])
        return Direction(b, 0x4002, a, 0x4001), Direction(a, 0x4001, b, 0x4002)

    def _heard(self, direction):
        direction.speak()
        return direction.hear()


class Direction:
    def __init__(self, sender, send_channel, receiver, receive_channel):
        self._sender, self._send_channel = sender, send_channel
        self._receiver, self._receive_channel = receiver, receive_channel
        self._count = 0

    def speak(self):
        self._count += 1
        self._sender.send_channel(self._send_channel, b"%d" % self._count)

    def hear(self, seconds=0.3):
        """Whether the last that was said arrives; what was said before may come first."""
        expected = ChannelData(self._receive_channel, b"%d" % self._count)
        while (received := self._receiver.receive(seconds)) is not None:
            if received == expected:
                return True
        return False


if __name__ == "__main__":
    main()
