// SPDX-License-Identifier: Apache-2.0
// The server's side of docs/protocol.md, small and in memory, for tests: sessions with resumption,
// settings, keys, notices and calls. Connections are dropped on demand.
import { create, fromBinary, type MessageInitShape, toBinary } from "@bufbuild/protobuf";
import sodium from "libsodium-wrappers";
import {
  CallEnded_Why, CallStopped_Why, type ClientFrame, ClientFrameSchema, Refused_Code,
  type ServerFrame, ServerFrameSchema, type Settings, SettingsSchema,
} from "../src/gen/signaling_pb";
import { hex, utf8 } from "../src/lib/bytes";
import { readIdentity } from "../src/lib/client";
import { epochAt, parseToken, verifyToken } from "../src/lib/tokens";

type ServerBody = NonNullable<MessageInitShape<typeof ServerFrameSchema>["body"]>;

interface Account {
  settings: Settings;
  keys: { box: Uint8Array; sign: Uint8Array } | null;
  epochs: Map<number, Uint8Array>;
  blocked: Set<string>;
  used: Set<string>;
  devices: Map<string, { noticeKey: Uint8Array; notices: { id: bigint; sealed: Uint8Array }[] }>;
}

interface MockSession {
  account: string;
  device: string;
  secret: Uint8Array;
  connection: MockSocket | null;
  sent: bigint;
  seen: bigint;
  unacknowledged: ServerFrame[];
}

interface MockCall {
  id: Uint8Array;
  caller: MockSession;
  recipient: string;
  acceptedBy: MockSession | null;
  rang: boolean;
  offer: Uint8Array;
}

// A WebSocket, as far as the library uses one. Delivery is asynchronous, as on a network.
export class MockSocket {
  binaryType = "";
  onopen: (() => void) | null = null;
  onmessage: ((event: { data: ArrayBuffer }) => void) | null = null;
  onclose: ((event: { code: number }) => void) | null = null;
  session: MockSession | null = null;
  closed = false;
  readonly server: MockServer;

  constructor(server: MockServer) {
    this.server = server;
    setTimeout(() => (server.reachable ? this.onopen?.() : this.drop(1006)), 1);
  }
  send(bytes: Uint8Array): void {
    if (this.closed) return;
    const frame = fromBinary(ClientFrameSchema, bytes);
    setTimeout(() => !this.closed && this.server.receive(this, frame), 1);
  }
  deliver(frame: ServerFrame): void {
    const bytes = toBinary(ServerFrameSchema, frame);
    setTimeout(() => !this.closed && this.onmessage?.({ data: bytes.slice().buffer }), 1);
  }
  close(): void {
    this.closed = true;
    if (this.session?.connection === this) this.session.connection = null;
  }
  drop(code: number): void {
    if (this.closed) return;
    this.close();
    this.onclose?.({ code });
  }
}

export const kRelay = { urls: ["turn:192.0.2.10:3478?transport=udp"], username: "1:c/a", credential: "x" };

export class MockServer {
  reachable = true;
  heartbeatS = 30;
  readonly accounts = new Map<string, Account>();
  readonly sessions: MockSession[] = [];
  readonly calls: MockCall[] = [];
  readonly frames: ClientFrame[] = []; // numbered ones, each once
  acknowledgedNotices: bigint[] = [];
  #noticeId = 0n;

  readonly connect = (): WebSocket => new MockSocket(this) as unknown as WebSocket;

  // As the operator's: nobody verifies the signature here.
  static identity(account: string, expiresS = 4_000_000_000): string {
    const part = (value: unknown) =>
      sodium.to_base64(utf8(JSON.stringify(value)), sodium.base64_variants.URLSAFE_NO_PADDING);
    return `${part({ alg: "none" })}.${part({ sub: account, exp: expiresS })}.`;
  }

  account(name: string): Account {
    const known = this.accounts.get(name) ?? {
      settings: create(SettingsSchema), keys: null, epochs: new Map(), blocked: new Set(),
      used: new Set(), devices: new Map(),
    };
    this.accounts.set(name, known);
    return known;
  }

  sockets(account: string): MockSocket[] {
    return this.sessions.flatMap((s) => (s.account === account && s.connection ? [s.connection] : []));
  }

  dropAll(code = 1006): void {
    for (const session of this.sessions) session.connection?.drop(code);
  }

  forgetSessions(): void {
    this.dropAll();
    this.sessions.length = 0;
    this.calls.length = 0;
  }

