# SPDX-License-Identifier: Apache-2.0
"""Drain while calls run: nothing new, nothing lost, and the relay ends when the calls have."""

import pathlib
import signal
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "tools"))

from admin import Admin, admin_pb, grpc
from lab.daemons import NotifySocket
from lab.environment import SANITIZED
from lab.loadgen import Calls, check_clean
from lab.processes import wait_for
from lab.test_case import LabTest, main
from lab.turn import ChannelData, Client, TurnError, time_limited

CALLS = 100
PPS = 1_000 if SANITIZED else 4_000
State = admin_pb.Status


class DrainTest(LabTest):
    def setUp(self):
        super().setUp()
        self.admin = Admin(f"unix:{self.lab.path}/relay.sock")
        self.addCleanup(self.admin.close)

    def client(self, host=None, *credentials):
        return Client((host or self.alice).udp(4), self.relay.endpoint[4], *credentials)

    def refusal(self, *credentials):
        with self.assertRaises(TurnError) as refused:
            self.client(self.alice, *credentials).allocate(4)
        return refused.exception.code

    def counted(self):
        return {r.name: r.count for r in self.admin.call("GetCounters").refusals}["draining"]

    def call(self):
        """Two legs that have bound each other."""
        a, b = self.client(self.alice), self.client(self.bob)
        a.allocate(4)
        b.allocate(4)
        a.bind(0x4001, b.relayed[4])
        b.bind(0x4002, a.relayed[4])
        return a, b

    def assert_flows(self, a, b):
        a.send_channel(0x4001, b"to b")
        self.assertEqual(b.receive(), ChannelData(0x4002, b"to b"))
        b.send_channel(0x4002, b"to a")
        self.assertEqual(a.receive(), ChannelData(0x4001, b"to a"))


class Drain(DrainTest):
    relay_options = {"turn": 'alternates = ["[2001:db8::99]:3478"]'}

    def setUp(self):
        super().setUp()
        self.addCleanup(lambda: self.admin.call("Undrain"))

    def test_running_calls_lose_nothing_and_nothing_new_begins(self):
        self.assertEqual(self.admin.call("GetStatus").state, State.STATE_SERVING)
        calls = Calls(self.relay, self.alice, self.bob, CALLS, PPS, 5)
        wait_for("the calls' allocations", 30,
                 lambda: self.admin.call("GetStatus").allocations == 2 * CALLS)
        before = self.counted()
        status = self.admin.call("Drain")
        self.assertEqual((status.state, status.allocations, status.drain_deadline_s),
                         (State.STATE_DRAINING, 2 * CALLS, 0))
        refused = 0
        while calls.running():
            self.assertEqual(self.refusal(), 508)
            refused += 1
            time.sleep(0.05)
        check_clean(self, calls.report(), CALLS)
        self.assertGreater(refused, 10)
        wait_for("the relay being drained", 10,
                 lambda: self.admin.call("GetStatus").state == State.STATE_DRAINED)
        self.assertEqual(self.counted() - before, refused)
        self.assertEqual(self.admin.call("Undrain").state, State.STATE_SERVING)
        client = self.client()
        client.allocate(4)
        client.refresh(0)

    def test_clients_are_sent_to_an_alternate_of_their_family(self):
        self.admin.call("Drain")
        self.assertEqual(self.refusal(), 508)
        with self.assertRaises(TurnError) as refused:
            Client(self.alice.udp(6), self.relay.endpoint[6]).allocate(6)
        self.assertEqual(refused.exception.code, 300)

    def test_what_is_left_ends_at_the_deadline(self):
        a, b = self.call()
        begin = time.monotonic()
        status = self.admin.call("Drain", deadline_s=2)
        self.assertIn(status.drain_deadline_s, (1, 2))
        self.assert_flows(a, b)
        wait_for("the end of what is left", 10,
                 lambda: self.admin.call("GetStatus").state == State.STATE_DRAINED)
        self.assertGreater(time.monotonic() - begin, 1.9)
        with self.assertRaises(TurnError) as gone:
            a.refresh(600)
        self.assertEqual(gone.exception.code, 437)


