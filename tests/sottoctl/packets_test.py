# SPDX-License-Identifier: Apache-2.0
"""What a relay would do with a packet, and packets as its workers see them: explain and capture."""

import json
import os
import pathlib
import signal
import subprocess
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "tools"))

import pcapng
from lab.processes import wait_for
from lab.test_case import main
from lab.turn import Client
from sottoctl_test import SottoctlTest


class Packets(SottoctlTest):
    def frame(self, port):
        """UDP from alice's router to the relay, as the relay's port would receive it."""
        relay_mac = self.lab.router.neighbor(self.relay.ip[4])
        mac = bytes.fromhex(relay_mac.replace(":", ""))
        udp = (1234).to_bytes(2) + port.to_bytes(2) + (12).to_bytes(2) + b"\0\0" + b"\x40\1\0\0"
        ip = bytearray(b"\x45\0" + (20 + len(udp)).to_bytes(2) + b"\0\0\0\0\x40\x11\0\0")
        ip += bytes([198, 51, 100, 2, 192, 0, 2, 10])
        total = sum(int.from_bytes(ip[i:i + 2]) for i in range(0, 20, 2))
        total = (total & 0xffff) + (total >> 16)
        ip[10:12] = (0xffff - (total & 0xffff) - (total >> 16)).to_bytes(2)
        return mac + bytes.fromhex("0200c0000201") + b"\x08\0" + bytes(ip) + udp

    def closed_ports(self):
        return sum(d["count"] for d in self.json("drops", "--all") if d["name"] == "port_closed")

    def test_explain(self):
        Client(self.alice.udp(4), self.relay.endpoint[4]).binding()
        before = self.closed_ports()
        explained = self.json("explain", self.frame(50_000).hex())
        self.assertEqual((explained["verdict"], explained["drop_reason"]), ("drop", "port_closed"))
        self.assertIn("port_closed", self.table("explain", self.frame(50_000).hex(" ")))
        self.assertEqual(self.closed_ports(), before, "it was counted")
        path = self.lab.path / "explained.pcap"
        frame = self.frame(50_000)
        path.write_bytes(b"\xd4\xc3\xb2\xa1\2\0\4\0" + bytes(8) + b"\xff\xff\0\0\1\0\0\0" + bytes(8)
                         + 2 * len(frame).to_bytes(4, "little") + frame)
        self.assertEqual(self.json("explain", "--pcap", path)[0]["drop_reason"], "port_closed")

    def test_capture(self):
        path = self.lab.path / "captured.pcapng"
        capture = subprocess.Popen(
            [*self.command(), "-o", "json", "capture",
             "--filter", f"host={self.alice.ip[4]}", "direction=rx", "--duration", "30s",
             "--payload", "--to", path], stdout=subprocess.PIPE, text=True)
        self.addCleanup(capture.kill)
        client = Client(self.alice.udp(4), self.relay.endpoint[4])
        wait_for("a packet captured", 10, lambda: (client.binding(), path.exists()
                 and path.stat().st_size > 300)[1], 0.1)
        capture.send_signal(signal.SIGINT)
        out, _ = capture.communicate(timeout=10)
        self.assertEqual(capture.returncode, 0)
        self.assertGreaterEqual(json.loads(out)["packets"], 1)
        packets = self.lab.router.run("tcpdump", "-nr", path).stdout
        self.assertIn(f"IP {self.alice.ip[4]}.", packets)
        # What was captured can be explained.
        explained, = self.json("explain", "--pcap", path, "--packet", "1")
        self.assertEqual(explained["verdict"], "answer")
        piped = subprocess.run([*self.command(), "capture", "--duration", "1s", "--to", "-"],
                               capture_output=True, timeout=30)
        self.assertEqual(piped.returncode, 0)
        self.assertIn(b"captured", piped.stderr)


    def pair(self):
        """Alice and Bob, who have bound each other's relayed address."""
        alice, bob = self.client(), self.client(self.bob)
        alice.bind(0x4001, bob.relayed[4])
        bob.bind(0x4002, alice.relayed[4])
        return alice, bob

    def start_capture(self, *args, to):
        """A capture that has begun: its file has a header."""
        to.unlink(missing_ok=True)
        capture = subprocess.Popen([*self.command(), "-o", "json", "capture", *args, "--to", to],
                                   stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.addCleanup(capture.wait)
        self.addCleanup(capture.kill)
        wait_for("the capture's begin", 10, lambda: to.exists() and to.stat().st_size > 0
                 or capture.poll() is not None)
        return capture

    def end(self, capture, to, by=signal.SIGINT):
        """(what sottoctl says of it, its packets)"""
        if by is not None:
            time.sleep(0.1)  # what is on its way
            capture.send_signal(by)
        out, err = capture.communicate(timeout=20)
        self.assertEqual(capture.returncode, 0, err)
        report, packets = json.loads(out), pcapng.read(to.read_bytes())
        self.assertEqual(report["packets"], len(packets))
        return report, packets

    def media(self, sender, receiver, channels, count, payload=b"media " * 20):
        """Sends so many packets; what arrived."""
        arrived = 0
        for _ in range(count):
            sender.send_channel(channels[0], payload)
            got = receiver.receive()
            arrived += got is not None and got.data == payload and got.channel == channels[1]
        return arrived

    def test_both_sides_of_the_journey_of_a_packet(self):
        alice, bob = self.pair()
        path = self.lab.path / "journey.pcapng"
        capture = self.start_capture("--payload", "--filter", f"port={alice.mapped[1]}", to=path)
        before = time.time_ns()
        self.assertEqual(self.media(bob, alice, (0x4002, 0x4001), 3), 3)
        self.assertEqual(self.media(alice, bob, (0x4001, 0x4002), 3), 3)
        report, packets = self.end(capture, path)
        self.assertEqual(report["missed"], 0)
        sent = [p for p in packets if p.outbound]
        received = [p for p in packets if not p.outbound]
        self.assertEqual((len(sent), len(received)), (3, 3))
        for packet in packets:
            self.assertIn(b"media media", packet.data)
            self.assertEqual(len(packet.data), packet.size)
            self.assertIsNone(packet.comment)
            self.assertLess(abs(packet.unix_ns - before), 20e9)
        # Explain makes of what came in what went out, but for the IP id and its checksum.
        capture = self.start_capture("--payload", "--packets", "2", "--filter", "port=3478",
                                     to=path)
        self.media(alice, bob, (0x4001, 0x4002), 1)
        _, (came, went) = self.end(capture, path, by=None)
        explained = self.json("explain", came.data.hex())
        self.assertEqual((explained["verdict"], explained["path"]), ("forward", "fused"))
        self.assertEqual(explained["port"], went.interface)

        def masked(frame):
            return frame[:18] + bytes(2) + frame[20:24] + bytes(2) + frame[26:]
        self.assertEqual(masked(bytes.fromhex(explained["frame"])), masked(went.data))
        allocation, = self.json("allocations", "list", "--client", self.endpoint(alice))
        look_up = next(s["text"] for s in explained["steps"] if s["what"] == "look up")
        self.assertIn(f"allocation {allocation['id']};", look_up)

    def test_headers_alone_unless_asked(self):
        alice, bob = self.pair()
        path = self.lab.path / "headers.pcapng"
        capture = self.start_capture(to=path)
        self.assertEqual(self.media(alice, bob, (0x4001, 0x4002), 20), 20)
        _, packets = self.end(capture, path)
        udp = [p for p in packets if p.data[12:14] == b"\x08\0" and p.data[23] == 17]
        self.assertGreaterEqual(len(udp), 40)
        for packet in udp:
            self.assertLessEqual(len(packet.data), 14 + 20 + 8 + 4)
        self.assertNotIn(b"media", path.read_bytes())
        self.assertEqual(self.lab.router.run("tcpdump", "-nr", path).stdout.count(" UDP, "),
                         len(udp))

    def test_drops_come_with_their_reason(self):
        path = self.lab.path / "drops.pcapng"
        sock = self.alice.udp(4)
        capture = self.start_capture("--filter", "drop=any", f"host={self.alice.ip[4]}", to=path)
        alice, bob = self.pair()
        self.media(alice, bob, (0x4001, 0x4002), 5)  # not dropped
        sock.sendto(b"neither", self.relay.endpoint[4])
        sock.sendto(b"\x45\0\0\1x", self.relay.endpoint[4])
        sock.sendto(b"late", (self.relay.ip[4], 65001))
        _, packets = self.end(capture, path)
        self.assertEqual([p.comment for p in packets],
                         ["dropped: not_stun_nor_channeldata", "dropped: channel_unbound",
                          "dropped: port_closed"])
        for packet, explained in zip(packets, self.json("explain", "--pcap", path)):
            self.assertEqual(explained["verdict"], "drop")
            self.assertEqual(explained["cut"], packet.size > len(packet.data))
        capture = self.start_capture("--filter", "drop=port_closed", "--packets", "1", to=path)
        sock.sendto(b"neither", self.relay.endpoint[4])
        sock.sendto(b"late", (self.relay.ip[4], 65001))
        _, (packet,) = self.end(capture, path, by=None)
        self.assertEqual(packet.comment, "dropped: port_closed")
        # Without a filter for drops, a packet is there once, and says so.
        capture = self.start_capture("--filter", f"port={sock.getsockname()[1]}", to=path)
        sock.sendto(b"late", (self.relay.ip[4], 65001))
        _, (packet,) = self.end(capture, path)
        self.assertEqual(packet.comment, "dropped: port_closed")

    def test_an_allocation_alone(self):
        alice, bob = self.pair()
        allocation, = self.json("allocations", "list", "--client", self.endpoint(alice))
        path = self.lab.path / "allocation.pcapng"
        capture = self.start_capture("--filter", f"allocation={allocation['id']}", to=path)
        self.media(alice, bob, (0x4001, 0x4002), 4)
        self.media(bob, alice, (0x4002, 0x4001), 2)
        _, packets = self.end(capture, path)
        self.assertEqual([p.outbound for p in packets], 4 * [False] + 2 * [True])
        self.run_ctl("allocations", "end", allocation["id"])
        refused = self.run_ctl("capture", "--to", "/dev/null", "--filter",
                               f"allocation={allocation['id']}", code=4)
        self.assertIn("there is no allocation", refused.stderr)

    def test_bounds(self):
        path = self.lab.path / "bounds.pcapng"
        client = Client(self.alice.udp(4), self.relay.endpoint[4])
        capture = self.start_capture("--packets", "3", to=path)
        other = self.run_ctl("capture", "--to", "/dev/null", code=1)
        self.assertIn("another capture is running", other.stderr)
        while capture.poll() is None:
            client.binding()
        report, packets = self.end(capture, path, by=None)
        self.assertEqual(len(packets), 3)
        began = time.monotonic()
        capture = self.start_capture("--duration", "1s", to=path)
        self.end(capture, path, by=None)
        self.assertAlmostEqual(time.monotonic() - began, 1, delta=0.8)
        self.assertIn("there is no reason bored", self.run_ctl(
            "capture", "--to", "/dev/null", "--filter", "drop=bored", code=1).stderr)

    def test_a_reader_that_takes_nothing_costs_no_packet(self):
        alice, bob = self.pair()
        fifo = self.lab.path / "fifo"
        os.mkfifo(fifo)
        reader = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
        self.addCleanup(os.close, reader)
        capture = subprocess.Popen([*self.command(), "capture", "--payload", "--to", fifo],
                                   stdout=subprocess.DEVNULL)
        self.addCleanup(capture.wait)
        self.addCleanup(capture.kill)
        # Much more than a pipe and a connection hold.
        self.assertEqual(self.media(alice, bob, (0x4001, 0x4002), 1500, bytes(1200)), 1500)
        self.assertIsNone(capture.poll())
        capture.kill()
        capture.wait()
        # And the next may come as soon as that one is gone.
        path = self.lab.path / "next.pcapng"

        def begins():
            done = subprocess.run([*self.command(), "capture", "--packets", "1", "--to", path,
                                   "--duration", "1s"], capture_output=True, text=True, timeout=30)
            return done.returncode == 0
        wait_for("the next capture", 10, begins, 0.1)

    def test_a_frame_that_is_none(self):
        nowhere = self.run_ctl("explain", "00", "--port", "nowhere", code=4)
        self.assertIn("there is no port nowhere; the relay has", nowhere.stderr)
        self.assertIn("no port of the relay accepts more", self.run_ctl(
            "explain", "-", code=1, stdin="00" * 70_000).stderr)
        self.assertEqual(self.json("explain", "00")["drop_reason"], "frame_truncated")


class StoppingRelay(SottoctlTest):
    def test_a_relay_that_stops_ends_the_capture(self):
        path = self.lab.path / "stopped.pcapng"
        capture = subprocess.Popen([*self.command(), "capture", "--to", path],
                                   stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.addCleanup(capture.kill)
        wait_for("the capture's begin", 10, lambda: path.exists() and path.stat().st_size > 0)
        Client(self.alice.udp(4), self.relay.endpoint[4]).binding()
        time.sleep(0.1)
        self.relay.restart()
        _, err = capture.communicate(timeout=10)
        self.assertEqual(capture.returncode, 3)
        self.assertIn("it is stopping", err)
        self.assertGreaterEqual(len(pcapng.read(path.read_bytes())), 2)


if __name__ == "__main__":
    main()
