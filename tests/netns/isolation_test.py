# SPDX-License-Identifier: Apache-2.0
"""Nobody gets into a conversation that isn't theirs, and nobody learns who is on the other side."""

import ipaddress
import pathlib
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "tools"))

from lab import relays
from lab.capture import Capture
from lab.test_case import LabTest, main
from lab.turn import ChannelData, Client, DataIndication, TurnError, time_limited


class Isolation(LabTest):
    @classmethod
    def add_hosts(cls):
        cls.mallory = cls.lab.remote_host("mallory")

    def test_a_third_party_without_permission_is_not_heard(self):
        for family in (4, 6):
            with self.subTest(family=family):
                a, b = self._call(family)
                stranger = self.mallory.udp(family)
                for port in (a.relayed[family], b.relayed[family]):
                    stranger.sendto(b"let me in", port)
                self.assertIsNone(a.receive(0.5))
                self.assertIsNone(b.receive(0.1))

    def test_a_third_party_cannot_use_a_channel_of_another_client(self):
        a, b = self._call(4)
        thief = Client(self.mallory.udp(4), self.relay.endpoint[4])
        thief.send_channel(0x4001, b"without an allocation")
        thief.allocate(4)
        thief.send_channel(0x4001, b"with an allocation of its own")
        thief.send(a.relayed[4], b"without a permission")
        self.assertIsNone(b.receive(0.5))
        self.assertIsNone(a.receive(0.1))
        self.assertIsNone(thief.receive(0.1))

    def test_neither_party_sees_the_other(self):
        """Both hosts are captured while they talk over IPv4 and IPv6, with channels and without."""
        captures = {host.name: Capture(host) for host in (self.alice, self.bob)}
        for family in (4, 6):
            a, b = self._call(family)
            for n in range(50):
                a.send_channel(0x4001, b"a to b %d" % n)
                b.send_channel(0x4002, b"b to a %d" % n)
                self.assertIsInstance(b.receive(), ChannelData)
                self.assertIsInstance(a.receive(), ChannelData)
            c, d = (Client(h.udp(family), self.relay.endpoint[family])
                    for h in (self.alice, self.bob))
            c.allocate(family)
            d.allocate(family)
            c.permit(d.relayed[family][0])
            d.permit(c.relayed[family][0])
            for n in range(10):
                c.send(d.relayed[family], b"c to d %d" % n)
                self.assertEqual(d.receive(), DataIndication(c.relayed[family], b"c to d %d" % n))
        for own, other in ((self.alice, self.bob), (self.bob, self.alice)):
            recording = captures[own.name].stop()
            for family in (4, 6):
                sent, received = recording.conversation(self.relay.ip[family])
                self.assertGreater(min(sent, received), 50, "the capture missed the call")
                self.assertEqual(recording.traces_of(other.ip[family]), [])
            # The gateway takes part in ARP and ND alone; it is the host's own network.
            allowed = {*self.relay.ip.values(), *own.gateway.values()}
            self.assertEqual(recording.strangers(allowed), set())

    def _call(self, family):
        """Two clients with channels 0x4001 and 0x4002 to each other's relayed address."""
        a, b = (Client(h.udp(family), self.relay.endpoint[family]) for h in (self.alice, self.bob))
        a.allocate(family)
        b.allocate(family)
        a.bind(0x4001, b.relayed[family])
        b.bind(0x4002, a.relayed[family])
        return a, b


@unittest.skipIf(relays.IS_COTURN, "coturn has no calls")
class CallPolicy(LabTest):
    relay_options = {"policy": "call", "arm": "at-once"}

    @classmethod
    def add_hosts(cls):
        cls.mallory = cls.lab.remote_host("mallory")

    def leg(self, host, name):
        client = Client(host.udp(4), self.relay.endpoint[4], *time_limited(name))
        client.allocate(4)
        return client

    def test_the_two_legs_of_a_call_reach_each_other_and_a_third_leg_reaches_neither(self):
        a, b = self.leg(self.alice, "call-1/a"), self.leg(self.bob, "call-1/b")
        thief = self.leg(self.mallory, "call-2/a")
        a.bind(0x4001, b.relayed[4])
        b.bind(0x4002, a.relayed[4])
        for victim in (a, b):
            with self.assertRaises(TurnError) as refused:
                thief.bind(0x4003, victim.relayed[4])
            self.assertEqual(refused.exception.code, 403)
            # Permissions know addresses alone, and both legs live at this one.
            try:
                thief.permit(victim.relayed[4][0])
            except TurnError as error:
                self.assertEqual(error.code, 403)
            for _ in range(20):
                thief.send(victim.relayed[4], b"injected")
                thief.send_channel(0x4003, b"injected")
        # From outside, with the address of nobody.
        outsider = self.mallory.udp(4)
        for victim in (a, b):
            outsider.sendto(b"injected", victim.relayed[4])
        self.assertIsNone(a.receive(0.5))
        self.assertIsNone(b.receive(0.1))
        a.send_channel(0x4001, b"still private")
        self.assertEqual(b.receive(), ChannelData(0x4002, b"still private"))

    def test_nobody_outside_reaches_a_relayed_address(self):
        a, b = self.leg(self.alice, "call-4/a"), self.leg(self.bob, "call-4/b")
        a.bind(0x4001, b.relayed[4])
        b.bind(0x4002, a.relayed[4])
        for sender in (self.mallory.udp(4), self.alice.udp(4)):
            for victim in (a, b):
                sender.sendto(b"injected", victim.relayed[4])
                sender.sendto(b"injected", (self.relay.ip[4], victim.relayed[4][1]))
        self.assertIsNone(a.receive(0.5))
        self.assertIsNone(b.receive(0.1))

    def test_a_user_name_that_names_no_call_is_refused(self):
        for name in ("nobody", "call-3/c", "/a"):
            with self.assertRaises(TurnError) as refused:
                self.leg(self.alice, name)
            self.assertEqual(refused.exception.code, 403)


class CallPolicyOverVirtualAddresses(CallPolicy):
    relay_options = {"policy": "call", "arm": "at-once", "virtual_prefix": "100.64.0.0/10"}

    def test_each_leg_has_an_address_that_is_not_the_relays(self):
        legs = [self.leg(self.alice, f"call-5/{side}") for side in "ab"]
        addresses = {leg.relayed[4][0] for leg in legs}
        self.assertEqual(len(addresses), 2)
        for address in addresses:
            self.assertIn(ipaddress.ip_address(address), ipaddress.ip_network("100.64.0.0/10"))


@unittest.skipIf(relays.IS_COTURN, "coturn has no calls")
class CallsThatWait(LabTest):
    relay_options = {"policy": "call"}

    def test_nothing_flows_until_the_call_is_armed(self):
        legs = []
        for host, side in ((self.alice, "a"), (self.bob, "b")):
            leg = Client(host.udp(4), self.relay.endpoint[4], *time_limited(f"call-1/{side}"))
            leg.allocate(4)
            legs.append(leg)
        a, b = legs
        a.bind(0x4001, b.relayed[4])
        b.bind(0x4002, a.relayed[4])
        for _ in range(20):
            a.send_channel(0x4001, b"too early")
            a.send(b.relayed[4], b"too early")
        self.assertIsNone(b.receive(0.5))


if __name__ == "__main__":
    main()
