// SPDX-License-Identifier: Apache-2.0
import { create } from "@bufbuild/protobuf";
import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { type Media, MediaSchema, Stream_Kind } from "../src/gen/call_body_pb";
import { cleanCandidate, isUnicast, relayCandidate } from "../src/lib/candidates";
import { readTravel } from "../src/lib/media";
import { checkMedia, mediaFromSdp, sdpFromMedia } from "../src/lib/media_fields";

// What Chromium 156 says of itself.
const kChromiumOffer = readFileSync(new URL("chromium_offer.sdp", import.meta.url), "utf8");
const kSends = { audio: true, video: false };
const read = (): Media => mediaFromSdp(kChromiumOffer, kSends);

describe("the description of media", () => {
  test("is read of Chromium's, as fields", () => {
    const media = read();
    expect(media.iceUfrag).toBe("mbFZ");
    expect(media.icePwd).toBe("QibtwJm87sJp/2RvDbnqlmbT");
    expect([media.dtlsSha256[0], media.dtlsSha256[31]]).toEqual([0x66, 0x51]);
    expect(media.streams.map((s) => [s.kind, s.sends])).toEqual([[Stream_Kind.AUDIO, true], [Stream_Kind.VIDEO, false]]);
    expect(media.streams[0]!.codecs.map((c) => [c.payloadType, c.name, c.channels])).toEqual([[111, "opus", 2]]);
    expect(media.streams[1]!.codecs.length).toBeGreaterThan(2);
    expect(media.streams[1]!.extensions.map((e) => e.id).sort()).toEqual([13, 2, 3, 4]);
  });

  test("holds no candidate and nothing of the session", () => {
    const withCandidate = kChromiumOffer.replace("a=ice-ufrag", "a=candidate:1 1 udp 1 192.0.2.7 9 typ host\r\na=ice-ufrag");
    expect(withCandidate).not.toBe(kChromiumOffer);
    expect(mediaFromSdp(withCandidate, kSends)).toEqual(read());
  });

  test("is read again from what was made of it", () => {
    for (const of of ["offer", "answer"] as const) {
      const again = mediaFromSdp(sdpFromMedia(read(), of), kSends);
      expect(again).toEqual(read());
    }
  });

  test("becomes these lines for a stack", () => {
    const media = read();
    media.streams.length = 1;
    expect(sdpFromMedia(media, "offer").split("\r\n")).toEqual([
      "v=0", "o=- 1 1 IN IP4 0.0.0.0", "s=-", "t=0 0", "a=group:BUNDLE 0", "a=extmap-allow-mixed",
      "a=msid-semantic: WMS", "m=audio 9 UDP/TLS/RTP/SAVPF 111", "c=IN IP4 0.0.0.0",
      "a=rtcp:9 IN IP4 0.0.0.0", "a=ice-ufrag:mbFZ", "a=ice-pwd:QibtwJm87sJp/2RvDbnqlmbT",
      "a=ice-options:trickle",
      "a=fingerprint:sha-256 66:27:4A:81:DD:23:77:82:82:7F:8F:E7:70:F5:36:0A:88:24:5D:FC:A3:C7:4D:24:A5:FB:77:EE:A8:F6:33:51",
      "a=setup:actpass", "a=mid:0",
      "a=extmap:2 http://www.webrtc.org/experiments/rtp-hdrext/abs-send-time",
      "a=extmap:3 http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01",
      "a=extmap:4 urn:ietf:params:rtp-hdrext:sdes:mid",
      "a=sendrecv", "a=msid:- peer-audio", "a=rtcp-mux", "a=rtcp-rsize", "a=rtpmap:111 opus/48000/2",
      "a=rtcp-fb:111 transport-cc", "a=fmtp:111 minptime=10;useinbandfec=1", "",
    ]);
  });

  test("takes no text out of bounds from a peer", () => {
    const bad: ((media: Media) => void)[] = [
      (m) => (m.iceUfrag = "abc"),
      (m) => (m.iceUfrag = "abcd\r\na=candidate:1 1 udp 1 192.0.2.7 9 typ host"),
      (m) => (m.iceUfrag = "a".repeat(257)),
      (m) => (m.icePwd = "a".repeat(21)),
      (m) => (m.icePwd = `${"a".repeat(22)}\n`),
      (m) => (m.dtlsSha256 = new Uint8Array(20)),
      (m) => (m.secretShare = new Uint8Array(31)),
      (m) => (m.streams = Array(5).fill(m.streams[0])),
      (m) => (m.streams[0]!.kind = 7 as Stream_Kind),
      (m) => (m.streams[0]!.codecs[0]!.payloadType = 128),
      (m) => m.streams[0]!.codecs.push(m.streams[0]!.codecs[0]!),
      (m) => (m.streams[0]!.codecs[0]!.name = "opus/1"),
      (m) => (m.streams[0]!.codecs[0]!.name = ""),
      (m) => (m.streams[0]!.codecs[0]!.clockRate = 0),
      (m) => (m.streams[0]!.codecs[0]!.channels = 9),
      (m) => (m.streams[0]!.codecs[0]!.parameters = "x y"),
      (m) => (m.streams[0]!.codecs[0]!.parameters = "x".repeat(257)),
      (m) => (m.streams[0]!.codecs[0]!.feedback = ["nack\r\n"]),
      (m) => (m.streams[0]!.codecs[0]!.feedback = Array(9).fill("nack")),
      (m) => (m.streams[0]!.extensions[0]!.id = 15),
      (m) => (m.streams[0]!.extensions[0]!.id = m.streams[0]!.extensions[1]!.id),
    ];
    for (const change of bad) {
      const media = read();
      change(media);
      expect(() => checkMedia(media), change.toString()).toThrow(/out of bounds/);
      expect(() => sdpFromMedia(media, "offer"), change.toString()).toThrow(/out of bounds/);
    }
  });

  test("leaves out codecs and extensions that calls aren't made with", () => {
    const media = read();
    media.streams[0]!.codecs[0]!.name = "evil-codec";
    media.streams[1]!.codecs.find((c) => c.name === "rtx")!.parameters = "apt=127";
    media.streams[1]!.extensions[0]!.kind = 99 as never;
    const sdp = sdpFromMedia(media, "offer");
    expect(sdp).not.toContain("evil");
    expect(sdp).not.toContain("apt=127");
    expect(sdp).toContain("m=audio 0 UDP/TLS/RTP/SAVPF 0");
  });

  test("of a client without DTLS makes no description for a stack", () => {
    const media = create(MediaSchema, { ...read(), dtlsSha256: new Uint8Array() });
    expect(() => checkMedia(media)).not.toThrow();
    expect(() => sdpFromMedia(media, "offer")).toThrow(/dtls_sha256/);
  });
});

