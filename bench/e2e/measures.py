# SPDX-License-Identifier: Apache-2.0
"""The measurements, each a function that returns plain values for the report.

Forwarders take turns (A B A B); a figure is the median of its rounds, and its spread is the range
of the rounds in percent of the median.
"""

import json
import statistics
import sys
import time

from forwarders import (DRIVERS, MAX_LEGS, Generator, allocate_once, pinned, start_coturn,
                        start_relay, start_testpmd)
from lab.processes import LabError, run

MIXES = ("opus", "64")
# With 64,512 ports coturn says that it is full (508) at about 20,000 legs.
COTURN_LEGS = 10_000


def say(text):
    print(f"[{time.strftime('%H:%M:%S')}] {text}", file=sys.stderr, flush=True)


def summary(values):
    """Median and spread of one figure over its rounds; all values are kept."""
    median = statistics.median(values)
    spread = 100 * (max(values) - min(values)) / median if median else 0
    return {"median": median, "spread_percent": spread, "rounds": values}


def ratio(a, b):
    """Median of the ratios within each round: what disturbs a round disturbs both sides."""
    return statistics.median(x / y for x, y in zip(a["rounds"], b["rounds"]) if y)


def turn_by_turn(generators, rounds, measure):
    """{name: [measure(generator), ...]} with the generators taking turns."""
    values = {name: [] for name in generators}
    for number in range(rounds):
        for name, generator in generators.items():
            values[name].append(measure(generator))
            say(f"  {name} round {number + 1}: {values[name][-1]}")
    return values


def memif(bench, settings):
    """Highest rate through net_memif, flat out: the relay's fused hairpin beside testpmd."""
    results = []
    for legs in settings.memif_legs:
        for mix in settings.memif_mixes if legs == 10_000 else settings.memif_mixes[:1]:
            say(f"memif, {legs} legs, {mix}")
            relay = start_relay(bench.wire("memif"), legs)
            testpmd = start_testpmd(bench.wire("memif"))
            generators = {"sotto": Generator(relay, legs, mix),
                          "testpmd": Generator(testpmd, legs, mix)}
            for generator in generators.values():
                generator.command(f"run max {settings.warmup}")

            queueing = {name: [] for name in generators}

            def flat_out(generator):
                report = generator.command(f"run max {settings.seconds}")
                queueing[generator.forwarder.name].append(report["latency_us"]["p50"])
                return report["received_pps"]

            rates = turn_by_turn(generators, settings.rounds, flat_out)
            row = {"legs": legs, "mix": mix,
                   "setup": {k: generators["sotto"].setup["setup"][k]
                             for k in ("seconds", "allocations_per_second")},
                   "sotto_rss_bytes": relay.memory_bytes()}
            for name, values in rates.items():
                row[f"{name}_pps"] = summary(values)
                # A forwarder that can't keep up has a full ring before it, 2,048 packets long.
                # Where packets hardly wait, the generator is the slower one, and the rate is its.
                full_us = 2048 / row[f"{name}_pps"]["median"] * 1e6
                row[f"{name}_p50_us"] = summary(queueing[name])
                row[f"{name}_bounded_by_generator"] = row[f"{name}_p50_us"]["median"] < full_us / 10
            row["ratio"] = ratio(row["sotto_pps"], row["testpmd_pps"])
            results.append(row)
            for generator in generators.values():
                generator.close()
    # How fast the generator and the port are by themselves: what no forwarder can exceed here.
    say("memif, the generator's own limit (testpmd --forward-mode=io)")
    testpmd = start_testpmd(bench.wire("memif"), "io")
    generator = Generator(testpmd, 10_000, "opus")
    # Unchanged packets come back as foreign ones: they still go to the server's address.
    ceiling = []
    for _ in range(settings.rounds):
        report = generator.command(f"run max {settings.seconds}")
        ceiling.append(report["packets"]["foreign"] / report["seconds"])
    generator.close()
    return {"runs": results, "port_ceiling_pps": summary(ceiling)}


