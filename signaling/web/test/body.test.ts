// SPDX-License-Identifier: Apache-2.0
import { create, toBinary } from "@bufbuild/protobuf";
import sodium from "libsodium-wrappers";
import { beforeAll, beforeEach, describe, expect, test } from "vitest";
import {
  type Answer, AnswerSchema, type Offer, OfferSchema, SignedSchema,
} from "../src/gen/call_body_pb";
import {
  BodyError, hashOffer, kBodySizes, openAnswer, openCandidates, openOffer, sealAnswer,
  sealCandidates, sealOffer,
} from "../src/lib/body";
import { concat, u32, utf8 } from "../src/lib/bytes";
import { invitationLink, isInvitation, makeInvitation, readInvitation } from "../src/lib/invitation";
import { type AccountKeyPairs, accountKeys, boxKeyPair, epochKey, type KeyPair, randomBytes, ready } from "../src/lib/keys";
import { openNotice, readNotice } from "../src/lib/notice";
import { issueToken } from "../src/lib/tokens";
import { exampleMedia } from "./example_media";

const kParties = { caller: "alice", recipient: "bob" };
let alice: AccountKeyPairs;
let bob: AccountKeyPairs;
let callBox: KeyPair;
let offer: Offer;

beforeAll(() => ready);
beforeEach(() => {
  alice = accountKeys(randomBytes(32));
  bob = accountKeys(randomBytes(32));
  callBox = boxKeyPair();
  offer = create(OfferSchema, {
    ...kParties, box: callBox.publicKey, callerBox: alice.box.publicKey,
    callerSign: alice.sign.publicKey, media: exampleMedia(),
  });
});

const sealed = () => sealOffer(offer, alice.sign.privateKey, bob.box.publicKey);

// A body with content of the test's choosing, signed and sealed as the protocol says.
function forge(content: Uint8Array, context: string, key: Uint8Array, to: Uint8Array, size = 1024, junk = 0): Uint8Array {
  const signature = sodium.crypto_sign_detached(concat(utf8(`${context}\0`), content), key);
  const signed = toBinary(SignedSchema, create(SignedSchema, { content, signature }));
  const padded = new Uint8Array(size - 48);
  padded.set(concat(u32(signed.length), signed));
  padded[padded.length - 1] = junk;
  return sodium.crypto_box_seal(padded, to);
}

describe("an offer", () => {
  test("opens for its recipient and has a size of a body", () => {
    const body = sealed();
    expect(kBodySizes).toContain(body.length);
    expect(openOffer(body, bob.box, kParties, alice.sign.publicKey).media).toEqual(offer.media);
    expect(openOffer(body, bob.box, kParties, null).caller).toBe("alice");
  });

  test("is dropped as a whole if anything is wrong", () => {
    const mallory = accountKeys(randomBytes(32));
    const body = sealed();
    const open = (bytes: Uint8Array, parties = kParties, sign: Uint8Array | null = null, box = bob.box) =>
      () => openOffer(bytes, box, parties, sign);
    expect(open(body, kParties, null, mallory.box)).toThrow(BodyError);
    expect(open(body, { caller: "mallory", recipient: "bob" })).toThrow(/another call/);
    expect(open(body, { caller: "alice", recipient: "carol" })).toThrow(/another call/);
    expect(open(body, kParties, mallory.sign.publicKey)).toThrow(/another key/);
    expect(open(body.subarray(1))).toThrow(/size/);
    const flipped = body.slice();
    flipped[200]! ^= 1;
    expect(open(flipped)).toThrow(BodyError);
    const content = toBinary(OfferSchema, offer);
    const to = bob.box.publicKey;
    expect(open(forge(content, "sotto offer v1", alice.sign.privateKey, to, 512))).not.toThrow();
    expect(open(forge(content, "sotto offer v1", alice.sign.privateKey, to, 512, 1))).toThrow(/padding/);
    expect(open(forge(content, "sotto offer v1", alice.sign.privateKey, to, 1024))).toThrow(/padding/);
    expect(open(forge(content, "sotto answer v1", alice.sign.privateKey, to, 512))).toThrow(/signature/);
    expect(open(forge(content, "sotto offer v1", mallory.sign.privateKey, to, 512))).toThrow(/signature/);
    expect(open(forge(utf8("no protobuf"), "sotto offer v1", alice.sign.privateKey, to, 512))).toThrow(BodyError);
    offer.media!.streams[0]!.codecs[0]!.parameters = "a\r\na=candidate:1";
    expect(open(sealed())).toThrow(/parameters/);
  });

  test("may enclose the caller's own invitation alone", () => {
    const token = issueToken(epochKey(randomBytes(32), 5, 0).privateKey, "alice", 5);
    offer.invitation = makeInvitation("alice", alice.box.publicKey, alice.sign.publicKey, [token]);
    expect(openOffer(sealed(), bob.box, kParties, null).invitation?.tokens).toEqual([token]);
    offer.invitation.account = "carol";
    expect(() => openOffer(sealed(), bob.box, kParties, null)).toThrow(/invitation/);
    offer.invitation = makeInvitation("alice", bob.box.publicKey, alice.sign.publicKey, []);
    expect(() => openOffer(sealed(), bob.box, kParties, null)).toThrow(/invitation/);
  });

  test("that is too large isn't sealed", () => {
    offer.caller = "x".repeat(17_000);
    expect(sealed).toThrow(/too large/);
  });
});

