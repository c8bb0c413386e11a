// SPDX-License-Identifier: Apache-2.0
// Which JWTs make a VerifiedAccount, and which don't.

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <openssl/bio.h>
#include <openssl/ec.h>
#include <openssl/ecdsa.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>

#include <memory>
#include <string>
#include <vector>

#include "signaling/identity/development_issuer.h"
#include "signaling/identity/identity_verifier.h"

namespace sotto::signaling {
namespace {

using ::testing::HasSubstr;

constexpr int64_t kNow = 1'767'225'600;

struct KeyFree {
  void operator()(EVP_PKEY* key) const { EVP_PKEY_free(key); }
};
using Key = std::shared_ptr<EVP_PKEY>;

Key EcKey(const char* curve = "P-256") { return Key(EVP_EC_gen(curve), KeyFree()); }
Key RsaKey(unsigned bits = 2048) { return Key(EVP_RSA_gen(bits), KeyFree()); }

std::string Pem(const Key& key, bool is_private = false) {
  BIO* const out = BIO_new(BIO_s_mem());
  if (is_private) {
    PEM_write_bio_PrivateKey(out, key.get(), nullptr, nullptr, 0, nullptr, nullptr);
  } else {
    PEM_write_bio_PUBKEY(out, key.get());
  }
  char* data = nullptr;
  const long size = BIO_get_mem_data(out, &data);
  std::string pem(data, static_cast<size_t>(size));
  BIO_free(out);
  return pem;
}

std::string Base64Url(std::string_view bytes) {
  std::string out(4 * ((bytes.size() + 2) / 3) + 1, '\0');
  const int size = EVP_EncodeBlock(reinterpret_cast<unsigned char*>(out.data()),
                                   reinterpret_cast<const unsigned char*>(bytes.data()),
                                   static_cast<int>(bytes.size()));
  out.resize(static_cast<size_t>(size));
  for (char& c : out) c = c == '+' ? '-' : c == '/' ? '_' : c;
  while (out.ends_with('=')) out.pop_back();
  return out;
}

std::string SignatureOf(const Key& key, const EVP_MD* digest, const std::string& text) {
  EVP_MD_CTX* const context = EVP_MD_CTX_new();
  EVP_DigestSignInit(context, nullptr, digest, nullptr, key.get());
  size_t size = 0;
  const auto* const data = reinterpret_cast<const unsigned char*>(text.data());
  EVP_DigestSign(context, nullptr, &size, data, text.size());
  std::string signature(size, '\0');
  EVP_DigestSign(context, reinterpret_cast<unsigned char*>(signature.data()), &size, data,
                 text.size());
  EVP_MD_CTX_free(context);
  signature.resize(size);
  return signature;
}

// ECDSA as JWS has it (RFC 7518, section 3.4): r | s.
std::string RawEcdsa(const std::string& der) {
  const auto* data = reinterpret_cast<const unsigned char*>(der.data());
  ECDSA_SIG* const signature = d2i_ECDSA_SIG(nullptr, &data, static_cast<long>(der.size()));
  std::string raw(64, '\0');
  auto* const out = reinterpret_cast<unsigned char*>(raw.data());
  BN_bn2binpad(ECDSA_SIG_get0_r(signature), out, 32);
  BN_bn2binpad(ECDSA_SIG_get0_s(signature), out + 32, 32);
  ECDSA_SIG_free(signature);
  return raw;
}

std::string SignedPart(const std::string& header, const std::string& claims) {
  return Base64Url(header) + "." + Base64Url(claims);
}

std::string Jwt(const Key& key, const std::string& claims, std::string header = "",
                const EVP_MD* digest = EVP_sha256()) {
  const bool elliptic = EVP_PKEY_get_base_id(key.get()) == EVP_PKEY_EC;
  if (header.empty())
    header = fmt::format(R"({{"alg":"{}","typ":"JWT"}})", elliptic ? "ES256" : "RS256");
  const std::string text = SignedPart(header, claims);
  const std::string signature = SignatureOf(key, digest, text);
  return text + "." + Base64Url(elliptic ? RawEcdsa(signature) : signature);
}

std::string Claims(std::string_view sub = "alice", int64_t exp = kNow + 3600,
                   std::string_view more = "") {
  return fmt::format(R"({{"sub":"{}","exp":{}{}}})", sub, exp, more);
}

IdentityVerifier Verifier(const std::vector<Key>& keys, IdentityOptions options = {}) {
  std::string pem;
  for (const Key& key : keys) pem += Pem(key);
  return IdentityVerifier(std::move(options), IdentityKeys::Parse(pem, "keys.pem").value());
}

std::string Refusal(const IdentityVerifier& verifier, std::string_view jwt, int64_t now = kNow) {
  const auto identity = verifier.Verify(jwt, now);
  if (identity.ok()) return "";
  EXPECT_EQ(identity.status().code(), absl::StatusCode::kUnauthenticated);
  return std::string(identity.status().message());
}

class Identity : public ::testing::Test {
 protected:
  const Key ec_ = EcKey();
  const Key rsa_ = RsaKey();
  const IdentityVerifier verifier_ = Verifier({ec_, rsa_});
};

TEST_F(Identity, EitherAlgorithmGivesTheAccountAndItsEnd) {
  for (const Key& key : {ec_, rsa_}) {
    const auto identity = verifier_.Verify(Jwt(key, Claims("a.B-9_~@+")), kNow);
    ASSERT_TRUE(identity.ok()) << identity.status();
    EXPECT_EQ(identity->account.id().text(), "a.B-9_~@+");
    EXPECT_EQ(identity->valid_until_unix_s, kNow + 3600 + kIdentityLeewaySeconds);
  }
}

TEST_F(Identity, AnyOfSeveralKeysMayHaveSigned) {
  const Key second = EcKey();
  const Key stranger = EcKey();
  const IdentityVerifier both = Verifier({ec_, second});
  EXPECT_EQ(Refusal(both, Jwt(second, Claims())), "");
  EXPECT_EQ(Refusal(both, Jwt(ec_, Claims())), "");
  EXPECT_THAT(Refusal(both, Jwt(stranger, Claims())), HasSubstr("not made with a known key"));
}

TEST_F(Identity, NoneIsNoAlgorithm) {
  for (const char* alg : {"none", "None", "NONE", "nOnE", ""}) {
    const std::string text = SignedPart(fmt::format(R"({{"alg":"{}"}})", alg), Claims());
    EXPECT_NE(Refusal(verifier_, text + "."), "") << alg;
    EXPECT_NE(Refusal(verifier_, text + ".AAAA"), "") << alg;
    EXPECT_NE(Refusal(verifier_, text), "") << alg;
  }
}

TEST_F(Identity, APublicKeyIsNoHmacSecret) {
  for (const Key& key : {ec_, rsa_}) {
    const std::string pem = Pem(key);
    for (const auto& [alg, digest] : {std::pair("HS256", EVP_sha256()), {"HS512", EVP_sha512()}}) {
      const std::string text = SignedPart(fmt::format(R"({{"alg":"{}"}})", alg), Claims());
      std::string mac(64, '\0');
      unsigned size = 0;
      HMAC(digest, pem.data(), static_cast<int>(pem.size()),
           reinterpret_cast<const unsigned char*>(text.data()), text.size(),
           reinterpret_cast<unsigned char*>(mac.data()), &size);
      mac.resize(size);
      EXPECT_THAT(Refusal(verifier_, text + "." + Base64Url(mac)), HasSubstr("alg is not"));
    }
  }
}

TEST_F(Identity, TheKeySaysWhichAlgorithmItIsFor) {
  // An RSA signature that claims to be ECDSA, and the other way round.
  EXPECT_NE(Refusal(verifier_, Jwt(rsa_, Claims(), R"({"alg":"ES256"})")), "");
  EXPECT_NE(Refusal(verifier_, Jwt(ec_, Claims(), R"({"alg":"RS256"})")), "");
  EXPECT_NE(Refusal(verifier_, Jwt(rsa_, Claims(), R"({"alg":"RS512"})", EVP_sha512())), "");
  EXPECT_NE(Refusal(verifier_, Jwt(ec_, Claims(), R"({"alg":"ES384"})", EVP_sha384())), "");
  EXPECT_NE(Refusal(verifier_, Jwt(ec_, Claims(), R"({"alg":"es256"})")), "");
  EXPECT_NE(Refusal(Verifier({rsa_}), Jwt(ec_, Claims())), "");
  EXPECT_NE(Refusal(Verifier({ec_}), Jwt(rsa_, Claims())), "");
}

TEST_F(Identity, EveryChangedCharacterIsNoticed) {
  const std::string jwt = Jwt(ec_, Claims());
  ASSERT_EQ(Refusal(verifier_, jwt), "");
  for (size_t i = 0; i < jwt.size(); ++i) {
    std::string changed = jwt;
    changed[i] = changed[i] == 'A' ? 'Q' : 'A';
    // 64 bytes are 85.3 characters: the last one's lower bits say nothing.
    if (i + 1 == jwt.size()) continue;
    EXPECT_NE(Refusal(verifier_, changed), "") << i;
  }
}

TEST_F(Identity, WhatIsNoCompactJwsIsRefused) {
  const std::string jwt = Jwt(ec_, Claims());
  const std::string with_nul = jwt.substr(0, 20) + std::string(1, '\0') + jwt.substr(20);
  for (const std::string& bad :
       {std::string(), std::string("."), std::string(".."), std::string("..."), jwt + ".",
        jwt + ".AAAA", "." + jwt, jwt + "\n", " " + jwt, jwt + "=", with_nul,
        jwt + std::string(1, '\0'), jwt.substr(0, jwt.rfind('.')), std::string("a.b.c"),
        Base64Url("[]") + ".e30.AAAA"}) {
    EXPECT_NE(Refusal(verifier_, bad), "") << bad;
  }
}

TEST_F(Identity, SizeIsBounded) {
  const std::string at_most =
      Jwt(ec_, Claims("alice", kNow + 60, R"(,"x":")" + std::string(5900, 'x') + "\""));
  ASSERT_LE(at_most.size(), kMaxIdentitySize);
  EXPECT_EQ(Refusal(verifier_, at_most), "");
  const std::string more =
      Jwt(ec_, Claims("alice", kNow + 60, R"(,"x":")" + std::string(6100, 'x') + "\""));
  ASSERT_GT(more.size(), kMaxIdentitySize);
  EXPECT_THAT(Refusal(verifier_, more), HasSubstr("too long"));
}