  receive(socket: MockSocket, frame: ClientFrame): void {
    if (frame.body.case === "hello") return this.#hello(socket, frame);
    const session = socket.session;
    if (!session) return socket.drop(4400);
    this.#forget(session, frame.ack);
    if (frame.body.case === "ping") {
      return socket.deliver(create(ServerFrameSchema, { ack: session.seen, body: { case: "pong", value: {} } }));
    }
    if (frame.seq <= session.seen) return;
    if (frame.seq !== session.seen + 1n) return socket.drop(4400);
    session.seen = frame.seq;
    this.frames.push(frame);
    this.#handle(session, frame);
  }

  send(session: MockSession, body: ServerBody, request = 0n): void {
    const frame = create(ServerFrameSchema, { seq: ++session.sent, ack: session.seen, request, body });
    session.unacknowledged.push(frame);
    session.connection?.deliver(frame);
  }

  sendTo(account: string, body: ServerBody): void {
    for (const session of this.sessions.filter((s) => s.account === account)) this.send(session, body);
  }

  notice(recipient: string, kind: number, caller: string, count = 1, atS = 1_767_225_600): void {
    const bytes = new Uint8Array(96);
    bytes.set([1, kind, count >> 8, count & 255]);
    new DataView(bytes.buffer).setUint32(4, Math.floor(atS / 60));
    bytes.set([caller.length, ...utf8(caller)], 8);
    for (const device of this.account(recipient).devices.values()) {
      device.notices.push({ id: ++this.#noticeId, sealed: sodium.crypto_box_seal(bytes, device.noticeKey) });
    }
    for (const session of this.sessions) if (session.account === recipient) this.#deliverNotices(session);
  }

  #hello(socket: MockSocket, frame: ClientFrame): void {
    if (frame.body.case !== "hello") return;
    const hello = frame.body.value;
    const { account, expiresMs } = readIdentity(hello.identity);
    if (expiresMs < Date.now()) return socket.drop(4401);
    const device = hex(hello.device);
    const known = this.account(account);
    const notices = known.devices.get(device)?.notices ?? [];
    known.devices.set(device, { noticeKey: hello.noticeKey, notices });
    const old = this.sessions.find((s) => s.account === account && s.device === device);
    const resumed = old !== undefined && hex(old.secret) === hex(hello.resume);
    old?.connection?.drop(4409);
    const session = resumed ? old : {
      account, device, secret: sodium.randombytes_buf(32), connection: null, sent: 0n, seen: 0n,
      unacknowledged: [],
    };
    if (!resumed) {
      if (old) this.sessions.splice(this.sessions.indexOf(old), 1);
      this.sessions.push(session);
    }
    session.connection = socket;
    socket.session = session;
    this.#forget(session, frame.ack);
    socket.deliver(create(ServerFrameSchema, {
      ack: session.seen,
      body: {
        case: "welcome", value: {
          session: session.secret, resumed, account, serverTimeMs: BigInt(Date.now()),
          heartbeatS: this.heartbeatS, resumeS: 60, ringS: 45, settings: known.settings,
          epochs: [...known.epochs.keys()], hasAccountKeys: known.keys !== null,
        },
      },
    }));
    for (const again of session.unacknowledged) socket.deliver(again);
    if (!resumed) this.#deliverNotices(session);
  }

  #forget(session: MockSession, ack: bigint): void {
    session.unacknowledged = session.unacknowledged.filter((frame) => frame.seq > ack);
  }

