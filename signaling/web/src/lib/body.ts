// SPDX-License-Identifier: Apache-2.0
// Sealed bodies: what clients say to each other through a server that can't read it.
// docs/protocol.md, "Bodies". Whoever opens one gets all of it checked, or a BodyError.
import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import sodium from "libsodium-wrappers";
import {
  type Answer, AnswerSchema, type Candidates, CandidatesSchema, type Media, type Offer, OfferSchema,
  SignedSchema,
} from "../gen/call_body_pb";
import { concat, equal, readU32, u32, utf8 } from "./bytes";
import { cleanCandidate } from "./candidates";
import { isInvitation } from "./invitation";
import { hash, type KeyPair } from "./keys";
import { checkMedia } from "./media_fields";

export const kBodySizes: readonly number[] = [512, 1024, 2048, 4096, 8192, 16384];
const kMaxCandidates = 64;

export class BodyError extends Error {}

type Context = "sotto offer v1" | "sotto answer v1" | "sotto candidates v1";

export interface CallParties {
  caller: string;
  recipient: string;
}

export function sealOffer(offer: Offer, signKey: Uint8Array, recipientBox: Uint8Array): Uint8Array {
  return seal("sotto offer v1", toBinary(OfferSchema, offer), signKey, recipientBox);
}

export function sealAnswer(answer: Answer, signKey: Uint8Array, offerBox: Uint8Array): Uint8Array {
  return seal("sotto answer v1", toBinary(AnswerSchema, answer), signKey, offerBox);
}

export function sealCandidates(
  offerHash: Uint8Array, candidates: string[], complete: boolean, signKey: Uint8Array, peerBox: Uint8Array,
): Uint8Array {
  const content = create(CandidatesSchema, { offerHash, candidates, complete });
  return seal("sotto candidates v1", toBinary(CandidatesSchema, content), signKey, peerBox);
}

export const hashOffer = (sealed: Uint8Array): Uint8Array => hash(sealed);

// `contactSign`: AccountKeys.sign of the contact who the server says is calling, if it is one.
export function openOffer(
  sealed: Uint8Array, box: KeyPair, parties: CallParties, contactSign: Uint8Array | null,
): Offer {
  const signed = open(sealed, box);
  const offer = parse(() => fromBinary(OfferSchema, signed.content));
  if (offer.callerSign.length !== 32 || offer.callerBox.length !== 32 || offer.box.length !== 32) {
    throw new BodyError("The offer's keys have the wrong size.");
  }
  if (contactSign && !equal(offer.callerSign, contactSign)) {
    throw new BodyError("The offer is signed with another key than the contact's.");
  }
  verify("sotto offer v1", signed, offer.callerSign);
  checkParties(offer, parties);
  checkBodyMedia(offer.media);
  const invitation = offer.invitation;
  if (invitation && !(invitation.account === offer.caller && isInvitation(invitation) &&
      equal(invitation.box, offer.callerBox) && equal(invitation.sign, offer.callerSign))) {
    throw new BodyError("The offer's invitation isn't the caller's.");
  }
  return offer;
}

// `recipientSign`, `recipientBox`: the keys that the offer was made for.
export function openAnswer(
  sealed: Uint8Array, offerBox: KeyPair, parties: CallParties,
  recipient: { box: Uint8Array; sign: Uint8Array }, offerHash: Uint8Array,
): Answer {
  const signed = open(sealed, offerBox);
  verify("sotto answer v1", signed, recipient.sign);
  const answer = parse(() => fromBinary(AnswerSchema, signed.content));
  checkParties(answer, parties);
  checkOfferHash(answer.offerHash, offerHash);
  if (answer.box.length !== 32) throw new BodyError("The answer's key has the wrong size.");
  checkBodyMedia(answer.media);
  const invitation = answer.invitation;
  if (invitation && !(invitation.account === answer.recipient && isInvitation(invitation) &&
      equal(invitation.box, recipient.box) && equal(invitation.sign, recipient.sign))) {
    throw new BodyError("The answer's invitation isn't the recipient's.");
  }
  return answer;
}

// The candidates are made again from their parts; those that aren't any are left out.
export function openCandidates(
  sealed: Uint8Array, box: KeyPair, senderSign: Uint8Array, offerHash: Uint8Array,
): Candidates {
  const signed = open(sealed, box);
  verify("sotto candidates v1", signed, senderSign);
  const body = parse(() => fromBinary(CandidatesSchema, signed.content));
  checkOfferHash(body.offerHash, offerHash);
  if (body.candidates.length > kMaxCandidates) throw new BodyError("These are too many candidates.");
  body.candidates = body.candidates.map(cleanCandidate).filter((line) => line !== null);
  return body;
}

function seal(context: Context, content: Uint8Array, signKey: Uint8Array, box: Uint8Array): Uint8Array {
  const signature = sodium.crypto_sign_detached(signedPart(context, content), signKey);
  const signed = toBinary(SignedSchema, create(SignedSchema, { content, signature }));
  const sealedSize = 4 + signed.length + sodium.crypto_box_SEALBYTES;
  const size = kBodySizes.find((candidate) => candidate >= sealedSize);
  if (!size) throw new BodyError(`A body of ${sealedSize} bytes is too large.`);
  const padded = new Uint8Array(size - sodium.crypto_box_SEALBYTES);
  padded.set(u32(signed.length));
  padded.set(signed, 4);
  return sodium.crypto_box_seal(padded, box);
}

interface SignedBody {
  content: Uint8Array;
  signature: Uint8Array;
}

function open(sealed: Uint8Array, box: KeyPair): SignedBody {
  if (!kBodySizes.includes(sealed.length)) throw new BodyError("The body has no size of a body.");
  let padded: Uint8Array;
  try {
    padded = sodium.crypto_box_seal_open(sealed, box.publicKey, box.privateKey);
  } catch {
    throw new BodyError("The body isn't sealed to this key.");
  }
  const size = readU32(padded, 0);
  if (size > padded.length - 4) throw new BodyError("The body is shorter than it says.");
  // One padding for each content, so that nothing can be hidden in it.
  const smallest = kBodySizes.find((s) => s >= 4 + size + sodium.crypto_box_SEALBYTES);
  if (padded.subarray(4 + size).some((byte) => byte !== 0) || smallest !== sealed.length) {
    throw new BodyError("The body's padding isn't what it should be.");
  }
  const signed = parse(() => fromBinary(SignedSchema, padded.subarray(4, 4 + size)));
  if (signed.signature.length !== 64) throw new BodyError("The signature has the wrong size.");
  return signed;
}

function verify(context: Context, body: SignedBody, key: Uint8Array): void {
  const message = signedPart(context, body.content);
  if (!sodium.crypto_sign_verify_detached(body.signature, message, key)) {
    throw new BodyError("The signature doesn't hold.");
  }
}

const signedPart = (context: Context, content: Uint8Array): Uint8Array =>
  concat(utf8(`${context}\0`), content);

function parse<T>(read: () => T): T {
  try {
    return read();
  } catch {
    throw new BodyError("The body can't be read.");
  }
}

function checkParties(body: CallParties, expected: CallParties): void {
  if (body.caller !== expected.caller || body.recipient !== expected.recipient) {
    throw new BodyError("The body was made for another call.");
  }
}

function checkOfferHash(found: Uint8Array, expected: Uint8Array): void {
  if (!equal(found, expected)) throw new BodyError("The body belongs to another offer.");
}

function checkBodyMedia(media: Media | undefined): void {
  if (!media) throw new BodyError("The body describes no media.");
  try {
    checkMedia(media);
  } catch (error) {
    throw new BodyError((error as Error).message);
  }
}

