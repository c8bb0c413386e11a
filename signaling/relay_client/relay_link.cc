// SPDX-License-Identifier: Apache-2.0
#include "signaling/relay_client/relay_link.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "relay/daemon/log.h"
#include "signaling/relay_client/call_name.h"

namespace sotto::signaling {
namespace {

namespace api = relay::v1;
using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr milliseconds kPollEvery(1000);
constexpr seconds kDeadline(2);
constexpr milliseconds kFirstWatchPause(100);
constexpr milliseconds kLastWatchPause(3000);
// Before a request is made again that the relay has refused.
constexpr milliseconds kRetryPause(500);
constexpr uint32_t kMaxInFlight = 128;
constexpr milliseconds kPollWhileDownEvery(250);
// How long a relay that doesn't answer may take until it isn't told any more to end a call.
constexpr seconds kEndFor(3600);
// Above what a switchboard holds, so that it is met only while a relay is gone for long.
constexpr size_t kMaxCalls = 400'000;
constexpr int kMaxRelayed = 64;

std::optional<std::vector<TransportAddress>> RelayedOf(const api::Leg& leg) {
  if (leg.relayed_size() > kMaxRelayed) return std::nullopt;
  std::vector<TransportAddress> relayed;
  for (const api::TransportAddress& address : leg.relayed()) {
    const auto* bytes = reinterpret_cast<const uint8_t*>(address.ip().data());
    if (address.port() < 1 || address.port() > 65535) return std::nullopt;
    const auto port = static_cast<uint16_t>(address.port());
    if (address.ip().size() == 4) {
      relayed.push_back({IpAddress::V4(std::span<const uint8_t, 4>(bytes, 4)), port});
    } else if (address.ip().size() == 16) {
      relayed.push_back({IpAddress::V6(std::span<const uint8_t, 16>(bytes, 16)), port});
    } else {
      return std::nullopt;
    }
  }
  return relayed;
}

std::string ProblemOf(const grpc::Status& status, const api::Relay& relay) {
  if (!status.ok()) return fmt::format("doesn't answer: {}", status.error_message());
  if (!relay.call_policy()) return "its [turn.peers] policy is not \"call\"; set it to \"call\"";
  if (relay.draining()) return "drains";
  if (relay.allocations() >= relay.max_allocations()) {
    return "is full; raise its [dataplane] max_allocations, or add a relay";
  }
  return {};
}

bool IsUnanswered(const grpc::Status& status) {
  return status.error_code() == grpc::UNAVAILABLE || status.error_code() == grpc::DEADLINE_EXCEEDED;
}

std::optional<size_t> SideOf(const api::Leg& leg) {
  if (leg.side() == api::Leg::SIDE_A) return 0;
  if (leg.side() == api::Leg::SIDE_B) return 1;
  return std::nullopt;
}

}  // namespace

// A watch on its way. Lives until gRPC is done with it.
class RelayLink::LegStream final : public grpc::ClientReadReactor<api::LegEvent> {
 public:
  static void Start(RelayLink& link) {
    auto* stream = new LegStream(link);
    stream->self_.reset(stream);
    stream->context_.set_wait_for_ready(true);
    link.OperationBegins(&stream->context_);
    link.watch_ = &stream->context_;
    link.stub_->async()->WatchLegs(&stream->context_, &stream->request_, stream);
    // Reads are started by the fleet's thread, so that it is never behind by more than one event.
    stream->AddHold();
    stream->StartRead(&stream->event_);
    stream->StartCall();
  }

 private:
  explicit LegStream(RelayLink& link) : link_(link), thread_(link.thread_) {}

  void OnReadDone(bool ok) override {
    if (!ok) return RemoveHold();
    thread_->Post([self = self_] {
      self->link_.OnEvent(self->event_);
      self->event_.Clear();
      self->StartRead(&self->event_);
    });
  }
  void OnDone(const grpc::Status& status) override {
    // What is posted deletes this object, perhaps before Post() returns.
    const std::shared_ptr<FleetThread> thread = thread_;
    thread->Post([self = std::move(self_), status] {
      self->link_.OperationEnds(&self->context_);
      self->link_.OnWatchEnded(status);
    });
  }

