// SPDX-License-Identifier: Apache-2.0
// The seam between the TURN server and what moves packets.
//
// The server is the only caller, from one thread. It says what may flow as three kinds of plain
// value: a leg (an allocation), its permissions and its channels. A plane compiles them into
// whatever its workers read. Everything carries the moment at which it ends, so a plane may stop a
// flow by itself; the server removes what has ended soon after.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>

#include "absl/status/status.h"
#include "relay/base/clock.h"
#include "relay/base/ip_address.h"

namespace sotto::relay {

// An allocation's slot in the server. Names one leg from its first Upsert until Remove.
using LegId = uint32_t;

// How the client is connected. Part of a leg's identity; "to the client" is a next hop that isn't
// always an Ethernet header.
enum class ClientTransport : uint8_t { kUdp = 17, kTcp = 6, kTls = 56 };

// The 5-tuple of RFC 8656, section 3.
struct ClientPath {
  TransportAddress client;
  TransportAddress server;  // the listening address that the client uses
  ClientTransport transport = ClientTransport::kUdp;

  bool operator==(const ClientPath&) const = default;
  template <typename H>
  friend H AbslHashValue(H h, const ClientPath& p) {
    return H::combine(std::move(h), p.client, p.server, p.transport);
  }
};

// A call and the side of it that a leg stands on; `number` 0 is "no call".
struct CallSide {
  uint32_t number = 0;
  uint8_t side = 0;    // 0 or 1
  bool armed = false;  // nothing flows until then

  bool operator==(const CallSide&) const = default;
};

// Whether data may pass between legs of these calls: legs of no call reach each other as their
// permissions say; a leg of a call reaches the other side of the same, armed call and nothing else.
constexpr bool CallsConnect(const CallSide& from, const CallSide& to) {
  if (from.number == 0 && to.number == 0) return true;
  return from.number == to.number && from.side != to.side && from.armed && to.armed;
}

// The ICMP attribute of RFC 8656, section 18.13. `type` is of ICMP or ICMPv6 as the peer is.
struct IcmpError {
  uint8_t type = 0;
  uint8_t code = 0;
  // The MTU with "fragmentation needed" and "packet too big"; else not looked at.
  uint32_t data = 0;
};

// A user of several legs, so that they share what is one user's. 1 to as many as there are legs; 0:
// nobody.
using UserNumber = uint32_t;

struct ForwardingLeg {
  LegId id = 0;
  ClientPath path;
  std::optional<TransportAddress> relayed_v4;  // one of the two at least
  std::optional<TransportAddress> relayed_v6;
  CallSide call;
  UserNumber user = 0;  // given from the first rate of users on
  MonotonicMs expires_at = 0;
};

// The client may exchange datagrams with any port of `peer`.
struct ForwardingPermission {
  LegId leg = 0;
  IpAddress peer;
  MonotonicMs expires_at = 0;
};

struct ForwardingChannel {
  LegId leg = 0;
  uint16_t number = 0;  // 0x4000-0x4FFF
  TransportAddress peer;
  MonotonicMs expires_at = 0;
};

// How much may pass in a second, and as much again at once; 0: no bound. Packets are counted where
// they come in, those from a leg's client and those from its peers outside apart, so that a flood
// from one side leaves the other its share. A packet from leg to leg counts for the one that sends.
struct ForwardingRates {
  uint32_t packets_per_leg = 0;
  uint64_t bytes_per_user = 0;  // of IP packets

  bool operator==(const ForwardingRates&) const = default;
};

class ForwardingPlane {
 public:
  virtual ~ForwardingPlane() = default;

  // From the next packets on. There are no rates before.
  virtual void SetRates(const ForwardingRates& rates) = 0;

  // Adds, or replaces what has the same key (leg; leg and peer; leg and number). A leg comes before
  // what belongs to it. When a table is full: RESOURCE_EXHAUSTED, and nothing has changed. A change
  // of `expires_at` and `user` alone never fails.
  virtual absl::Status Upsert(const ForwardingLeg& leg) = 0;
  virtual absl::Status Upsert(const ForwardingPermission& permission) = 0;
  virtual absl::Status Upsert(const ForwardingChannel& channel) = 0;

  // Removes the leg with its permissions and channels. What is unknown is ignored.
  virtual void RemoveLeg(LegId leg) = 0;
  virtual void RemovePermission(LegId leg, const IpAddress& peer) = 0;
  virtual void RemoveChannel(LegId leg, uint16_t number) = 0;

  // Visits every leg that the plane holds, in no order.
  virtual void List(const std::function<void(const ForwardingLeg&)>& visit) const = 0;
};

// Forwards nothing: for servers without a dataplane, and for tests.
class NullForwardingPlane final : public ForwardingPlane {
 public:
  void SetRates(const ForwardingRates&) override {}
  absl::Status Upsert(const ForwardingLeg&) override { return absl::OkStatus(); }
  absl::Status Upsert(const ForwardingPermission&) override { return absl::OkStatus(); }
  absl::Status Upsert(const ForwardingChannel&) override { return absl::OkStatus(); }
  void RemoveLeg(LegId) override {}
  void RemovePermission(LegId, const IpAddress&) override {}
  void RemoveChannel(LegId, uint16_t) override {}
  void List(const std::function<void(const ForwardingLeg&)>&) const override {}
};

}  // namespace sotto::relay
