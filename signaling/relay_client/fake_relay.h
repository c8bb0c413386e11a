// SPDX-License-Identifier: Apache-2.0
// A relay's CallControl service for tests of its clients: a real gRPC server on a Unix socket, or
// with mutual TLS, that remembers what it was told and answers as it is told to.
#pragma once

#include <grpcpp/server.h>
#include <grpcpp/server_builder.h>

#include <condition_variable>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "relay/api/relay.grpc.pb.h"

namespace sotto::signaling {

class FakeRelay final : public relay::v1::CallControl::Service {
 public:
  explicit FakeRelay(std::string address, std::shared_ptr<grpc::ServerCredentials> credentials =
                                              grpc::InsecureServerCredentials())
      : address_(std::move(address)), credentials_(std::move(credentials)) {}
  ~FakeRelay() override { Stop(); }

  void Start() {
    {
      std::lock_guard lock(mutex_);
      stopping_ = false;
    }
    grpc::ServerBuilder builder;
    builder.AddListeningPort(address_, credentials_);
    builder.RegisterService(this);
    server_ = builder.BuildAndStart();
  }
  // Forgets, as a relay does, which calls are armed and which legs stand.
  void Stop() {
    if (!server_) return;
    {
      std::lock_guard lock(mutex_);
      stopping_ = true;
      held_ = false;
      changed_.notify_all();
    }
    server_->Shutdown(std::chrono::system_clock::now());
    server_->Wait();
    server_.reset();
    std::lock_guard lock(mutex_);
    armed_.clear();
    legs_.clear();
    events_.clear();
  }

  // What it says of itself.
  void SetLoad(uint32_t allocations, uint32_t most, bool call_policy = true) {
    std::lock_guard lock(mutex_);
    relay_.set_allocations(allocations);
    relay_.set_max_allocations(most);
    relay_.set_call_policy(call_policy);
  }
  void SetDraining(bool draining) {
    std::lock_guard lock(mutex_);
    relay_.set_draining(draining);
  }
  // The next ArmCalls fail.
  void FailArms(int times, grpc::StatusCode code) {
    std::lock_guard lock(mutex_);
    failures_ = times;
    failure_ = code;
  }
  // Requests for calls wait until Hold(false).
  void Hold(bool held) {
    std::lock_guard lock(mutex_);
    held_ = held;
    changed_.notify_all();
  }
  // The leg has this port, or with 0 none, from now on; watchers are told, or not.
  void SetLeg(const std::string& call, bool b, uint32_t port, bool tell = true) {
    std::lock_guard lock(mutex_);
    relay::v1::LegEvent event;
    event.set_kind(port != 0 ? relay::v1::LegEvent::KIND_ALLOCATED
                             : relay::v1::LegEvent::KIND_ENDED);
    *event.mutable_leg() = LegOf(call, b, port);
    if (port != 0) {
      legs_[{call, b}] = port;
    } else {
      legs_.erase({call, b});
    }
    if (tell) events_.push_back(event);
    changed_.notify_all();
  }

  // In the order in which they came: "arm CALL", "end CALL".
  std::vector<std::string> Told() {
    std::lock_guard lock(mutex_);
    return told_;
  }
  int TimesToldToEnd() {
    std::lock_guard lock(mutex_);
    return ends_;
  }
  bool IsArmed(const std::string& call) {
    std::lock_guard lock(mutex_);
    return armed_.contains(call);
  }
  int watches() {
    std::lock_guard lock(mutex_);
    return watches_;
  }
  int polls() {
    std::lock_guard lock(mutex_);
    return polls_;
  }
  // The name in the certificate of who asked last how it is.
  std::string peer() {
    std::lock_guard lock(mutex_);
    return peer_;
  }

 private:
  using Context = grpc::ServerContext;

  static relay::v1::Leg LegOf(const std::string& call, bool b, uint32_t port) {
    relay::v1::Leg leg;
    leg.set_call(call);
    leg.set_side(b ? relay::v1::Leg::SIDE_B : relay::v1::Leg::SIDE_A);
    if (port == 0) return leg;
    relay::v1::TransportAddress& relayed = *leg.add_relayed();
    relayed.set_ip(std::string("\xc0\x00\x02\x0a", 4));
    relayed.set_port(port);
    return leg;
  }

  grpc::Status ArmCall(Context*, const relay::v1::ArmCallRequest* request,
                       relay::v1::ArmCallResponse* response) override {
    std::unique_lock lock(mutex_);
    told_.push_back("arm " + request->call());
    changed_.wait(lock, [&] { return !held_; });
    if (failures_ > 0) {
      --failures_;
      return {failure_, "as the test wants it"};
    }
    armed_.insert(request->call());
    response->mutable_call()->set_call(request->call());
    response->mutable_call()->set_armed(true);
    for (const auto& [key, port] : legs_) {
      if (key.first != request->call()) continue;
      *response->mutable_call()->add_legs() = LegOf(key.first, key.second, port);
    }
    return grpc::Status::OK;
  }
  grpc::Status EndCall(Context*, const relay::v1::EndCallRequest* request,
                       relay::v1::EndCallResponse*) override {
    std::unique_lock lock(mutex_);
    told_.push_back("end " + request->call());
    ++ends_;
    changed_.wait(lock, [&] { return !held_; });
    armed_.erase(request->call());
    return grpc::Status::OK;
  }
  grpc::Status GetRelay(Context* context, const relay::v1::GetRelayRequest*,
                        relay::v1::Relay* response) override {
    const auto names = context->auth_context()->FindPropertyValues("x509_common_name");
    std::lock_guard lock(mutex_);
    ++polls_;
    if (!names.empty()) peer_ = {names[0].data(), names[0].size()};
    *response = relay_;
    return grpc::Status::OK;
  }
  grpc::Status WatchLegs(Context* context, const relay::v1::WatchLegsRequest*,
                         grpc::ServerWriter<relay::v1::LegEvent>* writer) override {
    std::unique_lock lock(mutex_);
    ++watches_;
    for (const auto& [key, port] : legs_) {
      relay::v1::LegEvent event;
      event.set_kind(relay::v1::LegEvent::KIND_STANDING);
      *event.mutable_leg() = LegOf(key.first, key.second, port);
      writer->Write(event);
    }
    relay::v1::LegEvent all;
    all.set_kind(relay::v1::LegEvent::KIND_ALL_STANDING);
    writer->Write(all);
    size_t next = events_.size();
    while (!stopping_ && !context->IsCancelled()) {
      while (next < events_.size()) writer->Write(events_[next++]);
      changed_.wait_for(lock, std::chrono::milliseconds(20));
    }
    return {grpc::StatusCode::UNAVAILABLE, "the relay is stopping"};
  }

  const std::string address_;
  const std::shared_ptr<grpc::ServerCredentials> credentials_;
  std::unique_ptr<grpc::Server> server_;
  std::mutex mutex_;
  std::condition_variable changed_;
  // Under mutex_:
  std::set<std::string> armed_;
  std::vector<std::string> told_;
  std::map<std::pair<std::string, bool>, uint32_t> legs_;
  std::vector<relay::v1::LegEvent> events_;
  relay::v1::Relay relay_;
  int failures_ = 0;
  grpc::StatusCode failure_ = grpc::OK;
  int watches_ = 0;
  int polls_ = 0;
  std::string peer_;
  int ends_ = 0;
  bool held_ = false;
  bool stopping_ = false;
};

}  // namespace sotto::signaling
