"""The part of quickstart.sh that lays the network, makes the call and tells what happened."""

import argparse
import contextlib
import json
import os
import pathlib
import signal
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "tests/netns"))

from capture import Capture  # noqa: E402
from lab import Lab, LabError  # noqa: E402
from loadgen import Calls  # noqa: E402
from relays import PASSWORD, USER, start_sotto  # noqa: E402

PID_FILE = pathlib.Path("/run/sotto-quickstart.pid")
PREFIX = "quickstart"
PPS, PAYLOAD, SECONDS = 1000, 160, 5


def hold_the_call(lab):
    """A relay, two hosts and a call; returns what happened as plain data, and the hosts."""
    alice, bob = lab.remote_host("alice"), lab.remote_host("bob")
    began = time.monotonic()
    relay = start_sotto(lab, port="af_packet", workers=1)
    start_seconds = time.monotonic() - began
    captures = {host: Capture(host) for host in (alice, bob)}
    call = Calls(relay, alice, bob, calls=1, pps=PPS, seconds=SECONDS, payload=PAYLOAD).report()
    legs = {leg["leg"].lower(): leg for leg in call["legs"]}
    parties = {}
    for host, other, leg in ((alice, bob, legs["a"]), (bob, alice, legs["b"])):
        recording = captures[host].stop()
        sent, received = recording.conversation(relay.ip[4])
        parties[host.name] = {
            "host": host.netns,
            "address": host.ip[4],
            "client": leg["client"],
            "allocated": leg["relayed"],
            "captured": {
                "packets_to_relay": sent,
                "packets_from_relay": received,
                "others": sorted(recording.strangers({relay.ip[4], *host.gateway.values()})),
                "traces_of_the_other": [t for ip in other.ip.values()
                                        for t in recording.traces_of(ip)],
            },
        }
    kept = ("sent", "received", "lost", "corrupted", "duplicated", "reordered", "foreign")
    result = {
        "relay": {"server": f"{relay.ip[4]}:3478", "port": "net_af_packet", "workers": 1,
                  "host": relay.netns, "start_seconds": round(start_seconds, 2)},
        "parties": parties,
        "packets": {name: call[name] for name in kept} | {
            "payload_bytes": PAYLOAD, "per_second": PPS, "seconds": SECONDS},
        "latency_us": {k: call["latency_us"][k] for k in ("min", "p50", "p99", "p99_9", "max")},
    }
    result["private"] = all(
        not p["captured"]["others"] and not p["captured"]["traces_of_the_other"]
        and min(p["captured"]["packets_to_relay"], p["captured"]["packets_from_relay"]) > 0
        for p in parties.values())
    result["ok"] = result["private"] and call["received"] == call["sent"] > 0 and not (
        call["corrupted"] or call["foreign"] or call["duplicated"])
    return result, relay


def tell(result):
    bold, green, red, plain = (
        ("\033[1m", "\033[32m", "\033[31m", "\033[0m") if sys.stdout.isatty() else ("",) * 4)
    relay, packets, latency = result["relay"], result["packets"], result["latency_us"]
    alice, bob = result["parties"]["alice"], result["parties"]["bob"]
    print(f"  {'start':<12}sotto-relayd is ready after {relay['start_seconds']:.1f} s: "
          f"{relay['port']}, {relay['workers']} worker, no NIC, no hugepages\n")
    print(f"  {bold}The call{plain}")
    for name, party in (("alice", alice), ("bob", bob)):
        print(f"    {name:<10}at {party['client']:<22}was allocated {', '.join(party['allocated'])}")
    print(f"    {'relay':<10}at {relay['server']}\n")
    print(f"  {bold}What the relay did{plain}")
    print(f"    packets   {packets['sent']:,} sent, {packets['received']:,} received, "
          f"{packets['lost']} lost, {packets['corrupted']} corrupted "
          f"({packets['per_second']:,} a second, {packets['payload_bytes']} bytes each)")
    print(f"    latency   {latency['p50']:.0f} us median, {latency['p99']:.0f} us p99, "
          f"{latency['max']:.0f} us at most, one way from host to host\n")
    print(f"  {bold}What each party saw{plain} (tcpdump on its host)")
    for name, party, other, theirs in (("alice", alice, "bob", bob), ("bob", bob, "alice", alice)):
        seen = party["captured"]
        print(f"    {name:<10}{seen['packets_to_relay']:,} packets to the relay, "
              f"{seen['packets_from_relay']:,} from it, "
              f"{'none with anybody else' if not seen['others'] else seen['others']};")
        traces = seen["traces_of_the_other"]
        print(f"    {'':<10}{other}'s address {theirs['address']} "
              f"{'is nowhere in them' if not traces else f'was there: {traces[:3]}'}")
    good = result["ok"]
    print(f"\n  {green if good else red}"
          f"{'All arrived, and neither party saw the other.' if good else 'This is not as it should be.'}"
          f"{plain}\n")


