# SPDX-License-Identifier: Apache-2.0
"""The relay starts, ends and starts again; clients that were there come back."""

import pathlib
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "tools"))

from lab import relays
from lab.processes import wait_for
from lab.test_case import LabTest, main
from lab.turn import ChannelData, Client, TurnError


class Lifecycle(LabTest):
    def _client(self, host, family=4):
        return Client(host.udp(family), self.relay.endpoint[family])

    def test_a_client_finds_its_allocation_gone_after_a_restart_and_makes_another(self):
        a = self._client(self.alice)
        a.allocate(4)
        self.relay.restart()
        with self.assertRaises(TurnError) as gone:
            a.refresh(600)
        self.assertEqual(gone.exception.code, 437)
        a.allocate(4)
        b = self._client(self.bob)
        b.allocate(4)
        a.bind(0x4001, b.relayed[4])
        b.bind(0x4002, a.relayed[4])
        a.send_channel(0x4001, b"back again")
        self.assertEqual(b.receive(), ChannelData(0x4002, b"back again"))

    def test_an_allocation_that_its_client_ends_stops_at_once(self):
        a, b = self._client(self.alice), self._client(self.bob)
        a.allocate(4)
        b.allocate(4)
        a.bind(0x4001, b.relayed[4])
        b.bind(0x4002, a.relayed[4])
        a.send_channel(0x4001, b"before")
        self.assertEqual(b.receive(), ChannelData(0x4002, b"before"))
        b.refresh(0)
        a.send_channel(0x4001, b"after")
        self.assertIsNone(b.receive(0.5))

    @unittest.skipIf(relays.IS_COTURN, "sotto-relayd's own promise")
    def test_ends_with_status_0_in_the_middle_of_a_call_and_leaves_nothing_behind(self):
        a, b = self._client(self.alice), self._client(self.bob)
        a.allocate(4)
        b.allocate(4)
        a.bind(0x4001, b.relayed[4])
        for _ in range(100):
            a.send_channel(0x4001, b"talking")
        self.relay.stop_in_order()
        self.assertFalse((self.lab.path / "relay.sock").exists(), "the admin socket is still there")
        links = self.relay.host.run("ip", "-o", "link").stdout
        self.assertNotIn("dtap0", links)
        self.assertNotIn("xdp", links)
        self.relay.restart()
        wait_for("an answer", 5, lambda: self._client(self.alice).binding())


if __name__ == "__main__":
    main()
