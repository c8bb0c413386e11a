// SPDX-License-Identifier: Apache-2.0
#include "relay/stun/message.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <random>
#include <vector>

#include "relay/base/big_endian.h"
#include "relay/stun/integrity.h"

namespace sotto::relay {
namespace {

using ::testing::Each;
using ::testing::ElementsAre;
using Bytes = std::vector<uint8_t>;
using Type = StunAttributeType;

constexpr TransactionId kId = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12};
const Bytes kKey = {'k', 'e', 'y'};

std::vector<Type> TypesOf(const StunMessage& message) {
  std::vector<Type> types;
  message.ForEach([&](const StunAttribute& attribute) {
    types.push_back(attribute.type);
    return true;
  });
  return types;
}

TEST(StunTypeTest, EncodesAsRegistered) {
  EXPECT_EQ(EncodeStunType(StunMethod::kBinding, StunClass::kRequest), 0x0001);
  EXPECT_EQ(EncodeStunType(StunMethod::kBinding, StunClass::kSuccess), 0x0101);
  EXPECT_EQ(EncodeStunType(StunMethod::kAllocate, StunClass::kError), 0x0113);
  EXPECT_EQ(EncodeStunType(StunMethod::kSend, StunClass::kIndication), 0x0016);
  EXPECT_EQ(EncodeStunType(StunMethod::kData, StunClass::kIndication), 0x0017);
  EXPECT_EQ(EncodeStunType(StunMethod::kChannelBind, StunClass::kSuccess), 0x0109);
}

TEST(StunTypeTest, EveryMethodAndClassSurvivesARoundTrip) {
  uint8_t buffer[kStunHeaderSize];
  for (uint16_t method = 0; method <= 0xfff; ++method) {
    for (uint8_t c = 0; c < 4; ++c) {
      StunBuilder builder(buffer, static_cast<StunMethod>(method), static_cast<StunClass>(c), kId);
      const auto message = StunMessage::Parse(builder.Finish());
      ASSERT_TRUE(message);
      ASSERT_EQ(static_cast<uint16_t>(message->method()), method);
      ASSERT_EQ(static_cast<uint8_t>(message->message_class()), c);
      ASSERT_EQ(message->transaction_id(), kId);
    }
  }
}

TEST(StunMessageTest, BuilderAndParserAgree) {
  uint8_t buffer[512];
  std::fill(std::begin(buffer), std::end(buffer), 0xee);
  StunBuilder builder(buffer, StunMethod::kAllocate, StunClass::kRequest, kId);
  builder.AddText(Type::kUsername, "joe");
  builder.AddU8(Type::kRequestedTransport, 17);
  builder.AddU32(Type::kLifetime, 777);
  builder.AddEmpty(Type::kDontFragment);
  builder.AddXorAddress(Type::kXorPeerAddress, TransportAddress::Parse("192.0.2.9:9").value());
  builder.AddXorAddress(Type::kXorRelayedAddress, TransportAddress::Parse("[::1]:65535").value());
  builder.AddError(438, "Stale Nonce");
  builder.Add(Type::kData, Bytes{1, 2, 3, 4, 5});
  const std::span<uint8_t> bytes = builder.Finish();
  const auto message = StunMessage::Parse(bytes);
  ASSERT_TRUE(message);
  EXPECT_EQ(message->FindText(Type::kUsername), "joe");
  EXPECT_THAT(message->Find(Type::kRequestedTransport)->value, ElementsAre(17, 0, 0, 0));
  EXPECT_EQ(message->FindU32(Type::kLifetime), 777u);
  EXPECT_TRUE(message->Has(Type::kDontFragment));
  EXPECT_EQ(message->FindXorAddress(Type::kXorPeerAddress)->ToString(), "192.0.2.9:9");
  EXPECT_EQ(message->FindXorAddress(Type::kXorRelayedAddress)->ToString(), "[::1]:65535");
  EXPECT_THAT(message->Find(Type::kErrorCode)->value.first(4), ElementsAre(0, 0, 4, 38));
  EXPECT_THAT(message->Find(Type::kData)->value, ElementsAre(1, 2, 3, 4, 5));
  EXPECT_FALSE(message->Has(Type::kNonce));
  EXPECT_FALSE(message->FindU32(Type::kUsername)) << "three bytes aren't an integer";
  EXPECT_FALSE(message->FindXorAddress(Type::kLifetime));
  EXPECT_EQ(bytes[20 + 4 + 3], 0) << "padding is written (class uninitialised)";
}

TEST(StunMessageTest, FirstOfSeveralCounts) {
  uint8_t buffer[64];
  StunBuilder builder(buffer, StunMethod::kRefresh, StunClass::kRequest, kId);
  builder.AddU32(Type::kLifetime, 1);
  builder.AddU32(Type::kLifetime, 2);
  EXPECT_EQ(StunMessage::Parse(builder.Finish())->FindU32(Type::kLifetime), 1u);
}

TEST(StunMessageTest, ForEachStopsWhenToldTo) {
  uint8_t buffer[64];
  StunBuilder builder(buffer, StunMethod::kRefresh, StunClass::kRequest, kId);
  builder.AddU32(Type::kLifetime, 1);
  builder.AddU32(Type::kLifetime, 2);
  int visited = 0;
  StunMessage::Parse(builder.Finish())->ForEach([&](const StunAttribute&) {
    ++visited;
    return false;
  });
  EXPECT_EQ(visited, 1);
}

// The class after-integrity: what an attacker appends to an authenticated message isn't seen.
TEST(StunMessageTest, AfterIntegrity) {
  uint8_t buffer[512];
  StunBuilder builder(buffer, StunMethod::kRefresh, StunClass::kRequest, kId);
  builder.AddText(Type::kUsername, "joe");
  builder.AddIntegrity(kKey);
  builder.AddU32(Type::kLifetime, 0);
  builder.AddIntegritySha256(kKey);
  builder.AddText(Type::kNonce, "evil");
  builder.AddIntegrity(kKey);
  builder.AddFingerprint();
  builder.AddText(Type::kRealm, "evil");
  builder.AddIntegritySha256(kKey);
  const auto message = StunMessage::Parse(builder.Finish());
  ASSERT_TRUE(message);
  EXPECT_THAT(TypesOf(*message), ElementsAre(Type::kUsername, Type::kMessageIntegrity,
                                             Type::kMessageIntegritySha256, Type::kFingerprint));
  EXPECT_FALSE(message->FindU32(Type::kLifetime));
  EXPECT_TRUE(VerifyIntegrity(*message, kKey));
  EXPECT_TRUE(VerifyIntegritySha256(*message, kKey));
}

// RFC 8489, section 14.6: behind MESSAGE-INTEGRITY-SHA256 only FINGERPRINT counts.
TEST(StunMessageTest, OldIntegrityBehindTheNewIsNotSeen) {
  uint8_t buffer[512];
  StunBuilder builder(buffer, StunMethod::kRefresh, StunClass::kRequest, kId);
  builder.AddIntegritySha256(kKey);
  builder.AddIntegrity(kKey);
  const auto message = StunMessage::Parse(builder.Finish());
  ASSERT_TRUE(message);
  EXPECT_THAT(TypesOf(*message), ElementsAre(Type::kMessageIntegritySha256));
  EXPECT_FALSE(VerifyIntegrity(*message, kKey));
}

TEST(StunMessageTest, NothingIsSeenBehindFingerprint) {
  uint8_t buffer[512];
  StunBuilder builder(buffer, StunMethod::kRefresh, StunClass::kRequest, kId);
  builder.AddFingerprint();
  builder.AddU32(Type::kLifetime, 0);
  builder.AddIntegrity(kKey);
  EXPECT_THAT(TypesOf(*StunMessage::Parse(builder.Finish())), ElementsAre(Type::kFingerprint));
}

Bytes SampleMessage() {
  uint8_t buffer[512];
  StunBuilder builder(buffer, StunMethod::kSend, StunClass::kIndication, kId);
  builder.AddXorAddress(Type::kXorPeerAddress, TransportAddress::Parse("192.0.2.9:9").value());
  builder.Add(Type::kData, Bytes{1, 2, 3, 4, 5});
  const std::span<uint8_t> bytes = builder.Finish();
  return Bytes(bytes.begin(), bytes.end());
}

TEST(StunMessageTest, RefusesWhatIsNotStun) {
  const Bytes good = SampleMessage();
  ASSERT_TRUE(StunMessage::Parse(good));
  for (const uint8_t top : {0x40, 0x80, 0xc0}) {
    Bytes bad = good;
    bad[0] |= top;
    EXPECT_FALSE(StunMessage::Parse(bad));
    EXPECT_FALSE(LooksLikeStun(bad));
  }
  for (size_t i = 4; i < 8; ++i) {
    Bytes bad = good;
    bad[i] ^= 1;
    EXPECT_FALSE(StunMessage::Parse(bad)) << "magic cookie, byte " << i;
  }
}

TEST(StunMessageTest, RefusesEveryTruncationAndAnyByteMore) {
  const Bytes good = SampleMessage();
  for (size_t size = 0; size < good.size(); ++size) {
    // Exactly sized, so that a read past the end is a read past an allocation.
    const auto bytes = std::make_unique<uint8_t[]>(size);
    std::copy_n(good.begin(), size, bytes.get());
    EXPECT_FALSE(StunMessage::Parse({bytes.get(), size})) << size;
  }
  Bytes longer = good;
  longer.resize(good.size() + 4);
  EXPECT_FALSE(StunMessage::Parse(longer));
}

TEST(StunMessageTest, RefusesLyingLengths) {
  const Bytes good = SampleMessage();
  const uint16_t length = static_cast<uint16_t>(good.size() - kStunHeaderSize);
  for (uint32_t claimed = 0; claimed <= 0xffff; ++claimed) {
    Bytes bad = good;
    StoreBe16(&bad[2], static_cast<uint16_t>(claimed));
    EXPECT_EQ(StunMessage::Parse(bad).has_value(), claimed == length) << claimed;
  }
  // The last attribute, DATA, has five bytes and three of padding: 5 to 8 fill the message exactly.
  const size_t data_length = 20 + 12 + 2;
  for (uint32_t claimed = 0; claimed <= 0xffff; ++claimed) {
    Bytes bad = good;
    StoreBe16(&bad[data_length], static_cast<uint16_t>(claimed));
    const auto message = StunMessage::Parse(bad);
    // 0 to 4 leave the rest to be read as another attribute; whether it fits is up to its bytes.
    if (claimed >= 5) {
      EXPECT_EQ(message.has_value(), claimed <= 8) << claimed;
    }
  }
}

TEST(StunMessageTest, RefusesALengthThatIsNoMultipleOfFour) {
  Bytes bytes(kStunHeaderSize + 2);
  StoreBe16(&bytes[0], 0x0001);
  StoreBe16(&bytes[2], 2);
  StoreBe32(&bytes[4], kStunMagicCookie);
  EXPECT_FALSE(StunMessage::Parse(bytes));
}

TEST(XorAddressTest, RefusesWrongFamiliesAndSizes) {
  std::array<uint8_t, 20> value;
  const size_t v4 = EncodeXorAddress(TransportAddress::Parse("192.0.2.9:9").value(), kId, value);
  ASSERT_EQ(v4, 8u);
  EXPECT_TRUE(DecodeXorAddress(std::span(value).first(8), kId));
  for (size_t size = 0; size <= 20; ++size) {
    EXPECT_EQ(DecodeXorAddress(std::span(value).first(size), kId).has_value(), size == 8) << size;
  }
  value[1] = 2;
  EXPECT_FALSE(DecodeXorAddress(std::span(value).first(8), kId)) << "IPv6 in eight bytes";
  value[1] = 1;
  EXPECT_FALSE(DecodeXorAddress(value, kId)) << "IPv4 in twenty bytes";
  value[1] = 0;
  EXPECT_FALSE(DecodeXorAddress(std::span(value).first(8), kId));
}

TEST(XorAddressTest, RandomAddressesSurviveARoundTrip) {
  std::mt19937 random(11);
  for (int i = 0; i < 2000; ++i) {
    std::array<uint8_t, 16> ip;
    for (uint8_t& byte : ip) byte = static_cast<uint8_t>(random());
    TransactionId id;
    for (uint8_t& byte : id) byte = static_cast<uint8_t>(random());
    const TransportAddress address = {
        i % 2 ? IpAddress::V6(ip) : IpAddress::V4(ip[0], ip[1], ip[2], ip[3]),
        static_cast<uint16_t>(random())};
    std::array<uint8_t, 20> value;
    const size_t size = EncodeXorAddress(address, id, value);
    EXPECT_EQ(DecodeXorAddress(std::span(value).first(size), id), address);
  }
}

// In every buffer that is too small the builder fails as a whole and writes nothing behind its end.
TEST(StunBuilderTest, FailsWhenTheBufferIsTooSmall) {
  const auto build = [](std::span<uint8_t> buffer) {
    StunBuilder builder(buffer, StunMethod::kAllocate, StunClass::kError, kId);
    builder.AddError(401, "Unauthenticated");
    builder.AddText(Type::kNonce, "abc");
    builder.AddXorAddress(Type::kXorMappedAddress, TransportAddress::Parse("[::1]:1").value());
    builder.AddIntegrity(kKey);
    builder.AddIntegritySha256(kKey);
    builder.AddFingerprint();
    return builder.Finish().size();
  };
  Bytes roomy(512);
  const size_t needed = build(roomy);
  ASSERT_EQ(needed, 20u + 24 + 8 + 24 + 24 + 36 + 8);
  for (size_t size = 0; size <= needed; ++size) {
    Bytes buffer(size + 8, 0xee);
    EXPECT_EQ(build(std::span(buffer).first(size)), size < needed ? 0 : needed) << size;
    EXPECT_THAT(std::span(buffer).last(8), Each(0xee)) << size;
  }
}

TEST(StunBuilderTest, FailsWhenTheMessageIsTooLongForItsLengthField) {
  Bytes buffer(200'000);
  StunBuilder fits(buffer, StunMethod::kSend, StunClass::kIndication, kId);
  fits.Add(Type::kData, Bytes(65528));
  EXPECT_EQ(fits.Finish().size(), 20u + 4 + 65528);
  StunBuilder too_long(buffer, StunMethod::kSend, StunClass::kIndication, kId);
  too_long.Add(Type::kData, Bytes(65528));
  too_long.AddEmpty(Type::kDontFragment);
  EXPECT_TRUE(too_long.Finish().empty());
  StunBuilder too_long_value(buffer, StunMethod::kSend, StunClass::kIndication, kId);
  too_long_value.Add(Type::kData, Bytes(65536));
  EXPECT_TRUE(too_long_value.Finish().empty());
}

}  // namespace
}  // namespace sotto::relay
