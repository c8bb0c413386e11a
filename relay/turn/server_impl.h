// SPDX-License-Identifier: Apache-2.0
// The inside of Server: its state, and the parts that share it. Each part has a file of its own:
//
//   server.cc       the public face: every entry point, forwarded
//   server_impl.cc  state, and what ends: allocations, families, permissions, channels, ports
//   request.cc      from a STUN message to the handler of its method, and back to an answer
//   allocate.cc  refresh.cc  peers.cc (CreatePermission, ChannelBind)
//   data_path.cc    ChannelData, Send, datagrams and ICMP errors from peers
//   calls.cc        the peer policy `call`
//   operator.cc     what an operator sees and ends
//   reconfigure.cc  what an operator changes while the server runs
#pragma once

#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "relay/auth/authenticator.h"
#include "relay/auth/quota.h"
#include "relay/base/random.h"
#include "relay/base/source_budget.h"
#include "relay/stun/message.h"
#include "relay/turn/allocation_table.h"
#include "relay/turn/call_table.h"
#include "relay/turn/leg_users.h"
#include "relay/turn/peer_policy.h"
#include "relay/turn/port_pool.h"
#include "relay/turn/reservation_table.h"
#include "relay/turn/server.h"
#include "relay/turn/transaction_cache.h"

namespace sotto::relay {

// Permissions or channels of an allocation.
template <typename Bindings, typename Predicate>
void EraseIf(Bindings& bindings, Predicate ended) {
  bindings.erase(std::remove_if(bindings.begin(), bindings.end(), ended), bindings.end());
}

class Server::Impl {
 public:
  Impl(ServerOptions options, ForwardingPlane& plane);

  Outcome HandleClientDatagram(const ClientPath& path, std::span<const uint8_t> datagram,
                               const Now& now, std::span<uint8_t> buffer);
  Outcome HandlePeerDatagram(const TransportAddress& relayed, const TransportAddress& peer,
                             std::span<const uint8_t> datagram, const Now& now,
                             std::span<uint8_t> buffer);
  Outcome HandlePeerError(const TransportAddress& relayed, const TransportAddress& peer,
                          const IcmpError& error, const Now& now, std::span<uint8_t> buffer);
  void Tick(const Now& now, uint32_t budget);

  absl::Status ArmCall(std::string_view name, const Now& now);
  absl::Status DisarmCall(std::string_view name, const Now& now);
  absl::Status EndCall(std::string_view name, const Now& now);
  void ObserveLegs(std::function<void(const LegChange&)> observer) {
    observer_ = std::move(observer);
  }
  absl::StatusOr<CallInfo> FindCall(std::string_view name, const Now& now) const;
  uint32_t ForEachCall(uint32_t first, uint32_t budget, const Now& now,
                       const std::function<void(const CallInfo&)>& visit) const;
  absl::Status EndAllocation(LegId id, const Now& now);
  LegId ForEachAllocation(LegId first, uint32_t budget, bool bindings,
                          const std::function<void(const AllocationInfo&)>& visit) const;

  absl::Status Reconfigure(const ServerOptions& options);
  void Drain(std::optional<MonotonicMs> deadline, bool for_good) {
    drain_ = {true, deadline, drain_.for_good || for_good};
  }
  void Undrain() {
    if (!drain_.for_good) drain_ = {};
  }
  const DrainState& drain() const { return drain_; }

  uint32_t allocation_count() const { return allocations_.size(); }
  uint32_t call_count() const { return calls_.size(); }
  uint32_t armed_call_count() const { return calls_.armed(); }
  uint32_t ports_in_use() const;
  uint32_t ports_held() const;
  const ServerCounters& counters() const { return counters_; }
  const ServerOptions& options() const { return options_; }

