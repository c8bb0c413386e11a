// SPDX-License-Identifier: Apache-2.0
// Sotto's client library.
export * from "./client";
export type { CallEnd, CallerTrust, CallState } from "./call";
export { type Invitation, readInvitation } from "./invitation";
export { kAccountPattern, ready } from "./keys";
export type { MediaLeg, TravelReport } from "./media";
export { PastCall_Kind } from "../gen/local_state_pb";
export { RefusedError } from "./session";
export { IndexedDbStorage, MemoryStorage, type Storage } from "./storage";
