# SPDX-License-Identifier: Apache-2.0
"""The story of quickstart_story.py, told to people."""

import os
import sys


def _styles():
    if sys.stdout.isatty():
        return "\033[1m", "\033[32m", "\033[31m", "\033[0m"
    return ("",) * 4


def tell(result):
    bold, green, red, plain = _styles()
    print(f"  {'start':<12}sotto-relayd and sotto-signald are ready after "
          f"{result['start_seconds']:.1f} s; no NIC, no hugepages\n")
    _tell_invitation(result["invitation"], bold, plain)
    _tell_call(result["relay"], result["call"], bold, plain)
    _tell_stranger(result["stranger"], bold, plain)
    good = result["ok"]
    end = ("bob got through, mallory did not, and nobody saw an address." if good
           else "This is not as it should be.")
    print(f"  {green if good else red}{end}{plain}\n")


def _tell_invitation(invitation, bold, plain):
    print(f"  {bold}alice invites bob{plain}")
    print(f"    an invitation of {invitation['link_bytes']} characters, as a link: her keys, and "
          f"{invitation['tokens']} tokens of {invitation['token_bytes']} bytes")
    print("    she silences unknown callers, and protects her address\n")


def _tell_call(relay, call, bold, plain):
    packets = call["packets"]
    print(f"  {bold}bob calls her with a token{plain}")
    print(f"    it rings, she answers; connected {call['place_to_connected_ms']:.0f} ms after it "
          "was placed")
    for name, party in call["parties"].items():
        print(f"    {name:<10}at {party['client']:<22}was allocated {party['allocated']}")
    print(f"    {'relay':<10}at {relay['server']}")
    print(f"    packets   {packets['sent']:,} sent, {packets['received']:,} received, "
          f"{packets['lost']} lost, {packets['corrupted']} corrupted "
          f"({packets['per_second']:,} a second, {packets['payload_bytes']} bytes each, "
          "end-to-end encrypted)")
    for name, other in (("alice", "bob"), ("bob", "alice")):
        party = call["parties"][name]
        seen, latency = party["captured"], party["media"]["latency_us"]
        print(f"    {name:<10}{latency['p50']:.0f} us median one way, {latency['p99']:.0f} us p99; "
              f"tcpdump there: {seen['packets_to_relay']:,} packets to the relay, "
              f"{seen['packets_from_relay']:,} from it,")
        traces = seen["traces_of_the_other"]
        others = ("none with anybody else but the signaling server" if not seen["others"]
                  else f"and with {', '.join(seen['others'])}")
        print(f"    {'':<10}{others}; {other}'s address "
              f"{call['parties'][other]['address']} "
              f"{'is nowhere in them' if not traces else f'was there: {traces[:3]}'}")
    print()


def _tell_stranger(stranger, bold, plain):
    print(f"  {bold}mallory calls alice without one, and carol, who lets it ring{plain}")
    silenced, unanswered = (stranger["transcripts"][k] for k in ("silenced", "unanswered"))
    print(f"    {'what mallory sees':<26}{'alice (silenced)':<30}carol (rings, unanswered)")
    for a, b in zip(silenced["frames"], unanswered["frames"]):
        arrow = "->" if a["direction"] == "out" else "<-"
        print(f"    {arrow} {a['kind']:<23}{_frame(a):<30}{_frame(b)}")
    print(f"    {'a relay leg':<26}{silenced['leg']:<30}{unanswered['leg']}")
    print(f"    {'media through it':<26}{silenced['media_packets']:<30}"
          f"{unanswered['media_packets']}")
    print(f"    {'the end':<26}{silenced['why']:<30}{unanswered['why']}")
    print(f"    {'the same' if stranger['same'] else 'NOT THE SAME'}, frame for frame and byte for "
          "byte, random ids and ports aside")
    notice = stranger["notice"]
    print(f"    alice's device got {_count(stranger['alice_frames'])}: "
          f"{notice['kind']}, {notice['caller']}, {notice['count']} time, in {notice['bytes']} "
          f"bytes that the server made;")
    print(f"    {'':<19}and {stranger['relay_packets_to_alice']} packets from the relay\n")


def _frame(frame):
    return f"{frame['bytes']:,} bytes, {frame['ms']:,.1f} ms"


def _count(frames):
    kinds = [f["kind"] for f in frames]
    return "one notice" if kinds == ["notices"] else ", ".join(kinds) or "nothing"


def tell_how_to_go_on(result):
    signald, parties = result["signald"], result["call"]["parties"]
    kept = result["kept"]
    phone = f"{os.environ['SOTTO_BIN']}/sotto-phone"
    print("  It is still running.\n")
    print(f"""    the page   {kept['page'] or 'is not there'}
               {kept['about_page']};
               two people are two windows, one of them private; its certificate is under
               {kept['ca']}
    call alice ip netns exec {parties['bob']['host']} {phone} \\
                 --server {signald['server']} --ca {kept['ca']} \\
                 --development bob --state {kept['state']} call alice
    logs       {' and '.join(kept['logs'])}
    end it     deploy/quickstart.sh --stop
""")