 private:
  // A request on its way through the server.
  struct Request {
    const ClientPath& path;
    const StunMessage& message;
    const Now& now;
    std::span<uint8_t> buffer;
    Authentication auth;
    LegId leg = AllocationTable::kNone;  // of the 5-tuple
  };
  // What an Allocate request asks for, once it is known to be well-formed.
  struct Wish {
    std::array<bool, 2> families{};  // by FamilyIndex
    bool even = false;
    bool reserve = false;
    bool additional = false;  // one family of the two is enough
    std::optional<uint64_t> reservation_token;
  };
  struct HeldPort {
    uint8_t address = 0;
    uint16_t port = 0;
  };

  // request.cc
  Outcome HandleStun(const ClientPath& path, std::span<const uint8_t> datagram, const Now& now,
                     std::span<uint8_t> buffer);
  // What a method's requests are answered by, once they are authenticated.
  using RequestHandler = Outcome (Impl::*)(const Request& request);
  // Answers the request with `handle`, or with why it isn't authenticated.
  Outcome HandleAuthenticated(Request& request, RequestHandler handle);
  StunBuilder Answer(const Request& request, StunClass message_class) const;
  Outcome Finish(const Request& request, StunBuilder& answer);
  Outcome Reject(const Request& request, StunError error);
  // 420 if the request has attributes that must be understood and aren't.
  std::optional<Outcome> RejectUnknown(const Request& request);
  // 437 or 441 unless the request comes from the owner of an allocation.
  std::optional<StunError> CheckOwner(const Request& request) const;
  Outcome HandleBinding(const Request& request);
  TransactionCache::Key TransactionKey(const Request& request) const;
  // The lifetime that LIFETIME asks for, clamped; nothing if the attribute is malformed. Zero only
  // if it asks for zero.
  std::optional<uint32_t> RequestedLifetime(const StunMessage& message) const;
  static uint32_t SecondsLeft(MonotonicMs expires_at, MonotonicMs now) {
    return static_cast<uint32_t>((expires_at - now) / 1000);
  }

  // allocate.cc
  Outcome HandleAllocate(const Request& request);
  std::optional<StunError> Allocate(const Request& request);
  std::optional<StunError> ParseWish(const StunMessage& message, Wish& wish) const;
  std::optional<StunError> CheckQuota(const Request& request, const Wish& wish);
  // Whether an allocation is part of what goes on while the server drains.
  bool GoesOnWhileDraining(const Request& request) const;
  // One that the client may be sent to; nothing if there is none of its family.
  std::optional<TransportAddress> ChooseAlternate(const TransportAddress& client);
  // Gives the allocation its relayed addresses; or says why there are none to be had.
  std::optional<Refusal> HoldPorts(const Wish& wish, MonotonicMs now, Allocation& allocation,
                                   std::optional<HeldPort>& sibling);
  std::optional<HeldPort> TakePort(IpFamily family, const Wish& wish);
  bool Relays(IpFamily family) const;
  Outcome AnswerAllocate(const Request& request, LegId id);

  // refresh.cc
  Outcome HandleRefresh(const Request& request);

  // peers.cc
  Outcome HandleCreatePermission(const Request& request);
  Outcome HandleChannelBind(const Request& request);
  std::optional<StunError> CheckPeer(const Allocation& allocation, const IpAddress& peer);
  // Installs or refreshes all of them, or none.
  std::optional<StunError> Permit(LegId leg, std::span<const IpAddress> peers, MonotonicMs now);
  std::optional<StunError> Bind(LegId leg, uint16_t number, const TransportAddress& peer,
                                MonotonicMs now);

  // data_path.cc
  Outcome HandleChannelData(const ClientPath& path, std::span<const uint8_t> datagram,
                            const Now& now);
  Outcome HandleSend(const ClientPath& path, const StunMessage& message, const Now& now);
  Outcome ToPeer(LegId id, const Allocation& allocation, const TransportAddress& peer,
                 std::span<const uint8_t> data, bool dont_fragment);
  // The allocation that data between `relayed` and `peer` belongs to, if it may pass.
  Allocation* FindReceiver(const TransportAddress& relayed, const TransportAddress& peer,
                           MonotonicMs now, Discard& reason);

