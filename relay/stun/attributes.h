// SPDX-License-Identifier: Apache-2.0
// Attribute types (RFC 8489, section 18.3; RFC 8656, section 18) and error codes.
#pragma once

#include <cstdint>

namespace sotto::relay {

enum class StunAttributeType : uint16_t {
  // Comprehension-required.
  kMappedAddress = 0x0001,
  kUsername = 0x0006,
  kMessageIntegrity = 0x0008,
  kErrorCode = 0x0009,
  kUnknownAttributes = 0x000A,
  kChannelNumber = 0x000C,
  kLifetime = 0x000D,
  kXorPeerAddress = 0x0012,
  kData = 0x0013,
  kRealm = 0x0014,
  kNonce = 0x0015,
  kXorRelayedAddress = 0x0016,
  kRequestedAddressFamily = 0x0017,
  kEvenPort = 0x0018,
  kRequestedTransport = 0x0019,
  kDontFragment = 0x001A,
  kMessageIntegritySha256 = 0x001C,
  kPasswordAlgorithm = 0x001D,
  kUserHash = 0x001E,
  kXorMappedAddress = 0x0020,
  kReservationToken = 0x0022,
  // ICE (RFC 8445): seen in Binding requests that reach a relay by mistake.
  kPriority = 0x0024,
  kUseCandidate = 0x0025,
  // Comprehension-optional.
  kAdditionalAddressFamily = 0x8000,
  kAddressErrorCode = 0x8001,
  kPasswordAlgorithms = 0x8002,
  kAlternateDomain = 0x8003,
  kIcmp = 0x8004,
  kSoftware = 0x8022,
  kAlternateServer = 0x8023,
  kFingerprint = 0x8028,
  // ADDITIONAL-ADDRESS-FAMILY as the draft numbered it; coturn's clients still send it so.
  kAdditionalAddressFamilyDraft = 0x8032,
};

constexpr bool IsComprehensionRequired(StunAttributeType type) {
  return static_cast<uint16_t>(type) < 0x8000;
}

// Whether a relay knows what the attribute means: what it doesn't, and must, is answered with 420.
constexpr bool IsUnderstood(StunAttributeType type) {
  switch (type) {
    case StunAttributeType::kMappedAddress:
    case StunAttributeType::kUsername:
    case StunAttributeType::kMessageIntegrity:
    case StunAttributeType::kErrorCode:
    case StunAttributeType::kUnknownAttributes:
    case StunAttributeType::kChannelNumber:
    case StunAttributeType::kLifetime:
    case StunAttributeType::kXorPeerAddress:
    case StunAttributeType::kData:
    case StunAttributeType::kRealm:
    case StunAttributeType::kNonce:
    case StunAttributeType::kXorRelayedAddress:
    case StunAttributeType::kRequestedAddressFamily:
    case StunAttributeType::kEvenPort:
    case StunAttributeType::kRequestedTransport:
    case StunAttributeType::kDontFragment:
    case StunAttributeType::kMessageIntegritySha256:
    case StunAttributeType::kPasswordAlgorithm:
    case StunAttributeType::kUserHash:
    case StunAttributeType::kXorMappedAddress:
    case StunAttributeType::kReservationToken:
      return true;
    default:
      return !IsComprehensionRequired(type);
  }
}

// PASSWORD-ALGORITHM values (RFC 8489, section 18.5).
enum class PasswordAlgorithm : uint16_t { kMd5 = 0x0001, kSha256 = 0x0002 };

// Error codes of RFC 8489, section 14.8 and RFC 8656, section 19, with their reason phrases.
enum class StunError : uint16_t {
  kTryAlternate = 300,
  kBadRequest = 400,
  kUnauthenticated = 401,
  kForbidden = 403,
  kUnknownAttribute = 420,
  kAllocationMismatch = 437,
  kStaleNonce = 438,
  kAddressFamilyNotSupported = 440,
  kWrongCredentials = 441,
  kUnsupportedTransportProtocol = 442,
  kPeerAddressFamilyMismatch = 443,
  kAllocationQuotaReached = 486,
  kServerError = 500,
  kInsufficientCapacity = 508,
};

constexpr const char* ReasonPhrase(StunError error) {
  switch (error) {
    case StunError::kTryAlternate:
      return "Try Alternate";
    case StunError::kBadRequest:
      return "Bad Request";
    case StunError::kUnauthenticated:
      return "Unauthenticated";
    case StunError::kForbidden:
      return "Forbidden";
    case StunError::kUnknownAttribute:
      return "Unknown Attribute";
    case StunError::kAllocationMismatch:
      return "Allocation Mismatch";
    case StunError::kStaleNonce:
      return "Stale Nonce";
    case StunError::kAddressFamilyNotSupported:
      return "Address Family not Supported";
    case StunError::kWrongCredentials:
      return "Wrong Credentials";
    case StunError::kUnsupportedTransportProtocol:
      return "Unsupported Transport Protocol";
    case StunError::kPeerAddressFamilyMismatch:
      return "Peer Address Family Mismatch";
    case StunError::kAllocationQuotaReached:
      return "Allocation Quota Reached";
    case StunError::kServerError:
      return "Server Error";
    case StunError::kInsufficientCapacity:
      return "Insufficient Capacity";
  }
  return "";
}

}  // namespace sotto::relay
