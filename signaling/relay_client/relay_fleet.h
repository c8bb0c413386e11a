// SPDX-License-Identifier: Apache-2.0
// The relays that media goes through, as signaling sees them: which are well, which has the least
// to do, credentials for the legs of a call, and arming.
//
// Talks to each sotto-relayd over gRPC (relay/api/relay.proto) on threads of its own; everything
// here is called from one thread, and calls back through `post` on that thread. A relay that is
// gone costs nothing but the media of its calls: what is to be told to it is tried again until its
// time is over.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "relay/base/ip_address.h"
#include "relay/daemon/tls_files.h"
#include "signaling/identity/account.h"

namespace sotto::signaling {

struct RelayOptions {
  std::string name;     // in logs and metrics
  std::string control;  // "unix:/run/sotto/relayd.sock", or "host:port" with mutual TLS
  // PEM files, for "host:port" alone: whom to trust, and whom to be.
  std::string tls_ca;
  std::string tls_cert;
  std::string tls_key;
  std::vector<std::string> urls;  // for clients: "turn:192.0.2.10:3478?transport=udp"
  std::string secret;             // a [turn.auth] shared secret of the relay
  bool operator==(const RelayOptions&) const = default;
};

// With what its files hold.
struct RelayEndpoint {
  RelayOptions options;
  TlsPem tls;  // empty with "unix:"
};

// INVALID_ARGUMENT: there is none, a file that can't be read, an address that isn't one.
absl::StatusOr<std::vector<RelayEndpoint>> LoadRelays(const std::vector<RelayOptions>& relays);

enum class CallSideName : uint8_t { kCaller, kRecipient };  // "a" and "b" in credentials

struct RelayCredential {
  std::vector<std::string> urls;
  std::string username;    // "EXPIRY:CALL/a", CALL the base64url of the CallId, 22 characters
  std::string credential;  // 28 characters
};

// One that the fleet has or had: those that it is made with from 0, in their order.
using RelayIndex = uint32_t;

struct RelayHealth {
  bool well = false;  // answered lately, runs the policy `call`, has room, and doesn't drain
  uint32_t allocations = 0;
  uint32_t max_allocations = 0;
  std::string problem =
      {};  // why it isn't well, in a few words and with what to do; empty if it is
};

// What became of a relay's requests to arm or to end a call. Sums since the start.
struct RelayRequests {
  uint64_t done = 0;
  uint64_t refused = 0;     // by an answer; tried again
  uint64_t unanswered = 0;  // tried again once the relay answers
};

// A relay for an operator.
struct RelayReport {
  std::string name;
  RelayHealth health;
  RelayRequests armed;
  RelayRequests ended;
  uint64_t given_up = 0;  // calls that it was to end, and hasn't been told of for an hour
};

// The relayed addresses of a leg, of all its allocations, as its relay tells them.
struct LegAddresses {
  CallId call = {};
  CallSideName side = CallSideName::kCaller;
  std::vector<TransportAddress> relayed;  // empty: the leg has ended
};

class RelayFleet {
 public:
  using Post = std::function<void(std::function<void()>)>;
  using OnLeg = std::function<void(const LegAddresses&)>;

  // `relays` has one at least. Connections are made, and made again, in the background.
  static std::unique_ptr<RelayFleet> Create(std::vector<RelayEndpoint> relays, Post post,
                                            OnLeg on_leg);
  virtual ~RelayFleet() = default;

  // Where a new call goes: the well relay with the least share of its capacity taken, calls that
  // were placed since its last report included; if none is well, any one, as the caller must not
  // notice. Never waits.
  virtual RelayIndex Choose() = 0;

  // Good for `valid_s` from `unix_s`, in which a leg may be allocated.
  virtual RelayCredential Mint(RelayIndex relay, const CallId& call, CallSideName side,
                               int64_t unix_s, uint32_t valid_s) const = 0;

  // Arms the call; from then on OnLeg tells its legs, those that stand at once. Tried until it
  // works or EndCall() comes; again when the relay has been gone.
  virtual void ArmCall(RelayIndex relay, const CallId& call) = 0;
  // Disarms the call and ends its legs. What OnLeg was on its way to tell may still come.
  virtual void EndCall(RelayIndex relay, const CallId& call) = 0;

  virtual RelayHealth Health(RelayIndex relay) const = 0;

  // From now on these are the relays. One that keeps name and control keeps its calls and its
  // index: new certificates are for connections to come, new `urls` and `secret` for credentials to
  // come. One that isn't among them gets no more calls, and is let go of once it has none left, but
  // not before `linger`, in which a call that was placed there may still be armed.
  virtual void SetRelays(std::vector<RelayEndpoint> relays, std::chrono::seconds linger) = 0;

  // Any thread: of those that are the relays now, in their order.
  virtual std::vector<RelayReport> Reports() const = 0;
};

}  // namespace sotto::signaling
