// SPDX-License-Identifier: Apache-2.0
// One call, from either side: what the server and the peer say of it, and its media.
import { create } from "@bufbuild/protobuf";
import {
  AnswerSchema, type Invitation, type Offer, OfferSchema, Stream_Kind,
} from "../gen/call_body_pb";
import {
  CallEnded_Why, CallStopped_Why, type IncomingCall, type ServerFrame,
} from "../gen/signaling_pb";
import {
  type CallParties, hashOffer, openAnswer, openCandidates, sealAnswer, sealCandidates, sealOffer,
} from "./body";
import { hex } from "./bytes";
import { Emitter } from "./emitter";
import { type AccountKeyPairs, boxKeyPair, type KeyPair, randomBytes } from "./keys";
import type { MediaLeg } from "./media";
import type { RequestBody } from "./session";

// calling: nothing is known of the other side. ringing: here. connecting: accepted, no media yet.
export type CallState = "calling" | "ringing" | "connecting" | "connected" | "ended";

export type CallEnd =
  | "no-answer" | "hung-up" | "peer-hung-up" | "peer-lost" // as the server says
  | "answered-elsewhere" | "declined-elsewhere" | "missed" | "declined"
  | "refused" // by the server, at once: too many calls
  | "unverified" // the answer isn't the peer's
  | "no-media" // the microphone, or the way through the relay
  | "lost"; // this device's session

// What a call needs of its client.
export interface CallHost {
  readonly account: string;
  readonly keys: AccountKeyPairs;
  protectsAddress(): boolean;
  nowS(): number;
  createLeg(): MediaLeg;
  request(body: RequestBody): Promise<ServerFrame>;
  // Fresh tokens for a peer of an answered call; null if it is to have none.
  invitationFor(peer: string): Invitation | null;
  received(invitation: Invitation): void;
}

export interface PeerKeys {
  box: Uint8Array;
  sign: Uint8Array;
}

// How the caller of an incoming call is known.
export interface CallerTrust {
  contact: boolean;
  verified: boolean; // the contact's keys came from an invitation
  withToken: boolean; // the server verified a token of this account
  tokenTo: string | null; // whom it was given to, if this device gave it: a note, or ""
}

const kConnectMs = 20_000;

type Body<Case> = Extract<ServerFrame["body"], { case: Case }>;

export class Call extends Emitter<{ change: void }> {
  readonly outgoing: boolean;
  readonly peer: string;
  readonly trust: CallerTrust | null; // of incoming calls
  // The caller's camera is on from the start.
  readonly video: boolean;
  readonly #host: CallHost;
  readonly #box: KeyPair = boxKeyPair();
  #leg: MediaLeg | null = null;
  #state: CallState;
  #end: CallEnd | null = null;
  #endText = "";
  #id: Uint8Array | null = null;
  #protect = true;
  #connectedAtS: number | null = null;
  #endedAtS: number | null = null;
  #peerKeys: PeerKeys;
  #peerBox: Uint8Array | null = null;
  #offerHash: Uint8Array = new Uint8Array();
  #offer: Offer | null = null;
  #incoming: IncomingCall | null = null;
  #enclosed: Invitation | null = null;
  #placing: RequestBody | null = null;
  #timer: ReturnType<typeof setTimeout> | undefined;

  private constructor(
    host: CallHost, outgoing: boolean, peer: string, peerKeys: PeerKeys, video: boolean,
    trust: CallerTrust | null,
  ) {
    super();
    this.#host = host;
    this.outgoing = outgoing;
    this.peer = peer;
    this.#peerKeys = peerKeys;
    this.video = video;
    this.trust = trust;
    this.#state = outgoing ? "calling" : "ringing";
  }

  static outgoing(host: CallHost, peer: string, keys: PeerKeys, video: boolean): Call {
    return new Call(host, true, peer, keys, video, null);
  }

  // `offer`: of the frame, opened and checked.
  static incoming(host: CallHost, frame: IncomingCall, offer: Offer, trust: CallerTrust): Call {
    const video = offer.media!.streams.some((s) => s.kind === Stream_Kind.VIDEO && s.sends);
    const keys = { box: offer.callerBox, sign: offer.callerSign };
    const call = new Call(host, false, frame.caller, keys, video, trust);
    call.#id = frame.call;
    call.#incoming = frame;
    call.#offer = offer;
    call.#enclosed = offer.invitation ?? null;
    call.#peerBox = offer.box;
    call.#offerHash = hashOffer(frame.offer);
    return call;
  }