class DrainOfCalls(DrainTest):
    relay_options = {"policy": "call"}

    def test_whole_calls_go_on_and_others_do_not_begin(self):
        a = self.client(self.alice, *time_limited("running/a"))
        a.allocate(4)
        self.admin.call("Drain")
        self.addCleanup(lambda: self.admin.call("Undrain"))
        self.assertTrue(self.admin.control("GetRelay").draining)
        b = self.client(self.bob, *time_limited("running/b"))
        b.allocate(4)
        a.bind(0x4001, b.relayed[4])
        b.bind(0x4002, a.relayed[4])
        self.assertTrue(self.admin.control("ArmCall", call="running").call.armed)
        self.assert_flows(a, b)
        self.assertEqual(self.refusal(*time_limited("other/a")), 508)
        with self.assertRaises(grpc.RpcError) as refused:
            self.admin.control("ArmCall", call="other")
        self.assertEqual(refused.exception.code(), grpc.StatusCode.FAILED_PRECONDITION)
        self.assertIn("place the call on another", refused.exception.details())
        self.admin.control("EndCall", call="running")
        self.assertEqual(self.admin.call("GetStatus").state, State.STATE_DRAINED)


class Sigterm(DrainTest):
    """[process] drain_s."""

    relay_options = {"process": "drain_s = 60"}

    def setUp(self):
        super().setUp()
        self.config = self.lab.path / "relay.toml"
        self.text = self.config.read_text()

    def tearDown(self):
        self.config.write_text(self.text)
        if self.relay.process.returncode is None:
            self.relay.process.stop()
        self.relay.restart()  # what is built on expects a running one
        super().tearDown()

    def terminate(self):
        self.relay.process.signal(signal.SIGTERM)
        wait_for("the drain", 5, lambda: self.admin.call("GetStatus").state == State.STATE_DRAINING)

    def test_it_ends_when_the_last_call_has(self):
        a, b = self.call()
        self.terminate()
        self.assertEqual(self.refusal(), 508)
        for _ in range(20):
            self.assert_flows(a, b)
            a.refresh(600)
            time.sleep(0.1)
        with self.assertRaises(grpc.RpcError) as refused:  # an end is an end
            self.admin.call("Undrain")
        self.assertEqual(refused.exception.code(), grpc.StatusCode.FAILED_PRECONDITION)
        time.sleep(1.2)
        self.assertEqual(self.refusal(), 508)
        a.refresh(0)
        b.refresh(0)
        self.assertEqual(self.relay.process.wait(5), 0, self.relay.process.tail())
        self.assertIn("The relay drains before it stops.", self.relay.process.output())

    def test_the_service_manager_is_told_to_wait(self):
        manager = NotifySocket(self.lab.path / "relay.notify")
        self.addCleanup(manager.close)
        self.call()
        self.terminate()
        for _ in range(3):
            told = dict(line.split("=", 1) for line in manager.receive(5).splitlines())
            self.assertEqual(told["STOPPING"], "1")
            self.assertRegex(told["STATUS"], r"^draining: 2 allocations left, at most \d+ s$")
            self.assertGreater(int(told["EXTEND_TIMEOUT_USEC"]), 3_000_000)

    def test_a_second_sigterm_ends_it_at_once(self):
        self.call()
        self.terminate()
        begin = time.monotonic()
        self.relay.process.signal(signal.SIGTERM)
        self.assertEqual(self.relay.process.wait(20 if SANITIZED else 5), 0)
        self.assertLess(time.monotonic() - begin, 20 if SANITIZED else 4)

    def test_nothing_to_wait_for(self):
        begin = time.monotonic()
        self.relay.process.signal(signal.SIGTERM)
        self.assertEqual(self.relay.process.wait(20), 0)
        self.assertLess(time.monotonic() - begin, 20 if SANITIZED else 4)

    def test_it_ends_at_the_deadline_which_a_reload_may_change(self):
        self.config.write_text(self.text.replace("drain_s = 60", "drain_s = 2"))
        self.assertEqual(list(self.admin.daemon("Reload").reloadable), ["[process] drain_s"])
        a, b = self.call()
        begin = time.monotonic()
        self.terminate()
        self.assert_flows(a, b)
        self.assertEqual(self.relay.process.wait(20), 0)
        self.assertGreater(time.monotonic() - begin, 1.9)


if __name__ == "__main__":
    main()