TEST_F(Identity, CriticalHeadersAreNotUnderstood) {
  EXPECT_THAT(
      Refusal(verifier_, Jwt(ec_, Claims(), R"({"alg":"ES256","crit":["b64"],"b64":false})")),
      HasSubstr("crit"));
}

TEST_F(Identity, ItEndsAMinuteAfterExp) {
  const std::string jwt = Jwt(ec_, Claims("alice", kNow));
  EXPECT_EQ(Refusal(verifier_, jwt, kNow + 59), "");
  EXPECT_THAT(Refusal(verifier_, jwt, kNow + 60), HasSubstr("expired"));
}

TEST_F(Identity, ExpIsRequiredAndANumber) {
  for (const char* claims : {R"({"sub":"alice"})", R"({"sub":"alice","exp":"1999999999"})",
                             R"({"sub":"alice","exp":true})", R"({"sub":"alice","exp":null})",
                             R"({"sub":"alice","exp":[1999999999]})", R"({"sub":"alice","exp":-1})",
                             R"({"sub":"alice","exp":1e300})"}) {
    EXPECT_THAT(Refusal(verifier_, Jwt(ec_, claims)), HasSubstr("exp is missing")) << claims;
  }
  EXPECT_EQ(Refusal(verifier_, Jwt(ec_, R"({"sub":"alice","exp":1999999999.5})")), "");
}

