// SPDX-License-Identifier: Apache-2.0
// A TURN client over UDP (RFC 8656) without sockets: datagrams and the time are passed in, and what
// is to be sent goes to a callback. It keeps its allocation, permissions and channels alive until
// Release(). One thread only.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "relay/base/ip_address.h"
#include "relay/stun/message.h"
#include "tools/turn_client/credentials.h"

namespace sotto::tools {

// Retransmission of requests (RFC 8489, section 6.2.1). With the defaults a request is sent up to
// seven times and given up after 39.5 seconds.
struct Retransmission {
  uint32_t initial_rto_ms = 500;
  uint32_t max_sends = 7;        // Rc
  uint32_t last_wait_rtos = 16;  // Rm, in units of initial_rto_ms

  // How long an unanswered request is waited for.
  uint64_t GiveUpAfterMs() const;
};

struct TurnClientOptions {
  TransportAddress server = {};  // for messages; the caller sends
  Credentials credentials = {};
  // Of the relayed addresses: one family, or both (ADDITIONAL-ADDRESS-FAMILY).
  std::vector<IpFamily> families = {IpFamily::kV4};
  uint32_t lifetime_s = 600;  // asked for; the server's answer is what counts
  Retransmission retransmission = {};
};

class TurnClient {
 public:
  enum class State : uint8_t {
    kIdle,
    kAllocating,
    kAllocated,
    kReleasing,
    kReleased,
    kFailed,  // there is no allocation; see status()
  };

  // Data from a peer, as the server delivered it.
  struct PeerData {
    TransportAddress peer;
    std::span<const uint8_t> data;  // views the datagram
    bool on_channel = false;
  };

  // `send` gets one datagram for the server at a time; it views a buffer that lives until `send`
  // returns.
  TurnClient(TurnClientOptions options, std::function<void(std::span<const uint8_t>)> send);

  // kIdle -> kAllocating -> kAllocated or kFailed.
  void Allocate(uint64_t now_ms);
  // For kAllocated. Both are renewed until the allocation ends. `number` is 0x4000 to 0x4FFF.
  void CreatePermission(const IpAddress& peer, uint64_t now_ms);
  void BindChannel(uint16_t number, const TransportAddress& peer, uint64_t now_ms);
  // Ends the allocation (Refresh with lifetime 0), also one that is still being made: its outcome
  // is waited for. kReleased when the server has said so, or at once if there is none.
  void Release(uint64_t now_ms);

  // A datagram from the server. Data for the caller if it was ChannelData or a Data indication on a
  // known channel or permission; nothing if it was a response, or noise.
  std::optional<PeerData> HandleDatagram(std::span<const uint8_t> datagram, uint64_t now_ms);

  // Retransmits, renews and gives up. Due at deadline_ms() (UINT64_MAX: nothing to wait for).
  void Poll(uint64_t now_ms);
  uint64_t deadline_ms() const { return deadline_ms_; }

  State state() const { return state_; }
  // The first failure, in one sentence with a remedy. After a failed permission or channel the
  // allocation still stands, and Release() ends it.
  const absl::Status& status() const { return status_; }
  // The STUN error code that status() is about; 0 if it is about something else.
  int error_code() const { return error_code_; }
  // Whether everything that was asked for has been granted.
  bool settled() const { return transactions_.empty(); }
  // The server's view of this client.
  const std::optional<TransportAddress>& mapped_address() const { return mapped_; }
  std::optional<TransportAddress> relayed_address(IpFamily family) const;
  uint32_t lifetime_s() const { return lifetime_s_; }
  // The algorithm that requests are authenticated with; nothing before the server has asked.
  std::optional<relay::PasswordAlgorithm> algorithm() const;
  // Responses that were thrown away because their integrity was missing or wrong.
  uint64_t discarded_responses() const { return discarded_responses_; }

  // Writes a Send indication (RFC 8656, section 11.1); returns its size, or 0 if `out` is too small
  // (48 bytes and the data, rounded up to four, are enough).
  size_t EncodeSendIndication(const TransportAddress& peer, std::span<const uint8_t> data,
                              std::span<uint8_t> out);

 private:
  struct Transaction {
    relay::StunMethod method{};
    relay::TransactionId id{};
    // What is asked, to ask again when the nonce was stale.
    TransportAddress peer;
    uint16_t channel = 0;
    uint32_t lifetime_s = 0;

    std::vector<uint8_t> request;
    bool authenticated = false;
    uint32_t challenges = 0;  // 401 and 438 so far
    uint32_t sends = 0;
    uint64_t first_sent_ms = 0;
    uint64_t next_ms = 0;
  };
  // What the server's last 401 or 438 said, and the key made from it.
  struct Challenge {
    std::string realm;
    std::string nonce;
    std::vector<uint8_t> password_algorithms;  // the attribute's value; empty: none
    relay::PasswordAlgorithm algorithm = relay::PasswordAlgorithm::kMd5;
    bool use_sha256_integrity = false;
    bool use_user_hash = false;
    std::vector<uint8_t> key;
  };
  struct Channel {
    TransportAddress peer;
    uint64_t renew_ms = 0;
  };

  void Begin(Transaction transaction, uint64_t now_ms);
  void Encode(Transaction& transaction);
  void SendAgain(Transaction& transaction, uint64_t now_ms);
  void HandleResponse(const relay::StunMessage& message, uint64_t now_ms);
  void HandleError(size_t index, const relay::StunMessage& message, int code, uint64_t now_ms);
  void HandleSuccess(const Transaction& transaction, const relay::StunMessage& message,
                     uint64_t now_ms);
  void HandleAllocated(const relay::StunMessage& message, uint64_t now_ms);
  std::optional<PeerData> HandleIndication(const relay::StunMessage& message) const;
  bool TakeChallenge(const relay::StunMessage& message);
  bool HasValidIntegrity(const relay::StunMessage& message) const;
  void RenewWhatIsDue(uint64_t now_ms);
  // The transaction couldn't be completed.
  void Fail(const Transaction& transaction, absl::Status status);
  absl::Status Describe(const Transaction& transaction, int code, std::string_view reason) const;
  void UpdateDeadline();

  TurnClientOptions options_;
  std::function<void(std::span<const uint8_t>)> send_;
  State state_ = State::kIdle;
  absl::Status status_;
  int error_code_ = 0;
  bool release_wanted_ = false;

  std::optional<Challenge> challenge_;
  std::vector<Transaction> transactions_;
  std::optional<TransportAddress> mapped_;
  std::optional<TransportAddress> relayed_v4_;
  std::optional<TransportAddress> relayed_v6_;
  uint32_t lifetime_s_ = 0;
  uint64_t renew_ms_ = UINT64_MAX;             // the allocation
  std::map<IpAddress, uint64_t> permissions_;  // to the time of renewal
  std::map<uint16_t, Channel> channels_;
  uint64_t deadline_ms_ = UINT64_MAX;
  uint64_t discarded_responses_ = 0;
  relay::TransactionId indication_id_{};  // random, then counted up
};

}  // namespace sotto::tools
