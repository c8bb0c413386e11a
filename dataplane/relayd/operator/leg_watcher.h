// SPDX-License-Identifier: Apache-2.0
// One client that watches the legs of calls: a bounded queue of events and the stream that it
// drains into. Owns itself until the stream is over.
#pragma once

#include <grpcpp/support/server_callback.h>

#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>

#include "dataplane/relayd/operator/control_requests.h"
#include "relay/api/relay.pb.h"

namespace sotto::dataplane {

class LegWatcher final : public grpc::ServerWriteReactor<relay::v1::LegEvent>,
                         public std::enable_shared_from_this<LegWatcher> {
 public:
  using RunInGrpc = sotto::RunInGrpc;

  static std::shared_ptr<LegWatcher> Create(size_t max_events, RunInGrpc run_in_grpc);

  // Any thread; these don't enter gRPC themselves.
  // An event that finds no room ends the stream with RESOURCE_EXHAUSTED. False: it has ended.
  bool Push(relay::v1::LegEvent event);
  // Drops what is queued.
  void End(grpc::Status status);
  // The same, on a thread of gRPC's.
  void EndInGrpc(grpc::Status status);
  bool ended() const;
  // How many more events half of the queue has room for: the other half is for what can't wait.
  size_t Room() const;
  // Calls `then` once, here or on a thread of gRPC's, as soon as there is room. Forgotten if the
  // stream ends first.
  void AwaitRoom(std::function<void()> then);

 private:
  LegWatcher(size_t max_events, RunInGrpc run_in_grpc)
      : max_events_(max_events), run_in_grpc_(std::move(run_in_grpc)) {}

  void OnWriteDone(bool ok) override;
  void OnCancel() override { EndInGrpc(grpc::Status::CANCELLED); }
  void OnDone() override;
  // Starts what is next, unless a write is on its way: gRPC takes one at a time, and the object
  // lives until Finish.
  void Pump();
  void SchedulePump();
  bool SetEnd(grpc::Status status);  // false: it has one
  size_t RoomLocked() const;

  const size_t max_events_;
  const RunInGrpc run_in_grpc_;
  mutable std::mutex mutex_;
  // Under mutex_:
  std::deque<relay::v1::LegEvent> events_;
  std::optional<grpc::Status> end_;
  std::function<void()> on_room_;
  bool writing_ = false;
  bool finished_ = false;
  bool scheduled_ = false;
  std::shared_ptr<LegWatcher> self_;

  relay::v1::LegEvent current_;  // what is being written; whoever set writing_ writes it
};

}  // namespace sotto::dataplane