def veth(bench, settings):
    """Highest rate without loss over veth, and latency at half of coturn's: all three."""
    results = []
    for driver in settings.drivers:
        legs = settings.veth_legs
        say(f"veth, {driver}, {legs} legs")
        kernel = "kernel" if driver == "af_packet" else "kernel_af_xdp"
        generators = {
            "sotto": Generator(start_relay(bench.wire(driver), legs), legs),
            "testpmd": Generator(start_testpmd(bench.wire(driver)), legs),
            "coturn": Generator(start_coturn(bench.wire(kernel)), legs),
        }
        for generator in generators.values():
            generator.command(f"run 20000 {settings.warmup}")
        searches = {name: [] for name in generators}

        def find(generator):
            report = generator.command(
                f"find {settings.trial_seconds} {settings.loss} {settings.precision} 3", 300)
            best = [t["received_pps"] for t in report["search"]["trials"] if t["passed"]]
            searches[generator.forwarder.name].append(report["search"]["trials"])
            return max(best, default=0)

        row = {"driver": driver, "legs": legs, "mix": "opus", "loss_allowed": settings.loss}
        for name, values in turn_by_turn(generators, settings.veth_rounds, find).items():
            if not all(values):
                raise LabError(f"{name} over {driver}: no rate passed with a loss of at most "
                               f"{settings.loss}; is the machine busy? {searches[name]}")
            row[f"{name}_pps"] = summary(values)
            # Flat out and nothing was lost: the generator, or veth on its core, is the slower one.
            row[f"{name}_bounded_by_generator"] = all(t[0]["passed"] for t in searches[name])
        row["over_testpmd"] = ratio(row["sotto_pps"], row["testpmd_pps"])
        row["over_coturn"] = ratio(row["sotto_pps"], row["coturn_pps"])
        row["testpmd_over_coturn"] = ratio(row["testpmd_pps"], row["coturn_pps"])

        rate = int(row["coturn_pps"]["median"] / 2)

        def latency(generator):
            us = generator.command(f"run {rate} {settings.seconds}")["latency_us"]
            return {k: round(us[k], 1) for k in ("p50", "p99", "p99_9", "max")}

        row["latency_at_pps"] = rate
        for name, values in turn_by_turn(generators, settings.rounds, latency).items():
            row[f"{name}_latency_us"] = {k: summary([v[k] for v in values]) for k in values[0]}
        row["p99_9_over_coturn"] = ratio(row["sotto_latency_us"]["p99_9"],
                                         row["coturn_latency_us"]["p99_9"])
        results.append(row)
        for generator in generators.values():
            generator.close()
    return results


