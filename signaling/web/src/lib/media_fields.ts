// SPDX-License-Identifier: Apache-2.0
// The typed description of a call's media: its bounds, what is read of a WebRTC stack's own
// description, and the description for the stack that is made of a peer's fields. No text of a peer
// gets to the stack but what these patterns allow.
import { create } from "@bufbuild/protobuf";
import {
  type Codec, CodecSchema, HeaderExtension_Kind, HeaderExtensionSchema, type Media, MediaSchema,
  type Stream, Stream_Kind, StreamSchema,
} from "../gen/call_body_pb";
import { hex } from "./bytes";

const kIceChars = (low: number, high: number) => new RegExp(`^[A-Za-z0-9+/]{${low},${high}}$`);
const kUfrag = kIceChars(4, 256);
const kPwd = kIceChars(22, 256);
const kCodecName = /^[A-Za-z0-9-]{1,16}$/;
const kParameters = /^[A-Za-z0-9=;.+/-]{0,256}$/;
const kFeedback = /^[a-z -]{1,32}$/;
const kMaxStreams = 4;
const kMaxCodecs = 32;
const kMaxFeedback = 8;
const kMaxExtensions = 8;

// Of a stack's many codecs, those that calls are made with.
const kCodecs: Record<string, readonly string[]> = {
  audio: ["opus"],
  video: ["vp8", "vp9", "h264", "av1", "rtx"],
};

const kExtensions = new Map<string, HeaderExtension_Kind>([
  ["urn:ietf:params:rtp-hdrext:sdes:mid", HeaderExtension_Kind.MID],
  ["http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01",
    HeaderExtension_Kind.TRANSPORT_CC],
  ["http://www.webrtc.org/experiments/rtp-hdrext/abs-send-time", HeaderExtension_Kind.ABS_SEND_TIME],
  ["urn:3gpp:video-orientation", HeaderExtension_Kind.VIDEO_ORIENTATION],
]);
const kExtensionUris = new Map([...kExtensions].map(([uri, kind]) => [kind, uri]));

export class MediaError extends Error {}

// Throws a MediaError if a field is out of the bounds that call_body.proto says.
export function checkMedia(media: Media): void {
  check(kUfrag.test(media.iceUfrag), "ice_ufrag");
  check(kPwd.test(media.icePwd), "ice_pwd");
  check([0, 32].includes(media.dtlsSha256.length), "dtls_sha256");
  check([0, 32].includes(media.secretShare.length), "secret_share");
  check(media.streams.length <= kMaxStreams, "streams");
  for (const stream of media.streams) {
    check([Stream_Kind.AUDIO, Stream_Kind.VIDEO, Stream_Kind.DATA].includes(stream.kind), "kind");
    check(stream.codecs.length <= kMaxCodecs, "codecs");
    const types = stream.codecs.map((codec) => codec.payloadType);
    check(new Set(types).size === types.length, "payload_type");
    for (const codec of stream.codecs) {
      check(codec.payloadType <= 127, "payload_type");
      check(kCodecName.test(codec.name), "codec name");
      check(codec.clockRate > 0 && codec.clockRate <= 192_000, "clock_rate");
      check(codec.channels <= 8, "channels");
      check(kParameters.test(codec.parameters), "parameters");
      check(codec.feedback.length <= kMaxFeedback, "feedback");
      for (const feedback of codec.feedback) check(kFeedback.test(feedback), "feedback");
    }
    check(stream.extensions.length <= kMaxExtensions, "extensions");
    const ids = stream.extensions.map((extension) => extension.id);
    check(new Set(ids).size === ids.length, "extension id");
    for (const id of ids) check(id >= 1 && id <= 14, "extension id");
  }
}

function check(holds: boolean, field: string): asserts holds {
  if (!holds) throw new MediaError(`The description of the call's media is out of bounds: ${field}.`);
}

// What a stack says of itself (an offer or answer that it has just made), as fields.
// `sends`: the kinds that are sent from the start.
export function mediaFromSdp(sdp: string, sends: { audio: boolean; video: boolean }): Media {
  const [session = "", ...sections] = sdp.split(/\r\n(?=m=)/);
  const first = sections[0] ?? "";
  const fingerprint = attribute(first, "fingerprint") ?? attribute(session, "fingerprint") ?? "";
  const digest = /^sha-256 ((?:[0-9A-F]{2}:){31}[0-9A-F]{2})$/i.exec(fingerprint);
  const media = create(MediaSchema, {
    iceUfrag: attribute(first, "ice-ufrag") ?? "",
    icePwd: attribute(first, "ice-pwd") ?? "",
    dtlsSha256: digest ? Uint8Array.from(digest[1]!.split(":"), (b) => parseInt(b, 16)) : new Uint8Array(),
    streams: sections.map((section, index) => streamFromSdp(section, index, sends)),
  });
  check(media.dtlsSha256.length === 32, "dtls_sha256");
  checkMedia(media);
  return media;
}