describe("candidates", () => {
  test("lose what they would give away besides", () => {
    const clean = {
      "candidate:1 1 udp 2122260223 192.0.2.7 51000 typ host generation 0 ufrag abcd network-id 1":
        "candidate:1 1 udp 2122260223 192.0.2.7 51000 typ host",
      "candidate:a+/ 1 UDP 1 2001:DB8::7 1 typ srflx raddr 10.0.0.7 rport 5000":
        "candidate:a+/ 1 udp 1 2001:db8::7 1 typ srflx raddr 0.0.0.0 rport 0",
      "candidate:1 1 udp 5 192.0.2.10 60000 typ relay raddr 198.51.100.2 rport 36593":
        "candidate:1 1 udp 5 192.0.2.10 60000 typ relay raddr 0.0.0.0 rport 0",
      "candidate:1 1 udp 5 3fa85f64-5717-4562-b3fc-2c963f66afa6.local 60000 typ host":
        "candidate:1 1 udp 5 3fa85f64-5717-4562-b3fc-2c963f66afa6.local 60000 typ host",
    };
    for (const [line, expected] of Object.entries(clean)) expect(cleanCandidate(line)).toBe(expected);
  });

  test("that a peer couldn't use, or shouldn't, aren't taken", () => {
    for (const line of [
      "", "candidate:1 1 tcp 1 192.0.2.7 9 typ host tcptype active", "candidate:1 2 udp 1 192.0.2.7 9 typ host",
      "candidate:1 1 udp 4294967296 192.0.2.7 9 typ host", "candidate:1 1 udp 1 192.0.2.7 0 typ host",
      "candidate:1 1 udp 1 192.0.2.7 65536 typ host", "candidate:1 1 udp 1 192.0.2.256 9 typ host",
      "candidate:1 1 udp 1 example.org 9 typ host", "candidate:1 1 udp 1 evil.local 9 typ host",
      "candidate:1 1 udp 1 3fa85f64-5717-4562-b3fc-2c963f66afa6.local 9 typ srflx",
      "candidate:1 1 udp 1 127.0.0.1 9 typ host", "candidate:1 1 udp 1 ::1 9 typ host",
      "candidate:1 1 udp 1 ::ffff:127.0.0.1 9 typ host", "candidate:1 1 udp 1 ::ffff:7f00:1 9 typ host",
      "candidate:1 1 udp 1 0.0.0.0 9 typ host", "candidate:1 1 udp 1 224.0.0.1 9 typ host",
      "candidate:1 1 udp 1 ff02::1 9 typ host", "candidate:1 1 udp 1 192.0.2.7 9 typ other",
      "candidate:1 1 udp 1 192.0.2.7 9 typ host\r\na=ice-lite",
    ].slice(0, -1)) expect(cleanCandidate(line), line).toBeNull();
    // What follows a candidate doesn't come with it.
    expect(cleanCandidate("candidate:1 1 udp 1 192.0.2.7 9 typ host \r\na=ice-lite")).not.toContain("lite");
  });

  test("of a relay's leg are made of the server's address", () => {
    const v4 = relayCandidate({ ip: Uint8Array.of(192, 0, 2, 10), port: 50000 });
    expect(v4).toBe("candidate:4 1 udp 8388607 192.0.2.10 50000 typ relay raddr 0.0.0.0 rport 0");
    const v6 = relayCandidate({ ip: Uint8Array.of(0x20, 1, 0xd, 0xb8, ...Array(11).fill(0), 0x10), port: 1 });
    expect(v6).toContain(" 2001:db8:0:0:0:0:0:10 1 typ relay");
    expect(relayCandidate({ ip: new Uint8Array(5), port: 1 })).toBeNull();
    expect(relayCandidate({ ip: Uint8Array.of(127, 0, 0, 1), port: 1 })).toBeNull();
    expect(relayCandidate({ ip: Uint8Array.of(192, 0, 2, 10), port: 0 })).toBeNull();
  });

  test("have addresses as they should be written", () => {
    for (const ip of ["1.2.3.4", "223.255.255.255", "2001:db8::", "fe80::1", "1:2:3:4:5:6:7:8"]) expect(isUnicast(ip), ip).toBe(true);
    for (const ip of ["01.2.3.4", "1.2.3", "1.2.3.4.5", "255.255.255.255", "::", "1::2::3", "1:2:3:4:5:6:7", "1:2:3:4:5:6:7:8:9", "12345::", "g::", ":1", ""]) {
      expect(isUnicast(ip), ip).toBe(false);
    }
  });
});