def memory(bench, settings):
    """Resident bytes per leg, permission and channel, tables and whatever the daemon holds for it:
    the growth from a daemon with few legs to one with many, each sized for its legs."""
    few, many = settings.memory_legs
    row = {"policy": "call"}

    def loaded(start, legs):
        say(f"memory, {legs} legs")
        forwarder = start(legs)
        idle = forwarder.memory_bytes()
        generator = Generator(forwarder, legs)
        bytes_now = forwarder.memory_bytes()
        generator.close()
        return {"legs": legs, "idle_bytes": idle, "loaded_bytes": bytes_now}

    for name, start, most in (
            ("sotto", lambda legs: start_relay(bench.wire("memif"), legs, policy="call"), many),
            ("coturn", lambda legs: start_coturn(bench.wire("kernel")), min(many, COTURN_LEGS))):
        runs = [loaded(start, legs) for legs in (min(few, most // 10), most)]
        grown = runs[1]["loaded_bytes"] - runs[0]["loaded_bytes"]
        row[name] = {"runs": runs, "bytes_per_leg": grown / (runs[1]["legs"] - runs[0]["legs"])}
    return row


def allocate(bench, settings):
    """Authenticated Allocate transactions a second, many in flight, over veth. Each is two: the
    first request is answered by a challenge."""
    rows = []
    legs = settings.allocate_legs
    for driver in settings.drivers:
        say(f"allocate, {driver}, {legs} legs")
        rates = {"sotto": [], "coturn": []}
        kernel = "kernel" if driver == "af_packet" else "kernel_af_xdp"
        for number in range(settings.allocate_rounds):
            for name, start, kind in (("sotto", lambda w: start_relay(w, legs), driver),
                                      ("coturn", start_coturn, kernel)):
                forwarder = start(bench.wire(kind))
                report = allocate_once(forwarder, legs, settings.window, release=False)
                rates[name].append(report["setup"]["allocations_per_second"])
                say(f"  {name} round {number + 1}: {rates[name][-1]:.0f}/s")
                forwarder.stop()
        row = {"driver": driver, "legs": legs, "window": settings.window}
        for name, values in rates.items():
            row[f"{name}_per_second"] = summary(values)
        # Now and then coturn leaves early clients unanswered, which then wait for their timers: of
        # its rounds the best one is taken.
        row["over_coturn"] = (row["sotto_per_second"]["median"] / max(rates["coturn"]))
        rows.append(row)
    return rows


def adaptive(bench, settings):
    """What poll = "adaptive" saves and costs: CPU time of an idle relay, control included, and
    latency at low rates beside poll = "busy", over veth (af_packet)."""
    say("adaptive and busy")
    relays, generators = {}, {}
    for poll in ("adaptive", "busy"):
        relays[poll] = start_relay(bench.wire("af_packet"), 100, poll=poll)
        if poll == "adaptive":
            time.sleep(1)  # what a start leaves to be done
            began, used = time.monotonic(), relays[poll].cpu_seconds()
            time.sleep(settings.idle_seconds)
            idle = (relays[poll].cpu_seconds() - used) / (time.monotonic() - began)
            say(f"  idle: {100 * idle:.2f} % of a core")
        generators[poll] = Generator(relays[poll], 100)
    row = {"idle_cpu_percent": 100 * idle, "rates": []}
    for pps in settings.adaptive_rates:
        cpu = {poll: [] for poll in relays}

        def latency(generator):
            relay = generator.forwarder
            used = relay.cpu_seconds()
            report = generator.command(f"run {pps} {settings.adaptive_seconds}")
            cpu["adaptive" if relay is relays["adaptive"] else "busy"].append(
                100 * (relay.cpu_seconds() - used) / settings.adaptive_seconds)
            return {k: round(report["latency_us"][k], 1) for k in ("p50", "p99")}

        at = {"pps": pps}
        for poll, values in turn_by_turn(generators, settings.rounds, latency).items():
            at[f"{poll}_us"] = {k: summary([v[k] for v in values]) for k in values[0]}
            at[f"{poll}_cpu_percent"] = summary(cpu[poll])
        row["rates"].append(at)
    for generator in generators.values():
        generator.close()
    return row


def micro(bench, settings):
    """The worker and the server core without ports (bench/micro): the median of the rounds."""
    def run_bench(binary, names):
        out = bench.path / f"{binary}.json"
        run(pinned([bench.bin / binary, f"--benchmark_filter=^({'|'.join(names)})(/|$)",
                    f"--benchmark_out={out}", "--benchmark_out_format=json"], "0-1"), timeout=300)
        found = json.loads(out.read_text())["benchmarks"]
        return {next(n for n in names if f"{b['name']}/".startswith(f"{n}/")): b for b in found}

    names = [f"worker/fused/random/{legs}" for legs in settings.micro_legs]
    names += [f"worker/two_workers/{settings.micro_legs[0]}"]
    rounds = []
    for number in range(settings.micro_rounds):
        say(f"micro round {number + 1}")
        worker = run_bench("sotto-bench-dataplane", names)
        core = run_bench("sotto-bench-server", ["server/allocate_and_release/standing:0/calls:1"])
        rounds.append({
            "cycles": {legs: worker[f"worker/fused/random/{legs}"]["cycles"]
                       for legs in settings.micro_legs},
            "two_workers_over_one": worker[names[-1]]["two_over_one"],
            "transactions_per_second": next(iter(core.values()))["items_per_second"]})
    return {
        "cycles": {legs: summary([r["cycles"][legs] for r in rounds])
                   for legs in settings.micro_legs},
        "two_workers_over_one": summary([r["two_workers_over_one"] for r in rounds]),
        "transactions_per_second": summary([r["transactions_per_second"] for r in rounds])}


def workers(bench, settings):
    """One worker and two, over memif with as many queues. On a machine with two cores the second
    worker shares its core with the generator, so the ratio says nothing about the relay there."""
    rates = {1: [], 2: []}
    say("workers, 10000 legs")
    generators = {count: Generator(start_relay(bench.wire("memif", count), 10_000, count), 10_000)
                  for count in rates}
    for number in range(settings.rounds):
        for count, generator in generators.items():
            rates[count].append(generator.command(f"run max {settings.seconds}")["received_pps"])
            say(f"  {count} workers round {number + 1}: {rates[count][-1]:.0f}")
    for generator in generators.values():
        generator.close()
    one, two = summary(rates[1]), summary(rates[2])
    return {"one_pps": one, "two_pps": two, "ratio": ratio(two, one)}


ALL = {"micro": micro, "memif": memif, "veth": veth, "adaptive": adaptive, "memory": memory,
       "allocate": allocate, "workers": workers}
LEGS = {"quick": (10_000,), "full": (1_000, 10_000, 65_536, MAX_LEGS)}
ALL_DRIVERS = DRIVERS
