// SPDX-License-Identifier: Apache-2.0
// A session with sotto-signald: Hello, numbered and acknowledged frames, heartbeats, and going on
// after a lost connection without a frame lost or doubled. docs/protocol.md, "Transport".
import { create, fromBinary, type MessageInitShape, toBinary } from "@bufbuild/protobuf";
import {
  type ClientFrame, ClientFrameSchema, type Refused, Refused_Code, type ServerFrame,
  ServerFrameSchema, type Welcome,
} from "../gen/signaling_pb";
import { Emitter } from "./emitter";

export type RequestBody = NonNullable<MessageInitShape<typeof ClientFrameSchema>["body"]>;

// connecting: also between attempts. ended: see `end`.
export type SessionState = "connecting" | "online" | "ended";

// Why a session ended for good. identity: sign in again. elsewhere: this device connected from
// another page. removed: by another device of the account. protocol: this client and the server
// don't speak the same.
export type SessionEnd = "closed" | "identity" | "blocked" | "elsewhere" | "removed" | "protocol";

export class RefusedError extends Error {
  readonly code: Refused_Code;
  constructor(refused: Refused) {
    super(refused.text || "The server refused this.");
    this.code = refused.code;
  }
}

export interface SessionOptions {
  url: string;
  identity: () => string; // the JWT, as it is now
  device: Uint8Array;
  noticeKey: Uint8Array;
  // As in browsers; tests bring their own.
  connect?: (url: string) => WebSocket;
  random?: () => number;
}

type SessionEvents = {
  state: SessionState;
  // `fresh`: nothing of an earlier session comes back. Comes before requests are made again.
  welcome: { welcome: Welcome; fresh: boolean };
  event: ServerFrame;
};

interface SentFrame {
  seq: bigint;
  body: RequestBody;
}

interface Request {
  seq: bigint;
  body: RequestBody;
  resolve: (frame: ServerFrame) => void;
  reject: (error: Error) => void;
}

const kSubprotocol = "sotto.v1";
const kMaxUnacknowledged = 256;
const kAcknowledgeEvery = 16; // the server asks for 32
const kFirstRetryMs = 500;
const kAfterStopMs = 1000;
const kAfterTooManyMs = 15_000;
const kLongestRetryMs = 30_000;
const kWelcomeMs = 15_000;
const kEnds: Record<number, SessionEnd> = {
  1000: "closed", 4400: "protocol", 4401: "identity", 4403: "blocked", 4409: "elsewhere", 4410: "removed",
};

export class Session extends Emitter<SessionEvents> {
  readonly #options: SessionOptions;
  #state: SessionState = "connecting";
  #end: SessionEnd | null = null;
  #socket: WebSocket | null = null;
  #welcomed = false;
  #resume: Uint8Array = new Uint8Array();
  #heartbeatMs = 30_000;
  #sent = 0n; // the highest seq given out
  #seen = 0n; // the server's highest
  #acknowledged = 0n; // what the server was told of that
  #unacknowledged: SentFrame[] = [];
  readonly #requests = new Map<bigint, Request>();
  #attempts = 0;
  #retry: ReturnType<typeof setTimeout> | undefined;
  #beat: ReturnType<typeof setTimeout> | undefined;
  #silence: ReturnType<typeof setTimeout> | undefined;

  constructor(options: SessionOptions) {
    super();
    this.#options = options;
  }

  get state(): SessionState {
    return this.#state;
  }
  // Null until the state is "ended".
  get end(): SessionEnd | null {
    return this.#end;
  }