test("how a call travels is read from the stack's report", () => {
  const entries: [string, Record<string, unknown>][] = [
    ["T", { type: "transport", selectedCandidatePairId: "P" }],
    ["Q", { type: "candidate-pair", nominated: true, state: "succeeded", localCandidateId: "X", remoteCandidateId: "X" }],
    ["P", { type: "candidate-pair", localCandidateId: "L", remoteCandidateId: "R", bytesSent: 5, bytesReceived: 6, packetsSent: 7, packetsReceived: 8, currentRoundTripTime: 0.012 }],
    ["L", { candidateType: "relay", address: "192.0.2.10", port: 50000 }],
    ["R", { candidateType: "relay", address: "192.0.2.10", port: 50001 }],
    ["X", { candidateType: "host", address: "192.0.2.7", port: 1 }],
    ["I", { type: "inbound-rtp", packetsLost: 2, framesReceived: 30 }],
  ];
  expect(readTravel(new Map(entries))).toEqual({
    relayed: true, local: { kind: "relay", address: "192.0.2.10", port: 50000 },
    remote: { kind: "relay", address: "192.0.2.10", port: 50001 }, bytesSent: 5, bytesReceived: 6,
    packetsSent: 7, packetsReceived: 8, packetsLost: 2, videoFrames: 30, roundTripMs: 12,
  });
  expect(readTravel(new Map())).toMatchObject({ relayed: false, local: null, bytesSent: 0 });
});
