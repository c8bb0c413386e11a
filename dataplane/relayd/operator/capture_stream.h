// SPDX-License-Identifier: Apache-2.0
// A capture on its way to its reader: as fast as that one takes it, and no faster. Each chunk is
// whole blocks of pcapng; the next is made when the last is written. Runs on gRPC's threads, by an
// alarm while there is nothing to send. Owns itself until the stream is over.
#pragma once

#include <grpcpp/alarm.h>
#include <grpcpp/support/server_callback.h>

#include <memory>
#include <mutex>

#include "absl/status/statusor.h"
#include "dataplane/observe/capture.h"
#include "relay/api/admin.pb.h"

namespace sotto::dataplane {

class CaptureStream final : public grpc::ServerWriteReactor<relay::v1::CaptureChunk> {
 public:
  explicit CaptureStream(PacketCapture& capture) : capture_(capture) {}

  // Once, on a thread that may enter gRPC. On an error, the stream ends with it.
  void Begin(const absl::StatusOr<CaptureOptions>& options);

 private:
  void Step();
  void LookAgain();

  void OnWriteDone(bool ok) override;
  void OnCancel() override;
  void OnDone() override;

  PacketCapture& capture_;
  std::mutex mutex_;
  bool cancelled_ = false;                   // under mutex_
  std::unique_ptr<CaptureSession> session_;  // set under mutex_
  // Of the step that is being made:
  relay::v1::CaptureChunk chunk_;
  CaptureSession::State state_ = CaptureSession::State::kIdle;
  std::unique_ptr<grpc::Alarm> alarm_;
};

}  // namespace sotto::dataplane