  // Connects now: at the start, after an end, or without waiting for the next attempt.
  start(): void {
    if (this.#socket) return;
    this.#end = null;
    this.#setState("connecting");
    this.#open();
  }

  // Answered by the frame that the server sends; a RefusedError if it refuses. Waits through lost
  // connections, and is made again in a new session: all requests are idempotent.
  request(body: RequestBody): Promise<ServerFrame> {
    return new Promise((resolve, reject) => {
      if (this.#state === "ended" || this.#requests.size >= kMaxUnacknowledged) {
        reject(new Error("There is no connection to the server."));
        return;
      }
      const request = { seq: ++this.#sent, body, resolve, reject };
      this.#requests.set(request.seq, request);
      this.#queue(request);
    });
  }

  // Ends the session at the server too.
  close(): void {
    if (this.#socket && this.#welcomed) {
      this.#queue({ seq: ++this.#sent, body: { case: "goodbye", value: {} } });
    }
    this.#finish("closed");
  }

  #open(): void {
    clearTimeout(this.#retry);
    const connect = this.#options.connect ?? ((url: string) => new WebSocket(url, kSubprotocol));
    const socket = connect(this.#options.url);
    socket.binaryType = "arraybuffer";
    this.#socket = socket;
    this.#welcomed = false;
    socket.onopen = () => this.#hello();
    socket.onmessage = (event: MessageEvent) => this.#receive(event.data);
    socket.onclose = (event: CloseEvent) => this.#lost(event.code);
    this.#silence = setTimeout(() => this.#drop(), kWelcomeMs);
  }

  #hello(): void {
    const { identity, device, noticeKey } = this.#options;
    const value = { identity: identity(), device, noticeKey, resume: this.#resume };
    this.#transmit(0n, { case: "hello", value });
  }

  #receive(data: unknown): void {
    let frame: ServerFrame;
    try {
      frame = fromBinary(ServerFrameSchema, new Uint8Array(data as ArrayBuffer));
    } catch {
      this.#drop();
      return;
    }
    this.#heard();
    if (frame.body.case === "welcome") {
      this.#greet(frame.body.value, frame.ack);
      return;
    }
    if (!this.#welcomed) return this.#drop();
    this.#forget(frame.ack);
    if (frame.seq === 0n) return; // Pong
    if (frame.seq <= this.#seen) return; // sent again
    if (frame.seq !== this.#seen + 1n) return this.#drop();
    this.#seen = frame.seq;
    this.#dispatch(frame);
    if (this.#seen - this.#acknowledged >= BigInt(kAcknowledgeEvery)) this.#ping();
  }

  #greet(welcome: Welcome, ack: bigint): void {
    this.#welcomed = true;
    this.#attempts = 0;
    this.#heartbeatMs = Math.max(1, welcome.heartbeatS) * 1000;
    const fresh = !welcome.resumed;
    this.#resume = welcome.session;
    if (fresh) {
      this.#sent = this.#seen = this.#acknowledged = 0n;
      this.#unacknowledged = [];
    } else {
      this.#forget(ack);
    }
    const again = fresh ? [...this.#requests.values()] : [];
    if (fresh) this.#requests.clear();
    else for (const frame of this.#unacknowledged) this.#transmit(frame.seq, frame.body);
    this.#setState("online");
    this.emit("welcome", { welcome, fresh });
    for (const request of again) {
      request.seq = ++this.#sent;
      this.#requests.set(request.seq, request);
      this.#queue(request);
    }
    this.#heard();
    this.#rest();
  }

  #dispatch(frame: ServerFrame): void {
    if (frame.request === 0n) {
      this.emit("event", frame);
      return;
    }
    const request = this.#requests.get(frame.request);
    if (!request) return;
    this.#requests.delete(frame.request);
    if (frame.body.case === "refused") request.reject(new RefusedError(frame.body.value));
    else request.resolve(frame);
  }

  #queue(frame: SentFrame): void {
    if (!this.#welcomed && this.#resume.length === 0) return; // Welcome sends it, under a new number
    this.#unacknowledged.push(frame);
    if (this.#welcomed) this.#transmit(frame.seq, frame.body);
  }

  #transmit(seq: bigint, body: RequestBody): void {
    const frame: ClientFrame = create(ClientFrameSchema, { seq, ack: this.#seen, body });
    this.#acknowledged = this.#seen;
    this.#socket?.send(toBinary(ClientFrameSchema, frame) as Uint8Array<ArrayBuffer>);
    this.#rest();
  }

  #ping(): void {
    this.#transmit(0n, { case: "ping", value: {} });
  }

  #forget(ack: bigint): void {
    while (this.#unacknowledged[0] && this.#unacknowledged[0].seq <= ack) this.#unacknowledged.shift();
  }

  // Something was sent: the next heartbeat is due when nothing else was.
  #rest(): void {
    clearTimeout(this.#beat);
    if (this.#welcomed) this.#beat = setTimeout(() => this.#ping(), this.#heartbeatMs * 0.7);
  }

  // Something came: each Ping is answered, so a longer silence is a dead connection.
  #heard(): void {
    clearTimeout(this.#silence);
    this.#silence = setTimeout(() => this.#drop(), this.#heartbeatMs * 2);
  }

  // Leaves a connection that is of no use, without waiting for its end.
  #drop(): void {
    const socket = this.#socket;
    this.#lost(1006);
    socket?.close();
  }

  #lost(code: number): void {
    this.#release();
    const end = kEnds[code];
    if (end) return this.#finish(end);
    this.#setState("connecting");
    this.#retry = setTimeout(() => this.#open(), this.#delay(code));
  }

  #delay(code: number): number {
    const first = code === 4429 ? kAfterTooManyMs : code === 1001 ? kAfterStopMs : kFirstRetryMs;
    const longest = Math.min(kLongestRetryMs, first * 2 ** Math.min(this.#attempts++, 10));
    return longest * (0.5 + 0.5 * (this.#options.random ?? Math.random)());
  }

  #release(): void {
    clearTimeout(this.#beat);
    clearTimeout(this.#silence);
    const socket = this.#socket;
    this.#socket = null;
    this.#welcomed = false;
    if (socket) socket.onopen = socket.onmessage = socket.onclose = null;
  }

  #finish(end: SessionEnd): void {
    const socket = this.#socket;
    this.#release();
    socket?.close();
    clearTimeout(this.#retry);
    this.#end = end;
    this.#resume = new Uint8Array();
    for (const request of this.#requests.values()) {
      request.reject(new Error("There is no connection to the server."));
    }
    this.#requests.clear();
    this.#unacknowledged = [];
    this.#setState("ended");
  }

  #setState(state: SessionState): void {
    if (state === this.#state) return;
    this.#state = state;
    this.emit("state", state);
  }
}
