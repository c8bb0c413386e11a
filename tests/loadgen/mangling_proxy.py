#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A UDP proxy before a TURN server that mangles ChannelData on its way to the clients.

Usage: mangling_proxy.py LISTEN-IP LISTEN-PORT SERVER-PORT mangle|delay

mangle: of each hundred packets, one is lost, doubled, changed in one bit, cut short, swapped with
the next, copied from a foreign source, and copied to another client each. delay: each waits 20 ms.
Prints what it did as a JSON object when it's terminated.
"""

import collections
import json
import select
import signal
import socket
import struct
import sys
import time

DELAY_S = 0.020


class Client:
    def __init__(self, address, upstream):
        self.address = address
        self.upstream = upstream
        self.channel = None
        self.held = None


class Proxy:
    def __init__(self, ip, port, server_port, mode):
        self.front = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.front.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
        self.front.bind((ip, port))
        self.stranger = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.stranger.bind((ip, 0))
        self.server = (ip, server_port)
        self.mode = mode
        self.clients = {}
        self.by_socket = {}
        self.delayed = collections.deque()
        self.count = 0
        self.done = collections.Counter()

    def from_client(self):
        datagram, address = self.front.recvfrom(65535)
        client = self.clients.get(address)
        if client is None:
            upstream = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            upstream.connect(self.server)
            client = self.clients[address] = self.by_socket[upstream] = Client(address, upstream)
        client.upstream.send(datagram)

    def from_server(self, upstream):
        client = self.by_socket[upstream]
        datagram = upstream.recv(65535)
        if datagram[0] & 0xf0 != 0x40:
            self.front.sendto(datagram, client.address)
        elif self.mode == "delay":
            self.delayed.append((time.monotonic() + DELAY_S, datagram, client.address))
        else:
            self.mangle(client, datagram)

    def mangle(self, client, datagram):
        client.channel = datagram[:2]
        turn = self.count % 100
        self.count += 1
        send = self.front.sendto
        if turn == 10:
            self.done["lost"] += 1
        elif turn == 30:
            send(datagram, client.address)
            send(datagram, client.address)
            self.done["doubled"] += 1
        elif turn == 50:
            at = 4 + (self.count * 7) % (len(datagram) - 4)
            send(datagram[:at] + bytes([datagram[at] ^ 1]) + datagram[at + 1:], client.address)
            self.done["changed"] += 1
        elif turn == 60:
            size = struct.unpack(">H", datagram[2:4])[0] - 1
            send(client.channel + struct.pack(">H", size) + datagram[4:4 + size], client.address)
            self.done["cut"] += 1
        elif turn == 70:
            client.held = datagram
            self.done["swapped"] += 1
        elif turn == 90:
            send(datagram, client.address)
            self.stranger.sendto(datagram, client.address)
            self.done["foreign"] += 1
        elif turn == 95:
            send(datagram, client.address)
            for other in self.clients.values():
                if other is not client and other.channel is not None:
                    send(other.channel + datagram[2:], other.address)
                    self.done["misdelivered"] += 1
                    break
        else:
            send(datagram, client.address)
            if client.held is not None:
                send(client.held, client.address)
                client.held = None

    def run(self):
        while True:
            timeout = 1.0
            if self.delayed:
                timeout = max(0.0, self.delayed[0][0] - time.monotonic())
            readable, _, _ = select.select([self.front, *self.by_socket], [], [], timeout)
            for sock in readable:
                if sock is self.front:
                    self.from_client()
                else:
                    self.from_server(sock)
            while self.delayed and self.delayed[0][0] <= time.monotonic():
                _, datagram, address = self.delayed.popleft()
                self.front.sendto(datagram, address)


def main():
    ip, port, server_port, mode = sys.argv[1:]
    proxy = Proxy(ip, int(port), int(server_port), mode)

    def end(*_):
        print(json.dumps(proxy.done))
        sys.exit(0)

    signal.signal(signal.SIGTERM, end)
    print("ready", flush=True)
    proxy.run()


main()
