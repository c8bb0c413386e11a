# SPDX-License-Identifier: Apache-2.0
"""No row and no line pairs a caller with a recipient: after a thousand calls of all kinds among
many accounts, with the log at its most talkative, each row of the store and each line of the log is
searched for accounts, by name and by every digest that can be made of names without the server's
key."""

import base64
import collections
import hashlib
import itertools
import os
import pathlib
import random
import shutil
import sqlite3
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "tools"))

from lab import loopback
from lab.device import (ACCEPT_CALL, DECLINE_CALL, GET_KEYS, HANG_UP, INCOMING_CALL, PUT_BLOCK,
                        PUT_EPOCH_KEY, SEND_TO_PEER, Device, EpochKey)
from lab.protobuf import one

LIMITS = """
[calls]
ring_s = 2
notice_interval_s = 1
max_placed_per_account = 1000
max_places_per_minute = 1000000
[limits]
frames_per_s = 10000
frame_burst = 10000
[log]
level = "debug"
"""
CALLS = 1000
ACCOUNTS = 40


def digests(text):
    """What anybody could make of it."""
    for name in ("md5", "sha1", "sha256", "sha384", "sha512"):
        yield hashlib.new(name, text).digest()
    for size in (16, 20, 32, 64):
        yield hashlib.blake2b(text, digest_size=size).digest()


def written(digest):
    """As a digest, or the first 12 bytes of it, is written down."""
    yield digest[:12]
    yield digest.hex()[:24].encode()
    yield digest.hex()[:24].upper().encode()
    yield base64.b64encode(digest)[:16]
    yield base64.urlsafe_b64encode(digest)[:16]


class Scanner:
    """Finds accounts, and pairs of them, in bytes."""

    def __init__(self, names):
        # The first three bytes of a form lead to it, so that a scan looks at each place once.
        self.forms = collections.defaultdict(list)
        for name in names:
            raw = name.encode()
            self._add(raw, name)
            for text in (raw, bytes([len(raw)]) + raw):
                for digest in digests(text):
                    for form in written(digest):
                        self._add(form, name)
        for first, second in itertools.permutations(names, 2):
            a, b = first.encode(), second.encode()
            for text in (a + b, a + b"\0" + b, a + b":" + b, a + b"|" + b, a + b"/" + b,
                         bytes([len(a)]) + a + bytes([len(b)]) + b):
                for name in ("sha256", "sha1"):
                    self._add(hashlib.new(name, text).digest()[:12], (first, second))
                for size in (16, 32):
                    self._add(hashlib.blake2b(text, digest_size=size).digest()[:12],
                              (first, second))

    def _add(self, form, whose):
        self.forms[form[:3]].append((form, whose))

    def accounts(self, content):
        """The accounts that stand here, in whatever form."""
        found = set()
        for at in range(len(content) - 2):
            for form, whose in self.forms.get(content[at : at + 3], ()):
                if content.startswith(form, at):
                    found.update([whose] if isinstance(whose, str) else whose)
        return found


def row_bytes(row):
    return b"\x00".join(
        value if isinstance(value, bytes) else str(value).encode() for value in row)


class ScannerTest(unittest.TestCase):
    def test_it_finds_what_it_should(self):
        names = ["anna-1a2b3c4d", "bert-5e6f7a8b", "cleo-9c0d1e2f"]
        scanner = Scanner(names)
        a, b, _ = names
        sha = hashlib.sha256
        for pair in (f"{a} calls {b}".encode(), a.encode() + sha(b.encode()).digest(),
                     sha((a + b).encode()).digest(), f"{a} {sha(b.encode()).hexdigest()}".encode(),
                     hashlib.blake2b((b + "|" + a).encode(), digest_size=32).digest()):
            self.assertEqual(scanner.accounts(b"..." + pair + b"..."), {a, b})
        self.assertEqual(scanner.accounts(f"session of {a} opened".encode()), {a})
        self.assertEqual(scanner.accounts(os.urandom(100000)), set())


