// SPDX-License-Identifier: Apache-2.0
#include "relay/auth/authenticator.h"

#include <gtest/gtest.h>

#include <functional>
#include <string>
#include <vector>

namespace sotto::relay {
namespace {

using enum StunAttributeType;
using Bytes = std::vector<uint8_t>;

const TransportAddress kClient = {IpAddress::V4(203, 0, 113, 5), 40000};
constexpr uint64_t kNow = 5'000'000;
constexpr std::string_view kRealmName = "example.org";
const Bytes kOffered = {0, 2, 0, 0, 0, 1, 0, 0};
const Bytes kChoseSha256 = {0, 2, 0, 0};
const Bytes kChoseMd5 = {0, 1, 0, 0};

class AuthenticatorTest : public ::testing::Test {
 protected:
  static AuthenticatorOptions Options() {
    return {.realm = std::string(kRealmName),
            .users = {{"alice", "a-long-password"}, {"bob", "another-password"}},
            .shared_secrets = {},
            .nonce_lifetime_s = 600,
            .require_sha256 = false};
  }
  void Start(const AuthenticatorOptions& options) {
    authenticator = std::make_unique<Authenticator>(options, random);
    std::array<uint8_t, 512> buffer;
    StunBuilder builder(buffer, StunMethod::kAllocate, StunClass::kError, {});
    authenticator->AddChallenge(builder, kClient, kNow);
    const std::span<uint8_t> bytes = builder.Finish();
    const auto message = StunMessage::Parse(bytes);
    ASSERT_TRUE(message);
    nonce = std::string(*message->FindText(kNonce));
    EXPECT_EQ(*message->FindText(kRealm), kRealmName);
    const auto algorithms = message->Find(kPasswordAlgorithms);
    ASSERT_TRUE(algorithms);
    offered.assign(algorithms->value.begin(), algorithms->value.end());
  }

  struct Request {
    std::string username = "alice";
    std::string password = "a-long-password";
    std::optional<std::string> nonce = {};
    bool by_hash = false;
    bool sha256_mac = false;
    PasswordAlgorithm algorithm = PasswordAlgorithm::kMd5;
    std::optional<Bytes> algorithms = {};  // PASSWORD-ALGORITHMS
    std::optional<Bytes> chosen = {};      // PASSWORD-ALGORITHM
    std::optional<StunAttributeType> leave_out = {};
  };
  Authentication Try(const Request& r, const RunningCredential* running = nullptr,
                     uint64_t now = kNow) {
    buffer_.assign(1024, 0);
    StunBuilder builder(buffer_, StunMethod::kAllocate, StunClass::kRequest, {1, 2, 3});
    const auto wanted = [&](StunAttributeType type) { return r.leave_out != type; };
    if (wanted(kUsername) && !r.by_hash) builder.AddText(kUsername, r.username);
    if (wanted(kUserHash) && r.by_hash) {
      builder.Add(kUserHash, MakeUserHash(r.username, kRealmName));
    }
    if (wanted(kRealm)) builder.AddText(kRealm, kRealmName);
    if (wanted(kNonce)) builder.AddText(kNonce, r.nonce.value_or(nonce));
    if (r.algorithms) builder.Add(kPasswordAlgorithms, *r.algorithms);
    if (r.chosen) builder.Add(kPasswordAlgorithm, *r.chosen);
    const CredentialKey key(r.algorithm, r.username, kRealmName, r.password);
    if (wanted(kMessageIntegrity)) {
      if (r.sha256_mac) {
        builder.AddIntegritySha256(key.bytes());
      } else {
        builder.AddIntegrity(key.bytes());
      }
    }
    const std::span<uint8_t> bytes = builder.Finish();
    const auto message = StunMessage::Parse(bytes);
    EXPECT_TRUE(message);
    return authenticator->Authenticate(*message, kClient, now, running);
  }
  Request Sha256Request() {
    return {.sha256_mac = true,
            .algorithm = PasswordAlgorithm::kSha256,
            .algorithms = offered,
            .chosen = kChoseSha256};
  }

  Random random;
  std::unique_ptr<Authenticator> authenticator;
  std::string nonce;
  Bytes offered;

