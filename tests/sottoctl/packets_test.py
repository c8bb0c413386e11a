"""What a relay would do with a packet, and packets as its workers see them: explain and capture."""

import json
import signal
import subprocess

from sottoctl_test import SottoctlTest
from lab import wait_for
from netns_test import main
from turn import Client


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


if __name__ == "__main__":
    main()