class PrivacyTest(unittest.TestCase):
    def test_no_row_and_no_line_names_both(self):
        folder = loopback.Folder()
        self.addCleanup(folder.cleanup)
        config = folder.write(folder.config() + LIMITS)
        daemon = loopback.Server(config, folder)
        self.addCleanup(daemon.cleanup)

        names = [f"account-{os.urandom(4).hex()}" for _ in range(ACCOUNTS)]
        devices = {name: Device(daemon, name) for name in names}
        keys = {name: EpochKey(name, uses=1000) for name in names}
        for i, name in enumerate(names):
            devices[name].put_settings(silence=i % 2 == 0, protect=i % 3 == 0)
            devices[name].done(PUT_EPOCH_KEY, keys[name].put())
            for other in random.sample(names, 5):
                devices[name].done(PUT_BLOCK, {1: other, 2: 1})
        offline = set(names[-4:])
        for name in offline:
            devices[name].close()
        online = [name for name in names if name not in offline]

        rang = connected = 0
        for i in range(CALLS):
            caller, recipient = random.choice(online), random.choice(names)
            token = keys[recipient].token() if i % 3 == 0 else b""
            call = devices[caller].call(recipient, token)
            devices[caller].request(GET_KEYS, {1: recipient})
            what = random.random()
            if recipient in online and recipient != caller:
                devices[recipient].ping()
                offered = [one(content, 1) for content in
                           devices[recipient].take_events(INCOMING_CALL)]
                if call in offered:
                    rang += 1
                    if what < 0.4:
                        devices[recipient].done(ACCEPT_CALL, {1: call, 2: b"a" * 512})
                        devices[caller].request(SEND_TO_PEER, {1: call, 2: b"c" * 512})
                        devices[recipient].done(HANG_UP, {1: call})
                        connected += 1
                        continue
                    if what < 0.6:
                        devices[recipient].done(DECLINE_CALL, {1: call})
            if what < 0.8:
                devices[caller].done(HANG_UP, {1: call})
        # It was worth looking: there were calls of all kinds.
        self.assertGreater(rang, CALLS // 20)
        self.assertGreater(connected, CALLS // 50)
        for name in online:
            devices[name].pump(0.01)
        self.assertTrue(any(devices[name].notices() for name in online))

        scanner = Scanner(names)
        # As it stands, with calls on their way, and again after the end.
        for moment in ("running", "ended"):
            if moment == "ended":
                self.assertEqual(daemon.end(), 0)
            copy = folder.path / moment
            copy.mkdir()
            for path in folder.path.glob("signald.db*"):
                shutil.copy(path, copy / path.name)
            database = sqlite3.connect(copy / "signald.db")
            tables = [row[0] for row in database.execute(
                "SELECT name FROM sqlite_schema WHERE type = 'table'")]
            rows = named = 0
            for table in tables:
                # Accounts also stand in rows as numbers: in one column of a table, or none.
                references = [row[3] for row in database.execute(
                    f'PRAGMA foreign_key_list("{table}")') if row[3].startswith("account")]
                self.assertLessEqual(len(set(references)), 1, table)
                for row in database.execute(f'SELECT * FROM "{table}"'):
                    found = scanner.accounts(row_bytes(row))
                    self.assertLessEqual(len(found), 1, f"a row of {table} names {found}")
                    rows += 1
                    named += len(found)
            database.close()
            self.assertGreater(rows, 300)
            self.assertGreaterEqual(named, ACCOUNTS)  # it does see accounts where they stand
            lines = daemon.output().encode().splitlines()
            for line in lines:
                found = scanner.accounts(line)
                self.assertLessEqual(len(found), 1, line)
            print(f"{moment}: {rows} rows of {len(tables)} tables, {named} of them with an "
                  f"account; {len(lines)} lines of the log; {rang} of {CALLS} calls rang")


if __name__ == "__main__":
    unittest.main(verbosity=2)
