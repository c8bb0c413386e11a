// SPDX-License-Identifier: Apache-2.0
// Invitations: what an account gives to those it trusts, as a link. docs/protocol.md, "Privacy
// tokens". The fragment of a link isn't sent to servers.
import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { type Invitation, InvitationSchema } from "../gen/call_body_pb";
import { fromBase64Url, toBase64Url } from "./bytes";
import { kAccountPattern } from "./keys";
import { parseToken } from "./tokens";

export type { Invitation };

const kMaxTokens = 64;

export function makeInvitation(
  account: string, box: Uint8Array, sign: Uint8Array, tokens: Uint8Array[],
): Invitation {
  return create(InvitationSchema, { account, box, sign, tokens });
}

export function invitationLink(page: string, invitation: Invitation): string {
  const url = new URL(page);
  url.hash = `i=${toBase64Url(toBinary(InvitationSchema, invitation))}`;
  return url.href;
}

// From a link, or from its fragment alone.
export function readInvitation(link: string): Invitation {
  const found = /(?:^|#)i=([A-Za-z0-9_-]{1,12000})$/.exec(link.trim());
  if (!found) throw new Error("This link holds no invitation.");
  let invitation: Invitation;
  try {
    invitation = fromBinary(InvitationSchema, fromBase64Url(found[1]!));
  } catch {
    throw new Error("This invitation is damaged. Copy the whole link.");
  }
  if (!isInvitation(invitation)) throw new Error("This invitation is damaged. Ask for another.");
  return invitation;
}

// Whether every field is in its bounds.
export function isInvitation(invitation: Invitation): boolean {
  return kAccountPattern.test(invitation.account) && invitation.box.length === 32 &&
    invitation.sign.length === 32 && invitation.tokens.length <= kMaxTokens &&
    invitation.tokens.every((token) => parseToken(token) !== null);
}
