# SPDX-License-Identifier: Apache-2.0
"""sotto-relayd beside dpdk-testpmd and coturn, from end to end. See run.sh."""

import argparse
import dataclasses
import json
import os
import pathlib
import platform
import re
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "tools"))

import chart
import measures
from forwarders import MAX_LEGS, Bench, go_before_others
from lab.environment import ROOT
from lab.processes import LabError


@dataclasses.dataclass
class Settings:
    rounds: int = 3
    veth_rounds: int = 2
    seconds: float = 3
    trial_seconds: float = 1
    warmup: float = 1
    loss: float = 0.0
    precision: float = 0.05
    memif_legs: tuple = measures.LEGS["full"]
    memif_mixes: tuple = measures.MIXES
    drivers: tuple = measures.ALL_DRIVERS
    veth_legs: int = 1_000
    memory_legs: tuple = (10_000, 200_000)  # few and many
    allocate_legs: int = 15_000
    allocate_rounds: int = 5
    window: int = 128
    idle_seconds: float = 5
    adaptive_seconds: float = 2
    adaptive_rates: tuple = (500, 5_000, 50_000)
    micro_legs: tuple = (10_000, 1_000, 1_048_576)  # two workers: with the first
    micro_rounds: int = 3


QUICK = Settings(rounds=1, veth_rounds=1, seconds=1, trial_seconds=0.5, warmup=0.3, precision=0.1,
                 memif_legs=measures.LEGS["quick"], memif_mixes=("opus",), drivers=("af_packet",),
                 memory_legs=(1_000, 20_000), allocate_rounds=3, idle_seconds=2, adaptive_seconds=1,
                 adaptive_rates=(5_000,), micro_legs=(10_000, 1_000), micro_rounds=1)


def machine():
    cpuinfo = pathlib.Path("/proc/cpuinfo").read_text()
    return {
        "cpu": re.search(r"model name\s*: (.*)", cpuinfo)[1],
        "family": int(re.search(r"cpu family\s*: (\d+)", cpuinfo)[1]),
        "mhz": float(re.search(r"cpu MHz\s*: (\S+)", cpuinfo)[1]),
        "cpus": os.cpu_count(),
        "kernel": platform.release(),
        "load_before": os.getloadavg()[0],
    }


def ratios(results):
    """Every figure that the project promises something about, by name; null if it was not measured.
    growth_..., two_workers_... and burst_... are of the worker without ports (micro): over memif a
    second worker would share its core with the generator."""
    named = dict.fromkeys((
        "memif_over_testpmd_10000", "memif_over_testpmd_million", "af_packet_over_testpmd",
        "af_xdp_over_testpmd", "af_packet_over_coturn", "af_xdp_over_coturn",
        "testpmd_over_coturn_af_packet", "testpmd_over_coturn_af_xdp",
        "p99_9_over_coturn_af_packet", "p99_9_over_coturn_af_xdp", "burst_cycles_10000",
        "burst_cycles_million", "growth_1000_to_million", "memif_growth_1000_to_million",
        "two_workers_over_one", "memif_two_workers_over_one", "bytes_per_leg",
        "coturn_bytes_per_leg", "core_transactions_per_second", "allocate_over_coturn_af_packet",
        "allocate_over_coturn_af_xdp", "adaptive_idle_cpu", "adaptive_p99_us", "busy_p99_us"))
    if "micro" in results:
        cycles = {legs: found["median"] for legs, found in results["micro"]["cycles"].items()}
        named["burst_cycles_10000"] = cycles[10_000]
        named["burst_cycles_million"] = cycles.get(1_048_576)
        if 1_048_576 in cycles:
            named["growth_1000_to_million"] = cycles[1_048_576] / cycles[1_000]
        named["two_workers_over_one"] = results["micro"]["two_workers_over_one"]["median"]
        transactions = results["micro"]["transactions_per_second"]
        named["core_transactions_per_second"] = transactions["median"]
    if "memif" in results:
        opus = {row["legs"]: row for row in results["memif"]["runs"] if row["mix"] == "opus"}
        for legs, name in ((10_000, "10000"), (MAX_LEGS, "million")):
            if legs in opus:
                named[f"memif_over_testpmd_{name}"] = opus[legs]["ratio"]
        if 1_000 in opus and MAX_LEGS in opus:
            named["memif_growth_1000_to_million"] = (opus[1_000]["sotto_pps"]["median"] /
                                                     opus[MAX_LEGS]["sotto_pps"]["median"])
    for row in results.get("veth", []):
        driver = row["driver"]
        named[f"{driver}_over_testpmd"] = row["over_testpmd"]
        named[f"{driver}_over_coturn"] = row["over_coturn"]
        named[f"testpmd_over_coturn_{driver}"] = row["testpmd_over_coturn"]
        named[f"p99_9_over_coturn_{driver}"] = row["p99_9_over_coturn"]
    if "memory" in results:
        named["bytes_per_leg"] = results["memory"]["sotto"]["bytes_per_leg"]
        named["coturn_bytes_per_leg"] = results["memory"]["coturn"]["bytes_per_leg"]
    for row in results.get("allocate", []):
        named[f"allocate_over_coturn_{row['driver']}"] = row["over_coturn"]
    if "adaptive" in results:
        named["adaptive_idle_cpu"] = results["adaptive"]["idle_cpu_percent"]
        at = next(at for at in results["adaptive"]["rates"] if at["pps"] == 5_000)
        for poll in ("adaptive", "busy"):
            named[f"{poll}_p99_us"] = at[f"{poll}_us"]["p99"]["median"]
    if "workers" in results:
        named["memif_two_workers_over_one"] = results["workers"]["ratio"]
    return named


