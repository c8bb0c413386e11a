// SPDX-License-Identifier: Apache-2.0
#include "dataplane/relayd/operator/capture_stream.h"

#include <chrono>

#include "relay/daemon/admin_listener.h"
#include "relay/daemon/log.h"

namespace sotto::dataplane {
namespace {

// A ring holds what a worker may copy in a longer time.
constexpr std::chrono::milliseconds kLookAgain(10);

}  // namespace

void CaptureStream::Begin(const absl::StatusOr<CaptureOptions>& options) {
  if (!options.ok()) return Finish(ToGrpc(options.status()));
  absl::StatusOr<std::unique_ptr<CaptureSession>> session = capture_.Start(*options);
  if (!session.ok()) return Finish(ToGrpc(session.status()));
  Log(LogLevel::kInfo, "A capture has started.",
      {{"payload", options->payload},
       {"max_packets", options->max_packets},
       {"max_seconds", options->max_seconds}});
  {
    const std::lock_guard lock(mutex_);
    session_ = *std::move(session);
    if (cancelled_) session_->Stop();
  }
  Step();
}

void CaptureStream::Step() {
  using State = CaptureSession::State;
  const uint64_t missed = chunk_.missed();
  chunk_.clear_pcapng();
  state_ = session_->Read(*chunk_.mutable_pcapng());
  chunk_.set_packets(session_->packets());
  chunk_.set_missed(session_->missed());
  switch (state_) {
    case State::kIdle:
      if (chunk_.pcapng().empty() && chunk_.missed() == missed) return LookAgain();
      [[fallthrough]];
    case State::kMore:
      return StartWrite(&chunk_);
    case State::kOver:
      return StartWriteAndFinish(&chunk_, {}, grpc::Status::OK);
    case State::kClosed:
      return StartWriteAndFinish(&chunk_, {},
                                 {grpc::StatusCode::UNAVAILABLE,
                                  "the relay is stopping; the packets captured so far are "
                                  "complete"});
  }
}

void CaptureStream::LookAgain() {
  // A new one each time: this may be called by the last one.
  alarm_ = std::make_unique<grpc::Alarm>();
  alarm_->Set(std::chrono::system_clock::now() + kLookAgain, [this](bool) { Step(); });
}

void CaptureStream::OnWriteDone(bool ok) {
  if (state_ == CaptureSession::State::kOver || state_ == CaptureSession::State::kClosed) return;
  if (!ok) return Finish(grpc::Status::CANCELLED);
  if (state_ == CaptureSession::State::kMore) return Step();
  LookAgain();
}

// Workers copy no more from now on; the stream ends at its next step.
void CaptureStream::OnCancel() {
  const std::lock_guard lock(mutex_);
  cancelled_ = true;
  if (session_ != nullptr) session_->Stop();
}

void CaptureStream::OnDone() {
  if (session_ != nullptr) {
    Log(LogLevel::kInfo, "A capture has ended.",
        {{"packets", session_->packets()}, {"missed", session_->missed()}});
  }
  delete this;
}

}  // namespace sotto::dataplane