 private:
  Bytes buffer_;
};

TEST_F(AuthenticatorTest, AcceptsAStaticUserUnderEitherAlgorithm) {
  Start(Options());
  EXPECT_EQ(offered, kOffered);
  const Authentication md5 = Try({});
  EXPECT_FALSE(md5.error);
  EXPECT_TRUE(md5.mac_verified);
  EXPECT_FALSE(md5.answer_with_sha256);
  EXPECT_EQ(md5.username, "alice");
  EXPECT_EQ(md5.name, "alice");
  EXPECT_FALSE(md5.expiry_unix_s);

  const Authentication sha256 = Try(Sha256Request());
  EXPECT_FALSE(sha256.error);
  EXPECT_TRUE(sha256.answer_with_sha256);
  EXPECT_EQ(sha256.key.algorithm(), PasswordAlgorithm::kSha256);
}

TEST_F(AuthenticatorTest, FindsAStaticUserByUserHash) {
  Start(Options());
  Request request = Sha256Request();
  request.by_hash = true;
  const Authentication found = Try(request);
  EXPECT_FALSE(found.error);
  EXPECT_EQ(found.username, "alice");
  request.username = "nobody";
  EXPECT_EQ(Try(request).error, StunError::kUnauthenticated);
}

TEST_F(AuthenticatorTest, AnnouncesAnonymityOnlyWhereEveryUserIsKnown) {
  Start(Options());
  EXPECT_EQ(NonceFeatures(nonce), kPasswordAlgorithmsFeature | kUsernameAnonymityFeature);
  AuthenticatorOptions with_secrets = Options();
  with_secrets.shared_secrets = {"a-shared-secret"};
  Start(with_secrets);
  EXPECT_EQ(NonceFeatures(nonce), kPasswordAlgorithmsFeature);
}

TEST_F(AuthenticatorTest, ChallengesARequestWithoutIntegrity) {
  Start(Options());
  const Authentication result = Try({.leave_out = kMessageIntegrity});
  EXPECT_EQ(result.error, StunError::kUnauthenticated);
  EXPECT_FALSE(result.mac_verified);
}

TEST_F(AuthenticatorTest, RefusesIntegrityWithoutItsAttributesAsABadRequest) {
  Start(Options());
  for (StunAttributeType missing : {kUsername, kRealm, kNonce}) {
    EXPECT_EQ(Try({.leave_out = missing}).error, StunError::kBadRequest)
        << static_cast<int>(missing);
  }
}

TEST_F(AuthenticatorTest, RefusesAWrongPasswordAnUnknownUserAndAnEmptyName) {
  Start(Options());
  EXPECT_EQ(Try({.password = "A-long-password"}).error, StunError::kUnauthenticated);
  EXPECT_EQ(Try({.username = "mallory"}).error, StunError::kUnauthenticated);
  EXPECT_EQ(Try({.username = ""}).error, StunError::kUnauthenticated);
  EXPECT_EQ(Try({.username = std::string(509, 'a')}).error, StunError::kUnauthenticated);
  // Bob's password under Alice's name.
  EXPECT_EQ(Try({.password = "another-password"}).error, StunError::kUnauthenticated);
}

TEST_F(AuthenticatorTest, CallsANonceStaleOnlyOnceTheMacIsRight) {
  Start(Options());
  const Authentication stale = Try({}, nullptr, kNow + 600'000);
  EXPECT_EQ(stale.error, StunError::kStaleNonce);
  EXPECT_TRUE(stale.mac_verified);
  EXPECT_EQ(Try({.nonce = "made-up"}).error, StunError::kStaleNonce);
  EXPECT_EQ(Try({.password = "wrong", .nonce = "made-up"}).error, StunError::kUnauthenticated);
}

TEST_F(AuthenticatorTest, HoldsPasswordAlgorithmsAgainstWhatItOffered) {
  Start(Options());
  const auto with = [&](std::optional<Bytes> algorithms, std::optional<Bytes> chosen) {
    Request request = Sha256Request();
    request.algorithms = std::move(algorithms);
    request.chosen = std::move(chosen);
    return Try(request).error;
  };
  EXPECT_EQ(with(kOffered, kChoseSha256), std::nullopt);
  EXPECT_EQ(with(std::nullopt, kChoseSha256), StunError::kBadRequest);
  EXPECT_EQ(with(kOffered, std::nullopt), StunError::kBadRequest);
  EXPECT_EQ(with(kChoseMd5, kChoseMd5), StunError::kBadRequest);  // the list was cut
  EXPECT_EQ(with(kChoseSha256, kChoseSha256), StunError::kBadRequest);
  EXPECT_EQ(with(Bytes{0, 1, 0, 0, 0, 2, 0, 0}, kChoseSha256), StunError::kBadRequest);
  EXPECT_EQ(with(kOffered, Bytes{0, 3, 0, 0}), StunError::kBadRequest);
  EXPECT_EQ(with(kOffered, Bytes{0, 2}), StunError::kBadRequest);
  EXPECT_EQ(with(kOffered, Bytes{0, 2, 0, 4, 1, 2, 3, 4}), StunError::kBadRequest);
}

TEST_F(AuthenticatorTest, ANonceThatIsNotItsOwnIsStaleWhateverTheAlgorithms) {
  Start(Options());
  Request request = Sha256Request();
  request.nonce = "another-server's-nonce";
  request.algorithms = kChoseSha256;
  EXPECT_EQ(Try(request).error, StunError::kStaleNonce);
}

TEST_F(AuthenticatorTest, RequireSha256OffersAndTakesNothingElse) {
  AuthenticatorOptions options = Options();
  options.require_sha256 = true;
  Start(options);
  EXPECT_EQ(offered, kChoseSha256);
  EXPECT_FALSE(Try(Sha256Request()).error);
  EXPECT_EQ(Try({}).error, StunError::kUnauthenticated);
  EXPECT_EQ(Try({.sha256_mac = true}).error, StunError::kUnauthenticated);  // MD5 key
  Request sha1 = Sha256Request();
  sha1.sha256_mac = false;
  EXPECT_EQ(Try(sha1).error, StunError::kUnauthenticated);
}

TEST_F(AuthenticatorTest, AcceptsTimeLimitedCredentialsUnderEachSecret) {
  AuthenticatorOptions options = Options();
  options.shared_secrets = {"the-current-secret", "the-previous-secret"};
  Start(options);
  const std::string username = "1700000000:carol";
  for (const std::string& secret : options.shared_secrets) {
    for (bool sha256 : {false, true}) {
      Request request = sha256 ? Sha256Request() : Request{};
      request.username = username;
      request.password = MintTimeLimitedPassword(secret, username);
      const Authentication result = Try(request);
      EXPECT_FALSE(result.error);
      EXPECT_EQ(result.username, username);
      EXPECT_EQ(result.name, "carol");
      EXPECT_EQ(result.expiry_unix_s, 1700000000);
    }
  }
  EXPECT_EQ(
      Try({.username = username, .password = MintTimeLimitedPassword("a-foreign-secret", username)})
          .error,
      StunError::kUnauthenticated);
  // The password of one name is none for another, and a name must have an expiry.
  EXPECT_EQ(Try({.username = "1800000000:carol",
                 .password = MintTimeLimitedPassword("the-current-secret", username)})
                .error,
            StunError::kUnauthenticated);
  EXPECT_EQ(
      Try({.username = "carol", .password = MintTimeLimitedPassword("the-current-secret", "carol")})
          .error,
      StunError::kUnauthenticated);
  // A static user has the configured password and no other.
  EXPECT_EQ(
      Try({.username = "alice", .password = MintTimeLimitedPassword("the-current-secret", "alice")})
          .error,
      StunError::kUnauthenticated);
  EXPECT_FALSE(Try({}).error);
}

TEST_F(AuthenticatorTest, ARunningAllocationGoesOnWithItsKey) {
  Start(Options());
  const RunningCredential running = {
      "ghost", CredentialKey(PasswordAlgorithm::kMd5, "ghost", kRealmName, "was-once-valid")};
  const Request request = {.username = "ghost", .password = "was-once-valid"};
  EXPECT_EQ(Try(request).error, StunError::kUnauthenticated);
  EXPECT_FALSE(Try(request, &running).error);
  EXPECT_EQ(Try({.username = "mallory", .password = "was-once-valid"}, &running).error,
            StunError::kUnauthenticated);
  EXPECT_FALSE(Try({}, &running).error);  // others on the same 5-tuple are authentic as ever
}

}  // namespace
}  // namespace sotto::relay