  // calls.cc
  CallSide SideOf(const Allocation& allocation) const;
  // Whether calls let data pass from or to this peer of the allocation.
  bool CallPermits(const Allocation& allocation, const TransportAddress& peer) const;
  // Whether the peer is a relayed address of the other leg of the same call, armed or not.
  bool IsOtherLeg(const Allocation& allocation, const TransportAddress& peer) const;
  absl::Status CheckCallRequest(std::string_view name) const;
  std::vector<TransportAddress> RelayedOf(const Call& call, uint8_t side) const;
  CallInfo InfoOf(const Call& call) const;
  // Tells the observer of a change to a leg of the call, which may be forgotten by now.
  void NotifyLeg(std::string_view name, uint32_t number, uint8_t side, bool lost);
  // Tells the plane about every leg of the call; returns those that it could not take.
  std::vector<LegId> PublishCall(uint32_t number);

  // server_impl.cc
  LegId FindAllocation(const ClientPath& path, MonotonicMs now);
  LegId FindRelayed(const TransportAddress& relayed) const;
  std::optional<uint8_t> RelayAddressIndex(const IpAddress& ip) const;
  std::optional<TransportAddress> RelayedAddress(LegId id, const Allocation& allocation,
                                                 IpFamily family) const;
  ForwardingLeg LegOf(LegId id, const Allocation& allocation) const;
  // The plane learns the earlier of the permission's end and that of its relayed address, so that
  // nothing flows when the server is late to remove it.
  absl::Status Publish(LegId id, const Allocation& allocation, const Permission& permission);
  absl::Status Publish(LegId id, const Allocation& allocation, const Channel& channel);
  // After a family's end has moved: publishes what had been, or must now be, cut short by it.
  void RepublishBindings(LegId id, const Allocation& allocation, IpFamily family,
                         MonotonicMs earlier_end);
  // Ends what has expired of an allocation; false if that is all of it.
  bool Expire(LegId id, MonotonicMs now);
  void End(LegId id, MonotonicMs now);
  void EndFamily(LegId id, IpFamily family, MonotonicMs now);
  void EndExpiredBindings(LegId id, MonotonicMs now);
  void ReleasePort(uint8_t address, uint16_t port);
  void ReleaseReservation(const Reservation& reservation);
  // Whom the credential names that the allocation was made with.
  std::string CredentialName(const Allocation& allocation) const;
  std::string UsernameOf(const Allocation& allocation) const;
  void SetUsername(Allocation& allocation, std::string_view username,
                   std::optional<int64_t> expiry_unix_s) const;
  Outcome Drop(Discard reason);
  StunError Refuse(Refusal reason) {
    ++counters_.refusals[static_cast<size_t>(reason)];
    return RefusalError(reason);
  }

  // reconfigure.cc
  void SetRates();
  static AuthenticatorOptions AuthenticatorOptionsOf(const ServerOptions& options);
  void ResetAllocationBudget();
  // What a change of the options means for allocations that stand is brought into force by Tick(),
  // so many at a time.
  void BeginSweep() { sweep_ = 0; }
  void Sweep(uint32_t budget);
  void EndRefusedBindings(LegId id, Allocation& allocation);

  ServerOptions options_;
  ForwardingPlane& plane_;
  Random random_;
  Authenticator authenticator_;
  AllocationQuota quota_;
  PeerPolicy policy_;
  SourceBudget budget_;
  std::optional<SourceBudget> allocation_budget_;  // nothing: no bound
  DrainState drain_;
  AllocationTable allocations_;
  ReservationTable reservations_;
  // Empty before there is a rate of users; then kept, so that the next one finds all there.
  LegUsers users_;
  bool knows_users_ = false;
  TransactionCache transactions_;
  CallTable calls_;
  std::vector<PortPool> ports_;  // by index into options_.relay_addresses
  // That Allocate responses gave out, of the few allocations that asked for one.
  absl::flat_hash_map<LegId, uint64_t> reservation_tokens_;
  LegId scan_ = 0;
  std::optional<LegId> sweep_;  // where a sweep goes on
  std::function<void(const LegChange&)> observer_;
  ServerCounters counters_;
};

}  // namespace sotto::relay
