// SPDX-License-Identifier: Apache-2.0
// The peer policy `call`: which legs reach each other, and when.
#include <fmt/format.h>

#include "relay/turn/call_name.h"
#include "relay/turn/server_impl.h"

namespace sotto::relay {

CallSide Server::Impl::SideOf(const Allocation& allocation) const {
  const Call* call = calls_.Get(allocation.call);
  if (call == nullptr) return {};
  return {allocation.call, allocation.side, call->armed};
}

bool Server::Impl::CallPermits(const Allocation& allocation, const TransportAddress& peer) const {
  const Allocation* other = allocations_.Get(FindRelayed(peer));
  return CallsConnect(SideOf(allocation), other == nullptr ? CallSide{} : SideOf(*other));
}

bool Server::Impl::IsOtherLeg(const Allocation& allocation, const TransportAddress& peer) const {
  const Allocation* other = allocations_.Get(FindRelayed(peer));
  return other != nullptr && other->call != 0 && other->call == allocation.call &&
         other->side != allocation.side;
}

absl::Status Server::Impl::CheckCallRequest(std::string_view name) const {
  if (policy_.kind() != PeerPolicyKind::kCall) {
    return absl::FailedPreconditionError(
        "there are no calls to control, because [turn.peers] policy is not \"call\"; set it to "
        "\"call\"");
  }
  if (!IsCallId(name)) {
    return absl::InvalidArgumentError(
        fmt::format("\"{}\" is not a call id; write 1 to {} characters of A-Z a-z 0-9 . _ ~ and -",
                    name.substr(0, kMaxCallIdSize), kMaxCallIdSize));
  }
  return absl::OkStatus();
}

std::vector<TransportAddress> Server::Impl::RelayedOf(const Call& call, uint8_t side) const {
  std::vector<TransportAddress> relayed;
  for (const Call::Leg& leg : call.legs) {
    if (leg.side != side) continue;
    for (IpFamily family : kFamilies) {
      if (const auto address = RelayedAddress(leg.id, *allocations_.Get(leg.id), family)) {
        relayed.push_back(*address);
      }
    }
  }
  return relayed;
}

CallInfo Server::Impl::InfoOf(const Call& call) const {
  return {std::string(call.name.view()), call.armed, {RelayedOf(call, 0), RelayedOf(call, 1)}};
}

absl::StatusOr<CallInfo> Server::Impl::FindCall(std::string_view name, const Now& now) const {
  if (absl::Status status = CheckCallRequest(name); !status.ok()) return status;
  const Call* call = calls_.Get(calls_.Find(name, now.monotonic_ms));
  if (call == nullptr) return absl::NotFoundError(fmt::format("there is no call \"{}\"", name));
  return InfoOf(*call);
}

uint32_t Server::Impl::ForEachCall(uint32_t first, uint32_t budget, const Now& now,
                                   const std::function<void(const CallInfo&)>& visit) const {
  uint32_t place = first;
  for (; budget > 0 && place < calls_.slots(); ++place, --budget) {
    const Call* call = calls_.Get(place + 1);
    if (call == nullptr || (call->legs.empty() && call->forgotten_at <= now.monotonic_ms)) continue;
    visit(InfoOf(*call));
  }
  return place < calls_.slots() ? place : 0;
}

void Server::Impl::NotifyLeg(std::string_view name, uint32_t number, uint8_t side, bool lost) {
  const Call* call = calls_.Get(number);
  observer_({name, side, lost,
             call == nullptr ? std::vector<TransportAddress>() : RelayedOf(*call, side)});
}

std::vector<LegId> Server::Impl::PublishCall(uint32_t number) {
  std::vector<LegId> failed;
  for (const Call::Leg& leg : calls_.Get(number)->legs) {
    if (!plane_.Upsert(LegOf(leg.id, *allocations_.Get(leg.id))).ok()) failed.push_back(leg.id);
  }
  return failed;
}

absl::Status Server::Impl::ArmCall(std::string_view name, const Now& now) {
  if (absl::Status status = CheckCallRequest(name); !status.ok()) return status;
  const uint32_t number = calls_.Find(name, now.monotonic_ms);
  Call* call = calls_.Get(number);
  if (call == nullptr || call->legs.empty()) {
    if (drain_.draining && call == nullptr) {
      return absl::FailedPreconditionError(fmt::format(
          "the relay is draining and has no leg of call \"{}\"; place the call on another relay",
          name));
    }
    if (calls_.AddIdle(name, now.monotonic_ms) != 0) return absl::OkStatus();
    return absl::ResourceExhaustedError(fmt::format(
        "{} armed calls have no leg yet, and the relay remembers no more; arm \"{}\" once one of "
        "its legs is allocated",
        calls_.idle(), name));
  }
  calls_.SetArmed(*call, true);
  if (PublishCall(number).empty()) return absl::OkStatus();
  calls_.SetArmed(*call, false);
  for (LegId leg : PublishCall(number)) End(leg, now.monotonic_ms);
  return absl::ResourceExhaustedError(fmt::format(
      "the dataplane's tables are full, so call \"{}\" can't be connected; try again", name));
}

absl::Status Server::Impl::DisarmCall(std::string_view name, const Now& now) {
  if (absl::Status status = CheckCallRequest(name); !status.ok()) return status;
  const uint32_t number = calls_.Find(name, now.monotonic_ms);
  Call* call = calls_.Get(number);
  if (call == nullptr) return absl::NotFoundError(fmt::format("there is no call \"{}\"", name));
  if (call->legs.empty()) {
    calls_.Forget(number);
    return absl::OkStatus();
  }
  calls_.SetArmed(*call, false);
  // A leg that can't be told to stop must not go on.
  for (LegId leg : PublishCall(number)) End(leg, now.monotonic_ms);
  return absl::OkStatus();
}

absl::Status Server::Impl::EndCall(std::string_view name, const Now& now) {
  if (absl::Status status = CheckCallRequest(name); !status.ok()) return status;
  const uint32_t number = calls_.Find(name, now.monotonic_ms);
  Call* call = calls_.Get(number);
  if (call == nullptr) return absl::NotFoundError(fmt::format("there is no call \"{}\"", name));
  calls_.SetArmed(*call, false);  // so that it isn't remembered when its last leg is gone
  if (call->legs.empty()) {
    calls_.Forget(number);
    return absl::OkStatus();
  }
  const auto legs = call->legs;
  for (const Call::Leg& leg : legs) End(leg.id, now.monotonic_ms);
  return absl::OkStatus();
}

}  // namespace sotto::relay
