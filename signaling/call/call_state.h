// SPDX-License-Identifier: Apache-2.0
// What the switchboard knows of a call and of those who may be called. Its own header, and nobody
// else's: switchboard.h is what others see.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/container/inlined_vector.h"
#include "relay/base/ip_address.h"
#include "signaling/call/switchboard.h"

namespace sotto::signaling::calls {

enum class Phase {
  kDeciding,
  kRinging,
  kQuiet,  // decided, and rings nowhere: silenced, declined, or one too many
  kConnected,
};

struct Call {
  Call(const CallId& call_id, VerifiedAccount by, AccountId to)
      : id(call_id), caller(std::move(by)), recipient(std::move(to)) {}

  const CallId id;
  const VerifiedAccount caller;
  const AccountId recipient;
  std::string place_id;
  int64_t placed_unix_s = 0;
  RelayIndex relay = 0;
  bool had_token = false;

  Phase phase = Phase::kDeciding;
  bool over = false;    // only with kDeciding: it ended before its decision, which is awaited
  bool misses = false;  // it was to ring: if nobody answers, the recipient misses a call
  bool declined = false;
  bool protect_address = false;
  std::optional<TokenSerial> serial;
  std::string offer;   // while it may ring
  std::string answer;  // once connected

  SessionId caller_session = 0;
  absl::InlinedVector<SessionId, 2> offered;   // the recipient's sessions that had an IncomingCall
  SessionId acceptor = 0;                      // which of them has accepted
  std::array<uint32_t, 2> peer_messages = {};  // by CallSideName
  std::array<std::vector<TransportAddress>, 2> legs;  // by CallSideName, once connected

  // The key in `deadlines_`. `order` makes it unique, and earlier calls come first.
  MonotonicMs deadline = 0;
  uint64_t order = 0;
};

struct Session {
  explicit Session(Party of) : party(std::move(of)) {}
  const Party party;
  std::vector<Call*> calls;  // that it has placed or was offered, and that aren't over
};

struct Account {
  absl::InlinedVector<SessionId, 2> sessions;
  std::vector<Call*> ringing;  // as the recipient; the oldest first
  uint32_t placed = 0;         // as the caller
  bool empty() const { return sessions.empty() && ringing.empty() && placed == 0; }
};

}  // namespace sotto::signaling::calls
