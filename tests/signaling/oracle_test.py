# SPDX-License-Identifier: Apache-2.0
"""What a caller sees of six kinds of recipients: one whose phone rings in vain, one who silences
it, one who blocks it, one who is offline, one whom the operator blocks, one who doesn't exist.
Through the real daemon, over TLS, in random order: the transcripts must be equal byte for byte,
apart from random values of fixed size, and the times indistinguishable for a Kolmogorov-Smirnov
test; the same while others keep the server busy.

SOTTO_ORACLE_CALLS sets the number of calls of each class; 5000 tell twice as fine a difference.
"""

import collections
import itertools
import os
import pathlib
import random
import subprocess
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "tools"))

from kolmogorov_smirnov import distance, p_value
from lab import loopback
from lab.device import Device
from lab.environment import BIN

CALLS = int(os.environ.get("SOTTO_ORACLE_CALLS", "2500"))
RING_S = 1
LIMITS = f"""
[calls]
ring_s = {RING_S}
credential_s = 600
max_placed_per_account = 1000
max_places_per_minute = 1000000
max_ringing_per_account = 1000
pair_calls = 1000000
standing_silenced = 1000000
[limits]
max_connections_per_prefix = 1000
frames_per_s = 10000
frame_burst = 10000
"""
CLASSES = ("ringing", "silenced", "blocked", "offline", "barred", "unknown")
RECIPIENTS = 24  # of each class: the probe's kRecipients
TIMES = ("place to placed", "ping to pong", "eight more pings", "get keys to keys", "the end")
# Over all comparisons of a run together (Bonferroni): 0.01 that a server that leaks nothing fails.
LEVEL = 0.01
# What waits behind the decision in the store can be told apart with thousands of calls, as
# docs/privacy.md says. This keeps it from growing: the largest distance of two distributions.
BOUNDED = {"get keys to keys": 0.1}


class KolmogorovSmirnovTest(unittest.TestCase):
    """That the judge can tell what it should, and no more."""

    def samples(self, shift, count=5000):
        return [random.lognormvariate(0, 0.5) + shift for _ in range(count)]

    def test_known_values(self):
        self.assertAlmostEqual(distance([1, 2, 3, 4], [3, 4, 5, 6]), 0.5)
        self.assertEqual(distance([1, 1, 2], [1, 1, 2]), 0)
        # Kolmogorov's distribution: 1.3581 is its upper 5 % point, 1.6276 its upper 1 % point.
        many = 100000
        for point, p in ((1.3581, 0.05), (1.6276, 0.01)):
            shift = round(point / (many / 2) ** 0.5 * many)
            first = list(range(many))
            second = [value + shift for value in first]
            self.assertAlmostEqual(p_value(first, second), p, delta=0.002)

    def test_equal_distributions_pass_and_shifted_ones_do_not(self):
        alike = [p_value(self.samples(0), self.samples(0)) for _ in range(20)]
        self.assertGreater(sorted(alike)[10], 0.05)
        self.assertLess(p_value(self.samples(0), self.samples(0.1)), 1e-6)


class OracleTest(unittest.TestCase):
    def run_probe(self, *options):
        folder = loopback.Folder()
        self.addCleanup(folder.cleanup)
        admin = f'[admin]\nsocket = "{folder.path}/admin.sock"\n'
        daemon = loopback.Server(folder.write(folder.config() + LIMITS + admin), folder
        )
        self.addCleanup(daemon.cleanup)
        self.bar(daemon, f"unix:{folder.path}/admin.sock")
        result = subprocess.run(
            [BIN / "sotto-oracle-probe", "--port", str(daemon.port),
             "--identity-key", folder.path / "operator.pem",
             "--calls", str(CALLS * len(CLASSES)), "--ring-s", str(RING_S), *options],
            capture_output=True, text=True, timeout=900,
        )
        self.assertEqual(result.returncode, 0, result.stderr + daemon.output()[-3000:])
        times = collections.defaultdict(list)
        transcripts = collections.defaultdict(set)
        for line in result.stdout.splitlines():
            words = line.split()
            if words[0] == "transcript":
                transcripts[words[1]].add(words[2])
            else:
                times[words[0]].append([int(word) for word in words[1:]])
        return times, transcripts

    def bar(self, daemon, admin):
        """The recipients whom the operator blocks, each with a device and settings of its own."""
        for i in range(RECIPIENTS):
            name = f"callee-{i * len(CLASSES) + CLASSES.index('barred'):04}"  # as the probe has it
            device = Device(daemon, name)
            device.put_settings(silence=bool(i % 2))
            subprocess.run([BIN / "sottoctl", "--signaling", "--target", admin, "accounts", "block",
                            name],
                           check=True, capture_output=True, timeout=60)
            self.assertEqual(device.websocket.receive_close(), 4403)
            device.close()

    def judge(self, name, times, transcripts):
        self.assertEqual({of_class: len(rows) for of_class, rows in times.items()},
                         {of_class: CALLS for of_class in CLASSES})
        self.assertEqual(len(set().union(*transcripts.values())), 1, transcripts)
        self.assertEqual(set(transcripts), set(CLASSES))
        pairs = list(itertools.combinations(CLASSES, 2))
        bound = LEVEL / (len(pairs) * (len(TIMES) - len(BOUNDED)))
        leaks = []
        for i, what in enumerate(TIMES):
            columns = {of_class: [row[i] for row in times[of_class]] for of_class in CLASSES}
            medians = ", ".join(
                f"{of_class} {sorted(column)[len(column) // 2] / 1000:.0f}"
                for of_class, column in columns.items()
            )
            p, far, pair = min(
                (p_value(columns[a], columns[b]), distance(columns[a], columns[b]), (a, b))
                for a, b in pairs
            )
            print(f"{name}: {what}: least p {p:.3g}, distance {far:.3f} ({' and '.join(pair)}); "
                  f"medians in us: {medians}", file=sys.stderr)
            if far > BOUNDED[what] if what in BOUNDED else p < bound:
                leaks.append((what,
                              f"tells {pair[0]} from {pair[1]}: p = {p:.3g}, bound {bound:.3g}; "
                                    f"distance {far:.3f}"))
        return leaks

    def judge_run(self, name, *options):
        """Of what one run suspects, a leak shows in the next two; chance, and a machine's bad
        moment, don't."""
        leaks = self.judge(name, *self.run_probe(*options))
        for attempt in ("again", "a third time"):
            if not leaks:
                return
            suspected = {what for what, _ in leaks}
            now = self.judge(f"{name}, {attempt}", *self.run_probe(*options))
            leaks = [leak for leak in now if leak[0] in suspected]
        self.assertEqual(leaks, [])

    def test_a_caller_cannot_tell(self):
        self.judge_run("idle")

    def test_a_caller_cannot_tell_while_the_server_is_busy(self):
        self.judge_run("busy", "--load")


if __name__ == "__main__":
    unittest.main(verbosity=2)
