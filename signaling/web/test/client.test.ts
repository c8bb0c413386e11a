// SPDX-License-Identifier: Apache-2.0
import { afterEach, beforeAll, beforeEach, describe, expect, test, vi } from "vitest";
import type { Media } from "../src/gen/call_body_pb";
import { PastCall_Kind } from "../src/gen/local_state_pb";
import type { ClientFrame } from "../src/gen/signaling_pb";
import { hex } from "../src/lib/bytes";
import type { Call } from "../src/lib/call";
import { Client, newState, readDeviceLink, readIdentity } from "../src/lib/client";
import { Emitter } from "../src/lib/emitter";
import { readInvitation } from "../src/lib/invitation";
import { accountKeys, ready } from "../src/lib/keys";
import type { MediaEvents, MediaLeg, TravelReport, TurnServer } from "../src/lib/media";
import { MemoryStorage } from "../src/lib/storage";
import { epochAt, kEpochSeconds, parseToken } from "../src/lib/tokens";
import { exampleMedia } from "./example_media";
import { kRelay, MockServer } from "./mock_server";

// A leg without a media stack, which tells what was asked of it.
class FakeLeg extends Emitter<MediaEvents> implements MediaLeg {
  readonly local = {} as MediaStream;
  readonly remote = {} as MediaStream;
  readonly steps: string[] = [];
  readonly candidates: string[] = [];
  readonly relayed: string[] = [];
  microphone = true;
  camera = false;
  remoteMedia: Media | null = null;
  captureError: Error | null = null;

  async describe(): Promise<Media> {
    this.steps.push("describe");
    return exampleMedia();
  }
  async answer(offer: Media): Promise<Media> {
    this.steps.push("answer");
    this.remoteMedia = offer;
    return exampleMedia();
  }
  async capture(camera: boolean): Promise<void> {
    this.steps.push(camera ? "capture both" : "capture");
    if (this.captureError) throw this.captureError;
  }
  allocate(server: TurnServer): void {
    this.steps.push(`allocate ${server.urls[0]}`);
  }
  async connect(protect: boolean, answer?: Media): Promise<void> {
    this.steps.push(protect ? "connect protected" : "connect");
    if (answer) this.remoteMedia = answer;
  }
  addRelayed(addresses: { ip: Uint8Array; port: number }[]): void {
    this.relayed.push(...addresses.map((a) => `${a.ip.join(".")}:${a.port}`));
  }
  addCandidates(lines: string[]): void {
    this.candidates.push(...lines);
  }
  setMicrophone(): void {}
  async setCamera(): Promise<void> {}
  async travel(): Promise<TravelReport> {
    throw new Error("no media");
  }
  close(): void {
    this.steps.push("close");
  }
}

interface Party {
  client: Client;
  storage: MemoryStorage;
  legs: FakeLeg[];
  incoming: Call[];
}

let server: MockServer;
const kNow = 2922 * kEpochSeconds + 3600;

beforeAll(() => ready);
beforeEach(() => {
  vi.useFakeTimers({ now: kNow * 1000 });
  server = new MockServer();
});
afterEach(() => {
  vi.restoreAllMocks();
  vi.useRealTimers();
});

const pass = (ms = 30) => vi.advanceTimersByTimeAsync(ms);

async function join(account: string, state = newState(account, MockServer.identity(account), false), storage = new MemoryStorage()): Promise<Party> {
  const party: Party = { storage, legs: [], incoming: [], client: null as never };
  party.client = new Client({
    url: "wss://x/v1", page: "https://sotto.example/", storage, state, connect: server.connect,
    createLeg: () => {
      const leg = new FakeLeg();
      party.legs.push(leg);
      return leg;
    },
  });
  party.client.on("incoming", (call) => party.incoming.push(call));
  party.client.start();
  await pass();
  return party;
}

async function friends(): Promise<[Party, Party]> {
  const alice = await join("alice");
  const bob = await join("bob");
  bob.client.acceptInvitation(readInvitation(alice.client.createInvitation("for bob")));
  return [alice, bob];
}

