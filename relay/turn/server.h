// SPDX-License-Identifier: Apache-2.0
// The TURN server (RFC 8656): allocations, permissions, channels, calls. No sockets, no threads, no
// clock: datagrams and the time are passed in, and what is to be sent comes back.
//
// Everything runs on one thread. A dataplane learns of each change through the ForwardingPlane and
// then moves data by itself; the server's own data path (ChannelData, Send, data from peers) does
// the same work, packet by packet, and is the reference that the dataplane is tested against.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "relay/base/clock.h"
#include "relay/base/ip_address.h"
#include "relay/forwarding.h"
#include "relay/turn/discard.h"
#include "relay/turn/options.h"
#include "relay/turn/refusal.h"

namespace sotto::relay {

// What the caller must do after a datagram: at most one thing.
struct Outcome {
  enum class Kind : uint8_t { kNothing, kToClient, kToPeer };
  Kind kind = Kind::kNothing;
  Discard discard = Discard::kNone;  // with kNothing
  // kToClient: send `bytes` from path.server to path.client. kToPeer: send `bytes` from `relayed`
  // to `peer`. The bytes view the buffer (or the datagram) that was passed in.
  ClientPath path = {};
  TransportAddress relayed = {};
  TransportAddress peer = {};
  bool dont_fragment = false;
  std::span<const uint8_t> bytes = {};
};

// What an operator sees of an allocation.
struct AllocationInfo {
  struct Permission {
    IpAddress peer;
    MonotonicMs expires_at = 0;
  };
  struct Channel {
    uint16_t number = 0;
    TransportAddress peer;
    MonotonicMs expires_at = 0;
  };
  LegId id = 0;
  ClientPath path;
  std::string username;  // as the client gives it
  std::string user;      // whom it named when the allocation was made
  std::optional<TransportAddress> relayed_v4;
  std::optional<TransportAddress> relayed_v6;
  MonotonicMs created_at = 0;
  MonotonicMs expires_at = 0;
  uint32_t permissions = 0;
  uint32_t channels = 0;
  // Only if they were asked for.
  std::vector<Permission> permission_list = {};
  std::vector<Channel> channel_list = {};
};

// A call of the peer policy `call`. An ICE agent makes an allocation for each of its networks, so a
// leg (a side of a call) may have several, and is known by the relayed addresses of them all.
struct CallInfo {
  std::string name;
  bool armed = false;
  std::array<std::vector<TransportAddress>, 2> relayed;  // by side; none: no leg there
};

// A leg has got an allocation, or has lost one (or one family of it).
struct LegChange {
  std::string_view call;
  uint8_t side = 0;  // 0 or 1
  bool lost = false;
  std::vector<TransportAddress> relayed;  // all that it has now
};

// Sums since the start; each request counts once.
struct ServerCounters {
  uint64_t requests = 0;
  uint64_t allocations_created = 0;
  uint64_t allocations_ended = 0;
  uint64_t allocations_expired = 0;
  uint64_t permissions_created = 0;
  uint64_t channels_created = 0;
  uint64_t authenticated = 0;
  uint64_t auth_failures = 0;
  uint64_t stale_nonces = 0;
  std::array<uint64_t, 700> error_responses = {};  // by error code
  std::array<uint64_t, kCountOf<Discard>> discards = {};
  std::array<uint64_t, kCountOf<Refusal>> refusals = {};
};

struct DrainState {
  bool draining = false;
  std::optional<MonotonicMs> deadline;  // when what is left is ended
  bool for_good = false;
};

class Server {
 public:
  // Bytes that an answer's buffer must hold: the largest answer, or a datagram with its wrapping.
  static constexpr size_t kMaxDatagram = 65536;
  static constexpr size_t kMaxWrapping = 128;

  // `options` must be valid (ServerOptions::Validate). `plane` must outlive the server.
  Server(ServerOptions options, ForwardingPlane& plane);
  ~Server();
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;

  // A datagram that arrived at a listening address. `buffer` is where an answer is built; it must
  // hold datagram.size() + kMaxWrapping bytes, 2048 at least, and must not overlap the datagram.
  Outcome HandleClientDatagram(const ClientPath& path, std::span<const uint8_t> datagram,
                               const Now& now, std::span<uint8_t> buffer);

