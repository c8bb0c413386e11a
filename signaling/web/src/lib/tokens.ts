// SPDX-License-Identifier: Apache-2.0
// Privacy tokens: 85 bytes that ring once. docs/protocol.md, "Privacy tokens".
import sodium from "libsodium-wrappers";
import { concat, readU32, u32, utf8 } from "./bytes";
import { hash, randomBytes } from "./keys";

export const kTokenSize = 85;
export const kEpochSeconds = 604_800;
const kVersion = 1;

export interface Token {
  epoch: number;
  serial: Uint8Array;
  signature: Uint8Array;
}

export const epochAt = (unixS: number): number => Math.floor(unixS / kEpochSeconds);

// Whether a token of this epoch rings now; the server is more lenient by 300 seconds.
export function isLive(epoch: number, unixS: number): boolean {
  const now = epochAt(unixS);
  return epoch === now || epoch === now - 1;
}

export function parseToken(bytes: Uint8Array): Token | null {
  if (bytes.length !== kTokenSize || bytes[0] !== kVersion) return null;
  return { epoch: readU32(bytes, 1), serial: bytes.slice(5, 21), signature: bytes.slice(21) };
}

// `key` is the secret key of the account's epoch.
export function issueToken(
  key: Uint8Array, account: string, epoch: number, serial = randomBytes(16),
): Uint8Array {
  const signature = sodium.crypto_sign_detached(signedPart(account, epoch, serial), key);
  return concat(Uint8Array.of(kVersion), u32(epoch), serial, signature);
}

export function verifyToken(token: Token, account: string, publicKey: Uint8Array): boolean {
  const message = signedPart(account, token.epoch, token.serial);
  return sodium.crypto_sign_verify_detached(token.signature, message, publicKey);
}

export function nullifier(account: string, epoch: number, serial: Uint8Array): Uint8Array {
  return hash(named("sotto nullifier v1", account, epoch, serial));
}

const signedPart = (account: string, epoch: number, serial: Uint8Array): Uint8Array =>
  named("sotto privacy token v1", account, epoch, serial);

function named(context: string, account: string, epoch: number, serial: Uint8Array): Uint8Array {
  const name = utf8(account);
  return concat(utf8(`${context}\0`), Uint8Array.of(name.length), name, u32(epoch), serial);
}