# Name, what is promised, and whether more is better.
TARGETS = {
    "memif_over_testpmd_10000": (0.90, True),
    "memif_over_testpmd_million": (0.75, True),
    "af_packet_over_testpmd": (0.95, True),
    "af_xdp_over_testpmd": (0.95, True),
    "af_packet_over_coturn": (3.5, True),
    "af_xdp_over_coturn": (3.5, True),
    "p99_9_over_coturn_af_packet": (0.5, False),
    "p99_9_over_coturn_af_xdp": (0.5, False),
    "burst_cycles_10000": (150, False),
    "burst_cycles_million": (250, False),
    "growth_1000_to_million": (2.5, False),
    "memif_growth_1000_to_million": (2.5, False),
    "two_workers_over_one": (1.8, True),
    "bytes_per_leg": (512, False),
    "core_transactions_per_second": (100_000, True),
    "allocate_over_coturn_af_packet": (10, True),
    "allocate_over_coturn_af_xdp": (10, True),
    "adaptive_idle_cpu": (5, False),
}


def table(named):
    lines = [f"{'measure':36} {'here':>10} {'target':>10}"]
    for name, value in named.items():
        target = TARGETS.get(name)
        shown = "not run" if value is None else f"{value:,.0f}" if value >= 1000 else f"{value:.3g}"
        wanted = "" if target is None else f"{'>=' if target[1] else '<='} {target[0]:g}"
        met = (value is not None and target is not None and
               (value >= target[0] if target[1] else value <= target[0]))
        verdict = "" if value is None or not target else "  met" if met else "  NOT MET"
        lines.append(f"{name:36} {shown:>10} {wanted:>10}{verdict}")
    return "\n".join(lines)


def notes(results):
    """What the ratios can't say about themselves."""
    rows = [(f"memif, {row['legs']} legs, {row['mix']}", row)
            for row in results.get("memif", {}).get("runs", [])]
    rows += [(f"veth, {row['driver']}", row) for row in results.get("veth", [])]
    lines = []
    for label, row in rows:
        bounded = [who for who in ("sotto", "testpmd", "coturn")
                   if row.get(f"{who}_bounded_by_generator")]
        if bounded:
            lines.append(f"{label}: the generator, not {' or '.join(bounded)}, was the slower one; "
                         "its real rate is higher.")
    if "workers" in results and results["machine"]["cpus"] < 3:
        lines.append("workers: two cores; the second worker shares one with the generator.")
    return lines


def main():
    parser = argparse.ArgumentParser(prog="run.sh", description=__doc__)
    parser.add_argument("--quick", action="store_true",
                        help="one round, few sizes: under two minutes")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--only", default=",".join(measures.ALL), help="measurements, with commas")
    parser.add_argument("--rounds", type=int, help="turns of each forwarder")
    parser.add_argument("--loss", type=float, help="share of packets that may be lost (0)")
    parser.add_argument("--legs", help="for memif, with commas")
    parser.add_argument("--drivers", help="for veth, with commas: af_packet, af_xdp")
    parser.add_argument("--out", type=pathlib.Path, default=ROOT / "build/bench",
                        help="folder for e2e.json and e2e.svg")
    parser.add_argument("--bin", default=ROOT / "build/release/bin",
                        help="folder with the binaries")
    args = parser.parse_args()
    settings = QUICK if args.quick else Settings()
    if args.rounds:
        settings.rounds = settings.veth_rounds = args.rounds
    if args.loss is not None:
        settings.loss = args.loss
    if args.legs:
        settings.memif_legs = tuple(int(legs) for legs in args.legs.split(","))
    if args.drivers:
        settings.drivers = tuple(args.drivers.split(","))
    wanted = args.only.split(",")
    if unknown := set(wanted) - set(measures.ALL):
        parser.error(f"--only {','.join(unknown)}: there are {', '.join(measures.ALL)}")

    go_before_others()
    began = time.monotonic()
    results = {"machine": machine(), "settings": dataclasses.asdict(settings)}
    failures = {}
    for name in wanted:
        try:
            with Bench(args.bin) as bench:
                results[name] = measures.ALL[name](bench, settings)
        except LabError as error:
            failures[name] = str(error)
            print(f"{name}: {error}", file=sys.stderr)
    results["failures"] = failures
    results["notes"] = notes(results)
    results["ratios"] = ratios(results)
    results["seconds"] = time.monotonic() - began
    results["machine"]["load_after"] = os.getloadavg()[0]
    args.out.mkdir(parents=True, exist_ok=True)
    (args.out / "e2e.json").write_text(json.dumps(results, indent=2) + "\n")
    (args.out / "e2e.svg").write_text(chart.draw(results))
    print(json.dumps(results, indent=2) if args.json else
          "\n".join([table(results["ratios"]), *results["notes"]]))
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
