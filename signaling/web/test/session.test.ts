// SPDX-License-Identifier: Apache-2.0
import { afterEach, beforeAll, beforeEach, describe, expect, test, vi } from "vitest";
import type { ServerFrame } from "../src/gen/signaling_pb";
import { boxKeyPair, randomBytes, ready } from "../src/lib/keys";
import { RefusedError, Session } from "../src/lib/session";
import { MockServer } from "./mock_server";

let server: MockServer;
let session: Session;
let events: ServerFrame[];
let freshCount: number;

beforeAll(() => ready);
beforeEach(() => {
  vi.useFakeTimers({ now: 1_767_300_000_000 });
  server = new MockServer();
  ({ session, events } = open("alice"));
  freshCount = 0;
  session.on("welcome", ({ fresh }) => (freshCount += fresh ? 1 : 0));
});
afterEach(() => vi.useRealTimers());

function open(account: string, device = randomBytes(16)) {
  const opened = new Session({
    url: "wss://x/v1", identity: () => MockServer.identity(account), device,
    noticeKey: boxKeyPair().publicKey, connect: server.connect, random: () => 1,
  });
  const seen: ServerFrame[] = [];
  opened.on("event", (frame) => seen.push(frame));
  return { session: opened, events: seen };
}

const pass = (ms: number) => vi.advanceTimersByTimeAsync(ms);
const getKeys = (account: string) => session.request({ case: "getKeys", value: { account } });
const own = () => server.sessions.find((s) => s.account === "alice")!;
const tell = (n: number) =>
  server.send(own(), { case: "peerAddress", value: { call: Uint8Array.of(n >> 8, n) } });
const told = () => events.map((f) => {
  if (f.body.case !== "peerAddress") throw new Error("not sent by this test");
  return (f.body.value.call[0]! << 8) | f.body.value.call[1]!;
});