const ask = <T>(promise: Promise<T>): Promise<T> => Promise.all([promise, pass()]).then(([value]) => value);
const frames = (name: ClientFrame["body"]["case"]) => server.frames.filter((f) => f.body.case === name);

async function talk(caller: Party, callee: Party): Promise<Call> {
  const call = await ask(caller.client.call(callee.client.account, false));
  await ask(callee.client.accept(callee.incoming.at(-1)!, false));
  caller.legs.at(-1)!.emit("state", "connected");
  callee.legs.at(-1)!.emit("state", "connected");
  await pass();
  return call;
}

describe("an account", () => {
  test("puts its keys and those of this epoch and the next, once", async () => {
    const alice = await join("alice");
    const account = server.account("alice");
    expect(account.keys!.box).toEqual(alice.client.keys.box.publicKey);
    expect([...account.epochs.keys()]).toEqual([2922, 2923]);
    const before = server.frames.length;
    server.forgetSessions();
    await pass(5000);
    expect(server.frames.slice(before).map((f) => f.body.case)).toEqual(["getKeys"]);
  });

  test("puts the keys of the epochs to come while the page stays open", async () => {
    await join("alice");
    vi.setSystemTime((kNow + kEpochSeconds) * 1000);
    await pass(3600_000);
    expect([...server.account("alice").epochs.keys()]).toEqual([2922, 2923, 2924]);
  });

  test("isn't taken over by a device that has another secret", async () => {
    const alice = await join("alice");
    const stray = await join("alice");
    expect(stray.client.keysElsewhere).toBe(true);
    expect(server.account("alice").keys!.sign).toEqual(alice.client.keys.sign.publicKey);
    await ask(stray.client.startOver());
    expect(server.account("alice").keys!.sign).toEqual(stray.client.keys.sign.publicKey);
  });

  test("goes on to another device by a link, with what was revoked", async () => {
    const alice = await join("alice");
    await ask(alice.client.revokeAll());
    const link = alice.client.deviceLink();
    expect(link).toMatch(/^https:\/\/sotto\.example\/#d=/);
    const given = readDeviceLink(link);
    expect(given.account).toBe("alice");
    const state = { ...newState("alice", MockServer.identity("alice"), false), accountSecret: given.accountSecret, generations: given.generations };
    const second = await join("alice", state);
    expect(second.client.keysElsewhere).toBe(false);
    expect(hex(accountKeys(given.accountSecret).box.publicKey)).toBe(hex(alice.client.keys.box.publicKey));
    const bob = await join("bob");
    bob.client.acceptInvitation(readInvitation(second.client.createInvitation("")));
    await ask(alice.client.setSettings({ silenceUnknownCallers: true }));
    await ask(bob.client.call("alice", false));
    expect(second.incoming).toHaveLength(1);
    expect(() => readDeviceLink("https://sotto.example/#d=AAAA")).toThrow(/adds no device/);
  });

  test("shares its settings with its other devices", async () => {
    const alice = await join("alice");
    const link = readDeviceLink(alice.client.deviceLink());
    const second = await join("alice", { ...newState("alice", MockServer.identity("alice"), false), accountSecret: link.accountSecret });
    await ask(alice.client.setSettings({ protectIpAddress: true }));
    expect(second.client.settings).toMatchObject({ protectIpAddress: true, silenceUnknownCallers: false });
  });

  test("is read of its identity", () => {
    expect(readIdentity(MockServer.identity("bob@example.org", 5))).toEqual({ account: "bob@example.org", expiresMs: 5000 });
    for (const bad of ["", "a.b.c", MockServer.identity("no spaces")]) expect(() => readIdentity(bad)).toThrow(/identity/);
  });
});

describe("a call with a token", () => {
  test("rings at who silences unknown callers, and connects on accept alone", async () => {
    const [alice, bob] = await friends();
    await ask(alice.client.setSettings({ silenceUnknownCallers: true }));
    const call = await ask(bob.client.call("alice", true));
    expect(call.state).toBe("calling");
    expect(bob.legs[0]!.steps).toEqual(["capture both", "describe", `allocate ${kRelay.urls[0]}`]);
    const [incoming] = alice.incoming;
    expect(incoming!.trust).toEqual({ contact: false, verified: false, withToken: true, tokenTo: "for bob" });
    expect(incoming!.leg).toBeNull(); // nothing of WebRTC before the accept
    await ask(alice.client.accept(incoming!, true));
    expect(alice.legs[0]!.steps).toEqual(["capture both", `allocate ${kRelay.urls[0]}`, "answer", "connect"]);
    expect(bob.legs[0]!.remoteMedia!.iceUfrag).toBe("abcd");
    expect(call.state).toBe("connecting");
    bob.legs[0]!.emit("state", "connected");
    expect(call.state).toBe("connected");
    await pass(5000);
    await ask(call.hangUp());
    expect([call.end, incoming!.end]).toEqual(["hung-up", "peer-hung-up"]);
    expect(alice.legs[0]!.steps.at(-1)).toBe("close");
    expect(bob.client.history[0]).toMatchObject({ kind: PastCall_Kind.OUTGOING, peer: "alice", seconds: 5 });
    expect(alice.client.history[0]).toMatchObject({ kind: PastCall_Kind.INCOMING, peer: "bob" });
  });

  test("uses it up, and an answered call brings new ones each way", async () => {
    const [alice, bob] = await friends();
    const contact = bob.client.contact("alice")!;
    const link = { ...contact, tokens: [...contact.tokens] };
    expect(bob.client.callsLeft(contact)).toBe(3); // and one for the next epoch
    const call = await ask(bob.client.call("alice", false));
    expect(bob.client.callsLeft(contact)).toBe(2);
    const [placed] = frames("placeCall");
    const token = placed!.body.case === "placeCall" && placed!.body.value.token;
    expect(contact.tokens).not.toContainEqual(token);
    await ask(call.hangUp());
    await talk(bob, alice);
    // Alice answered, so Bob is her contact; but he was not when she answered, and got none back.
    expect(alice.client.contact("bob")).toMatchObject({ verified: true });
    expect(alice.client.callsLeft(alice.client.contact("bob")!)).toBe(2);
    await ask([...bob.client.calls][0]!.hangUp());
    await talk(alice, bob);
    expect(bob.client.callsLeft(contact)).toBe(3);
    // The old link doesn't bring a used token back.
    bob.client.acceptInvitation(link as never);
    expect(bob.client.callsLeft(contact)).toBe(3);
  });

  test("whose microphone is refused is never placed and costs no token", async () => {
    const [, bob] = await friends();
    vi.spyOn(FakeLeg.prototype, "capture").mockRejectedValueOnce(new Error("Permission denied"));
    const left = bob.client.callsLeft(bob.client.contact("alice")!);
    const refused = await ask(bob.client.call("alice", false));
    expect([refused.end, refused.endText]).toEqual(["no-media", "Permission denied"]);
    expect(frames("placeCall")).toEqual([]);
    expect(bob.client.callsLeft(bob.client.contact("alice")!)).toBe(left);
  });

  test("expires with its epoch, and the next epoch's tokens ring then", async () => {
    const [, bob] = await friends();
    const contact = bob.client.contact("alice")!;
    vi.setSystemTime((kNow + 2 * kEpochSeconds) * 1000);
    expect(bob.client.callsLeft(contact)).toBe(1);
    vi.setSystemTime((kNow + 3 * kEpochSeconds) * 1000);
    expect(bob.client.callsLeft(contact)).toBe(0);
    const epochs = contact.tokens.map((token) => parseToken(token)!.epoch);
    expect(new Set(epochs)).toEqual(new Set([2922, 2923]));
    expect(epochAt(kNow)).toBe(2922);
  });
});

describe("calls that don't ring", () => {
  test("look to a stranger like any other, and are a notice to the recipient", async () => {
    const [alice] = await friends();
    await ask(alice.client.setSettings({ silenceUnknownCallers: true }));
    const mallory = await join("mallory");
    const call = await ask(mallory.client.call("alice", false));
    expect(call.state).toBe("calling");
    expect(mallory.legs[0]!.steps.at(-1)).toBe(`allocate ${kRelay.urls[0]}`);
    expect(alice.incoming).toHaveLength(0);
    server.notice("alice", 1, "mallory", 2, kNow);
    await pass();
    expect(alice.client.history[0]).toMatchObject({ kind: PastCall_Kind.SILENCED, peer: "mallory", count: 2 });
    expect(server.acknowledgedNotices).toEqual([1n]);
    server.notice("alice", 1, "mallory", 1, kNow + 60);
    server.notice("alice", 3, "");
    await pass();
    expect(alice.client.history.map((h) => [h.kind, h.count])).toEqual([[PastCall_Kind.SILENCED, 3], [PastCall_Kind.MORE, 1]]);
  });

  test("come once, though a notice comes again", async () => {
    const [alice] = await friends();
    server.notice("alice", 2, "carol");
    await pass();
    const [notice] = alice.client.history;
    server.account("alice").devices.forEach((d) => (d.notices = []));
    server.sendTo("alice", { case: "notices", value: { notices: [{ id: notice!.notices[0]!, sealed: new Uint8Array(144) }] } });
    await pass();
    expect(alice.client.history).toHaveLength(1);
    expect(server.acknowledgedNotices).toEqual([1n, 1n]);
  });

  test("that can't be verified aren't shown as ringing", async () => {
    const [alice, bob] = await friends();
    await talk(bob, alice);
    await ask([...bob.client.calls][0]!.hangUp());
    const stray = await join("bob"); // another secret than the contact's
    await ask(stray.client.startOver());
    const rang = alice.incoming.length;
    await ask(stray.client.call("alice", false));
    expect(alice.incoming).toHaveLength(rang);
    expect(alice.client.history[0]).toMatchObject({ kind: PastCall_Kind.UNVERIFIED, peer: "bob" });
  });

  test("are declined without a word to the caller", async () => {
    const [alice, bob] = await friends();
    const call = await ask(bob.client.call("alice", false));
    await ask(alice.incoming[0]!.decline());
    expect(call.state).toBe("calling");
    expect(alice.client.history[0]).toMatchObject({ kind: PastCall_Kind.DECLINED });
    expect(alice.legs).toEqual([]);
    await ask(call.hangUp());
    expect(bob.client.history[0]).toMatchObject({ kind: PastCall_Kind.UNANSWERED });
  });
});

describe("addresses", () => {
  const line = "candidate:1 1 udp 2122260223 192.0.2.7 51000 typ host generation 0";

  test("in a protected call come from the server alone, and none leaves", async () => {
    const [alice, bob] = await friends();
    await ask(alice.client.setSettings({ protectIpAddress: true }));
    const call = await talk(bob, alice);
    expect(call.protectedAddress).toBe(true);
    expect(bob.legs[0]!.steps).toContain("connect protected");
    expect(alice.legs[0]!.steps).toContain("connect protected");
    for (const leg of [bob.legs[0]!, alice.legs[0]!]) leg.emit("candidates", { candidates: [line], complete: false });
    await pass();
    expect(frames("sendToPeer")).toEqual([]);
    server.sendTo("bob", { case: "fromPeer", value: { call: server.calls[0]!.id, body: new Uint8Array(512) } });
    const relayed = [{ ip: Uint8Array.of(192, 0, 2, 10), port: 50000 }];
    server.sendTo("bob", { case: "peerAddress", value: { call: server.calls[0]!.id, relayed } });
    await pass();
    expect(bob.legs[0]!.candidates).toEqual([]);
    expect(bob.legs[0]!.relayed).toEqual(["192.0.2.10:50000"]);
  });

  test("stay protected by the account's own setting, whatever the server says", async () => {
    const [alice, bob] = await friends();
    await ask(bob.client.setSettings({ protectIpAddress: true }));
    server.account("bob").settings.protectIpAddress = false; // a server that forgets
    const call = await talk(bob, alice);
    expect(call.protectedAddress).toBe(true);
    bob.legs[0]!.emit("candidates", { candidates: [line], complete: true });
    await pass();
    expect(frames("sendToPeer")).toEqual([]);
  });

  test("otherwise go sealed to the peer, after the accept", async () => {
    const [alice, bob] = await friends();
    await talk(bob, alice);
    for (const leg of [bob.legs[0]!, alice.legs[0]!]) leg.emit("candidates", { candidates: [line], complete: false });
    await pass();
    expect(frames("sendToPeer")).toHaveLength(2);
    const clean = ["candidate:1 1 udp 2122260223 192.0.2.7 51000 typ host"];
    expect([bob.legs[0]!.candidates, alice.legs[0]!.candidates]).toEqual([clean, clean]);
  });
});

describe("a lost session", () => {
  test("places a call that still rings again, and it is the same call", async () => {
    const [alice, bob] = await friends();
    const call = await ask(bob.client.call("alice", false));
    const id = call.id;
    for (const s of server.sessions.filter((s) => s.account === "bob")) {
      s.connection!.drop(1006);
      server.sessions.splice(server.sessions.indexOf(s), 1);
    }
    await pass(3000);
    const placed = frames("placeCall").map((f) => f.body.case === "placeCall" && hex(f.body.value.placeId));
    expect(placed).toHaveLength(2);
    expect(placed[0]).toBe(placed[1]);
    expect([call.state, call.id]).toEqual(["calling", id]);
    expect(alice.incoming).toHaveLength(1);
    expect(bob.legs).toHaveLength(1);
  });

  test("ends a call that was connected", async () => {
    const [alice, bob] = await friends();
    const call = await talk(bob, alice);
    server.forgetSessions();
    await pass(3000);
    expect([call.state, call.end]).toEqual(["ended", "lost"]);
  });

  test("to another page leaves what that one saves alone", async () => {
    const alice = await join("alice");
    const state = (await alice.storage.load("alice"))!;
    const newer = await join("alice", state, alice.storage);
    expect(alice.client.sessionEnd).toBe("elsewhere");
    newer.client.createInvitation("from the newer page");
    alice.client.forgetHistory();
    await pass();
    expect((await alice.storage.load("alice"))!.issued).toHaveLength(4);
  });
});

describe("what was given", () => {
  test("is revoked as a whole by new keys for each epoch", async () => {
    const [alice, bob] = await friends();
    await ask(alice.client.setSettings({ silenceUnknownCallers: true }));
    await ask(alice.client.revokeAll());
    const call = await ask(bob.client.call("alice", false));
    expect(alice.incoming).toEqual([]);
    await ask(call.hangUp());
    bob.client.acceptInvitation(readInvitation(alice.client.createInvitation("again")));
    await ask(bob.client.call("alice", false));
    expect(alice.incoming).toHaveLength(1);
  });

  test("is revoked for one contact who is removed", async () => {
    const [alice, bob] = await friends();
    await talk(bob, alice);
    await ask([...bob.client.calls][0]!.hangUp());
    await talk(alice, bob);
    await ask([...alice.client.calls][0]!.hangUp());
    await ask(alice.client.removeContact("bob"));
    expect(alice.client.contact("bob")).toBeNull();
    const [revoked] = frames("revokeTokens");
    expect(revoked!.body.case === "revokeTokens" && revoked!.body.value.serials).toHaveLength(2);
  });

  test("blocks are the server's, and their names this device's", async () => {
    const [alice, bob] = await friends();
    await ask(alice.client.block("bob"));
    expect(alice.client.blocked).toEqual(["bob"]);
    await ask(bob.client.call("alice", false));
    expect(alice.incoming).toEqual([]);
    await ask(alice.client.unblock("bob"));
    expect(server.account("alice").blocked.size).toBe(0);
  });
});

test("a development identity is renewed before it expires", async () => {
  const expires = kNow + 3600;
  const renewIdentity = vi.fn(async () => MockServer.identity("alice", expires + 3600));
  const storage = new MemoryStorage();
  const client = new Client({
    url: "wss://x/v1", page: "https://sotto.example/", storage, connect: server.connect, renewIdentity,
    state: newState("alice", MockServer.identity("alice", expires), true),
  });
  client.start();
  await pass(3600_000 - 121_000);
  expect(renewIdentity).not.toHaveBeenCalled();
  await pass(2000);
  expect(renewIdentity).toHaveBeenCalledTimes(1);
  expect(frames("renewIdentity")).toHaveLength(1);
  expect(client.connection).toBe("online");
});
