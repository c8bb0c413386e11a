# SPDX-License-Identifier: Apache-2.0
"""The relay is a host on its network: it answers ARP, neighbour discovery and echo requests for its
own addresses, and for no others."""

import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "tools"))

from lab import relays
from lab.packets import ping
from lab.test_case import LabTest, main


class Reachability(LabTest):
    @classmethod
    def add_hosts(cls):
        cls.dave = cls.lab.lan_host("dave", 30)

    def test_answers_ping_from_its_own_network(self):
        for family in (4, 6):
            with self.subTest(family=family):
                self.assertIsNotNone(ping(self.dave, self.relay.ip[family]))

    def test_answers_ping_through_its_gateway(self):
        for family in (4, 6):
            with self.subTest(family=family):
                self.assertIsNotNone(ping(self.alice, self.relay.ip[family]))

    def test_answers_ping_of_every_size_up_to_the_mtu(self):
        for family, overhead in ((4, 28), (6, 48)):
            for size in (0, 1, 63, 1000, 1500 - overhead):
                with self.subTest(family=family, size=size):
                    self.assertIsNotNone(ping(self.dave, self.relay.ip[family], size))

    def test_neighbours_learn_the_mac_of_its_port(self):
        expected = self.relay.host.mac() if relays.PORT != "tap" else None
        for family in (4, 6):
            self.dave.forget_neighbors()
            self.assertIsNotNone(ping(self.dave, self.relay.ip[family]))
            learned = self.dave.neighbor(self.relay.ip[family])
            self.assertIsNotNone(learned)
            self.assertEqual(int(learned[:2], 16) & 1, 0, "a group address")
            if expected:
                self.assertEqual(learned, expected)

    def test_does_not_answer_for_addresses_that_are_not_its_own(self):
        for address in ("192.0.2.99", "2001:db8::99"):
            self.assertIsNone(ping(self.dave, address, seconds=0.5))
            self.assertIsNone(self.dave.neighbor(address))


if __name__ == "__main__":
    main()
