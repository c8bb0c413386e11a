// SPDX-License-Identifier: Apache-2.0
// A stream that the thread which owns a table fills from it, a bounded piece at a time, as fast as
// its reader takes it: the thread looks at no more than kPlacesAtOnce places for a piece of work,
// and isn't asked again before all that it found is written. So a list of a million costs what
// kBatch messages take, however slowly it is read.
#pragma once

#include <fmt/format.h>
#include <grpcpp/support/server_callback.h>

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <functional>
#include <optional>
#include <string_view>
#include <utility>
#include <vector>

#include "relay/daemon/admin_listener.h"

namespace sotto {

// What all lists have in common, for their tests.
struct ListBounds {
  static constexpr uint32_t kPlacesAtOnce = 512;
  static constexpr size_t kBatch = 256;
};

// Owns itself until the stream is over.
template <typename Message>
class ListStream final : public grpc::ServerWriteReactor<Message> {
 public:
  // On the thread that owns the table. Looks at no more than `places` places from `first` on, adds
  // a message to `out` for each that is wanted, and returns where to go on, or nothing at the end.
  using Find = std::function<std::optional<uint64_t>(uint64_t first, uint32_t places,
                                                     std::vector<Message>& out)>;

  // Whose the table is.
  struct Owner {
    // Has that thread call `work` with how to find; false if it never will. `goes_on`: it is for a
    // list that it has worked for already.
    std::function<bool(bool goes_on, std::function<void(const Find&)> work)> run;
    RunInGrpc run_in_grpc;
    grpc::Status unavailable;  // what a list ends with that `run` takes no work for
    // Lists that are open, of which there may be `most`; must outlive the stream.
    std::atomic<size_t>& open;
    size_t most;
    std::string_view who;  // "relay"
  };

  // gRPC's threads. `limit`: messages; 0: no bound.
  static ListStream* Start(Owner owner, uint64_t first, uint32_t limit) {
    auto* stream = new ListStream(std::move(owner), first, limit);
    const Owner& of = stream->owner_;
    if (of.open.fetch_add(1) >= of.most) {
      stream->Finish({grpc::StatusCode::RESOURCE_EXHAUSTED,
                      fmt::format("{} lists are being read already, and the {} serves no more at a "
                                  "time; end one, or wait",
                                  of.most, of.who)});
    } else if (!stream->FindMore(/*goes_on=*/false)) {
      stream->Finish(of.unavailable);
    }
    return stream;
  }
  // A stream that is over before it began.
  static ListStream* Refuse(Owner owner, const absl::Status& status) {
    auto* stream = new ListStream(std::move(owner), 0, 0);
    stream->owner_.open.fetch_add(1);
    stream->Finish(ToGrpc(status));
    return stream;
  }

 private:
  ListStream(Owner owner, uint64_t first, uint32_t limit)
      : owner_(std::move(owner)), next_(first), limit_(limit) {}

  bool FindMore(bool goes_on) {
    return owner_.run(goes_on, [this](const Find& find) { OnOwner(find); });
  }
  void OnOwner(const Find& find);
  void WriteNext();

  void OnWriteDone(bool ok) override {
    if (ok) return WriteNext();
    this->Finish(grpc::Status::CANCELLED);
  }
  void OnCancel() override { cancelled_.store(true, std::memory_order_relaxed); }
  void OnDone() override {
    owner_.open.fetch_sub(1);
    delete this;
  }

  const Owner owner_;
  std::atomic<bool> cancelled_ = false;  // gRPC writes, the owner reads
  // The owner's while work for the stream waits or runs, else gRPC's.
  std::optional<uint64_t> next_;
  const uint32_t limit_;
  uint64_t sent_ = 0;  // of those before batch_
  std::vector<Message> batch_;
  size_t written_ = 0;  // of batch_
};

template <typename Message>
void ListStream<Message>::OnOwner(const Find& find) {
  if (!cancelled_.load(std::memory_order_relaxed)) {
    uint32_t places = ListBounds::kPlacesAtOnce;
    while (next_ && places > 0 && batch_.size() < ListBounds::kBatch) {
      // Each place yields one message at most.
      const auto room = static_cast<uint32_t>(ListBounds::kBatch - batch_.size());
      const uint32_t piece = std::min(places, room);
      next_ = find(*next_, piece, batch_);
      places -= piece;
    }
    if (limit_ != 0 && sent_ + batch_.size() >= limit_) {
      batch_.resize(limit_ - sent_);
      next_.reset();
    }
    if (batch_.empty() && next_ && FindMore(/*goes_on=*/true)) return;
  }
  owner_.run_in_grpc([this] { WriteNext(); });
}

template <typename Message>
void ListStream<Message>::WriteNext() {
  if (cancelled_.load(std::memory_order_relaxed)) return this->Finish(grpc::Status::CANCELLED);
  if (written_ < batch_.size()) return this->StartWrite(&batch_[written_++]);
  sent_ += batch_.size();
  batch_.clear();
  written_ = 0;
  if (!next_) return this->Finish(grpc::Status::OK);
  if (!FindMore(/*goes_on=*/true)) this->Finish(owner_.unavailable);
}

}  // namespace sotto
