// SPDX-License-Identifier: Apache-2.0
#include "tools/loadgen/signaling/device.h"

#include <algorithm>
#include <chrono>

namespace sotto::tools {
namespace {

ClientOptions OptionsOf(std::string identity) {
  ClientOptions options;
  options.identity = std::move(identity);
  const std::string device = RandomBytes(options.device.size());
  std::copy(device.begin(), device.end(), options.device.begin());
  options.notice_key = MakeBoxKeyPair().public_key;
  return options;
}

}  // namespace

LoadDevice::LoadDevice(Connector& connector, Owner& owner, std::string account,
                       std::string identity)
    : owner_(owner),
      account_(std::move(account)),
      secret_(AccountSecret::Generate()),
      connection_(connector, OptionsOf(std::move(identity)), *this) {}

void LoadDevice::Start(uint64_t now_ns) {
  started_ns_ = now_ns;
  started_ = true;
  connection_.Start();
}

void LoadDevice::Stop() {
  if (started_) connection_.Stop();
}

const SignKeyPair& LoadDevice::SignKey(uint32_t epoch) {
  if (key_epoch_ != epoch) {
    key_ = secret_.EpochKey(epoch, 0);
    key_epoch_ = epoch;
  }
  return key_;
}

void LoadDevice::Expect(const std::string& caller, uint64_t number) {
  expected_.push_back({caller, number});
}
void LoadDevice::Forget(const std::string& caller) {
  std::erase_if(expected_, [&](const Entry& e) { return e.name == caller; });
}
void LoadDevice::Own(const std::string& call, uint64_t number) { own_.push_back({call, number}); }
void LoadDevice::Disown(const std::string& call) {
  std::erase_if(own_, [&](const Entry& e) { return e.name == call; });
}

void LoadDevice::OnWelcome(const api::Welcome&, bool) {
  const auto now = std::chrono::steady_clock::now().time_since_epoch().count();
  owner_.OnWelcomed(static_cast<uint64_t>(now) - started_ns_);
}

void LoadDevice::OnEvent(const api::ServerFrame& frame) {
  const auto find = [](const std::vector<Entry>& entries, const std::string& name) {
    return std::find_if(entries.begin(), entries.end(),
                        [&](const Entry& e) { return e.name == name; });
  };
  switch (frame.body_case()) {
    case api::ServerFrame::kIncomingCall: {
      const auto call = find(expected_, frame.incoming_call().caller());
      if (call == expected_.end()) {
        owner_.OnUnexpected();
      } else {
        owner_.OnIncoming(*this, call->number, frame.incoming_call());
      }
      return;
    }
    case api::ServerFrame::kCallConnected: {
      // The recipient gets one too, without an answer.
      if (frame.call_connected().answer().empty()) return;
      const auto call = find(own_, frame.call_connected().call());
      if (call == own_.end()) {
        owner_.OnUnexpected();
      } else {
        owner_.OnConnected(call->number, frame.call_connected());
      }
      return;
    }
    case api::ServerFrame::kNotices: {
      // Missed calls of a run that only rings: taken, as a device does.
      api::ClientFrame ack;
      for (const auto& notice : frame.notices().notices()) {
        ack.mutable_ack_notices()->add_ids(notice.id());
      }
      connection_.Request(std::move(ack), [](const absl::StatusOr<api::ServerFrame>&) {});
      return;
    }
    case api::ServerFrame::kCallStopped:
    case api::ServerFrame::kCallEnded:
    case api::ServerFrame::kPeerAddress:
      return;
    default:
      owner_.OnUnexpected();
  }
}

}  // namespace sotto::tools
