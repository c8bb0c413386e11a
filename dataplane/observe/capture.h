// SPDX-License-Identifier: Apache-2.0
// Packets as workers see them, for an operator who looks: bounded, and never in a worker's way.
//
//   CaptureSession  the reader's side: rings in, pcapng out
//   PacketCapture   the relay's: one session at a time
//
// What a worker does for it, and within which bounds: dataplane/worker/capture_ring.h.
//
// A packet is there once for each direction: received, with the reason if the worker dropped it;
// and sent. With a filter for drops it is copied when it is dropped: a few bytes may have been
// rewritten by then (a UDP checksum that a kernel had left unfinished; a channel number, with
// no_next_hop). What control drops isn't seen here, what it sends is.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "dataplane/worker/capture_ring.h"

namespace sotto::dataplane {

struct CaptureOptions {
  CaptureFilter filter = {};
  uint32_t max_packets = 10'000;
  uint32_t max_seconds = 60;
  bool payload = false;
};

// One moment on two clocks: the workers' tick counter, and nanoseconds since 1970.
struct CaptureMoment {
  uint64_t tick = 0;
  uint64_t unix_ns = 0;
};

class PacketCapture;

// One thread at a time, but for Stop().
class CaptureSession {
 public:
  ~CaptureSession();
  CaptureSession(const CaptureSession&) = delete;
  CaptureSession& operator=(const CaptureSession&) = delete;

  enum class State : uint8_t {
    kIdle,    // all that there is has been read; look again in a while
    kMore,    // there is more
    kOver,    // its bounds are reached, or Stop() was called
    kClosed,  // the relay is stopping
  };
  // Appends what was captured to `out`, up to about kChunkSize bytes; at first, the file's header.
  State Read(std::string& out);
  static constexpr size_t kChunkSize = 64 * 1024;

  uint64_t packets() const { return packets_; }  // that were read
  uint64_t missed() const;

  // Any thread: workers copy no more from the moment that it returns.
  void Stop();

 private:
  friend class PacketCapture;
  CaptureSession(PacketCapture& capture, const CaptureOptions& options);

  CaptureRing* Oldest() const;  // with a packet; null: none has any
  void Append(const CaptureRing::Slot& slot, std::string& out) const;

  PacketCapture& capture_;
  const CaptureOptions options_;
  const CaptureMoment start_;
  std::vector<std::unique_ptr<CaptureRing>> rings_;  // by tap
  bool began_ = false;                               // the header is written
  uint64_t packets_ = 0;
  std::mutex stop_mutex_;
  std::atomic<bool> stopped_ = false;  // written under stop_mutex_
};

class PacketCapture {
 public:
  struct Port {
    uint16_t id = 0;
    std::string name;
  };
  struct Clock {
    std::function<CaptureMoment()> now;  // any thread
    uint64_t hz = 1'000'000'000;         // ticks a second
  };

  // `taps` are the workers', and outlive the object. `max_frame`: bytes of the largest frame.
  PacketCapture(std::vector<CaptureTap*> taps, std::vector<Port> ports, uint16_t max_frame,
                Clock clock);

  // All from here on: any thread.
  // FAILED_PRECONDITION while there is another session that isn't stopped, UNAVAILABLE after
  // Close(). The session must end before the object.
  absl::StatusOr<std::unique_ptr<CaptureSession>> Start(const CaptureOptions& options);
  // Ends the session that there is, and takes no more.
  void Close();

 private:
  friend class CaptureSession;
  uint64_t NsOf(uint64_t ticks) const {
    return static_cast<uint64_t>(static_cast<unsigned __int128>(ticks) * 1'000'000'000 / clock_.hz);
  }

  const std::vector<CaptureTap*> taps_;
  const std::vector<Port> ports_;
  const uint16_t max_frame_;
  const Clock clock_;
  std::mutex mutex_;
  CaptureSession* session_ = nullptr;  // the last one, if it is; under mutex_
  std::atomic<bool> closed_ = false;   // written under mutex_
};

}  // namespace sotto::dataplane
