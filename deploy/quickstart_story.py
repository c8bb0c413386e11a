# SPDX-License-Identifier: Apache-2.0
"""The story that quickstart.sh tells, as it happens: who calls whom, and what each of them saw.
Everything here returns plain data; quickstart_words.py puts it into sentences."""

import concurrent.futures
import os
import pathlib
import time

from lab.capture import Capture
from lab.phones import Phone
from lab.relays import start_sotto
from lab.signalds import start_signald

PPS, PAYLOAD, SECONDS, RING_S = 500, 160, 5, 5
PEOPLE = ("alice", "bob", "carol", "mallory")


class Stage:
    """A relay, a signaling server, and a host for each of the four, who have a phone there."""

    def __init__(self, lab, web_root):
        self.lab = lab
        self.hosts = {name: lab.remote_host(name) for name in PEOPLE}
        began = time.monotonic()
        self.relay = start_sotto(lab, port="af_packet", workers=1, policy="call")
        self.signald = start_signald(lab, [self.relay], ring_s=RING_S, web_root=web_root,
                                     extra_addresses=["127.0.0.1"])
        self.start_seconds = time.monotonic() - began
        self.phones = {name: Phone(host, self.signald, name) for name, host in self.hosts.items()}

    def stay(self):
        """For those who try it out: calls ring as long as people need, and alice answers."""
        self.signald.set_ring_s(45)
        self.phones["alice"].start("answer")

    def servers(self):
        return {*self.relay.ip.values(), *self.signald.ip.values()}


def tell_story(stage):
    """All of it. result["ok"] says whether it went as it should."""
    result = {
        "start_seconds": round(stage.start_seconds, 2),
        "relay": {"server": f"{stage.relay.ip[4]}:3478", "port": "net_af_packet", "workers": 1,
                  "host": stage.relay.netns},
        "signald": {"server": stage.signald.url, "host": stage.signald.host.netns},
        "invitation": invite(stage),
        "call": call_with_token(stage),
        "stranger": call_without_token(stage),
    }
    result["ok"] = result["call"]["ok"] and result["stranger"]["ok"]
    return result


def invite(stage):
    alice, bob = stage.phones["alice"], stage.phones["bob"]
    for phone in stage.phones.values():
        phone.run("register")
    invitation = alice.run("issue-tokens", "--count", 3).one("invitation")
    bob.run("add-contact", invitation["link"])
    settings = alice.run("settings", "--silence", "on", "--protect", "on").one("settings")
    return {"link_bytes": len(invitation["link"]), "tokens": len(invitation["tokens"]),
            "token_bytes": len(invitation["tokens"][0]) // 2,
            "alice_silences": settings["silence_unknown_callers"],
            "alice_protects": settings["protect_ip_address"]}


def call_with_token(stage):
    alice, bob = stage.phones["alice"], stage.phones["bob"]
    captures = {name: Capture(stage.hosts[name]) for name in ("alice", "bob")}
    media = ("--pps", PPS, "--payload", PAYLOAD)
    answering = alice.start("answer", "--calls", 1, *media)
    calling = bob.run("call", "alice", "--seconds", SECONDS, *media)
    said = {"alice": answering.finish(), "bob": calling}

    parties = {}
    for name, other in (("alice", "bob"), ("bob", "alice")):
        recording = captures[name].stop()
        sent, received = recording.conversation(stage.relay.ip[4])
        media = said[name].one("media")
        parties[name] = {
            "host": stage.hosts[name].netns,
            "address": stage.hosts[name].ip[4],
            "client": media["local"],
            "allocated": said[name].one("allocated")["relayed"],
            "media": {k: media[k] for k in ("sent", "received", "lost", "corrupted", "duplicated",
                                            "foreign", "latency_us")},
            "captured": {
                "packets_to_relay": sent,
                "packets_from_relay": received,
                "others": sorted(recording.strangers(
                    stage.servers() | set(stage.hosts[name].gateway.values()))),
                "traces_of_the_other": [t for ip in stage.hosts[other].ip.values()
                                        for t in recording.traces_of(ip)],
            },
        }
    incoming = said["alice"].one("incoming")
    result = {
        "parties": parties,
        "with_token": incoming["with_token"],
        "protected": calling.one("call_connected")["protected"],
        "place_to_connected_ms": round(calling.one("call_connected")["t_ms"]
                                       - calling.one("placed")["t_ms"], 1),
        "packets": {"payload_bytes": PAYLOAD, "per_second": 2 * PPS, "seconds": SECONDS} | {
            k: sum(p["media"][k] for p in parties.values())
            for k in ("sent", "received", "lost", "corrupted", "duplicated", "foreign")},
    }
    result["private"] = all(
        not p["captured"]["others"] and not p["captured"]["traces_of_the_other"]
        and min(p["captured"]["packets_to_relay"], p["captured"]["packets_from_relay"]) > 0
        for p in parties.values())
    packets = result["packets"]
    result["ok"] = (result["private"] and result["with_token"] and result["protected"]
                    and packets["received"] == packets["sent"] > 0
                    and not packets["corrupted"] + packets["foreign"] + packets["duplicated"])
    return result


