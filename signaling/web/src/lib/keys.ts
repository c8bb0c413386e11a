// SPDX-License-Identifier: Apache-2.0
// Keys of an account and of a device. docs/protocol.md, "Keys of an account".
// `await ready` before anything of this library is used: libsodium loads its WebAssembly.
import sodium from "libsodium-wrappers";

export const ready: Promise<void> = sodium.ready;

export interface KeyPair {
  publicKey: Uint8Array;
  privateKey: Uint8Array;
}

export interface AccountKeyPairs {
  box: KeyPair; // X25519
  sign: KeyPair; // Ed25519
}

export const kAccountPattern = /^[A-Za-z0-9._~@+-]{1,64}$/;

export const randomBytes = (size: number): Uint8Array => sodium.randombytes_buf(size);

export function accountKeys(secret: Uint8Array): AccountKeyPairs {
  return {
    box: sodium.crypto_box_seed_keypair(derive(secret, 1n, "sottobox")),
    sign: sodium.crypto_sign_seed_keypair(derive(secret, 1n, "sottosgn")),
  };
}

// `generation`: how often the account has revoked all tokens of the epoch.
export function epochKey(secret: Uint8Array, epoch: number, generation: number): KeyPair {
  if (generation < 0 || generation > 0xffff) {
    throw new Error("This epoch's tokens were revoked too often.");
  }
  return sodium.crypto_sign_seed_keypair(derive(secret, BigInt(epoch) * 65536n + BigInt(generation), "sottoepo"));
}

export const boxKeyPair = (): KeyPair => sodium.crypto_box_keypair();
export const boxKeyPairOf = (seed: Uint8Array): KeyPair => sodium.crypto_box_seed_keypair(seed);

export const hash = (bytes: Uint8Array): Uint8Array => sodium.crypto_generichash(32, bytes, null);

function derive(secret: Uint8Array, id: bigint, context: string): Uint8Array {
  return sodium.crypto_kdf_derive_from_key(32, id, context, secret);
}
