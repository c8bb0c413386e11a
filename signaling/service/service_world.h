// SPDX-License-Identifier: Apache-2.0
// A Service in a world of virtual time for tests: clients whose frames are kept, a store in memory
// that works when it is told to, and relays that note what they are asked.
#pragma once

#include <gtest/gtest.h>

#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "signaling/identity/development_issuer.h"
#include "signaling/service/service.h"
#include "signaling/store/sqlite_store.h"

namespace sotto::signaling {

// Does what StoreThread does, when RunAll() is called.
class StoreForTest final : public StoreClient {
 public:
  StoreForTest(const ServerKey& key, std::function<int64_t()> unix_s)
      : store_(OpenSqliteStore({.path = ":memory:"}).value()),
        notices_(*store_),
        decider_({}, key, *store_, notices_),
        unix_s_(std::move(unix_s)) {}

  bool Submit(Job job, Done done) override {
    if (full) return false;
    queue_.push_back([this, job = std::move(job), done = std::move(done)] {
      EXPECT_TRUE(store_->Begin().ok());
      StoreContext context = {*store_, notices_, decider_};
      const absl::Status status = broken.ok() ? job(context) : broken;
      done(End(status) ? status : broken);
    });
    return true;
  }
  bool Decide(DecisionRequest request, Decided decided) override {
    if (full) return false;
    ++decisions;
    queue_.push_back([this, request = std::move(request), decided = std::move(decided)] {
      EXPECT_TRUE(store_->Begin().ok());
      const absl::StatusOr<Decision> decision =
          broken.ok() ? decider_.DecideWithin(request, unix_s_()) : broken;
      End(decision.status());
      decided(decision);
    });
    return true;
  }

  void RunAll() {
    while (!queue_.empty()) {
      const auto work = std::move(queue_.front());
      queue_.pop_front();
      work();
    }
  }
  size_t waiting() const { return queue_.size(); }
  Store& store() { return *store_; }

  bool full = false;
  absl::Status broken;  // what every job fails with, unless OK
  size_t decisions = 0;

 private:
  bool End(const absl::Status& status) {
    if (status.ok() || absl::IsResourceExhausted(status) || absl::IsNotFound(status)) {
      EXPECT_TRUE(store_->Commit().ok());
      decider_.Committed();
      notices_.Committed();
      return true;
    }
    store_->Rollback();
    decider_.RolledBack();
    notices_.RolledBack();
    return false;
  }

  std::unique_ptr<Store> store_;
  NoticeBox notices_;
  Decider decider_;
  std::function<int64_t()> unix_s_;
  std::deque<std::function<void()>> queue_;
};

class RelaysForTest final : public RelayFleet {
 public:
  RelayIndex Choose() override { return 0; }
  RelayCredential Mint(RelayIndex, const CallId&, CallSideName side, int64_t unix_s,
                       uint32_t valid_s) const override {
    return {.urls = {"turn:192.0.2.10:3478"},
            .username = std::to_string(unix_s + valid_s) +
                        (side == CallSideName::kCaller ? ":call/a" : ":call/b"),
            .credential = std::string(28, 'c')};
  }
  void ArmCall(RelayIndex, const CallId& call) override { armed.push_back(call); }
  void EndCall(RelayIndex, const CallId& call) override { ended.push_back(call); }
  RelayHealth Health(RelayIndex) const override { return {.well = true}; }
  void SetRelays(std::vector<RelayEndpoint>, std::chrono::seconds) override {}
  std::vector<RelayReport> Reports() const override { return {}; }

  std::vector<CallId> armed;
  std::vector<CallId> ended;
};

// A client's connection, as the client sees it.
class ConnectionForTest final : public Connection {
 public:
  bool Send(std::string message) override {
    EXPECT_FALSE(closed.has_value()) << "sent after it was closed";
    if (blocked) return false;
    api::ServerFrame frame;
    EXPECT_TRUE(frame.ParseFromString(message));
    frames.push_back(std::move(frame));
    if (on_send) on_send(frames.back());
    return true;
  }
  void Close(CloseCode code, std::string_view reason) override {
    EXPECT_FALSE(closed.has_value()) << "closed twice";
    EXPECT_LE(reason.size(), 123u) << "RFC 6455, section 5.5";
    closed = code;
  }

  ConnectionId id = 0;
  std::vector<api::ServerFrame> frames;
  std::optional<CloseCode> closed;
  bool blocked = false;
  std::function<void(const api::ServerFrame&)> on_send;
};

class ServiceWorld {
 public:
  static constexpr int64_t kStartUnix = 1'767'484'800;  // amid an epoch

  explicit ServiceWorld(const ServiceOptions& options = {})
      : key_{7},
        store(key_, [this] { return now.unix_s(); }),
        issuer_(DevelopmentIssuer::Create(DevelopmentIssuer::MakePrivateKey().value(), "test", {})
                    .value()),
        identities(IdentityOptions{}, issuer_.public_keys()),
        service(std::make_unique<Service>(options, key_, identities, store, relays,
                                          [this] { return now; })) {
    Settle();  // the upkeep of the start
  }

  // Made anew after an hour.
  std::string Identity(const std::string& account) {
    auto& [issued_s, jwt] = identities_issued_[account];
    if (jwt.empty() || now.unix_s() >= issued_s + 3600) {
      issued_s = now.unix_s();
      jwt = issuer_.Issue(*AccountId::Parse(account), issued_s).value();
    }
    return jwt;
  }

