// SPDX-License-Identifier: Apache-2.0
#include "dataplane/relayd/operator/leg_watcher.h"

#include <utility>

namespace sotto::dataplane {

std::shared_ptr<LegWatcher> LegWatcher::Create(size_t max_events, RunInGrpc run_in_grpc) {
  std::shared_ptr<LegWatcher> watcher(new LegWatcher(max_events, std::move(run_in_grpc)));
  watcher->self_ = watcher;
  return watcher;
}

bool LegWatcher::Push(relay::v1::LegEvent event) {
  std::lock_guard lock(mutex_);
  if (end_) return false;
  if (events_.size() >= max_events_) {
    SetEnd(grpc::Status(grpc::StatusCode::RESOURCE_EXHAUSTED,
                        "the watcher is too slow for the changes of legs; start a new watch, and "
                        "read faster"));
  } else {
    events_.push_back(std::move(event));
  }
  SchedulePump();
  return !end_;
}

bool LegWatcher::SetEnd(grpc::Status status) {
  if (end_) return false;
  events_.clear();
  on_room_ = nullptr;
  end_ = std::move(status);
  return true;
}

void LegWatcher::End(grpc::Status status) {
  std::lock_guard lock(mutex_);
  if (SetEnd(std::move(status))) SchedulePump();
}

void LegWatcher::EndInGrpc(grpc::Status status) {
  {
    std::lock_guard lock(mutex_);
    SetEnd(std::move(status));
  }
  Pump();
}

bool LegWatcher::ended() const {
  std::lock_guard lock(mutex_);
  return end_.has_value();
}

size_t LegWatcher::RoomLocked() const {
  return events_.size() < max_events_ / 2 ? max_events_ / 2 - events_.size() : 0;
}

size_t LegWatcher::Room() const {
  std::lock_guard lock(mutex_);
  return RoomLocked();
}

void LegWatcher::AwaitRoom(std::function<void()> then) {
  {
    std::lock_guard lock(mutex_);
    if (end_) return;
    if (RoomLocked() == 0) {
      on_room_ = std::move(then);
      return;
    }
  }
  then();
}

void LegWatcher::SchedulePump() {
  if (writing_ || finished_ || scheduled_) return;  // OnWriteDone goes on
  scheduled_ = true;
  run_in_grpc_([self = shared_from_this()] { self->Pump(); });
}

void LegWatcher::Pump() {
  const std::shared_ptr<LegWatcher> self = shared_from_this();
  std::optional<grpc::Status> end;
  {
    std::lock_guard lock(mutex_);
    scheduled_ = false;
    if (writing_ || finished_) return;
    if (end_) {
      finished_ = true;
      end = end_;
    } else if (events_.empty()) {
      return;
    } else {
      current_ = std::move(events_.front());
      events_.pop_front();
      writing_ = true;
    }
  }
  if (end) {
    Finish(*std::move(end));
  } else {
    StartWrite(&current_);
  }
}

void LegWatcher::OnWriteDone(bool ok) {
  std::function<void()> on_room;
  {
    std::lock_guard lock(mutex_);
    writing_ = false;
    if (!ok) SetEnd(grpc::Status::CANCELLED);
    // A good deal of it, so that each round is worth its while.
    if (on_room_ && RoomLocked() >= max_events_ / 4) on_room.swap(on_room_);
  }
  Pump();
  if (on_room) on_room();
}

void LegWatcher::OnDone() {
  std::shared_ptr<LegWatcher> self;
  std::lock_guard lock(mutex_);
  self = std::move(self_);
}

}  // namespace sotto::dataplane
