// SPDX-License-Identifier: Apache-2.0
// One account on one device: its session, settings, contacts, history and calls.
// `await ready` (keys.ts) first. "change" says that anything that can be read here has changed.
import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import type { Invitation, Offer } from "../gen/call_body_pb";
import {
  type Contact, ContactSchema, type LocalState, LocalStateSchema, type PastCall, PastCall_Kind,
  PastCallSchema,
} from "../gen/local_state_pb";
import {
  type IncomingCall, type Notice, type ServerFrame, type Settings, SettingsSchema, type Welcome,
} from "../gen/signaling_pb";
import { BodyError, openOffer } from "./body";
import { equal, fromBase64Url, hex, toBase64Url } from "./bytes";
import { Call, type CallHost, type CallEnd, type PeerKeys } from "./call";
import { Emitter } from "./emitter";
import { invitationLink, makeInvitation } from "./invitation";
import {
  accountKeys, type AccountKeyPairs, boxKeyPairOf, epochKey, kAccountPattern, type KeyPair,
  randomBytes,
} from "./keys";
import { type MediaLeg, WebRtcLeg } from "./media";
import { type CallNotice, openNotice } from "./notice";
import { type RequestBody, Session, type SessionEnd, type SessionState } from "./session";
import type { Storage } from "./storage";
import { issuedTo, issueTokens, keepTokens, takeToken, usableTokens } from "./token_purse";
import { epochAt } from "./tokens";

export type { Call, Contact, LocalState, PastCall, Settings };

export interface ClientOptions {
  url: string; // wss://HOST/v1
  page: string; // what links lead to
  storage: Storage;
  state: LocalState; // from openState() or newState()
  // A development identity for the account, where the server makes those.
  renewIdentity?: (account: string) => Promise<string>;
  createLeg?: () => MediaLeg;
  connect?: (url: string) => WebSocket;
  nowMs?: () => number;
}

type ClientEvents = { change: void; incoming: Call; saveFailed: Error };

const kUsesOfToken = 1;
const kLinkTokens = { current: 3, next: 1 }; // few enough for a QR code that any camera reads
const kCallTokens = { current: 2, next: 2 };
const kMaxHistory = 200;
const kMaxRinging = 4;
const kRenewBeforeMs = 120_000;
const kUpkeepMs = 3600_000; // an epoch's keys are put a week ahead
const kLongestTimeoutMs = 2 ** 31 - 1;

export function newState(account: string, identity: string, development: boolean): LocalState {
  return create(LocalStateSchema, {
    account, identity, development, accountSecret: randomBytes(32), device: randomBytes(16),
    noticeSeed: randomBytes(32),
  });
}

// The account that a JWT is for, and when it expires (Unix time in ms); its signature is the server's
// to verify.
export function readIdentity(jwt: string): { account: string; expiresMs: number } {
  try {
    const payload = JSON.parse(new TextDecoder().decode(fromBase64Url(jwt.trim().split(".")[1] ?? ""))) as
      { sub?: unknown; exp?: unknown };
    if (typeof payload.sub === "string" && kAccountPattern.test(payload.sub) && typeof payload.exp === "number") {
      return { account: payload.sub, expiresMs: payload.exp * 1000 };
    }
  } catch {
    // said below
  }
  throw new Error("This isn't an identity: it should be a JWT with `sub` and `exp`.");
}