  RelayLink& link_;
  const std::shared_ptr<FleetThread> thread_;
  grpc::ClientContext context_;
  const api::WatchLegsRequest request_;
  api::LegEvent event_;
  std::shared_ptr<LegStream> self_;
};

RelayLink::RelayLink(std::string name, std::shared_ptr<api::CallControl::StubInterface> stub,
                     std::shared_ptr<FleetThread> thread, OnLeg on_leg, OnHealth on_health)
    : name_(std::move(name)),
      stub_(std::move(stub)),
      thread_(std::move(thread)),
      on_leg_(std::move(on_leg)),
      on_health_(std::move(on_health)),
      watch_pause_(kFirstWatchPause) {}

RelayLink::~RelayLink() = default;

void RelayLink::Start() {
  Poll();
  Watch();
}

void RelayLink::Reconnect(std::shared_ptr<api::CallControl::StubInterface> stub) {
  if (stopping_) return;
  stub_ = std::move(stub);
  if (watch_ == nullptr) return;
  watch_replaced_ = true;
  watch_->TryCancel();
}

void RelayLink::Retire(seconds linger) { retire_at_ = FleetThread::Clock::now() + linger; }

void RelayLink::OperationBegins(grpc::ClientContext* context) { operations_.insert(context); }

void RelayLink::OperationEnds(grpc::ClientContext* context) {
  operations_.erase(context);
  if (stopped_ && operations_.empty()) std::exchange(stopped_, nullptr)();
}

void RelayLink::Stop(std::function<void()> done) {
  stopping_ = true;
  stopped_ = std::move(done);
  for (grpc::ClientContext* context : operations_) context->TryCancel();
  if (operations_.empty()) std::exchange(stopped_, nullptr)();
}

template <typename Request, typename Response>
void RelayLink::Ask(void (api::CallControl::StubInterface::async_interface::*method)(
                        grpc::ClientContext*, const Request*, Response*,
                        std::function<void(grpc::Status)>),
                    Request request,
                    std::function<void(const grpc::Status&, const Response&)> done) {
  struct Operation {
    grpc::ClientContext context;
    Request request;
    Response response;
    std::function<void(const grpc::Status&, const Response&)> done;
  };
  auto operation = std::make_shared<Operation>();
  operation->request = std::move(request);
  operation->done = std::move(done);
  operation->context.set_deadline(std::chrono::system_clock::now() + kDeadline);
  OperationBegins(&operation->context);
  (stub_->async()->*method)(
      &operation->context, &operation->request, &operation->response,
      // Hands over the operation whole: its context holds the channel, and who drops the last of a
      // channel on a thread of gRPC's has that thread wait for itself.
      [this, thread = thread_, operation](const grpc::Status& status) mutable {
        thread->Post([this, operation = std::move(operation), status] {
          if (!stopping_) operation->done(status, operation->response);
          OperationEnds(&operation->context);
        });
      });
}

// Health.

void RelayLink::Poll() {
  if (stopping_) return;
  Ask<api::GetRelayRequest, api::Relay>(
      &api::CallControl::StubInterface::async_interface::GetRelay, {},
      [this](const grpc::Status& status, const api::Relay& relay) { OnPolled(status, relay); });
}

void RelayLink::OnPolled(const grpc::Status& status, const api::Relay& relay) {
  RelayHealth health;
  health.problem = ProblemOf(status, relay);
  if (status.ok()) {
    health.well = health.problem.empty();
    health.allocations = relay.allocations();
    health.max_allocations = relay.max_allocations();
    if (!relay.call_policy() && !std::exchange(warned_of_policy_, true)) {
      Log(LogLevel::kError,
          "A relay does not use [turn.peers] policy \"call\"; set it, or remove the relay.",
          {{"relay", name_}});
    }
  }
  on_health_(health);
  SetUp(status.ok(), status);
  if (!status.ok()) ForgetOldEndings();
  if (retire_at_ && calls_.empty() && FleetThread::Clock::now() >= *retire_at_) {
    Log(LogLevel::kInfo, "A removed relay has no calls left.", {{"relay", name_}});
    return Stop([this] { stub_.reset(); });
  }
  thread_->PostAfter(status.ok() ? kPollEvery : kPollWhileDownEvery, [this] { Poll(); });
}

void RelayLink::SetUp(bool up, const grpc::Status& status) {
  if (up_ != up) {
    if (up) {
      Log(LogLevel::kInfo, "A relay is reachable.", {{"relay", name_}});
    } else {
      Log(LogLevel::kWarning,
          "A relay is not reachable; new calls go to other relays, if any are reachable.",
          {{"relay", name_}, {"error", status.error_message()}});
    }
  }
  up_ = up;
  if (up) Pump();
}

// Legs.

void RelayLink::Watch() {
  if (stopping_) return;
  for (auto& [id, call] : calls_) {
    for (Leg& leg : call.legs) leg.told = false;
  }
  LegStream::Start(*this);
}

void RelayLink::OnEvent(const api::LegEvent& event) {
  if (event.kind() == api::LegEvent::KIND_ALL_STANDING) return OnAllStanding();
  const std::optional<CallId> id = ParseRelayCallName(event.leg().call());
  const std::optional<size_t> side = SideOf(event.leg());
  if (!id || !side) return;  // another server's, or of a kind that this version doesn't know
  Call* call = Find(*id);
  std::optional<std::vector<TransportAddress>> relayed = RelayedOf(event.leg());
  if (call == nullptr || call->ending || !relayed) return;
  call->legs[*side].told = true;
  TellLeg(*id, *side, call->legs[*side], *std::move(relayed));
}

// The answers to these say, too, which legs are there no more.
void RelayLink::OnAllStanding() {
  watch_pause_ = kFirstWatchPause;
  for (auto& [id, call] : calls_) {
    if (call.ending) continue;
    call.settled = false;
    Queue(id, call);
  }
}

void RelayLink::OnWatchEnded(const grpc::Status& status) {
  watch_ = nullptr;
  const bool replaced = std::exchange(watch_replaced_, false);
  if (stopping_) return;
  if (replaced) return Watch();
  Log(up_ == true ? LogLevel::kWarning : LogLevel::kDebug, "The watch of a relay's legs ended.",
      {{"relay", name_}, {"error", status.error_message()}});
  thread_->PostAfter(watch_pause_, [this] { Watch(); });
  watch_pause_ = std::min(2 * watch_pause_, kLastWatchPause);
}

void RelayLink::TellLeg(const CallId& id, size_t side, Leg& leg,
                        std::vector<TransportAddress> relayed) {
  if (leg.relayed == relayed) return;
  leg.relayed = relayed;
  on_leg_({id, side == 0 ? CallSideName::kCaller : CallSideName::kRecipient, std::move(relayed)});
}

// Calls.

RelayLink::Call* RelayLink::Find(const CallId& id) {
  const auto found = calls_.find(id);
  return found == calls_.end() ? nullptr : &found->second;
}

void RelayLink::Arm(const CallId& id) {
  if (calls_.size() >= kMaxCalls && Find(id) == nullptr) return;
  Call& call = calls_[id];
  call.ending = false;
  call.settled = false;
  Queue(id, call);
}

void RelayLink::End(const CallId& id) {
  if (calls_.size() >= kMaxCalls && Find(id) == nullptr) return;
  Call& call = calls_[id];
  call.ending = true;
  call.settled = false;
  call.give_up = FleetThread::Clock::now() + kEndFor;
  call.legs = {};
  Queue(id, call);
}

void RelayLink::Queue(const CallId& id, Call& call) {
  if (call.queued || call.in_flight || call.settled) return;
  call.queued = true;
  ready_.push_back(id);
  Pump();
}

void RelayLink::Pump() {
  while (up_ == true && !stopping_ && in_flight_ < kMaxInFlight && !ready_.empty()) {
    const CallId id = ready_.front();
    ready_.pop_front();
    // It may have been forgotten, and even added again, since it was put here.
    if (Call* call = Find(id); call != nullptr && call->queued) Send(id, *call);
  }
}

void RelayLink::Send(const CallId& id, Call& call) {
  using Async = api::CallControl::StubInterface::async_interface;
  call.queued = false;
  call.in_flight = true;
  ++in_flight_;
  if (call.ending) {
    api::EndCallRequest request;
    request.set_call(RelayCallName(id));
    return Ask<api::EndCallRequest, api::EndCallResponse>(
        &Async::EndCall, std::move(request),
        [this, id](const grpc::Status& status, const auto&) { OnEnded(id, status); });
  }
  for (Leg& leg : call.legs) leg.told = false;
  api::ArmCallRequest request;
  request.set_call(RelayCallName(id));
  Ask<api::ArmCallRequest, api::ArmCallResponse>(
      &Async::ArmCall, std::move(request),
      [this, id](const grpc::Status& status, const api::ArmCallResponse& response) {
        OnArmed(id, status, response.call());
      });
}

void RelayLink::OnArmed(const CallId& id, const grpc::Status& status, const api::Call& armed) {
  Call& call = *Find(id);
  Count(armed_, status);
  call.settled = status.ok() && !call.ending;
  if (call.settled) {
    // What the watch has told meanwhile is newer than this, or will be told again.
    std::array<std::vector<TransportAddress>, 2> relayed;
    for (const api::Leg& leg : armed.legs()) {
      auto addresses = RelayedOf(leg);
      if (const auto side = SideOf(leg); side && addresses) relayed[*side] = *std::move(addresses);
    }
    for (size_t side = 0; side < 2; ++side) {
      if (!call.legs[side].told) TellLeg(id, side, call.legs[side], std::move(relayed[side]));
    }
  }
  GoOn(id, call, status);
}

void RelayLink::OnEnded(const CallId& id, const grpc::Status& status) {
  Call& call = *Find(id);
  Count(ended_, status);
  if (!status.ok() || !call.ending) return GoOn(id, call, status);
  calls_.erase(id);
  --in_flight_;
  Pump();
}

void RelayLink::GoOn(const CallId& id, Call& call, const grpc::Status& status) {
  --in_flight_;
  call.in_flight = false;
  if (IsUnanswered(status)) {
    SetUp(false, status);  // the next poll says when to go on
  } else if (!status.ok()) {
    call.queued = true;
    thread_->PostAfter(kRetryPause, [this, id] {
      Call* waiting = Find(id);
      if (waiting == nullptr || !waiting->queued) return;
      waiting->queued = false;
      Queue(id, *waiting);
    });
    return Pump();
  }
  Queue(id, call);
  Pump();
}

void RelayLink::ForgetOldEndings() {
  const FleetThread::Clock::time_point now = FleetThread::Clock::now();
  given_up_ += absl::erase_if(calls_, [&](const auto& entry) {
    return entry.second.ending && !entry.second.in_flight && entry.second.give_up <= now;
  });
}

void RelayLink::Count(Requests& requests, const grpc::Status& status) {
  ++(status.ok() ? requests.done : IsUnanswered(status) ? requests.unanswered : requests.refused);
}

void RelayLink::ReadCounters(RelayReport& report) const {
  const auto read = [](const Requests& requests) {
    return RelayRequests{.done = requests.done.load(),
                         .refused = requests.refused.load(),
                         .unanswered = requests.unanswered.load()};
  };
  report.armed = read(armed_);
  report.ended = read(ended_);
  report.given_up = given_up_.load();
}

}  // namespace sotto::signaling
