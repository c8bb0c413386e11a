// SPDX-License-Identifier: Apache-2.0
// A TURN client for tests: it builds authenticated requests byte by byte, hands them to a Server,
// and takes the answers apart. Its clock is the test's.
#pragma once

#include <cstring>
#include <functional>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "relay/auth/credential.h"
#include "relay/base/big_endian.h"
#include "relay/stun/integrity.h"
#include "relay/stun/message.h"
#include "relay/turn/server.h"
#include "relay/wire/channel_data.h"

namespace sotto::relay {

using Bytes = std::vector<uint8_t>;

// What came back for a datagram: a copy, taken apart.
struct Reply {
  Outcome outcome;  // `bytes` views `bytes` below
  Bytes bytes;
  int error = 0;  // ERROR-CODE; 0 if there is none

  Reply() = default;
  explicit Reply(const Outcome& o) : outcome(o), bytes(o.bytes.begin(), o.bytes.end()) {
    outcome.bytes = bytes;
    if (const auto m = message()) {
      if (const auto code = m->Find(StunAttributeType::kErrorCode);
          code && code->value.size() > 3) {
        error = code->value[2] * 100 + code->value[3];
      }
    }
  }
  Reply(const Reply& other) : Reply(other.outcome) {}
  Reply& operator=(const Reply& other) {
    bytes = other.bytes;
    outcome = other.outcome;
    outcome.bytes = bytes;
    error = other.error;
    return *this;
  }

  std::optional<StunMessage> message() const { return StunMessage::Parse(bytes); }
  bool answered() const { return outcome.kind == Outcome::Kind::kToClient; }
  bool success() const {
    const auto m = message();
    return m && m->message_class() == StunClass::kSuccess;
  }
  std::optional<uint32_t> lifetime() const {
    const auto m = message();
    return m ? m->FindU32(StunAttributeType::kLifetime) : std::nullopt;
  }
  // Every XOR-RELAYED-ADDRESS in turn.
  std::vector<TransportAddress> relayed() const {
    std::vector<TransportAddress> found;
    const auto m = message();
    if (!m) return found;
    m->ForEach([&](const StunAttribute& attribute) {
      if (attribute.type == StunAttributeType::kXorRelayedAddress) {
        found.push_back(*DecodeXorAddress(attribute.value, m->transaction_id()));
      }
      return true;
    });
    return found;
  }
};

class TestClient {
 public:
  using Extra = std::function<void(StunBuilder&)>;

  TestClient(Server& server, const ClientPath& path, std::string username, std::string password)
      : server_(&server),
        path_(path),
        username_(std::move(username)),
        password_(std::move(password)) {
    static uint64_t clients = 0;
    next_id_ = ++clients << 32;
  }

  // How requests are authenticated.
  bool sha256 = false;     // SHA-256 key and MESSAGE-INTEGRITY-SHA256, else MD5 and SHA-1
  bool user_hash = false;  // USERHASH instead of USERNAME
  bool fingerprint = false;
  bool integrity = true;
  std::string realm = "example.org";
  std::string nonce;
  Bytes algorithms;  // PASSWORD-ALGORITHMS as it was offered

  const ClientPath& path() const { return path_; }
  void set_credentials(std::string username, std::string password) {
    username_ = std::move(username);
    password_ = std::move(password);
  }
  CredentialKey key() const {
    return {sha256 ? PasswordAlgorithm::kSha256 : PasswordAlgorithm::kMd5, username_, realm,
            password_};
  }

  TransactionId NewId() {
    TransactionId id = {};
    StoreBe64(&id[4], next_id_++);
    return id;
  }

  Bytes Build(StunMethod method, const TransactionId& id, const Extra& extra = {},
              StunClass message_class = StunClass::kRequest) const {
    Bytes bytes(4096);
    StunBuilder builder(bytes, method, message_class, id);
    if (extra) extra(builder);
    if (message_class == StunClass::kRequest && integrity) {
      if (user_hash) {
        builder.Add(StunAttributeType::kUserHash, MakeUserHash(username_, realm));
      } else {
        builder.AddText(StunAttributeType::kUsername, username_);
      }
      builder.AddText(StunAttributeType::kRealm, realm);
      builder.AddText(StunAttributeType::kNonce, nonce);
      if (sha256) {
        builder.Add(StunAttributeType::kPasswordAlgorithms, algorithms);
        const uint8_t chosen[] = {0, 2, 0, 0};
        builder.Add(StunAttributeType::kPasswordAlgorithm, chosen);
        builder.AddIntegritySha256(key().bytes());
      } else {
        builder.AddIntegrity(key().bytes());
      }
    }
    if (fingerprint) builder.AddFingerprint();
    bytes.resize(builder.Finish().size());
    return bytes;
  }

