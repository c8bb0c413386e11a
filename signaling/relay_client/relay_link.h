// SPDX-License-Identifier: Apache-2.0
// One relay, as the fleet's thread sees it: polls its health, watches its legs, and tells it what
// calls to arm and to end until it has taken that in.
//
// Each call's requests go out one after another, the next when the last is answered: gRPC doesn't
// promise that two requests arrive in order. While the relay doesn't answer its poll, nothing else
// is sent to it, and all of it as soon as it answers again. A relay that comes back may have
// forgotten everything, so that all armed calls are armed again when a watch has begun anew.
//
// Everything but the constructor runs on the fleet's thread.
#pragma once

#include <array>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "relay/api/relay.grpc.pb.h"
#include "signaling/relay_client/fleet_thread.h"
#include "signaling/relay_client/relay_fleet.h"

namespace sotto::signaling {

class RelayLink {
 public:
  // Called on the fleet's thread.
  using OnLeg = std::function<void(const LegAddresses&)>;
  using OnHealth = std::function<void(const RelayHealth&)>;

  RelayLink(std::string name, std::shared_ptr<relay::v1::CallControl::StubInterface> stub,
            std::shared_ptr<FleetThread> thread, OnLeg on_leg, OnHealth on_health);
  ~RelayLink();

  void Start();
  void Arm(const CallId& call);
  void End(const CallId& call);

  // Any thread.
  void ReadCounters(RelayReport& report) const;

  // From now on through this one. What is under way ends where it began, but for the watch, which
  // begins anew.
  void Reconnect(std::shared_ptr<relay::v1::CallControl::StubInterface> stub);
  // Lets go of the relay when no call is left, but not before `linger` has passed.
  void Retire(std::chrono::seconds linger);

  // Cancels what is under way; `done` is called when nothing is any more. The object must live
  // until then.
  void Stop(std::function<void()> done);

 private:
  struct Leg {
    std::vector<TransportAddress> relayed;
    bool told = false;  // by the watch, since the request was sent or the watch began
  };
  // A call that is armed, is to be armed, or is to be ended.
  struct Call {
    bool ending = false;
    bool settled = false;                         // the relay has taken in what is wanted
    bool in_flight = false;                       // a request is under way
    bool queued = false;                          // in ready_, or waits for a timer to put it there
    FleetThread::Clock::time_point give_up = {};  // while ending
    std::array<Leg, 2> legs;
  };
  class LegStream;

  void Poll();
  void OnPolled(const grpc::Status& status, const relay::v1::Relay& relay);
  void SetUp(bool up, const grpc::Status& status);

  void Watch();
  void OnEvent(const relay::v1::LegEvent& event);
  void OnWatchEnded(const grpc::Status& status);
  void OnAllStanding();

  void Queue(const CallId& id, Call& call);
  void Pump();
  void Send(const CallId& id, Call& call);
  void OnArmed(const CallId& id, const grpc::Status& status, const relay::v1::Call& armed);
  void OnEnded(const CallId& id, const grpc::Status& status);
  // After an answer: makes the next request for the call, if one is due.
  void GoOn(const CallId& id, Call& call, const grpc::Status& status);
  Call* Find(const CallId& id);
  void ForgetOldEndings();
  void TellLeg(const CallId& id, size_t side, Leg& leg, std::vector<TransportAddress> relayed);

  // Starts a request; `done` runs on the fleet's thread.
  template <typename Request, typename Response>
  void Ask(void (relay::v1::CallControl::StubInterface::async_interface::*method)(
               grpc::ClientContext*, const Request*, Response*, std::function<void(grpc::Status)>),
           Request request, std::function<void(const grpc::Status&, const Response&)> done);
  void OperationBegins(grpc::ClientContext* context);
  void OperationEnds(grpc::ClientContext* context);

  // The fleet's thread writes, any reads.
  struct Requests {
    std::atomic<uint64_t> done = 0;
    std::atomic<uint64_t> refused = 0;
    std::atomic<uint64_t> unanswered = 0;
  };
  static void Count(Requests& requests, const grpc::Status& status);

  const std::string name_;
  std::shared_ptr<relay::v1::CallControl::StubInterface> stub_;
  const std::shared_ptr<FleetThread> thread_;
  const OnLeg on_leg_;
  const OnHealth on_health_;

  std::optional<bool> up_;  // whether the last poll was answered
  bool warned_of_policy_ = false;
  grpc::ClientContext* watch_ = nullptr;  // of the one that there is
  bool watch_replaced_ = false;           // and it was cancelled for another
  std::chrono::milliseconds watch_pause_;
  std::optional<FleetThread::Clock::time_point> retire_at_;
  absl::flat_hash_map<CallId, Call> calls_;
  std::deque<CallId> ready_;
  uint32_t in_flight_ = 0;
  absl::flat_hash_set<grpc::ClientContext*> operations_;  // to cancel
  bool stopping_ = false;                                 // nothing new begins
  std::function<void()> stopped_;
  Requests armed_;
  Requests ended_;
  std::atomic<uint64_t> given_up_ = 0;  // as Requests
};

}  // namespace sotto::signaling
