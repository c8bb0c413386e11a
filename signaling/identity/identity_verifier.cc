// SPDX-License-Identifier: Apache-2.0
#include "signaling/identity/identity_verifier.h"

#include <fmt/format.h>
#include <jansson.h>
#include <jwt.h>
#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/obj_mac.h>
#include <openssl/objects.h>
#include <openssl/pem.h>
#include <openssl/x509.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <memory>
#include <optional>

#include "absl/strings/cord.h"

namespace sotto::signaling {
namespace {

template <auto Function>
struct Deleter {
  template <typename T>
  void operator()(T* object) const {
    Function(object);
  }
};
using Jwt = std::unique_ptr<jwt_t, Deleter<jwt_free>>;
using Json = std::unique_ptr<json_t, Deleter<json_decref>>;
using CString = std::unique_ptr<char, Deleter<std::free>>;
using Bio = std::unique_ptr<BIO, Deleter<BIO_free>>;
using PublicKey = std::unique_ptr<EVP_PKEY, Deleter<EVP_PKEY_free>>;

struct PemBlock {
  ~PemBlock() {
    OPENSSL_free(name);
    OPENSSL_free(header);
    OPENSSL_free(data);
  }
  char* name = nullptr;
  char* header = nullptr;
  unsigned char* data = nullptr;
  long size = 0;
};

constexpr int kMinRsaBits = 2048;
constexpr int kMaxRsaBits = 8192;  // what a verification may cost

constexpr absl::string_view kFaultPayload = "sotto/identity-fault";

absl::Status Refuse(IdentityFault fault, std::string_view why) {
  absl::Status status = absl::UnauthenticatedError(fmt::format("identity: {}", why));
  status.SetPayload(kFaultPayload, absl::Cord(std::string(1, static_cast<char>(fault))));
  return status;
}

// Which of the two algorithms a key is for, or what is wrong with it.
absl::StatusOr<bool> IsElliptic(EVP_PKEY* key) {
  switch (EVP_PKEY_get_base_id(key)) {
    case EVP_PKEY_EC: {
      char group[64] = {};
      size_t size = 0;
      if (EVP_PKEY_get_group_name(key, group, sizeof(group), &size) != 1 ||
          OBJ_txt2nid(group) != NID_X9_62_prime256v1) {
        return absl::InvalidArgumentError("is not on P-256, which ES256 requires");
      }
      return true;
    }
    case EVP_PKEY_RSA: {
      const int bits = EVP_PKEY_get_bits(key);
      if (bits < kMinRsaBits || bits > kMaxRsaBits) {
        return absl::InvalidArgumentError(fmt::format(
            "is an RSA key of {} bits; must have {} to {}", bits, kMinRsaBits, kMaxRsaBits));
      }
      return false;
    }
    default:
      return absl::InvalidArgumentError("is neither EC P-256 (ES256) nor RSA (RS256)");
  }
}

absl::StatusOr<std::string> ToPem(EVP_PKEY* key) {
  const Bio out(BIO_new(BIO_s_mem()));
  if (out == nullptr || PEM_write_bio_PUBKEY(out.get(), key) != 1) {
    return absl::InternalError("can't be encoded");
  }
  char* data = nullptr;
  const long size = BIO_get_mem_data(out.get(), &data);
  return std::string(data, static_cast<size_t>(size));
}

// libjwt takes C strings, and its base64 decoder passes over what isn't base64: only what a JWS in
// compact form (RFC 7515, section 7.1) may look like goes in.
bool IsCompactJws(std::string_view jwt) {
  int dots = 0;
  for (const char c : jwt) {
    const bool base64url = (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') ||
                           (c >= '0' && c <= '9') || c == '-' || c == '_';
    if (c == '.') {
      ++dots;
    } else if (!base64url) {
      return false;
    }
  }
  return dots == 2 && jwt.front() != '.' && jwt.back() != '.';
}

std::optional<std::string_view> Text(const json_t* object, const char* name) {
  const json_t* const value = json_object_get(object, name);
  if (!json_is_string(value)) return std::nullopt;
  return std::string_view(json_string_value(value), json_string_length(value));
}

// A NumericDate, which may have a fraction.
std::optional<int64_t> Date(const json_t* value) {
  constexpr double kLatest = 1e12;
  if (!json_is_number(value)) return std::nullopt;
  const double seconds = std::floor(json_number_value(value));
  if (!(seconds >= 0 && seconds <= kLatest)) return std::nullopt;
  return static_cast<int64_t>(seconds);
}

bool HasAudience(const json_t* aud, const std::vector<std::string>& wanted) {
  const auto is_wanted = [&](const json_t* value) {
    return json_is_string(value) &&
           std::find(wanted.begin(), wanted.end(),
                     std::string_view(json_string_value(value), json_string_length(value))) !=
               wanted.end();
  };
  if (json_is_array(aud)) {
    for (size_t i = 0; i < json_array_size(aud); ++i) {
      if (is_wanted(json_array_get(aud, i))) return true;
    }
    return false;
  }
  return is_wanted(aud);
}

Jwt Decode(const std::string& jwt, const std::string* pem) {
  jwt_t* decoded = nullptr;
  const int error =
      jwt_decode(&decoded, jwt.c_str(),
                 pem == nullptr ? nullptr : reinterpret_cast<const unsigned char*>(pem->c_str()),
                 pem == nullptr ? 0 : static_cast<int>(pem->size()));
  Jwt result(decoded);
  if (error != 0) result.reset();
  return result;
}

}  // namespace

IdentityFault IdentityVerifier::FaultOf(const absl::Status& refused) {
  const auto payload = refused.GetPayload(kFaultPayload);
  return payload ? static_cast<IdentityFault>((*payload)[0]) : IdentityFault::kMalformed;
}

absl::StatusOr<IdentityKeys> IdentityKeys::Parse(std::string_view pem, std::string_view name) {
  IdentityKeys keys;
  if (pem.find("PRIVATE KEY-----") != std::string_view::npos) {
    return absl::InvalidArgumentError(
        fmt::format("{} contains a private key; give the server only public keys (openssl pkey -in "
                    "{} -pubout).",
                    name, name));
  }
  const Bio in(BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size())));
  while (true) {
    ERR_clear_error();
    PemBlock block;
    if (PEM_read_bio(in.get(), &block.name, &block.header, &block.data, &block.size) != 1) {
      const bool end = ERR_GET_REASON(ERR_peek_last_error()) == PEM_R_NO_START_LINE;
      ERR_clear_error();
      if (end && keys.size() > 0) return keys;
      return absl::InvalidArgumentError(
          end ? fmt::format("{} contains no public key; must be PEM (-----BEGIN PUBLIC "
                            "KEY-----).",
                            name)
              : fmt::format("key {} of {} can't be read; write it again with openssl pkey "
                            "-pubout.",
                            keys.size() + 1, name));
    }
    const unsigned char* data = block.data;
    const PublicKey key(std::string_view(block.name) == PEM_STRING_PUBLIC
                            ? d2i_PUBKEY(nullptr, &data, block.size)
                            : nullptr);
    ERR_clear_error();
    if (key == nullptr) {
      return absl::InvalidArgumentError(
          fmt::format("key {} of {} can't be read; write it again with openssl pkey -pubout.",
                      keys.size() + 1, name));
    }
    if (keys.size() == kMaxIdentityKeys) {
      return absl::InvalidArgumentError(
          fmt::format("{} contains more than {} keys; remove old ones.", name, kMaxIdentityKeys));
    }
    const absl::StatusOr<bool> elliptic = IsElliptic(key.get());
    if (!elliptic.ok()) {
      const absl::string_view why = elliptic.status().message();
      return absl::InvalidArgumentError(fmt::format("key {} of {} {}.", keys.size() + 1, name,
                                                    std::string_view(why.data(), why.size())));
    }
    absl::StatusOr<std::string> text = ToPem(key.get());
    if (!text.ok()) return text.status();
    keys.keys_.push_back({.elliptic = *elliptic, .pem = *std::move(text)});
  }
}

