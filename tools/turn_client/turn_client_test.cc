// SPDX-License-Identifier: Apache-2.0
#include "tools/turn_client/turn_client.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <deque>

#include "relay/base/big_endian.h"
#include "relay/stun/integrity.h"
#include "relay/wire/channel_data.h"

namespace sotto::tools {
namespace {

using relay::PasswordAlgorithm;
using relay::StunBuilder;
using relay::StunClass;
using relay::StunMessage;
using relay::StunMethod;
using State = TurnClient::State;
using Type = relay::StunAttributeType;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using Bytes = std::vector<uint8_t>;

const Credentials kCredentials = {"demo", "a password"};
constexpr std::string_view kRealm = "example.org";
constexpr std::string_view kPlainNonce = "0123456789";
constexpr std::string_view kAlgorithmsNonce = "obMatJos2gAAA0123";
constexpr std::string_view kAnonymousNonce = "obMatJos2wAAA0123";
constexpr uint32_t kMd5First[] = {0x00010000, 0x00020000};

TransportAddress Address(std::string_view text) { return TransportAddress::Parse(text).value(); }

// A server's half of the conversation, written by each test.
class TurnClientTest : public ::testing::Test {
 protected:
  TurnClientTest() { Reset({}); }

  void Reset(TurnClientOptions options) {
    options.server = Address("192.0.2.10:3478");
    if (options.credentials.username.empty()) options.credentials = kCredentials;
    sent_.clear();
    client_ = std::make_unique<TurnClient>(options, [this](std::span<const uint8_t> datagram) {
      sent_.emplace_back(datagram.begin(), datagram.end());
    });
  }

  // The oldest datagram that hasn't been looked at, as a message.
  StunMessage Take() {
    EXPECT_FALSE(sent_.empty()) << "the client sent nothing";
    if (sent_.empty()) std::abort();
    taken_ = sent_.front();
    sent_.pop_front();
    const auto message = StunMessage::Parse(taken_);
    EXPECT_TRUE(message && relay::VerifyFingerprint(*message));
    return *message;
  }

  struct Reply {
    int error = 0;
    std::string_view nonce = {};
    bool algorithms = false;
    std::function<void(StunBuilder&)> add = {};
    // How the response is signed; the key is made with `password`.
    enum class Integrity : uint8_t { kNone, kSha1, kSha256 } integrity = Integrity::kNone;
    std::string_view password = kCredentials.password;
  };

  Bytes Encode(const StunMessage& request, const Reply& reply) {
    uint8_t buffer[1024];
    StunBuilder builder(buffer, request.method(),
                        reply.error != 0 ? StunClass::kError : StunClass::kSuccess,
                        request.transaction_id());
    if (reply.error != 0) builder.AddError(reply.error, "Because");
    if (!reply.nonce.empty()) {
      builder.AddText(Type::kRealm, kRealm);
      builder.AddText(Type::kNonce, reply.nonce);
    }
    if (reply.algorithms) {
      uint8_t value[8];
      StoreBe32(value, kMd5First[0]);
      StoreBe32(value + 4, kMd5First[1]);
      builder.Add(Type::kPasswordAlgorithms, value);
    }
    if (reply.add) reply.add(builder);
    const Credentials credentials = {kCredentials.username, std::string(reply.password)};
    if (reply.integrity == Reply::Integrity::kSha1) {
      builder.AddIntegrity(LongTermKey(PasswordAlgorithm::kMd5, credentials, kRealm));
    } else if (reply.integrity == Reply::Integrity::kSha256) {
      builder.AddIntegritySha256(LongTermKey(PasswordAlgorithm::kSha256, credentials, kRealm));
    }
    builder.AddFingerprint();
    const auto bytes = builder.Finish();
    return Bytes(bytes.begin(), bytes.end());
  }

  void Answer(const StunMessage& request, const Reply& reply, uint64_t now_ms = 0) {
    EXPECT_FALSE(client_->HandleDatagram(Encode(request, reply), now_ms));
  }

  static void AddAllocation(StunBuilder& builder) {
    builder.AddXorAddress(Type::kXorRelayedAddress, Address("192.0.2.10:50000"));
    builder.AddXorAddress(Type::kXorMappedAddress, Address("198.51.100.7:4000"));
    builder.AddU32(Type::kLifetime, 600);
  }