function streamFromSdp(section: string, index: number, sends: { audio: boolean; video: boolean }): Stream {
  const [, kind, types] = /^m=(audio|video) \d+ UDP\/TLS\/RTP\/SAVPF ([\d ]+)/.exec(section) ?? [];
  check(kind === "audio" || kind === "video", "kind");
  // A stream's mid is its place: what the other party writes into its own description.
  check(attribute(section, "mid") === String(index), "mid");
  const codecs: Codec[] = [];
  for (const type of types!.trim().split(" ").map(Number)) {
    const [, name, rate, channels] =
      /^([^/]+)\/(\d+)(?:\/(\d+))?$/.exec(attribute(section, "rtpmap", type) ?? "") ?? [];
    if (!name || !kCodecs[kind]!.includes(name.toLowerCase())) continue;
    codecs.push(create(CodecSchema, {
      payloadType: type, name, clockRate: Number(rate), channels: Number(channels ?? 0),
      parameters: attribute(section, "fmtp", type) ?? "",
      feedback: attributes(section, "rtcp-fb", type).filter((f) => kFeedback.test(f)).slice(0, kMaxFeedback),
    }));
  }
  const extensions = attributes(section, "extmap").flatMap((line) => {
    const [, id, uri] = /^(\d+)(?:\/\w+)? (\S+)$/.exec(line) ?? [];
    const known = kExtensions.get(uri ?? "");
    return known && Number(id) <= 14 ? [create(HeaderExtensionSchema, { kind: known, id: Number(id) })] : [];
  });
  const usable = codecs.filter((codec) => kParameters.test(codec.parameters) && isRtxOfKnown(codec, codecs));
  return create(StreamSchema, {
    kind: kind === "audio" ? Stream_Kind.AUDIO : Stream_Kind.VIDEO,
    codecs: usable.slice(0, kMaxCodecs), sends: sends[kind], extensions,
  });
}

// The description of a peer, for the stack, made of its fields. `of` is what it is in the exchange.
export function sdpFromMedia(media: Media, of: "offer" | "answer"): string {
  checkMedia(media);
  check(media.dtlsSha256.length === 32, "dtls_sha256");
  const mids = media.streams.map((_, index) => index);
  const lines = [
    "v=0", "o=- 1 1 IN IP4 0.0.0.0", "s=-", "t=0 0",
    `a=group:BUNDLE ${mids.join(" ")}`, "a=extmap-allow-mixed", "a=msid-semantic: WMS",
  ];
  media.streams.forEach((stream, mid) => lines.push(...sectionOf(stream, mid, media, of)));
  return `${lines.join("\r\n")}\r\n`;
}

function sectionOf(stream: Stream, mid: number, media: Media, of: "offer" | "answer"): string[] {
  check(stream.kind !== Stream_Kind.DATA, "kind");
  const kind = stream.kind === Stream_Kind.AUDIO ? "audio" : "video";
  const codecs = stream.codecs.filter((codec) =>
    kCodecs[kind]!.includes(codec.name.toLowerCase()) && isRtxOfKnown(codec, stream.codecs));
  // A section without a codec would be no section; port 0 rejects it.
  const types = codecs.length ? codecs.map((codec) => codec.payloadType).join(" ") : "0";
  const fingerprint = hex(media.dtlsSha256).toUpperCase().match(/../g)!.join(":");
  const lines = [
    `m=${kind} ${codecs.length ? 9 : 0} UDP/TLS/RTP/SAVPF ${types}`, "c=IN IP4 0.0.0.0",
    "a=rtcp:9 IN IP4 0.0.0.0", `a=ice-ufrag:${media.iceUfrag}`, `a=ice-pwd:${media.icePwd}`,
    "a=ice-options:trickle", `a=fingerprint:sha-256 ${fingerprint}`,
    `a=setup:${of === "offer" ? "actpass" : "active"}`, `a=mid:${mid}`,
  ];
  for (const extension of stream.extensions) {
    const uri = kExtensionUris.get(extension.kind);
    if (uri) lines.push(`a=extmap:${extension.id} ${uri}`);
  }
  // Both ways, whatever is sent from the start: a camera can be turned on later without another
  // offer.
  lines.push("a=sendrecv", `a=msid:- peer-${kind}`, "a=rtcp-mux", "a=rtcp-rsize");
  for (const codec of codecs) {
    const channels = codec.channels > 1 ? `/${codec.channels}` : "";
    lines.push(`a=rtpmap:${codec.payloadType} ${codec.name}/${codec.clockRate}${channels}`);
    for (const feedback of codec.feedback) lines.push(`a=rtcp-fb:${codec.payloadType} ${feedback}`);
    if (codec.parameters) lines.push(`a=fmtp:${codec.payloadType} ${codec.parameters}`);
  }
  return lines;
}

function isRtxOfKnown(codec: Codec, all: Codec[]): boolean {
  if (codec.name.toLowerCase() !== "rtx") return true;
  const of = /^apt=(\d{1,3})(;|$)/.exec(codec.parameters)?.[1];
  return all.some((other) => String(other.payloadType) === of && other.name.toLowerCase() !== "rtx");
}

const attribute = (section: string, name: string, type?: number): string | undefined =>
  attributes(section, name, type)[0];

function attributes(section: string, name: string, type?: number): string[] {
  const start = type === undefined ? `a=${name}:` : `a=${name}:${type} `;
  return section.split("\r\n").filter((line) => line.startsWith(start))
    .map((line) => line.slice(start.length).trim());
}
