// SPDX-License-Identifier: Apache-2.0
#include "signaling/session/session.h"

#include <google/protobuf/io/coded_stream.h>
#include <google/protobuf/io/zero_copy_stream_impl_lite.h>
#include <google/protobuf/wire_format_lite.h>

#include <algorithm>

namespace sotto::signaling {
namespace {

// Messages that are encoded one after another are merged by whoever parses them (protobuf's
// encoding rules): so the frame is encoded once, and its `ack` is put behind it each time it is
// sent.
void AppendAck(uint64_t ack, std::string& out) {
  google::protobuf::io::StringOutputStream stream(&out);
  google::protobuf::io::CodedOutputStream coded(&stream);
  google::protobuf::internal::WireFormatLite::WriteUInt64(api::ServerFrame::kAckFieldNumber, ack,
                                                          &coded);
}

}  // namespace

std::optional<uint64_t> Outbox::Add(api::ServerFrame frame) {
  frame.set_seq(sent_ + 1);
  frame.clear_ack();
  std::string bytes = frame.SerializeAsString();
  if (kept_.size() >= kMaxKeptFrames || kept_bytes_ + bytes.size() > kMaxKeptBytes) {
    return std::nullopt;
  }
  kept_bytes_ += bytes.size();
  kept_.push_back(std::move(bytes));
  return ++sent_;
}

bool Outbox::Acknowledge(uint64_t ack) {
  if (ack > sent_) return false;
  if (ack < first_kept()) return true;
  const auto end = kept_.begin() + static_cast<ptrdiff_t>(ack - first_kept() + 1);
  for (auto it = kept_.begin(); it != end; ++it) kept_bytes_ -= it->size();
  kept_.erase(kept_.begin(), end);
  if (kept_.empty()) kept_.shrink_to_fit();
  return true;
}

std::string Outbox::Encode(uint64_t seq, uint64_t ack) const {
  std::string out;
  const std::string& kept = kept_[seq - first_kept()];
  out.reserve(kept.size() + 11);
  out = kept;
  AppendAck(ack, out);
  return out;
}

Inbox::Arrival Inbox::Take(uint64_t seq) {
  if (seq <= seen_) return Arrival::kAgain;
  if (seq != seen_ + 1) return Arrival::kGap;
  seen_ = seq;
  return Arrival::kNext;
}

std::string EncodeUnnumbered(api::ServerFrame frame, uint64_t ack) {
  frame.set_seq(0);
  frame.set_ack(ack);
  return frame.SerializeAsString();
}

bool FrameBudget::Take(uint64_t now_ms) {
  const uint64_t refilled = (now_ms - last_ms_) * per_s_;
  spent_ms_ -= std::min(spent_ms_, refilled);
  last_ms_ = now_ms;
  if (spent_ms_ + 1000 > burst_ms_) return false;
  spent_ms_ += 1000;
  return true;
}

}  // namespace sotto::signaling
