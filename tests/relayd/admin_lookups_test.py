# SPDX-License-Identifier: Apache-2.0
"""Every look-up of the service Admin, against a relay with calls: what it says is what is."""

import ipaddress
import pathlib
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "tools"))

from admin import Admin, admin_pb, grpc
from lab.processes import wait_for
from lab.relays import WORKERS
from lab.test_case import LabTest, main
from lab.turn import ChannelData, Client, TurnError, time_limited

CHANNEL_A, CHANNEL_B = 0x4001, 0x4002


def endpoint(address):
    return str(ipaddress.ip_address(address.ip)), address.port


class LookupTest(LabTest):
    def setUp(self):
        super().setUp()
        self.admin = Admin(f"unix:{self.lab.path}/relay.sock")
        self.addCleanup(self.admin.close)

    def client(self, host, *credential, family=4):
        client = Client(host.udp(family), self.relay.endpoint[family], *credential)
        client.allocate(family)
        self.addCleanup(self.end, client)
        return client

    @staticmethod
    def end(client):
        try:
            client.refresh(0)
        except TurnError:
            pass  # it has ended

    def allocations(self, **fields):
        return list(self.admin.call("ListAllocations", **fields))

    def refused(self, code, method, **fields):
        with self.assertRaises(grpc.RpcError) as error:
            answer = self.admin.call(method, **fields)
            if hasattr(answer, "__next__"):
                list(answer)
        self.assertEqual(error.exception.code(), code, error.exception.details())
        return error.exception.details()

    def counters(self):
        answer = self.admin.call("GetCounters")
        named = {field: {c.name: c.count for c in getattr(answer, field)}
                 for field in ("paths", "drops", "discards", "turn", "error_responses", "refusals")}
        return answer, named


