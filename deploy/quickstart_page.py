# SPDX-License-Identifier: Apache-2.0
"""How a browser of this machine reaches the lab that quickstart.sh --keep leaves on."""

import contextlib
import socket
import threading

from lab.processes import run

# Addresses for documentation (RFC 5737), as all of the lab's: a machine has no use for them itself.
LAN = "192.0.2.0/24"
LINK, LINK_HERE, LINK_THERE = "sotto-quick", "198.51.100.241", "198.51.100.242"
_MAX_CONNECTIONS = 256


def open_page(stage):
    """Returns the page's address and a sentence about it. Gone with the lab."""
    if run(["ip", "route", "show", LAN]).stdout.strip():
        return _forward(stage), (f"this machine has uses of its own for {LAN}, so the relay is out "
                                 "of reach: calls ring here and stay silent")
    _link(stage.lab)
    return stage.signald.page, f"reached over the link {LINK}, which --stop removes"


def _link(lab):
    router = lab.router
    run(["ip", "link", "add", LINK, "type", "veth", "peer", "name", "machine", "netns",
         router.netns])
    lab.on_exit(lambda: run(["ip", "link", "del", LINK], check=False))
    router.run("ip", "addr", "add", f"{LINK_THERE}/30", "dev", "machine")
    router.run("ip", "link", "set", "machine", "up")
    # As on all the lab's wires: checksums are finished by who sends.
    router.run("ethtool", "-K", "machine", "tx", "off")
    run(["ethtool", "-K", LINK, "tx", "off"])
    run(["ip", "addr", "add", f"{LINK_HERE}/30", "dev", LINK])
    run(["ip", "link", "set", LINK, "up"])
    run(["ip", "route", "add", LAN, "via", LINK_THERE])


def _forward(stage):
    """TCP from a port of this machine's loopback to the signaling server, byte for byte."""
    listener = socket.create_server(("127.0.0.1", 0))
    stage.lab.on_exit(listener.close)
    slots = threading.Semaphore(_MAX_CONNECTIONS)
    where = (stage.signald.ip[4], stage.signald.port)

    def serve():
        while True:
            try:
                here, _ = listener.accept()
            except OSError:
                return  # the lab has ended
            if not slots.acquire(blocking=False):
                here.close()
                continue
            threading.Thread(target=carry, args=(here,), daemon=True).start()

    def carry(here):
        try:
            with here, contextlib.closing(_connect(stage, where)) as there:
                back = threading.Thread(target=_copy, args=(there, here), daemon=True)
                back.start()
                _copy(here, there)
                back.join()
        except OSError:
            pass  # either side may go at any time
        finally:
            slots.release()

    threading.Thread(target=serve, daemon=True).start()
    return f"https://127.0.0.1:{listener.getsockname()[1]}/"


def _connect(stage, where):
    # The socket belongs to the host that this thread is in when it is made.
    with stage.hosts["bob"].entered():
        sock = socket.socket()
    sock.connect(where)
    return sock


def _copy(source, sink):
    with contextlib.suppress(OSError):
        while data := source.recv(65536):
            sink.sendall(data)
        sink.shutdown(socket.SHUT_WR)