  ConnectionForTest& Connect() {
    auto& connection = *connections_.emplace_back(std::make_unique<ConnectionForTest>());
    connection.id = service->OnOpen(connection);
    return connection;
  }

  void Receive(ConnectionForTest& connection, const api::ClientFrame& frame) {
    const std::string bytes = frame.SerializeAsString();
    service->OnMessage(connection.id,
                       {reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size()});
  }

  // What the store and the clock have to do at this moment.
  void Settle() {
    for (int i = 0; i < 100; ++i) {
      store.RunAll();
      if (service->NextDeadline() <= now.monotonic_ms) service->Tick();
      if (store.waiting() == 0 && service->NextDeadline() > now.monotonic_ms) return;
      if (store.full && i > 2) return;
    }
    ADD_FAILURE() << "the service doesn't come to rest";
  }

  // Goes from deadline to deadline.
  void Advance(uint64_t ms) {
    const MonotonicMs end = now.monotonic_ms + ms;
    while (service->NextDeadline() <= end) {
      const MonotonicMs next = std::max(service->NextDeadline(), now.monotonic_ms);
      now.unix_ms += static_cast<int64_t>(next - now.monotonic_ms);
      now.monotonic_ms = next;
      service->Tick();
      store.RunAll();
    }
    now.unix_ms += static_cast<int64_t>(end - now.monotonic_ms);
    now.monotonic_ms = end;
    Settle();
  }

 private:
  ServerKey key_;

 public:
  ServiceTime now = {.monotonic_ms = 5'000'000, .unix_ms = kStartUnix * 1000};
  StoreForTest store;
  RelaysForTest relays;

 private:
  DevelopmentIssuer issuer_;

 public:
  IdentityVerifier identities;
  std::unique_ptr<Service> service;

 private:
  std::vector<std::unique_ptr<ConnectionForTest>> connections_;
  std::map<std::string, std::pair<int64_t, std::string>> identities_issued_;
};

// A device with a session, which acknowledges what it gets.
class DeviceForTest {
 public:
  DeviceForTest(ServiceWorld& world, std::string account, uint8_t number)
      : world_(world), account_(std::move(account)) {
    device_.fill(number);
  }

  // Says Hello and lets the store work. True if Welcome came.
  bool Connect(std::string_view resume = "") {
    connection_ = &world_.Connect();
    if (resume.empty()) sent_ = seen_ = 0;
    taken_ = 0;
    Hello(resume);
    world_.Settle();
    return Take();
  }
  void Hello(std::string_view resume = "") {
    api::ClientFrame frame;
    frame.set_ack(seen_);
    api::Hello& hello = *frame.mutable_hello();
    hello.set_identity(world_.Identity(account_));
    hello.set_device(device_.data(), device_.size());
    hello.set_notice_key(std::string(32, static_cast<char>(9 + device_[0])));
    hello.set_resume(std::string(resume));
    world_.Receive(*connection_, frame);
  }
  bool Resume() { return Connect(welcome_.session()); }
  void Lose() { world_.service->OnClosed(connection_->id); }

  // Sends a numbered frame and returns its seq.
  uint64_t Send(api::ClientFrame frame) {
    frame.set_seq(++sent_);
    frame.set_ack(seen_);
    world_.Receive(*connection_, frame);
    return sent_;
  }
  // Sends a request, lets the store work, and returns the answer.
  api::ServerFrame Request(api::ClientFrame frame) {
    const uint64_t request = Send(std::move(frame));
    world_.Settle();
    Take();
    for (const api::ServerFrame& one : received_) {
      if (one.request() == request) return one;
    }
    ADD_FAILURE() << "no answer";
    return {};
  }
  void Ping() {
    api::ClientFrame frame;
    frame.set_ack(seen_);
    frame.mutable_ping();
    world_.Receive(*connection_, frame);
  }

  // Reads what has come. True if a Welcome was among it.
  bool Take() {
    bool welcomed = false;
    for (; taken_ < connection_->frames.size(); ++taken_) {
      const api::ServerFrame& frame = connection_->frames[taken_];
      if (frame.has_welcome()) {
        welcome_ = frame.welcome();
        welcomed = true;
      } else if (frame.seq() == seen_ + 1) {
        seen_ = frame.seq();
        received_.push_back(frame);
      } else {
        EXPECT_LE(frame.seq(), seen_) << "a frame is missing";
      }
    }
    return welcomed;
  }

  // Numbered frames since the last call.
  std::vector<api::ServerFrame> Events() {
    Take();
    return std::exchange(received_, {});
  }

  ConnectionForTest& connection() { return *connection_; }
  const api::Welcome& welcome() const { return welcome_; }
  const DeviceId& id() const { return device_; }
  uint64_t seen() const { return seen_; }
  uint64_t sent() const { return sent_; }

 private:
  ServiceWorld& world_;
  std::string account_;
  DeviceId device_ = {};
  ConnectionForTest* connection_ = nullptr;
  api::Welcome welcome_;
  uint64_t sent_ = 0;
  uint64_t seen_ = 0;
  size_t taken_ = 0;
  std::vector<api::ServerFrame> received_;
};

}  // namespace sotto::signaling
