// SPDX-License-Identifier: Apache-2.0
#include "tools/phone/media_flow.h"

#include <algorithm>
#include <utility>

#include "relay/base/big_endian.h"

namespace sotto::tools {
namespace {

constexpr uint64_t kNsPerSecond = 1'000'000'000;
constexpr uint64_t kProbeEveryNs = kNsPerSecond / 20;
constexpr uint64_t kSilenceNs = 2 * kNsPerSecond;
constexpr size_t kHeaderSize = 24;
// The tracker keeps a bit for each number; a peer that makes them up must not make it grow.
constexpr uint64_t kMaxNumber = uint64_t{1} << 27;

}  // namespace

uint64_t MediaReport::lost() const {
  const uint64_t expected = std::max(peer_sent.value_or(0), highest);
  return expected - std::min(expected, received);
}

MediaFlow::MediaFlow(const MediaFlowOptions& options, MediaCipher cipher, Send send)
    : options_(options),
      cipher_(std::move(cipher)),
      send_(std::move(send)),
      packet_(std::max(options.payload, kMinMediaPayload) - kMediaOverhead) {}

void MediaFlow::SendPacket(Kind kind, uint64_t number, uint64_t realtime_ns) {
  const size_t size = kind == Kind::kMedia ? packet_.size() : kHeaderSize;
  packet_[0] = static_cast<uint8_t>(kind);
  packet_[1] = heard_ ? 1 : 0;
  StoreBe64(&packet_[8], number);
  StoreBe64(&packet_[16], realtime_ns);
  send_(cipher_.Seal(std::span(packet_).first(size)));
}

void MediaFlow::Poll(uint64_t now_ns, uint64_t realtime_ns) {
  if (phase_ == Phase::kProbing) {
    if (heard_ && heard_back_ && !end_wanted_) {
      phase_ = Phase::kSending;
      began_ns_ = now_ns;
    } else if (end_wanted_) {
      phase_ = Phase::kEnding;
      ended_ns_ = last_heard_ns_ = now_ns;
    } else if (now_ns >= next_probe_ns_) {
      SendPacket(Kind::kProbe, 0, realtime_ns);
      next_probe_ns_ = now_ns + kProbeEveryNs;
    }
  }
  if (phase_ == Phase::kSending) {
    const uint64_t elapsed = now_ns - began_ns_;
    const bool timed = options_.seconds > 0;
    const auto planned = static_cast<uint64_t>(options_.seconds * options_.pps);
    uint64_t due = elapsed * options_.pps / kNsPerSecond + 1;
    if (timed) due = std::min(due, planned);
    while (report_.sent < due && !end_wanted_)
      SendPacket(Kind::kMedia, report_.sent++, realtime_ns);
    const bool all_sent = timed ? report_.sent >= planned : report_.peer_sent.has_value();
    if (all_sent || end_wanted_) {
      phase_ = Phase::kEnding;
      ended_ns_ = last_heard_ns_ = next_probe_ns_ = now_ns;
    }
  }
  if (phase_ == Phase::kEnding) {
    if (now_ns >= next_probe_ns_) {
      SendPacket(Kind::kEnd, report_.sent, realtime_ns);
      next_probe_ns_ = now_ns + kProbeEveryNs;
    }
    // Once its end has come, one more interval lets ours and stragglers pass.
    finished_ = report_.peer_sent ? now_ns - ended_ns_ >= 2 * kProbeEveryNs
                                  : now_ns - std::max(last_heard_ns_, ended_ns_) >= kSilenceNs;
  }
  deadline_ns_ = phase_ == Phase::kSending ? began_ns_ + report_.sent * kNsPerSecond / options_.pps
                                           : next_probe_ns_;
}

void MediaFlow::OnPacket(std::span<const uint8_t> payload, uint64_t received_realtime_ns,
                         uint64_t now_ns) {
  const auto opened = cipher_.Open(payload);
  if (!opened || opened->media.size() < kHeaderSize) {
    ++report_.corrupted;
    return;
  }
  const auto media = opened->media;
  const uint64_t number = LoadBe64(&media[8]);
  heard_ = true;
  last_heard_ns_ = now_ns;
  heard_back_ = heard_back_ || media[1] != 0;
  switch (static_cast<Kind>(media[0])) {
    case Kind::kProbe:
      return;
    case Kind::kEnd:
      if (number <= kMaxNumber) report_.peer_sent = number;
      return;
    case Kind::kMedia:
      break;
    default:
      ++report_.corrupted;
      return;
  }
  if (number >= kMaxNumber) {
    ++report_.corrupted;
    return;
  }
  switch (tracker_.Note(static_cast<uint32_t>(number))) {
    case FlowTracker::Arrival::kDuplicate:
      ++report_.duplicated;
      return;
    case FlowTracker::Arrival::kReordered:
      ++report_.reordered;
      break;
    case FlowTracker::Arrival::kInOrder:
      break;
  }
  ++report_.received;
  report_.highest = std::max(report_.highest, number + 1);
  const uint64_t sent_ns = LoadBe64(&media[16]);
  if (received_realtime_ns >= sent_ns) {
    report_.latency.Record(received_realtime_ns - sent_ns);
  } else {
    ++report_.negative_latencies;
  }
}

void MediaFlow::End() { end_wanted_ = true; }

}  // namespace sotto::tools
