// SPDX-License-Identifier: Apache-2.0
import sodium from "libsodium-wrappers";
import { readFileSync } from "node:fs";
import { beforeAll, describe, expect, test } from "vitest";
import { equal, fromHex, hex } from "../src/lib/bytes";
import { accountKeys, epochKey, ready } from "../src/lib/keys";
import { epochAt, isLive, issueToken, nullifier, parseToken, verifyToken } from "../src/lib/tokens";

beforeAll(() => ready);

// The example of docs/protocol.md, read from there.
function example(): Record<string, string> {
  const text = readFileSync(new URL("../../../docs/protocol.md", import.meta.url), "utf8");
  const block = /\*\*Example\.\*\*[^`]*```\n([^`]*)```/.exec(text)![1]!;
  const fields: Record<string, string> = {};
  let last = "";
  for (const line of block.trimEnd().split("\n")) {
    const [, name, value] = /^(\S[^0-9]*?)? {2,}(\S.*)$/.exec(line)!;
    last = name ?? last;
    fields[last] = (fields[last] ?? "") + value!.replaceAll(" ", "");
  }
  return fields;
}

describe("tokens", () => {
  test("are those of the specification's example", () => {
    const fields = example();
    const pair = sodium.crypto_sign_seed_keypair(fromHex(fields["seed of the key pair"]!));
    expect(hex(pair.publicKey)).toBe(fields["public key"]);
    const { account, epoch, serial } = fields as { account: string; epoch: string; serial: string };
    const token = issueToken(pair.privateKey, account, Number(epoch), fromHex(serial));
    expect(hex(token)).toBe(fields.token);
    expect(hex(nullifier(account, Number(epoch), fromHex(serial)))).toBe(fields.nullifier);
  });

  test("hold for one account, and break with any bit", () => {
    const key = epochKey(new Uint8Array(32).fill(7), 2922, 0);
    const token = issueToken(key.privateKey, "bob", 2922);
    expect(verifyToken(parseToken(token)!, "bob", key.publicKey)).toBe(true);
    expect(verifyToken(parseToken(token)!, "bop", key.publicKey)).toBe(false);
    for (let bit = 8; bit < token.length * 8; bit++) {
      const changed = token.slice();
      changed[bit >> 3]! ^= 1 << (bit & 7);
      expect(verifyToken(parseToken(changed)!, "bob", key.publicKey)).toBe(false);
    }
  });

  test("of another size or version aren't any", () => {
    const token = issueToken(epochKey(new Uint8Array(32), 1, 0).privateKey, "bob", 1);
    expect(parseToken(token.subarray(1))).toBeNull();
    token[0] = 2;
    expect(parseToken(token)).toBeNull();
  });

  test("ring in their epoch and the next", () => {
    const epoch = epochAt(1_767_225_600);
    expect(epoch).toBe(2922);
    expect([-2, -1, 0, 1].map((d) => isLive(epoch + d, 1_767_225_600))).toEqual([false, true, true, false]);
  });
});

describe("keys", () => {
  // libsodium's own crypto_kdf_derive_from_key, called from C, with a secret of zeros.
  test("of an epoch are derived under a number beyond 32 bits where need be", () => {
    const derived = sodium.crypto_kdf_derive_from_key(32, 2900n * 65536n + 1n, "sottoepo", new Uint8Array(32));
    expect(hex(derived)).toBe("4a0079b7f24fc11f369c974cd46a303b357b69f53b5d6b126f5a6f6a9d4928b1");
    const late = epochKey(new Uint8Array(32), 70_000, 3);
    const seed = sodium.crypto_kdf_derive_from_key(32, 70_000n * 65536n + 3n, "sottoepo", new Uint8Array(32));
    expect(equal(late.publicKey, sodium.crypto_sign_seed_keypair(seed).publicKey)).toBe(true);
    expect(hex(seed)).toBe("bdaa2d22b878496bec5ed83161db9ae94b2df80bd85b878a2623f1c41d5b10dd");
  });

  test("of an account depend on its secret alone", () => {
    const secret = new Uint8Array(32).fill(1);
    expect(hex(accountKeys(secret).sign.publicKey)).toBe(hex(accountKeys(secret).sign.publicKey));
    expect(epochKey(secret, 5, 0).publicKey).not.toEqual(epochKey(secret, 5, 1).publicKey);
    expect(() => epochKey(secret, 5, 65536)).toThrow();
  });
});
