// SPDX-License-Identifier: Apache-2.0
// STUN messages (RFC 8489, section 5): a view that parses without copying, and a builder that
// writes into a buffer of the caller's. Neither allocates.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

#include "relay/base/ip_address.h"
#include "relay/stun/attributes.h"

namespace sotto::relay {

constexpr size_t kStunHeaderSize = 20;
constexpr uint32_t kStunMagicCookie = 0x2112A442;

// RFC 8489, section 18.2 and RFC 8656, section 17.
enum class StunMethod : uint16_t {
  kBinding = 0x001,
  kAllocate = 0x003,
  kRefresh = 0x004,
  kSend = 0x006,
  kData = 0x007,
  kCreatePermission = 0x008,
  kChannelBind = 0x009,
};

enum class StunClass : uint8_t { kRequest = 0, kIndication = 1, kSuccess = 2, kError = 3 };

using TransactionId = std::array<uint8_t, 12>;

// The 14-bit type field of a method and class (RFC 8489, section 5, figure 3).
constexpr uint16_t EncodeStunType(StunMethod method, StunClass message_class) {
  const uint16_t m = static_cast<uint16_t>(method);
  const uint16_t c = static_cast<uint16_t>(message_class);
  return static_cast<uint16_t>((m & 0x000f) | ((m & 0x0070) << 1) | ((m & 0x0f80) << 2) |
                               ((c & 1) << 4) | ((c & 2) << 7));
}

struct StunAttribute {
  StunAttributeType type{};
  std::span<const uint8_t> value;  // without padding
  size_t offset = 0;               // of the attribute's header, from the start of the message
};

// A well-formed STUN message. Views the bytes that it was parsed from.
//
// Well-formed: first two bits zero, magic cookie, a length that is a multiple of four and equals
// what the datagram holds, and attributes that fill it exactly. Behind MESSAGE-INTEGRITY only
// MESSAGE-INTEGRITY-SHA256 and FINGERPRINT are seen, behind MESSAGE-INTEGRITY-SHA256 only
// FINGERPRINT, and behind FINGERPRINT nothing (RFC 8489, sections 14.5 to 14.7), so nothing that
// an attacker appended to an authenticated message is ever seen.
class StunMessage {
 public:
  static std::optional<StunMessage> Parse(std::span<const uint8_t> datagram);

  StunMethod method() const { return method_; }
  StunClass message_class() const { return class_; }
  const TransactionId& transaction_id() const { return transaction_id_; }
  std::span<const uint8_t> bytes() const { return bytes_; }

  // The first attribute of the type; later ones are ignored (RFC 8489, section 14).
  std::optional<StunAttribute> Find(StunAttributeType type) const;
  bool Has(StunAttributeType type) const { return Find(type).has_value(); }

  // Calls `visit(const StunAttribute&)` for each attribute in order; stops when it returns false.
  template <typename Visitor>
  void ForEach(Visitor visit) const {
    Position position;
    StunAttribute attribute;
    while (Next(position, attribute)) {
      if (!visit(attribute)) return;
    }
  }

  // Whether every attribute is one that a relay knows, or need not know (RFC 8489, section 14).
  bool AllUnderstood() const {
    bool understood = true;
    ForEach([&](const StunAttribute& attribute) {
      understood = IsUnderstood(attribute.type);
      return understood;
    });
    return understood;
  }

  // Typed reads: nothing if the attribute is missing or its value malformed. Tell the two apart
  // with Has().
  std::optional<uint32_t> FindU32(StunAttributeType type) const;
  std::optional<std::string_view> FindText(StunAttributeType type) const;
  std::optional<TransportAddress> FindXorAddress(StunAttributeType type) const;

 private:
  struct Position {
    size_t offset = kStunHeaderSize;
    uint8_t rank = 0;  // of the last of the closing attributes that has been passed; 0: none
  };

  StunMessage() = default;
  // A set of attribute types, a bit for each: two types may share one.
  static constexpr uint64_t BitOf(uint16_t type) { return uint64_t{1} << (type & 63); }
  // Reads the next attribute that may be seen and moves on; false at the end.
  bool Next(Position& position, StunAttribute& attribute) const;

  std::span<const uint8_t> bytes_;
  StunMethod method_{};
  StunClass class_{};
  TransactionId transaction_id_{};
  uint64_t types_ = 0;  // of all attributes: most that are asked for are not there
};

// Whether a datagram at a listening port may be STUN: first two bits zero and the magic cookie.
bool LooksLikeStun(std::span<const uint8_t> datagram);

// Builds one message into a caller's buffer. Every byte is written, padding included (zero).
// When the buffer is too small the builder has failed: Finish() returns an empty span.
//
// Order: attributes, then AddIntegrity or AddIntegritySha256 (or both, in this order), then
// AddFingerprint. Each sets the length field as its RFC wants it before it computes.
class StunBuilder {
 public:
  StunBuilder(std::span<uint8_t> buffer, StunMethod method, StunClass message_class,
              const TransactionId& transaction_id);

  void Add(StunAttributeType type, std::span<const uint8_t> value);
  void AddText(StunAttributeType type, std::string_view value);
  void AddU8(StunAttributeType type, uint8_t value);  // one byte and three of padding (RFFU zero)
  void AddU32(StunAttributeType type, uint32_t value);
  void AddEmpty(StunAttributeType type) { Add(type, {}); }
  void AddXorAddress(StunAttributeType type, const TransportAddress& address);
  // As MAPPED-ADDRESS and ALTERNATE-SERVER have it: in the clear.
  void AddAddress(StunAttributeType type, const TransportAddress& address);
  // ERROR-CODE (RFC 8489, section 14.8). `code` is 300 to 699.
  void AddError(int code, std::string_view reason);
  void AddIntegrity(std::span<const uint8_t> key);
  // `mac_size` is 16 to 32, a multiple of 4 (RFC 8489, section 14.6), or the builder has failed.
  void AddIntegritySha256(std::span<const uint8_t> key, size_t mac_size = 32);
  void AddFingerprint();

  // The whole message, a view of the buffer; empty if something did not fit.
  std::span<uint8_t> Finish();

 private:
  // Reserves an attribute of `size` value bytes and returns its value, or an empty span.
  std::span<uint8_t> Reserve(StunAttributeType type, size_t size);
  void SetLength();

  std::span<uint8_t> buffer_;
  size_t size_ = 0;
  bool failed_ = false;
};

// The value of an XOR-* address attribute for a message with `transaction_id`
// (RFC 8489, section 14.2): 8 or 20 bytes in `out`; returns the size.
size_t EncodeXorAddress(const TransportAddress& address, const TransactionId& transaction_id,
                        std::span<uint8_t, 20> out);
std::optional<TransportAddress> DecodeXorAddress(std::span<const uint8_t> value,
                                                 const TransactionId& transaction_id);

}  // namespace sotto::relay