  // Through the challenge to an allocation, with MD5 and SHA-1.
  void AllocateAt(uint64_t now_ms) {
    client_->Allocate(now_ms);
    Answer(Take(), {.error = 401, .nonce = kPlainNonce}, now_ms);
    Answer(Take(), {.add = AddAllocation, .integrity = Reply::Integrity::kSha1}, now_ms);
    ASSERT_EQ(client_->state(), State::kAllocated) << client_->status();
    ASSERT_TRUE(sent_.empty());
  }

  std::string StatusMessage() const { return std::string(client_->status().message()); }

  Bytes taken_;
  std::deque<Bytes> sent_;
  std::unique_ptr<TurnClient> client_;
};

TEST_F(TurnClientTest, AllocatesWithMd5WhereTheServerKnowsNoAlgorithms) {
  client_->Allocate(0);
  EXPECT_EQ(client_->state(), State::kAllocating);
  const StunMessage first = Take();
  EXPECT_EQ(first.method(), StunMethod::kAllocate);
  EXPECT_THAT(first.Find(Type::kRequestedTransport)->value, ElementsAre(17, 0, 0, 0));
  EXPECT_THAT(first.Find(Type::kRequestedAddressFamily)->value, ElementsAre(1, 0, 0, 0));
  EXPECT_FALSE(first.Has(Type::kUsername)) << "nothing is given away before it is asked for";
  const auto first_id = first.transaction_id();
  Answer(first, {.error = 401, .nonce = kPlainNonce});

  const StunMessage second = Take();
  EXPECT_NE(second.transaction_id(), first_id);
  EXPECT_EQ(second.FindText(Type::kUsername), "demo");
  EXPECT_EQ(second.FindText(Type::kRealm), kRealm);
  EXPECT_EQ(second.FindText(Type::kNonce), kPlainNonce);
  EXPECT_FALSE(second.Has(Type::kPasswordAlgorithm));
  EXPECT_FALSE(second.Has(Type::kMessageIntegritySha256));
  EXPECT_TRUE(
      relay::VerifyIntegrity(second, LongTermKey(PasswordAlgorithm::kMd5, kCredentials, kRealm)));
  Answer(second, {.add = AddAllocation, .integrity = Reply::Integrity::kSha1});

  EXPECT_EQ(client_->state(), State::kAllocated);
  EXPECT_TRUE(client_->settled());
  EXPECT_EQ(client_->relayed_address(IpFamily::kV4), Address("192.0.2.10:50000"));
  EXPECT_FALSE(client_->relayed_address(IpFamily::kV6));
  EXPECT_EQ(client_->mapped_address(), Address("198.51.100.7:4000"));
  EXPECT_EQ(client_->lifetime_s(), 600u);
  EXPECT_EQ(client_->algorithm(), PasswordAlgorithm::kMd5);
}

TEST_F(TurnClientTest, AuthenticatesWithSha256AloneWhereTheServerOffersIt) {
  client_->Allocate(0);
  Answer(Take(), {.error = 401, .nonce = kAlgorithmsNonce, .algorithms = true});
  const StunMessage second = Take();
  EXPECT_THAT(second.Find(Type::kPasswordAlgorithms)->value, ElementsAre(0, 1, 0, 0, 0, 2, 0, 0));
  EXPECT_THAT(second.Find(Type::kPasswordAlgorithm)->value, ElementsAre(0, 2, 0, 0));
  EXPECT_FALSE(second.Has(Type::kMessageIntegrity));
  EXPECT_EQ(second.FindText(Type::kUsername), "demo");
  EXPECT_TRUE(relay::VerifyIntegritySha256(
      second, LongTermKey(PasswordAlgorithm::kSha256, kCredentials, kRealm)));
  Answer(second, {.add = AddAllocation, .integrity = Reply::Integrity::kSha256});
  EXPECT_EQ(client_->state(), State::kAllocated);
  EXPECT_EQ(client_->algorithm(), PasswordAlgorithm::kSha256);
}

TEST_F(TurnClientTest, HidesTheUserNameWhereTheServerSupportsIt) {
  client_->Allocate(0);
  Answer(Take(), {.error = 401, .nonce = kAnonymousNonce, .algorithms = true});
  const StunMessage second = Take();
  EXPECT_FALSE(second.Has(Type::kUsername));
  EXPECT_THAT(second.Find(Type::kUserHash)->value,
              ::testing::ElementsAreArray(UserHash("demo", kRealm)));
}

// The class bid-down: the nonce says that algorithms were offered, but the offer is gone.
TEST_F(TurnClientTest, BidDown) {
  client_->Allocate(0);
  Answer(Take(), {.error = 401, .nonce = kAlgorithmsNonce, .algorithms = false});
  EXPECT_EQ(client_->state(), State::kFailed);
  EXPECT_TRUE(sent_.empty()) << "nothing may be sent that is authenticated with MD5";
  EXPECT_THAT(StatusMessage(), HasSubstr("weaken"));
}

TEST_F(TurnClientTest, BidDownOfTheResponse) {
  client_->Allocate(0);
  Answer(Take(), {.error = 401, .nonce = kAlgorithmsNonce, .algorithms = true});
  Answer(Take(), {.add = AddAllocation, .integrity = Reply::Integrity::kSha1});
  EXPECT_EQ(client_->state(), State::kAllocating);
  EXPECT_EQ(client_->discarded_responses(), 1u);
}

TEST_F(TurnClientTest, ForgedAndUnsignedResponsesAreAsIfNeverReceived) {
  client_->Allocate(0);
  Answer(Take(), {.error = 401, .nonce = kPlainNonce});
  const StunMessage request = Take();
  Answer(request, {.add = AddAllocation});
  Answer(request,
         {.add = AddAllocation, .integrity = Reply::Integrity::kSha1, .password = "another"});
  Answer(request, {.error = 486});
  EXPECT_EQ(client_->state(), State::kAllocating);
  EXPECT_EQ(client_->discarded_responses(), 3u);
  Answer(request, {.add = AddAllocation, .integrity = Reply::Integrity::kSha1});
  EXPECT_EQ(client_->state(), State::kAllocated);
}

TEST_F(TurnClientTest, ResponsesToOthersAreIgnored) {
  client_->Allocate(0);
  const StunMessage request = Take();
  Bytes other_request = taken_;
  other_request[8] ^= 1;  // the transaction id
  const Bytes other =
      Encode(*StunMessage::Parse(other_request), {.error = 401, .nonce = kPlainNonce});
  EXPECT_FALSE(client_->HandleDatagram(other, 0));
  Bytes corrupt = Encode(request, {.error = 401, .nonce = kPlainNonce});
  corrupt.back() ^= 1;
  EXPECT_FALSE(client_->HandleDatagram(corrupt, 0));
  EXPECT_FALSE(client_->HandleDatagram(Bytes{1, 2, 3}, 0));
  EXPECT_FALSE(client_->HandleDatagram({}, 0));
  EXPECT_TRUE(sent_.empty());
  EXPECT_EQ(client_->state(), State::kAllocating);
}

TEST_F(TurnClientTest, ASecond401SaysThatTheCredentialsAreWrong) {
  client_->Allocate(0);
  Answer(Take(), {.error = 401, .nonce = kPlainNonce});
  Answer(Take(), {.error = 401, .nonce = "another nonce"});
  EXPECT_EQ(client_->state(), State::kFailed);
  EXPECT_TRUE(absl::IsUnauthenticated(client_->status()));
  EXPECT_THAT(StatusMessage(), HasSubstr("\"demo\""));
  EXPECT_TRUE(sent_.empty());
}

TEST_F(TurnClientTest, AStaleNonceIsReplaced) {
  AllocateAt(0);
  client_->CreatePermission(Address("192.0.2.20:1").ip, 0);
  Answer(Take(), {.error = 438, .nonce = "fresh nonce"});
  const StunMessage again = Take();
  EXPECT_EQ(again.method(), StunMethod::kCreatePermission);
  EXPECT_EQ(again.FindText(Type::kNonce), "fresh nonce");
  EXPECT_EQ(again.FindXorAddress(Type::kXorPeerAddress)->ip.ToString(), "192.0.2.20");
  EXPECT_FALSE(client_->settled());
  Answer(again, {.integrity = Reply::Integrity::kSha1});
  EXPECT_TRUE(client_->settled());
  EXPECT_TRUE(client_->status().ok());
}

TEST_F(TurnClientTest, AServerThatCallsEveryNonceStaleIsGivenUp) {
  client_->Allocate(0);
  Answer(Take(), {.error = 401, .nonce = kPlainNonce});
  int rounds = 0;
  while (!sent_.empty() && rounds < 100) {
    Answer(Take(), {.error = 438, .nonce = "stale too"});
    ++rounds;
  }
  EXPECT_LT(rounds, 10);
  EXPECT_EQ(client_->state(), State::kFailed);
  EXPECT_THAT(StatusMessage(), HasSubstr("438"));
}

TEST_F(TurnClientTest, EachRefusalHasASentence) {
  const struct {
    int code;
    const char* says;
  } kCases[] = {{300, "redirects"}, {403, "forbids"}, {437, "another local port"},
                {440, "family"},    {486, "quota"},   {508, "full"},
                {500, "Because"}};
  for (const auto& c : kCases) {
    Reset({});
    client_->Allocate(0);
    Answer(Take(), {.error = 401, .nonce = kPlainNonce});
    Answer(Take(), {.error = c.code, .integrity = Reply::Integrity::kSha1});
    EXPECT_EQ(client_->state(), State::kFailed) << c.code;
    EXPECT_EQ(client_->error_code(), c.code);
    EXPECT_THAT(StatusMessage(), HasSubstr(c.says));
    EXPECT_THAT(StatusMessage(), HasSubstr("192.0.2.10:3478"));
  }
}

// RFC 8489, section 6.2.1: 0, 500, 1500, 3500, 7500, 15500, 31500, given up at 39500 ms.
TEST_F(TurnClientTest, RetransmitsOnScheduleAndGivesUp) {
  client_->Allocate(1000);
  ASSERT_EQ(sent_.size(), 1u);
  const Bytes original = sent_.front();
  sent_.clear();
  std::vector<uint64_t> times;
  uint64_t now = 1000;
  while (client_->state() == State::kAllocating && now < 100'000) {
    EXPECT_GT(client_->deadline_ms(), now);
    client_->Poll(client_->deadline_ms() - 1);
    ASSERT_TRUE(sent_.empty()) << "too early";
    now = client_->deadline_ms();
    client_->Poll(now);
    if (!sent_.empty()) {
      EXPECT_EQ(Take().bytes().size(), original.size());
      EXPECT_EQ(taken_, original) << "a retransmission is the same request";
      times.push_back(now - 1000);
    }
  }
  EXPECT_THAT(times, ElementsAre(500, 1500, 3500, 7500, 15500, 31500));
  EXPECT_EQ(now, 1000 + Retransmission{}.GiveUpAfterMs());
  EXPECT_EQ(now, 40'500u);
  EXPECT_EQ(client_->state(), State::kFailed);
  EXPECT_TRUE(absl::IsDeadlineExceeded(client_->status()));
  EXPECT_THAT(StatusMessage(), HasSubstr("39.5 seconds"));
  EXPECT_EQ(client_->deadline_ms(), UINT64_MAX);
}

TEST_F(TurnClientTest, KeepsWhatItHasAlive) {
  AllocateAt(0);
  client_->CreatePermission(Address("192.0.2.20:1").ip, 0);
  Answer(Take(), {.integrity = Reply::Integrity::kSha1}, 0);
  client_->BindChannel(0x4001, Address("192.0.2.20:7"), 0);
  const StunMessage bind = Take();
  EXPECT_EQ(bind.FindU32(Type::kChannelNumber), 0x40010000u);
  EXPECT_EQ(bind.FindXorAddress(Type::kXorPeerAddress), Address("192.0.2.20:7"));
  Answer(bind, {.integrity = Reply::Integrity::kSha1}, 0);

  // Three hours of virtual time with a server that grants everything.
  uint64_t refreshed = 0, permitted = 0, bound = 0;
  while (client_->deadline_ms() <= 3 * 3600 * 1000) {
    const uint64_t now = client_->deadline_ms();
    client_->Poll(now);
    ASSERT_GT(client_->deadline_ms(), now) << "what was due wasn't done";
    while (!sent_.empty()) {
      const StunMessage request = Take();
      if (request.method() == StunMethod::kRefresh) {
        EXPECT_LT(now - refreshed, 600'000u);
        EXPECT_EQ(request.FindU32(Type::kLifetime), 600u);
        refreshed = now;
        Answer(request,
               {.add = [](StunBuilder& b) { b.AddU32(Type::kLifetime, 600); },
                .integrity = Reply::Integrity::kSha1},
               now);
      } else {
        uint64_t& last = request.method() == StunMethod::kChannelBind ? bound : permitted;
        EXPECT_LT(now - last, 300'000u);
        last = now;
        Answer(request, {.integrity = Reply::Integrity::kSha1}, now);
      }
    }
  }
  EXPECT_GT(refreshed, 10'000'000u);
  EXPECT_GT(permitted, 10'000'000u);
  EXPECT_GT(bound, 10'000'000u);
  EXPECT_TRUE(client_->status().ok()) << client_->status();
}

TEST_F(TurnClientTest, ShortLifetimesAreRenewedInTime) {
  client_->Allocate(0);
  Answer(Take(), {.error = 401, .nonce = kPlainNonce});
  Answer(Take(), {.add =
                      [](StunBuilder& b) {
                        b.AddXorAddress(Type::kXorRelayedAddress, Address("192.0.2.10:50000"));
                        b.AddU32(Type::kLifetime, 30);
                      },
                  .integrity = Reply::Integrity::kSha1});
  EXPECT_EQ(client_->deadline_ms(), 15'000u);
}

TEST_F(TurnClientTest, TakesChannelDataAndDataIndications) {
  AllocateAt(0);
  client_->CreatePermission(Address("192.0.2.20:1").ip, 0);
  client_->BindChannel(0x4001, Address("192.0.2.20:7"), 0);
  const Bytes on_channel = {0x40, 0x01, 0x00, 0x02, 'h', 'i', 0, 0};
  auto data = client_->HandleDatagram(on_channel, 0);
  ASSERT_TRUE(data);
  EXPECT_EQ(data->peer, Address("192.0.2.20:7"));
  EXPECT_THAT(data->data, ElementsAre('h', 'i'));
  EXPECT_TRUE(data->on_channel);
  EXPECT_FALSE(client_->HandleDatagram(Bytes{0x40, 0x02, 0x00, 0x01, 'x'}, 0)) << "not bound";

  const auto indication = [](std::string_view peer, bool with_data) {
    uint8_t buffer[128];
    StunBuilder builder(buffer, StunMethod::kData, StunClass::kIndication, {});
    builder.AddXorAddress(Type::kXorPeerAddress, Address(peer));
    if (with_data) builder.Add(Type::kData, Bytes{'y', 'o', '!'});
    const auto bytes = builder.Finish();
    return Bytes(bytes.begin(), bytes.end());
  };
  const Bytes good = indication("192.0.2.20:9", true);
  data = client_->HandleDatagram(good, 0);
  ASSERT_TRUE(data);
  EXPECT_EQ(data->peer, Address("192.0.2.20:9"));
  EXPECT_THAT(data->data, ElementsAre('y', 'o', '!'));
  EXPECT_FALSE(data->on_channel);
  EXPECT_FALSE(client_->HandleDatagram(indication("192.0.2.21:9", true), 0)) << "no permission";
  EXPECT_FALSE(client_->HandleDatagram(indication("192.0.2.20:9", false), 0)) << "an ICMP error";
}

TEST_F(TurnClientTest, EncodesSendIndications) {
  AllocateAt(0);
  uint8_t out[48 + 8];
  const Bytes data = {1, 2, 3, 4, 5};
  const size_t size =
      client_->EncodeSendIndication(Address("[2001:db8::1]:9"), data, std::span(out));
  ASSERT_EQ(size, sizeof(out));
  const auto message = StunMessage::Parse(std::span(out).first(size));
  ASSERT_TRUE(message);
  EXPECT_EQ(message->method(), StunMethod::kSend);
  EXPECT_EQ(message->message_class(), StunClass::kIndication);
  EXPECT_EQ(message->FindXorAddress(Type::kXorPeerAddress), Address("[2001:db8::1]:9"));
  EXPECT_THAT(message->Find(Type::kData)->value, ::testing::ElementsAreArray(data));
  const auto first_id = message->transaction_id();
  client_->EncodeSendIndication(Address("[2001:db8::1]:9"), data, std::span(out));
  EXPECT_NE(StunMessage::Parse(out)->transaction_id(), first_id);
  EXPECT_EQ(client_->EncodeSendIndication(Address("[2001:db8::1]:9"), data,
                                          std::span(out).first(size - 1)),
            0u);
}

TEST_F(TurnClientTest, AllocatesBothFamiliesAtOnce) {
  Reset({.families = {IpFamily::kV4, IpFamily::kV6}});
  client_->Allocate(0);
  Answer(Take(), {.error = 401, .nonce = kPlainNonce});
  const StunMessage request = Take();
  EXPECT_THAT(request.Find(Type::kAdditionalAddressFamily)->value, ElementsAre(2, 0, 0, 0));
  EXPECT_FALSE(request.Has(Type::kRequestedAddressFamily));
  Answer(request, {.add =
                       [](StunBuilder& b) {
                         AddAllocation(b);
                         b.AddXorAddress(Type::kXorRelayedAddress, Address("[2001:db8::10]:50001"));
                       },
                   .integrity = Reply::Integrity::kSha1});
  EXPECT_EQ(client_->relayed_address(IpFamily::kV4), Address("192.0.2.10:50000"));
  EXPECT_EQ(client_->relayed_address(IpFamily::kV6), Address("[2001:db8::10]:50001"));
  EXPECT_TRUE(client_->status().ok());
}

TEST_F(TurnClientTest, HalfADualAllocationIsAFailureThatCanBeReleased) {
  Reset({.families = {IpFamily::kV4, IpFamily::kV6}});
  client_->Allocate(0);
  Answer(Take(), {.error = 401, .nonce = kPlainNonce});
  Answer(Take(), {.add = AddAllocation, .integrity = Reply::Integrity::kSha1});
  EXPECT_THAT(StatusMessage(), HasSubstr("IPv6"));
  client_->Release(0);
  EXPECT_EQ(client_->state(), State::kReleasing);
}

TEST_F(TurnClientTest, ARefusedPermissionLeavesAnAllocationToRelease) {
  AllocateAt(0);
  client_->CreatePermission(Address("127.0.0.1:1").ip, 0);
  Answer(Take(), {.error = 403, .integrity = Reply::Integrity::kSha1});
  EXPECT_TRUE(absl::IsPermissionDenied(client_->status()));
  EXPECT_THAT(StatusMessage(), HasSubstr("127.0.0.1"));
  EXPECT_EQ(client_->state(), State::kAllocated);
  client_->Release(0);
  const StunMessage request = Take();
  EXPECT_EQ(request.method(), StunMethod::kRefresh);
  EXPECT_EQ(request.FindU32(Type::kLifetime), 0u);
  Answer(request, {.add = [](StunBuilder& b) { b.AddU32(Type::kLifetime, 0); },
                   .integrity = Reply::Integrity::kSha1});
  EXPECT_EQ(client_->state(), State::kReleased);
  EXPECT_EQ(client_->deadline_ms(), UINT64_MAX);
}

TEST_F(TurnClientTest, ReleaseOfWhatTheServerHasForgottenIsDone) {
  AllocateAt(0);
  client_->Release(0);
  Answer(Take(), {.error = 437, .integrity = Reply::Integrity::kSha1});
  EXPECT_EQ(client_->state(), State::kReleased);
  EXPECT_TRUE(client_->status().ok());
}

TEST_F(TurnClientTest, ReleaseBeforeTheAllocationIsThereWaitsForIt) {
  client_->Allocate(0);
  Answer(Take(), {.error = 401, .nonce = kPlainNonce});
  const StunMessage request = Take();
  client_->Release(0);
  EXPECT_EQ(client_->state(), State::kAllocating);
  Answer(request, {.add = AddAllocation, .integrity = Reply::Integrity::kSha1});
  EXPECT_EQ(client_->state(), State::kReleasing);
  EXPECT_EQ(Take().FindU32(Type::kLifetime), 0u);
}

TEST_F(TurnClientTest, RefusesAUserNameThatStunCannotCarry) {
  Reset({.credentials = {std::string(509, 'x'), "password"}});
  client_->Allocate(0);
  EXPECT_EQ(client_->state(), State::kFailed);
  EXPECT_TRUE(sent_.empty());
}

TEST_F(TurnClientTest, RefusesAChallengeWithoutRealmOrNonce) {
  client_->Allocate(0);
  Answer(Take(), {.error = 401});
  EXPECT_EQ(client_->state(), State::kFailed);
  EXPECT_THAT(StatusMessage(), HasSubstr("realm and nonce"));
}

}  // namespace
}  // namespace sotto::tools
