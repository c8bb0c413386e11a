// SPDX-License-Identifier: Apache-2.0
#include "tools/signaling_client/identity_minter.h"

#include <fmt/format.h>
#include <openssl/bn.h>
#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/pem.h>

#include <array>
#include <cstdio>
#include <cstdlib>
#include <nlohmann/json.hpp>
#include <vector>

#include "tools/signaling_client/keys.h"

namespace sotto::tools {

struct IdentityMinter::Key {
  EVP_PKEY* pkey = nullptr;
  ~Key() { EVP_PKEY_free(pkey); }
};

IdentityMinter::IdentityMinter(std::unique_ptr<Key> key) : key_(std::move(key)) {}
IdentityMinter::IdentityMinter(IdentityMinter&&) noexcept = default;
IdentityMinter::~IdentityMinter() = default;

absl::StatusOr<IdentityMinter> IdentityMinter::Load(const std::string& pem_file) {
  std::FILE* file = std::fopen(pem_file.c_str(), "re");
  if (file == nullptr) {
    return absl::InvalidArgumentError(fmt::format("can't open the identity key {}", pem_file));
  }
  auto key = std::make_unique<Key>();
  key->pkey = PEM_read_PrivateKey(file, nullptr, nullptr, nullptr);
  std::fclose(file);
  char group[32] = "";
  size_t size = 0;
  if (key->pkey == nullptr ||
      EVP_PKEY_get_group_name(key->pkey, group, sizeof(group), &size) != 1 ||
      std::string_view(group) != "prime256v1") {
    return absl::InvalidArgumentError(fmt::format(
        "{} contains no P-256 private key; create one with: openssl ecparam -name prime256v1 "
        "-genkey -noout",
        pem_file));
  }
  return IdentityMinter(std::move(key));
}

std::string IdentityMinter::Mint(std::string_view account, int64_t unix_s, int64_t lifetime_s,
                                 std::string_view issuer, std::string_view audience) const {
  nlohmann::json claims = {{"sub", account}, {"iat", unix_s}, {"exp", unix_s + lifetime_s}};
  if (!issuer.empty()) claims["iss"] = issuer;
  if (!audience.empty()) claims["aud"] = audience;
  const std::string token = ToBase64Url(AsBytes(R"({"alg":"ES256","typ":"JWT"})")) + "." +
                            ToBase64Url(AsBytes(claims.dump()));

  std::vector<uint8_t> der(128);
  size_t size = der.size();
  EVP_MD_CTX* context = EVP_MD_CTX_new();
  const bool signed_it =
      EVP_DigestSignInit(context, nullptr, EVP_sha256(), nullptr, key_->pkey) == 1 &&
      EVP_DigestSign(context, der.data(), &size, AsBytes(token).data(), token.size()) == 1;
  EVP_MD_CTX_free(context);
  if (!signed_it) std::abort();
  // A JWT has the two integers as they are, 32 bytes each, where OpenSSL gives DER.
  const uint8_t* at = der.data();
  ECDSA_SIG* signature = d2i_ECDSA_SIG(nullptr, &at, static_cast<long>(size));
  std::array<uint8_t, 64> raw;
  BN_bn2binpad(ECDSA_SIG_get0_r(signature), raw.data(), 32);
  BN_bn2binpad(ECDSA_SIG_get0_s(signature), raw.data() + 32, 32);
  ECDSA_SIG_free(signature);
  return token + "." + ToBase64Url(raw);
}

}  // namespace sotto::tools