def tell_how_to_go_on(result):
    alice, relay = result["parties"]["alice"], result["relay"]
    print(f"""  It is still running. Clients live in the namespaces {alice['host']} and
  {result['parties']['bob']['host']}:

    server     turn:{relay['server']}   user {USER}   password {PASSWORD}
    try        ip netns exec {alice['host']} COMMAND
    for one    ip netns exec {alice['host']} {os.environ['SOTTO_BIN']}/sotto-loadgen calls \\
                 --server {relay['server']} --user {USER} --password {PASSWORD} \\
                 --local {alice['address']} --calls 10 --pps 1000 --seconds 5
    log        {result['kept']['log']}
    end it     deploy/quickstart.sh --stop
""")


def run(arguments):
    with Lab(PREFIX) as lab:
        result, relay = hold_the_call(lab)
        if arguments.keep:
            result["kept"] = {"pid": os.getpid(), "user": USER, "password": PASSWORD,
                              "log": str(relay.process.log)}
        if arguments.json:
            print(json.dumps(result))
        else:
            tell(result)
            if arguments.keep:
                tell_how_to_go_on(result)
        sys.stdout.flush()
        if arguments.keep:
            yield result["ok"]
            signal.pause()
    if not arguments.keep:
        yield result["ok"]


def keep(arguments):
    """The lab lives as long as the process that made it, so a child makes it and stays."""
    stop(quiet=True)
    reader, writer = os.pipe()
    if os.fork() != 0:
        os.close(writer)
        return os.read(reader, 1) == b"1"
    try:
        for ok in run(arguments):
            os.setsid()  # Ctrl-C and the terminal's end are no longer its business
            PID_FILE.write_text(f"{os.getpid()}\n")
            os.write(writer, b"1" if ok else b"0")
            os.close(writer)
            nowhere = os.open(os.devnull, os.O_RDWR)
            for stream in range(3):
                os.dup2(nowhere, stream)
    finally:
        PID_FILE.unlink(missing_ok=True)
    return False


def stop(quiet=False):
    """Ends what --keep left. False if there is nothing."""
    try:
        pid = int(PID_FILE.read_text())
        command = pathlib.Path(f"/proc/{pid}/cmdline").read_bytes()
    except (FileNotFoundError, ProcessLookupError, ValueError):
        command = b""
    if b"quickstart_call.py" not in command:
        if not quiet:
            print("quickstart.sh: nothing is running.", file=sys.stderr)
        return quiet
    os.kill(pid, signal.SIGTERM)
    end = time.monotonic() + 30
    while pathlib.Path(f"/proc/{pid}").exists() and time.monotonic() < end:
        time.sleep(0.05)
    return not pathlib.Path(f"/proc/{pid}").exists()


def main():
    parser = argparse.ArgumentParser()
    for flag in ("--keep", "--stop", "--json"):
        parser.add_argument(flag, action="store_true")
    arguments = parser.parse_args()
    if arguments.stop:
        return stop()
    if arguments.keep:
        return keep(arguments)
    with contextlib.closing(run(arguments)) as steps:
        return next(steps)


if __name__ == "__main__":
    try:
        sys.exit(0 if main() else 1)
    except LabError as error:
        sys.exit(f"quickstart.sh: {error}")
    except KeyboardInterrupt:
        sys.exit(130)