class Calls(LookupTest):
    relay_options = {"policy": "call"}

    def legs(self, call):
        a = self.client(self.alice, *time_limited(f"{call}/a"))
        b = self.client(self.bob, *time_limited(f"{call}/b"))
        a.bind(CHANNEL_A, b.relayed[4])
        b.bind(CHANNEL_B, a.relayed[4])
        return a, b

    def talk(self, a, b, packets):
        for i in range(packets):
            a.send_channel(CHANNEL_A, b"%d" % i)
            self.assertEqual(b.receive(), ChannelData(CHANNEL_B, b"%d" % i))

    def test_status(self):
        before = self.admin.call("GetStatus")
        self.legs("status")
        self.admin.control("ArmCall", call="status")
        status = self.admin.call("GetStatus")
        self.assertEqual(status.state, admin_pb.Status.STATE_SERVING)
        self.assertEqual((status.realm, status.policy), ("example.org", "call"))
        self.assertEqual(status.version, self.admin.control("GetRelay").version)
        self.assertEqual([endpoint(a) for a in status.listen],
                         [("192.0.2.10", 3478), ("2001:db8::10", 3478)])
        self.assertEqual([str(ipaddress.ip_address(ip)) for ip in status.relay_addresses],
                         ["192.0.2.10", "2001:db8::10"])
        self.assertEqual(status.allocations, before.allocations + 2)
        self.assertEqual(status.max_allocations, 10000)
        self.assertEqual(status.calls, before.calls + 1)
        self.assertEqual(status.armed_calls, before.armed_calls + 1)
        self.assertEqual(status.relayed_ports_in_use, before.relayed_ports_in_use + 2)
        self.assertEqual((status.workers, status.ports), (WORKERS, 1))
        self.assertEqual((status.users, status.secrets), (0, 1))
        self.admin.control("DisarmCall", call="status")
        self.assertEqual(self.admin.call("GetStatus").armed_calls, before.armed_calls)
        self.admin.control("EndCall", call="status")
        self.assertEqual(self.admin.call("GetStatus").calls, before.calls)

    def test_counters_grow_by_what_is_sent(self):
        a, b = self.legs("counted")
        self.admin.control("ArmCall", call="counted")
        self.talk(a, b, 1)
        before, named_before = self.counters()
        self.talk(a, b, 50)
        for _ in range(7):
            a.send_channel(0x4abc, b"on a channel that nobody bound")
        with self.assertRaises(TurnError) as forbidden:
            a.bind(0x4003, ("198.51.100.99", 9))
        self.assertEqual(forbidden.exception.code, 403)

        def seen():
            return self.counters()[1]["drops"]["channel_unbound"] == \
                named_before["drops"]["channel_unbound"] + 7

        wait_for("the drops", 5, seen)
        after, named = self.counters()
        self.assertEqual(named["paths"]["fused"] - named_before["paths"]["fused"], 50)
        self.assertEqual(named["error_responses"]["403"],
                         named_before["error_responses"].get("403", 0) + 1)
        self.assertEqual(named["refusals"]["not_other_leg"] + named["refusals"]["peer"],
                         named_before["refusals"]["not_other_leg"] +
                         named_before["refusals"]["peer"] + 1)
        self.assertGreaterEqual(named["turn"]["authenticated"],
                                named_before["turn"]["authenticated"] + 1)
        self.assertGreaterEqual(after.rx_packets - before.rx_packets, 58)
        self.assertGreaterEqual(after.tx_packets - before.tx_packets, 51)
        self.assertGreaterEqual(after.rx_bytes - before.rx_bytes, 58 * 46)
        self.assertGreater(after.tx_bytes, before.tx_bytes)
        self.assertGreater(after.monotonic_ns, before.monotonic_ns)
        self.assertEqual(after.calls, before.calls)
        self.assertTrue(all(d.sentence for d in after.drops))
        bounds = [bucket.upper_ns for bucket in after.latency]
        self.assertEqual(bounds, sorted(set(bounds)))
        self.assertEqual(bounds[-1], 2**64 - 1)
        # Each packet that a port brought is in one bucket; the last burst may be under way.
        self.assertAlmostEqual(sum(b.packets for b in after.latency), after.rx_packets, delta=32)

    def test_allocations_by_every_filter(self):
        a, b = self.legs("listed")
        self.admin.control("ArmCall", call="listed")
        other = self.client(self.alice, *time_limited("other/a"))
        self.talk(a, b, 1)
        everything = self.allocations(details=True)
        self.assertEqual([one.id for one in everything], sorted(one.id for one in everything))
        mine = {one.user: one for one in everything}
        leg = mine["listed/a"]
        self.assertEqual(endpoint(leg.client), a.mapped)
        self.assertEqual(endpoint(leg.server), ("192.0.2.10", 3478))
        self.assertEqual([endpoint(r) for r in leg.relayed], [a.relayed[4]])
        self.assertLess(leg.age_s, 30)
        self.assertTrue(570 <= leg.expires_in_s <= 600, leg.expires_in_s)
        self.assertEqual((leg.permissions, leg.channels), (1, 1))
        self.assertEqual([str(ipaddress.ip_address(p.ip)) for p in leg.permission],
                         [b.relayed[4][0]])
        [channel] = leg.channel
        self.assertEqual((channel.number, endpoint(channel.peer)), (CHANNEL_A, b.relayed[4]))
        self.assertTrue(channel.fused)
        self.assertTrue(570 <= channel.expires_in_s <= 600)

        def users(**fields):
            return {one.user for one in self.allocations(**fields)}

        self.assertEqual(users(id=leg.id), {"listed/a"})
        self.assertEqual(users(user="listed/b"), {"listed/b"})
        self.assertEqual(users(client=self.alice.ip[4]), {"listed/a", "other/a"})
        self.assertEqual(users(client=f"{a.mapped[0]}:{a.mapped[1]}"), {"listed/a"})
        self.assertEqual(users(client="198.51.100.16/28"), {"listed/b"})
        self.assertEqual(users(client="2001:db8::/32"), set())
        self.assertEqual(users(relayed=f"192.0.2.10:{b.relayed[4][1]}"), {"listed/b"})
        self.assertEqual(users(peer=f"192.0.2.10:{b.relayed[4][1]}"), {"listed/a"})
        self.assertEqual(users(peer="192.0.2.10"), {"listed/a", "listed/b"})
        self.assertEqual(users(peer="198.51.100.0/24"), set())
        self.assertEqual(users(min_age_s=3600), set())
        self.assertEqual(users(user="listed/a", max_age_s=3600), {"listed/a"})
        self.assertEqual(len(self.allocations(limit=1)), 1)
        self.assertEqual(users(user="listed/a", client=self.bob.ip[4]), set())
        [plain] = self.allocations(user="listed/a")
        self.assertEqual((len(plain.permission), len(plain.channel)), (0, 0))
        self.admin.control("DisarmCall", call="listed")
        [disarmed] = self.allocations(user="listed/a", details=True)
        self.assertFalse(disarmed.channel[0].fused)
        other.refresh(0)
        self.assertEqual(users(user="other/a"), set())

    def test_filters_that_cannot_match_are_refused_with_what_would_be_right(self):
        bad = grpc.StatusCode.INVALID_ARGUMENT
        for field in ("client", "relayed", "peer"):
            details = self.refused(bad, "ListAllocations", **{field: "192.0.2.1/8"})
            self.assertIn(f'{field}: "192.0.2.1/8"', details)
            self.assertIn("192.0.2.0/24", details)
        self.assertIn("swap them", self.refused(bad, "ListAllocations", min_age_s=9, max_age_s=3))
        self.assertIn("write 1 to 64", self.refused(bad, "ListCalls", call="no/call"))

    def test_an_allocation_that_is_ended_is_gone_and_its_id_names_no_other(self):
        doomed = self.client(self.alice, *time_limited("doomed/a"))
        [seen] = self.allocations(user="doomed/a")
        self.admin.call("EndAllocation", id=seen.id)
        self.assertEqual(self.allocations(user="doomed/a"), [])
        with self.assertRaises(TurnError) as gone:
            doomed.refresh(600)
        self.assertEqual(gone.exception.code, 437)
        self.client(self.alice, *time_limited("doomed/a"))  # gets the place of the first
        [next_one] = self.allocations(user="doomed/a")
        self.assertNotEqual(next_one.id, seen.id)
        self.assertIn(str(seen.id),
                      self.refused(grpc.StatusCode.NOT_FOUND, "EndAllocation", id=seen.id))
        self.assertEqual(len(self.allocations(user="doomed/a")), 1)
        self.refused(grpc.StatusCode.NOT_FOUND, "EndAllocation", id=0)
        self.refused(grpc.StatusCode.NOT_FOUND, "EndAllocation", id=2**64 - 1)

    def test_calls(self):
        a, b = self.legs("talking")
        self.legs("waiting")
        self.admin.control("ArmCall", call="talking")

        def names(**fields):
            return {call.call: call for call in self.admin.call("ListCalls", **fields)}

        everything = names()
        self.assertLessEqual({"talking", "waiting"}, set(everything))
        legs = {leg.side: [endpoint(r) for r in leg.relayed] for leg in everything["talking"].legs}
        self.assertEqual(legs, {1: [a.relayed[4]], 2: [b.relayed[4]]})
        self.assertTrue(everything["talking"].armed)
        self.assertFalse(everything["waiting"].armed)
        armed = names(armed_only=True)
        self.assertIn("talking", armed)
        self.assertNotIn("waiting", armed)
        self.assertEqual(set(names(call="waiting")), {"waiting"})
        self.assertEqual(names(call="waiting", armed_only=True), {})
        self.assertEqual(names(call="unknown"), {})
        self.assertEqual(len(names(limit=1)), 1)

    def test_workers_ports_and_neighbors(self):
        workers = self.admin.call("ListWorkers").workers
        self.assertEqual([w.index for w in workers], list(range(WORKERS)))
        busy = sum(w.busy_cycles for w in workers)
        a, b = self.legs("looked-at")
        self.admin.control("ArmCall", call="looked-at")
        self.talk(a, b, 200)
        after = self.admin.call("ListWorkers").workers
        self.assertGreater(sum(w.busy_cycles for w in after), busy)
        for worker in after:
            self.assertGreater(worker.tsc_hz, 10**8)
            self.assertGreater(worker.idle_cycles, worker.busy_cycles)
            self.assertGreater(worker.polls, worker.empty_polls)
            self.assertGreater(worker.requests_capacity, worker.requests_waiting)
        time.sleep(0.5)
        cycles = [(w.busy_cycles + w.idle_cycles) for w in after]
        later = self.admin.call("ListWorkers").workers
        for worker, before in zip(later, cycles):
            # All of a worker's time is counted as one or the other.
            seconds = (worker.busy_cycles + worker.idle_cycles - before) / worker.tsc_hz
            self.assertTrue(0.4 < seconds < 5, seconds)

        answer = self.admin.call("ListPorts")
        [port] = answer.ports
        self.assertEqual((port.name, port.link_up), ("net_af_packet0", True))
        self.assertEqual(port.mac, self.relay.host.mac())
        self.assertGreaterEqual(port.rx_packets, 200)
        self.assertGreaterEqual(port.tx_packets, 200)
        self.assertGreater(port.rx_bytes, port.rx_packets * 42)
        [interface] = port.interfaces
        self.assertEqual(list(interface.addresses), ["192.0.2.10/24", "2001:db8::10/64"])
        self.assertEqual(list(interface.gateways), ["192.0.2.1", "2001:db8::1"])
        self.assertEqual(interface.mtu, 1500)
        extended = {x.name: x.count for x in port.extended}
        self.assertGreaterEqual(extended["rx_good_packets"], port.rx_packets)
        self.assertTrue(0 <= answer.mbufs_in_use < answer.mbufs)

        neighbors = {n.ip: n for n in self.admin.call("ListNeighbors").neighbors}
        gateway = neighbors["192.0.2.1"]
        self.assertEqual((gateway.mac, gateway.gateway), ("02:00:c0:00:02:01", True))
        self.assertIn(gateway.state, ("reachable", "probe"))
        self.assertEqual((gateway.port, gateway.vlan), ("net_af_packet0", 0))
        self.assertGreaterEqual(gateway.references, 3)  # itself and both legs
        self.assertIn("2001:db8::1", neighbors)


if __name__ == "__main__":
    main()