def call_without_token(stage):
    """mallory calls alice, who silences her, and carol, who lets it ring: what does she see?"""
    mallory, bystander = stage.phones["mallory"], stage.phones["carol"]
    second = mallory.clone("mallory-2")
    listening = stage.phones["alice"].start("watch", flags=["--trace"])
    ringing = bystander.start("watch")
    capture = Capture(stage.hosts["alice"])
    with concurrent.futures.ThreadPoolExecutor() as pool:
        calls = {
            "silenced": pool.submit(mallory.run, "call", "alice", code=3, flags=["--trace"]),
            "unanswered": pool.submit(second.run, "call", "carol", code=3, flags=["--trace"]),
        }
        seen = {name: transcript(call.result()) for name, call in calls.items()}
    notice = listening.wait_for("notice")
    heard = listening.interrupt()
    rang = bool(ringing.interrupt().all("incoming"))
    recording = capture.stop()
    frames = [{"kind": f["kind"], "bytes": f["bytes"]} for f in heard.all("frame")
              if f["direction"] == "in" and f["kind"] not in ("welcome", "done")]
    result = {
        "transcripts": seen,
        "same": comparable(seen["silenced"]) == comparable(seen["unanswered"]),
        "carol_rang": rang,
        "alice_frames": frames,
        "notice": {k: notice[k] for k in ("bytes", "kind", "caller", "count")},
        # Nothing but signaling's TLS came to alice's host: no packet of the relay's.
        "relay_packets_to_alice": recording.conversation(stage.relay.ip[4])[1],
    }
    result["ok"] = (
        result["same"] and rang and [f["kind"] for f in frames] == ["notices"]
        and len(heard.all("notice")) == 1 and notice["bytes"] == 144
        and notice["kind"] == "silenced" and notice["caller"] == "mallory"
        and result["relay_packets_to_alice"] == 0
        and all(abs(t["ended_s"] - RING_S) < 0.25 for t in seen.values()))
    return result


def transcript(said):
    """What a caller's device sent and got from PlaceCall on, and when."""
    frames = said.all("frame")
    first = next(i for i, f in enumerate(frames) if f["kind"] == "place_call")
    began = frames[first]["t_ms"]
    frames = [{"direction": f["direction"], "kind": f["kind"], "bytes": f["bytes"],
               "ms": round(f["t_ms"] - began, 2)} for f in frames[first:]]
    return {
        "frames": frames,
        "placed_ms": next(f["ms"] for f in frames if f["kind"] == "call_placed"),
        "ended_s": round(next(f["ms"] for f in frames if f["kind"] == "call_ended") / 1000, 4),
        "why": said.one("ended")["why"],
        "leg": said.one("allocated")["relayed"],
        "media_packets": sum(m["received"] for m in said.all("media")),
    }


def comparable(seen):
    """A transcript without its times and the port that the relay drew."""
    return ([(f["direction"], f["kind"], f["bytes"]) for f in seen["frames"]],
            seen["why"], seen["media_packets"])


def web_root():
    """Where the build has put the page; None if it has none."""
    folder = pathlib.Path(os.environ["SOTTO_BIN"]).parent / "web"
    return folder if (folder / "index.html").exists() else None
