// A stream that control fills from a table, a bounded piece at a time, as fast as its reader takes
// it: control looks at no more than kPlacesAtOnce places for a task, and isn't asked again before
// all that it found is written. So a list of a million costs what kBatch messages take, however
// slowly it is read. Owns itself until the stream is over.
#pragma once

#include <fmt/format.h>
#include <grpcpp/support/server_callback.h>

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <functional>
#include <optional>
#include <utility>
#include <vector>

#include "dataplane/relayd/control_requests.h"

namespace sotto::dataplane {

// What all lists have in common, for their tests.
struct ListBounds {
  static constexpr uint32_t kPlacesAtOnce = 512;
  static constexpr size_t kBatch = 256;
};

template <typename Message>
class ListStream final : public grpc::ServerWriteReactor<Message> {
 public:
  // On the control thread. Looks at no more than `places` places of the table from `first` on, adds
  // a message to `out` for each that is wanted, and returns where to go on, or nothing at the end.
  using Find = std::function<std::optional<uint32_t>(relay::Server& server, const relay::Now& now,
                                                     uint32_t first, uint32_t places,
                                                     std::vector<Message>& out)>;

  // gRPC's threads. `open` counts the lists that are, of which there may be `most`; `requests` and
  // `open` must outlive the stream. `limit`: messages; 0: no bound.
  static ListStream* Start(ControlRequests& requests, std::atomic<size_t>& open, size_t most,
                           uint32_t first, uint32_t limit, Find find) {
    auto* stream = new ListStream(requests, open, first, limit, std::move(find));
    if (open.fetch_add(1) >= most) {
      stream->Finish({grpc::StatusCode::RESOURCE_EXHAUSTED,
                      fmt::format("{} lists are being read already, which is all that the relay "
                                  "writes at a time; end one, or wait",
                                  most)});
    } else if (!requests.tasks().Post(stream->FindMore())) {
      stream->Finish(Unavailable());
    }
    return stream;
  }
  // A stream that is over before it began.
  static ListStream* Refuse(ControlRequests& requests, std::atomic<size_t>& open,
                            const absl::Status& status) {
    auto* stream = new ListStream(requests, open, 0, 0, nullptr);
    open.fetch_add(1);
    stream->Finish(ToGrpc(status));
    return stream;
  }

 private:
  ListStream(ControlRequests& requests, std::atomic<size_t>& open, uint32_t first, uint32_t limit,
             Find find)
      : requests_(requests), open_(open), next_(first), limit_(limit), find_(std::move(find)) {}

  ControlTasks::Task FindMore() {
    return [this](relay::Server& server, const relay::Now& now) { OnControl(server, now); };
  }
  void OnControl(relay::Server& server, const relay::Now& now);
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

  ControlRequests& requests_;
  std::atomic<size_t>& open_;
  std::atomic<bool> cancelled_ = false;  // gRPC writes, control reads
  // Control's while a task of the stream waits or runs, else gRPC's.
  std::optional<uint32_t> next_;
  const uint32_t limit_;
  const Find find_;
  uint64_t sent_ = 0;  // of those before batch_
  std::vector<Message> batch_;
  size_t written_ = 0;  // of batch_
};

template <typename Message>
void ListStream<Message>::OnControl(relay::Server& server, const relay::Now& now) {
  if (!cancelled_.load(std::memory_order_relaxed)) {
    uint32_t places = ListBounds::kPlacesAtOnce;
    while (next_ && places > 0 && batch_.size() < ListBounds::kBatch) {
      // Each place yields one message at most.
      const auto room = static_cast<uint32_t>(ListBounds::kBatch - batch_.size());
      const uint32_t piece = std::min(places, room);
      next_ = find_(server, now, *next_, piece, batch_);
      places -= piece;
    }
    if (limit_ != 0 && sent_ + batch_.size() >= limit_) {
      batch_.resize(limit_ - sent_);
      next_.reset();
    }
    if (batch_.empty() && next_ && requests_.tasks().PostMore(FindMore())) return;
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
  if (!requests_.tasks().PostMore(FindMore())) this->Finish(Unavailable());
}

}  // namespace sotto::dataplane
