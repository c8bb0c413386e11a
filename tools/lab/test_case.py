# SPDX-License-Identifier: Apache-2.0
"""LabTest, the base of tests in a lab: each class of tests has one lab, with a relay and hosts."""

import os
import sys
import unittest

from . import relays
from .network import Lab
from .relays import start_relay

SKIPPED = 77  # ctest's SKIP_RETURN_CODE


class LabTest(unittest.TestCase):
    """self.lab, self.relay, self.alice and self.bob (remote hosts) for all tests of the class."""

    relay_options = {}

    @classmethod
    def setUpClass(cls):
        cls.lab = cls.enterClassContext(Lab())
        cls.alice = cls.lab.remote_host("alice")
        cls.bob = cls.lab.remote_host("bob")
        cls.add_hosts()
        cls.relay = start_relay(cls.lab, **cls.relay_options)

    @classmethod
    def add_hosts(cls):
        """For classes that need more than alice and bob."""

    @classmethod
    def tearDownClass(cls):
        # A sanitizer reports leaks as the process ends.
        if not relays.IS_COTURN:
            cls.relay.stop_in_order()

    def setUp(self):
        self.relay.check_alive()

    def tearDown(self):
        outcome = self._outcome.result
        if any(test is self for test, _ in outcome.failures + outcome.errors):
            print(self.relay.process.tail(), file=sys.stderr)
        self.relay.check_alive()


def main():
    if os.geteuid() != 0:
        print("network namespaces need root: skipped", file=sys.stderr)
        sys.exit(SKIPPED)
    unittest.main(verbosity=2)
