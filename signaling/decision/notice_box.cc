// SPDX-License-Identifier: Apache-2.0
#include "signaling/decision/notice_box.h"

#include <algorithm>
#include <string>

#include "signaling/decision/bounded_map.h"
#include "signaling/token/sodium.h"

namespace sotto::signaling {
namespace {

constexpr size_t kMaxRememberedBoxes = 32'768;

using Hash = std::array<uint8_t, 16>;

// A notice that waits, and how many calls it stands for.
struct Waiting {
  Hash of = {};  // kind and caller
  NoticeId id = 0;
  SaturatingCount count{0};
};

// What is remembered of one device's box.
struct Box {
  std::vector<Waiting> notices;  // kMaxNotices at most
  std::optional<Waiting> more;
};

class KeyedHash {
 public:
  KeyedHash() {
    EnsureSodium();
    randombytes_buf(key_.data(), key_.size());
  }
  Hash OfDevice(const AccountId& account, const DeviceId& device) const {
    // The device has a fixed size, so that nothing else makes the same bytes.
    return Of('d', std::string(device.begin(), device.end()) + account.text());
  }
  Hash OfNotice(NoticeKind kind, const std::optional<VerifiedAccount>& caller) const {
    return Of('n', static_cast<char>(kind) + (caller ? caller->id().text() : std::string()));
  }

 private:
  Hash Of(char what, std::string text) const {
    text += what;
    Hash hash;
    crypto_generichash(hash.data(), hash.size(), reinterpret_cast<const uint8_t*>(text.data()),
                       text.size(), key_.data(), key_.size());
    return hash;
  }
  std::array<uint8_t, 32> key_;
};

}  // namespace

class NoticeBox::Impl {
 public:
  explicit Impl(Store& store) : store_(store) {}

  absl::Status Add(const AccountId& recipient, const std::vector<Device>& devices, NoticeKind kind,
                   const std::optional<VerifiedAccount>& caller, int64_t unix_s, bool pretend) {
    const Hash of = hash_.OfNotice(kind, caller);
    const Device stand_in = {.id = {}, .notice_key = stand_in_key_};
    const std::vector<Device> none = {stand_in};
    for (const Device& device : devices.empty() ? none : devices) {
      const Call call = {.pretend = pretend || devices.empty(),
                         .account = recipient,
                         .device = device,
                         .kind = kind,
                         .of = of,
                         .caller = caller,
                         .minute = UnixMinute::Of(unix_s)};
      if (absl::Status status = AddFor(call); !status.ok()) return status;
    }
    return absl::OkStatus();
  }

  void Delivered(const AccountId& account, const DeviceId& device) {
    const Hash key = hash_.OfDevice(account, device);
    Box* box = boxes_.Find(key);
    if (box == nullptr) return;
    undo_.try_emplace(key, *box);
    *box = {};
  }

  void RolledBack() {
    for (auto& [key, before] : undo_) {
      // A box that was forgotten for lack of room stays so.
      if (Box* box = boxes_.Find(key)) *box = std::move(before);
    }
    undo_.clear();
  }
  void Committed() { undo_.clear(); }

 private:
  struct Call {
    bool pretend;
    const AccountId& account;
    const Device& device;
    NoticeKind kind;
    const Hash& of;
    const std::optional<VerifiedAccount>& caller;
    UnixMinute minute;
  };

  absl::Status AddFor(const Call& call) {
    const AccountId& account = call.pretend ? TheDummyAccount() : call.account;
    const DeviceId& device = call.device.id;
    absl::StatusOr<size_t> waiting = store_.CountNotices(account, device);
    if (!waiting.ok()) return waiting.status();

    const Hash key = hash_.OfDevice(account, device);
    Box nothing;
    Box* box = boxes_.Find(key);
    if (box == nullptr) box = call.pretend ? &nothing : &boxes_.Put(key, {});
    const auto same = std::ranges::find(box->notices, call.of, &Waiting::of);
    const bool known = same != box->notices.end();
    const bool more = !known && *waiting >= kMaxNotices - 1;
    Waiting next = {.of = call.of};
    if (known) next = *same;
    if (more && box->more) next = *box->more;
    next.count.Increment();

    const SealedNotice sealed = SealNotice({.kind = more ? NoticeKind::kMore : call.kind,
                                            .caller = more ? std::nullopt : call.caller,
                                            .minute = call.minute,
                                            .count = next.count},
                                           call.device.notice_key);
    absl::StatusOr<bool> replaced = store_.ReplaceNotice(account, device, next.id, sealed);
    if (!replaced.ok()) return replaced.status();
    // The same statements run for a notice that was replaced: for the dummy, they add nothing.
    absl::StatusOr<NoticeId> added =
        store_.AddNotice(*replaced ? TheDummyAccount() : account, device, sealed);
    const bool refused =
        absl::IsNotFound(added.status()) || absl::IsResourceExhausted(added.status());
    if (!added.ok() && !refused) return added.status();
    if (refused && !*replaced) return absl::OkStatus();
    if (added.ok()) next.id = *added;

    undo_.try_emplace(key, *box);
    if (more) {
      box->more = next;
    } else if (known) {
      *same = next;
    } else {
      if (box->notices.size() == kMaxNotices) box->notices.erase(box->notices.begin());
      box->notices.push_back(next);
    }
    return absl::OkStatus();
  }

  Store& store_;
  const KeyedHash hash_;
  // Nobody has the secret: the base point times a random number that isn't kept.
  const NoticeKey stand_in_key_ = [] {
    NoticeKey key, secret;
    crypto_box_keypair(key.data(), secret.data());
    sodium_memzero(secret.data(), secret.size());
    return key;
  }();
  BoundedMap<Hash, Box> boxes_{kMaxRememberedBoxes};
  // Boxes as they were before the transaction that runs.
  absl::flat_hash_map<Hash, Box> undo_;
};

NoticeBox::NoticeBox(Store& store) : impl_(std::make_unique<Impl>(store)) {}
NoticeBox::~NoticeBox() = default;

absl::Status NoticeBox::Add(const AccountId& recipient, const std::vector<Device>& devices,
                            NoticeKind kind, const std::optional<VerifiedAccount>& caller,
                            int64_t unix_s, bool pretend) {
  return impl_->Add(recipient, devices, kind, caller, unix_s, pretend);
}
void NoticeBox::Delivered(const AccountId& account, const DeviceId& device) {
  impl_->Delivered(account, device);
}
void NoticeBox::RolledBack() { impl_->RolledBack(); }
void NoticeBox::Committed() { impl_->Committed(); }

}  // namespace sotto::signaling