  // A datagram from `peer` that arrived at a relayed address.
  Outcome HandlePeerDatagram(const TransportAddress& relayed, const TransportAddress& peer,
                             std::span<const uint8_t> datagram, const Now& now,
                             std::span<uint8_t> buffer);

  // An ICMP error about a datagram that went from `relayed` to `peer` (RFC 8656, section 11.5):
  // a Data indication with an ICMP attribute for the client, if the peer has a permission.
  Outcome HandlePeerError(const TransportAddress& relayed, const TransportAddress& peer,
                          const IcmpError& error, const Now& now, std::span<uint8_t> buffer);

  // Ends what has expired, looking at no more than `budget` allocations (and a quarter as many for
  // Reconfigure(), where there is need). Call it often; a full round over all allocations takes
  // several calls. Data never flows past its end in any case.
  void Tick(const Now& now, uint32_t budget = 64);

  // Calls (policy `call`). A call that has no leg yet may be armed: it is remembered, with a bound
  // on how many and for how long. A disarmed call keeps its legs but nothing flows; an ended one
  // loses them. INVALID_ARGUMENT (not a call id: relay/turn/call_name.h), NOT_FOUND,
  // FAILED_PRECONDITION (another policy), RESOURCE_EXHAUSTED.
  absl::Status ArmCall(std::string_view call, const Now& now);
  absl::Status DisarmCall(std::string_view call, const Now& now);
  absl::Status EndCall(std::string_view call, const Now& now);

  // `observer` is told of each change to a leg of a call, in order, from within the call into the
  // server that made it; it must not call the server itself. Nothing: nobody is told.
  void ObserveLegs(std::function<void(const LegChange&)> observer);
  absl::StatusOr<CallInfo> FindCall(std::string_view call, const Now& now) const;
  // Visits the calls among `budget` places of the table from `first` on, and returns the place to
  // go on from: 0 when there are no more. A call that stands throughout a round is visited once.
  uint32_t ForEachCall(uint32_t first, uint32_t budget, const Now& now,
                       const std::function<void(const CallInfo&)>& visit) const;

  // Ends an allocation at once, as its client would. NOT_FOUND if there is none.
  absl::Status EndAllocation(LegId id, const Now& now);

  // Visits, in the order of their ids, the allocations among the `budget` ids from `first` on, and
  // returns the id to go on from: 0 when there are no more. One that stands throughout a round is
  // visited once. With `bindings`, told of its permissions and channels too.
  LegId ForEachAllocation(LegId first, uint32_t budget, bool bindings,
                          const std::function<void(const AllocationInfo&)>& visit) const;

  // Brings into force what may change while the server runs: at once for all that is asked for from
  // now on. Allocations go on with the credentials that they have; who holds more than a new limit
  // keeps it. What a change means for allocations that stand is brought about by Tick(), within
  // four of its rounds: permissions and channels to peers that aren't allowed any more end, and
  // with the first quota and the first rate of users, it is found out whose all are.
  // INVALID_ARGUMENT as ServerOptions::Validate(), FAILED_PRECONDITION if anything else differs
  // (`options().Reloaded(options) != options`): then nothing has changed.
  absl::Status Reconfigure(const ServerOptions& options);

  // New allocations are refused from now on: with 300 (Try Alternate) if ServerOptions::alternates
  // has an address of the client's family, else with 508. All that stands goes on as before. With
  // kCall that is whole calls: what is armed or has a leg here may get its other leg, or a leg of
  // it another allocation; calls that the server doesn't know can't be armed. What is left at the
  // deadline is ended. Again: the deadline is replaced. `for_good`: nothing takes that back any
  // more.
  void Drain(std::optional<MonotonicMs> deadline, bool for_good = false);
  void Undrain();
  const DrainState& drain() const;

  uint32_t allocation_count() const;
  // Those that are armed and wait for a leg included.
  uint32_t call_count() const;
  uint32_t armed_call_count() const;
  // Ports taken from the pool (allocations and reservations), and ports that those hold: always
  // equal, or a port has leaked.
  uint32_t ports_in_use() const;
  uint32_t ports_held() const;
  const ServerCounters& counters() const;
  const ServerOptions& options() const;

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace sotto::relay
