// SPDX-License-Identifier: Apache-2.0
#include "tools/signaling_client/identity_minter.h"

#include <gtest/gtest.h>
#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/pem.h>

#include <cstdio>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "tools/signaling_client/keys.h"

namespace sotto::tools {
namespace {

class IdentityMinterTest : public ::testing::Test {
 protected:
  ~IdentityMinterTest() override {
    EVP_PKEY_free(key_);
    std::filesystem::remove(path_);
  }
  void WriteKey(const char* curve) {
    EVP_PKEY_free(key_);
    key_ = EVP_EC_gen(curve);
    std::FILE* file = std::fopen(path_.c_str(), "w");
    ASSERT_NE(file, nullptr);
    PEM_write_PrivateKey(file, key_, nullptr, nullptr, 0, nullptr, nullptr);
    std::fclose(file);
  }
  // Whether `token` is signed by the key: the two integers go back into DER for OpenSSL.
  bool IsSigned(const std::string& token) {
    const size_t dot = token.rfind('.');
    const auto raw = FromBase64Url(std::string_view(token).substr(dot + 1));
    if (!raw.ok() || raw->size() != 64) return false;
    ECDSA_SIG* signature = ECDSA_SIG_new();
    ECDSA_SIG_set0(signature, BN_bin2bn(AsBytes(*raw).data(), 32, nullptr),
                   BN_bin2bn(AsBytes(*raw).data() + 32, 32, nullptr));
    uint8_t* der = nullptr;
    const int size = i2d_ECDSA_SIG(signature, &der);
    ECDSA_SIG_free(signature);
    EVP_MD_CTX* context = EVP_MD_CTX_new();
    EVP_DigestVerifyInit(context, nullptr, EVP_sha256(), nullptr, key_);
    const bool good =
        EVP_DigestVerify(context, der, static_cast<size_t>(size), AsBytes(token).data(), dot) == 1;
    EVP_MD_CTX_free(context);
    OPENSSL_free(der);
    return good;
  }

  const std::string path_ =
      std::filesystem::temp_directory_path() / ("identity_key_" + std::to_string(getpid()));
  EVP_PKEY* key_ = nullptr;
};

TEST_F(IdentityMinterTest, MintsWhatTheKeyVerifies) {
  WriteKey("P-256");
  const auto minter = IdentityMinter::Load(path_);
  ASSERT_TRUE(minter.ok()) << minter.status();
  for (int i = 0; i < 50; ++i) {  // integers with leading zeros come up now and then
    const std::string token = minter->Mint("alice", 1'767'225'600 + i, 600, "issuer", "sotto");
    EXPECT_TRUE(IsSigned(token));
    const size_t dot = token.find('.');
    EXPECT_EQ(nlohmann::json::parse(*FromBase64Url(token.substr(0, dot))),
              (nlohmann::json{{"alg", "ES256"}, {"typ", "JWT"}}));
    const auto claims =
        nlohmann::json::parse(*FromBase64Url(token.substr(dot + 1, token.rfind('.') - dot - 1)));
    EXPECT_EQ(claims["sub"], "alice");
    EXPECT_EQ(claims["exp"], 1'767'226'200 + i);
    EXPECT_EQ(claims["iss"], "issuer");
    EXPECT_EQ(claims["aud"], "sotto");
  }
}

TEST_F(IdentityMinterTest, OtherKeysAreRefused) {
  EXPECT_FALSE(IdentityMinter::Load("/nonexistent").ok());
  WriteKey("P-384");
  EXPECT_FALSE(IdentityMinter::Load(path_).ok());
}

}  // namespace
}  // namespace sotto::tools
