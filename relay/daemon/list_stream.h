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
#include <type_traits>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "relay/base/task_queue.h"
#include "relay/daemon/admin_listener.h"
#include "relay/daemon/owner_requests.h"

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
  // On the thread that owns the table, with what it passes to its tasks. Looks at no more than
  // `places` places from `first` on, adds a message to `out` for each that is wanted, and returns
  // where to go on, or nothing at the end.
  template <typename... Passed>
  using FindWith = std::function<std::optional<uint64_t>(Passed..., uint64_t first, uint32_t places,
                                                         std::vector<Message>& out)>;

  // gRPC's threads. `open` counts the lists that are, of which there may be `most`; `requests` and
  // `open` must outlive the stream. `limit`: messages; 0: no bound.
  template <typename... Passed>
  static ListStream* Start(OwnerRequests<Passed...>& requests, std::atomic<size_t>& open,
                           size_t most, uint64_t first, uint32_t limit,
                           std::type_identity_t<FindWith<Passed...>> find) {
    auto* stream = new ListStream(requests, open, first, limit);
    stream->find_more_ = [stream, &requests, find = std::move(find)](bool goes_on) {
      typename TaskQueue<Passed...>::Task task = [stream, find](Passed... passed) {
        stream->OnOwner([&](uint64_t from, uint32_t places, std::vector<Message>& out) {
          return find(passed..., from, places, out);
        });
      };
      return goes_on ? requests.tasks().PostMore(std::move(task))
                     : requests.tasks().Post(std::move(task));
    };
    if (open.fetch_add(1) >= most) {
      stream->Finish({grpc::StatusCode::RESOURCE_EXHAUSTED,
                      fmt::format("{} lists are being read already, and the {} serves no more at a "
                                  "time; end one, or wait",
                                  most, requests.who())});
    } else if (!stream->find_more_(/*goes_on=*/false)) {
      stream->Finish(requests.Unavailable());
    }
    return stream;
  }
  // A stream that is over before it began.
  static ListStream* Refuse(const OwnerAnswers& requests, std::atomic<size_t>& open,
                            const absl::Status& status) {
    auto* stream = new ListStream(requests, open, 0, 0);
    open.fetch_add(1);
    stream->Finish(ToGrpc(status));
    return stream;
  }

 private:
  // A FindWith that has what the owner passed.
  using Find = std::function<std::optional<uint64_t>(uint64_t first, uint32_t places,
                                                     std::vector<Message>& out)>;

  ListStream(const OwnerAnswers& requests, std::atomic<size_t>& open, uint64_t first,
             uint32_t limit)
      : requests_(requests), open_(open), next_(first), limit_(limit) {}

  void OnOwner(const Find& find);
  void WriteNext();

  void OnWriteDone(bool ok) override {
    if (ok) return WriteNext();
    this->Finish(grpc::Status::CANCELLED);
  }
  void OnCancel() override { cancelled_.store(true, std::memory_order_relaxed); }
  void OnDone() override {
    open_.fetch_sub(1);
    delete this;
  }

  const OwnerAnswers& requests_;
  std::atomic<size_t>& open_;
  // Has the owner call OnOwner(); false if it never will. `goes_on`: for a list that it has worked
  // for already. Set by Start(), and not changed.
  std::function<bool(bool goes_on)> find_more_;
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
    if (batch_.empty() && next_ && find_more_(/*goes_on=*/true)) return;
  }
  requests_.run_in_grpc()([this] { WriteNext(); });
}

template <typename Message>
void ListStream<Message>::WriteNext() {
  if (cancelled_.load(std::memory_order_relaxed)) return this->Finish(grpc::Status::CANCELLED);
  if (written_ < batch_.size()) return this->StartWrite(&batch_[written_++]);
  sent_ += batch_.size();
  batch_.clear();
  written_ = 0;
  if (!next_) return this->Finish(grpc::Status::OK);
  if (!find_more_(/*goes_on=*/true)) this->Finish(requests_.Unavailable());
}

}  // namespace sotto