  Reply SendRaw(std::span<const uint8_t> datagram, const Now& now) {
    Bytes buffer(datagram.size() + 4096, 0xAA);
    return Reply(server_->HandleClientDatagram(path_, datagram, now, buffer));
  }
  Reply Request(StunMethod method, const Now& now, const Extra& extra = {}) {
    return SendRaw(Build(method, NewId(), extra), now);
  }

  // Sends an Allocate without credentials and keeps the challenge.
  Reply Challenge(const Now& now) {
    const bool with_integrity = std::exchange(integrity, false);
    const Reply reply = Request(StunMethod::kAllocate, now);
    integrity = with_integrity;
    Learn(reply);
    return reply;
  }
  // Takes nonce and algorithms from a 401 or 438.
  void Learn(const Reply& reply) {
    const auto message = reply.message();
    if (!message) return;
    if (const auto text = message->FindText(StunAttributeType::kNonce)) nonce = *text;
    if (const auto offered = message->Find(StunAttributeType::kPasswordAlgorithms)) {
      algorithms.assign(offered->value.begin(), offered->value.end());
    }
  }

  static void AddUdp(StunBuilder& b) { b.AddU8(StunAttributeType::kRequestedTransport, 17); }

  Reply Allocate(const Now& now, const Extra& extra = {}) {
    if (nonce.empty()) Challenge(now);
    return Request(StunMethod::kAllocate, now, [&](StunBuilder& b) {
      AddUdp(b);
      if (extra) extra(b);
    });
  }
  Reply Refresh(const Now& now, std::optional<uint32_t> seconds = std::nullopt,
                std::optional<IpFamily> family = std::nullopt) {
    return Request(StunMethod::kRefresh, now, [&](StunBuilder& b) {
      if (seconds) b.AddU32(StunAttributeType::kLifetime, *seconds);
      if (family) {
        b.AddU8(StunAttributeType::kRequestedAddressFamily, static_cast<uint8_t>(*family));
      }
    });
  }
  Reply Permit(const Now& now, const std::vector<TransportAddress>& peers) {
    return Request(StunMethod::kCreatePermission, now, [&](StunBuilder& b) {
      for (const TransportAddress& peer : peers) {
        b.AddXorAddress(StunAttributeType::kXorPeerAddress, peer);
      }
    });
  }
  Reply Bind(const Now& now, uint16_t channel, const TransportAddress& peer) {
    return Request(StunMethod::kChannelBind, now, [&](StunBuilder& b) {
      b.AddU32(StunAttributeType::kChannelNumber, uint32_t{channel} << 16);
      b.AddXorAddress(StunAttributeType::kXorPeerAddress, peer);
    });
  }
  Reply Send(const Now& now, const TransportAddress& peer, std::span<const uint8_t> data,
             bool dont_fragment = false) {
    return SendRaw(Build(
                       StunMethod::kSend, NewId(),
                       [&](StunBuilder& b) {
                         b.AddXorAddress(StunAttributeType::kXorPeerAddress, peer);
                         if (dont_fragment) b.AddEmpty(StunAttributeType::kDontFragment);
                         b.Add(StunAttributeType::kData, data);
                       },
                       StunClass::kIndication),
                   now);
  }
  Reply SendChannel(const Now& now, uint16_t channel, std::span<const uint8_t> data) {
    Bytes bytes(kChannelDataHeaderSize + data.size());
    WriteChannelDataHeader(bytes.data(), channel, static_cast<uint16_t>(data.size()));
    std::copy(data.begin(), data.end(), bytes.begin() + kChannelDataHeaderSize);
    return SendRaw(bytes, now);
  }

  // Whether an answer carries the integrity attribute that it should, and it is right.
  bool Trusts(const Reply& reply) const {
    const auto message = reply.message();
    if (!message) return false;
    return sha256 ? VerifyIntegritySha256(*message, key().bytes())
                  : VerifyIntegrity(*message, key().bytes());
  }

 private:
  Server* server_;
  ClientPath path_;
  std::string username_;
  std::string password_;
  uint64_t next_id_ = 0;
};

}  // namespace sotto::relay
