// SPDX-License-Identifier: Apache-2.0
// The tokens of an account: those that it issued, and those that its contacts gave it.
import { create } from "@bufbuild/protobuf";
import { type Contact, IssuedTokenSchema, type LocalState } from "../gen/local_state_pb";
import { equal } from "./bytes";
import { epochKey } from "./keys";
import { epochAt, isLive, issueToken, parseToken } from "./tokens";

const kMaxIssued = 4000; // the oldest are forgotten: they still ring, without a note
const kMaxHeld = 32; // of one contact
const kMaxUsed = 64;

// Tokens of the current epoch, which ring for 7 to 14 days, and of the next, which ring after that.
export function issueTokens(
  state: LocalState, to: string, current: number, next: number, nowS: number,
): Uint8Array[] {
  const epoch = epochAt(nowS);
  state.issued = state.issued.filter((issued) => issued.epoch >= epoch - 1);
  const tokens = [...Array<number>(current).fill(epoch), ...Array<number>(next).fill(epoch + 1)]
    .map((of) => {
      const key = epochKey(state.accountSecret, of, state.generations[of] ?? 0);
      return issueToken(key.privateKey, state.account, of);
    });
  for (const token of tokens) {
    const { serial, epoch: of } = parseToken(token)!;
    state.issued.push(create(IssuedTokenSchema, { serial, epoch: of, to }));
  }
  state.issued = state.issued.slice(-kMaxIssued);
  return tokens;
}

// Whom a token of this account was given to: null if not by this device, "" without a note.
export function issuedTo(state: LocalState, serial: Uint8Array): string | null {
  return state.issued.find((issued) => equal(issued.serial, serial))?.to ?? null;
}

// Takes one that rings now, and doesn't give it twice; empty if there is none. The latest comes first:
// those of before may have been revoked meanwhile.
export function takeToken(contact: Contact, nowS: number): Uint8Array {
  const token = usableTokens(contact, nowS).at(-1);
  if (!token) return new Uint8Array();
  contact.tokens = contact.tokens.filter((other) => other !== token);
  contact.used = [...contact.used, token].slice(-kMaxUsed);
  return token;
}

export function usableTokens(contact: Contact, nowS: number): Uint8Array[] {
  return contact.tokens.filter((token) => isLive(parseToken(token)!.epoch, nowS));
}

// Adds those that aren't there yet, and drops what has expired; the newest stay.
export function keepTokens(contact: Contact, tokens: Uint8Array[], nowS: number): void {
  const oldest = epochAt(nowS) - 1;
  const known = [...contact.tokens, ...contact.used];
  const fresh = tokens.filter((token) => !known.some((held) => equal(held, token)));
  contact.tokens = [...contact.tokens, ...fresh]
    .filter((token) => parseToken(token)!.epoch >= oldest).slice(-kMaxHeld);
}
