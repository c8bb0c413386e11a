// SPDX-License-Identifier: Apache-2.0
// What two phones say to each other in place of sound, and what becomes of it. Each sealed packet
// (tools/signaling_client/media_cipher.h) holds
//
//   kind(1) | seen(1) | zeros(6) | number(8) | send time(8) | zeros...          integers big-endian
//
// Probes go until both sides hear each other, so that nothing counts that went before the other's
// channel stood. Media packets are numbered 0, 1, 2...; their send time is CLOCK_REALTIME in
// nanoseconds. End packets carry how many media packets there were, so that what was lost is known
// to the packet; they go until the call is over.
//
// No sockets and no clock: packets and times are passed in. One thread.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <vector>

#include "tools/media/flow_tracker.h"
#include "tools/media/latency_histogram.h"
#include "tools/signaling_client/media_cipher.h"

namespace sotto::tools {

constexpr uint32_t kMinMediaPayload = 24 + kMediaOverhead;

struct MediaFlowOptions {
  uint32_t pps = 50;
  uint32_t payload = 160;  // bytes in each ChannelData, kMinMediaPayload at least
  double seconds = 5;      // of media; 0: until the other side ends
};

struct MediaReport {
  uint64_t sent = 0;
  uint64_t received = 0;  // intact, each once
  uint64_t duplicated = 0;
  uint64_t reordered = 0;
  uint64_t corrupted = 0;
  std::optional<uint64_t> peer_sent;  // once its end has come
  LatencyHistogram latency;           // ns, one way; says something if both share a clock
  uint64_t negative_latencies = 0;    // they don't

  // Packets of the other side that didn't come: all of them if its end has come, else those before
  // the last that came.
  uint64_t lost() const;
  uint64_t highest = 0;  // one more than the highest number that came
};

class MediaFlow {
 public:
  using Send = std::function<void(std::span<const uint8_t>)>;

  MediaFlow(const MediaFlowOptions& options, MediaCipher cipher, Send send);

  // `now_ns` is monotonic. Sends what is due.
  void Poll(uint64_t now_ns, uint64_t realtime_ns);
  uint64_t deadline_ns() const { return deadline_ns_; }
  void OnPacket(std::span<const uint8_t> payload, uint64_t received_realtime_ns, uint64_t now_ns);
  // Media ends now.
  void End();

  bool heard() const { return heard_; }
  // Both have sent all that they will, and heard so, or the other has been silent for 2 s.
  bool finished() const { return finished_; }
  const MediaReport& report() const { return report_; }

 private:
  enum class Kind : uint8_t { kProbe = 0, kMedia = 1, kEnd = 2 };
  enum class Phase : uint8_t { kProbing, kSending, kEnding };

  void SendPacket(Kind kind, uint64_t number, uint64_t realtime_ns);

  const MediaFlowOptions options_;
  MediaCipher cipher_;
  Send send_;
  Phase phase_ = Phase::kProbing;
  bool heard_ = false;       // anything came
  bool heard_back_ = false;  // and the other side says the same
  bool end_wanted_ = false;
  bool finished_ = false;
  uint64_t began_ns_ = 0;  // of media
  uint64_t ended_ns_ = 0;
  uint64_t last_heard_ns_ = 0;
  uint64_t next_probe_ns_ = 0;  // probes and ends
  uint64_t deadline_ns_ = 0;
  std::vector<uint8_t> packet_;
  FlowTracker tracker_;
  MediaReport report_;
};

}  // namespace sotto::tools
