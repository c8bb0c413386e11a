# SPDX-License-Identifier: Apache-2.0
"""coturn's own client and peer, which know nothing of Sotto, lose nothing through it."""

import pathlib
import re
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "tools"))

from lab.environment import BIN
from lab.relays import PASSWORD, USER
from lab.test_case import LabTest, main

# Name: arguments of turnutils_uclient; {4} and {6} are the peer's addresses.
MODES = {
    "channels": "-e {4}",
    "channels_without_rtcp": "-c -e {4}",
    "padded_channel_data": "-D -e {4}",
    "send_indications": "-s -e {4}",
    "ipv6_channels": "-x -e {6}",
    "ipv6_send_indications": "-x -s -e {6}",
    "ipv4_asked_for_by_name": "-X -e {4}",
    "dual_allocation_ipv4_peer": "-Z -e {4}",
    "dual_allocation_ipv6_peer": "-Z -e {6}",
    "dont_fragment": "-g -c -s -e {4}",
    "extra_requests": "-G -e {4}",
    "client_to_client": "-y",
    "client_to_client_send": "-y -s",
    "client_to_client_ipv6": "-y -x",
    "client_to_client_without_rtcp": "-y -c",
}
CLIENTS, MESSAGES = 4, 100


class Uclient(LabTest):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.bob.start("turnutils_peer", "-L", cls.bob.ip[4], "-L", cls.bob.ip[6])

    def test_clients_over_ipv4_lose_nothing(self):
        self._run_modes(4)

    def test_clients_over_ipv6_lose_nothing(self):
        self._run_modes(6)

    def _run_modes(self, family):
        """All modes at once: they are independent clients, and each takes seconds."""
        running = {}
        for mode, arguments in MODES.items():
            running[mode] = subprocess.Popen(
                ["ip", "netns", "exec", self.alice.netns, "timeout", "60",
                 "env", f"LD_PRELOAD={BIN}/lucky_channels.so", "turnutils_uclient",
                 "-u", USER, "-w", PASSWORD, "-n", str(MESSAGES), "-m", str(CLIENTS), "-z", "20",
                 "-l", "170", *arguments.format(None, None, None, None, self.bob.ip[4], None,
                                                self.bob.ip[6]).split(),
                 self.relay.ip[family]],
                stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        for mode, process in running.items():
            with self.subTest(mode=mode):
                output = process.communicate()[0]
                self.assertEqual(process.returncode, 0, output[-2000:])
                sent, received = re.findall(r"tot_send_msgs=(\d+), tot_recv_msgs=(\d+)", output)[-1]
                self.assertEqual(int(sent), CLIENTS * MESSAGES, output[-2000:])
                self.assertEqual(received, sent, output[-2000:])
                self.assertIn("Total lost packets 0 ", output)


if __name__ == "__main__":
    main()
