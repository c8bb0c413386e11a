// SPDX-License-Identifier: Apache-2.0
// Where a device keeps what it knows: one record for each account in IndexedDB, encrypted.
//
// The key is an AES-GCM key of WebCrypto that can't be exported. That keeps the account's secret
// out of copies of the record's bytes (backups, a synced profile, other extensions' dumps); it
// doesn't keep it from whoever can run code in this page or use this browser: libsodium needs the
// secret itself, so a script of this origin can have it.
import { fromBinary, toBinary } from "@bufbuild/protobuf";
import { type LocalState, LocalStateSchema } from "../gen/local_state_pb";
import { concat } from "./bytes";

export interface Storage {
  accounts(): Promise<string[]>;
  load(account: string): Promise<LocalState | null>;
  // Durable once it resolves; in the order of the calls.
  save(state: LocalState): Promise<void>;
  remove(account: string): Promise<void>;
}

const kRecords = "accounts";
const kKeys = "keys";
const kKeyName = "records";
const kIvSize = 12;

export class IndexedDbStorage implements Storage {
  readonly #database: IDBDatabase;
  readonly #key: CryptoKey;
  #last: Promise<unknown> = Promise.resolve();

  private constructor(database: IDBDatabase, key: CryptoKey) {
    this.#database = database;
    this.#key = key;
  }

  static async open(name = "sotto"): Promise<IndexedDbStorage> {
    const opening = indexedDB.open(name, 1);
    opening.onupgradeneeded = () => {
      opening.result.createObjectStore(kRecords);
      opening.result.createObjectStore(kKeys);
    };
    const database = await done(opening);
    const fresh = await crypto.subtle.generateKey({ name: "AES-GCM", length: 256 }, false, [
      "encrypt", "decrypt",
    ]);
    // Two pages that open at once agree on the key of whichever was first.
    const transaction = database.transaction(kKeys, "readwrite");
    const keys = transaction.objectStore(kKeys);
    const existing = (await done(keys.get(kKeyName))) as CryptoKey | undefined;
    if (!existing) keys.put(fresh, kKeyName);
    await committed(transaction);
    return new IndexedDbStorage(database, existing ?? fresh);
  }

  async accounts(): Promise<string[]> {
    return (await done(this.#store("readonly").getAllKeys())) as string[];
  }

  async load(account: string): Promise<LocalState | null> {
    await this.#last;
    const record = (await done(this.#store("readonly").get(account))) as Uint8Array<ArrayBuffer> | undefined;
    if (!record) return null;
    const plain = await crypto.subtle.decrypt(
      this.#algorithm(account, record.slice(0, kIvSize)), this.#key, record.slice(kIvSize));
    return fromBinary(LocalStateSchema, new Uint8Array(plain));
  }

  save(state: LocalState): Promise<void> {
    const plain = new Uint8Array(toBinary(LocalStateSchema, state)); // as it is now
    const account = state.account;
    return this.#enqueue(async () => {
      const iv = crypto.getRandomValues(new Uint8Array(kIvSize));
      const sealed = await crypto.subtle.encrypt(this.#algorithm(account, iv), this.#key, plain);
      await this.#write((store) => store.put(concat(iv, new Uint8Array(sealed)), account));
    });
  }

  remove(account: string): Promise<void> {
    return this.#enqueue(() => this.#write((store) => store.delete(account)));
  }

  #enqueue(job: () => Promise<void>): Promise<void> {
    const result = this.#last.then(job);
    this.#last = result.catch(() => {}); // one failure doesn't hold up the next
    return result;
  }

  async #write(change: (store: IDBObjectStore) => void): Promise<void> {
    const transaction = this.#database.transaction(kRecords, "readwrite", { durability: "strict" });
    change(transaction.objectStore(kRecords));
    await committed(transaction);
  }

  #store(mode: IDBTransactionMode): IDBObjectStore {
    return this.#database.transaction(kRecords, mode).objectStore(kRecords);
  }

  #algorithm(account: string, iv: Uint8Array<ArrayBuffer>): AesGcmParams {
    return { name: "AES-GCM", iv, additionalData: new TextEncoder().encode(account) };
  }
}

// For tests, and for a browser that allows no IndexedDB: gone when the page is.
export class MemoryStorage implements Storage {
  readonly #records = new Map<string, Uint8Array>();

  accounts(): Promise<string[]> {
    return Promise.resolve([...this.#records.keys()]);
  }
  load(account: string): Promise<LocalState | null> {
    const record = this.#records.get(account);
    return Promise.resolve(record ? fromBinary(LocalStateSchema, record) : null);
  }
  save(state: LocalState): Promise<void> {
    this.#records.set(state.account, toBinary(LocalStateSchema, state));
    return Promise.resolve();
  }
  remove(account: string): Promise<void> {
    this.#records.delete(account);
    return Promise.resolve();
  }
}

function done<T>(request: IDBRequest<T>): Promise<T> {
  return new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });
}

function committed(transaction: IDBTransaction): Promise<void> {
  return new Promise((resolve, reject) => {
    transaction.oncomplete = () => resolve();
    transaction.onabort = () => reject(transaction.error);
  });
}
