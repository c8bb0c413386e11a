// SPDX-License-Identifier: Apache-2.0
#include "signaling/identity/development_issuer.h"

#include <fmt/format.h>
#include <jwt.h>
#include <openssl/bio.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>

#include <cstdlib>
#include <memory>

namespace sotto::signaling {
namespace {

template <auto Function>
struct Deleter {
  template <typename T>
  void operator()(T* object) const {
    Function(object);
  }
};
using Bio = std::unique_ptr<BIO, Deleter<BIO_free>>;
using Key = std::unique_ptr<EVP_PKEY, Deleter<EVP_PKEY_free>>;
using Jwt = std::unique_ptr<jwt_t, Deleter<jwt_free>>;
using CString = std::unique_ptr<char, Deleter<std::free>>;

std::string Content(BIO* bio) {
  char* data = nullptr;
  const long size = BIO_get_mem_data(bio, &data);
  return {data, static_cast<size_t>(size)};
}

}  // namespace

absl::StatusOr<std::string> DevelopmentIssuer::MakePrivateKey() {
  const Key key(EVP_EC_gen("P-256"));
  const Bio out(BIO_new(BIO_s_mem()));
  if (key == nullptr || out == nullptr ||
      PEM_write_bio_PrivateKey(out.get(), key.get(), nullptr, nullptr, 0, nullptr, nullptr) != 1) {
    return absl::InternalError("OpenSSL failed to generate a P-256 key; check its configuration.");
  }
  return Content(out.get());
}

absl::StatusOr<DevelopmentIssuer> DevelopmentIssuer::Create(std::string_view private_key,
                                                            std::string_view name,
                                                            const IdentityOptions& options) {
  const Bio in(BIO_new_mem_buf(private_key.data(), static_cast<int>(private_key.size())));
  const Key key(PEM_read_bio_PrivateKey(in.get(), nullptr, nullptr, nullptr));
  const Bio out(BIO_new(BIO_s_mem()));
  if (key == nullptr || out == nullptr || PEM_write_bio_PUBKEY(out.get(), key.get()) != 1) {
    ERR_clear_error();
    return absl::InvalidArgumentError(fmt::format(
        "{} is not a private key in PEM; delete it, and the server will generate another.", name));
  }
  if (EVP_PKEY_get_base_id(key.get()) != EVP_PKEY_EC) {
    return absl::InvalidArgumentError(fmt::format(
        "{} is not a P-256 key; delete it, and the server will generate another.", name));
  }
  absl::StatusOr<IdentityKeys> public_keys = IdentityKeys::Parse(Content(out.get()), name);
  if (!public_keys.ok()) return public_keys.status();
  DevelopmentIssuer issuer;
  issuer.private_key_ = private_key;
  issuer.public_keys_ = *std::move(public_keys);
  issuer.issuer_ = options.issuer;
  if (!options.audiences.empty()) issuer.audience_ = options.audiences.front();
  return issuer;
}

absl::StatusOr<std::string> DevelopmentIssuer::Issue(const AccountId& account,
                                                     int64_t unix_s) const {
  jwt_t* made = nullptr;
  bool ok = jwt_new(&made) == 0;
  const Jwt jwt(made);
  const auto add = [&](const char* name, const std::string& value) {
    ok = ok && (value.empty() || jwt_add_grant(jwt.get(), name, value.c_str()) == 0);
  };
  add("sub", account.text());
  add("iss", issuer_);
  add("aud", audience_);
  ok = ok && jwt_add_grant_int(jwt.get(), "iat", unix_s) == 0 &&
       jwt_add_grant_int(jwt.get(), "exp", unix_s + kDevelopmentIdentitySeconds) == 0 &&
       jwt_set_alg(jwt.get(), JWT_ALG_ES256,
                   reinterpret_cast<const unsigned char*>(private_key_.c_str()),
                   static_cast<int>(private_key_.size())) == 0;
  const CString text(ok ? jwt_encode_str(jwt.get()) : nullptr);
  if (text == nullptr) return absl::InternalError("can't sign the development identity");
  return std::string(text.get());
}

}  // namespace sotto::signaling
