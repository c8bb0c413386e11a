# SPDX-License-Identifier: Apache-2.0
"""A relay whose interface is a VLAN on a trunk port serves clients on that VLAN, and nobody
else."""

import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "tools"))

from lab import vlan_trunk
from lab.packets import ping
from lab.processes import wait_for
from lab.test_case import LabTest, main
from lab.turn import ChannelData, Client

VLAN = 7


class Vlan(LabTest):
    relay_options = {"vlan": VLAN}

    @classmethod
    def add_hosts(cls):
        # Before the relay starts there is no port to put on a trunk; start_sotto makes the host.
        make = cls.lab.bare_lan_host

        def on_trunk(name, number, queues=1):
            host = make(name, number, queues)
            trunk = cls.lab.router
            trunk.run("ip", "link", "set", name, "nomaster")
            shim = trunk.start(sys.executable, vlan_trunk.__file__, name, "trunk0", VLAN)
            wait_for("the trunk", 5, lambda: "forwarding" in shim.output())
            trunk.run("ip", "link", "set", "trunk0", "master", "lan", "up")
            return host

        cls.lab.bare_lan_host = on_trunk

    def test_answers_on_its_vlan(self):
        for family in (4, 6):
            self.assertIsNotNone(ping(self.alice, self.relay.ip[family]))

    def test_is_silent_without_the_tag(self):
        trunk = self.lab.router
        trunk.run("ip", "link", "set", "trunk0", "down")
        trunk.run("ip", "link", "set", "relay", "master", "lan")
        try:
            self.assertIsNone(ping(self.alice, self.relay.ip[4], seconds=1))
        finally:
            trunk.run("ip", "link", "set", "relay", "nomaster")
            trunk.run("ip", "link", "set", "trunk0", "up")

    def test_carries_a_call(self):
        for family in (4, 6):
            with self.subTest(family=family):
                a, b = (Client(h.udp(family), self.relay.endpoint[family])
                        for h in (self.alice, self.bob))
                a.allocate(family)
                b.allocate(family)
                a.bind(0x4001, b.relayed[family])
                b.bind(0x4002, a.relayed[family])
                a.send_channel(0x4001, b"over the trunk")
                self.assertEqual(b.receive(), ChannelData(0x4002, b"over the trunk"))


if __name__ == "__main__":
    main()
