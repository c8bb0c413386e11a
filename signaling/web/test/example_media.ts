// SPDX-License-Identifier: Apache-2.0
import { create } from "@bufbuild/protobuf";
import { type Media, MediaSchema, Stream_Kind } from "../src/gen/call_body_pb";

export function exampleMedia(): Media {
  return create(MediaSchema, {
    iceUfrag: "abcd", icePwd: "abcdefghijklmnopqrstuv", dtlsSha256: new Uint8Array(32).fill(0xab),
    streams: [
      { kind: Stream_Kind.AUDIO, sends: true, codecs: [{ payloadType: 111, name: "opus", clockRate: 48000, channels: 2, parameters: "minptime=10;useinbandfec=1", feedback: ["transport-cc"] }] },
    ],
  });
}
