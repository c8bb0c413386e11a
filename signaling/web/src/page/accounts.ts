// SPDX-License-Identifier: Apache-2.0
// Who is signed in, on this device.
import {
  Client, IndexedDbStorage, type LocalState, MemoryStorage, newState, readIdentity, type Storage,
} from "../lib";

const kLast = "sotto.account"; // in localStorage: which of the records to open

export async function openStorage(): Promise<Storage> {
  try {
    return await IndexedDbStorage.open();
  } catch {
    return new MemoryStorage(); // a private window, perhaps: it works until it is closed
  }
}

// Null: this server makes no development identities.
export async function developmentIdentity(account: string): Promise<string | null> {
  const response = await fetch("/v1/development/identity", {
    method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify({ account }),
  });
  if (response.status === 404 || response.status === 405) return null;
  if (!response.ok) throw new Error(`The server didn't sign you in (${response.status}).`);
  return ((await response.json()) as { identity: string }).identity;
}

// `linked`: what another device of the account gave to this one.
export async function signIn(
  storage: Storage, identity: string, development: boolean, linked: LocalState | null,
): Promise<Client> {
  const { account } = readIdentity(identity);
  if (linked && linked.account !== account) {
    throw new Error(`The link is for ${linked.account}. Sign in as ${linked.account}.`);
  }
  const state = (await storage.load(account)) ?? newState(account, identity, development);
  state.identity = identity.trim();
  state.development = development;
  if (linked) {
    state.accountSecret = linked.accountSecret;
    state.generations = linked.generations;
  }
  localStorage.setItem(kLast, account);
  return open(storage, state);
}

// Who was signed in last, if anybody.
export async function resume(storage: Storage): Promise<Client | null> {
  const account = localStorage.getItem(kLast);
  const state = account ? await storage.load(account).catch(() => null) : null;
  if (!state) return null;
  if (state.development && readIdentity(state.identity).expiresMs < Date.now() + 60_000) {
    state.identity = (await developmentIdentity(state.account).catch(() => null)) ?? state.identity;
  }
  return open(storage, state);
}

export async function signOut(storage: Storage, client: Client): Promise<void> {
  await client.stop();
  localStorage.removeItem(kLast);
  await storage.remove(client.account);
}

function open(storage: Storage, state: LocalState): Client {
  const scheme = location.protocol === "http:" ? "ws:" : "wss:";
  const client = new Client({
    url: `${scheme}//${location.host}/v1`, page: `${location.origin}${location.pathname}`, storage, state,
    renewIdentity: async (account) => {
      const identity = await developmentIdentity(account);
      if (!identity) throw new Error("This server gives no development identities.");
      return identity;
    },
  });
  client.start();
  return client;
}