describe("a session", () => {
  test("begins with Welcome, and requests from before it are made", async () => {
    session.start();
    const answer = getKeys("bob");
    await pass(10);
    expect(session.state).toBe("online");
    expect((await answer).body.case).toBe("keys");
  });

  test("gives a refusal to whom it is for", async () => {
    session.start();
    await pass(10);
    const hangUp = session.request({ case: "hangUp", value: { call: randomBytes(16) } });
    const refused = expect(hangUp).rejects.toBeInstanceOf(RefusedError);
    await pass(10);
    await refused;
  });

  test("resumes after a lost connection, each way without loss or double", async () => {
    session.start();
    await pass(10);
    tell(1);
    server.dropAll();
    tell(2);
    const answer = getKeys("bob");
    await pass(5000);
    tell(3);
    await pass(10);
    expect((await answer).body.case).toBe("keys");
    expect(told()).toEqual([1, 2, 3]);
    expect(freshCount).toBe(1);
    expect(server.frames).toHaveLength(1);
  });

  test("survives a random walk of lost connections", async () => {
    let state = 12345; // of a small generator: the same walk each time
    const random = (n: number) => (state = (state * 1103515245 + 12345) & 0x7fffffff) % n;
    session.start();
    await pass(10);
    const answers: Promise<ServerFrame>[] = [];
    let sent = 0;
    for (let step = 0; step < 2000; step++) {
      const what = random(10);
      if (what < 4) tell(++sent);
      else if (what < 7) answers.push(getKeys(`peer${step}`));
      else if (what < 8) server.dropAll();
      else await pass(random(3));
      if (step % 50 === 0) await pass(1500);
    }
    await pass(60_000);
    const names = (await Promise.all(answers)).map((f) => f.body.case === "keys" && f.body.value.account);
    expect(told()).toEqual(Array.from({ length: sent }, (_, i) => i + 1));
    expect(new Set(names).size).toBe(answers.length);
    expect(server.frames.map((f) => f.body.case === "getKeys" && f.body.value.account)).toEqual(names);
    expect(freshCount).toBe(1);
  });

  test("begins anew when the server has forgotten it, and makes requests again", async () => {
    session.start();
    await pass(10);
    server.reachable = false;
    server.forgetSessions();
    const answer = getKeys("bob");
    await pass(3000);
    server.reachable = true;
    await pass(60_000);
    expect((await answer).body.case).toBe("keys");
    expect(freshCount).toBe(2);
    expect(own().seen).toBe(1n);
  });

  test("drops a connection that leaves a gap, and gets what was missing", async () => {
    session.start();
    await pass(10);
    const lost = own().connection!;
    own().connection = null;
    tell(1);
    own().connection = lost;
    tell(2);
    await pass(5);
    expect(told()).toEqual([]);
    await pass(3000);
    expect(told()).toEqual([1, 2]);
  });

  test("takes a frame that comes twice once, and stays connected", async () => {
    session.start();
    await pass(10);
    const { connection } = own();
    tell(1);
    connection!.deliver(own().unacknowledged[0]!);
    await pass(3000);
    expect(told()).toEqual([1]);
    expect(own().connection).toBe(connection);
  });

  test("acknowledges what it has seen, well before 32 frames", async () => {
    session.start();
    await pass(10);
    for (let n = 1; n <= 100; n++) {
      tell(n);
      await pass(5);
      expect(own().unacknowledged.length).toBeLessThan(32);
    }
  });

  test("keeps its heartbeat, and leaves a server that has fallen silent", async () => {
    session.start();
    await pass(10);
    const first = own().connection;
    await pass(300_000);
    expect(own().connection).toBe(first);
    first!.server.receive = () => {}; // nothing is answered any more
    await pass(61_000);
    expect(own().connection).not.toBe(first);
  });

  test("comes back ever more slowly while the server is away", async () => {
    session.start();
    await pass(10);
    const times: number[] = [];
    server.reachable = false;
    const connect = vi.spyOn(server, "reachable", "get").mockImplementation(() => {
      times.push(Date.now());
      return false;
    });
    server.dropAll();
    await pass(200_000);
    connect.mockRestore();
    const gaps = times.slice(1).map((t, i) => t - times[i]!);
    expect(gaps[0]).toBeLessThan(1100);
    expect(gaps.at(-1)).toBeGreaterThanOrEqual(30_000);
    expect(gaps.at(-1)).toBeLessThan(31_000);
    expect(times.length).toBeLessThan(20);
  });

  test.each([[1000, "closed"], [4400, "protocol"], [4401, "identity"], [4403, "blocked"], [4409, "elsewhere"], [4410, "removed"]] as const)(
    "ends for good with %i", async (code, end) => {
      session.start();
      await pass(10);
      const waiting = expect(session.request({ case: "placeCall", value: {} })).rejects.toThrow();
      own().connection!.drop(code);
      await waiting;
      expect([session.state, session.end]).toEqual(["ended", end]);
      await pass(120_000);
      expect(server.sockets("alice")).toEqual([]);
      await expect(getKeys("bob")).rejects.toThrow();
    });

  test.each([1001, 1006, 1011, 4408, 4413, 4429])("comes back after %i", async (code) => {
    session.start();
    await pass(10);
    own().connection!.drop(code);
    await pass(code === 4429 ? 14_000 : 100);
    expect(session.state).toBe("connecting");
    await pass(16_000);
    expect(session.state).toBe("online");
  });

  test("can start again after its end", async () => {
    session.start();
    await pass(10);
    own().connection!.drop(4401);
    session.start();
    await pass(10);
    expect(session.state).toBe("online");
    expect((await Promise.all([getKeys("bob"), pass(10)]))[0].body.case).toBe("keys");
  });

  test("says goodbye", async () => {
    session.start();
    await pass(10);
    session.close();
    expect(session.state).toBe("ended");
  });

  test("gives way to the same device elsewhere", async () => {
    const device = randomBytes(16);
    const first = open("carol", device).session;
    first.start();
    await pass(10);
    open("carol", device).session.start();
    await pass(10);
    expect(first.end).toBe("elsewhere");
  });
});
