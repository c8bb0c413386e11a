// SPDX-License-Identifier: Apache-2.0
// What sotto-signald keeps. One interface; sqlite_store.h is the embedded default.
//
// One thread uses a store (store_thread.h runs it). What a call has changed is durable once
// Commit() returned OK, all of a transaction or none of it. No row pairs a caller with a recipient:
// blocks are keyed hashes, notices are sealed to a device, nullifiers are hashes.
//
// Errors: INTERNAL or UNAVAILABLE with the store's own words (a full disk, a broken file): nothing
// of the transaction counts. RESOURCE_EXHAUSTED: a bound of this header, NOT_FOUND: no such device
// or account; both leave nothing of their own behind, and the transaction goes on.
//
// Each function runs the same statements whatever it finds, and none of them reads a number of rows
// that grows with the store.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "signaling/identity/account.h"
#include "signaling/notice/notice.h"
#include "signaling/token/token.h"

namespace sotto::signaling {

constexpr size_t kMaxDevices = 8;           // of an account
constexpr size_t kMaxBlocks = 10'000;       // of an account
constexpr size_t kMaxRevocations = 10'000;  // of an account, in an epoch
constexpr size_t kMaxNotices = 32;          // waiting for a device, one of kMore included

struct AccountSettings {
  bool silence_unknown_callers = false;
  bool protect_ip_address = false;
  bool operator==(const AccountSettings&) const = default;
};

struct AccountPublicKeys {
  std::array<uint8_t, 32> box = {};   // X25519
  std::array<uint8_t, 32> sign = {};  // Ed25519
  bool operator==(const AccountPublicKeys&) const = default;
};

struct EpochKey {
  Epoch epoch = 0;
  EpochPublicKey public_key = {};
  uint16_t uses = 1;  // 1 to kMaxTokenUses
  bool operator==(const EpochKey&) const = default;
};

struct Device {
  DeviceId id = {};
  NoticeKey notice_key = {};
  bool operator==(const Device&) const = default;
};

struct AccountRecord {
  bool barred = false;  // blocked by the operator
  AccountSettings settings;
  std::optional<AccountPublicKeys> keys;
  std::vector<EpochKey> epoch_keys;  // of epochs that aren't over, ascending
  std::vector<Device> devices;
};

// A blocked account, as a keyed hash of (owner, blocked).
using BlockHash = std::array<uint8_t, 32>;

// How a caller has behaved towards all recipients together; never which.
struct Standing {
  uint32_t placed = 0;  // calls within the current window, and how many of those didn't ring
  uint32_t silenced = 0;
  int64_t window_began_unix_s = 0;
  bool operator==(const Standing&) const = default;
};

// What the store knows of a token.
struct TokenUse {
  uint16_t used = 0;
  bool revoked = false;
  bool operator==(const TokenUse&) const = default;
};

enum class Redemption : uint8_t {
  kAccepted,  // a use was left, and this call has it now (or had it: the same call tried again)
  kSpent,     // no use is left, it is revoked, or this call has ended
};

using NoticeId = uint64_t;  // 1 and up; ascending for a device; never used twice by an account
struct StoredNotice {
  NoticeId id = 0;
  SealedNotice sealed = {};
};

class Store {
 public:
  virtual ~Store() = default;

  virtual absl::Status Begin() = 0;
  virtual absl::Status Commit() = 0;
  virtual void Rollback() = 0;

  // Look-ups also work outside of a transaction.
  virtual absl::StatusOr<std::optional<AccountRecord>> FindAccount(const AccountId& account) = 0;
  virtual absl::StatusOr<bool> IsBlocked(const AccountId& owner, const BlockHash& blocked) = 0;
  virtual absl::StatusOr<Standing> GetStanding(const AccountId& account) = 0;
  virtual absl::StatusOr<std::vector<StoredNotice>> Notices(const AccountId& account,
                                                            const DeviceId& device) = 0;
  virtual absl::StatusOr<TokenUse> FindTokenUse(const Nullifier& nullifier) = 0;
  // That wait, of all accounts, as of the last Commit(). Reads nothing.
  virtual uint64_t notices_waiting() const = 0;

  // Those that put something make the account where it is missing.
  //
  // Makes the device where it is missing; another notice key replaces the device's, and forgets the
  // notices that were sealed to the old one.
  virtual absl::Status PutDevice(const AccountId& account, const Device& device) = 0;
  virtual absl::Status RemoveDevice(const AccountId& account, const DeviceId& device) = 0;
  virtual absl::Status PutSettings(const AccountId& account, const AccountSettings& settings) = 0;
  virtual absl::Status PutAccountKeys(const AccountId& account, const AccountPublicKeys& keys) = 0;
  virtual absl::Status PutEpochKey(const AccountId& account, const EpochKey& key) = 0;
  virtual absl::Status PutBlock(const AccountId& owner, const BlockHash& blocked, bool on) = 0;
  // Whether the operator blocks the account. NOT_FOUND, and none is made, to unblock one that
  // doesn't exist.
  virtual absl::Status PutBarred(const AccountId& account, bool barred) = 0;
  // An account that doesn't exist has no standing, and gets none.
  virtual absl::Status PutStanding(const AccountId& account, const Standing& standing) = 0;

  // Takes a use of a token for a call: atomically, and alike for the same call again as long as
  // that hasn't ended. A call has one token: with another, it's kSpent. `uses` of 0 takes none.
  virtual absl::StatusOr<Redemption> Redeem(const Nullifier& nullifier, Epoch epoch, uint16_t uses,
                                            const CallId& call) = 0;
  // The call is over: trying it again is kSpent.
  virtual absl::Status EndRedemption(const CallId& call) = 0;
  virtual absl::Status Revoke(const AccountId& account, Epoch epoch,
                              const Nullifier& nullifier) = 0;

  virtual absl::StatusOr<size_t> CountNotices(const AccountId& account, const DeviceId& device) = 0;
  // RESOURCE_EXHAUSTED at kMaxNotices. Ids are the account's own, so that they tell nothing of what
  // befalls others.
  virtual absl::StatusOr<NoticeId> AddNotice(const AccountId& account, const DeviceId& device,
                                             const SealedNotice& notice) = 0;
  // False if there is no such notice (any more).
  virtual absl::StatusOr<bool> ReplaceNotice(const AccountId& account, const DeviceId& device,
                                             NoticeId id, const SealedNotice& notice) = 0;
  virtual absl::Status RemoveNotices(const AccountId& account, const DeviceId& device,
                                     std::span<const NoticeId> ids) = 0;

  // Forgets keys, nullifiers and revocations of earlier epochs, and standing windows that began
  // before. Bounded work: returns whether there is more to do.
  virtual absl::StatusOr<bool> Forget(Epoch earlier_than, int64_t standing_before_unix_s) = 0;
};

}  // namespace sotto::signaling
