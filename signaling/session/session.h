// SPDX-License-Identifier: Apache-2.0
// One end of a session: frames are numbered, kept until they are acknowledged, and sent again on
// the next connection, so that each arrives once and in order however often connections break
// (docs/protocol.md, "Sessions and resumption"). No sockets, no clock.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "signaling/api/api.h"

namespace sotto::signaling {

constexpr size_t kMaxKeptFrames = 256;
constexpr size_t kMaxKeptBytes = 512 * 1024;

// Frames on their way to the client.
class Outbox {
 public:
  // Numbers `frame` and keeps it. Nothing if more than kMaxKeptFrames or kMaxKeptBytes would wait
  // for an acknowledgement: the session is lost. The result is what Encode() takes.
  std::optional<uint64_t> Add(api::ServerFrame frame);

  // The client has everything up to and including `ack`. False if that was never sent.
  bool Acknowledge(uint64_t ack);

  // The sequence numbers that wait for an acknowledgement: [first, end).
  uint64_t first_kept() const { return sent_ + 1 - kept_.size(); }
  uint64_t end() const { return sent_ + 1; }

  // A kept frame as it goes onto the wire, with the `ack` of this moment.
  std::string Encode(uint64_t seq, uint64_t ack) const;

  size_t kept_bytes() const { return kept_bytes_; }

 private:
  uint64_t sent_ = 0;
  size_t kept_bytes_ = 0;
  // Encoded but for `ack`. A vector: acknowledgements come often, and thousands of idle sessions
  // hold none.
  std::vector<std::string> kept_;
};

// Numbers of frames that have come.
class Inbox {
 public:
  enum class Arrival : uint8_t {
    kNext,   // to be handled
    kAgain,  // seen before: to be skipped
    kGap,    // one before it is missing: the connection is at fault
  };
  Arrival Take(uint64_t seq);
  uint64_t seen() const { return seen_; }

 private:
  uint64_t seen_ = 0;
};

// An unnumbered frame (Welcome, Pong), encoded.
std::string EncodeUnnumbered(api::ServerFrame frame, uint64_t ack);

// How many frames a client may send: `burst` at once, `per_s` in the long run.
class FrameBudget {
 public:
  FrameBudget(uint32_t per_s, uint32_t burst) : per_s_(per_s), burst_ms_(uint64_t{burst} * 1000) {}

  bool Take(uint64_t now_ms);

 private:
  uint32_t per_s_;
  uint64_t burst_ms_;  // in thousandths of frames
  uint64_t spent_ms_ = 0;
  uint64_t last_ms_ = 0;
};

}  // namespace sotto::signaling