void IdentityKeys::Add(const IdentityKeys& other) {
  keys_.insert(keys_.end(), other.keys_.begin(), other.keys_.end());
}

IdentityVerifier::IdentityVerifier(IdentityOptions options, IdentityKeys keys)
    : options_(std::move(options)), keys_(std::move(keys)) {}

absl::StatusOr<VerifiedIdentity> IdentityVerifier::Verify(std::string_view jwt,
                                                          int64_t unix_s) const {
  if (jwt.size() > kMaxIdentitySize)
    return Refuse(IdentityFault::kMalformed, "the JWT is too long");
  if (jwt.empty() || !IsCompactJws(jwt))
    return Refuse(IdentityFault::kMalformed, "not a signed JWT");
  const std::string text(jwt);

  // Without a key libjwt only parses (and forgets the algorithm): enough to see which keys may
  // verify it.
  const Jwt claimed = Decode(text, nullptr);
  if (claimed == nullptr) return Refuse(IdentityFault::kMalformed, "not a signed JWT");
  const char* const name = jwt_get_header(claimed.get(), "alg");
  const std::string_view alg = name == nullptr ? "" : name;
  if (alg != "ES256" && alg != "RS256")
    return Refuse(IdentityFault::kAlgorithm, "alg is not ES256 or RS256");
  // RFC 7515, section 4.1.11: what isn't understood must be refused, and nothing is.
  if (CString(jwt_get_headers_json(claimed.get(), "crit")) != nullptr) {
    return Refuse(IdentityFault::kMalformed,
                  "crit names an extension that this server does not support");
  }

  Jwt verified;
  for (const IdentityKeys::Key& key : keys_.keys_) {
    if (key.elliptic != (alg == "ES256")) continue;
    verified = Decode(text, &key.pem);
    ERR_clear_error();
    if (verified != nullptr) break;
  }
  if (verified == nullptr ||
      jwt_get_alg(verified.get()) != (alg == "ES256" ? JWT_ALG_ES256 : JWT_ALG_RS256)) {
    return Refuse(IdentityFault::kSignature, "the signature was not made with a known key");
  }

  const CString grants(jwt_get_grants_json(verified.get(), nullptr));
  const Json claims(grants == nullptr ? nullptr : json_loads(grants.get(), 0, nullptr));
  if (!json_is_object(claims.get()))
    return Refuse(IdentityFault::kMalformed, "the claims are not a JSON object");
  const std::optional<int64_t> expires = Date(json_object_get(claims.get(), "exp"));
  if (!expires) return Refuse(IdentityFault::kExpired, "exp is missing");
  if (*expires + kIdentityLeewaySeconds <= unix_s)
    return Refuse(IdentityFault::kExpired, "it has expired");
  if (const json_t* const not_before = json_object_get(claims.get(), "nbf")) {
    const std::optional<int64_t> date = Date(not_before);
    if (!date || *date - kIdentityLeewaySeconds > unix_s)
      return Refuse(IdentityFault::kNotYetValid, "it is not valid yet");
  }
  if (!options_.issuer.empty() && Text(claims.get(), "iss") != options_.issuer) {
    return Refuse(IdentityFault::kIssuer, "wrong issuer (iss)");
  }
  if (!options_.audiences.empty() &&
      !HasAudience(json_object_get(claims.get(), "aud"), options_.audiences)) {
    return Refuse(IdentityFault::kAudience, "wrong audience (aud)");
  }
  const std::optional<std::string_view> sub = Text(claims.get(), "sub");
  std::optional<AccountId> account = sub ? AccountId::Parse(*sub) : std::nullopt;
  if (!account) return Refuse(IdentityFault::kAccount, "sub is not the name of an account");
  return VerifiedIdentity{.account = VerifiedAccount(*std::move(account)),
                          .valid_until_unix_s = *expires + kIdentityLeewaySeconds};
}

}  // namespace sotto::signaling
