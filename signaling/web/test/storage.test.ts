// SPDX-License-Identifier: Apache-2.0
import "fake-indexeddb/auto";
import { create } from "@bufbuild/protobuf";
import { expect, test } from "vitest";
import { LocalStateSchema } from "../src/gen/local_state_pb";
import { utf8 } from "../src/lib/bytes";
import { IndexedDbStorage } from "../src/lib/storage";

const kSecret = utf8("a secret of 32 bytes, as it looks");
const state = (account: string, identity = "") =>
  create(LocalStateSchema, { account, identity, accountSecret: kSecret });

function rawRecord(name: string, account: string): Promise<Uint8Array> {
  return new Promise((resolve) => {
    const opening = indexedDB.open(name);
    opening.onsuccess = () => {
      const get = opening.result.transaction("accounts").objectStore("accounts").get(account);
      get.onsuccess = () => resolve(get.result as Uint8Array);
    };
  });
}

test("a state comes back after the page has gone", async () => {
  await (await IndexedDbStorage.open("a")).save(state("alice"));
  const again = await IndexedDbStorage.open("a");
  expect(await again.accounts()).toEqual(["alice"]);
  expect(await again.load("alice")).toEqual(state("alice"));
  expect(await again.load("bob")).toBeNull();
  await again.remove("alice");
  expect(await again.accounts()).toEqual([]);
});

test("the last of many saves stays, and is read after them", async () => {
  const storage = await IndexedDbStorage.open("b");
  for (let n = 0; n < 50; n++) void storage.save(state("alice", `jwt ${n}`));
  expect((await storage.load("alice"))?.identity).toBe("jwt 49");
});

test("nothing of it is stored in the clear, and it can't be passed off as another account's", async () => {
  const storage = await IndexedDbStorage.open("c");
  await storage.save(state("alice"));
  const record = await rawRecord("c", "alice");
  expect(Buffer.from(record).includes(Buffer.from(kSecret))).toBe(false);
  const opening = indexedDB.open("c");
  await new Promise((resolve) => (opening.onsuccess = resolve));
  const keys = await new Promise<CryptoKey>((resolve) => {
    const get = opening.result.transaction("keys").objectStore("keys").get("records");
    get.onsuccess = () => resolve(get.result as CryptoKey);
  });
  expect(keys.extractable).toBe(false);
  await new Promise((resolve) => {
    const transaction = opening.result.transaction("accounts", "readwrite");
    transaction.objectStore("accounts").put(record, "mallory");
    transaction.oncomplete = resolve;
  });
  await expect(storage.load("mallory")).rejects.toThrow();
});

test("two pages that open at once share the key", async () => {
  const [one, two] = await Promise.all([IndexedDbStorage.open("d"), IndexedDbStorage.open("d")]);
  await one.save(state("alice"));
  expect(await two.load("alice")).toEqual(state("alice"));
});
