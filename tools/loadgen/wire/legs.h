// SPDX-License-Identifier: Apache-2.0
// The TURN side of `sotto-loadgen wire`: a client for each leg, brought to where media can flow,
// kept there, and released. Without sockets: datagrams and the time are passed in, and what is to
// be sent goes to a callback. One thread only.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <queue>
#include <span>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "tools/turn_client/turn_client.h"

namespace sotto::tools {

struct WireLegsOptions {
  TransportAddress server;
  uint32_t legs = 2;  // even: legs 2n and 2n+1 are a call
  Credentials credentials;
  // If given, time-limited credentials take the place of `credentials`, good until `expiry` (Unix
  // seconds); with call_policy, "expiry:<name>-<call>/a" and ".../b".
  std::string secret;
  std::string name = "loadgen";
  int64_t expiry = 0;
  bool call_policy = false;
  bool allocate_only = false;  // no channels
  uint32_t window = 128;       // legs at a time that wait for an answer
};

class WireLegs {
 public:
  using Send = std::function<void(uint32_t leg, std::span<const uint8_t> datagram)>;

  WireLegs(WireLegsOptions options, Send send);

  // Begins as many legs as the window allows, retransmits and renews what is due; at most `most`
  // clients are looked at, so that media isn't kept waiting.
  void Step(uint64_t now_ms, uint32_t most = UINT32_MAX);
  void HandleDatagram(uint32_t leg, std::span<const uint8_t> datagram, uint64_t now_ms);

  // Whether every leg can send to its peer (with allocate_only: is allocated).
  bool ready() const { return ready_ == options_.legs; }
  // From now on legs are released, as many at a time as the window allows.
  void BeginRelease() { releasing_ = true; }
  bool released() const { return released_ == options_.legs; }

  // The first failure of a client, with which leg it was.
  const absl::Status& status() const { return status_; }
  uint32_t ready_count() const { return ready_; }
  uint32_t allocated_count() const { return allocated_; }
  uint32_t released_count() const { return released_; }
  uint64_t datagrams_sent() const { return datagrams_sent_; }
  // That requests were authenticated with: "SHA-256", "MD5" or "".
  std::string algorithm() const;
  const TurnClient* client(uint32_t leg) const { return legs_[leg].client.get(); }

 private:
  enum class Phase : uint8_t {
    kIdle,
    kAllocating,
    kAllocated,
    kBinding,
    kReady,
    kReleasing,
    kDone
  };
  struct Leg {
    std::unique_ptr<TurnClient> client;  // from kAllocating on
    // When the leg's entry in due_ is due; UINT64_MAX: it has none.
    uint64_t due_ms = UINT64_MAX;
    Phase phase = Phase::kIdle;
  };
  using Due = std::pair<uint64_t, uint32_t>;  // time, leg

  void Begin(uint32_t leg, uint64_t now_ms);
  void Advance(uint32_t leg, uint64_t now_ms);
  void Bind(uint32_t leg, uint64_t now_ms);
  void Enter(uint32_t leg, Phase phase);
  void Schedule(uint32_t leg);

  WireLegsOptions options_;
  Send send_;
  std::vector<Leg> legs_;
  // Entries may be too early, never too late: a deadline that moves back leaves its entry.
  std::priority_queue<Due, std::vector<Due>, std::greater<>> due_;
  uint32_t next_ = 0;          // the next leg to begin
  uint32_t next_release_ = 0;  // the next leg to release
  uint32_t waiting_ = 0;       // legs for whose answer the window waits
  uint32_t allocated_ = 0;
  uint32_t ready_ = 0;
  uint32_t released_ = 0;
  bool releasing_ = false;
  uint64_t datagrams_sent_ = 0;
  absl::Status status_;
};

}  // namespace sotto::tools