  // Null until this side has placed or accepted: a call that rings touches no media stack.
  get leg(): MediaLeg | null {
    return this.#leg;
  }
  get state(): CallState {
    return this.#state;
  }
  get end(): CallEnd | null {
    return this.#end;
  }
  // A sentence to go with the end, where there is one.
  get endText(): string {
    return this.#endText;
  }
  // Known once connecting: no address leaves, and none of the peer's comes.
  get protectedAddress(): boolean {
    return this.#protect;
  }
  get id(): string {
    return this.#id ? hex(this.#id) : "";
  }
  get connectedAtS(): number | null {
    return this.#connectedAtS;
  }
  get seconds(): number {
    if (this.#connectedAtS === null) return 0;
    return Math.max(0, Math.floor((this.#endedAtS ?? this.#host.nowS()) - this.#connectedAtS));
  }
  get peerKeys(): PeerKeys {
    return this.#peerKeys;
  }
  // What the peer enclosed for calling it.
  get enclosedInvitation(): Invitation | null {
    return this.#enclosed;
  }

  // `takeToken`: 85 bytes, or none; asked for when nothing else can fail here any more.
  async place(takeToken: () => Promise<Uint8Array>): Promise<void> {
    const leg = this.#startLeg();
    try {
      await leg.capture(this.video);
      const media = await leg.describe();
      if (this.#over()) return leg.close();
      const { account, keys } = this.#host;
      const offer = create(OfferSchema, {
        caller: account, recipient: this.peer, box: this.#box.publicKey,
        callerBox: keys.box.publicKey, callerSign: keys.sign.publicKey, media,
        invitation: this.#host.invitationFor(this.peer) ?? undefined,
      });
      const sealed = sealOffer(offer, keys.sign.privateKey, this.#peerKeys.box);
      this.#offerHash = hashOffer(sealed);
      const token = await takeToken();
      if (this.#over()) return;
      const value = { placeId: randomBytes(16), recipient: this.peer, token, offer: sealed };
      this.#placing = { case: "placeCall", value };
    } catch (error) {
      this.#finish("no-media", (error as Error).message);
      return;
    }
    await this.#place();
  }

  async accept(video: boolean): Promise<void> {
    if (this.#state !== "ringing") return;
    this.#setState("connecting");
    const { account, keys } = this.#host;
    const leg = this.#startLeg();
    try {
      await leg.capture(video);
      if (this.#over()) return leg.close();
      leg.allocate(this.#incoming!.relay!);
      const media = await leg.answer(this.#offer!.media!);
      const answer = create(AnswerSchema, {
        caller: this.peer, recipient: account, offerHash: this.#offerHash,
        box: this.#box.publicKey, media,
        invitation: this.#host.invitationFor(this.peer) ?? undefined,
      });
      const body = sealAnswer(answer, keys.sign.privateKey, this.#peerBox!);
      if (this.#over()) return;
      await this.#host.request({ case: "acceptCall", value: { call: this.#id!, answer: body } });
      this.#watch();
    } catch (error) {
      // Another device may have been first: then CallStopped has said so, or is about to.
      if (!this.#over()) await this.#giveUp("no-media", (error as Error).message);
    }
  }

  async decline(): Promise<void> {
    if (this.#state !== "ringing") return;
    this.#finish("declined");
    await this.#tell("declineCall");
  }

  async hangUp(): Promise<void> {
    if (this.#state === "ringing") return this.decline();
    if (!this.#over()) await this.#giveUp("hung-up");
  }

  // A new session began, and the server has forgotten the old one.
  async sessionLost(): Promise<void> {
    if (this.#state === "calling") {
      if (this.#id) await this.#place(); // under the same place_id it is the same call
    } else if (!this.#over()) {
      this.#finish("lost");
    }
  }

  connected(message: Body<"callConnected">["value"]): void {
    if (this.#over() || this.#connectedAtS !== null || !this.#leg) return;
    this.#connectedAtS = this.#host.nowS();
    // The account's own setting holds here too, whatever the server says.
    this.#protect = message.protectAddress || this.#host.protectsAddress();
    try {
      let media;
      if (this.outgoing) {
        const parties: CallParties = { caller: this.#host.account, recipient: this.peer };
        const answer = openAnswer(message.answer, this.#box, parties, this.#peerKeys, this.#offerHash);
        this.#peerBox = answer.box;
        media = answer.media;
        this.#enclosed = answer.invitation ?? null;
      }
      if (this.#enclosed) this.#host.received(this.#enclosed);
      this.#setState("connecting");
      this.#watch();
      this.#leg!.connect(this.#protect, media).catch(
        (error: Error) => void this.#giveUp("no-media", error.message));
    } catch (error) {
      void this.#giveUp("unverified", (error as Error).message);
    }
  }

  peerAddress(message: Body<"peerAddress">["value"]): void {
    if (!this.#over()) this.#leg?.addRelayed(message.relayed);
  }

  fromPeer(message: Body<"fromPeer">["value"]): void {
    if (this.#over() || this.#protect || this.#connectedAtS === null) return;
    try {
      const body = openCandidates(message.body, this.#box, this.#peerKeys.sign, this.#offerHash);
      this.#leg?.addCandidates(body.candidates);
    } catch {
      // Not of this call, or not of this peer: as if it hadn't come.
    }
  }

  stopped(why: CallStopped_Why): void {
    const ends: Partial<Record<CallStopped_Why, CallEnd>> = {
      [CallStopped_Why.ANSWERED_ELSEWHERE]: "answered-elsewhere",
      [CallStopped_Why.DECLINED_ELSEWHERE]: "declined-elsewhere",
    };
    if (this.#connectedAtS === null) this.#finish(ends[why] ?? "missed");
  }

  ended(why: CallEnded_Why): void {
    const ends: Partial<Record<CallEnded_Why, CallEnd>> = {
      [CallEnded_Why.NO_ANSWER]: "no-answer",
      [CallEnded_Why.HUNG_UP]: "hung-up",
      [CallEnded_Why.PEER_HUNG_UP]: "peer-hung-up",
    };
    this.#finish(ends[why] ?? "peer-lost");
  }

  #startLeg(): MediaLeg {
    const leg = this.#host.createLeg();
    leg.on("state", (state) => this.#mediaState(state));
    leg.on("candidates", ({ candidates, complete }) => this.#sendCandidates(candidates, complete));
    leg.on("streams", () => this.emit("change", undefined));
    this.#leg = leg;
    return leg;
  }

  async #place(): Promise<void> {
    try {
      const { body } = await this.#host.request(this.#placing!);
      if (body.case !== "callPlaced") return this.#finish("refused");
      const again = this.#id !== null;
      this.#id = body.value.call;
      if (this.#over()) return void this.#tell("hangUp");
      if (!again) this.#leg!.allocate(body.value.relay!);
    } catch (error) {
      this.#finish("refused", (error as Error).message);
    }
  }

  async #giveUp(end: CallEnd, text = ""): Promise<void> {
    this.#finish(end, text);
    if (this.#id) await this.#tell("hangUp");
  }

  async #tell(what: "hangUp" | "declineCall"): Promise<void> {
    // Refused: the call is over already.
    await this.#host.request({ case: what, value: { call: this.#id! } }).catch(() => {});
  }

  #sendCandidates(candidates: string[], complete: boolean): void {
    if (this.#protect || this.#over() || !this.#peerBox) return;
    const signKey = this.#host.keys.sign.privateKey;
    const body = sealCandidates(this.#offerHash, candidates, complete, signKey, this.#peerBox);
    this.#host.request({ case: "sendToPeer", value: { call: this.#id!, body } }).catch(() => {});
  }

  #mediaState(state: "connecting" | "connected" | "failed"): void {
    if (this.#over() || this.#connectedAtS === null) return;
    if (state === "failed") void this.#giveUp("no-media", "The media found no way.");
    else if (state === "connected") {
      clearTimeout(this.#timer);
      this.#setState("connected");
    }
  }

  #watch(): void {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => {
      if (this.#state === "connecting") void this.#giveUp("no-media", "The media found no way in time.");
    }, kConnectMs);
  }

  #over(): boolean {
    return this.#state === "ended";
  }

  #finish(end: CallEnd, text = ""): void {
    if (this.#over()) return;
    clearTimeout(this.#timer);
    this.#end = end;
    this.#endText = text;
    this.#endedAtS = this.#host.nowS();
    this.#leg?.close();
    this.#setState("ended");
  }

  #setState(state: CallState): void {
    this.#state = state;
    this.emit("change", undefined);
  }
}