  #deliverNotices(session: MockSession): void {
    const notices = this.account(session.account).devices.get(session.device)?.notices ?? [];
    if (notices.length) this.send(session, { case: "notices", value: { notices: [...notices] } });
  }

  #handle(session: MockSession, { seq, body }: ClientFrame): void {
    const own = this.account(session.account);
    const done = () => this.send(session, { case: "done", value: {} }, seq);
    const refuse = (code: Refused_Code) =>
      this.send(session, { case: "refused", value: { code, text: "Refused." } }, seq);
    switch (body.case) {
      case "goodbye":
        this.sessions.splice(this.sessions.indexOf(session), 1);
        return session.connection?.drop(1000);
      case "putSettings":
        own.settings = body.value.settings!;
        for (const other of this.sessions) {
          if (other !== session && other.account === session.account) {
            this.send(other, { case: "settingsChanged", value: { settings: own.settings } });
          }
        }
        return done();
      case "putAccountKeys":
        own.keys = body.value.keys!;
        return done();
      case "putEpochKey":
        own.epochs.set(body.value.epoch, body.value.publicKey);
        return done();
      case "putBlock":
        if (body.value.blocked) own.blocked.add(body.value.account);
        else own.blocked.delete(body.value.account);
        return done();
      case "revokeTokens":
        for (const serial of body.value.serials) own.used.add(hex(serial));
        return done();
      case "ackNotices": {
        const device = own.devices.get(session.device)!;
        const { ids } = body.value;
        this.acknowledgedNotices.push(...ids);
        device.notices = device.notices.filter((notice) => !ids.includes(notice.id));
        return done();
      }
      case "getKeys": {
        const keys = this.account(body.value.account).keys ?? { box: new Uint8Array(32).fill(9), sign: new Uint8Array(32) };
        return this.send(session, { case: "keys", value: { account: body.value.account, keys } }, seq);
      }
      case "placeCall":
        return this.#place(session, seq, body.value);
      case "acceptCall": {
        const call = this.calls.find((c) => hex(c.id) === hex(body.value.call));
        if (!call || call.acceptedBy || call.recipient !== session.account) return refuse(Refused_Code.NOT_FOUND);
        call.acceptedBy = session;
        done();
        for (const other of this.sessions) {
          if (other !== session && other.account === session.account) {
            const value = { call: call.id, why: CallStopped_Why.ANSWERED_ELSEWHERE };
            this.send(other, { case: "callStopped", value });
          }
        }
        const protect = own.settings.protectIpAddress || this.account(call.caller.account).settings.protectIpAddress;
        const value = { call: call.id, protectAddress: protect };
        this.send(session, { case: "callConnected", value });
        this.send(call.caller, { case: "callConnected", value: { ...value, answer: body.value.answer } });
        return;
      }
      case "declineCall":
        return done();
      case "hangUp": {
        const at = this.calls.findIndex((c) => hex(c.id) === hex(body.value.call));
        if (at < 0) return refuse(Refused_Code.NOT_FOUND);
        const [call] = this.calls.splice(at, 1);
        done();
        this.send(session, { case: "callEnded", value: { call: call!.id, why: CallEnded_Why.HUNG_UP } });
        const other = session === call!.caller ? call!.acceptedBy : call!.caller;
        if (other) this.send(other, { case: "callEnded", value: { call: call!.id, why: CallEnded_Why.PEER_HUNG_UP } });
        else if (call!.rang) this.sendTo(call!.recipient, { case: "callStopped", value: { call: call!.id, why: CallStopped_Why.MISSED } });
        return;
      }
      case "sendToPeer": {
        const call = this.calls.find((c) => hex(c.id) === hex(body.value.call));
        const other = call && (call.caller === session ? call.acceptedBy : call.caller);
        if (!other) return refuse(Refused_Code.WRONG_STATE);
        done();
        return this.send(other, { case: "fromPeer", value: { call: body.value.call, body: body.value.body } });
      }
      default:
        return done();
    }
  }

  #place(
    session: MockSession, seq: bigint,
    place: { placeId: Uint8Array; recipient: string; token: Uint8Array; offer: Uint8Array },
  ): void {
    this.send(session, { case: "callPlaced", value: { placeId: place.placeId, call: place.placeId, relay: kRelay } }, seq);
    const existing = this.calls.find((c) => hex(c.id) === hex(place.placeId));
    if (existing) return;
    const recipient = this.account(place.recipient);
    const token = parseToken(place.token);
    const key = token && recipient.epochs.get(token.epoch);
    const live = token !== null && [0, 1].includes(epochAt(Date.now() / 1000) - token.epoch);
    const valid = Boolean(token && key && live && !recipient.used.has(hex(token.serial)) &&
      verifyToken(token, place.recipient, key));
    if (token && valid) recipient.used.add(hex(token.serial));
    const rang = !recipient.blocked.has(session.account) &&
      (valid || !recipient.settings.silenceUnknownCallers);
    this.calls.push({
      id: place.placeId, caller: session, recipient: place.recipient, acceptedBy: null, rang,
      offer: place.offer,
    });
    if (!rang) return;
    this.sendTo(place.recipient, {
      case: "incomingCall", value: {
        call: place.placeId, caller: session.account, offer: place.offer, relay: kRelay,
        withToken: valid, tokenSerial: valid ? token!.serial : new Uint8Array(), ringsForS: 45,
      },
    });
  }
}
