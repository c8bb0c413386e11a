# SPDX-License-Identifier: Apache-2.0
"""The chart of a run, as SVG: grouped bars, whiskers from the least round to the greatest."""

from html import escape

WIDTH, LABEL, VALUE = 760, 210, 90
BAR, GAP, GROUP_GAP = 16, 3, 14
COLORS = {"sotto": "#0b6e4f", "testpmd": "#8a8f98", "coturn": "#c8553d"}
NAMES = {"sotto": "sotto-relayd", "testpmd": "dpdk-testpmd 5tswap", "coturn": "coturn"}


def _si(value):
    for limit, suffix in ((1e6, " M"), (1e3, " k")):
        if value >= limit:
            return f"{value / limit:.2f}{suffix}"
    return f"{value:.0f}"


def _panels(results):
    """(title, unit, [(group label, [(who, summary)])])"""
    if "memif" in results:
        groups = [(f"{row['legs']:,} legs, {row['mix']}",
                   [(who, row[f"{who}_pps"]) for who in ("sotto", "testpmd")])
                  for row in results["memif"]["runs"]]
        yield "net_memif, flat out", "packets/s", groups
    if "veth" in results:
        everyone = ("sotto", "testpmd", "coturn")
        yield (f"veth, highest rate with a loss of at most {results['veth'][0]['loss_allowed']:g}",
               "packets/s",
               [(f"net_{row['driver']}", [(who, row[f"{who}_pps"]) for who in everyone])
                for row in results["veth"]])
        for key, name in (("p99", "p99"), ("p99_9", "p99.9")):
            yield (f"veth, latency {name} at half of coturn's rate", "us",
                   [(f"net_{row['driver']}, {_si(row['latency_at_pps'])}pps",
                     [(who, row[f"{who}_latency_us"][key]) for who in everyone])
                    for row in results["veth"]])
    if "adaptive" in results:
        yield ('veth, latency p99 with poll = "adaptive" and "busy"', "us",
               [(f"{_si(at['pps'])}pps, {poll}", [("sotto", at[f"{poll}_us"]["p99"])])
                for at in results["adaptive"]["rates"] for poll in ("adaptive", "busy")])
    if "allocate" in results:
        yield ("veth, authenticated allocations, many in flight", "per second",
               [(f"net_{row['driver']}",
                 [(who, row[f"{who}_per_second"]) for who in ("sotto", "coturn")])
                for row in results["allocate"]])
    if "memory" in results:
        yield ("Memory, tables included", "bytes per leg",
               [(f"up to {results['memory']['sotto']['runs'][1]['legs']:,} legs",
                 [(who, {"median": results["memory"][who]["bytes_per_leg"],
                         "rounds": [results["memory"][who]["bytes_per_leg"]]})
                  for who in ("sotto", "coturn")])])
    if "micro" in results:
        yield ("Worker alone, fused hairpin, random arrival", "cycles per packet",
               [(f"{int(legs):,} legs", [("sotto", cycles)])
                for legs, cycles in sorted(results["micro"]["cycles"].items())])


def draw(results):
    parts, y = [], 24
    x = LABEL
    for who, color in COLORS.items():
        parts.append(f'<rect x="{x}" y="{y - 10}" width="12" height="12" fill="{color}"/>'
                     f'<text x="{x + 18}" y="{y}">{NAMES[who]}</text>')
        x += 180
    y += 26
    for title, unit, groups in _panels(results):
        parts.append(f'<text x="10" y="{y}" font-weight="bold">{escape(title)}</text>'
                     f'<text x="{WIDTH - 10}" y="{y}" text-anchor="end" fill="#555">{unit}</text>')
        y += 12
        most = max(max(s["rounds"]) for _, bars in groups for _, s in bars) or 1
        scale = (WIDTH - LABEL - VALUE) / most
        for label, bars in groups:
            middle = y + (len(bars) * (BAR + GAP)) / 2 + 2
            parts.append(f'<text x="{LABEL - 10}" y="{middle}" text-anchor="end">'
                         f'{escape(label)}</text>')
            for who, s in bars:
                length, low, high = (v * scale
                                     for v in (s["median"], min(s["rounds"]), max(s["rounds"])))
                center = y + BAR / 2
                parts.append(
                    f'<rect x="{LABEL}" y="{y}" width="{length:.1f}" height="{BAR}" '
                    f'fill="{COLORS[who]}"/>'
                    f'<path d="M{LABEL + low:.1f} {center}H{LABEL + high:.1f}" stroke="#111"/>'
                    f'<text x="{LABEL + max(length, high) + 6:.1f}" y="{y + 12}">'
                    f'{_si(s["median"])}</text>')
                y += BAR + GAP
            y += GROUP_GAP
        y += 14
    return (f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {y}" width="{WIDTH}" '
            f'height="{y}" font-family="sans-serif" font-size="12">'
            f'<rect width="{WIDTH}" height="{y}" fill="#fff"/>{"".join(parts)}</svg>\n')
