// SPDX-License-Identifier: Apache-2.0
// Notices of calls that didn't ring here. docs/protocol.md, "The silenced notice".
import sodium from "libsodium-wrappers";
import { readU32 } from "./bytes";
import { type KeyPair, kAccountPattern } from "./keys";

export type NoticeKind = "silenced" | "missed" | "more";

export interface CallNotice {
  kind: NoticeKind;
  caller: string | null; // null: of several callers (kind "more")
  atS: number; // Unix time, to the minute
  count: number; // 65535: that many or more
}

const kSize = 96;
const kKinds: readonly NoticeKind[] = ["silenced", "missed", "more"];

// Null: not sealed to this device, or not a notice.
export function openNotice(sealed: Uint8Array, device: KeyPair): CallNotice | null {
  let bytes: Uint8Array;
  try {
    bytes = sodium.crypto_box_seal_open(sealed, device.publicKey, device.privateKey);
  } catch {
    return null;
  }
  return readNotice(bytes);
}

export function readNotice(bytes: Uint8Array): CallNotice | null {
  if (bytes.length !== kSize || bytes[0] !== 1) return null;
  const kind = kKinds[bytes[1]! - 1];
  const count = (bytes[2]! << 8) | bytes[3]!;
  const size = bytes[8]!;
  if (!kind || count === 0 || size > 64 || bytes.subarray(9 + size).some((b) => b !== 0)) {
    return null;
  }
  const caller = String.fromCharCode(...bytes.subarray(9, 9 + size));
  if (kind === "more" ? size !== 0 : !kAccountPattern.test(caller)) return null;
  return { kind, caller: caller || null, atS: readU32(bytes, 4) * 60, count };
}
