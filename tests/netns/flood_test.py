# SPDX-License-Identifier: Apache-2.0
"""Random and mutated packets at the listening and relayed ports while calls run: the relay lives,
does not grow, and the calls lose nothing.

SOTTO_FLOOD_PACKETS (300000) and SOTTO_FLOOD_PPS (30000) set how many; SOTTO_FLOOD_SEED repeats one.
"""

import os
import pathlib
import secrets
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "tools"))

from lab.environment import BIN, SANITIZED
from lab.loadgen import Calls, check_clean
from lab.packets import ping
from lab.test_case import LabTest, main
from lab.turn import ChannelData, Client

PACKETS = int(os.environ.get("SOTTO_FLOOD_PACKETS", "60000" if SANITIZED else "300000"))
PPS = int(os.environ.get("SOTTO_FLOOD_PPS", "6000" if SANITIZED else "30000"))
SEED = int(os.environ.get("SOTTO_FLOOD_SEED", secrets.randbelow(1 << 32)))
CALLS, CALL_PPS = 10, 1000
MAX_GROWTH_KIB = 4096


class Flood(LabTest):
    @classmethod
    def add_hosts(cls):
        cls.mallory = cls.lab.lan_host("mallory", 66)

    def _flood(self, packets, seed, relayed):
        """sotto-flood, started. It spares the neighbours of the relay: whoever shares a network
        with hosts that resolve by ARP can always take their place, and that isn't what is tested.
        """
        self.assertIsNotNone(ping(self.mallory, self.relay.ip[4]))
        arguments = ["--interface", "eth0", "--mac", self.mallory.neighbor(self.relay.ip[4]),
                     "--target", self.relay.ip[4], "--target", self.relay.ip[6],
                     "--listen-port", 3478, "--packets", packets, "--pps", PPS, "--seed", seed]
        for ip, port in relayed:
            arguments += ["--relayed-port", port]
        for host in (self.alice, self.bob, self.lab.router):
            for ip in host.ip.values():
                arguments += ["--spare", ip]
        return self.mallory.start(BIN / "sotto-flood", *arguments)

    def test_calls_lose_nothing_and_the_relay_does_not_grow(self):
        print(f"seed {SEED}")
        a, b = (Client(h.udp(4), self.relay.endpoint[4]) for h in (self.alice, self.bob))
        a.allocate(4, 6)
        b.allocate(4, 6)
        a.bind(0x4001, b.relayed[4])
        b.bind(0x4002, a.relayed[4])
        relayed = [*a.relayed.values(), *b.relayed.values()]

        # What a first flood fills (caches, budgets, neighbours) is not growth.
        self.assertEqual(self._flood(PACKETS // 10, SEED + 1, relayed).wait(600), 0)
        before = self.relay.process.memory_kib()

        began = time.monotonic()
        seconds = PACKETS / PPS + 2
        calls = Calls(self.relay, self.alice, self.bob, CALLS, CALL_PPS, seconds)
        flood = self._flood(PACKETS, SEED, relayed)
        self.assertEqual(flood.wait(10 * seconds + 60), 0, flood.output())
        self.assertIn(f"sent {PACKETS} packets", flood.output())
        print(f"{flood.output().strip()} in {time.monotonic() - began:.1f} s")
        check_clean(self, calls.report(), CALLS)

        self.relay.check_alive()
        growth = self.relay.process.memory_kib() - before
        print(f"memory: {before} KiB before, {growth} KiB more after")
        if not SANITIZED:  # a sanitizer keeps what was freed
            self.assertLess(growth, MAX_GROWTH_KIB)
        a.send_channel(0x4001, b"still here")
        while (received := b.receive()) is not None and received != ChannelData(0x4002,
                                                                                b"still here"):
            self.assertNotIsInstance(received, ChannelData, "a flooded packet went into the call")
        self.assertIsNotNone(received)


if __name__ == "__main__":
    main()