// What another device of the account needs, as the fragment of a link. It holds the account's secret.
export function readDeviceLink(link: string): LocalState {
  const found = /(?:^|#)d=([A-Za-z0-9_-]{1,12000})$/.exec(link.trim());
  try {
    const state = fromBinary(LocalStateSchema, fromBase64Url(found![1]!));
    if (kAccountPattern.test(state.account) && state.accountSecret.length === 32) return state;
  } catch {
    // said below
  }
  throw new Error("This link adds no device. Copy the whole link.");
}

export class Client extends Emitter<ClientEvents> implements CallHost {
  readonly keys: AccountKeyPairs;
  readonly calls = new Set<Call>(); // those that aren't over
  readonly #options: ClientOptions;
  readonly #state: LocalState;
  readonly #noticeKey: KeyPair;
  readonly #session: Session;
  #settings: Settings = create(SettingsSchema);
  #clockOffsetMs = 0;
  #keysElsewhere = false;
  #epochs = new Set<number>();
  #renewal: ReturnType<typeof setTimeout> | undefined;
  #upkeep: ReturnType<typeof setInterval> | undefined;

  constructor(options: ClientOptions) {
    super();
    this.#options = options;
    this.#state = options.state;
    this.keys = accountKeys(this.#state.accountSecret);
    this.#noticeKey = boxKeyPairOf(this.#state.noticeSeed);
    this.#session = new Session({
      url: options.url, identity: () => this.#state.identity, device: this.#state.device,
      noticeKey: this.#noticeKey.publicKey, connect: options.connect,
    });
    this.#session.on("state", () => this.#sessionChanged());
    this.#session.on("welcome", ({ welcome, fresh }) => this.#welcome(welcome, fresh));
    this.#session.on("event", (frame) => this.#event(frame));
  }

  get account(): string {
    return this.#state.account;
  }
  get connection(): SessionState {
    return this.#session.state;
  }
  get sessionEnd(): SessionEnd | null {
    return this.#session.end;
  }
  get settings(): Readonly<Settings> {
    return this.#settings;
  }
  get contacts(): readonly Contact[] {
    return this.#state.contacts;
  }
  get history(): readonly PastCall[] {
    return this.#state.history;
  }
  get blocked(): readonly string[] {
    return this.#state.blocked;
  }
  // The server has keys of this account that aren't this device's: it isn't linked, or the secret
  // was lost. Nothing is issued until linkDevice() or startOver().
  get keysElsewhere(): boolean {
    return this.#keysElsewhere;
  }

  start(): void {
    this.#save();
    this.#scheduleRenewal();
    clearInterval(this.#upkeep);
    this.#upkeep = setInterval(() => this.#keepUp(), kUpkeepMs);
    this.#session.start();
  }

  async stop(): Promise<void> {
    clearTimeout(this.#renewal);
    clearInterval(this.#upkeep);
    await Promise.all([...this.calls].map((call) => call.hangUp()));
    this.#session.close();
  }

  // After sessionEnd "identity".
  signInAgain(identity: string): void {
    if (readIdentity(identity).account !== this.account) throw new Error("This identity is another account's.");
    this.#state.identity = identity.trim();
    this.start();
  }

  async setSettings(change: Partial<Pick<Settings, "silenceUnknownCallers" | "protectIpAddress">>): Promise<void> {
    const settings = create(SettingsSchema, { ...this.#settings, ...change });
    await this.#session.request({ case: "putSettings", value: { settings } });
    this.#settings = settings;
    this.#changed();
  }

  // `to`: a note for this account alone.
  createInvitation(to: string): string {
    const tokens = issueTokens(this.#state, to, kLinkTokens.current, kLinkTokens.next, this.nowS());
    this.#save();
    return invitationLink(this.#options.page, this.#invitation(tokens));
  }

  acceptInvitation(invitation: Invitation): Contact {
    if (invitation.account === this.account) throw new Error("This invitation is your own.");
    const contact = this.#keep(invitation, true);
    this.#save();
    return contact;
  }

  contact(account: string): Contact | null {
    return this.#state.contacts.find((contact) => contact.account === account) ?? null;
  }

  callsLeft(contact: Contact): number {
    return usableTokens(contact, this.nowS()).length;
  }

  // The tokens that the contact has of this device ring no more.
  async removeContact(account: string): Promise<void> {
    await this.#revokeTokensOf(account);
    this.#state.contacts = this.#state.contacts.filter((contact) => contact.account !== account);
    this.#save();
  }

  async block(account: string): Promise<void> {
    if (!kAccountPattern.test(account)) throw new Error("This is no account's name.");
    await this.#session.request({ case: "putBlock", value: { account, blocked: true } });
    this.#state.blocked = [...this.#state.blocked.filter((name) => name !== account), account];
    this.#save();
  }

  async unblock(account: string): Promise<void> {
    await this.#session.request({ case: "putBlock", value: { account, blocked: false } });
    this.#state.blocked = this.#state.blocked.filter((name) => name !== account);
    this.#save();
  }

  // Whatever was given to whomever: no token of before rings any more.
  async revokeAll(): Promise<void> {
    const epoch = epochAt(this.nowS());
    for (const of of [epoch - 1, epoch, epoch + 1]) {
      this.#state.generations[of] = (this.#state.generations[of] ?? 0) + 1;
      await this.#saveNow(); // first here: what isn't put in the end is put at the next Welcome
      await this.#putEpochKey(of);
    }
    this.#state.issued = [];
    this.#save();
  }

  // Holds the account's secret: whoever has it is this account, to its contacts.
  deviceLink(): string {
    const { account, accountSecret, generations } = this.#state;
    const url = new URL(this.#options.page);
    const state = create(LocalStateSchema, { account, accountSecret, generations });
    url.hash = `d=${toBase64Url(toBinary(LocalStateSchema, state))}`;
    return url.href;
  }

  // Makes this device's keys the account's: contacts have to be invited again.
  async startOver(): Promise<void> {
    this.#keysElsewhere = false;
    this.#epochs.clear();
    await this.#putKeys();
    const epoch = epochAt(this.nowS());
    await this.#putEpochKey(epoch - 1);
    this.#changed();
  }

  // Calls a contact with a token of theirs; somebody else with nothing, and keys from the server.
  async call(account: string, video: boolean): Promise<Call> {
    if (!kAccountPattern.test(account)) throw new Error("This is no account's name.");
    if (account === this.account) throw new Error("This is you.");
    const contact = this.contact(account);
    const keys = contact ?? await this.#fetchKeys(account);
    if (this.#busy()) throw new Error("There is a call already.");
    const call = Call.outgoing(this, account, keys, video);
    this.#add(call);
    void call.place(async () => {
      const token = contact ? takeToken(contact, this.nowS()) : new Uint8Array();
      if (token.length) await this.#saveNow(); // one that was shown is never shown again
      return token;
    });
    return call;
  }

  async accept(call: Call, video: boolean): Promise<void> {
    for (const other of this.calls) {
      if (other !== call && other.state !== "ringing") await other.hangUp();
    }
    await call.accept(video);
  }

  forgetHistory(): void {
    this.#state.history = [];
    this.#save();
  }

  // --- CallHost

  protectsAddress(): boolean {
    return this.#settings.protectIpAddress;
  }

  nowS(): number {
    return ((this.#options.nowMs ?? Date.now)() + this.#clockOffsetMs) / 1000;
  }

  createLeg(): MediaLeg {
    return (this.#options.createLeg ?? (() => new WebRtcLeg()))();
  }

  request(body: RequestBody): Promise<ServerFrame> {
    return this.#session.request(body);
  }

  invitationFor(peer: string): Invitation | null {
    // Whom this account calls, it trusts; of those who call, contacts alone.
    const calls = [...this.calls].some((call) => call.outgoing && call.peer === peer);
    if (this.#keysElsewhere || !(calls || this.contact(peer))) return null;
    const tokens = issueTokens(this.#state, peer, kCallTokens.current, kCallTokens.next, this.nowS());
    this.#save();
    return this.#invitation(tokens);
  }

  received(invitation: Invitation): void {
    const contact = this.contact(invitation.account);
    if (!contact) return; // the page asks whether to keep it
    keepTokens(contact, invitation.tokens, this.nowS());
    this.#save();
  }

  // --- The session

  #sessionChanged(): void {
    if (this.#session.state === "ended") {
      for (const call of [...this.calls]) void call.sessionLost();
    }
    this.#changed();
  }

  #welcome(welcome: Welcome, fresh: boolean): void {
    this.#clockOffsetMs = Number(welcome.serverTimeMs) - (this.#options.nowMs ?? Date.now)();
    this.#settings = welcome.settings ?? create(SettingsSchema);
    this.#epochs = new Set(welcome.epochs);
    if (fresh) for (const call of [...this.calls]) void call.sessionLost();
    this.#changed();
    this.#checkKeys(welcome.hasAccountKeys).catch(() => {}); // the next Welcome tries again
  }

  async #checkKeys(serverHasSome: boolean): Promise<void> {
    if (serverHasSome) {
      const keys = await this.#fetchKeys(this.account);
      this.#keysElsewhere = !equal(keys.box, this.keys.box.publicKey) ||
        !equal(keys.sign, this.keys.sign.publicKey);
      this.#changed();
      if (this.#keysElsewhere) return;
      return this.#putEpochKeys();
    }
    await this.#putKeys();
  }

  #keepUp(): void {
    const ready = this.#session.state === "online" && this.#epochs.size > 0 && !this.#keysElsewhere;
    if (ready) this.#putEpochKeys().catch(() => {}); // or in an hour
  }

  async #putKeys(): Promise<void> {
    const keys = { box: this.keys.box.publicKey, sign: this.keys.sign.publicKey };
    await this.#session.request({ case: "putAccountKeys", value: { keys } });
    await this.#putEpochKeys();
  }

  async #putEpochKeys(): Promise<void> {
    const epoch = epochAt(this.nowS());
    const { generations, registered } = this.#state;
    for (const of of [epoch, epoch + 1]) {
      const generation = generations[of] ?? 0;
      // The second: this page ended while it revoked. A device that never put a key leaves it be, as
      // another one may have revoked since.
      if (!this.#epochs.has(of) || (registered[of] ?? generation) !== generation) await this.#putEpochKey(of);
    }
  }

  async #putEpochKey(epoch: number): Promise<void> {
    const generation = this.#state.generations[epoch] ?? 0;
    const { publicKey } = epochKey(this.#state.accountSecret, epoch, generation);
    await this.#session.request({ case: "putEpochKey", value: { epoch, publicKey, uses: kUsesOfToken } });
    this.#epochs.add(epoch);
    this.#state.registered[epoch] = generation;
    this.#save();
  }

  async #fetchKeys(account: string): Promise<PeerKeys> {
    const { body } = await this.#session.request({ case: "getKeys", value: { account } });
    const keys = body.case === "keys" ? body.value.keys : undefined;
    if (keys?.box.length !== 32 || keys.sign.length !== 32) throw new Error("The server sent no keys.");
    return keys;
  }

  async #revokeTokensOf(account: string): Promise<void> {
    const theirs = this.#state.issued.filter((issued) => issued.to === account);
    const byEpoch = new Map<number, Uint8Array[]>();
    for (const { epoch, serial } of theirs) byEpoch.set(epoch, [...(byEpoch.get(epoch) ?? []), serial]);
    for (const [epoch, serials] of byEpoch) {
      for (let at = 0; at < serials.length; at += 256) {
        const value = { epoch, serials: serials.slice(at, at + 256) };
        await this.#session.request({ case: "revokeTokens", value });
      }
    }
    this.#state.issued = this.#state.issued.filter((issued) => issued.to !== account);
  }

  #event(frame: ServerFrame): void {
    const { body } = frame;
    switch (body.case) {
      case "settingsChanged":
        this.#settings = body.value.settings ?? this.#settings;
        this.#changed();
        break;
      case "notices":
        void this.#notices(body.value.notices);
        break;
      case "incomingCall":
        this.#incoming(body.value);
        break;
      case "callStopped":
        this.#callOf(body.value.call)?.stopped(body.value.why);
        break;
      case "callConnected":
        this.#callOf(body.value.call)?.connected(body.value);
        break;
      case "callEnded":
        this.#callOf(body.value.call)?.ended(body.value.why);
        break;
      case "peerAddress":
        this.#callOf(body.value.call)?.peerAddress(body.value);
        break;
      case "fromPeer":
        this.#callOf(body.value.call)?.fromPeer(body.value);
        break;
    }
  }

  #incoming(frame: IncomingCall): void {
    if (this.#callOf(frame.call) || !frame.relay) return;
    const ringing = [...this.calls].filter((call) => call.state === "ringing");
    if (ringing.length >= kMaxRinging) return;
    const contact = this.contact(frame.caller);
    const parties = { caller: frame.caller, recipient: this.account };
    let offer: Offer;
    try {
      offer = openOffer(frame.offer, this.keys.box, parties, contact?.sign ?? null);
    } catch (error) {
      if (!(error instanceof BodyError)) throw error;
      this.#remember(PastCall_Kind.UNVERIFIED, frame.caller);
      return;
    }
    const call = Call.incoming(this, frame, offer, {
      contact: contact !== null, verified: contact?.verified ?? false, withToken: frame.withToken,
      tokenTo: frame.withToken ? issuedTo(this.#state, frame.tokenSerial) : null,
    });
    this.#add(call);
    this.emit("incoming", call);
  }

  #add(call: Call): void {
    this.calls.add(call);
    let answered = false;
    call.on("change", () => {
      if (call.connectedAtS !== null && !answered) {
        answered = true;
        this.#answered(call);
      }
      if (call.state === "ended" && this.calls.delete(call)) this.#over(call);
      this.#changed();
    });
    this.#changed();
  }

  // Whoever called with a token of this account and was answered, or was called and answered, is a
  // contact from then on.
  #answered(call: Call): void {
    if (this.contact(call.peer) || (!call.outgoing && !call.trust?.withToken)) return;
    const verified = !call.outgoing && call.trust?.tokenTo !== null;
    const tokens = call.enclosedInvitation?.tokens ?? [];
    this.#keep(makeInvitation(call.peer, call.peerKeys.box, call.peerKeys.sign, tokens), verified);
    this.#save();
  }

  #over(call: Call): void {
    const kinds: Partial<Record<CallEnd, PastCall_Kind>> = call.outgoing ?
      { "refused": PastCall_Kind.UNANSWERED, "no-answer": PastCall_Kind.UNANSWERED } :
      { "declined": PastCall_Kind.DECLINED, "declined-elsewhere": PastCall_Kind.DECLINED };
    // A missed call comes as a notice, to all devices alike.
    const kind = call.connectedAtS !== null ?
      (call.outgoing ? PastCall_Kind.OUTGOING : PastCall_Kind.INCOMING) :
      kinds[call.end!] ?? (call.outgoing ? PastCall_Kind.UNANSWERED : null);
    if (kind === null) return;
    this.#remember(kind, call.peer, { seconds: call.seconds, protected: call.protectedAddress });
  }

  #callOf(id: Uint8Array): Call | undefined {
    const wanted = hex(id);
    return [...this.calls].find((call) => call.id === wanted);
  }

  #busy(): boolean {
    return [...this.calls].some((call) => call.state !== "ringing");
  }

  // --- What is kept

  async #notices(notices: Notice[]): Promise<void> {
    for (const { id, sealed } of notices) {
      if (this.#state.history.some((past) => past.notices.includes(id))) continue;
      const notice = openNotice(sealed, this.#noticeKey);
      if (notice) this.#rememberNotice(id, notice);
    }
    await this.#saveNow(); // before the server forgets them
    const ids = notices.map((notice) => notice.id).slice(0, 64);
    await this.#session.request({ case: "ackNotices", value: { ids } }).catch(() => {});
  }

  #rememberNotice(id: bigint, notice: CallNotice): void {
    const kinds = {
      silenced: PastCall_Kind.SILENCED, missed: PastCall_Kind.MISSED, more: PastCall_Kind.MORE,
    };
    const kind = kinds[notice.kind];
    const peer = notice.caller ?? "";
    const earlier = this.#state.history.find((past) => past.kind === kind && past.peer === peer);
    // Who calls often is one line, at the time of the latest.
    if (earlier && kind !== PastCall_Kind.MISSED) {
      earlier.count += notice.count;
      earlier.atS = BigInt(notice.atS);
      earlier.notices = [...earlier.notices, id].slice(-64);
      this.#state.history = [earlier, ...this.#state.history.filter((past) => past !== earlier)];
      this.#sortHistory();
      return;
    }
    this.#remember(kind, peer, { count: notice.count, atS: BigInt(notice.atS), notices: [id] });
  }

  #remember(kind: PastCall_Kind, peer: string, more: Partial<PastCall> = {}): void {
    const { $typeName: _, $unknown: __, ...fields } = more;
    const past = create(PastCallSchema, {
      id: hex(randomBytes(8)), kind, peer, atS: BigInt(Math.floor(this.nowS())), count: 1, ...fields,
    });
    this.#state.history = [past, ...this.#state.history].slice(0, kMaxHistory);
    this.#sortHistory();
    this.#save();
  }

  // Latest first. A notice knows the minute alone; within one, what came last is first.
  #sortHistory(): void {
    const minute = (past: PastCall) => Number(past.atS / 60n);
    this.#state.history.sort((a, b) => minute(b) - minute(a));
  }

  #keep(invitation: Invitation, verified: boolean): Contact {
    const { account, box, sign, tokens } = invitation;
    let contact = this.contact(account);
    if (contact && !(equal(contact.box, box) && equal(contact.sign, sign))) {
      if (!verified) throw new Error(`${account} has other keys than the ones you know.`);
      contact.tokens = []; // they are for the keys of before
    }
    if (!contact) {
      contact = create(ContactSchema, { account });
      this.#state.contacts = [...this.#state.contacts, contact]
        .sort((a, b) => a.account.localeCompare(b.account));
    }
    contact.box = box;
    contact.sign = sign;
    contact.verified ||= verified;
    keepTokens(contact, tokens, this.nowS());
    return contact;
  }

  #invitation(tokens: Uint8Array[]): Invitation {
    return makeInvitation(this.account, this.keys.box.publicKey, this.keys.sign.publicKey, tokens);
  }

  #scheduleRenewal(): void {
    clearTimeout(this.#renewal);
    const { renewIdentity } = this.#options;
    if (!renewIdentity || !this.#state.development) return;
    const { expiresMs } = readIdentity(this.#state.identity);
    const inMs = expiresMs - kRenewBeforeMs - (this.#options.nowMs ?? Date.now)();
    this.#renewal = setTimeout(() => {
      renewIdentity(this.account).then(async (identity) => {
        this.#state.identity = identity;
        this.#save();
        await this.#session.request({ case: "renewIdentity", value: { identity } });
        this.#scheduleRenewal();
      }).catch(() => {}); // then the session ends with "identity", and the page asks
    }, Math.min(Math.max(inMs, 1000), kLongestTimeoutMs));
  }

  #save(): void {
    this.#saveNow().catch((error: Error) => this.emit("saveFailed", error));
    this.#changed();
  }

  #saveNow(): Promise<void> {
    // Another page has this device now, and knows more.
    if (this.#session.end === "elsewhere") return Promise.resolve();
    return this.#options.storage.save(this.#state);
  }

  #changed(): void {
    this.emit("change", undefined);
  }
}