describe("an answer", () => {
  let answer: Answer;
  const open = (body: Uint8Array, parties = kParties, hash = hashOffer(utf8("the offer")), sign = bob.sign.publicKey) =>
    openAnswer(body, callBox, parties, { box: bob.box.publicKey, sign }, hash);
  const sealIt = () => sealAnswer(answer, bob.sign.privateKey, callBox.publicKey);

  beforeEach(() => {
    answer = create(AnswerSchema, {
      ...kParties, offerHash: hashOffer(utf8("the offer")), box: boxKeyPair().publicKey, media: exampleMedia(),
    });
  });

  test("opens for its offer and nobody else's", () => {
    expect(open(sealIt()).media).toEqual(answer.media);
    expect(() => open(sealIt(), { caller: "alice", recipient: "carol" })).toThrow(/another call/);
    expect(() => open(sealIt(), kParties, hashOffer(utf8("another")))).toThrow(/another offer/);
    expect(() => open(sealIt(), kParties, undefined, alice.sign.publicKey)).toThrow(/signature/);
  });

  test("needs media and a key", () => {
    answer.box = new Uint8Array(31);
    expect(() => open(sealIt())).toThrow(/key/);
    answer.box = new Uint8Array(32);
    answer.media = undefined;
    expect(() => open(sealIt())).toThrow(/media/);
  });
});

test("candidates come clean, of this call and this peer", () => {
  const offerHash = hashOffer(utf8("the offer"));
  const lines = ["candidate:1 1 udp 99 192.0.2.7 4000 typ srflx raddr 10.1.2.3 rport 9 generation 0", "nonsense"];
  const body = sealCandidates(offerHash, lines, true, bob.sign.privateKey, callBox.publicKey);
  expect(openCandidates(body, callBox, bob.sign.publicKey, offerHash).candidates)
    .toEqual(["candidate:1 1 udp 99 192.0.2.7 4000 typ srflx raddr 0.0.0.0 rport 0"]);
  expect(() => openCandidates(body, callBox, alice.sign.publicKey, offerHash)).toThrow(/signature/);
  expect(() => openCandidates(body, callBox, bob.sign.publicKey, hashOffer(utf8("x")))).toThrow(/another offer/);
});

describe("an invitation", () => {
  const make = (tokens: Uint8Array[]) =>
    makeInvitation("bob@example.org", bob.box.publicKey, bob.sign.publicKey, tokens);

  test("goes through a link", () => {
    const tokens = [issueToken(epochKey(randomBytes(32), 5, 0).privateKey, "bob@example.org", 5)];
    const link = invitationLink("https://sotto.example/?a=b#old", make(tokens));
    expect(link).toMatch(/^https:\/\/sotto\.example\/\?a=b#i=[A-Za-z0-9_-]+$/);
    expect(readInvitation(link)).toEqual(make(tokens));
    expect(readInvitation(`  ${link}\n`)).toEqual(make(tokens));
  });

  test("that isn't one is refused in words", () => {
    const link = invitationLink("https://sotto.example/", make([]));
    expect(() => readInvitation("https://sotto.example/")).toThrow(/holds no invitation/);
    expect(() => readInvitation(link.slice(0, -2))).toThrow(/damaged/);
    const bad = [{ account: "a b" }, { box: new Uint8Array(31) }, { sign: new Uint8Array(33) }, { tokens: [new Uint8Array(84)] }];
    for (const change of bad) expect(isInvitation({ ...make([]), ...change })).toBe(false);
  });
});

describe("a notice", () => {
  const encode = (kind: number, caller: string, count = 3) => {
    const bytes = new Uint8Array(96);
    bytes.set([1, kind, count >> 8, count & 255, 0, 0, 1, 2, caller.length, ...utf8(caller)]);
    return bytes;
  };

  test("says who called, when and how often", () => {
    const device = boxKeyPair();
    const notice = openNotice(sodium.crypto_box_seal(encode(1, "mallory", 300), device.publicKey), device);
    expect(notice).toEqual({ kind: "silenced", caller: "mallory", atS: 258 * 60, count: 300 });
    expect(readNotice(encode(2, "carol"))?.kind).toBe("missed");
    expect(readNotice(encode(3, ""))).toMatchObject({ kind: "more", caller: null });
    expect(openNotice(sodium.crypto_box_seal(encode(1, "mallory"), boxKeyPair().publicKey), device)).toBeNull();
  });

  test("of another form isn't one", () => {
    const changed = (at: number, value: number) => {
      const bytes = encode(1, "mallory");
      bytes[at] = value;
      return readNotice(bytes);
    };
    expect(changed(0, 2)).toBeNull(); // version
    expect(changed(1, 0)).toBeNull(); // kinds
    expect(changed(1, 4)).toBeNull();
    expect(changed(8, 65)).toBeNull(); // the caller's length
    expect(changed(8, 6)).toBeNull();
    expect(changed(9, 0x3c)).toBeNull(); // "<"
    expect(changed(95, 1)).toBeNull(); // padding
    expect(readNotice(encode(1, ""))).toBeNull();
    expect(readNotice(encode(3, "mallory"))).toBeNull();
    expect(readNotice(encode(1, "mallory", 0))).toBeNull();
    expect(readNotice(encode(1, "mallory").subarray(1))).toBeNull();
  });
});