TEST_F(Identity, NbfIsCheckedWhereItStands) {
  const auto with = [&](const std::string& nbf) {
    return Refusal(verifier_, Jwt(ec_, Claims("alice", kNow + 3600, R"(,"nbf":)" + nbf)));
  };
  EXPECT_EQ(with(std::to_string(kNow + 60)), "");
  EXPECT_THAT(with(std::to_string(kNow + 61)), HasSubstr("not valid yet"));
  EXPECT_THAT(with(fmt::format("{}.5", kNow + 100)), HasSubstr("not valid yet"));
  EXPECT_THAT(with("\"soon\""), HasSubstr("not valid yet"));
}

TEST_F(Identity, IssuerAndAudienceAreCheckedAsConfigured) {
  const IdentityVerifier strict = Verifier({ec_}, {.issuer = "op", .audiences = {"x", "sotto"}});
  const auto with = [&](std::string_view more) {
    return Refusal(strict, Jwt(ec_, Claims("alice", kNow + 3600, more)));
  };
  EXPECT_EQ(with(R"(,"iss":"op","aud":"sotto")"), "");
  EXPECT_EQ(with(R"(,"iss":"op","aud":["other","x"])"), "");
  EXPECT_THAT(with(R"(,"iss":"other","aud":"sotto")"), HasSubstr("issuer"));
  EXPECT_THAT(with(R"(,"aud":"sotto")"), HasSubstr("issuer"));
  EXPECT_THAT(with(R"(,"iss":["op"],"aud":"sotto")"), HasSubstr("issuer"));
  EXPECT_THAT(with(R"(,"iss":"op")"), HasSubstr("audience"));
  EXPECT_THAT(with(R"(,"iss":"op","aud":["other",7])"), HasSubstr("audience"));
  EXPECT_THAT(with(R"(,"iss":"op","aud":"sott")"), HasSubstr("audience"));
}

