// SPDX-License-Identifier: Apache-2.0
// Some of the calls of a run, on one thread: makes them, drives them, ends them.
//
// Latency is the kernel's receive timestamp (SO_TIMESTAMPNS: when the datagram entered the network
// stack of the receiving side) less CLOCK_REALTIME read right before the system call that sent it.
// So it holds all that the sending kernel, the wire and the relay take, and nothing of how long
// this process took to be scheduled for reading. Both ends are in one process, on one clock.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "absl/status/status.h"
#include "tools/loadgen/calls/options.h"
#include "tools/loadgen/calls/report.h"
#include "tools/media/flow_tracker.h"
#include "tools/media/udp_socket.h"
#include "tools/turn_client/turn_client.h"

namespace sotto::tools {

class CallShard {
 public:
  // Calls `first` to `first` + `count` - 1. `interrupted` and `failed` (another shard has) are
  // set by others, and end every phase early. `run` and `key` are the run's (media_packet.h).
  CallShard(const CallsOptions& options, uint32_t first, uint32_t count, uint32_t run, uint64_t key,
            const std::atomic<bool>& interrupted, const std::atomic<bool>& failed);
  ~CallShard();

  // Opens the sockets; on the main thread, as it visits other network namespaces.
  absl::Status Open();
  // Allocates, and binds the legs of each call to each other. An error is that of the first leg
  // that failed; CANCELLED if stopped.
  absl::Status SetUp();
  // Sends and receives from `start_ns` (CLOCK_MONOTONIC) on, then waits for stragglers. An error
  // is that of the first leg whose allocation, permission or channel could not be renewed.
  absl::Status Run(uint64_t start_ns);
  // Ends all allocations, whatever has happened before.
  void Release();

  CallsReport& report() { return report_; }

 private:
  struct Leg;

  Leg& leg(size_t index) { return *legs_[index]; }
  bool Stopped() const { return interrupted_.load() || failed_.load(); }
  // Replaces the leg's socket and client, if it has any, by new ones.
  absl::Status OpenLeg(size_t index);
  void Allocate(size_t index);
  // Legs whose port the server still takes for that of an earlier client get another one.
  absl::Status ReopenMismatched(size_t call);
  void ConnectCall(size_t call);
  absl::Status FirstFailure() const;
  void PollClients();
  // Waits up to `timeout_ns` for datagrams and handles what has come.
  void Receive(uint64_t timeout_ns);
  void HandleMedia(size_t leg_index, const TurnClient::PeerData& media, uint64_t time_ns);
  // False if the kernel can take no more right now.
  bool SendMedia(uint64_t packet_index, bool counts, uint64_t due_ns);
  absl::Status IcmpFailure(const Leg& leg, int error) const;

  const CallsOptions& options_;
  const uint32_t first_call_;
  const uint32_t call_count_;
  const uint32_t run_;
  const uint64_t key_;
  const std::atomic<bool>& interrupted_;
  const std::atomic<bool>& failed_;
  const SocketAddress server_;

  int epoll_ = -1;
  std::vector<std::unique_ptr<Leg>> legs_;  // A and B of the first call, A and B of the next...
  ReceiveBatch batch_;
  std::vector<uint8_t> out_;
  bool counting_ = false;    // media has begun
  absl::Status icmp_error_;  // the first, while calls are set up
  CallsReport report_;
};

// Clocks, in nanoseconds.
uint64_t MonotonicNs();
uint64_t RealtimeNs();

}  // namespace sotto::tools