TEST_F(Identity, SubIsTheNameOfAnAccount) {
  for (const std::string& sub : {std::string(), std::string(65, 'a'), std::string("a b"),
                                 std::string("a/b"), std::string("ä"), std::string("a\\u0000")}) {
    EXPECT_NE(Refusal(verifier_, Jwt(ec_, Claims(sub))), "") << sub;
  }
  EXPECT_NE(Refusal(verifier_, Jwt(ec_, R"({"sub":7,"exp":1999999999})")), "");
  EXPECT_NE(Refusal(verifier_, Jwt(ec_, R"({"exp":1999999999})")), "");
  EXPECT_NE(Refusal(verifier_, Jwt(ec_, "[]")), "");
  EXPECT_NE(Refusal(verifier_, Jwt(ec_, "null")), "");
  EXPECT_NE(Refusal(verifier_, Jwt(ec_, "{")), "");
}

TEST_F(Identity, NewKeysReplaceTheOld) {
  IdentityVerifier verifier = Verifier({ec_});
  const Key next = EcKey();
  verifier.Set(verifier.options(), IdentityKeys::Parse(Pem(next), "keys.pem").value());
  EXPECT_EQ(Refusal(verifier, Jwt(next, Claims())), "");
  EXPECT_NE(Refusal(verifier, Jwt(ec_, Claims())), "");
}

TEST(IdentityKeys, WhatAKeyFileMayHold) {
  const auto refusal = [](const std::string& pem) {
    const auto keys = IdentityKeys::Parse(pem, "keys.pem");
    return keys.ok() ? std::string() : std::string(keys.status().message());
  };
  EXPECT_EQ(refusal("a comment\n" + Pem(EcKey()) + "and\n" + Pem(RsaKey())), "");
  EXPECT_THAT(refusal(""), HasSubstr("keys.pem contains no public key"));
  EXPECT_THAT(refusal(Pem(EcKey()) + Pem(EcKey("P-384"))),
              HasSubstr("key 2 of keys.pem is not on P-256"));
  EXPECT_THAT(refusal(Pem(EcKey("secp256k1"))), HasSubstr("not on P-256"));
  EXPECT_THAT(refusal(Pem(RsaKey(1024))), HasSubstr("RSA key of 1024 bits"));
  EXPECT_THAT(refusal(Pem(Key(EVP_PKEY_Q_keygen(nullptr, nullptr, "ED25519"), KeyFree()))),
              HasSubstr("neither EC P-256"));
  EXPECT_THAT(refusal(Pem(EcKey(), true)), HasSubstr("private key"));
  std::string broken = Pem(EcKey());
  broken[60] = broken[60] == 'A' ? 'B' : 'A';
  broken.insert(70, "!");
  EXPECT_THAT(refusal(broken), HasSubstr("can't be read"));
  std::string many;
  const std::string one = Pem(EcKey());
  for (size_t i = 0; i <= kMaxIdentityKeys; ++i) many += one;
  EXPECT_THAT(refusal(many), HasSubstr("more than 16 keys"));
}

TEST(DevelopmentIssuer, IssuesWhatAVerifierWithItsKeyTakes) {
  const IdentityOptions options{.issuer = "dev", .audiences = {"sotto", "other"}};
  const std::string pem = DevelopmentIssuer::MakePrivateKey().value();
  const auto issuer = DevelopmentIssuer::Create(pem, "dev.pem", options);
  ASSERT_TRUE(issuer.ok()) << issuer.status();
  const std::string jwt = issuer->Issue(*AccountId::Parse("alice"), kNow).value();
  const IdentityVerifier verifier(options, issuer->public_keys());
  const auto identity = verifier.Verify(jwt, kNow + kDevelopmentIdentitySeconds);
  ASSERT_TRUE(identity.ok()) << identity.status();
  EXPECT_EQ(identity->account.id().text(), "alice");
  EXPECT_NE(Refusal(verifier, jwt, kNow + kDevelopmentIdentitySeconds + 60), "");
  const auto other =
      DevelopmentIssuer::Create(DevelopmentIssuer::MakePrivateKey().value(), "", options);
  EXPECT_NE(Refusal(verifier, other->Issue(*AccountId::Parse("alice"), kNow).value()), "");
}

TEST(DevelopmentIssuer, RefusesOtherKeys) {
  EXPECT_FALSE(DevelopmentIssuer::Create("nonsense", "dev.pem", {}).ok());
  EXPECT_FALSE(DevelopmentIssuer::Create(Pem(RsaKey(), true), "dev.pem", {}).ok());
  EXPECT_FALSE(DevelopmentIssuer::Create(Pem(EcKey()), "dev.pem", {}).ok());
}

}  // namespace
}  // namespace sotto::signaling
